//! One post of a job: looked at again just before its call, sent down the road, and its answer judged. Decides nothing
//! about the other items; it says what its own end means for them.

use super::{Run, recreate::draft_of};
use crate::{
    audit::Unavailable,
    clock::SECOND,
    domain::{
        audit::{Action, Draft, Outcome},
        ids,
        jobs::{ItemState, Job, JobItem},
        operations::OpState,
        plans::{BulkAction, DUE_SOON, PastDue, SkipReason},
        posts::PostStatus,
        updates::Update,
    },
    mirror::RefreshError,
    proxy::{Caller, Changed, Refusal, Seat},
    store::{
        self,
        operations::{Effect, ItemResult},
    },
    upstream::{Error, Patience, Reply, pacing::Lane, types::Failure},
};
use std::time::Duration;

/// How old the mirror may be for the drift check (design §7), in milliseconds.
const DRIFT_AGE: i64 = 60 * SECOND;
/// No answer of PostPost's holds a job up for longer than this.
const HOLD_MAX: Duration = Duration::from_secs(300);

/// What came of a look at an item.
pub(super) enum ItemEnd {
    /// It stands where it will stay, or in doubt.
    Ended(ItemState),
    /// Upstream or the log is away: no item of the job can go on.
    Wait,
    /// What became of an earlier change of this post is not known yet.
    AfterAnother,
    /// PostPost gave no answer about this post. It can be asked again, but not for ever.
    PutOff(PutOff),
    /// This tenant's posts cannot be read right now. Nor is that waited for for ever.
    TenantUnread(String),
    /// A limit of the tenant's plan: further attempts can make upstream write to the owner (`contract.md` trap 4).
    Limited,
}

pub(super) struct PutOff {
    pub code: &'static str,
    pub message: String,
    /// For how long PostPost asked to be left alone.
    pub hold: Option<Duration>,
    /// A call was made that is not counted on the item yet.
    pub tried: bool,
}

/// Does an item, unless it has been left, or done, since it was read.
pub(super) async fn run_item(run: &Run, item: &JobItem, again: bool) -> store::Result<ItemEnd> {
    let Run { app, account, job, .. } = run;
    // A call whose answer could not be used may have ended it all the same.
    if again && !app.db.item_is_pending(&job.id, item.n).await? {
        return Ok(ItemEnd::Ended(ItemState::Unknown));
    }
    let skip = |reason| skip(run, item, reason);
    match app.access.tenant(&account.workspace.id, &item.tenant_id) {
        None => return skip(SkipReason::TenantDetached).await,
        Some(standing) if standing.detached => return skip(SkipReason::TenantDetached).await,
        Some(standing) if standing.frozen.is_some() && !passes_freeze(job) => {
            return skip(SkipReason::TenantFrozen).await;
        }
        Some(_) => {}
    }
    // Before the checks: they are to be no older than they must be when the calls are made.
    let Some(seat) = unless_halted(run, Seat::take(run.seats.clone())).await else {
        return Ok(ItemEnd::Wait);
    };
    // What is deleted does not change any more.
    if job.action != BulkAction::Recreate
        && let Some(end) = look(run, item).await?
    {
        return Ok(end);
    }
    let caller = caller_of(run, item, seat);
    if !may_call(run).await {
        return Ok(ItemEnd::Wait);
    }
    let reason = Some(job.reason.as_str()).filter(|r| !r.is_empty());
    let result = match job.action {
        BulkAction::Recreate => match draft_of(run, item).await? {
            Ok(post) => app.road.create_post(&caller, &post, false, reason).await,
            Err(why) => return skip(why).await,
        },
        BulkAction::Delete => app.road.delete_post(&caller, &item.post_id, reason).await,
        BulkAction::Pause => {
            let update = Update::new(Some(PostStatus::Draft), None);
            app.road.update_post(&caller, &item.post_id, &update, false, reason).await
        }
        BulkAction::Resume => {
            // The time is named though it is the post's own: moved to the past while our call is on the way, the post
            // would go out at once.
            let update = Update::new(Some(PostStatus::Scheduled), item.target_at);
            // The plan gave it no time only where the operator chose to publish what is past due.
            let publish_now = item.target_at.is_none() && job.options.past_due == PastDue::PublishNow;
            app.road.update_post(&caller, &item.post_id, &update, publish_now, reason).await
        }
        BulkAction::Reschedule => {
            let update = Update::new(None, item.target_at);
            app.road.update_post(&caller, &item.post_id, &update, false, reason).await
        }
    };
    judge(run, item, result).await
}

