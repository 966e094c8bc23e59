//! Who may do what, in memory: live keys, tenants' states and workspaces with their opened keys. Rebuilt after every
//! change on this node, and within [`POLL`] of a change on another. The hot path reads nothing else.

use crate::{
    clock::{Clock, Millis},
    domain::{audit::Actor, keys::Key, secrets, workspaces::Workspace},
    envelope::CannotOpen,
    keyring::Keyring,
    store::{self, Db, keys::KeyUse},
    upstream::{Endpoint, KeyStanding},
};
use arc_swap::ArcSwap;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How often other nodes' changes are looked for; a revoked key lives on there at most this long (5 s are promised).
pub const POLL: Duration = Duration::from_secs(2);
/// A picture that was not confirmed for this long is not trusted: what was revoked elsewhere must not live on because
/// the database cannot be asked.
const TRUSTED: Duration = Duration::from_secs(5);
/// How long a call waits to learn whether its key was made elsewhere, and for others' first uses to be noted.
const LOOK: Duration = Duration::from_secs(1);
/// So many users of one key are remembered until they are written down; of more, the latest.
const USERS: usize = 32;

/// A workspace ready to be called for.
pub struct Account {
    pub workspace: Workspace,
    pub endpoint: Endpoint,
}

/// A tenant as far as admission goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub frozen: Option<String>,
    pub detached: bool,
}

/// The last use of a key by one user.
struct Use {
    at: Millis,
    from: IpAddr,
    agent: String,
}

#[derive(Default)]
struct Snapshot {
    version: i64,
    keys: HashMap<[u8; 32], Arc<Key>>,
    accounts: HashMap<String, Arc<Account>>,
    tenants: HashMap<(String, String), Standing>,
}

#[derive(Debug)]
pub enum Error {
    Store(store::Error),
    Secret(CannotOpen),
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Secret(error) => error.fmt(f),
        }
    }
}

/// The picture, and the uses of keys waiting to be written down.
pub struct Access {
    db: Db,
    clock: Clock,
    keyring: Arc<Keyring>,
    now: ArcSwap<Snapshot>,
    /// When the database was last asked, with an answer, whether the picture still holds. Not by the [`Clock`]: a clock
    /// that is set must not make old news look fresh.
    confirmed: Mutex<Instant>,
    asking: tokio::sync::Mutex<()>,
    /// Who asks for a key that is not in the picture, and who lets a pending one in: one at a time each.
    looking: tokio::sync::Mutex<()>,
    activating: tokio::sync::Mutex<()>,
    uses: Mutex<HashMap<String, Vec<Use>>>,
    /// One rebuild at a time, so that an older picture never replaces a newer one.
    rebuild: tokio::sync::Mutex<()>,
}

impl Access {
    pub async fn open(db: Db, clock: Clock, keyring: Arc<Keyring>) -> Result<Self, Error> {
        let access = Self {
            db,
            clock,
            keyring,
            now: ArcSwap::default(),
            confirmed: Mutex::new(Instant::now()),
            asking: tokio::sync::Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            activating: tokio::sync::Mutex::default(),
            uses: Mutex::default(),
            rebuild: tokio::sync::Mutex::default(),
        };
        access.reload().await?;
        Ok(access)
    }

    /// Rebuilds the picture. Called after each change made on this node, before its answer.
    pub async fn reload(&self) -> Result<(), Error> {
        let _one = self.rebuild.lock().await;
        let asked = Instant::now();
        // The version is read first: a change during the rebuild makes the next poll rebuild again.
        let version = self.db.access_version().await?;
        let keys = self.db.live_keys(self.clock.now()).await?;
        let keys = keys.into_iter().filter_map(|k| Some((k.mac.try_into().ok()?, Arc::new(k.key)))).collect();
        let mut sealed: HashMap<String, Vec<u8>> = self.db.sealed_keys().await?.into_iter().collect();
        let mut accounts = HashMap::new();
        for workspace in self.db.workspaces().await? {
            // Added between the two reads: the next poll has it.
            let Some(blob) = sealed.remove(&workspace.id) else { continue };
            let key =
                self.keyring.open_secret(upstream_key_place(&workspace.id), &blob).map_err(Error::Secret)?;
            let endpoint = Endpoint {
                workspace_id: workspace.id.clone(),
                base_url: workspace.base_url.clone(),
                key,
                standing: match workspace.suspended_at {
                    None => KeyStanding::InUse { since: workspace.key_added_at },
                    Some(_) => KeyStanding::Refused,
                },
            };
            accounts.insert(workspace.id.clone(), Arc::new(Account { workspace, endpoint }));
        }
        let tenants = self.db.tenant_states().await?;
        let tenants = tenants
            .into_iter()
            .map(|(workspace, id, frozen, detached)| ((workspace, id), Standing { frozen, detached }))
            .collect();
        self.now.store(Arc::new(Snapshot { version, keys, accounts, tenants }));
        self.confirm(asked);
        Ok(())
    }

    /// Rebuilds if another node has changed something.
    pub async fn poll(&self) -> Result<(), Error> {
        let asked = Instant::now();
        if self.db.access_version().await? == self.now.load().version {
            self.confirm(asked);
            return Ok(());
        }
        self.reload().await
    }

