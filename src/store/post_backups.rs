//! Copies of posts that jobs have deleted, encrypted like other secrets. Kept as long as the jobs themselves.

use super::{Db, Result};
use crate::clock::Millis;

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
