//! Jobs from confirmed plan to end. Counts are always taken from the items (`job_items`), never kept beside them.

use super::{Db, Error, Json, Result, leases::Fence};
use crate::{
    clock::Millis,
    domain::{
        audit::{Action, Actor, Draft},
        jobs::{Counts, ItemState, Job, JobState, Wanted},
        plans::{BulkAction, Plan, PlanOptions, Summary},
    },
};

#[derive(sqlx::FromRow)]
struct JobRow {
    id: String,
    workspace_id: String,
    plan_id: String,
    action: String,
    options: Json<PlanOptions>,
    reason: String,
    actor: Json<Actor>,
    state: String,
    wanted: String,
    created_at: i64,
    starts_at: Option<i64>,
    started_at: Option<i64>,
    ended_at: Option<i64>,
    summary: Json<Summary>,
}

/// Which jobs to list; what is empty does not matter.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    pub states: Vec<JobState>,
    pub action: Option<BulkAction>,
    /// Who has made the plan.
    pub actor: Option<String>,
}

const JOB: &str = "SELECT id, workspace_id, plan_id, action, options, reason, actor, state, wanted, created_at, starts_at, \
    started_at, ended_at, (SELECT p.summary FROM plans p WHERE p.id = jobs.plan_id) AS summary FROM jobs WHERE ";

