//! What is left of deleted rows in the database's files, and getting rid of it.
//!
//! SQLite leaves deleted rows in free pages, and copies of rows that have moved in the gaps of others; `secure_delete` does not
//! reach the latter. So the file is written anew from what is live, and then the write-ahead log is emptied. PostgreSQL keeps dead
//! rows until VACUUM; what its own write-ahead log and backups hold is the operator's to let go (docs/erasure.md).

use super::{Db, Result};
use std::time::Duration;

/// How often it is tried while somebody reads an older state, and the time between.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// The tables that personal data is erased from.
const VACUUM: &str = "VACUUM audit_details, admins, sessions, form_tokens, reveals, login_failures, roles, saved_views, \
    selections, notices, tenants, keys, key_users, posts, pauses, operations, idempotency_keys, plans, plan_items, jobs, \
    job_items, post_backups, workspaces";

impl Db {
    /// Removes deleted rows from the database's files. On SQLite all changes wait for it.
    pub async fn rewrite_files(&self) -> Result<()> {
        match self {
            Self::Sqlite { writer, .. } => {
                self.forget_gone_texts().await?;
                sqlx::raw_sql("VACUUM").execute(writer).await?;
            }
            Self::Postgres(pool, _) => {
                let mut connection = pool.acquire().await?;
                // It takes the time it takes. The connection is not used for anything else.
                connection.close_on_drop();
                sqlx::raw_sql("SET statement_timeout = 0").execute(&mut *connection).await?;
                sqlx::raw_sql(VACUUM).execute(&mut *connection).await?;
            }
        }
        Ok(())
    }

    /// Empties the write-ahead log. `false` if somebody still reads an older state in it: to be tried again. PostgreSQL's is
    /// not ours.
    pub async fn empty_wal(&self) -> Result<bool> {
        let Self::Sqlite { writer, .. } = self else { return Ok(true) };
        for _ in 0..TRIES {
            let (busy, ..): (i64, i64, i64) =
                sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(writer).await?;
            if busy == 0 {
                return Ok(true);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(false)
    }
}
