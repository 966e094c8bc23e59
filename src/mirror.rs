//! Bringing the mirror of a tenant up to date: by changes since the newest known, or by a complete sweep that also finds
//! deletions. One refresh of a tenant at a time.

use crate::{
    access::Account,
    clock::{Clock, MINUTE, Millis},
    domain::{ids, posts::Post},
    store::{self, Db, leases::Fence},
    upstream::{Error, Patience, Upstream, pacing::Pacing, types::Failure},
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

/// No listing takes longer than this.
const LISTING_MAX: Millis = 10 * MINUTE;
/// A sweep is repeated when the list moved under it, at most this often.
const SWEEP_TRIES: u32 = 3;

/// Why a refresh failed.
#[derive(Debug)]
pub enum RefreshError {
    Upstream(Failure),
    Store(store::Error),
}

impl From<Failure> for RefreshError {
    fn from(error: Failure) -> Self {
        Self::Upstream(error)
    }
}

impl From<store::Error> for RefreshError {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl std::fmt::Display for RefreshError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Upstream(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

/// The mirror's keeper.
pub struct Mirror {
    db: Db,
    clock: Clock,
    upstream: Arc<Upstream>,
    pacing: Arc<Pacing>,
    busy: Mutex<HashMap<(String, String), Arc<tokio::sync::Mutex<()>>>>,
    /// Posts that went lately: (tenant, post) and when.
    deleted: Mutex<HashMap<(String, String), Millis>>,
    /// Tenants we have just changed something of.
    changed: Mutex<BTreeSet<(String, String)>>,
    wake: Notify,
}

impl Mirror {
    pub fn new(db: Db, clock: Clock, upstream: Arc<Upstream>, pacing: Arc<Pacing>) -> Self {
        Self {
            db,
            clock,
            upstream,
            pacing,
            busy: Mutex::default(),
            deleted: Mutex::default(),
            changed: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Asks for a tenant to be refreshed soon, because we changed one of its posts.
    pub fn note_change(&self, workspace_id: &str, tenant_id: &str) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.insert((workspace_id.to_owned(), tenant_id.to_owned()));
        self.wake.notify_one();
    }

    /// The tenants to refresh soon; each is given out once.
    pub fn take_changed(&self) -> Vec<(String, String)> {
        std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner))
            .into_iter()
            .collect()
    }

    /// Returns when a tenant was changed, or after `at_most`.
    pub async fn wait_for_change(&self, at_most: Duration) {
        let _ = tokio::time::timeout(at_most, self.wake.notified()).await;
    }

    /// Refreshes a tenant unless its mirror is younger than `max_age`.
    pub async fn ensure_fresh(
        &self,
        account: &Account,
        tenant_id: &str,
        max_age: Millis,
        patience: Patience,
    ) -> Result<(), RefreshError> {
        let workspace_id = &account.workspace.id;
        let lock = self.lock(workspace_id, tenant_id);
        // Somebody who waits for an answer does not wait for a long sweep in the background.
        let _one = tokio::time::timeout(patience.0, lock.lock())
            .await
            .map_err(|_| Failure::Failed(Error::Timeout))?;
        let Some(tenant) = self.db.tenant(workspace_id, tenant_id).await? else { return Ok(()) };
        if tenant.sync.synced_at.is_some_and(|at| at > self.clock.now() - max_age) {
            return Ok(());
        }
        self.refresh(account, tenant_id, tenant.sync.swept_at.is_none(), patience, None).await
    }

    /// Refreshes a tenant on the strength of the lease on its workspace's mirror.
    pub async fn refresh_leased(
        &self,
        account: &Account,
        tenant_id: &str,
        full: bool,
        fence: &Fence,
    ) -> Result<(), RefreshError> {
        let lock = self.lock(&account.workspace.id, tenant_id);
        let _one = lock.lock().await;
        self.refresh(account, tenant_id, full, Patience::BACKGROUND, Some(fence)).await
    }

    /// Lists all of a tenant's posts again, which also finds those deleted elsewhere.
    pub async fn sweep(
        &self,
        account: &Account,
        tenant_id: &str,
        patience: Patience,
    ) -> Result<(), RefreshError> {
        let lock = self.lock(&account.workspace.id, tenant_id);
        let _one = tokio::time::timeout(patience.0, lock.lock())
            .await
            .map_err(|_| Failure::Failed(Error::Timeout))?;
        self.refresh(account, tenant_id, true, patience, None).await
    }

    async fn refresh(
        &self,
        account: &Account,
        tenant_id: &str,
        full: bool,
        patience: Patience,
        fence: Option<&Fence>,
    ) -> Result<(), RefreshError> {
        let result = if full {
            self.full(account, tenant_id, patience, fence).await
        } else {
            self.recent(account, tenant_id, patience, fence).await
        };
        if let Err(error) = &result
            && !matches!(error, RefreshError::Store(store::Error::Fenced))
        {
            let text: String = error.to_string().chars().take(300).collect();
            self.db.note_sync_error(&account.workspace.id, tenant_id, &text, self.clock.now()).await?;
        }
        result
    }

    /// Newest changes first, until one that is known already.
    async fn recent(
        &self,
        account: &Account,
        tenant_id: &str,
        patience: Patience,
        fence: Option<&Fence>,
    ) -> Result<(), RefreshError> {
        let workspace_id = &account.workspace.id;
        let started = self.clock.now();
        let known = self.db.newest_update(workspace_id, tenant_id).await?.unwrap_or(0);
        let mut fresh: Vec<Post> = Vec::new();
        let mut first_total = None;
        for page in 1.. {
            let listed = self.page(account, tenant_id, page, ("updatedAt", "desc"), patience).await?;
            if listed.total < *first_total.get_or_insert(listed.total) {
                // Something was deleted between two pages: what has slid over the border was not seen.
                return self.full(account, tenant_id, patience, fence).await;
            }
            // Equal times are read again: several posts can change within one millisecond.
            let more = listed.has_next && listed.posts.last().is_some_and(|p| p.updated_at >= known);
            fresh.extend(listed.posts.into_iter().filter(|p| p.updated_at >= known));
            if !more {
                break;
            }
        }
        self.store(workspace_id, tenant_id, fresh, started, false, fence).await
    }

    async fn full(
        &self,
        account: &Account,
        tenant_id: &str,
        patience: Patience,
        fence: Option<&Fence>,
    ) -> Result<(), RefreshError> {
        let workspace_id = &account.workspace.id;
        for _ in 0..SWEEP_TRIES {
            let started = self.clock.now();
            let mut posts: HashMap<String, Post> = HashMap::new();
            let mut totals = BTreeSet::new();
            for page in 1.. {
                let listed = self.page(account, tenant_id, page, ("createdAt", "desc"), patience).await?;
                totals.insert(listed.total);
                posts.extend(listed.posts.into_iter().map(|p| (p.id.clone(), p)));
                if !listed.has_next {
                    break;
                }
            }
            // Pages shift while posts are deleted (`contract.md` trap 6): only a list that was as long on every page, and
            // of which every post was seen, may remove what it does not hold.
            let complete = totals.len() == 1 && totals.contains(&(posts.len() as i64));
            let posts = posts.into_values().collect();
            self.store(workspace_id, tenant_id, posts, started, complete, fence).await?;
            if complete {
                return Ok(());
            }
        }
        Err(Failure::Failed(Error::BadReply("the list of posts kept changing during the sweep".into()))
            .into())
    }

    async fn store(
        &self,
        workspace_id: &str,
        tenant_id: &str,
        mut posts: Vec<Post>,
        started: Millis,
        complete: bool,
        fence: Option<&Fence>,
    ) -> Result<(), RefreshError> {
        {
            let deleted = self.deleted.lock().unwrap_or_else(PoisonError::into_inner);
            posts.retain(|p| {
                deleted.get(&(tenant_id.to_owned(), p.id.clone())).is_none_or(|at| *at < started)
            });
        }
        let now = self.clock.now();
        Ok(self.db.mirror_posts(workspace_id, tenant_id, &posts, started, complete, fence, now).await?)
    }

    /// Remembers for a while that a post is gone, so that a list read before does not bring it back.
    pub fn note_deleted(&self, tenant_id: &str, post_id: &str) {
        let now = self.clock.now();
        let mut deleted = self.deleted.lock().unwrap_or_else(PoisonError::into_inner);
        if deleted.len() > 10_000 {
            deleted.retain(|_, at| *at > now - LISTING_MAX);
        }
        deleted.insert((tenant_id.to_owned(), post_id.to_owned()), now);
    }

    async fn page(
        &self,
        account: &Account,
        tenant_id: &str,
        page: i64,
        sort: (&str, &str),
        patience: Patience,
    ) -> Result<crate::upstream::types::PostPage, RefreshError> {
        if patience == Patience::BACKGROUND {
            self.pacing.turn(&account.workspace.id).await;
        }
        let request_id = ids::new_id();
        let result = self
            .upstream
            .list_posts(&account.endpoint, Some(tenant_id), page, sort, &request_id, patience)
            .await;
        if let Err(Failure::Refused(reply)) = &result
            && reply.status == 429
        {
            let wait = reply.asked_to_wait().unwrap_or(Duration::from_secs(1));
            self.pacing.note(&account.workspace.id, Some(wait));
        }
        Ok(result?)
    }

    fn lock(&self, workspace_id: &str, tenant_id: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        // Locks nobody holds are dropped now and then, so that the map does not grow with every tenant ever seen.
        if busy.len() > 1_000 {
            busy.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        busy.entry((workspace_id.to_owned(), tenant_id.to_owned())).or_default().clone()
    }
}
