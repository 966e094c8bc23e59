//! Steps 6 to 8 for every call that changes something: intent, call, outcome. Each step is durable before the next.

use super::{Caller, Doubt, Refusal, Road};
use crate::{
    audit::Unavailable,
    clock::{Millis, SECOND},
    domain::{
        audit::{Draft, Outcome, UpstreamResult},
        ids,
        jobs::ItemState,
        operations::{Asked, Noun, OpState, Operation, Snapshot, Verb},
        times,
    },
    store::{
        self,
        operations::{Effect, ItemResult},
    },
    upstream::{self, Call, Reply},
};
use serde_json::Value;

/// The first look of the reconciler at something in doubt comes after this.
const FIRST_CHECK: Millis = SECOND;

/// The call is made within this long of its intent, or not at all. Together with the longest call it stays below the age
/// at which the reconciler takes an open operation for orphaned.
const INTENT_FRESH: Millis = 5 * SECOND;

/// Upstream's answer to a change, and what became of it.
#[derive(Debug, Clone)]
pub struct Changed {
    pub reply: Reply,
    pub state: OpState,
    /// The time upstream gave, for an update.
    pub granted_at: Option<Millis>,
    pub op_id: String,
}

/// What is to be changed.
pub(super) struct Change {
    pub verb: Verb,
    pub target: String,
    pub asked: Asked,
    pub snapshot: Option<Snapshot>,
    pub call: Call,
    /// Fields for the entries: what is asked for.
    pub shown: Vec<(&'static str, Value)>,
    pub was: Vec<(&'static str, Value)>,
    pub reason: Option<String>,
    /// What is kept of the post, to be encrypted and stored with the intent.
    pub backup: Option<String>,
}

/// What a usable answer does to our own data.
pub(super) struct Settled {
    pub effects: Vec<Effect>,
    pub granted_at: Option<Millis>,
    /// Whether a success's body is one (a delete's is `{"success":true}`, a link has a URL).
    pub usable: bool,
    /// The id of what was made, for the outcome's entry.
    pub made: Option<String>,
}

impl Road {
    /// Runs a change. `settle` turns a successful answer into effects on our own data.
    pub(super) async fn change(
        &self,
        caller: &Caller,
        mut change: Change,
        settle: impl FnOnce(&Reply, &str, Millis) -> Settled,
    ) -> Result<Changed, Refusal> {
        // What would not be sent needs no intent. An open breaker leaves no entry, as a failed look-up leaves none.
        self.upstream.ready(&caller.account.endpoint)?;
        let op_id = ids::new_id();
        // A job has no request of its own to name: PostPost's log and ours are joined by the operation.
        if caller.item.is_some() {
            change.call.request_id.clone_from(&op_id);
        }
        let begun = self.clock.now();
        let operation = Operation {
            id: op_id.clone(),
            workspace_id: caller.account.workspace.id.clone(),
            tenant_id: caller.tenant.clone(),
            verb: change.verb,
            target: change.target.clone(),
            actor: caller.actor.clone(),
            asked: change.asked.clone(),
            snapshot: change.snapshot.clone(),
            state: OpState::Open,
            item: caller.item.clone(),
            node: self.leases.node().to_owned(),
            started_at: begun,
            checks: 0,
            ended_at: None,
            doubted_at: None,
            upstream_status: None,
            granted_at: None,
        };
        let mut intent = self.entry(caller, &change, &op_id, Outcome::Intent);
        intent.reason.clone_from(&change.reason);
        let mut opening = self.fences(caller);
        if let Some(claim) = &caller.claim {
            opening.push(Effect::Claim { claim: claim.clone(), op_id: op_id.clone() });
        }
        opening.extend(self.backup(caller, &change)?);
        opening.push(Effect::Open(Box::new(operation)));
        if let Some(seat) = &caller.seat {
            seat.leave();
        }
        match self.audit.record(vec![intent], opening).await {
            Ok(()) => {}
            // Another worker has the item; or another call is changing the post, and was a moment earlier.
            Err(Unavailable::Store(store::Error::Taken)) => {
                let earlier = self.db.unsettled_update(&caller.account.workspace.id, &change.target).await?;
                return Err(match earlier {
                    Some(op_id) if caller.item.is_none() => Refusal::Unsettled { op_id },
                    _ => Refusal::Taken,
                });
            }
            Err(Unavailable::Store(store::Error::Fenced)) => return Err(self.note_stale(caller, "intent")),
            Err(other) => return Err(Refusal::Audit(other)),
        }

        if let Some(seat) = &caller.seat {
            seat.take_again().await;
        }
        // A process that stood still since its intent must not act on it: the reconciler may have closed it by now.
        let sent = if self.clock.now() - begun > INTENT_FRESH {
            Err(upstream::Error::NotSent)
        } else {
            self.upstream.send(&caller.account.endpoint, &change.call, caller.patience).await
        };
        if let Some(seat) = &caller.seat {
            seat.leave();
        }

        let now = self.clock.now();
        let mut effects = Vec::new();
        let mut granted_at = None;
        let mut made = None;
        let (state, mut usable) = classify(change.verb, &sent);
        let mut state = state;
        if let (OpState::Succeeded, Ok(reply)) = (state, &sent) {
            let settled = settle(reply, &op_id, now);
            granted_at = settled.granted_at;
            made = settled.made;
            if settled.usable {
                effects = settled.effects;
            } else {
                (state, usable) = (OpState::InDoubt, false);
            }
        }
        // What cannot be looked up stays unknown: it is said at once, and nothing is waited for.
        if state == OpState::InDoubt && !change.verb.can_be_looked_up() {
            state = OpState::Unknown;
        }
        let doubted = matches!(state, OpState::InDoubt | OpState::Unknown);
        if state == OpState::Gone {
            effects.extend(self.gone_effects(caller, &change));
        }
        let outcome = outcome(state);
        let mut entry = self.entry(caller, &change, &op_id, outcome);
        let (code, message) = words(&sent);
        entry.upstream = Some(UpstreamResult {
            status: sent.as_ref().ok().map(|r| r.status),
            latency_ms: sent.as_ref().map_or_else(|_| now - begun, |r| r.latency_ms),
            code: code.clone(),
        });
        if let Some(at) = granted_at {
            entry = entry.set("grantedTime", times::to_iso(at));
        }
        entry = name_made(entry, &effects);
        if let Some(id) = made.filter(|id| ids::is_object_id(id)) {
            entry = entry.target(change.verb.noun().as_str(), &id);
        }
        // Nothing more is to be learnt of a post that is gone.
        let is_gone = change.verb == Verb::PostDelete && matches!(state, OpState::Succeeded | OpState::Gone);
        if let (Some(tenant), true) = (&caller.tenant, is_gone) {
            self.mirror.note_deleted(tenant, &change.target);
        }
        effects.push(Effect::Close {
            op_id: op_id.clone(),
            state,
            at: now,
            check_at: now + FIRST_CHECK,
            status: sent.as_ref().ok().map(|r| r.status),
            granted_at,
            doubted,
        });
        if let Some((job_id, n)) = &caller.item {
            // Nothing happened and nothing was said about the post: the item waits for another try.
            let again = match &sent {
                Err(error) => error.was_not_sent(),
                Ok(reply) => matches!(reply.status, 401 | 429),
            };
            let state = if again { ItemState::Pending } else { state.item_state() };
            let failed = matches!(state, ItemState::Failed | ItemState::Unknown);
            let result = ItemResult {
                state,
                code: code.clone().filter(|_| failed),
                message: message.clone().filter(|_| failed),
                granted_at,
            };
            effects.push(Effect::Item { job_id: job_id.clone(), n: *n, result, at: now });
        }
        if let (Ok(reply), true) = (&sent, usable) {
            effects.extend(self.answered(caller, change.verb, reply, state));
        }
        let stored = self.audit.record(vec![entry], effects).await;
        let seen_in_posts = change.verb.noun() == Noun::Post && state != OpState::Refused && !is_gone;
        if let (Some(tenant), true) = (&caller.tenant, seen_in_posts) {
            self.mirror.note_change(&caller.account.workspace.id, tenant);
        }
        if let Err(error) = stored {
            if matches!(error, Unavailable::Store(store::Error::Taken)) {
                // This process stood still, and the operation was settled meanwhile: what is on record stands.
                self.metrics.stale_write("outcome");
            }
            // It may well have happened, but is not on record: the operation stays open for the reconciler.
            tracing::error!(op_id, %error, "an outcome could not be stored");
            return Err(Refusal::Unknown { op_id, doubt: Doubt::NotStored, error: error.to_string() });
        }
        self.metrics.operation(state.as_str());
        if let Ok(reply) = &sent
            && reply.status == 401
        {
            self.suspend(&caller.account, &reply.error_text().unwrap_or_default()).await;
            return Err(Refusal::Suspended);
        }
        match sent {
            Err(upstream::Error::TooLarge | upstream::Error::BadReply(_)) if doubted => {
                Err(Refusal::BadReply { op_id })
            }
            Err(error) if doubted => {
                let redirected = matches!(error, upstream::Error::Redirect(_));
                let doubt = if redirected { Doubt::Unclear } else { Doubt::NoAnswer };
                Err(Refusal::Unknown { op_id, doubt, error: error.to_string() })
            }
            Err(error) => Err(error.into()),
            Ok(_) if !usable && doubted => Err(Refusal::BadReply { op_id }),
            Ok(reply) if !usable => {
                let detail = format!("status {} without a JSON body", reply.status);
                Err(Refusal::Upstream(upstream::Error::BadReply(detail)))
            }
            Ok(reply) if doubted => {
                let error = format!("PostPost answered {}", reply.status);
                Err(Refusal::Unknown { op_id, doubt: Doubt::Unclear, error })
            }
            Ok(reply) => Ok(Changed { reply, state, granted_at, op_id }),
        }
    }

    /// What makes a record fail if the caller's lease has changed hands.
    pub(super) fn fences(&self, caller: &Caller) -> Vec<Effect> {
        caller.fence.iter().cloned().map(Effect::Fence).collect()
    }

    /// The caller has lost what entitled it to act.
    pub(super) fn note_stale(&self, caller: &Caller, what: &str) -> Refusal {
        match &caller.fence {
            Some(fence) => self.leases.note_lost(fence, what),
            None => self.metrics.stale_write(what),
        }
        Refusal::Taken
    }

    fn entry(&self, caller: &Caller, change: &Change, op_id: &str, outcome: Outcome) -> Draft {
        let tenant = match change.verb {
            Verb::TenantDetach | Verb::TenantLink => Some(change.target.as_str()),
            _ => caller.tenant.as_deref(),
        };
        let mut draft = Draft::new(&caller.actor, change.verb, outcome)
            .workspace(&caller.account.workspace.id)
            .tenant(tenant);
        if ids::is_object_id(&change.target) {
            draft = draft.target(change.verb.noun().as_str(), &change.target);
        }
        for (name, value) in &change.shown {
            draft = draft.set(name, value.clone());
        }
        for (name, value) in &change.was {
            draft = draft.was(name, value.clone());
        }
        draft.op_id = Some(op_id.to_owned());
        draft.job_id = caller.item.as_ref().map(|i| i.0.clone());
        draft
    }

    /// What a 404 tells about our own data.
    pub(super) fn gone_effects(&self, caller: &Caller, change: &Change) -> Vec<Effect> {
        let workspace_id = caller.account.workspace.id.clone();
        match (change.verb, &caller.tenant) {
            (Verb::PostDelete | Verb::PostUpdate, Some(tenant)) => {
                vec![Effect::PostGone {
                    workspace_id,
                    tenant_id: tenant.clone(),
                    post_id: change.target.clone(),
                }]
            }
            (Verb::TenantDetach, _) => {
                vec![Effect::TenantDetached {
                    actor: caller.actor.clone(),
                    workspace_id,
                    tenant_id: change.target.clone(),
                    at: self.clock.now(),
                }]
            }
            _ => Vec::new(),
        }
    }
}

/// The entry with the post or tenant named that the change has made.
pub(crate) fn name_made(entry: Draft, effects: &[Effect]) -> Draft {
    effects.iter().fold(entry, |entry, effect| match effect {
        Effect::TenantPut { user, .. } => entry.tenant(Some(&user.id)).target("tenant", &user.id),
        Effect::Created { post_id, .. } => entry.target("post", post_id),
        _ => entry,
    })
}

/// Where a call ended, and whether an answer, if there is one, can be passed on.
fn classify(verb: Verb, sent: &Result<Reply, upstream::Error>) -> (OpState, bool) {
    match sent {
        Err(error) if error.may_have_happened() => (OpState::InDoubt, false),
        Err(_) => (OpState::Failed, false),
        Ok(reply) => match reply.status {
            200..=299 => (OpState::Succeeded, true),
            // What is to be made cannot be gone.
            404 if reply.json().is_some() && !verb.creates() => (OpState::Gone, true),
            // The endpoints' own texts of a 500 mean that it was not applied (design §13); any other 500 means nothing.
            500 if documented(reply) => (OpState::Failed, true),
            500..=599 => (OpState::InDoubt, true),
            _ => (OpState::Refused, reply.json().is_some()),
        },
    }
}

/// The texts of `contract.md` that come with a rolled-back change. "Internal server error" is not among them: it is
/// anybody's text, and may as well stand for an answer that failed after the change was made.
fn documented(reply: &Reply) -> bool {
    matches!(
        reply.error_text().as_deref(),
        Some("Failed to create post group" | "Failed to update post" | "Failed to delete post group")
    )
}

fn outcome(state: OpState) -> Outcome {
    match state {
        OpState::Succeeded => Outcome::Succeeded,
        OpState::Gone => Outcome::Gone,
        OpState::Refused => Outcome::Refused,
        OpState::Applied => Outcome::Applied,
        OpState::NotApplied => Outcome::NotApplied,
        OpState::InDoubt | OpState::Open => Outcome::InDoubt,
        OpState::Failed => Outcome::Failed,
        OpState::Unknown => Outcome::Unknown,
    }
}

/// A stable code and upstream's own words, for what did not succeed.
fn words(sent: &Result<Reply, upstream::Error>) -> (Option<String>, Option<String>) {
    match sent {
        Err(error) => (Some(error.code().to_owned()), Some(error.to_string())),
        Ok(reply) if reply.is_success() => (None, None),
        Ok(reply) => {
            let code = reply.error_code().unwrap_or_else(|| format!("http_{}", reply.status));
            (Some(code.chars().take(64).collect()), reply.error_text().map(|t| t.chars().take(300).collect()))
        }
    }
}
