//! The commands. Each sets up logging and a runtime, starts what it names and waits for a signal.

mod audit;
mod bulk;
mod erase;

use crate::{
    app::{self, Running},
    clock::Clock,
    config::{self, Config, Settings},
    demo,
    sandbox::{self, Sandbox},
    store,
};
use clap::{Args, Parser, Subcommand};
use std::{fmt, io::Write, net::SocketAddr, path::PathBuf, time::Duration};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(name = "gatehouse", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway
    Serve(ServeArgs),
    /// Run a sandbox and a gateway in front of it, filled with believable data
    Demo(DemoArgs),
    /// Run the PostPost look-alike alone
    Sandbox(SandboxArgs),
    /// Bring the database up to this version's tables, and stop
    Migrate(ServeArgs),
    /// Show or check the configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Bulk work through a running gateway, with a workspace key
    Bulk(bulk::BulkArgs),
    /// The audit log
    Audit(audit::AuditArgs),
    /// Erase personal data
    Erase(erase::EraseArgs),
    /// People who can log in
    Admin {
        #[command(subcommand)]
        command: AdminCommand,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print what is in force, without secrets
    Check(ServeArgs),
}

#[derive(Subcommand)]
enum AdminCommand {
    /// Print a new one-time set-up link, as long as nobody has set the gateway up
    Invite(ServeArgs),
}

#[derive(Args)]
struct ServeArgs {
    #[command(flatten)]
    settings: Settings,
    /// Configuration file [default: gatehouse.toml, if there is one]
    #[arg(long)]
    config: Option<PathBuf>,
}

#[derive(Args)]
pub struct DemoArgs {
    /// Address and port of the gateway; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Folder of the demo's data
    #[arg(long, default_value = "gatehouse-demo")]
    pub data: PathBuf,
    /// Throw an earlier demo's data away first
    #[arg(long)]
    pub fresh: bool,
    /// What to log
    #[arg(long, default_value = "warn")]
    pub log: String,
}

#[derive(Args)]
struct SandboxArgs {
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    #[arg(long, default_value = "gatehouse-sandbox")]
    data: PathBuf,
    /// Let webhooks point to this machine, over plain HTTP too
    #[arg(long)]
    loopback_webhooks: bool,
    #[arg(long, default_value = "info")]
    log: String,
}

#[derive(Debug)]
pub enum Error {
    Config(config::Error),
    App(app::Error),
    Sandbox(sandbox::Error),
    Demo(demo::Error),
    Store(store::Error),
    Io(std::io::Error),
    Usage(String),
}

/// Runs a command to its end and returns the exit code.
pub fn run(cli: Cli) -> Result<u8, Error> {
    let done = match cli.command {
        Command::Bulk(args) => {
            let mut end = bulk::End::Done;
            let work = async {
                end = bulk::run(args).await.map_err(Error::Usage)?;
                Ok(())
            };
            with_runtime("error", work)?;
            return Ok(end.code());
        }
        Command::Audit(args) => return audit::run(args),
        Command::Serve(args) => {
            let config = Config::load(args.settings, args.config)?;
            with_runtime(&config.log.clone(), serve(config))
        }
        Command::Demo(args) => with_runtime(&args.log.clone(), run_demo(args)),
        Command::Sandbox(args) => with_runtime(&args.log.clone(), run_sandbox(args)),
        Command::Migrate(args) => {
            let config = Config::load(args.settings, args.config)?;
            with_runtime(&config.log.clone(), migrate(config))
        }
        Command::Config { command: ConfigCommand::Check(args) } => {
            let config = Config::load(args.settings, args.config)?;
            say(&format!("{config:#?}"))
        }
        Command::Erase(args) => erase::run(args),
        Command::Admin { command: AdminCommand::Invite(args) } => {
            let config = Config::load(args.settings, args.config)?;
            with_runtime(&config.log.clone(), invite(config))
        }
    };
    done.map(|()| 0)
}

/// The one multi-threaded runtime of the process.
fn with_runtime(log: &str, work: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let mut filter =
        tracing_subscriber::EnvFilter::try_new(log).map_err(|e| Error::Usage(format!("log: {e}")))?;
    // The SDK of `/mcp` tells of every message, with what the client wrote; whoever wants that asks for it by name.
    if let (false, Ok(quiet)) = (log.contains("rmcp"), "rmcp=error".parse()) {
        filter = filter.add_directive(quiet);
    }
    // One JSON object a line: nothing a caller sends can look like a line of ours (security.md item 57).
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    // Dropping it would wait for threads that wait for connections, and a second signal says not to wait.
    runtime.shutdown_background();
    result
}

fn say(text: &str) -> Result<(), Error> {
    writeln!(std::io::stdout(), "{text}")?;
    Ok(std::io::stdout().flush()?)
}

async fn serve(config: Config) -> Result<(), Error> {
    let signals = Signals::listen()?;
    let running = Running::start(config, Clock::default()).await?;
    say(&format!("Gatehouse listens on {}", running.url))?;
    if running.app.config.insecure_http {
        say("Warning: served over plain http; passwords and keys can be read on the network")?;
    }
    if let Some(link) = &running.setup_link {
        say(&format!("Nobody has set it up yet. Open this link within 24 hours:\n  {link}"))?;
        let key = running.app.audit_log.public();
        say(&format!("The audit log's public key, for those who will check it:\n  {key}"))?;
    }
    signals.stop_on(Box::pin(running.stop())).await
}

async fn run_demo(args: DemoArgs) -> Result<(), Error> {
    let signals = Signals::listen()?;
    let demo = demo::Demo::start(&args).await.map_err(Error::Demo)?;
    say(&demo.welcome)?;
    signals.stop_on(Box::pin(demo.stop())).await
}

async fn run_sandbox(args: SandboxArgs) -> Result<(), Error> {
    let signals = Signals::listen()?;
    let options =
        sandbox::Options { listen: args.listen, data: args.data, publish_every: Duration::from_secs(5) };
    let sandbox = match args.loopback_webhooks {
        true => Sandbox::start_with_loopback_webhooks(options).await,
        false => Sandbox::start(options).await,
    };
    let sandbox = sandbox.map_err(Error::Sandbox)?;
    say(&format!("The sandbox listens on {}", sandbox.url()))?;
    signals.stop_on(sandbox.stop()).await
}

async fn migrate(config: Config) -> Result<(), Error> {
    let _lock = app::prepare_folder(&config)?;
    let db = app::open_database(&config).await?;
    db.close().await;
    say("The database is up to date")
}

async fn invite(config: Config) -> Result<(), Error> {
    let db = app::open_database(&config).await?;
    let url = config.public_url.clone().unwrap_or_else(|| format!("http://{}", config.listen));
    let link = app::offer_setup(&db, &Clock::default(), &url).await?;
    db.close().await;
    match link {
        Some(link) => say(&link),
        None => Err(Error::Usage("the gateway is set up already: an owner exists".into())),
    }
}

/// SIGTERM and SIGINT: the first stops in order, the second at once.
struct Signals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> Result<Self, Error> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }

    /// Waits for a signal, then for the orderly stop; a second signal does not wait. What is cut short then is settled at
    /// the next start, as after a crash.
    async fn stop_on(mut self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        self.next().await;
        tokio::select! {
            () = stop => Ok(()),
            () = self.next() => Err(Error::Usage("stopped at once by a second signal".into())),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::App(error) => error.fmt(f),
            Self::Sandbox(error) => error.fmt(f),
            Self::Demo(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
            Self::Usage(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}

macro_rules! from {
    ($($source:ty => $case:ident),+) => {$(
        impl From<$source> for Error {
            fn from(error: $source) -> Self {
                Self::$case(error)
            }
        }
    )+};
}
from!(config::Error => Config, app::Error => App, store::Error => Store, std::io::Error => Io);
