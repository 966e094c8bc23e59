//! The bulk runner: leased jobs, items in turn between tenants, each checked for drift just before its call. A killed
//! process loses nothing and repeats nothing: an item leaves `pending` in the same transaction as its intent.

use crate::{
    access::Account,
    app::App,
    audit::Unavailable,
    clock::SECOND,
    domain::{
        admins::Right,
        audit::{ActorType, Draft, Outcome},
        ids,
        jobs::{ItemState, Job, JobItem, JobState, Wanted},
        keys::KeyKind,
        plans::{BulkAction, DUE_SOON, PastDue, SkipReason},
        posts::PostStatus,
        updates::Update,
    },
    mirror::RefreshError,
    proxy::{Caller, Changed, Refusal},
    store::{
        self,
        leases::Fence,
        operations::{Effect, ItemResult},
    },
    upstream::{Patience, pacing::Lane, types::Failure},
};
use futures_util::{StreamExt, stream};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinHandle;

/// Items under way at once, per job.
const IN_FLIGHT: usize = 8;
/// Items fetched at a time.
const BATCH: i64 = 40;
/// How old the mirror may be for the drift check (design §7), in milliseconds.
const DRIFT_AGE: i64 = 60 * SECOND;
/// A pause when upstream cannot be reached: items stay as they are.
const UNREACHABLE_PAUSE: Duration = Duration::from_secs(3);

/// Whether the rest of a batch should go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    GoOn,
    /// Upstream or the log is away; try the same items again later.
    BackOff,
}

/// The worker: one job of a workspace at a time, the workspaces side by side.
pub async fn run(app: Arc<App>) {
    let mut stopping = app.stopping.clone();
    let mut active: HashMap<String, JoinHandle<()>> = HashMap::new();
    while !*stopping.borrow() {
        active.retain(|_, task| !task.is_finished());
        match app.db.unfinished_jobs().await {
            Ok(jobs) => {
                for job in jobs {
                    // The oldest of a workspace comes first; the others wait for it.
                    active
                        .entry(job.workspace_id.clone())
                        .or_insert_with(|| tokio::spawn(work(app.clone(), job)));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "bulk jobs could not be looked up; the next round tries again");
            }
        }
        tokio::select! {
            () = app.jobs.0.notified() => {}
            () = tokio::time::sleep(app.config.tuning.tick) => {}
            _ = stopping.changed() => {}
        }
    }
    for task in active.into_values() {
        let _ = task.await;
    }
}

/// Advances one job as far as it goes, and rings for the next if it has ended. A job that another process has is left to
/// it.
async fn work(app: Arc<App>, job: Job) {
    let lease = format!("job:{}", job.id);
    let fence = match app.leases.take(&lease).await {
        Ok(Some(fence)) => fence,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(job = job.id, %error, "a bulk job's lease could not be taken");
            return;
        }
    };
    let id = job.id.clone();
    let ended = match advance(&app, job, &fence).await {
        Ok(ended) => ended,
        Err(store::Error::Fenced) => {
            app.leases.note_lost(&fence, "job");
            false
        }
        Err(error) => {
            tracing::warn!(job = id, %error, "a bulk job stopped short; the next round goes on");
            false
        }
    };
    if let Err(error) = app.leases.release(&fence).await {
        tracing::warn!(job = id, %error, "a bulk job's lease could not be given back; it will run out");
    }
    if ended {
        app.jobs.ring();
    }
}

