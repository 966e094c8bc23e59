//! Who is let in when many come at once. Each kind of caller has a room of its own, so that a flood at the tenant door
//! does not keep an operator out, and within the door a tenant and a workspace may fill only their share. What does not
//! fit waits for a moment and is then turned away: a caller who is told so early can come back, one who hangs cannot.

use super::{Door, Error, health, limits::Who};
use crate::metrics::Metrics;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// Calls worked on at once, by room. At the tenant door most of a call's time is waiting for PostPost: 512 calls of
/// 300 ms are 1,700 a second, about what two cores carry. They also all fit into the audit writer's queue.
const DOOR: usize = 512;
const PAGES: usize = 64;
const LOG_IN: usize = 16;
/// Of the door, what one tenant may fill, and how many of its calls may wait for that: what a key may send at once fits.
/// Sixteen calls of 300 ms are 50 a second, more than a tenant may make in the long run.
const TENANT: Share = Share { places: 16, waiting: 128 };
/// The same of a workspace. One whose PostPost hangs leaves the other half of the door.
const WORKSPACE: Share = Share { places: 256, waiting: 512 };
/// How long a call waits for its place (security.md §6), and how many may wait for one place of a room.
const PATIENCE: Duration = Duration::from_secs(1);
const WAITING: usize = 2;
/// Downloads under way. A slow reader of one holds two chunks of some 500 entries.
const DOWNLOADS: usize = 32;
/// Live views of jobs: an event stream each.
const LIVE: usize = 256;
/// And of one session: a browser opens six connections to an origin over HTTP/1.1, and the seventh tab would wait for ever.
const LIVE_PER_SESSION: usize = 4;
/// Bytes of bodies in memory, of the doors for programs and of the pages, in KiB.
const BODIES: usize = 64 << 10;
/// The same of log-ins, whose forms have a few hundred bytes each.
const LOG_IN_BODIES: usize = 4 << 10;
/// The largest form of a log-in or set-up, in bytes.
const LOG_IN_BODY: usize = 16 << 10;
/// Refused calls held back at once, and for how long: a client that comes back at once, a hundred connections wide, is
/// slowed down to a few hundred calls a second. Beyond that number refusals are answered at once.
const HELD_BACK: usize = 1_024;
const HOLD_BACK: Duration = Duration::from_millis(200);

/// Which room a request goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Health, figures and assets: memory only, or bounded by themselves. Never refused.
    Free,
    /// Programs: the tenant door and the machine door.
    Door,
    Pages,
    /// Passwords: apart from the pages, so that a flood of guesses keeps nobody out who is signed in.
    LogIn,
}

impl Lane {
    pub fn of(method: &str, path: &str) -> Self {
        let below =
            |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if health::is_probe(path) || below("/static") {
            Self::Free
        } else if below("/api") || below("/mcp") || below("/manage") {
            Self::Door
        } else if method == "POST" && (path == "/login" || below("/setup")) {
            Self::LogIn
        } else {
            Self::Pages
        }
    }
}

impl Lane {
    /// The largest body in bytes: the door's, but a small one of whoever is not signed in.
    pub fn body_max(self, door: Door) -> usize {
        match self {
            Self::LogIn => LOG_IN_BODY,
            Self::Free | Self::Door | Self::Pages => door.body_max(),
        }
    }
}

/// All rooms.
pub struct Gate {
    metrics: Arc<Metrics>,
    patience: Duration,
    door: Room,
    pages: Room,
    log_in: Room,
    shares: Arc<Shares>,
    downloads: Arc<Semaphore>,
    live: Arc<Semaphore>,
    views: Arc<Views>,
    door_bodies: Arc<Semaphore>,
    page_bodies: Arc<Semaphore>,
    log_in_bodies: Arc<Semaphore>,
    held_back: Semaphore,
}

/// Being let in. Gives its places back when dropped.
#[derive(Default)]
pub struct Pass {
    // In this order: a share is free only when the place in the room is.
    _room: Option<OwnedSemaphorePermit>,
    _seats: Vec<Seat>,
    body: Option<OwnedSemaphorePermit>,
}

