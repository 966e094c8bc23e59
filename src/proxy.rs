//! The one road upstream (design §5), used by the tenant door, the pages and the jobs alike: admission, policy, durable
//! intent, call, durable outcome. No audit, no call; and what is in doubt is recorded as in doubt.

mod answers;
mod backups;
mod change;
mod created_posts;
mod order;
mod passes;
mod posts;
mod tenants;

pub use backups::PostCopy;
pub use change::Changed;
pub(crate) use change::name_made;
pub(crate) use created_posts::BEFORE_UNTOLD;
pub use passes::{Pass, Passing};

use crate::{
    access::{Access, Account},
    audit::{Unavailable, Writer},
    clock::Clock,
    domain::{
        audit::{Action, Actor, Draft, Outcome},
        ids,
        keys::Scope,
    },
    keyring::Keyring,
    leases::Leases,
    metrics::Metrics,
    mirror::Mirror,
    store::{self, Db, idempotency::Claim, leases::Fence},
    upstream::{
        self, Call, Method, Patience, Reply, Upstream,
        pacing::{Lane, Pacing},
    },
};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// On whose behalf a call is made.
#[derive(Clone)]
pub struct Caller {
    pub actor: Actor,
    pub account: Arc<Account>,
    /// The tenant acted for; `None` is the workspace owner's own account.
    pub tenant: Option<String>,
    pub request_id: String,
    /// The client label to pass on.
    pub client: Option<String>,
    /// The job item this call is for.
    pub item: Option<(String, i64)>,
    /// The lease on whose strength the call is made, for background work.
    pub fence: Option<Fence>,
    /// The idempotency key under which the call is made.
    pub claim: Option<Claim>,
    /// Whether a job keeps a copy of each post that it deletes.
    pub keep_backup: bool,
    pub patience: Patience,
    /// The caller's place among so many at once, for background work.
    pub seat: Option<Seat>,
}

/// A place among the calls of a job that are under way. It is left between an item's calls: while something is written
/// down, another item can make its calls.
#[derive(Clone)]
pub struct Seat {
    places: Arc<Semaphore>,
    taken: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Seat {
    /// Waits for a place.
    pub async fn take(places: Arc<Semaphore>) -> Self {
        let seat = Self { places, taken: Arc::default() };
        seat.take_again().await;
        seat
    }

    fn put(&self, permit: Option<OwnedSemaphorePermit>) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }

    fn leave(&self) {
        self.put(None);
    }

    async fn take_again(&self) {
        // Nobody closes these places; if somebody did, there would be no bound, and no harm.
        let permit = self.places.clone().acquire_owned().await.ok();
        self.put(permit);
    }
}

/// Why it is not known whether a change happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    NoAnswer,
    /// An answer that does not say: a redirect, or an error that may stand for anything.
    Unclear,
    /// What was answered could not be written down.
    NotStored,
    /// It was looked up, and there is nothing to tell by.
    ForGood,
}

/// Why a call was not made, or has no answer of upstream's to pass on.
#[derive(Debug)]
pub enum Refusal {
    /// The id is not an ObjectId.
    InvalidId,
    ScopeMissing(Scope),
    /// Tenant or workspace, with the reason given.
    Frozen(String),
    /// Upstream refused the workspace's key.
    Suspended,
    NotManaged,
    /// The status that blocks the delete.
    DeleteBlocked(&'static str),
    PastTime,
    /// Nothing was sent because it could not be written down.
    Audit(Unavailable),
    /// Another worker has this job item, or another attempt this idempotency key.
    Taken,
    /// An earlier update of the same post has no end yet.
    Unsettled {
        op_id: String,
    },
    /// Nothing happened upstream, or nothing that matters (a reading call).
    Upstream(upstream::Error),
    /// May have happened; the reconciler will tell.
    Unknown {
        op_id: String,
        doubt: Doubt,
        error: String,
    },
    /// Upstream's answer could not be used; what happened is being looked up.
    BadReply {
        op_id: String,
    },
    Store(store::Error),
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<upstream::Error> for Refusal {
    fn from(error: upstream::Error) -> Self {
        match error {
            upstream::Error::KeyRefused => Self::Suspended,
            error => Self::Upstream(error),
        }
    }
}

impl Refusal {
    /// Stable word for answers, entries and item codes (`contract.md`, errors the gateway adds).
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidId => "invalid_id",
            Self::ScopeMissing(_) => "scope_missing",
            Self::Frozen(_) => "frozen",
            Self::Suspended => "workspace_suspended",
            Self::NotManaged => "not_managed",
            Self::DeleteBlocked(_) => "delete_blocked",
            Self::PastTime => "past_time",
            Self::Audit(Unavailable::Store(store::Error::AuditFork(_)))
            | Self::Store(store::Error::AuditFork(_)) => "audit_fork",
            Self::Audit(_) => "audit_unavailable",
            Self::Taken => "idempotency_in_flight",
            Self::Unsettled { .. } => "change_unsettled",
            Self::Upstream(error) => error.code(),
            Self::Unknown { .. } => "outcome_unknown",
            Self::BadReply { .. } => "upstream_bad_reply",
            Self::Store(store::Error::NoAnswer | store::Error::Unavailable(_)) => "database_unavailable",
            Self::Store(store::Error::NoSpace(_)) => "no_space",
            Self::Store(_) => "internal",
        }
    }
}

/// The road and what it is made of.
pub struct Road {
    pub db: Db,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub keyring: Arc<Keyring>,
    pub leases: Arc<Leases>,
    pub access: Arc<Access>,
    pub upstream: Arc<Upstream>,
    pub pacing: Arc<Pacing>,
    pub audit: Writer,
    pub mirror: Arc<Mirror>,
}