/// Whether the job has ended or paused, so that another one's turn has come. Else it waits for something, and is looked
/// at again in the next round.
async fn advance(app: &Arc<App>, job: Job, fence: &Fence) -> store::Result<bool> {
    loop {
        // Read again each time: the operator may have asked for something else.
        let Some(job) = app.db.job(&job.workspace_id, &job.id).await? else { return Ok(true) };
        // The heartbeat keeps the lease; another holder's is seen here at the latest.
        let held = app.leases.take(&fence.name).await?;
        if *app.stopping.borrow() || job.state.is_final() || held.as_ref() != Some(fence) {
            return Ok(job.state.is_final());
        }
        match job.wanted {
            Wanted::Cancel => {
                app.db.finish_job(fence, &job, JobState::Cancelled, app.clock.now()).await?;
                return Ok(true);
            }
            Wanted::Pause => {
                app.db
                    .set_job_state(
                        fence,
                        &job.id,
                        &[JobState::Queued, JobState::Running],
                        JobState::Paused,
                        app.clock.now(),
                    )
                    .await?;
                return Ok(true);
            }
            Wanted::Run if job.state == JobState::Running => {}
            Wanted::Run => {
                app.db
                    .set_job_state(
                        fence,
                        &job.id,
                        &[JobState::Queued, JobState::Paused],
                        JobState::Running,
                        app.clock.now(),
                    )
                    .await?;
            }
        }
        let items = app.db.next_items(&job.id, BATCH).await?;
        if items.is_empty() {
            // What another process left running is the reconciler's; the job ends when that is settled.
            if job.counts.running > 0 {
                return Ok(false);
            }
            app.db.finish_job(fence, &job, JobState::Completed, app.clock.now()).await?;
            return Ok(true);
        }
        // Not in the picture yet or any more: the next round looks again, instead of this loop going round at once.
        let Some(account) = app.access.account(&job.workspace_id) else { return Ok(false) };
        if run_batch(&Run { app, account: &account, job: &job, fence }, items).await? == Flow::BackOff {
            tokio::time::sleep(UNREACHABLE_PAUSE.min(app.config.tuning.tick * 3)).await;
        }
    }
}

/// A job being worked on by the holder of its lease.
struct Run<'a> {
    app: &'a Arc<App>,
    account: &'a Arc<Account>,
    job: &'a Job,
    fence: &'a Fence,
}

impl Run<'_> {
    /// Leaves an item alone, with the reason.
    async fn skip(&self, item: &JobItem, reason: SkipReason) -> store::Result<ItemEnd> {
        let now = self.app.clock.now();
        let (code, text) = (reason.as_str(), reason.text());
        self.app.db.skip_item(self.fence, &self.job.id, item.n, code, text, now).await?;
        Ok(ItemEnd::Done)
    }
}

async fn run_batch(run: &Run<'_>, items: Vec<JobItem>) -> store::Result<Flow> {
    let Run { app, account, job, fence } = *run;
    // The items wait, for the key, the breaker or an unfreeze.
    if account.workspace.frozen.is_some() || app.upstream.ready(&account.endpoint).is_err() {
        return Ok(Flow::BackOff);
    }
    if !still_allowed(app, job).await? {
        app.db
            .ask_job(&crate::domain::audit::Actor::system("bulk"), job, Wanted::Cancel, app.clock.now())
            .await?;
        return Ok(Flow::GoOn);
    }
    let batch = Batch::default();
    let mut running = stream::iter(items)
        .map(|item| {
            let batch = &batch;
            async move {
                if *app.stopping.borrow() || batch.leaves_out(&item.tenant_id) {
                    return Ok(());
                }
                // What the operator asks for holds from the next item on.
                if app.db.job_wanted(&job.id).await? != Wanted::Run {
                    batch.halt();
                    return Ok(());
                }
                let tenant = item.tenant_id.clone();
                match run_item(run, item).await {
                    Ok(ItemEnd::Done) => Ok(()),
                    Ok(ItemEnd::TryLater) => {
                        batch.halt();
                        batch.back_off();
                        Ok(())
                    }
                    Ok(ItemEnd::ItemLater) => {
                        batch.back_off();
                        Ok(())
                    }
                    Ok(ItemEnd::TenantLater) => {
                        batch.leave(&tenant);
                        batch.back_off();
                        Ok(())
                    }
                    Ok(ItemEnd::Limited) => {
                        // `contract.md` trap 4: further attempts can make upstream write to the owner.
                        batch.leave(&tenant);
                        let code = SkipReason::LimitReached.as_str();
                        app.db.skip_tenant(fence, &job.id, &tenant, code, app.clock.now()).await.map(drop)
                    }
                    Err(error) => {
                        batch.halt();
                        Err(error)
                    }
                }
            }
        })
        .buffer_unordered(IN_FLIGHT);
    // Drained to its end whatever happens: an item dropped half-way would have to be settled by the reconciler.
    let mut result = Ok(());
    while let Some(ended) = running.next().await {
        result = result.and(ended);
    }
    drop(running);
    result.map(|()| if batch.delayed.load(Ordering::Relaxed) { Flow::BackOff } else { Flow::GoOn })
}

/// What the items of a batch tell each other.
#[derive(Default)]
struct Batch {
    halted: AtomicBool,
    delayed: AtomicBool,
    left: Mutex<HashSet<String>>,
}

impl Batch {
    /// No further item is begun.
    fn halt(&self) {
        self.halted.store(true, Ordering::Relaxed);
    }