/// Looks whether the post is still as the plan saw it. The item's end if it is not, or cannot be told.
async fn look(run: &Run, item: &JobItem) -> store::Result<Option<ItemEnd>> {
    let Run { app, account, job, .. } = run;
    let skip = async |reason| skip(run, item, reason).await.map(Some);
    // `get-post` tells no group status, time or `updatedAt`: drift shows in the refreshed mirror (design §7).
    // A resume names the post's own time, and must not take back one that somebody gave it a moment ago.
    let keeps_time = job.action == BulkAction::Resume && item.target_at == item.expected_at;
    let age = if keeps_time { 0 } else { DRIFT_AGE };
    match app.mirror.ensure_fresh(account, &item.tenant_id, age, Patience::BACKGROUND).await {
        Ok(()) => {}
        // Detached at PostPost itself; our own import has not noticed yet.
        Err(RefreshError::Upstream(Failure::Refused(reply))) if reply.status == 403 => {
            return skip(SkipReason::TenantDetached).await;
        }
        Err(RefreshError::Store(error)) => return Err(error),
        Err(RefreshError::Upstream(failure)) => return Ok(Some(unread(run, failure))),
    }
    let Some(mirrored) = app.mirror.post(&account.workspace.id, &item.tenant_id, &item.post_id).await? else {
        return missing(run, item).await.map(Some);
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
    Ok(None)
}

/// On whose behalf an item's calls are made.
fn caller_of(run: &Run, item: &JobItem, seat: Seat) -> Caller {
    let Run { account, job, fence, .. } = run;
    Caller {
        actor: job.actor.clone(),
        account: account.clone(),
        tenant: Some(item.tenant_id.clone()),
        request_id: ids::new_id(),
        client: None,
        item: Some((job.id.clone(), item.n)),
        fence: Some(fence.clone()),
        claim: None,
        keep_backup: job.options.keep_backup,
        patience: Patience::BACKGROUND,
        seat: Some(seat),
    }
}

/// Waits for the turns of an item's calls. `false` if by then the job is to stand still: what only waits for its turn is
/// not in flight.
async fn may_call(run: &Run) -> bool {
    let Run { app, account, job, .. } = run;
    let workspace = &account.workspace.id;
    // A delete looks at the post first.
    let calls = if job.action == BulkAction::Delete { 2 } else { 1 };
    if unless_halted(run, app.pacing.turns(workspace, Lane::Jobs, calls)).await.is_none() {
        return false;
    }
    let frozen = app.access.account(workspace).is_none_or(|account| account.workspace.frozen.is_some());
    !frozen || passes_freeze(job)
}

/// Waits for something, or for the end of the job's work.
async fn unless_halted<T>(run: &Run, done: impl Future<Output = T>) -> Option<T> {
    let mut halt = run.halt.clone();
    tokio::select! {
        biased;
        _ = halt.wait_for(|halt| *halt) => None,
        done = done => Some(done),
    }
}

/// A freeze stops what would go out; a pause does that as well.
pub(super) fn passes_freeze(job: &Job) -> bool {
    job.action == BulkAction::Pause
}

/// Leaves an item alone, with the reason.
async fn skip(run: &Run, item: &JobItem, reason: SkipReason) -> store::Result<ItemEnd> {
    let end = ItemResult {
        state: ItemState::Skipped,
        code: Some(reason.as_str().to_owned()),
        message: Some(reason.text().to_owned()),
        granted_at: None,
    };
    run.app.db.end_item(&run.fence, &run.job.id, item.n, &end, run.app.clock.now()).await?;
    Ok(ItemEnd::Ended(ItemState::Skipped))
}

/// Turns the road's answer into the item's end. Outcomes of calls that were made are on record already, in the
/// transaction of their entry; here are only those of calls that were not made.
async fn judge(run: &Run, item: &JobItem, result: Result<Changed, Refusal>) -> store::Result<ItemEnd> {
    let Run { app, account, .. } = run;
    let workspace = &account.workspace.id;
    let refusal = match result {
        Ok(changed) if changed.reply.status == 429 => {
            let counted = !changed.op_id.is_empty();
            return Ok(ItemEnd::PutOff(pushed_back(run, &changed.reply, !counted)));
        }
        Ok(changed) => {
            app.pacing.note(workspace, None);
            let limited = changed.reply.status == 403 && changed.reply.error_code().is_some();
            return Ok(if limited { ItemEnd::Limited } else { ItemEnd::Ended(changed.state.item_state()) });
        }
        Err(refusal) => refusal,
    };
    let skip = |reason| skip(run, item, reason);
    match refusal {
        Refusal::DeleteBlocked("published" | "partially_published") => skip(SkipReason::Published).await,
        Refusal::DeleteBlocked(_) => skip(SkipReason::Processing).await,
        Refusal::PastTime => skip(SkipReason::PastTime).await,
        Refusal::NotManaged => skip(SkipReason::TenantDetached).await,
        Refusal::Store(error) => Err(error),
        // On record as running or unknown; the reconciler settles it.
        Refusal::Unknown { .. } | Refusal::BadReply { .. } => {
            app.pacing.note(workspace, Some(Duration::ZERO));
            Ok(ItemEnd::Ended(OpState::InDoubt.item_state()))
        }
        // Nothing about this post: the whole of upstream, the key, the workspace or the log.
        Refusal::Upstream(error) if error.was_not_sent() => Ok(ItemEnd::Wait),
        Refusal::Suspended | Refusal::Frozen(_) | Refusal::Audit(_) => Ok(ItemEnd::Wait),
        Refusal::Upstream(error) => Ok(ItemEnd::PutOff(no_answer(&error))),
        Refusal::Unsettled { .. } | Refusal::Taken => Ok(ItemEnd::AfterAnother),
        Refusal::InvalidId | Refusal::ScopeMissing(_) => skip(SkipReason::Changed).await,
    }
}

/// PostPost asked to slow down: the workspace does, and the item waits.
fn pushed_back(run: &Run, reply: &Reply, tried: bool) -> PutOff {
    let wait = reply.asked_to_wait().unwrap_or(Duration::from_secs(1));
    run.app.pacing.note(&run.account.workspace.id, Some(wait));
    PutOff {
        code: "rate_limited",
        message: "PostPost asked to slow down".into(),
        hold: Some(wait.min(HOLD_MAX)),
        tried,
    }
}

fn no_answer(error: &Error) -> PutOff {
    PutOff { code: error.code(), message: error.to_string(), hold: None, tried: true }
}

/// The tenant's list could not be read.
fn unread(run: &Run, failure: Failure) -> ItemEnd {
    match failure {
        Failure::Failed(error) if error.was_not_sent() => ItemEnd::Wait,
        // The key: upstream has noted it.
        Failure::Refused(reply) if reply.status == 401 => ItemEnd::Wait,
        // The mirror has told the pacing already.
        Failure::Refused(reply) if reply.status == 429 => {
            let wait = reply.asked_to_wait().unwrap_or(Duration::from_secs(1)).min(HOLD_MAX);
            let message = "PostPost asked to slow down while the tenant's posts were read".into();
            ItemEnd::PutOff(PutOff { code: "rate_limited", message, hold: Some(wait), tried: false })
        }
        failure => {
            tracing::info!(job = run.job.id, %failure, "a tenant's posts cannot be read for a bulk job");
            ItemEnd::TenantUnread(failure.to_string())
        }
    }
}

/// The refreshed mirror does not hold the post any more. Upstream has the last word.
async fn missing(run: &Run, item: &JobItem) -> store::Result<ItemEnd> {
    let Run { app, account, .. } = run;
    app.pacing.turns(&account.workspace.id, Lane::Jobs, 1).await;
    let (user, request_id) = (Some(item.tenant_id.as_str()), ids::new_id());
    let found = app
        .upstream
        .get_post(&account.endpoint, user, &item.post_id, &request_id, Patience::BACKGROUND)
        .await;
    match found {
        Ok(None) => note_gone(run, item).await,
        Ok(Some(_)) => skip(run, item, SkipReason::Changed).await,
        Err(Failure::Refused(reply)) if reply.status == 429 => {
            Ok(ItemEnd::PutOff(pushed_back(run, &reply, true)))
        }
        Err(Failure::Failed(error)) if !error.was_not_sent() => Ok(ItemEnd::PutOff(no_answer(&error))),
        Err(failure) => Ok(unread(run, failure)),
    }
}

/// Upstream does not know the post: the item ends as gone, with its entry.
async fn note_gone(run: &Run, item: &JobItem) -> store::Result<ItemEnd> {
    let Run { app, job, fence, .. } = run;
    let action = if job.action == BulkAction::Delete { Action::PostDelete } else { Action::PostUpdate };
    let mut entry = Draft::new(&job.actor, action, Outcome::Gone)
        .workspace(&job.workspace_id)
        .tenant(Some(&item.tenant_id))
        .target("post", &item.post_id);
    entry.job_id = Some(job.id.clone());
    let result = ItemResult { state: ItemState::Gone, code: None, message: None, granted_at: None };
    let effect = Effect::Item { job_id: job.id.clone(), n: item.n, result, at: app.clock.now() };
    match app.audit.record(vec![entry], vec![Effect::Fence(fence.clone()), effect]).await {
        Ok(()) => Ok(ItemEnd::Ended(ItemState::Gone)),
        Err(Unavailable::Store(store::Error::Fenced)) => Err(store::Error::Fenced),
        Err(_) => Ok(ItemEnd::Wait),
    }
}
