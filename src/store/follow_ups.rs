//! Which job a plan was made from, and what of a job can still be turned back.

use super::{Db, Error, Result};
use crate::domain::jobs::Purpose;

impl Db {
    /// Remembers from which job a plan was made, and why.
    pub async fn link_plan(&self, plan_id: &str, job_id: &str, purpose: Purpose) -> Result<()> {
        self.write(
            "INSERT INTO plan_parents (plan_id, job_id, purpose) VALUES ($1, $2, $3) ON CONFLICT (plan_id) DO NOTHING",
        )
        .bind(plan_id)
        .bind(job_id)
        .bind(purpose.as_str())
        .run()
        .await
        .map(drop)
    }

    /// The job that a plan was made from.
    pub async fn plan_parent(&self, plan_id: &str) -> Result<Option<(String, Purpose)>> {
        let row: Option<(String, String)> = self
            .read("SELECT job_id, purpose FROM plan_parents WHERE plan_id = $1")
            .bind(plan_id)
            .opt()
            .await?;
        row.map(|(id, word)| Ok((id, purpose(&word)?))).transpose()
    }

    /// The jobs that were made from a job, the oldest first.
    pub async fn job_children(&self, job_id: &str) -> Result<Vec<(String, Purpose)>> {
        let rows: Vec<(String, String)> = self
            .read(
                "SELECT j.id, p.purpose FROM plan_parents p JOIN jobs j ON j.plan_id = p.plan_id
                 WHERE p.job_id = $1 ORDER BY j.id",
            )
            .bind(job_id)
            .all()
            .await?;
        rows.into_iter().map(|(id, word)| Ok((id, purpose(&word)?))).collect()
    }

    /// The posts that this very job has paused and that nobody has touched since: (tenant, post).
    pub async fn still_paused_by(&self, job_id: &str) -> Result<Vec<(String, String)>> {
        self.read(
            "SELECT i.tenant_id, i.post_id FROM job_items i
               JOIN pauses p ON p.workspace_id = i.workspace_id AND p.tenant_id = i.tenant_id AND p.post_id = i.post_id
                 AND p.op_id = i.op_id
             WHERE i.job_id = $1 AND i.state = 'succeeded' ORDER BY i.n",
        )
        .bind(job_id)
        .all()
        .await
    }
}

fn purpose(word: &str) -> Result<Purpose> {
    Purpose::parse(word).ok_or_else(|| Error::Corrupt("plan's purpose".into()))
}
