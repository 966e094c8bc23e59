//! The composition root: a configuration becomes an [`App`], an HTTP server and workers. Pools, writer and workers live on
//! one multi-threaded runtime; the server's own threads only speak HTTP and hand the work over.

use crate::{
    access::{self, Access},
    audit::{self, Writer},
    clock::Clock,
    config::Config,
    domain::{
        admins::SETUP_LINK_LIFE,
        audit::{Action, Actor, Draft},
        ids,
    },
    envelope, http, jobs,
    keyring::{self, Keyring},
    leases::Leases,
    metrics::Metrics,
    mirror::{Ages, Mirror},
    proxy::Road,
    store::{self, Db},
    upstream::{self, Timeouts, Upstream, pacing::Pacing},
};
use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io,
    net::TcpListener,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, watch},
};

/// How long a stop waits for requests and workers, and then for the last writing down: 25 s together, because service
/// managers lose patience after 30 (security.md §6).
const DRAIN: Duration = Duration::from_secs(22);
const CLOSE: Duration = Duration::from_secs(3);
/// Of it, for the last checkpoint.
const LAST_CHECKPOINT: Duration = Duration::from_secs(1);

/// Everything a handler or worker may use.
pub struct App {
    pub config: Config,
    /// Origin people use, without a slash.
    pub public_url: String,
    /// Origins our own forms may come from.
    pub own_origins: Vec<String>,
    pub clock: Clock,
    pub db: Db,
    pub keyring: Arc<Keyring>,
    pub metrics: Arc<Metrics>,
    pub leases: Arc<Leases>,
    pub access: Arc<Access>,
    pub upstream: Arc<Upstream>,
    pub pacing: Arc<Pacing>,
    pub mirror: Arc<Mirror>,
    pub audit: Writer,
    pub audit_log: Arc<audit::Log>,
    pub road: Road,
    /// The shared runtime.
    pub runtime: Handle,
    /// Places for requests under way.
    pub gate: http::Gate,
    pub limits: http::Limits,
    /// Password checks at once: each takes 19 MiB and a core.
    pub password_checks: Semaphore,
    pub stopping: watch::Receiver<bool>,
    pub jobs: jobs::Bell,
    pub login: http::LoginState,
    pub health: http::HealthState,
}

#[derive(Debug)]
pub enum Error {
    Folder(std::path::PathBuf, io::Error),
    /// Another process has the data folder.
    Locked(std::path::PathBuf),
    Listen(std::net::SocketAddr, io::Error),
    /// The database, named without what is secret in its URL.
    Database(String, store::Error),
    Store(store::Error),
    Keyring(keyring::Error),
    Access(access::Error),
    Upstream(upstream::Error),
    Server(io::Error),
}

/// A running gateway.
pub struct Running {
    pub app: Arc<App>,
    /// Origin it listens on, such as `http://127.0.0.1:8080`.
    pub url: String,
    /// The one-time set-up link, when there is no admin yet.
    pub setup_link: Option<String>,
    stop: watch::Sender<bool>,
    server: http::Server,
    workers: Vec<tokio::task::JoinHandle<()>>,
    heartbeat: tokio::task::JoinHandle<()>,
    _lock: Option<File>,
}