    /// What could not be done is tried again after a pause.
    fn back_off(&self) {
        self.delayed.store(true, Ordering::Relaxed);
    }

    /// No further item of this tenant is begun.
    fn leave(&self, tenant_id: &str) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant_id.to_owned());
    }

    fn leaves_out(&self, tenant_id: &str) -> bool {
        self.halted.load(Ordering::Relaxed)
            || self.left.lock().unwrap_or_else(PoisonError::into_inner).contains(tenant_id)
    }
}

/// Rights are looked up at the time of the work, not only when it was asked for (security.md item 30).
async fn still_allowed(app: &App, job: &Job) -> store::Result<bool> {
    if job.actor.kind() == ActorType::Key {
        let key = app.db.key(&job.workspace_id, &job.actor.id).await?;
        return Ok(key.is_some_and(|key| {
            key.kind == KeyKind::Workspace
                && key.is_live(app.clock.now())
                && key.scopes.has(job.action.scope())
        }));
    }
    let Some((admin, _)) = app.db.admin(&job.actor.id).await? else { return Ok(false) };
    if admin.disabled_at.is_some() {
        return Ok(false);
    }
    let roles = app.db.roles(&admin.id).await?;
    Ok(admin.instance_owner
        || roles.iter().any(|(w, role)| *w == job.workspace_id && role.may(Right::Operate)))
}

enum ItemEnd {
    Done,
    /// Upstream or the log is away.
    TryLater,
    /// What became of an earlier change of this post is not known yet.
    ItemLater,
    /// This tenant's posts cannot be read right now.
    TenantLater,
    /// A limit of the tenant's plan.
    Limited,
}

async fn run_item(run: &Run<'_>, item: JobItem) -> store::Result<ItemEnd> {
    let Run { app, account, job, fence } = *run;
    let skip = |reason| run.skip(&item, reason);
    match app.access.tenant(&account.workspace.id, &item.tenant_id) {
        None => return skip(SkipReason::TenantDetached).await,
        Some(standing) if standing.detached => return skip(SkipReason::TenantDetached).await,
        Some(standing) if standing.frozen.is_some() => return skip(SkipReason::TenantFrozen).await,
        Some(_) => {}
    }
    // `get-post` tells no group status, time or `updatedAt`: drift shows in the refreshed mirror (design §7).
    match app.mirror.ensure_fresh(account, &item.tenant_id, DRIFT_AGE, Patience::BACKGROUND).await {
        Ok(()) => {}
        // Detached at PostPost itself; our own import has not noticed yet.
        Err(RefreshError::Upstream(Failure::Refused(reply))) if reply.status == 403 => {
            return skip(SkipReason::TenantDetached).await;
        }
        Err(_) => return Ok(ItemEnd::TenantLater),
    }
    let Some(mirrored) = app.db.post(&account.workspace.id, &item.tenant_id, &item.post_id).await? else {
        return missing(run, &item).await;
    };
    let post = mirrored.post;
    let changed = post.status != item.expected_status
        || post.scheduled_at != item.expected_at
        || post.updated_at != item.expected_updated_at;
    if changed {
        return skip(SkipReason::Changed).await;
    }
    if job.action == BulkAction::Resume && mirrored.pause.is_none() {
        return skip(SkipReason::NotPausedByUs).await;
    }
    // It may have taken long to come to this post, and a time that passes on the way upstream publishes at once.
    let gives_time = matches!(job.action, BulkAction::Resume | BulkAction::Reschedule);
    if gives_time && item.target_at.is_some_and(|at| at <= app.clock.now() + DUE_SOON) {
        return skip(SkipReason::PastTime).await;
    }
    let caller = Caller {
        actor: job.actor.clone(),
        account: account.clone(),
        tenant: Some(item.tenant_id.clone()),
        request_id: ids::new_id(),
        client: None,
        item: Some((job.id.clone(), item.n)),
        fence: Some(fence.clone()),
        claim: None,
        patience: Patience::BACKGROUND,
    };
    let reason = Some(job.reason.as_str()).filter(|r| !r.is_empty());
    let result = match job.action {
        BulkAction::Delete => app.road.delete_post(&caller, &item.post_id, reason).await,
        BulkAction::Pause => {
            let update = Update::new(Some(PostStatus::Draft), None);
            app.road.update_post(&caller, &item.post_id, &update, false, reason).await
        }
        BulkAction::Resume => {
            let moved = item.target_at.filter(|at| post.scheduled_at != Some(*at));
            let update = Update::new(Some(PostStatus::Scheduled), moved);
            // The plan gave it no time only where the operator chose to publish what is past due.
            let publish_now = item.target_at.is_none() && job.options.past_due == PastDue::PublishNow;
            app.road.update_post(&caller, &item.post_id, &update, publish_now, reason).await
        }
        BulkAction::Reschedule => {
            let update = Update::new(None, item.target_at);
            app.road.update_post(&caller, &item.post_id, &update, false, reason).await
        }
    };
    judge(run, &item, result).await
}