impl Gate {
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            patience: PATIENCE,
            door: Room::new("door", DOOR),
            pages: Room::new("pages", PAGES),
            log_in: Room::new("log_in", LOG_IN),
            shares: Arc::default(),
            downloads: Arc::new(Semaphore::new(DOWNLOADS)),
            live: Arc::new(Semaphore::new(LIVE)),
            views: Arc::default(),
            door_bodies: Arc::new(Semaphore::new(BODIES)),
            page_bodies: Arc::new(Semaphore::new(BODIES)),
            log_in_bodies: Arc::new(Semaphore::new(LOG_IN_BODIES)),
            held_back: Semaphore::new(HELD_BACK),
        }
    }

    /// A place in the lane's room and in the caller's shares, waited for up to a second.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when too many wait already or the second is over.
    pub async fn enter(&self, lane: Lane, who: Option<&Who>, mut pass: Pass) -> Result<Pass, Error> {
        let deadline = Instant::now() + self.patience;
        let room = match lane {
            Lane::Free => return Ok(pass),
            Lane::Door => &self.door,
            Lane::Pages => &self.pages,
            Lane::LogIn => &self.log_in,
        };
        let result = async {
            if let (Lane::Door, Some(who)) = (lane, who) {
                let (tenant, workspace) = share_names(who);
                pass._seats.push(self.shares.sit(tenant, TENANT, deadline).await.ok_or("tenant_share")?);
                let seat = self.shares.sit(workspace, WORKSPACE, deadline).await;
                pass._seats.push(seat.ok_or("workspace_share")?);
            }
            room.enter(deadline).await.ok_or(room.name)
        }
        .await;
        match result {
            Ok(place) => pass._room = Some(place),
            Err(reason) => return Err(self.shed(reason)),
        }
        Ok(pass)
    }

    /// Counts a body that is being read and has `bytes` so far.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when all bodies together are more than is kept in memory.
    pub fn hold_body(&self, lane: Lane, pass: &mut Pass, bytes: usize) -> Result<(), Error> {
        let bodies = match lane {
            Lane::Door => &self.door_bodies,
            Lane::LogIn => &self.log_in_bodies,
            Lane::Pages | Lane::Free => &self.page_bodies,
        };
        let held = pass.body.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let kib = bytes.div_ceil(1 << 10).saturating_sub(held) as u32;
        match bodies.clone().try_acquire_many_owned(kib) {
            Ok(more) => match &mut pass.body {
                Some(body) => body.merge(more),
                none => *none = Some(more),
            },
            Err(_) => return Err(self.shed("bodies")),
        }
        Ok(())
    }

    /// A place for a download, held until its last byte is made.
    pub fn download(&self) -> Result<OwnedSemaphorePermit, Error> {
        self.downloads.clone().try_acquire_owned().map_err(|_| self.shed("downloads"))
    }

    /// A place for a live view of a session. Its oldest one has to go if it has too many.
    pub fn live_view(&self, session_id: &str) -> Result<LiveView, Error> {
        let place = self.live.clone().try_acquire_owned().map_err(|_| self.shed("live_views"))?;
        Ok(LiveView { _place: place, seat: self.views.open(session_id), views: self.views.clone() })
    }

    /// Keeps a refused caller waiting for a moment.
    pub async fn hold_back(&self) {
        if let Ok(_one) = self.held_back.try_acquire() {
            tokio::time::sleep(HOLD_BACK).await;
        }
    }

    /// Waits until nobody is in any room.
    pub async fn drained(&self) {
        for room in [&self.door, &self.pages, &self.log_in] {
            let _ = room.places.acquire_many(room.size as u32).await;
        }
    }

    fn shed(&self, reason: &str) -> Error {
        self.metrics.shed(reason);
        Error::Overloaded
    }
}

/// The live views of each session, oldest first. Each is told to go when its place is needed.
#[derive(Default)]
struct Views(Mutex<HashMap<String, Vec<Arc<Notify>>>>);