impl Running {
    /// Opens everything, listens, and starts the workers. Answers when the port accepts.
    pub async fn start(config: Config, clock: Clock) -> Result<Self, Error> {
        let lock = prepare_folder(&config)?;
        let listener = TcpListener::bind(config.listen).map_err(|e| Error::Listen(config.listen, e))?;
        let address = listener.local_addr().map_err(|e| Error::Listen(config.listen, e))?;
        let db = open_database(&config).await?;
        restrict_database_file(&config.database_url);
        if db.is_embedded() {
            // Nobody else can hold one: the lock file says so.
            db.end_all_leases().await.map_err(Error::Store)?;
        }
        let keyring = Arc::new(Keyring::open(&config.data, &db, &clock).await.map_err(Error::Keyring)?);
        let metrics = Arc::new(Metrics::default());
        let audit_log = open_audit_log(&config, &db, &clock, &metrics, &keyring).await?;
        // The first entry after a stop says that there was one (docs/audit-format.md §3).
        let start = Draft::done(&Actor::system("audit"), Action::AuditStart)
            .set("version", env!("CARGO_PKG_VERSION"));
        match db.append(clock.now(), &[&start]).await {
            // It can be read all the same.
            Ok(_) | Err(store::Error::AuditFork(_)) => {}
            Err(error) => return Err(Error::Store(error)),
        }
        let leases =
            Leases::start(db.clone(), clock.clone(), metrics.clone(), ids::new_id(), config.tuning.lease);
        let leases = Arc::new(leases.await.map_err(Error::Store)?);
        let access =
            Arc::new(Access::open(db.clone(), clock.clone(), keyring.clone()).await.map_err(Error::Access)?);
        let timeouts = Timeouts {
            total: config.tuning.upstream_timeouts,
            idle: config.tuning.upstream_idle,
            guarded: config.tuning.upstream_guarded,
        };
        let upstream = Upstream::new(clock.clone(), metrics.clone(), timeouts);
        let upstream = Arc::new(upstream.map_err(Error::Upstream)?.with_failpoints(db.failpoints()));
        let pacing = Arc::new(Pacing::new(config.tuning.pace));
        let ages = Ages {
            changes: config.tuning.mirror_age.as_millis() as i64,
            sweep: config.tuning.sweep_age.as_millis() as i64,
        };
        let mirror = Arc::new(Mirror::new(db.clone(), clock.clone(), upstream.clone(), pacing.clone(), ages));
        let audit = Writer::start(db.clone(), clock.clone(), metrics.clone());
        let road = Road {
            db: db.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            keyring: keyring.clone(),
            leases: leases.clone(),
            access: access.clone(),
            upstream: upstream.clone(),
            pacing: pacing.clone(),
            audit: audit.clone(),
            mirror: mirror.clone(),
        };
        let (stop, stopping) = watch::channel(false);
        let url = format!("http://{address}");
        let app = Arc::new(App {
            own_origins: own_origins(&config, &url, address.port()),
            public_url: config.public_url.clone().unwrap_or_else(|| url.clone()),
            clock,
            db,
            keyring,
            gate: http::Gate::new(metrics.clone()),
            metrics,
            leases,
            access,
            upstream,
            pacing,
            mirror,
            audit,
            audit_log,
            road,
            runtime: Handle::current(),
            limits: http::Limits::new(config.key_rate, config.tenant_rate),
            password_checks: Semaphore::new(std::thread::available_parallelism().map_or(2, usize::from)),
            stopping,
            jobs: jobs::Bell::default(),
            login: http::LoginState::default(),
            health: http::HealthState::default(),
            config,
        });
        let setup_link = match offer_setup(&app.db, &app.clock, &app.public_url).await {
            // Nobody is let in to a log that contradicts itself.
            Err(store::Error::AuditFork(_)) => None,
            link => link.map_err(Error::Store)?,
        };
        let server = http::Server::start(app.clone(), listener).await.map_err(Error::Server)?;
        let workers = jobs::start(&app);
        let heartbeat = jobs::heartbeat(app.clone());
        Ok(Self { app, url, setup_link, stop, server, workers, heartbeat, _lock: lock })
    }

    /// Stops in order: not ready, so that nobody is sent here any more; no new requests; those under way and the workers
    /// end; what is in memory is written down. Gives up waiting after 25 s; what is left is safe, as after a crash.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let app = self.app;
        let drain = async {
            http::wait_until_told(&app).await;
            self.server.stop().await;
            for worker in self.workers {
                let _ = worker.await;
            }
            app.gate.drained().await;
        };
        if tokio::time::timeout(DRAIN, Box::pin(drain)).await.is_err() {
            tracing::warn!("some work did not end in time; it is settled at the next start");
        }
        self.heartbeat.abort();
        let close = async {
            let _ = app.audit.note_denials(true).await;
            if let Err(error) = app.access.flush_uses().await {
                tracing::warn!(%error, "last uses of keys were not written down");
            }
            if let Err(error) = app.leases.release_all().await {
                tracing::warn!(%error, "leases were not given back; others take the work over when they run out");
            }
            // So that nothing of this run can be lost unnoticed.
            match tokio::time::timeout(LAST_CHECKPOINT, app.audit_log.checkpoint_now(i64::MAX)).await {
                Ok(Ok(_) | Err(store::Error::AuditFork(_))) => {}
                Ok(Err(error)) => tracing::warn!(%error, "no last checkpoint was signed"),
                Err(_) => tracing::warn!("no last checkpoint was signed in time"),
            }
            app.db.close().await;
        };
        if tokio::time::timeout(CLOSE, Box::pin(close)).await.is_err() {
            tracing::warn!("the database did not close in time");
        }
    }
}

