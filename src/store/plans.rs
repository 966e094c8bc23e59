//! Plans and their posts.

use super::{Db, Error, Json, Result, Tx};
use crate::{
    clock::Millis,
    domain::{
        audit::{Action, Actor, Draft},
        plans::{BulkAction, Difference, Plan, PlanItem, PlanOptions, SOON, SkipReason, Source, Summary},
        posts::PostStatus,
    },
};

#[derive(sqlx::FromRow)]
struct PlanRow {
    id: String,
    workspace_id: String,
    action: String,
    options: Json<PlanOptions>,
    filter: String,
    source: String,
    excluded: Json<Vec<(String, String)>>,
    created_by: String,
    created_at: i64,
    expires_at: i64,
    mirrored_at: Option<i64>,
    digest: String,
    summary: Json<Summary>,
    difference: Option<Json<Difference>>,
    job_id: Option<String>,
}

#[derive(sqlx::FromRow)]
struct ItemRow {
    n: i64,
    tenant_id: String,
    post_id: String,
    content: String,
    status: String,
    platforms: String,
    scheduled_at: Option<i64>,
    updated_at: i64,
    wanted_at: Option<i64>,
    target_at: Option<i64>,
    backup_job: Option<String>,
    backup_n: Option<i64>,
    skip: Option<String>,
}

const ITEM: &str = "SELECT n, tenant_id, post_id, content, status, platforms, scheduled_at, updated_at, wanted_at, \
    target_at, backup_job, backup_n, skip FROM plan_items WHERE plan_id = ";
const ACTED: &str = " AND skip IS NULL";

/// Which of a plan's posts to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show<'a> {
    All,
    /// Those that would be acted on.
    Acted,
    Skipped(SkipReason),
    /// Those of a tenant that would be acted on; the following likewise.
    Tenant(&'a str),
    Platform(&'a str),
    Status(PostStatus),
    /// Scheduled within ten minutes of the preview.
    Soon,
}

impl Db {
    /// Stores a plan with its posts, or replaces one that has not been confirmed. `false` if it has been.
    pub async fn put_plan(&self, actor: &Actor, plan: &Plan, items: &[PlanItem]) -> Result<bool> {
        let mut tx = self.begin().await?;
        let known: i64 = tx.sql("SELECT COUNT(*) FROM plans WHERE id = $1").bind(&plan.id).value().await?;
        let stored = tx
            .sql(
                "INSERT INTO plans (id, workspace_id, action, options, filter, source, excluded, created_by, created_at,
                   expires_at, mirrored_at, digest, summary, difference)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
                 ON CONFLICT (id) DO UPDATE SET options = excluded.options, created_at = excluded.created_at,
                   expires_at = excluded.expires_at, mirrored_at = excluded.mirrored_at, digest = excluded.digest,
                   summary = excluded.summary, difference = excluded.difference
                 WHERE plans.job_id IS NULL",
            )
            .bind(&plan.id)
            .bind(&plan.workspace_id)
            .bind(plan.action.as_str())
            .bind(Json(&plan.options))
            .bind(&plan.filter)
            .bind(plan.source.as_str())
            .bind(Json(&plan.excluded))
            .bind(&plan.created_by)
            .bind(plan.created_at)
            .bind(plan.expires_at)
            .bind(plan.mirrored_at)
            .bind(&plan.digest)
            .bind(Json(&plan.summary))
            .bind(plan.difference.as_ref().map(Json))
            .run()
            .await?;
        if stored != 1 {
            return Ok(false);
        }
        tx.sql("DELETE FROM plan_items WHERE plan_id = $1").bind(&plan.id).run().await?;
        for chunk in items.chunks(200) {
            tx.insert_items(&plan.id, chunk).await?;
        }
        let action = if known == 0 { Action::PlanCreate } else { Action::PlanUpdate };
        let entry = Draft::done(actor, action)
            .workspace(&plan.workspace_id)
            .target("plan", &plan.id)
            .set("action", plan.action.as_str())
            .set("posts", plan.summary.total())
            .set("toDo", plan.summary.acted);
        tx.append(plan.created_at, &[&entry]).await?;
        tx.commit().await?;
        Ok(true)
    }

    pub async fn plan(&self, workspace_id: &str, id: &str) -> Result<Option<Plan>> {
        let row: Option<PlanRow> = self
            .read(
                "SELECT id, workspace_id, action, options, filter, source, excluded, created_by, created_at, expires_at,
                   mirrored_at, digest, summary, difference, job_id FROM plans WHERE workspace_id = $1 AND id = $2",
            )
            .bind(workspace_id)
            .bind(id)
            .opt()
            .await?;
        row.map(TryInto::try_into).transpose()
    }

    /// A plan's posts in order, from number `from` on.
    pub async fn plan_items(
        &self,
        plan_id: &str,
        show: Show<'_>,
        from: i64,
        limit: i64,
    ) -> Result<Vec<PlanItem>> {
        let sql = self.read(ITEM).arg(plan_id).and("n >=", Some(from));
        let sql = match show {
            Show::All => sql,
            Show::Acted => sql.push(ACTED),
            Show::Skipped(reason) => sql.and("skip =", Some(reason.as_str())),
            Show::Tenant(id) => sql.push(ACTED).and("tenant_id =", Some(id)),
            Show::Platform(name) => {
                let name = format!("%, {name},%");
                sql.push(ACTED).push(" AND ', ' || platforms || ',' LIKE ").arg(name)
            }
            Show::Status(status) => sql.push(ACTED).and("status =", Some(status.as_str())),
            Show::Soon => sql
                .push(ACTED)
                .push(" AND status = 'scheduled' AND scheduled_at > ")
                .push("(SELECT created_at FROM plans WHERE id = plan_id) AND scheduled_at <= ")
                .push("(SELECT created_at FROM plans WHERE id = plan_id) + ")
                .arg(SOON),
        };
        let rows: Vec<ItemRow> = sql.push(" ORDER BY n LIMIT ").arg(limit).all().await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Posts that would be acted on per tenant, the most first: (tenant, count).
    pub async fn plan_tenants(&self, plan_id: &str, skip: i64, limit: i64) -> Result<Vec<(String, i64)>> {
        self.read(
            "SELECT tenant_id, COUNT(*) FROM plan_items WHERE plan_id = $1 AND skip IS NULL
             GROUP BY tenant_id ORDER BY 2 DESC, 1 LIMIT $2 OFFSET $3",
        )
        .bind(plan_id)
        .bind(limit)
        .bind(skip)
        .all()
        .await
    }

    /// Ids of posts of a workspace that an unfinished job holds: (tenant, post).
    pub async fn locked_posts(&self, workspace_id: &str) -> Result<Vec<(String, String)>> {
        self.read(
            "SELECT tenant_id, post_id FROM job_items
             WHERE workspace_id = $1 AND state IN ('pending', 'running', 'unknown')",
        )
        .bind(workspace_id)
        .all()
        .await
    }

    /// Removes plans that were never confirmed and cannot be any more.
    pub async fn sweep_plans(&self, expired_before: Millis) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.sql(
            "DELETE FROM plan_items WHERE plan_id IN (SELECT id FROM plans WHERE job_id IS NULL AND expires_at < $1)",
        )
        .bind(expired_before)
        .run()
        .await?;
        tx.sql("DELETE FROM plans WHERE job_id IS NULL AND expires_at < $1")
            .bind(expired_before)
            .run()
            .await?;
        tx.commit().await
    }
}