impl Views {
    fn open(&self, session_id: &str) -> (String, Arc<Notify>) {
        let mut views = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = views.entry(session_id.to_owned()).or_default();
        if open.len() >= LIVE_PER_SESSION {
            open.remove(0).notify_one();
        }
        let told = Arc::new(Notify::new());
        open.push(told.clone());
        (session_id.to_owned(), told)
    }

    fn close(&self, (session_id, told): &(String, Arc<Notify>)) {
        let mut views = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = views.get_mut(session_id) {
            open.retain(|other| !Arc::ptr_eq(other, told));
            if open.is_empty() {
                views.remove(session_id);
            }
        }
    }
}

/// A live view's place, until it is dropped.
pub struct LiveView {
    _place: OwnedSemaphorePermit,
    seat: (String, Arc<Notify>),
    views: Arc<Views>,
}

impl LiveView {
    /// Returns when a newer view of the session needs the place.
    pub async fn taken(&self) {
        self.seat.1.notified().await;
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        self.views.close(&self.seat);
    }
}

/// A call of the owner's own account has no tenant: its key stands for it.
fn share_names(who: &Who) -> (String, String) {
    let own = match &who.tenant_id {
        Some(tenant) => format!("tenant {} {tenant}", who.workspace_id),
        None => format!("key {}", who.key_id),
    };
    (own, format!("workspace {}", who.workspace_id))
}

struct Room {
    name: &'static str,
    size: usize,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Room {
    fn new(name: &'static str, size: usize) -> Self {
        Self { name, size, places: Arc::new(Semaphore::new(size)), waiting: AtomicUsize::new(0) }
    }

    async fn enter(&self, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Some(place);
        }
        let _waiting = Waiting::join(&self.waiting, self.size * WAITING)?;
        timeout_at(deadline, self.places.clone().acquire_owned()).await.ok()?.ok()
    }
}

/// One of those who wait for a room.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn join(count: &'a AtomicUsize, most: usize) -> Option<Self> {
        let waiting = Self(count);
        (count.fetch_add(1, Ordering::Relaxed) < most).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The shares in use. One that nobody holds or waits for is forgotten.
#[derive(Default)]
struct Shares(Mutex<HashMap<String, Table>>);

/// What one caller may fill of a room.
struct Share {
    places: usize,
    waiting: usize,
}

struct Table {
    places: Arc<Semaphore>,
    /// Who holds a place or waits for one.
    members: usize,
}

impl Shares {
    async fn sit(self: &Arc<Self>, name: String, share: Share, deadline: Instant) -> Option<Seat> {
        let (places, mut seat) = self.join(name, &share)?;
        seat._place = Some(timeout_at(deadline, places.acquire_owned()).await.ok()?.ok()?);
        Some(seat)
    }

    fn join(self: &Arc<Self>, name: String, share: &Share) -> Option<(Arc<Semaphore>, Seat)> {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let table = shares
            .entry(name.clone())
            .or_insert_with(|| Table { places: Arc::new(Semaphore::new(share.places)), members: 0 });
        if table.members >= share.places + share.waiting {
            return None;
        }
        table.members += 1;
        Some((table.places.clone(), Seat { _place: None, name, shares: self.clone() }))
    }
}