/// Opens the database and brings its tables up to this version.
pub async fn open_database(config: &Config) -> Result<Db, Error> {
    let failed = |error| Error::Database(config.shown_database_url(), error);
    let db = Db::connect(&config.database_url).await.map_err(failed)?;
    db.migrate().await.map_err(failed)?;
    Ok(db)
}

/// Opens the audit log, and looks whether it agrees with what was signed of it.
pub async fn open_audit_log(
    config: &Config,
    db: &Db,
    clock: &Clock,
    metrics: &Arc<Metrics>,
    keyring: &Arc<Keyring>,
) -> Result<Arc<audit::Log>, Error> {
    let places =
        audit::Places { guard: config.audit_head.clone(), anchor_file: config.audit_anchor_file.clone() };
    let log = audit::Log::open(db.clone(), clock.clone(), metrics.clone(), keyring.clone(), places);
    log.await.map(Arc::new).map_err(Error::Store)
}

/// Where our own pages are served from. Without a public URL that is this machine, by whichever name people call it.
fn own_origins(config: &Config, url: &str, port: u16) -> Vec<String> {
    match &config.public_url {
        Some(public) => vec![public.clone()],
        None if config.listen.ip().is_loopback() => {
            vec![url.to_owned(), format!("http://127.0.0.1:{port}"), format!("http://localhost:{port}")]
        }
        None => vec![url.to_owned()],
    }
}

/// Makes the data folder, for its owner alone, and on the embedded engine takes its lock.
pub fn prepare_folder(config: &Config) -> Result<Option<File>, Error> {
    let folder = &config.data;
    fs::create_dir_all(folder).map_err(|e| Error::Folder(folder.clone(), e))?;
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    if !config.database_url.starts_with("sqlite:") {
        return Ok(None);
    }
    let path = folder.join("gatehouse.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|e| Error::Folder(path.clone(), e))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Err(Error::Locked(path)),
        Err(fs::TryLockError::Error(e)) => Err(Error::Folder(path, e)),
    }
}

/// The database file is for its owner alone; its companions inherit the mode.
fn restrict_database_file(url: &str) {
    let Some(path) = url.strip_prefix("sqlite:") else { return };
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::set_permissions(Path::new(&format!("{path}{suffix}")), fs::Permissions::from_mode(0o600));
    }
}

/// Makes a one-time set-up link if nobody can log in yet; one made before stops working.
pub async fn offer_setup(db: &Db, clock: &Clock, public_url: &str) -> store::Result<Option<String>> {
    if db.count_admins().await? > 0 {
        return Ok(None);
    }
    let token = envelope::random_token();
    let now = clock.now();
    let actor = Actor::system("set-up");
    db.put_setup_link(&actor, &envelope::token_hash(&token), now + SETUP_LINK_LIFE, now).await?;
    Ok(Some(format!("{public_url}/setup/{token}")))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path, error) => write!(
                f,
                "the data folder cannot be used: {}: {error}; it must exist or be creatable, and belong to the user this \
                 runs as",
                path.display()
            ),
            Self::Locked(path) => {
                write!(f, "another gatehouse uses this data folder ({} is locked)", path.display())
            }
            Self::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::Database(url, error) => write!(f, "{error} ({url})"),
            Self::Store(error) => error.fmt(f),
            Self::Keyring(error) => error.fmt(f),
            Self::Access(error) => error.fmt(f),
            Self::Upstream(error) => error.fmt(f),
            Self::Server(error) => write!(f, "the HTTP server cannot start: {error}"),
        }
    }
}

impl std::error::Error for Error {}
