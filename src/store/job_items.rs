//! The items of jobs: one per post of the plan, each in one state. What was done to a post is written by the effects of
//! `operations`; here are the reading statements, and the ends of items for which no call was made.

use super::{Db, Error, Result, leases::Fence, operations::ItemResult};
use crate::{
    clock::Millis,
    domain::{
        jobs::{ItemState, JobItem},
        posts::PostStatus,
    },
};

#[derive(sqlx::FromRow)]
struct ItemRow {
    n: i64,
    tenant_id: String,
    post_id: String,
    expected_status: String,
    expected_at: Option<i64>,
    expected_updated_at: i64,
    target_at: Option<i64>,
    state: String,
    code: Option<String>,
    message: Option<String>,
    granted_at: Option<i64>,
    op_id: Option<String>,
    backup_job: Option<String>,
    backup_n: Option<i64>,
    created_id: Option<String>,
    attempts: i64,
    ended_at: Option<i64>,
}

const ITEM: &str = "SELECT n, tenant_id, post_id, expected_status, expected_at, expected_updated_at, target_at, state, code, \
    message, granted_at, op_id, backup_job, backup_n, created_id, attempts, ended_at FROM job_items WHERE job_id = ";

impl Db {
    /// A job's items in order, from number `from` on, optionally those in one state.
    pub async fn job_items(
        &self,
        job_id: &str,
        state: Option<ItemState>,
        from: i64,
        limit: i64,
    ) -> Result<Vec<JobItem>> {
        let rows: Vec<ItemRow> = self
            .read(ITEM)
            .arg(job_id)
            .and("state =", state.map(ItemState::as_str))
            .and("n >=", Some(from))
            .push(" ORDER BY n LIMIT ")
            .arg(limit)
            .all()
            .await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Pending items in their order: each tenant's first, then each tenant's second. Those of `but` are left out.
    pub async fn next_items(&self, job_id: &str, but: &[&str], limit: i64) -> Result<Vec<JobItem>> {
        let mut sql = self.read(ITEM).arg(job_id).push(" AND state = 'pending'");
        if !but.is_empty() {
            sql = sql.push(" AND tenant_id NOT IN ").list(but.iter().copied());
        }
        let rows: Vec<ItemRow> = sql.push(" ORDER BY place LIMIT ").arg(limit).all().await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Whether an item has not been begun, or was given back.
    pub async fn item_is_pending(&self, job_id: &str, n: i64) -> Result<bool> {
        let state: String = self
            .read("SELECT state FROM job_items WHERE job_id = $1 AND n = $2")
            .bind(job_id)
            .bind(n)
            .value()
            .await?;
        Ok(state == ItemState::Pending.as_str())
    }

    /// How many of the items that were tried and ended last have failed, one after the other; at most `limit` are
    /// looked at.
    pub async fn failures_in_a_row(&self, job_id: &str, limit: i64) -> Result<i64> {
        let states: Vec<(String,)> = self
            .read(
                "SELECT state FROM job_items
                 WHERE job_id = $1 AND state IN ('succeeded', 'gone', 'failed') AND attempts > 0
                 ORDER BY ended_at DESC, n DESC LIMIT $2",
            )
            .bind(job_id)
            .bind(limit)
            .all()
            .await?;
        Ok(states.iter().take_while(|(state,)| state == ItemState::Failed.as_str()).count() as i64)
    }

    /// How many items that were tried have ended since a time.
    pub async fn ended_since(&self, job_id: &str, since: Millis) -> Result<i64> {
        self.read(
            "SELECT COUNT(*) FROM job_items
             WHERE job_id = $1 AND state IN ('succeeded', 'gone', 'failed') AND ended_at >= $2",
        )
        .bind(job_id)
        .bind(since)
        .value()
        .await
    }

    /// Per tenant and state: how many items of a job.
    pub async fn job_tenants(&self, job_id: &str) -> Result<Vec<(String, String, i64)>> {
        self.read("SELECT tenant_id, state, COUNT(*) FROM job_items WHERE job_id = $1 GROUP BY tenant_id, state ORDER BY 1, 2")
            .bind(job_id)
            .all()
            .await
    }

    /// Skip reasons and error codes of a job: (state, code, count).
    pub async fn job_codes(&self, job_id: &str) -> Result<Vec<(String, Option<String>, i64)>> {
        self.read(
            "SELECT state, code, COUNT(*) FROM job_items WHERE job_id = $1 AND state IN ('skipped', 'failed')
             GROUP BY state, code ORDER BY 3 DESC, 2",
        )
        .bind(job_id)
        .all()
        .await
    }

    /// The failures that ended last.
    pub async fn latest_failures(&self, job_id: &str, limit: i64) -> Result<Vec<JobItem>> {
        let rows: Vec<ItemRow> = self
            .read(ITEM)
            .arg(job_id)
            .push(" AND state = 'failed' ORDER BY ended_at DESC, n DESC LIMIT ")
            .arg(limit)
            .all()
            .await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Ends an item for which nothing was sent, with the reason. Only if it is still pending.
    ///
    /// # Errors
    /// [`Error::Fenced`], as of all that the runner writes, if another process has the job.
    pub async fn end_item(
        &self,
        fence: &Fence,
        job_id: &str,
        n: i64,
        end: &ItemResult,
        now: Millis,
    ) -> Result<()> {
        self.end_pending(fence, job_id, Some(n), None, end, now).await.map(drop)
    }

    /// Writes down why a pending item waits for another try. `tried`: a call was made that is not counted yet.
    pub async fn put_item_off(
        &self,
        fence: &Fence,
        job_id: &str,
        n: i64,
        code: &str,
        message: &str,
        tried: bool,
    ) -> Result<()> {
        let mut tx = self.begin_fenced(fence).await?;
        tx.sql(
            "UPDATE job_items SET code = $3, message = $4, attempts = attempts + $5
             WHERE job_id = $1 AND n = $2 AND state = 'pending'",
        )
        .bind(job_id)
        .bind(n)
        .bind(code)
        .bind(message)
        .bind(i64::from(tried))
        .run()
        .await?;
        tx.commit().await
    }

    /// Ends all of a tenant's remaining items of a job; how many.
    pub async fn end_tenants_items(
        &self,
        fence: &Fence,
        job_id: &str,
        tenant_id: &str,
        end: &ItemResult,
        now: Millis,
    ) -> Result<u64> {
        self.end_pending(fence, job_id, None, Some(tenant_id), end, now).await
    }

    /// Ends pending items of a job: the one of this number, or all of this tenant.
    async fn end_pending(
        &self,
        fence: &Fence,
        job_id: &str,
        n: Option<i64>,
        tenant_id: Option<&str>,
        end: &ItemResult,
        now: Millis,
    ) -> Result<u64> {
        let mut tx = self.begin_fenced(fence).await?;
        let ended = tx
            .sql("UPDATE job_items SET state = ")
            .arg(end.state.as_str())
            .push(", code = ")
            .arg(&end.code)
            .push(", message = ")
            .arg(&end.message)
            .push(", ended_at = ")
            .arg(now)
            .push(" WHERE state = 'pending' AND job_id = ")
            .arg(job_id)
            .and("n =", n)
            .and("tenant_id =", tenant_id)
            .run()
            .await?;
        tx.commit().await?;
        Ok(ended)
    }
}

impl TryFrom<ItemRow> for JobItem {
    type Error = Error;

    fn try_from(row: ItemRow) -> Result<Self> {
        Ok(Self {
            expected_status: PostStatus::parse(&row.expected_status)
                .ok_or_else(|| Error::Corrupt("post status".into()))?,
            state: ItemState::parse(&row.state).ok_or_else(|| Error::Corrupt("item state".into()))?,
            n: row.n,
            tenant_id: row.tenant_id,
            post_id: row.post_id,
            expected_at: row.expected_at,
            expected_updated_at: row.expected_updated_at,
            target_at: row.target_at,
            code: row.code,
            message: row.message,
            granted_at: row.granted_at,
            op_id: row.op_id,
            backup: row.backup_job.zip(row.backup_n),
            created_id: row.created_id,
            attempts: row.attempts,
            ended_at: row.ended_at,
        })
    }
}
