//! Copies of posts that jobs have deleted, encrypted like other secrets. Kept as long as the jobs themselves.

use super::{Db, Error, Result};
use crate::{clock::Millis, domain::posts::PostStatus};

/// The copy of a post that a job has deleted, and how the plan of that job saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct Backup {
    pub job_id: String,
    pub n: i64,
    pub tenant_id: String,
    pub post_id: String,
    pub status: PostStatus,
    pub scheduled_at: Option<Millis>,
    pub updated_at: Millis,
    /// Encrypted.
    pub sealed: Vec<u8>,
    /// A post was made of it.
    pub recreated: bool,
}

#[derive(sqlx::FromRow)]
struct BackupRow {
    job_id: String,
    n: i64,
    tenant_id: String,
    post_id: String,
    expected_status: String,
    expected_at: Option<i64>,
    expected_updated_at: i64,
    sealed: Vec<u8>,
    recreated_as: Option<String>,
}

const DELETED: &str = "SELECT b.job_id, b.n, i.tenant_id, i.post_id, i.expected_status, i.expected_at, i.expected_updated_at, \
    b.sealed, b.recreated_as FROM post_backups b JOIN job_items i ON i.job_id = b.job_id AND i.n = b.n \
    WHERE i.state = 'succeeded' AND i.workspace_id = ";

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

    /// The copies of what a job has deleted, in order, from item `from` on.
    pub async fn backups_of_deleted(
        &self,
        workspace_id: &str,
        job_id: &str,
        from: i64,
        limit: i64,
    ) -> Result<Vec<Backup>> {
        let rows: Vec<BackupRow> = self
            .read(DELETED)
            .arg(workspace_id)
            .and("b.job_id =", Some(job_id))
            .and("b.n >=", Some(from))
            .push(" ORDER BY b.n LIMIT ")
            .arg(limit)
            .all()
            .await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// The copy of one post of a tenant that a job has deleted.
    pub async fn backup(
        &self,
        workspace_id: &str,
        tenant_id: &str,
        job_id: &str,
        n: i64,
    ) -> Result<Option<Backup>> {
        let row: Option<BackupRow> = self
            .read(DELETED)
            .arg(workspace_id)
            .and("i.tenant_id =", Some(tenant_id))
            .and("b.job_id =", Some(job_id))
            .and("b.n =", Some(n))
            .opt()
            .await?;
        row.map(TryInto::try_into).transpose()
    }

    /// How many posts that a job has deleted can be made again.
    pub async fn count_recreatable(&self, job_id: &str) -> Result<i64> {
        self.read(
            "SELECT COUNT(*) FROM post_backups b JOIN job_items i ON i.job_id = b.job_id AND i.n = b.n
             WHERE b.job_id = $1 AND i.state = 'succeeded' AND b.recreated_as IS NULL",
        )
        .bind(job_id)
        .value()
        .await
    }

    /// How many copies a job has.
    pub async fn count_backups(&self, job_id: &str) -> Result<i64> {
        self.read("SELECT COUNT(*) FROM post_backups WHERE job_id = $1").bind(job_id).value().await
    }
}

impl TryFrom<BackupRow> for Backup {
    type Error = Error;

    fn try_from(row: BackupRow) -> Result<Self> {
        Ok(Self {
            status: PostStatus::parse(&row.expected_status)
                .ok_or_else(|| Error::Corrupt("post status".into()))?,
            job_id: row.job_id,
            n: row.n,
            tenant_id: row.tenant_id,
            post_id: row.post_id,
            scheduled_at: row.expected_at,
            updated_at: row.expected_updated_at,
            sealed: row.sealed,
            recreated: row.recreated_as.is_some(),
        })
    }
}
