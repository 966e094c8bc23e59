//! Copies of posts that jobs have deleted, encrypted like other secrets. Kept as long as the jobs themselves.

use super::{Db, Result, Tx};
use crate::clock::Millis;

impl Tx {
    /// A second try has a newer copy.
    pub(super) async fn keep_backup(
        &mut self,
        job_id: &str,
        n: i64,
        sealed: &[u8],
        at: Millis,
    ) -> Result<()> {
        self.sql(
            "INSERT INTO post_backups (job_id, n, sealed, at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (job_id, n) DO UPDATE SET sealed = excluded.sealed, at = excluded.at",
        )
        .bind(job_id)
        .bind(n)
        .bind(sealed)
        .bind(at)
        .run()
        .await
        .map(drop)
    }
}

impl Db {
    /// The copies of a job's posts in order, from item `from` on: (item, encrypted copy, when it was taken).
    pub async fn backups(&self, job_id: &str, from: i64, limit: i64) -> Result<Vec<(i64, Vec<u8>, Millis)>> {
        self.read("SELECT n, sealed, at FROM post_backups WHERE job_id = $1 AND n >= $2 ORDER BY n LIMIT $3")
            .bind(job_id)
            .bind(from)
            .bind(limit)
            .all()
            .await
    }

    /// How many copies a job has.
    pub async fn count_backups(&self, job_id: &str) -> Result<i64> {
        self.read("SELECT COUNT(*) FROM post_backups WHERE job_id = $1").bind(job_id).value().await
    }
}
