//! Who reads the log as a feed, and when that was last written down.

use super::{Db, Result};
use crate::{clock::Millis, domain::audit::Draft};

impl Db {
    /// Notes that a key reads the log, with the entry that says so, unless one has said so since `since`.
    pub async fn note_audit_read(
        &self,
        key_id: &str,
        since: Millis,
        now: Millis,
        entry: &Draft,
    ) -> Result<()> {
        let noted: Option<(i64,)> =
            self.read("SELECT at FROM audit_reads WHERE key_id = $1").bind(key_id).opt().await?;
        if noted.is_some_and(|(at,)| at > since) {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        let first = tx
            .sql(
                "INSERT INTO audit_reads (key_id, at) VALUES ($1, $2)
                 ON CONFLICT (key_id) DO UPDATE SET at = excluded.at WHERE audit_reads.at <= $3",
            )
            .bind(key_id)
            .bind(now)
            .bind(since)
            .run()
            .await?;
        if first == 1 {
            tx.append(now, &[entry]).await?;
        }
        tx.commit().await
    }
}
