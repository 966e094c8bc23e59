//! What can be made of a job that has ended: another try of what failed for a reason that passes, or the way back. Each is
//! a plan like any other, with its preview; what has succeeded is never sent again.

use super::planning::{self, Error, Listed, Request, Selection};
use crate::{
    app::App,
    domain::{
        audit::Actor,
        jobs::{ItemState, Job, JobItem, Purpose, retryable},
        plans::{BulkAction, Move, PLAN_MAX, PastDue, Plan, PlanOptions, Source},
        workspaces::Workspace,
    },
    store,
    upstream::Patience,
};
use futures_util::{StreamExt, stream};
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

/// How long a follow-up waits for the mirror, and how many tenants are read at once for it.
const CATCH_UP: Duration = Duration::from_secs(3);
const AT_ONCE: usize = 4;

/// A follow-up that makes sense now.
pub struct Offer {
    pub purpose: Purpose,
    /// What would be done to the posts.
    pub action: BulkAction,
    /// How many posts, where it is known without a look at each.
    pub count: Option<i64>,
}

/// What undoes an action, if anything does (ui.md §2.5).
pub fn inverse(action: BulkAction) -> Option<BulkAction> {
    match action {
        BulkAction::Pause => Some(BulkAction::Resume),
        BulkAction::Resume => Some(BulkAction::Pause),
        BulkAction::Reschedule => Some(BulkAction::Reschedule),
        BulkAction::Delete => Some(BulkAction::Recreate),
        // Drafts that were made are deleted like any others.
        BulkAction::Recreate => None,
    }
}

/// What is offered on the page of a job. Nothing before it has ended.
pub async fn offers(app: &App, job: &Job) -> store::Result<Vec<Offer>> {
    let mut offers = Vec::new();
    if !job.state.is_final() {
        return Ok(offers);
    }
    let codes = app.db.job_codes(&job.id).await?;
    let again = codes
        .iter()
        .filter(|(state, code, _)| state == "failed" && code.as_deref().is_some_and(retryable))
        .map(|(.., n)| n)
        .sum();
    if again > 0 {
        offers.push(Offer { purpose: Purpose::Retry, action: job.action, count: Some(again) });
    }
    if let Some(action) = inverse(job.action).filter(|_| job.counts.succeeded > 0) {
        let count = match job.action {
            BulkAction::Pause => Some(app.db.still_paused_by(&job.id).await?.len() as i64),
            BulkAction::Delete => Some(app.db.count_recreatable(&job.id).await?),
            _ => None,
        };
        if count != Some(0) {
            offers.push(Offer { purpose: Purpose::Undo, action, count });
        }
    }
    Ok(offers)
}

/// Makes the plan of a follow-up. Posts that are not in the mirror any more are left out.
///
/// # Errors
/// [`Error::NothingLeft`] when there is nothing to do, or nothing any more.
pub async fn make(
    app: &App,
    workspace: &Workspace,
    job: &Job,
    purpose: Purpose,
    actor: &Actor,
) -> Result<Plan, Error> {
    let action = match purpose {
        Purpose::Retry => job.action,
        Purpose::Undo => inverse(job.action).ok_or(Error::NothingLeft)?,
    };
    let selection = match (action, purpose) {
        (BulkAction::Recreate, Purpose::Undo) => Selection::Deleted { job_id: job.id.clone(), only: None },
        (BulkAction::Recreate, Purpose::Retry) => recreate_again(app, job).await?,
        _ => {
            catch_up(app, job).await?;
            let posts = match purpose {
                Purpose::Retry => again(app, job).await?,
                Purpose::Undo => back(app, job).await?,
            };
            Selection::Listed { posts, source: Source::Job }
        }
    };
    let options = PlanOptions {
        // Each to its own time: where it was to go, or where it was.
        moved: Move::Listed,
        // The way back never publishes; another try does what was confirmed.
        past_due: if purpose == Purpose::Retry { job.options.past_due } else { PastDue::Leave },
        starts_at: None,
        ..job.options.clone()
    };
    let request = Request { workspace, action, options, filter_text: String::new(), actor };
    let plan = planning::make(app, request, selection).await?;
    app.db.link_plan(&plan.id, &job.id, purpose).await?;
    Ok(plan)
}