impl Tx {
    async fn insert_items(&mut self, plan_id: &str, items: &[PlanItem]) -> Result<()> {
        let mut sql = self.sql(
            "INSERT INTO plan_items (plan_id, n, tenant_id, post_id, content, status, platforms, scheduled_at,
               updated_at, wanted_at, target_at, backup_job, backup_n, skip) VALUES ",
        );
        for (i, item) in items.iter().enumerate() {
            sql = sql.push(if i == 0 { "(" } else { ", (" }).arg(plan_id).push(", ").arg(item.n);
            sql = sql.push(", ").arg(item.tenant_id.as_str()).push(", ").arg(item.post_id.as_str());
            sql = sql.push(", ").arg(item.content.as_str()).push(", ").arg(item.status.as_str());
            sql = sql.push(", ").arg(item.platforms.as_str()).push(", ").arg(item.scheduled_at);
            sql = sql.push(", ").arg(item.updated_at).push(", ").arg(item.wanted_at);
            sql = sql.push(", ").arg(item.target_at);
            sql = sql.push(", ").arg(item.backup.as_ref().map(|b| b.0.as_str()));
            sql = sql.push(", ").arg(item.backup.as_ref().map(|b| b.1));
            sql = sql.push(", ").arg(item.skip.map(SkipReason::as_str)).push(")");
        }
        sql.run().await.map(drop)
    }
}

impl TryFrom<PlanRow> for Plan {
    type Error = Error;

    fn try_from(row: PlanRow) -> Result<Self> {
        Ok(Self {
            action: BulkAction::parse(&row.action).ok_or_else(|| Error::Corrupt("plan's action".into()))?,
            id: row.id,
            workspace_id: row.workspace_id,
            options: row.options.0,
            filter: row.filter,
            source: Source::parse(&row.source).ok_or_else(|| Error::Corrupt("plan's source".into()))?,
            excluded: row.excluded.0,
            created_by: row.created_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
            mirrored_at: row.mirrored_at,
            digest: row.digest,
            summary: row.summary.0,
            difference: row.difference.map(|d| d.0),
            job_id: row.job_id,
        })
    }
}

impl TryFrom<ItemRow> for PlanItem {
    type Error = Error;

    fn try_from(row: ItemRow) -> Result<Self> {
        let skip = match row.skip {
            None => None,
            Some(word) => Some(SkipReason::parse(&word).ok_or_else(|| Error::Corrupt("skip reason".into()))?),
        };
        Ok(Self {
            status: PostStatus::parse(&row.status).ok_or_else(|| Error::Corrupt("post status".into()))?,
            n: row.n,
            tenant_id: row.tenant_id,
            post_id: row.post_id,
            content: row.content,
            platforms: row.platforms,
            scheduled_at: row.scheduled_at,
            updated_at: row.updated_at,
            wanted_at: row.wanted_at,
            target_at: row.target_at,
            backup: row.backup_job.zip(row.backup_n),
            skip,
        })
    }
}
