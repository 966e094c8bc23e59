//! What is left of deleted rows in the database's files, and getting rid of it.
//!
//! SQLite overwrites what it deletes (`secure_delete`); what is left then are older pages in the write-ahead log, which goes
//! with a checkpoint that truncates it. A file from before that setting is written anew once. PostgreSQL keeps dead rows
//! until VACUUM; what its own write-ahead log and backups hold is the operator's to let go (docs/erasure.md).

use crate::store::{Db, Result};
use sqlx::{Executor, Row};
use std::time::Duration;

/// That nothing was deleted from this file without being overwritten.
const CLEAN: &str = "secure_delete";
/// How often it is tried while somebody reads, and the time between.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Tables that personal data is erased from.
const TABLES: &str = "audit_details, admins, sessions, form_tokens, reveals, login_failures, roles, saved_views, selections, \
    notices, tenants, keys, key_users, posts, pauses, operations, idempotency_keys, plans, plan_items, jobs, job_items, \
    post_backups, workspaces";

impl Db {
    /// Removes deleted rows from the database's files. `false` if somebody reads an older state: to be tried again.
    pub async fn scrub(&self) -> Result<bool> {
        match self {
            Self::Sqlite { writer, .. } => {
                if self.fact(CLEAN).await?.is_none() {
                    sqlx::raw_sql("VACUUM").execute(writer).await?;
                    self.fact_or(CLEAN, "on").await?;
                }
                for _ in 0..TRIES {
                    let mut connection = writer.acquire().await?;
                    let row = connection.fetch_one("PRAGMA wal_checkpoint(TRUNCATE)").await?;
                    if row.try_get::<i64, _>(0)? == 0 {
                        return Ok(true);
                    }
                    drop(connection);
                    tokio::time::sleep(PAUSE).await;
                }
                Ok(false)
            }
            Self::Postgres(pool, _) => {
                let mut connection = pool.acquire().await?;
                // It takes the time it takes. The connection is not used for anything else.
                connection.close_on_drop();
                connection.execute("SET statement_timeout = 0").await?;
                connection.execute(sqlx::AssertSqlSafe(format!("VACUUM {TABLES}"))).await?;
                Ok(true)
            }
        }
    }
}