    fn confirm(&self, asked: Instant) {
        let mut confirmed = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        *confirmed = asked.max(*confirmed);
    }

    /// Makes sure that the picture can be trusted, if need be by asking. On the embedded engine nobody else changes
    /// anything.
    ///
    /// # Errors
    /// When the database could not be asked for too long. One caller at a time asks and waits; the others are told at once.
    pub async fn ensure_fresh(&self) -> Result<(), Error> {
        let confirmed = *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        if self.db.is_embedded() || confirmed.elapsed() < TRUSTED {
            return Ok(());
        }
        let Ok(_one) = self.asking.try_lock() else { return Err(store::Error::NoAnswer.into()) };
        self.poll().await
    }

    /// Asks whether there are news, for a key that is not in the picture: it may have been made on another node a moment
    /// ago, and its first call may come here. Calls that come while one asks share the answer of the next question. On the
    /// embedded engine there is nobody to have made it.
    ///
    /// # Errors
    /// When the database could not be asked: then nobody can say whether the key is one.
    pub async fn look_again(&self) -> Result<(), Error> {
        if self.db.is_embedded() {
            return Ok(());
        }
        let came = Instant::now();
        let _one =
            tokio::time::timeout(LOOK, self.looking.lock()).await.map_err(|_| store::Error::NoAnswer)?;
        if *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner) >= came {
            return Ok(());
        }
        tokio::time::timeout(LOOK, self.poll()).await.map_err(|_| store::Error::NoAnswer)?
    }

    /// Notes the first use of a key that was made to replace another, and with it when the other ends. Whether it is live
    /// afterwards is to be looked up again: its rotation may have been cancelled on another node.
    ///
    /// # Errors
    /// When the database could not be asked, or others wait for it too long.
    pub async fn activate(&self, key: &Key, actor: &Actor) -> Result<(), Error> {
        let _one =
            tokio::time::timeout(LOOK, self.activating.lock()).await.map_err(|_| store::Error::NoAnswer)?;
        let is_it = |known: &&Arc<Key>| known.id == key.id;
        if self.now.load().keys.values().find(is_it).is_none_or(|known| !known.is_pending()) {
            return Ok(());
        }
        self.db.activate_key(actor, key, self.clock.now()).await?;
        self.reload().await
    }

    /// The live key behind a presented secret. A wrong checksum is refused without a look-up.
    pub fn key(&self, secret: &str) -> Option<Arc<Key>> {
        let kind = secrets::checked_kind(secret)?;
        let key = self.now.load().keys.get(&self.keyring.mac(secret)).cloned()?;
        (key.kind == kind && key.is_live(self.clock.now())).then_some(key)
    }

    /// A workspace, ready to be called for.
    pub fn account(&self, workspace_id: &str) -> Option<Arc<Account>> {
        self.now.load().accounts.get(workspace_id).cloned()
    }

    /// All workspaces.
    pub fn accounts(&self) -> Vec<Arc<Account>> {
        self.now.load().accounts.values().cloned().collect()
    }

    /// How a tenant of a workspace stands; `None` if it is no tenant of it.
    pub fn tenant(&self, workspace_id: &str, id: &str) -> Option<Standing> {
        self.now.load().tenants.get(&(workspace_id.to_owned(), id.to_owned())).cloned()
    }

    /// Remembers that a key was used, until [`Self::flush_uses`].
    pub fn note_use(&self, key_id: &str, from: IpAddr, agent: &str) {
        let at = self.clock.now();
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let users = match uses.get_mut(key_id) {
            Some(users) => users,
            None => uses.entry(key_id.to_owned()).or_default(),
        };
        match users.iter_mut().find(|user| user.from == from && user.agent == agent) {
            Some(user) => user.at = user.at.max(at),
            None => {
                if users.len() >= USERS
                    && let Some(oldest) = users.iter().enumerate().min_by_key(|(_, u)| u.at).map(|(n, _)| n)
                {
                    users.swap_remove(oldest);
                }
                users.push(Use { at, from, agent: agent.to_owned() });
            }
        }
    }

    /// Writes the remembered uses down.
    pub async fn flush_uses(&self) -> store::Result<()> {
        let uses = std::mem::take(&mut *self.uses.lock().unwrap_or_else(PoisonError::into_inner));
        if uses.is_empty() {
            return Ok(());
        }
        let mut rows: Vec<KeyUse> = Vec::with_capacity(uses.len());
        for (key_id, users) in &uses {
            rows.extend(users.iter().map(|user| KeyUse {
                key_id: key_id.clone(),
                at: user.at,
                address: user.from.to_canonical().to_string(),
                agent: user.agent.clone(),
            }));
        }
        rows.sort();
        let stored = self.db.note_key_uses(&rows).await;
        if stored.is_err() {
            // Remembered until the database is back; what was noted meanwhile is newer.
            let mut now = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
            for (key_id, users) in uses {
                let known = now.entry(key_id).or_default();
                for user in users {
                    if known.len() < USERS
                        && !known.iter().any(|k| k.from == user.from && k.agent == user.agent)
                    {
                        known.push(user);
                    }
                }
            }
        }
        stored
    }
}

/// The row identity an upstream key is encrypted for.
pub fn upstream_key_place(workspace_id: &str) -> [&str; 3] {
    ["workspaces", "upstream_key", workspace_id]
}
