//! Jobs that have ended and that the person who started them has not looked at since: for the banner of the posts list.
//! A job's end puts them here (`finish_job`); these are bookkeeping, not entries of the log.

use super::{Db, Result, Tx};
use crate::domain::{audit::ActorType, jobs::Job};

impl Db {
    /// The jobs that a person has started in a workspace and not looked at since they have ended, the newest first.
    pub async fn notices(&self, workspace_id: &str, admin_id: &str, limit: i64) -> Result<Vec<String>> {
        let rows: Vec<(String,)> = self
            .read(
                "SELECT job_id FROM notices WHERE workspace_id = $1 AND admin_id = $2 ORDER BY job_id DESC LIMIT $3",
            )
            .bind(workspace_id)
            .bind(admin_id)
            .bind(limit)
            .all()
            .await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// A person has looked at a job, or does not want to.
    pub async fn note_seen(&self, workspace_id: &str, admin_id: &str, job_id: &str) -> Result<()> {
        self.write("DELETE FROM notices WHERE workspace_id = $1 AND admin_id = $2 AND job_id = $3")
            .bind(workspace_id)
            .bind(admin_id)
            .bind(job_id)
            .run()
            .await
            .map(drop)
    }
}

impl Tx {
    /// A job has ended. Programs ask for themselves.
    pub(super) async fn note_ended(&mut self, job: &Job) -> Result<()> {
        if job.actor.kind() != ActorType::Admin {
            return Ok(());
        }
        self.sql(
            "INSERT INTO notices (workspace_id, admin_id, job_id) VALUES ($1, $2, $3)
             ON CONFLICT (workspace_id, admin_id, job_id) DO NOTHING",
        )
        .bind(&job.workspace_id)
        .bind(&job.actor.id)
        .bind(&job.id)
        .run()
        .await
        .map(drop)
    }
}
