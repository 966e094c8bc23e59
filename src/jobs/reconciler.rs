//! Closing what is in doubt: calls that were sent and not answered, and calls whose process died after the intent. Looks
//! at what upstream has now and records the operation as applied, not applied or gone.

mod created_posts;

use crate::{
    access::Account,
    app::App,
    audit::Unavailable,
    clock::{DAY, MINUTE, Millis, SECOND},
    domain::{
        audit::{Actor, ActorType, Draft, Outcome},
        ids,
        jobs::ItemState,
        operations::{Noun, OpState, Operation, Verb},
        posts::{Post, PostStatus},
        tenants::ManagedUser,
        times,
    },
    proxy::name_made,
    store::{
        self,
        operations::{Effect, ItemResult},
    },
    upstream::{Error, Patience, pacing::Lane, types::Failure},
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Operations looked at in one round.
const BATCH: i64 = 50;
/// After this time a workspace's operations wait for the next round: one that has been slowed down would keep the others'
/// waiting.
const ROUND_MAX: Duration = Duration::from_secs(2);
/// How much the clocks of two machines, compared by the second, may differ after all.
const CLOCKS: i64 = 2 * SECOND;
/// The furthest that upstream is taken to have moved a time, to keep its interval between posts.
const MOVED_MAX: i64 = DAY;
/// A link's end is counted from some moment of the call.
const LINK_SLACK: i64 = MINUTE;
/// How long it is tried to see clearly, beyond the time after which no sign counts as none. A post must not be locked for
/// good because PostPost lists it nowhere.
const UNCLEAR_MAX: i64 = 15 * MINUTE;
/// A call older than this has ended, whatever its process says: with its repeats, the longest takes 50 s.
const CALL_MAX: i64 = MINUTE;

/// What upstream shows about an operation.
enum Finding {
    Closed(OpState, Vec<Effect>, Option<i64>),
    /// No sign of it yet; it may still be under way.
    NotYet,
    /// What was seen says nothing either way.
    Unclear,
    /// What is seen may be another call's doing, which has no end yet.
    AfterAnother,
    /// Upstream could not be asked.
    Unanswered(Failure),
}

/// One round over everything unsettled and due; the workspaces side by side, so that one whose upstream hangs does not
/// hold up the others.
///
/// Of several processes one does it, by its lease.
pub async fn round(app: Arc<App>) -> store::Result<()> {
    if app.leases.take("reconciler").await?.is_none() {
        return Ok(());
    }
    let now = app.clock.now();
    let mut workspaces: BTreeMap<String, Vec<Operation>> = BTreeMap::new();
    for operation in app.db.unsettled(app.leases.node(), now, now - CALL_MAX, BATCH).await? {
        workspaces.entry(operation.workspace_id.clone()).or_default().push(operation);
    }
    let rounds = workspaces.into_iter().map(|(id, operations)| {
        let app = &app;
        async move {
            let Some(account) = app.access.account(&id) else { return Ok(()) };
            let begun = Instant::now();
            for operation in operations {
                if *app.stopping.borrow() || begun.elapsed() > ROUND_MAX {
                    break;
                }
                // Nothing can be looked up until the key is replaced, or the breaker lets a call through.
                let wait = match app.upstream.ready(&account.endpoint) {
                    // One that is not answered says enough about the workspace: its others wait for the next round, so that
                    // a round is never longer than a call.
                    Ok(()) if settle(app, &account, &operation).await? == Asked::Answered => continue,
                    Ok(()) => break,
                    Err(Error::BreakerOpen { retry_after }) => retry_after as i64 * SECOND,
                    Err(_) => MINUTE,
                };
                app.db.defer_operation(&operation.id, app.clock.now() + wait).await?;
            }
            Ok(())
        }
    });
    futures_util::future::join_all(rounds).await.into_iter().collect()
}

/// Whether upstream has told anything.
#[derive(PartialEq, Eq)]
enum Asked {
    Answered,
    Unanswered,
}

async fn settle(app: &App, account: &Account, operation: &Operation) -> store::Result<Asked> {
    if !operation.verb.can_be_looked_up() {
        end(app, operation, OpState::Unknown, Vec::new(), None).await;
        return Ok(Asked::Answered);
    }
    let defer =
        async |until: Millis, asked| app.db.defer_operation(&operation.id, until).await.map(|()| asked);
    let now = app.clock.now();
    // The last attempt may have begun a while after the intent; it had ended when the doubt arose.
    let sent_by = operation.doubted_at.unwrap_or(operation.started_at);
    let settled_by = sent_by + app.config.tuning.settle_after.as_millis() as i64;
    let finding = look(app, account, operation).await;
    let (state, effects, granted) = match finding {
        Finding::Closed(state, effects, granted) => (state, effects, granted),
        Finding::NotYet if now >= settled_by => (OpState::NotApplied, Vec::new(), None),
        Finding::NotYet => {
            return defer((now + 2 * SECOND).min(settled_by), Asked::Answered).await;
        }
        Finding::Unclear if now >= settled_by + UNCLEAR_MAX => {
            tracing::warn!(operation = operation.id, "PostPost never lists the post: taken for not applied");
            (OpState::NotApplied, Vec::new(), None)
        }
        Finding::Unclear => return defer(now + 2 * SECOND, Asked::Answered).await,
        Finding::AfterAnother => return defer(now + SECOND, Asked::Answered).await,
        // The tenant is no longer ours to ask for, so neither is what became of its post.
        Finding::Unanswered(Failure::Refused(reply)) if reply.status == 403 && now >= settled_by => {
            (OpState::Gone, Vec::new(), None)
        }
        Finding::Unanswered(error) => {
            tracing::info!(operation = operation.id, %error, "an operation in doubt could not be looked up yet");
            let wait = (2 * SECOND) << operation.checks.clamp(0, 5);
            return defer(now + wait, Asked::Unanswered).await;
        }
    };
    // Whoever updates the post next compares it with the mirror, which must know this change by then.
    if let (Verb::PostUpdate, OpState::Applied, Some(tenant)) = (operation.verb, state, &operation.tenant_id)
        && let Err(error) = app.mirror.ensure_fresh(account, tenant, 0, Patience::BACKGROUND).await
        && now < settled_by + UNCLEAR_MAX
    {
        tracing::info!(operation = operation.id, %error, "the mirror could not be refreshed before the operation's end");
        return defer(now + 2 * SECOND, Asked::Unanswered).await;
    }
    end(app, operation, state, effects, granted).await;
    if let (Some(tenant), Noun::Post) = (&operation.tenant_id, operation.verb.noun()) {
        app.mirror.note_change(&operation.workspace_id, tenant);
    }
    if matches!(operation.verb, Verb::TenantCreate | Verb::TenantDetach)
        && let Err(error) = app.access.reload().await
    {
        tracing::warn!(%error, "the picture of tenants could not be rebuilt");
    }
    Ok(Asked::Answered)
}

/// Closes the operation; if that fails, the next round tries again.
async fn end(app: &App, operation: &Operation, state: OpState, effects: Vec<Effect>, granted: Option<i64>) {
    match close(app, operation, state, effects, granted).await {
        Ok(()) => app.metrics.operation(state.as_str()),
        // Settled by somebody else meanwhile.
        Err(Unavailable::Store(store::Error::Taken)) => {}
        Err(error) => {
            tracing::warn!(operation = operation.id, %error, "an operation could not be closed yet");
        }
    }
}

/// The operation's final entry, with everything that follows from it.
async fn close(
    app: &App,
    operation: &Operation,
    state: OpState,
    mut effects: Vec<Effect>,
    granted_at: Option<i64>,
) -> Result<(), Unavailable> {
    let now = app.clock.now();
    let outcome = match state {
        OpState::Applied => Outcome::Applied,
        OpState::Gone => Outcome::Gone,
        OpState::Unknown => Outcome::Unknown,
        _ => Outcome::NotApplied,
    };
    let mut entry = Draft::new(&Actor::system("reconciler"), operation.verb, outcome)
        .workspace(&operation.workspace_id)
        .tenant(operation.about_tenant());
    if ids::is_object_id(&operation.target) {
        entry = entry.target(operation.verb.noun().as_str(), &operation.target);
    }
    if let Some(at) = granted_at {
        entry = entry.set("grantedTime", times::to_iso(at));
    }
    entry = name_made(entry, &effects);
    entry.op_id = Some(operation.id.clone());
    effects.push(Effect::Close {
        op_id: operation.id.clone(),
        state,
        at: now,
        check_at: now,
        status: None,
        granted_at,
        doubted: true,
    });
    if let Some((job_id, n)) = &operation.item {
        entry.job_id = Some(job_id.clone());
        let state = state.item_state();
        let code = (state == ItemState::Failed).then(|| "not_applied".to_owned());
        let message = (state == ItemState::Failed)
            .then(|| "PostPost did not answer, and the change did not happen".to_owned());
        let result = ItemResult { state, code, message, granted_at };
        effects.push(Effect::Item { job_id: job_id.clone(), n: *n, result, at: now });
    }
    app.audit.record(vec![entry], effects).await
}

async fn look(app: &App, account: &Account, operation: &Operation) -> Finding {
    let found = match operation.verb {
        Verb::PostCreate => created_posts::created(app, account, operation).await,
        Verb::PostDelete => deleted(app, account, operation).await,
        Verb::PostUpdate => updated(app, account, operation).await,
        Verb::TenantCreate | Verb::TenantDetach | Verb::TenantLink => tenant(app, account, operation).await,
        Verb::WebhookDelete => webhook_deleted(app, account, operation).await,
        // Not asked for: `Verb::can_be_looked_up`.
        _ => Ok(Finding::NotYet),
    };
    found.unwrap_or_else(Finding::Unanswered)
}

async fn deleted(app: &App, account: &Account, operation: &Operation) -> Result<Finding, Failure> {
    let user = operation.tenant_id.as_deref();
    let request_id = ids::new_id();
    app.pacing.turns(&operation.workspace_id, Lane::Jobs, 1).await;
    let found = app
        .upstream
        .get_post(&account.endpoint, user, &operation.target, &request_id, Patience::BACKGROUND)
        .await?;
    if found.is_some() {
        return Ok(Finding::NotYet);
    }
    let effects = operation.tenant_id.iter().map(|tenant_id| Effect::PostGone {
        workspace_id: operation.workspace_id.clone(),
        tenant_id: tenant_id.clone(),
        post_id: operation.target.clone(),
    });
    // It was there just before our call and is not now: the call did it (design §13), unless another of our calls did,
    // such as a caller's second try. A delete that succeeded has found the post, so no other one was first.
    let existed = operation.snapshot.as_ref().is_some_and(|s| s.existed);
    let twins = twins(app, operation).await?;
    // One under way may be the one that did it. Of two whose processes have died, the earlier waits for the later.
    let waits_for =
        |twin: &Operation| operation.state == OpState::InDoubt || twin.started_at > operation.started_at;
    if twins.iter().any(|twin| twin.state == OpState::Open && waits_for(twin)) {
        return Ok(Finding::AfterAnother);
    }
    let by_another = twins.iter().any(|twin| matches!(twin.state, OpState::Succeeded | OpState::Applied));
    let state = if existed && !by_another { OpState::Applied } else { OpState::Gone };
    Ok(Finding::Closed(state, effects.collect(), None))
}

/// Whether it existed before was not looked up, so that its absence does not say who ended it.
async fn webhook_deleted(app: &App, account: &Account, operation: &Operation) -> Result<Finding, Failure> {
    let user = operation.tenant_id.as_deref();
    let listed = app.upstream.webhooks(&account.endpoint, user, &ids::new_id(), Patience::BACKGROUND).await?;
    Ok(match listed.contains(&operation.target) {
        true => Finding::NotYet,
        false => Finding::Closed(OpState::Gone, Vec::new(), None),
    })
}

/// Our other calls of the same kind on the same target.
async fn twins(app: &App, operation: &Operation) -> Result<Vec<Operation>, Failure> {
    stored(app.db.twins(operation).await)
}

/// What our own database cannot tell is looked up again, as what upstream cannot tell.
fn stored<T>(result: store::Result<T>) -> Result<T, Failure> {
    result.map_err(|e| Failure::Failed(Error::BadReply(e.to_string())))
}

/// An update is settled from the list, newest changes first: `get-post` tells neither status nor time.
async fn updated(app: &App, account: &Account, operation: &Operation) -> Result<Finding, Failure> {
    let tenant = operation.tenant_id.as_deref();
    for page in 1.. {
        app.pacing.turns(&operation.workspace_id, Lane::Jobs, 1).await;
        let sort = ("updatedAt", "desc");
        let listed = app
            .upstream
            .list_posts(&account.endpoint, tenant, page, sort, &ids::new_id(), Patience::BACKGROUND)
            .await?;
        if let Some(post) = listed.posts.iter().find(|p| p.id == operation.target) {
            // A mirror that lags makes the time an earlier update was granted look new.
            let granted =
                post.scheduled_at.filter(|at| operation.asked.scheduled_at.is_some_and(|asked| asked != *at));
            if granted.is_some() && twins(app, operation).await?.iter().any(|twin| twin.granted_at == granted)
            {
                return Ok(Finding::NotYet);
            }
            return Ok(compare(operation, post, begun_upstream(app, operation)));
        }
        if !listed.has_next {
            break;
        }
    }
    // Not in the list: gone, or slid over a page's border while something else was deleted.
    let found = app
        .upstream
        .get_post(&account.endpoint, tenant, &operation.target, &ids::new_id(), Patience::BACKGROUND)
        .await?;
    Ok(match found {
        None => Finding::Closed(OpState::Gone, Vec::new(), None),
        Some(_) => Finding::Unclear,
    })
}

/// The moment the call began by upstream's clock, or a little before; `None` if that cannot be told.
fn begun_upstream(app: &App, operation: &Operation) -> Option<Millis> {
    let ahead = app.upstream.clock_ahead(&operation.workspace_id)?;
    Some(operation.started_at + ahead - CLOCKS)
}

/// Whether the post is as it was asked to be, and was changed since our call began. `begun` is by upstream's clock.
fn compare(operation: &Operation, post: &Post, begun: Option<Millis>) -> Finding {
    let asked = &operation.asked;
    let before = operation.snapshot.as_ref();
    // The snapshot may be as old as the mirror, and somebody else's change lie between; without one or the other, what
    // there is has to do.
    let touched = before.and_then(|s| s.updated_at).is_none_or(|at| post.updated_at > at)
        && begun.is_none_or(|at| post.updated_at >= at);
    let status_fits = asked.status().is_none_or(|status| {
        // A post resumed "now" may have gone out already.
        status == post.status || status == PostStatus::Scheduled && !post.status.may_update()
    });
    let time_fits = asked.scheduled_at.is_none_or(|at| post.scheduled_at == Some(at));
    // Upstream may move the time asked for, to a later one: that is ours as well. An earlier one is somebody else's.
    let moved = asked.scheduled_at.zip(post.scheduled_at).is_some_and(|(asked, got)| {
        (asked..=asked + MOVED_MAX).contains(&got)
            && before.is_none_or(|s| s.scheduled_at != post.scheduled_at)
    });
    if touched && status_fits && (time_fits || moved) {
        let effects =
            operation.tenant_id.iter().flat_map(|tenant| applied(operation, tenant, post)).collect();
        return Finding::Closed(
            OpState::Applied,
            effects,
            post.scheduled_at.filter(|_| asked.scheduled_at.is_some()),
        );
    }
    Finding::NotYet
}

/// What an update that has happened means for a mirrored post.
fn applied(operation: &Operation, tenant_id: &str, post: &Post) -> Vec<Effect> {
    let (workspace_id, tenant_id, post_id) =
        (operation.workspace_id.clone(), tenant_id.to_owned(), post.id.clone());
    let before = operation.snapshot.as_ref();
    let mut effects = vec![Effect::PostChanged {
        workspace_id: workspace_id.clone(),
        tenant_id: tenant_id.clone(),
        post_id: post_id.clone(),
        status: Some(post.status),
        scheduled_at: post.scheduled_at,
        at: post.updated_at,
    }];
    let was_scheduled = before.and_then(|s| s.status.as_deref()) == Some("scheduled");
    match operation.asked.status() {
        Some(PostStatus::Draft)
            if was_scheduled && (operation.item.is_some() || operation.actor.kind() == ActorType::Admin) =>
        {
            effects.push(Effect::Paused {
                workspace_id,
                tenant_id,
                post_id,
                op_id: operation.id.clone(),
                scheduled_at: before.and_then(|s| s.scheduled_at),
                at: operation.started_at,
            });
        }
        Some(PostStatus::Scheduled) => effects.push(Effect::Unpaused { workspace_id, tenant_id, post_id }),
        _ => {}
    }
    effects
}

async fn tenant(app: &App, account: &Account, operation: &Operation) -> Result<Finding, Failure> {
    let users = app.upstream.list_users(&account.endpoint, &ids::new_id(), Patience::BACKGROUND).await?;
    let workspace_id = operation.workspace_id.clone();
    let at = app.clock.now();
    let by_id = users.iter().find(|u| u.id == operation.target);
    Ok(match operation.verb {
        Verb::TenantCreate => {
            // Upstream writes names small. A user that had the name before our call is not its effect.
            let name = operation.asked.username.as_deref().unwrap_or_default().to_lowercase();
            let known = operation.snapshot.as_ref().and_then(|s| s.user_id.as_deref());
            let begun = begun_upstream(app, operation);
            let ours = |user: &&ManagedUser| {
                let made = ids::object_id_time(&user.id).map(|at| at + SECOND);
                user.username.to_lowercase() == name
                    && Some(user.id.as_str()) != known
                    && begun.zip(made).is_none_or(|(begun, made)| made >= begun)
            };
            match users.iter().find(ours) {
                Some(user) => {
                    let effect = Effect::TenantPut { workspace_id, user: user.clone(), at };
                    Finding::Closed(OpState::Applied, vec![effect], None)
                }
                None => Finding::NotYet,
            }
        }
        Verb::TenantDetach => match by_id {
            None => {
                let (actor, tenant_id) = (operation.actor.clone(), operation.target.clone());
                let effect = Effect::TenantDetached { actor, workspace_id, tenant_id, at };
                Finding::Closed(OpState::Applied, vec![effect], None)
            }
            Some(_) => Finding::NotYet,
        },
        _ => match by_id {
            None => Finding::Closed(OpState::Gone, Vec::new(), None),
            Some(user) if made_link(operation, user, begun_upstream(app, operation), at) => {
                let tenant_id = operation.target.clone();
                let effect = Effect::TenantLink { workspace_id, tenant_id, expires_at: user.link_expires_at };
                Finding::Closed(OpState::Applied, vec![effect], None)
            }
            Some(_) => Finding::NotYet,
        },
    })
}

/// Whether the user's connection link is one that the operation made: not the one known before, which may be older than
/// the one there was, and with the life that was asked for. `begun` is by upstream's clock.
fn made_link(operation: &Operation, user: &ManagedUser, begun: Option<Millis>, now: Millis) -> bool {
    let Some(ends) = user.link_expires_at else { return false };
    let fresh = operation.snapshot.as_ref().is_none_or(|s| s.link_expires_at != Some(ends));
    let life = operation.asked.link_days.zip(begun);
    let fits = life.is_none_or(|(days, begun)| {
        // The caller's number: it may be any.
        let from = begun.saturating_add(days.saturating_mul(DAY));
        (from..=from.saturating_add(now - operation.started_at + LINK_SLACK)).contains(&ends)
    });
    fresh && fits
}