impl Db {
    /// Makes the job of a plan: its items are exactly the plan's posts, those to be skipped already so. A plan makes
    /// one job, however often it is confirmed; the job's id is returned either way. `None` if the plan has expired.
    /// Nothing is sent before `starts_at`.
    pub async fn confirm_plan(
        &self,
        actor: &Actor,
        plan: &Plan,
        job_id: &str,
        reason: &str,
        starts_at: Option<Millis>,
        now: Millis,
    ) -> Result<Option<String>> {
        let mut tx = self.begin().await?;
        // The digest is what the operator saw: a preview changed meanwhile in another window is not what was confirmed.
        let claimed = tx
            .sql("UPDATE plans SET job_id = $2 WHERE id = $1 AND job_id IS NULL AND expires_at > $3 AND digest = $4")
            .bind(&plan.id)
            .bind(job_id)
            .bind(now)
            .bind(&plan.digest)
            .run()
            .await?;
        if claimed != 1 {
            let row: (Option<String>,) =
                tx.sql("SELECT job_id FROM plans WHERE id = $1").bind(&plan.id).one().await?;
            return Ok(row.0);
        }
        tx.sql(
            "INSERT INTO jobs (id, workspace_id, plan_id, action, options, reason, actor, state, wanted, created_at, starts_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 'queued', 'run', $8, $9)",
        )
        .bind(job_id)
        .bind(&plan.workspace_id)
        .bind(&plan.id)
        .bind(plan.action.as_str())
        .bind(Json(&plan.options))
        .bind(reason)
        .bind(Json(actor))
        .bind(now)
        .bind(starts_at)
        .run()
        .await?;
        // Plans of one workspace are confirmed one after the other, or two would take the same post in one instant.
        tx.sql("UPDATE workspaces SET imported_at = imported_at WHERE id = $1")
            .bind(&plan.workspace_id)
            .run()
            .await?;
        // A post that another job has taken since the preview is left to that job. Each tenant's first post has its place
        // before anybody's second.
        tx.sql(
            "INSERT INTO job_items (job_id, n, workspace_id, tenant_id, post_id, expected_status, expected_at,
               expected_updated_at, target_at, backup_job, backup_n, state, code, ended_at, place)
             SELECT $1, i.n, $2, i.tenant_id, i.post_id, i.status, i.scheduled_at, i.updated_at, i.target_at,
               i.backup_job, i.backup_n, CASE WHEN i.skip IS NULL AND l.post_id IS NULL THEN 'pending' ELSE 'skipped' END,
               CASE WHEN i.skip IS NULL AND l.post_id IS NOT NULL THEN 'locked' ELSE i.skip END,
               CASE WHEN i.skip IS NULL AND l.post_id IS NULL THEN NULL ELSE CAST($3 AS BIGINT) END,
               ROW_NUMBER() OVER (ORDER BY i.turn, i.n)
             FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY tenant_id ORDER BY n) AS turn FROM plan_items
                   WHERE plan_id = $4) AS i
               LEFT JOIN job_items l ON l.workspace_id = $2 AND l.tenant_id = i.tenant_id
               AND l.post_id = i.post_id AND l.state IN ('pending', 'running', 'unknown')",
        )
        .bind(job_id)
        .bind(&plan.workspace_id)
        .bind(now)
        .bind(&plan.id)
        .run()
        .await?;
        let (total, pending): (i64, i64) = tx
            .sql(
                "SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN state = 'pending' THEN 1 ELSE 0 END), 0) AS BIGINT)
                 FROM job_items WHERE job_id = $1",
            )
            .bind(job_id)
            .one()
            .await?;
        let mut entry = Draft::done(actor, Action::JobCreate)
            .workspace(&plan.workspace_id)
            .target("job", job_id)
            .reason(reason)
            .set("action", plan.action.as_str())
            .set("posts", total)
            .set("toDo", pending)
            .set("digest", plan.digest.as_str());
        entry.job_id = Some(job_id.to_owned());
        tx.append(now, &[&entry]).await?;
        tx.commit().await?;
        Ok(Some(job_id.to_owned()))
    }

    pub async fn job(&self, workspace_id: &str, id: &str) -> Result<Option<Job>> {
        let row: Option<JobRow> =
            self.read(JOB).push("workspace_id = ").arg(workspace_id).and("id =", Some(id)).opt().await?;
        match row {
            None => Ok(None),
            Some(row) => {
                let counts = self.job_counts(&[row.id.as_str()]).await?;
                row.into_job(&counts).map(Some)
            }
        }
    }

    /// A workspace's jobs, the newest first, from before the given id.
    pub async fn jobs(
        &self,
        workspace_id: &str,
        filter: &JobFilter,
        before: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Job>> {
        let mut sql = self.read(JOB).push("workspace_id = ").arg(workspace_id).and("id <", before);
        if !filter.states.is_empty() {
            sql = sql.push(" AND state IN ").list(filter.states.iter().map(|s| s.as_str()));
        }
        sql = sql.and("action =", filter.action.map(BulkAction::as_str));
        if let Some(actor) = &filter.actor {
            sql = sql.push(" AND plan_id IN (SELECT id FROM plans WHERE created_by = ").arg(actor).push(")");
        }
        let rows: Vec<JobRow> = sql.push(" ORDER BY id DESC LIMIT ").arg(limit).all().await?;
        self.with_counts(rows).await
    }

    /// Who has started jobs of a workspace: (id, name). Keys are called keys, because people may have the same names.
    pub async fn job_actors(&self, workspace_id: &str) -> Result<Vec<(String, String)>> {
        self.read(
            "SELECT DISTINCT p.created_by, COALESCE(a.name, 'Key ' || k.name, p.created_by)
             FROM jobs j JOIN plans p ON p.id = j.plan_id LEFT JOIN admins a ON a.id = p.created_by
               LEFT JOIN keys k ON k.id = p.created_by
             WHERE j.workspace_id = $1 ORDER BY 2, 1",
        )
        .bind(workspace_id)
        .all()
        .await
    }

    /// Jobs that the runner has something to do for now, the oldest first: not those that are paused, nor those whose time
    /// has not come, unless they are to be paused or cancelled.
    pub async fn due_jobs(&self, now: Millis) -> Result<Vec<Job>> {
        let rows: Vec<JobRow> = self
            .read(JOB)
            .push("state IN ('queued', 'running', 'paused') AND NOT (state = 'paused' AND wanted = 'pause')")
            .push(" AND (starts_at IS NULL OR wanted <> 'run' OR starts_at <= ")
            .arg(now)
            .push(") ORDER BY id")
            .all()
            .await?;
        self.with_counts(rows).await
    }

    /// Jobs with work left that are not paused, the oldest first.
    pub async fn unfinished_jobs(&self) -> Result<Vec<Job>> {
        let rows: Vec<JobRow> = self
            .read(JOB)
            .push("state IN ('queued', 'running', 'paused') AND NOT (state = 'paused' AND wanted = 'pause') ORDER BY id")
            .all()
            .await?;
        self.with_counts(rows).await
    }

    /// Unfinished jobs of all workspaces: (state, count).
    pub async fn unfinished_by_state(&self) -> Result<Vec<(String, i64)>> {
        self.read("SELECT state, COUNT(*) FROM jobs WHERE state IN ('queued', 'running', 'paused') GROUP BY state ORDER BY 1")
            .all()
            .await
    }

    async fn with_counts(&self, rows: Vec<JobRow>) -> Result<Vec<Job>> {
        let ids: Vec<&str> = rows.iter().map(|r| r.id.as_str()).collect();
        let counts = self.job_counts(&ids).await?;
        rows.into_iter().map(|row| row.into_job(&counts)).collect()
    }

    async fn job_counts(&self, ids: &[&str]) -> Result<Vec<(String, String, i64)>> {
        self.read("SELECT job_id, state, COUNT(*) FROM job_items WHERE job_id IN ")
            .list(ids.iter().copied())
            .push(" GROUP BY job_id, state")
            .all()
            .await
    }

    /// Moves a job from the states it may be in to another. `false` if it was in none of them.
    ///
    /// # Errors
    /// [`Error::Fenced`], as of all that the runner writes, if another process has the job.
    pub async fn set_job_state(
        &self,
        fence: &Fence,
        id: &str,
        from: &[JobState],
        to: JobState,
        now: Millis,
    ) -> Result<bool> {
        let mut tx = self.begin_fenced(fence).await?;
        let changed = tx
            .sql("UPDATE jobs SET state = ")
            .arg(to.as_str())
            .push(", started_at = COALESCE(started_at, ")
            .arg((to == JobState::Running).then_some(now))
            .push("), ended_at = ")
            .arg(to.is_final().then_some(now))
            .push(" WHERE id = ")
            .arg(id)
            .push(" AND state IN ")
            .list(from.iter().map(|s| s.as_str()))
            .run()
            .await?;
        tx.commit().await?;
        Ok(changed == 1)
    }

    /// Ends a job and writes down how, with `why` where it was not asked for. What had not begun is cancelled.
    pub async fn finish_job(
        &self,
        fence: &Fence,
        job: &Job,
        state: JobState,
        why: Option<&str>,
        now: Millis,
    ) -> Result<()> {
        let mut tx = self.begin_fenced(fence).await?;
        if state != JobState::Completed {
            let code = (state == JobState::Stopped).then(|| state.as_str());
            tx.sql(
                "UPDATE job_items SET state = 'cancelled', code = $2, message = NULL, ended_at = $3
                 WHERE job_id = $1 AND state = 'pending'",
            )
            .bind(&job.id)
            .bind(code)
            .bind(now)
            .run()
            .await?;
        }
        let changed = tx
            .sql(
                "UPDATE jobs SET state = $2, ended_at = $3
                 WHERE id = $1 AND state NOT IN ('completed', 'cancelled', 'stopped')",
            )
            .bind(&job.id)
            .bind(state.as_str())
            .bind(now)
            .run()
            .await?;
        if changed != 1 {
            return Ok(());
        }
        let rows: Vec<(String, i64)> = tx
            .sql("SELECT state, COUNT(*) FROM job_items WHERE job_id = $1 GROUP BY state")
            .bind(&job.id)
            .all()
            .await?;
        let mut entry =
            Draft::done(&job.actor, Action::JobEnd).workspace(&job.workspace_id).target("job", &job.id);
        entry = entry.set("state", state.as_str());
        if let Some(why) = why {
            entry = entry.set("why", why);
        }
        for (state, count) in rows {
            entry = entry.set(&state, count);
        }
        entry.job_id = Some(job.id.clone());
        tx.note_ended(job).await?;
        tx.append(now, &[&entry]).await?;
        tx.commit().await
    }

    /// Asks a job to pause, go on or stop. `false` if it has ended.
    pub async fn ask_job(&self, actor: &Actor, job: &Job, wanted: Wanted, now: Millis) -> Result<bool> {
        let mut tx = self.begin().await?;
        let changed = tx
            .sql("UPDATE jobs SET wanted = $2 WHERE id = $1 AND state IN ('queued', 'running', 'paused') AND wanted <> 'cancel'")
            .bind(&job.id)
            .bind(wanted.as_str())
            .run()
            .await?;
        if changed != 1 {
            return Ok(false);
        }
        let action = match wanted {
            Wanted::Run => Action::JobResume,
            Wanted::Pause => Action::JobPause,
            Wanted::Cancel => Action::JobCancel,
        };
        let mut entry = Draft::done(actor, action).workspace(&job.workspace_id).target("job", &job.id);
        entry.job_id = Some(job.id.clone());
        tx.append(now, &[&entry]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// What was last asked of a job.
    pub async fn job_wanted(&self, id: &str) -> Result<Wanted> {
        let word: String = self.read("SELECT wanted FROM jobs WHERE id = $1").bind(id).value().await?;
        Wanted::parse(&word).ok_or_else(|| Error::Corrupt("job's wanted state".into()))
    }
}

impl JobRow {
    fn into_job(self, counts: &[(String, String, i64)]) -> Result<Job> {
        let mut total = Counts::default();
        for (_, state, count) in counts.iter().filter(|(id, ..)| *id == self.id) {
            total.add(ItemState::parse(state).ok_or_else(|| Error::Corrupt("item state".into()))?, *count);
        }
        Ok(Job {
            action: BulkAction::parse(&self.action).ok_or_else(|| Error::Corrupt("job's action".into()))?,
            state: JobState::parse(&self.state).ok_or_else(|| Error::Corrupt("job's state".into()))?,
            wanted: Wanted::parse(&self.wanted).ok_or_else(|| Error::Corrupt("job's wanted state".into()))?,
            id: self.id,
            workspace_id: self.workspace_id,
            plan_id: self.plan_id,
            options: self.options.0,
            reason: self.reason,
            actor: self.actor.0,
            created_at: self.created_at,
            starts_at: self.starts_at,
            started_at: self.started_at,
            ended_at: self.ended_at,
            // Plans of before there were summaries have an empty one.
            confirmed: if self.summary.0.total() == 0 { total.total() } else { self.summary.0.acted },
            counts: total,
        })
    }
}