/// Turns the road's answer into the item's end. Outcomes of calls that were made are on record already, in the
/// transaction of their entry; here are only those of calls that were not made.
async fn judge(run: &Run<'_>, item: &JobItem, result: Result<Changed, Refusal>) -> store::Result<ItemEnd> {
    let Run { app, account, .. } = *run;
    let workspace = &account.workspace.id;
    let refusal = match result {
        Ok(changed) => {
            let pushed_back = (changed.reply.status == 429)
                .then(|| changed.reply.asked_to_wait().unwrap_or(Duration::from_secs(1)));
            app.pacing.note(workspace, pushed_back);
            let limited = changed.reply.status == 403 && changed.reply.error_code().is_some();
            return Ok(match changed.reply.status {
                429 => ItemEnd::TryLater,
                _ if limited => ItemEnd::Limited,
                _ => ItemEnd::Done,
            });
        }
        Err(refusal) => refusal,
    };
    let skip = |reason| run.skip(item, reason);
    match refusal {
        Refusal::DeleteBlocked("published" | "partially_published") => skip(SkipReason::Published).await,
        Refusal::DeleteBlocked(_) => skip(SkipReason::Processing).await,
        Refusal::PastTime => skip(SkipReason::PastTime).await,
        Refusal::NotManaged => skip(SkipReason::TenantDetached).await,
        Refusal::Store(error) => Err(error),
        // On record as running or unknown; the reconciler settles it.
        Refusal::Unknown { .. } | Refusal::BadReply { .. } => {
            app.pacing.note(workspace, Some(Duration::ZERO));
            Ok(ItemEnd::Done)
        }
        // The item is pending, or pending again: nothing reached upstream, or nothing but the key was refused.
        Refusal::Upstream(_) | Refusal::Suspended | Refusal::Frozen(_) | Refusal::Audit(_) => {
            Ok(ItemEnd::TryLater)
        }
        Refusal::Unsettled { .. } | Refusal::Taken => Ok(ItemEnd::ItemLater),
        Refusal::InvalidId | Refusal::ScopeMissing(_) => skip(SkipReason::Changed).await,
    }
}

/// The refreshed mirror does not hold the post any more. Upstream has the last word.
async fn missing(run: &Run<'_>, item: &JobItem) -> store::Result<ItemEnd> {
    let Run { app, account, .. } = *run;
    app.pacing.turn(&account.workspace.id, Lane::Jobs).await;
    let (user, request_id) = (Some(item.tenant_id.as_str()), ids::new_id());
    let found = app
        .upstream
        .get_post(&account.endpoint, user, &item.post_id, &request_id, Patience::BACKGROUND)
        .await;
    match found {
        Ok(None) => note_gone(run, item).await,
        Ok(Some(_)) => run.skip(item, SkipReason::Changed).await,
        Err(_) => Ok(ItemEnd::TenantLater),
    }
}

/// Upstream does not know the post: the item ends as gone, with its entry.
async fn note_gone(run: &Run<'_>, item: &JobItem) -> store::Result<ItemEnd> {
    let Run { app, job, fence, .. } = *run;
    let action = if job.action == BulkAction::Delete { "post.delete" } else { "post.update" };
    let mut entry = Draft::new(&job.actor, action, Outcome::Gone)
        .workspace(&job.workspace_id)
        .tenant(Some(&item.tenant_id))
        .target("post", &item.post_id);
    entry.job_id = Some(job.id.clone());
    let result = ItemResult { state: ItemState::Gone, code: None, message: None, granted_at: None };
    let effect = Effect::Item { job_id: job.id.clone(), n: item.n, result, at: app.clock.now() };
    match app.audit.record(vec![entry], vec![Effect::Fence(fence.clone()), effect]).await {
        Ok(()) => Ok(ItemEnd::Done),
        Err(Unavailable::Store(store::Error::Fenced)) => Err(store::Error::Fenced),
        Err(_) => Ok(ItemEnd::TryLater),
    }
}
