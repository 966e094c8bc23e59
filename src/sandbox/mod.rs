//! The sandbox: a look-alike of PostPost for trying, developing and testing without an account.
//!
//! A program of its own inside the binary. It must not import anything else of this crate: a wrong name
//! shared by the gateway and its look-alike would pass every test. It speaks `/api/v1` as the PostPost guides
//! have it, stores posts in its own SQLite file and media in an object store (a folder), publishes due posts,
//! and can be made to fail. It listens on loopback only, because its control routes ask for no key.
//!
//! # Setting the switches
//!
//! ```text
//! S=http://127.0.0.1:8090
//! # an account with a workspace key, a managed user, a post of his
//! curl -s $S/_sandbox/workspaces -d '{"name":"Acme"}'                 # {"ownerId":"…","key":"sk_…"}
//! curl -s $S/api/v1/workspace/users -H "x-api-key: $KEY" -d '{"username":"ann@example.com"}'
//! curl -s $S/_sandbox/posts -d '{"posts":[{"userId":"…","status":"scheduled",
//!   "scheduledTime":"2030-01-01T09:00:00Z","platforms":["twitter-1"]}]}'
//!
//! # the next two deletes of that user take effect, then lose their connection
//! curl -s -X PUT $S/_sandbox/faults -d '{"rules":[
//!   {"match":{"method":"DELETE","path":"/api/v1/delete-post","userId":"…"},"times":2,"resetAfter":true}]}'
//! # one call in ten is answered 429, and all take 300 ms
//! curl -s -X PUT $S/_sandbox/faults -d '{"rules":[
//!   {"delayMs":300}, {"probability":0.1,"retryAfter":2}]}'
//! curl -s -X DELETE $S/_sandbox/faults                                # healthy again
//!
//! curl -s "$S/_sandbox/journal?after=0"                               # what truly happened
//! curl -s $S/_sandbox/calls                                           # what was received
//! curl -s -X POST $S/_sandbox/tick -d '{"now":"2030-01-01T09:00:00Z"}' # one step of the scheduler
//!
//! # an upload URL that has expired
//! curl -s -X PATCH $S/_sandbox/media/$MEDIA -d '{"uploadExpiresAt":"2020-01-01T00:00:00Z"}'
//!
//! # the workspace is on a plan (starter, pro, premium; null for none), with one limit of its own
//! curl -s -X PUT $S/_sandbox/plans -d '{"ownerId":"…","plan":"pro","scheduledPosts":5}'
//!
//! # webhooks may point to this machine and are given up on after 2 s (also: `gatehouse sandbox --loopback-webhooks`)
//! curl -s -X PUT $S/_sandbox/webhooks -d '{"loopback":true,"timeoutMs":2000}'
//! curl -s -X POST $S/_sandbox/deliveries                              # sends what waits; what was sent, and how it went
//! ```
//!
//! A rule holds `match` (`method`, `path` as a prefix, `userId`, `postGroupId`, `bodyHas`; all optional), `times`,
//! `probability`, and what to do: *instead of the effect* `status` (with `body`), `retryAfter` (429),
//! `redirect` (307), `garbage`, `resetBefore`; *after the effect* `statusAfter` (with `body`), `garbageAfter`,
//! `resetAfter`; *beside it* `delayMs`, `delayAfterMs`, `moveTimesByMs`, `failTransaction`, `failStorage`.
//! Rules are tried in order; those that act only beside the effect add up, the first other one ends the search.

mod auth;
mod bookmarks;
mod calls;
mod connections;
mod control;
mod deletion;
mod deliveries;
mod faults;
mod figures;
mod journal;
mod linkedin;
mod listing;
mod logs;
mod media;
mod plans;
mod posts;
mod routes;
mod scheduler;
mod seeding;
mod server;
mod store;
mod targets;
mod times;
mod users;
mod webhooks;
mod wire;
pub mod world;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, fs, io};

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use tokio::task::JoinHandle;