/// The reading calls that pass through as they are.
#[derive(Debug, Clone)]
pub enum Read {
    GetPost(String),
    ListPosts(Vec<(String, String)>),
    Pass(Pass),
}

impl Road {
    /// Step 2: scope, workspace, tenant. A refusal leaves a `denied` entry.
    pub async fn admit(
        &self,
        caller: &Caller,
        scope: Option<(&crate::domain::keys::Scopes, Scope)>,
    ) -> Result<(), Refusal> {
        let refusal = match self.standing(caller, scope) {
            Ok(()) => return Ok(()),
            Err(refusal) => refusal,
        };
        self.deny(caller, Action::AccessRefuse, refusal.code(), None).await?;
        Err(refusal)
    }

    fn standing(
        &self,
        caller: &Caller,
        scope: Option<(&crate::domain::keys::Scopes, Scope)>,
    ) -> Result<(), Refusal> {
        if let Some((scopes, needed)) = scope
            && !scopes.has(needed)
        {
            return Err(Refusal::ScopeMissing(needed));
        }
        let workspace = &caller.account.workspace;
        if let Some(tenant) = &caller.tenant {
            match self.access.tenant(&workspace.id, tenant) {
                Some(standing) if !standing.detached => {
                    if let Some(reason) = standing.frozen {
                        return Err(Refusal::Frozen(reason));
                    }
                }
                _ => return Err(Refusal::NotManaged),
            }
        }
        if let Some(frozen) = &workspace.frozen {
            return Err(Refusal::Frozen(frozen.reason.clone()));
        }
        if workspace.suspended_at.is_some() {
            return Err(Refusal::Suspended);
        }
        Ok(())
    }

    /// Writes down that something was refused. The target is named only if it has the shape of an id.
    pub async fn deny(
        &self,
        caller: &Caller,
        action: Action,
        code: &str,
        target: Option<(&str, &str)>,
    ) -> Result<(), Refusal> {
        let mut draft = Draft::new(&caller.actor, action, Outcome::Denied)
            .workspace(&caller.account.workspace.id)
            .tenant(caller.tenant.as_deref())
            .set("code", code);
        if let Some((kind, id)) = target {
            draft = draft.target(kind, id);
        }
        if let Some((job_id, _)) = &caller.item {
            draft.job_id = Some(job_id.clone());
        }
        self.audit.deny(draft).await.map_err(Refusal::Audit)
    }

    /// A reading call, passed through as it is. Not audited.
    pub async fn read(&self, caller: &Caller, read: Read) -> Result<Reply, Refusal> {
        self.standing(caller, None)?;
        let user = caller.tenant.as_deref();
        let mut call = match &read {
            Read::GetPost(id) => {
                if !ids::is_object_id(id) {
                    return Err(Refusal::InvalidId);
                }
                Call::get(&["get-post", id], user, &caller.request_id)
            }
            Read::ListPosts(query) => {
                Call { query: query.clone(), ..Call::get(&["list-posts"], user, &caller.request_id) }
            }
            Read::Pass(pass) => pass.clone().into_call(caller),
        };
        call.client.clone_from(&caller.client);
        let reply = self.upstream.send(&caller.account.endpoint, &call, caller.patience).await?;
        self.check_reply(caller, &reply).await?;
        Ok(reply)
    }

    /// An answer that must not be passed on: 401 means that the workspace's key is refused, whoever called (the caller's
    /// own key was fine), and an answer that is not JSON is none.
    async fn check_reply(&self, caller: &Caller, reply: &Reply) -> Result<(), Refusal> {
        if reply.status == 401 {
            self.suspend(&caller.account, &reply.error_text().unwrap_or_default()).await;
            return Err(Refusal::Suspended);
        }
        if reply.json().is_none() {
            let detail = format!("status {} without a JSON body", reply.status);
            return Err(Refusal::Upstream(upstream::Error::BadReply(detail)));
        }
        Ok(())
    }

    /// Makes it lasting that upstream refused a workspace's key, saying `said`: no calls on any node, and an alert. This
    /// process has stopped calling already (`upstream`); if it cannot be stored, the next round of the worker tries again.
    pub async fn suspend(&self, account: &Account, said: &str) {
        let workspace = &account.workspace;
        let reason = format!("PostPost refused the workspace's key: {said}");
        let actor = Actor::system("upstream");
        // Only if it is still the key that was refused: a late answer to the old one says nothing about the new.
        let stored = self
            .db
            .suspend_workspace(&actor, &workspace.id, workspace.key_added_at, &reason, self.clock.now())
            .await
            .map_err(|e| e.to_string());
        let stored = match stored {
            Ok(suspended) => {
                if suspended {
                    // Once, by whichever node was first.
                    tracing::error!(
                        workspace = workspace.id,
                        name = workspace.name,
                        reason,
                        "all calls of this workspace are suspended until its upstream key is replaced"
                    );
                }
                self.access.reload().await.map_err(|e| e.to_string())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = stored {
            tracing::error!(workspace = workspace.id, error, "a refused upstream key could not be noted");
        }
    }

    /// Background work waits for a turn of its workspace for each call; somebody who waits for an answer does not. Always
    /// before an intent: a call must follow its intent at once. A job has waited for its item's turns itself, and has
    /// looked whether it is still to go on.
    async fn turns(&self, caller: &Caller, calls: u32) {
        if caller.patience == Patience::BACKGROUND && caller.item.is_none() {
            self.pacing.turns(&caller.account.workspace.id, Lane::Jobs, calls).await;
        }
    }

    /// A changing call's request.
    fn call(&self, caller: &Caller, method: Method, segments: &[&str]) -> Call {
        let mut call = Call::with(method, segments, caller.tenant.as_deref(), &caller.request_id);
        call.client.clone_from(&caller.client);
        call
    }
}
