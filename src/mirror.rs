//! Bringing the mirror of a tenant up to date: by changes since the newest known, or by a complete sweep that also finds
//! deletions; and when a tenant is to be read again. One refresh of a tenant at a time.

mod lookups;

use crate::{
    access::Account,
    clock::{Clock, MINUTE, Millis, SECOND},
    domain::{ids, posts::Post, tenants::Tenant},
    store::{
        self, Db,
        leases::Fence,
        posts::{Listing, MirroredPost},
    },
    upstream::{
        Error, Patience, Upstream,
        pacing::{Lane, Pacing},
        types::Failure,
    },
};
use lookups::Lookups;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, OwnedMutexGuard};

/// No listing takes longer than this.
const LISTING_MAX: Millis = 10 * MINUTE;
/// A sweep is repeated when the list moved under it, at most this often.
const SWEEP_TRIES: u32 = 3;
/// Deletions elsewhere make a sweep necessary, of one tenant at most this often beside its regular ones.
const SWEEP_PAUSE: Millis = 5 * MINUTE;
/// Changes are read again from so long before the newest one known: upstream may show one later than another that it
/// has stamped with a later time.
const OVERLAP: Millis = 5 * SECOND;
/// A tenant that could not be read waits as long as its copy is old, within these bounds.
const RETRY_MIN: Millis = 30 * SECOND;
const RETRY_MAX: Millis = 5 * MINUTE;
/// A tenant that is being changed all the time is read this often, not after each change.
const CHANGE_PAUSE: Millis = 2 * SECOND;
/// Of the tenants people look at, so many wait to be read first; those beyond wait for their turn like all others.
const LOOKED_AT_MAX: usize = 500;

/// How old the mirror of a tenant gets.
#[derive(Debug, Clone, Copy)]
pub struct Ages {
    /// Before it is read for changes.
    pub changes: Millis,
    /// Before it is swept completely.
    pub sweep: Millis,
}

/// How a refresh is done: how long it may take, whose turns its calls wait for, and the lease it is done under.
#[derive(Clone, Copy)]
struct Manner<'a> {
    patience: Patience,
    lane: Option<Lane>,
    fence: Option<&'a Fence>,
}

impl Manner<'_> {
    /// Whoever waits for an answer is not paced; other work takes its turns among the jobs'.
    fn of(patience: Patience) -> Self {
        let lane = (patience == Patience::BACKGROUND).then_some(Lane::Jobs);
        Self { patience, lane, fence: None }
    }
}

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

/// What is to be read of a workspace before its time.
#[derive(Default)]
struct Wanted {
    /// Tenants we have changed something of, and from when on they may be read.
    changed: BTreeMap<String, Millis>,
    /// When tenants were last given out because of a change.
    given: HashMap<String, Millis>,
    /// Tenants somebody has just seen an old copy of.
    looked_at: BTreeSet<String>,
    bell: Arc<Notify>,
}

/// The mirror's keeper.
pub struct Mirror {
    db: Db,
    clock: Clock,
    upstream: Arc<Upstream>,
    pacing: Arc<Pacing>,
    ages: Ages,
    busy: Mutex<HashMap<(String, String), Arc<tokio::sync::Mutex<()>>>>,
    /// Tenants read lately, by workspace and tenant, and when that began.
    read: Mutex<HashMap<(String, String), Millis>>,
    lookups: Lookups,
    /// Posts that went lately: (tenant, post) and when.
    deleted: Mutex<HashMap<(String, String), Millis>>,
    /// By workspace.
    wanted: Mutex<HashMap<String, Wanted>>,
}

impl Mirror {
    pub fn new(db: Db, clock: Clock, upstream: Arc<Upstream>, pacing: Arc<Pacing>, ages: Ages) -> Self {
        Self {
            lookups: Lookups::start(db.clone()),
            db,
            clock,
            upstream,
            pacing,
            ages,
            busy: Mutex::default(),
            read: Mutex::default(),
            deleted: Mutex::default(),
            wanted: Mutex::default(),
        }
    }

    pub fn ages(&self) -> Ages {
        self.ages
    }

    /// How long it takes to read so many tenants once, a call each, when no job takes turns as well.
    pub fn round_of(&self, tenants: i64) -> Millis {
        tenants * self.pacing.interval().as_millis() as Millis
    }