/// A place in a share, or in its queue.
struct Seat {
    _place: Option<OwnedSemaphorePermit>,
    name: String,
    shares: Arc<Shares>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut shares = self.shares.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = shares.get_mut(&self.name) {
            table.members -= 1;
            if table.members == 0 {
                shares.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn who(workspace: &str, tenant: &str) -> Who {
        Who { key_id: "k".into(), rate: None, workspace_id: workspace.into(), tenant_id: Some(tenant.into()) }
    }

    const SHORT: Duration = Duration::from_millis(30);

    fn gate() -> Gate {
        Gate { patience: SHORT, ..Gate::new(Arc::default()) }
    }

    async fn enter(gate: &Gate, lane: Lane, who: Option<&Who>) -> Result<Pass, Error> {
        gate.enter(lane, who, Pass::default()).await
    }

    /// The answer of what must not wait.
    fn at_once<T>(work: impl Future<Output = T>) -> T {
        work.now_or_never().expect("it waited")
    }

    #[test]
    fn every_path_has_a_lane() {
        for (method, path, lane) in [
            ("GET", "/healthz", Lane::Free),
            ("GET", "/static/1/app.css", Lane::Free),
            ("GET", "/staticx", Lane::Pages),
            ("GET", "/api/v1/list-posts", Lane::Door),
            ("GET", "/manage/v1/audit.csv", Lane::Door),
            ("GET", "/login", Lane::Pages),
            ("POST", "/login", Lane::LogIn),
            ("POST", "/setup/x", Lane::LogIn),
            ("POST", "/w/1/plans", Lane::Pages),
        ] {
            assert_eq!(Lane::of(method, path), lane, "{method} {path}");
        }
    }

    #[tokio::test]
    async fn a_tenant_fills_its_share_and_no_more() {
        let gate = gate();
        let noisy = who("w", "noisy");
        let mut inside = Vec::new();
        for _ in 0..TENANT.places {
            inside.push(enter(&gate, Lane::Door, Some(&noisy)).await.unwrap());
        }
        let begun = Instant::now();
        assert!(matches!(enter(&gate, Lane::Door, Some(&noisy)).await, Err(Error::Overloaded)));
        assert!(begun.elapsed() >= SHORT);
        // The others do not wait.
        assert!(at_once(enter(&gate, Lane::Door, Some(&who("w", "quiet")))).is_ok());
        // More than may wait are refused at once.
        let mut waiting: Vec<_> = (0..TENANT.waiting)
            .map(|_| Box::pin(async { enter(&gate, Lane::Door, Some(&noisy)).await.is_ok() }))
            .collect();
        assert!(waiting.iter_mut().all(|w| w.as_mut().now_or_never().is_none()));
        assert!(at_once(enter(&gate, Lane::Door, Some(&noisy))).is_err());
        // One place that is given back lets them all through, one after the other.
        inside.truncate(TENANT.places - 1);
        assert!(futures_util::future::join_all(waiting).await.into_iter().all(|let_in| let_in));
        drop(inside);
        gate.drained().await;
        assert!(gate.shares.0.lock().unwrap().is_empty(), "nothing is kept of those who are gone");
    }

    #[tokio::test]
    async fn a_full_door_leaves_the_pages_and_the_log_in_alone() {
        let gate = gate();
        let mut inside = Vec::new();
        for n in 0..DOOR {
            let caller = who(&format!("w{}", n / WORKSPACE.places), &format!("t{}", n / TENANT.places));
            inside.push(enter(&gate, Lane::Door, Some(&caller)).await.unwrap());
        }
        assert!(enter(&gate, Lane::Door, Some(&who("w9", "t9"))).await.is_err());
        for lane in [Lane::Free, Lane::Pages, Lane::LogIn] {
            assert!(at_once(enter(&gate, lane, None)).is_ok());
        }
    }

    #[tokio::test]
    async fn a_workspace_leaves_half_of_the_door() {
        let gate = gate();
        let mut inside = Vec::new();
        for n in 0..WORKSPACE.places {
            let caller = who("w", &format!("t{}", n / TENANT.places));
            inside.push(enter(&gate, Lane::Door, Some(&caller)).await.unwrap());
        }
        assert!(enter(&gate, Lane::Door, Some(&who("w", "another"))).await.is_err());
        assert!(enter(&gate, Lane::Door, Some(&who("v", "t"))).await.is_ok());
    }

    #[test]
    fn bodies_in_memory_are_bounded() {
        let gate = gate();
        let mut pass = Pass::default();
        gate.hold_body(Lane::Pages, &mut pass, BODIES << 10).unwrap();
        assert!(gate.hold_body(Lane::Pages, &mut Pass::default(), 1).is_err());
        assert!(gate.hold_body(Lane::Door, &mut Pass::default(), 1).is_ok());
        drop(pass);
        assert!(gate.hold_body(Lane::Pages, &mut Pass::default(), 1).is_ok());
    }
}