/// Reads the tenants again that the mirror has not read since the job's end: what the job itself has changed would be taken
/// for somebody else's change. As far as that goes while somebody waits; what is left is skipped as changed, and listed.
async fn catch_up(app: &App, job: &Job) -> store::Result<()> {
    let (Some(account), Some(ended)) = (app.access.account(&job.workspace_id), job.ended_at) else {
        return Ok(());
    };
    let tenants: BTreeSet<String> =
        app.db.job_tenants(&job.id).await?.into_iter().map(|(tenant, ..)| tenant).collect();
    let reading = stream::iter(tenants).for_each_concurrent(AT_ONCE, |tenant| {
        let account = account.clone();
        async move {
            let age = app.clock.now() - ended;
            if let Err(error) = app.mirror.ensure_fresh(&account, &tenant, age, Patience::DOOR).await {
                tracing::info!(tenant, %error, "a tenant could not be read again before a follow-up");
            }
        }
    });
    let _ = tokio::time::timeout(CATCH_UP, reading).await;
    Ok(())
}

/// What failed for a reason that passes.
async fn failed(app: &App, job: &Job) -> store::Result<Vec<JobItem>> {
    let mut items = app.db.job_items(&job.id, Some(ItemState::Failed), 0, PLAN_MAX as i64).await?;
    items.retain(|item| item.code.as_deref().is_some_and(retryable));
    Ok(items)
}

/// The same of a job that made posts again: all of its backups are of one job.
async fn recreate_again(app: &App, job: &Job) -> Result<Selection, Error> {
    let backups: Vec<_> = failed(app, job).await?.into_iter().filter_map(|item| item.backup).collect();
    let job_id = backups.first().ok_or(Error::NothingLeft)?.0.clone();
    Ok(Selection::Deleted { job_id, only: Some(backups.into_iter().map(|(_, n)| n).collect()) })
}

/// What failed for a reason that passes, each with the time it was to get.
async fn again(app: &App, job: &Job) -> Result<Vec<Listed>, Error> {
    let mut items = failed(app, job).await?;
    let known = known(app, job, &items).await?;
    items.retain(|item| known.contains_key(&place(item)));
    Ok(items.into_iter().map(|item| listed(&item, item.target_at)).collect())
}

/// What was done and still is as this job has left it, each with the time it had before.
async fn back(app: &App, job: &Job) -> Result<Vec<Listed>, Error> {
    if job.action == BulkAction::Pause {
        let paused = app.db.still_paused_by(&job.id).await?;
        let listed = |(tenant_id, post_id)| Listed { tenant_id, post_id, wanted_at: None };
        return Ok(paused.into_iter().map(listed).collect());
    }
    let mut items = app.db.job_items(&job.id, Some(ItemState::Succeeded), 0, PLAN_MAX as i64).await?;
    let known = known(app, job, &items).await?;
    items.retain(|item| match known.get(&place(item)) {
        None => false,
        // Somebody has moved it since: that time is theirs.
        Some(at) => job.action != BulkAction::Reschedule || *at == item.granted_at.or(item.target_at),
    });
    let before = |item: &JobItem| item.expected_at.filter(|_| job.action == BulkAction::Reschedule);
    Ok(items.into_iter().map(|item| listed(&item, before(&item))).collect())
}

/// The times of those posts that are in the mirror.
async fn known(
    app: &App,
    job: &Job,
    items: &[JobItem],
) -> store::Result<HashMap<(String, String), Option<i64>>> {
    let ids: Vec<_> = items.iter().map(place).collect();
    let posts = app.db.posts_by_id(&job.workspace_id, &ids).await?;
    Ok(posts.into_iter().map(|p| ((p.post.tenant_id, p.post.id), p.post.scheduled_at)).collect())
}

fn place(item: &JobItem) -> (String, String) {
    (item.tenant_id.clone(), item.post_id.clone())
}

fn listed(item: &JobItem, wanted_at: Option<i64>) -> Listed {
    Listed { tenant_id: item.tenant_id.clone(), post_id: item.post_id.clone(), wanted_at }
}