    /// Asks for a tenant to be refreshed soon, because we changed one of its posts.
    pub fn note_change(&self, workspace_id: &str, tenant_id: &str) {
        let now = self.clock.now();
        self.with_wanted(workspace_id, |wanted| {
            let from = wanted.given.get(tenant_id).map_or(now, |at| at + CHANGE_PAUSE);
            wanted.changed.entry(tenant_id.to_owned()).or_insert(from);
            wanted.bell.notify_one();
        });
    }

    /// Asks for tenants to be refreshed before others, because somebody is looking at old copies of their posts.
    pub fn note_looked_at<'a>(&self, workspace_id: &str, tenant_ids: impl IntoIterator<Item = &'a str>) {
        self.with_wanted(workspace_id, |wanted| {
            let room = LOOKED_AT_MAX.saturating_sub(wanted.looked_at.len());
            wanted.looked_at.extend(tenant_ids.into_iter().take(room).map(str::to_owned));
            wanted.bell.notify_one();
        });
    }

    /// The changed tenants of a workspace that may be read; each is given out once.
    pub fn take_changed(&self, workspace_id: &str) -> Vec<String> {
        let now = self.clock.now();
        self.with_wanted(workspace_id, |wanted| {
            wanted.given.retain(|_, at| *at > now - CHANGE_PAUSE);
            let ready: Vec<String> =
                wanted.changed.extract_if(.., |_, from| *from <= now).map(|(tenant, _)| tenant).collect();
            wanted.given.extend(ready.iter().map(|tenant| (tenant.clone(), now)));
            ready
        })
    }

    /// Some of the tenants people look at; each is given out once.
    pub fn take_looked_at(&self, workspace_id: &str, at_most: usize) -> Vec<String> {
        self.with_wanted(workspace_id, |wanted| {
            std::iter::from_fn(|| wanted.looked_at.pop_first()).take(at_most).collect()
        })
    }

    /// Rings when something is noted of the workspace, and keeps a ring that nobody heard. For one listener.
    pub fn bell(&self, workspace_id: &str) -> Arc<Notify> {
        self.with_wanted(workspace_id, |wanted| wanted.bell.clone())
    }

    fn with_wanted<T>(&self, workspace_id: &str, f: impl FnOnce(&mut Wanted) -> T) -> T {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        f(wanted.entry(workspace_id.to_owned()).or_default())
    }

    /// Refreshes a tenant unless its mirror is younger than `max_age`.
    pub async fn ensure_fresh(
        &self,
        account: &Account,
        tenant_id: &str,
        max_age: Millis,
        patience: Patience,
    ) -> Result<(), RefreshError> {
        // A job asks this before each post of a tenant.
        if self.last_read(&account.workspace.id, tenant_id).is_some_and(|at| at > self.clock.now() - max_age)
        {
            return Ok(());
        }
        let Some((tenant, _one)) = self.hold(account, tenant_id, patience).await? else { return Ok(()) };
        if let Some(at) = tenant.sync.synced_at.filter(|at| *at > self.clock.now() - max_age) {
            self.note_read(&account.workspace.id, tenant_id, at);
            return Ok(());
        }
        self.refresh(account, &tenant, tenant.sync.swept_at.is_none(), Manner::of(patience)).await
    }

    /// A post as the mirror has it.
    pub async fn post(
        &self,
        workspace_id: &str,
        tenant_id: &str,
        post_id: &str,
    ) -> store::Result<Option<MirroredPost>> {
        self.lookups.post(workspace_id, tenant_id, post_id).await
    }

    /// When this process has last read a tenant, if that is known. Another may have read it later.
    fn last_read(&self, workspace_id: &str, tenant_id: &str) -> Option<Millis> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.get(&(workspace_id.to_owned(), tenant_id.to_owned())).copied()
    }

    fn note_read(&self, workspace_id: &str, tenant_id: &str, started: Millis) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        // Of older ones nobody wants to know; the map does not grow with every tenant ever seen.
        if read.len() > 10_000 {
            read.retain(|_, at| *at > self.clock.now() - MINUTE);
        }
        read.insert((workspace_id.to_owned(), tenant_id.to_owned()), started);
    }

    /// Refreshes a tenant in the background, completely when that is due, whatever its changes say: one whose posts change
    /// all the time must be swept as well. Not if somebody has read it since `since`. With a fence, on the strength of the
    /// lease on its workspace's mirror.
    pub async fn refresh_in_turn(
        &self,
        account: &Account,
        tenant_id: &str,
        since: Millis,
        fence: Option<&Fence>,
    ) -> Result<(), RefreshError> {
        let manner = Manner { patience: Patience::BACKGROUND, lane: Some(Lane::Mirror), fence };
        let Some((tenant, _one)) = self.hold(account, tenant_id, manner.patience).await? else {
            return Ok(());
        };
        if tenant.sync.synced_at.is_some_and(|at| at >= since) {
            return Ok(());
        }
        let sweep_before = self.clock.now() - self.ages.sweep;
        let full = tenant.sync.swept_at.is_none_or(|at| at <= sweep_before);
        self.refresh(account, &tenant, full, manner).await
    }

    /// Lists all of a tenant's posts again, which also finds those deleted elsewhere.
    pub async fn sweep(
        &self,
        account: &Account,
        tenant_id: &str,
        patience: Patience,
    ) -> Result<(), RefreshError> {
        let Some((tenant, _one)) = self.hold(account, tenant_id, patience).await? else { return Ok(()) };
        self.refresh(account, &tenant, true, Manner::of(patience)).await
    }

    /// The tenant, once no other refresh of it is under way, and what keeps others waiting. `None` if there is no such
    /// tenant. Somebody who waits for an answer does not wait for a long sweep in the background.
    async fn hold(
        &self,
        account: &Account,
        tenant_id: &str,
        patience: Patience,
    ) -> Result<Option<(Tenant, OwnedMutexGuard<()>)>, RefreshError> {
        let lock = self.lock(&account.workspace.id, tenant_id);
        let one = tokio::time::timeout(patience.0, lock.lock_owned())
            .await
            .map_err(|_| Failure::Failed(Error::Timeout))?;
        let tenant = self.db.tenant(&account.workspace.id, tenant_id).await?;
        Ok(tenant.map(|tenant| (tenant, one)))
    }

    async fn refresh(
        &self,
        account: &Account,
        tenant: &Tenant,
        full: bool,
        manner: Manner<'_>,
    ) -> Result<(), RefreshError> {
        let result = if full {
            self.full(account, tenant, manner).await
        } else {
            self.recent(account, tenant, manner).await
        };
        if let Err(error) = &result
            && !matches!(error, RefreshError::Store(store::Error::Fenced))
        {
            let text: String = error.to_string().chars().take(300).collect();
            let now = self.clock.now();
            let due_at = now + retry_after(error, tenant, now);
            self.db.note_sync_error(&account.workspace.id, &tenant.id, &text, now, due_at).await?;
        }
        result
    }

    /// Newest changes first, until one that is known already.
    async fn recent(
        &self,
        account: &Account,
        tenant: &Tenant,
        manner: Manner<'_>,
    ) -> Result<(), RefreshError> {
        let started = self.clock.now();
        let known = tenant.sync.read_to.map_or(0, |at| at - OVERLAP);
        let mut fresh: Vec<Post> = Vec::new();
        let (mut first_total, mut read_to) = (None, None);
        for page in 1.. {
            let listed = self.page(account, &tenant.id, page, ("updatedAt", "desc"), manner).await?;
            if listed.total < *first_total.get_or_insert(listed.total) {
                // Something was deleted between two pages: what has slid over the border was not seen.
                return self.full(account, tenant, manner).await;
            }
            // What changes while further pages are read is later than all of the first one.
            read_to = read_to.or_else(|| listed.posts.first().map(|p| p.updated_at));
            // Equal times are read again: several posts can change within one millisecond.
            let more = listed.has_next && listed.posts.last().is_some_and(|p| p.updated_at >= known);
            fresh.extend(listed.posts.into_iter().filter(|p| p.updated_at >= known));
            if !more {
                break;
            }
        }
        let due_at = self.next_due(started, tenant.sync.swept_at);
        let listing = Listing { posts: &[], started, complete: false, read_to, due_at };
        self.store(account, tenant, fresh, listing, manner).await?;
        // A deletion leaves no change to list, but one post less. A sweep finds which.
        let held = self.db.count_mirrored(&account.workspace.id, &tenant.id).await?;
        let may_sweep = tenant.sync.swept_at.is_none_or(|at| at <= started - SWEEP_PAUSE);
        if may_sweep && first_total.is_some_and(|total| held > total) {
            if manner.lane == Some(Lane::Mirror) {
                return self.full(account, tenant, manner).await;
            }
            self.note_change(&account.workspace.id, &tenant.id);
        }
        Ok(())
    }

    async fn full(&self, account: &Account, tenant: &Tenant, manner: Manner<'_>) -> Result<(), RefreshError> {
        for _ in 0..SWEEP_TRIES {
            let started = self.clock.now();
            let mut posts: HashMap<String, Post> = HashMap::new();
            let mut totals = BTreeSet::new();
            let mut read_to = None;
            for page in 1.. {
                let listed = self.page(account, &tenant.id, page, ("createdAt", "desc"), manner).await?;
                totals.insert(listed.total);
                // What changes after the first page was read is later than all of it; of the later pages' that is not so.
                if page == 1 {
                    read_to = listed.posts.iter().map(|p| p.updated_at).max();
                }
                posts.extend(listed.posts.into_iter().map(|p| (p.id.clone(), p)));
                if !listed.has_next {
                    break;
                }
            }
            // Pages shift while posts are deleted (`contract.md` trap 6): only a list that was as long on every page, and
            // of which every post was seen, may remove what it does not hold.
            let complete = totals.len() == 1 && totals.contains(&(posts.len() as i64));
            let posts = posts.into_values().collect();
            let due_at = self.next_due(started, if complete { Some(started) } else { tenant.sync.swept_at });
            let read_to = read_to.filter(|_| complete);
            let listing = Listing { posts: &[], started, complete, read_to, due_at };
            self.store(account, tenant, posts, listing, manner).await?;
            if complete {
                return Ok(());
            }
        }
        Err(Failure::Failed(Error::BadReply("the list of posts kept changing during the sweep".into()))
            .into())
    }

    /// Stores the posts of a listing, but for those that went meanwhile.
    async fn store(
        &self,
        account: &Account,
        tenant: &Tenant,
        mut posts: Vec<Post>,
        listing: Listing<'_>,
        manner: Manner<'_>,
    ) -> Result<(), RefreshError> {
        let gone = self.deleted_since(&tenant.id, &posts, listing.started);
        posts.retain(|p| !gone.contains(&p.id));
        let (workspace_id, now) = (&account.workspace.id, self.clock.now());
        let listing = Listing { posts: &posts, ..listing };
        self.db.mirror_listing(workspace_id, &tenant.id, &listing, manner.fence, now).await?;
        // A deletion noted after the look above may have been on record before the listing was, which then brought the post back.
        let gone = self.deleted_since(&tenant.id, &posts, listing.started);
        if !gone.is_empty() {
            self.db.forget_posts(workspace_id, &tenant.id, &gone).await?;
        }
        self.note_read(workspace_id, &tenant.id, listing.started);
        Ok(())
    }

    /// Those of a tenant's posts that were noted as deleted from then on.
    fn deleted_since(&self, tenant_id: &str, posts: &[Post], since: Millis) -> BTreeSet<String> {
        let deleted = self.deleted.lock().unwrap_or_else(PoisonError::into_inner);
        let gone =
            |p: &&Post| deleted.get(&(tenant_id.to_owned(), p.id.clone())).is_some_and(|at| *at >= since);
        posts.iter().filter(gone).map(|p| p.id.clone()).collect()
    }

    /// When a tenant read now is to be read again: for changes, or earlier if its next sweep comes before.
    fn next_due(&self, started: Millis, swept_at: Option<Millis>) -> Millis {
        let sweep = swept_at.map_or(started, |at| at + self.ages.sweep);
        sweep.min(started + self.ages.changes)
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
        manner: Manner<'_>,
    ) -> Result<crate::upstream::types::PostPage, RefreshError> {
        let workspace_id = &account.workspace.id;
        if let Some(lane) = manner.lane {
            self.pacing.turns(workspace_id, lane, 1).await;
        }
        let request_id = ids::new_id();
        let result = self
            .upstream
            .list_posts(&account.endpoint, Some(tenant_id), page, sort, &request_id, manner.patience)
            .await;
        match &result {
            Ok(_) if manner.lane.is_some() => self.pacing.note(workspace_id, None),
            Err(Failure::Refused(reply)) if reply.status == 429 => {
                let wait = reply.asked_to_wait().unwrap_or(Duration::from_secs(1));
                self.pacing.note(workspace_id, Some(wait));
            }
            _ => {}
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

/// How long a tenant that could not be read is left alone. The longer it has failed, the longer, so that many such tenants
/// do not take the others' turns. Calls an open breaker has held back tell nothing about the tenant.
fn retry_after(error: &RefreshError, tenant: &Tenant, now: Millis) -> Millis {
    if matches!(error, RefreshError::Upstream(Failure::Failed(Error::BreakerOpen { .. }))) {
        return RETRY_MIN;
    }
    (now - tenant.sync.synced_at.unwrap_or(tenant.created_at)).clamp(RETRY_MIN, RETRY_MAX)
}