/// How to start a sandbox.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; a loopback address, port 0 for any free one.
    pub listen: SocketAddr,
    /// The folder for `sandbox.db` and `media/`; made if it is not there.
    pub data: PathBuf,
    /// How often the scheduler takes a step; zero for never.
    pub publish_every: Duration,
}

/// A running sandbox. Dropping it stops it at once, `stop` lets running calls end.
pub struct Sandbox {
    address: SocketAddr,
    app: Arc<App>,
    server: Option<server::Server>,
    scheduler: Option<JoinHandle<()>>,
    sender: Option<JoinHandle<()>>,
}

/// What the handlers share.
struct App {
    store: store::Store,
    files: Arc<dyn ObjectStore>,
    faults: faults::Faults,
    calls: calls::Calls,
    deliveries: deliveries::Deliveries,
    /// `http://127.0.0.1:PORT`, for the URLs in answers.
    origin: String,
}

/// Why a sandbox did not start.
#[derive(Debug)]
pub enum Error {
    /// The address is not a loopback address.
    NotLoopback(SocketAddr),
    /// The port or the data folder.
    Io(io::Error),
    /// The database.
    Database(sqlx::Error),
    /// The folder for media.
    Media(object_store::Error),
    /// The client that sends to webhooks.
    Client(reqwest::Error),
}

impl Sandbox {
    /// Binds, opens the store, starts server and scheduler; answers when the port accepts.
    ///
    /// # Errors
    /// If the address is not loopback or taken, or the data folder cannot be used.
    pub async fn start(options: Options) -> Result<Sandbox, Error> {
        Sandbox::open(options, false).await
    }

    /// As `start`, with webhooks that may point to this machine, over plain HTTP too: for receivers in tests.
    ///
    /// # Errors
    /// As `start`.
    pub async fn start_with_loopback_webhooks(options: Options) -> Result<Sandbox, Error> {
        Sandbox::open(options, true).await
    }

    async fn open(options: Options, loopback_webhooks: bool) -> Result<Sandbox, Error> {
        if !options.listen.ip().is_loopback() {
            return Err(Error::NotLoopback(options.listen));
        }
        let media = options.data.join("media");
        fs::create_dir_all(&media)?;
        let listener = TcpListener::bind(options.listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let app = Arc::new(App {
            store: store::Store::open(&options.data.join("sandbox.db")).await?,
            files: Arc::new(LocalFileSystem::new_with_prefix(media)?.with_automatic_cleanup(true)),
            faults: faults::Faults::default(),
            calls: calls::Calls::default(),
            deliveries: deliveries::Deliveries::new(loopback_webhooks).map_err(Error::Client)?,
            origin: format!("http://{address}"),
        });
        let server = server::Server::start(Arc::clone(&app), listener).await?;
        let scheduler = (!options.publish_every.is_zero())
            .then(|| tokio::spawn(scheduler::run(Arc::clone(&app), options.publish_every)));
        let sender = Some(tokio::spawn(deliveries::run(Arc::clone(&app))));
        Ok(Sandbox { address, app, server: Some(server), scheduler, sender })
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        self.app.origin.clone()
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops scheduler and deliveries, lets running calls end (for at most five seconds), closes the database.
    pub async fn stop(mut self) {
        for task in [self.scheduler.take(), self.sender.take()].into_iter().flatten() {
            // In the middle of a step this rolls the step back; a delivery cut off is sent again.
            task.abort();
            _ = task.await;
        }
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
        self.app.store.close().await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for task in [self.scheduler.take(), self.sender.take()].into_iter().flatten() {
            task.abort();
        }
        if let Some(server) = self.server.take() {
            server.abandon();
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotLoopback(address) => {
                write!(
                    f,
                    "the sandbox listens on loopback only, not on {address}: its control routes are open"
                )
            }
            Error::Io(error) => write!(f, "sandbox: {error}"),
            Error::Database(error) => write!(f, "sandbox database: {error}"),
            Error::Media(error) => write!(f, "sandbox media: {error}"),
            Error::Client(error) => write!(f, "sandbox webhooks: {error}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Io(error)
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Error {
        Error::Database(error)
    }
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Error {
        Error::Media(error)
    }
}
