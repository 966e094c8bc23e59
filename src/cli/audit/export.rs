//! `gatehouse audit export`: the log into a file, from the database itself or through a running gateway. Data goes to the
//! file or standard output, everything for people to standard error.

use super::key;
use crate::{
    app,
    cli::{Error, ServeArgs, bulk::door, with_runtime},
    clock::Clock,
    config::Config,
    domain::audit::{Actor, ExportFormat},
    exports::{self, Chunks, Wanted},
    http,
    metrics::Metrics,
    store,
};
use clap::{Args, ValueEnum};
use futures_util::{StreamExt, TryStreamExt};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use secrecy::{ExposeSecret, SecretString};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

#[derive(Args)]
#[command(
    after_help = "Without --url the database is read that the settings name, whether the gateway runs or not: all of it, or what \
    --workspace and --tenant name. With --url it is the workspace of the audit token.\n\nA file that was cut is resumed with --after \
    and the number of its last whole line. Exit codes: 0 exported, 1 it could not be done, 2 wrong arguments."
)]
pub struct ExportArgs {
    /// The evidence (ndjson), a view of it (csv), or the evidence with its proofs (bundle)
    #[arg(long, value_enum, default_value = "ndjson")]
    format: Format,
    /// Where to; a file that exists is not overwritten. - is standard output
    #[arg(long, short, default_value = "-")]
    output: PathBuf,
    /// Compress it
    #[arg(long)]
    gzip: bool,
    /// Only entries above this number
    #[arg(long, value_name = "SEQ")]
    after: Option<i64>,
    /// Only entries below this number
    #[arg(long, value_name = "SEQ")]
    before: Option<i64>,
    /// Only the entries of this workspace, by its id
    #[arg(long, value_name = "ID", conflicts_with = "url")]
    workspace: Option<String>,
    /// Only the entries of this tenant of it, by its id
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// Only what matches, as the query of the audit page: "action=post.&from=2026-11-01"
    #[arg(long, value_name = "QUERY", default_value = "")]
    filter: String,
    /// Only what matches, as it is typed on the audit page
    #[arg(long, value_name = "SEARCH")]
    q: Option<String>,
    /// Of a bundle: the size of a checkpoint you have kept, to prove that the log continues it. May be given several times
    #[arg(long, value_name = "SIZE")]
    since: Vec<u64>,
    /// Address of a running gateway
    #[arg(long)]
    url: Option<String>,
    /// An audit token, with --url. Set it in the environment: arguments can be seen by others
    #[arg(long, env = "GATEHOUSE_KEY", hide_env_values = true)]
    key: Option<String>,
    #[command(flatten)]
    database: ServeArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Ndjson,
    Csv,
    Bundle,
}

impl From<Format> for ExportFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Ndjson => Self::Ndjson,
            Format::Csv => Self::Csv,
            Format::Bundle => Self::Bundle,
        }
    }
}

pub fn run(args: ExportArgs) -> Result<(), Error> {
    if args.output == Path::new("-")
        && io::stdout().is_terminal()
        && (args.gzip || matches!(args.format, Format::Bundle))
    {
        return Err(Error::Usage("this is nothing to read on a terminal: name a file with --output".into()));
    }
    // Before anything is written down about an export that is not made.
    if args.output != Path::new("-") && fs::exists(&args.output)? {
        return Err(Error::Usage(format!("{} exists already", args.output.display())));
    }
    with_runtime("error", async {
        match args.url.clone() {
            Some(url) => through_the_door(&args, &url).await,
            None => from_the_database(args).await,
        }
    })
}

impl ExportArgs {
    /// As the doors take it.
    fn pairs(&self) -> Vec<(String, String)> {
        let mut pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(self.filter.trim_start_matches('?').as_bytes())
                .into_owned()
                .collect();
        let mut add =
            |name: &str, value: Option<String>| pairs.extend(value.map(|value| (name.to_owned(), value)));
        add("q", self.q.clone());
        add("tenant", self.tenant.clone());
        add("after", self.after.map(|n| n.to_string()));
        add("before", self.before.map(|n| n.to_string()));
        for size in &self.since {
            add("since", Some(size.to_string()));
        }
        pairs
    }

    fn wanted(&self) -> Result<Wanted, Error> {
        if self.tenant.is_some() && self.workspace.is_none() {
            return Err(Error::Usage("--tenant needs the --workspace it is of".into()));
        }
        let wanted = http::export_wanted(&self.pairs(), &[], self.format.into(), self.gzip);
        let mut wanted = wanted.map_err(|error| Error::Usage(error.describe().text))?;
        wanted.filter.workspace_id.clone_from(&self.workspace);
        Ok(wanted)
    }
}

async fn from_the_database(mut args: ExportArgs) -> Result<(), Error> {
    let wanted = args.wanted()?;
    let settings = std::mem::take(&mut args.database.settings);
    let config = Config::load(settings, args.database.config.take())?;
    if let Some(file) = config.database_url.strip_prefix("sqlite:")
        && !Path::new(file).exists()
    {
        return Err(Error::Usage(format!("there is no database {file}: name the data folder with --data")));
    }
    let clock = Clock::default();
    let db = app::open_database(&config).await?;
    let keyring = key::open_keyring(&config, &db).await?;
    let log =
        app::open_audit_log(&config, &db, &clock, &Arc::new(Metrics::default()), &Arc::new(keyring)).await?;
    if let Some(id) = &args.workspace
        && !db.workspaces().await?.iter().any(|w| w.id == *id)
    {
        return Err(Error::Usage(format!("there is no workspace {id}")));
    }
    let (size, entries) = exports::measure(&db, &wanted).await?;
    let entry = http::export_entry(&Actor::system("command line"), &wanted, entries);
    let size = match db.append(clock.now(), &[&entry]).await {
        Ok(seq) if wanted.format == ExportFormat::Bundle => seq + 1,
        // What contradicts what was signed can be looked at; it is the log itself that cannot be added to.
        Ok(_) | Err(store::Error::AuditFork(_)) => size,
        Err(error) => return Err(error.into()),
    };
    let done = Arc::new(AtomicI64::new(0));
    let (chunks, _) = exports::make(&db, &log, wanted, size, clock.now(), done.clone()).await?;
    let progress = Progress::new(Some(entries.unsigned_abs()));
    let count = |_: u64| progress.at(done.load(Ordering::Relaxed).unsigned_abs());
    let bytes = save(chunks, &args.output, count).await?;
    progress.end();
    db.close().await;
    let entries = done.load(Ordering::Relaxed).unsigned_abs();
    tell(&format!("{} entries, {}", HumanCount(entries), HumanBytes(bytes)))
}

async fn through_the_door(args: &ExportArgs, url: &str) -> Result<(), Error> {
    let failed = |text: String| Error::Usage(text);
    let Some(key) = args.key.clone().filter(|key| !key.is_empty()).map(SecretString::from) else {
        return Err(failed("set GATEHOUSE_KEY to an audit token".into()));
    };
    door::check_url(url).map_err(failed)?;
    let extension = ExportFormat::from(args.format).extension();
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(args.pairs()).finish();
    let path = format!("{}/manage/v1/audit.{extension}", url.trim_end_matches('/'));
    let address = format!("{path}{}?{query}", if args.gzip { ".gz" } else { "" });
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(60))
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let lost = |error: reqwest::Error| failed(format!("{path}: {}", door::reason(error)));
    let answer = http.get(address).header("x-api-key", key.expose_secret()).send().await.map_err(lost)?;
    if !answer.status().is_success() {
        let status = answer.status();
        let said = answer.bytes().await.unwrap_or_default();
        let said: serde_json::Value = serde_json::from_slice(&said).unwrap_or_default();
        let said = said["error"].as_str().unwrap_or("the gateway refused").to_owned();
        return Err(failed(format!("{said} ({status})")));
    }
    let header = |name: &str| answer.headers().get(name)?.to_str().ok().map(str::to_owned);
    let entries = header("x-audit-entries").map(|n| format!("{n} entries, ")).unwrap_or_default();
    let before = header("x-audit-before").unwrap_or_default();
    let progress = Progress::new(None);
    let chunks = answer.bytes_stream().map_err(|error| io::Error::other(door::reason(error))).boxed();
    let saved = save(chunks, &args.output, |bytes| progress.at(bytes)).await;
    progress.end();
    let bytes = saved.map_err(|error| match args.output == Path::new("-") {
        // What was written is out.
        true => {
            failed(format!("{error}. To resume: --before {before}, and --after the last whole line's number"))
        }
        false => failed(error.to_string()),
    })?;
    tell(&format!("{entries}{}", HumanBytes(bytes)))
}

/// Writes it to the file, whole or not at all, or to standard output. `at` is told how many bytes there are so far.
async fn save(mut chunks: Chunks, output: &Path, at: impl Fn(u64)) -> io::Result<u64> {
    let named =
        |path: &Path, error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let is_file = output != Path::new("-");
    let mut part = output.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let mut sink: Box<dyn Write + Send> = match is_file {
        false => Box::new(io::stdout()),
        true => {
            let mut options = OpenOptions::new();
            let options = options.write(true).create(true).truncate(true).mode(0o600);
            Box::new(options.open(&part).map_err(|error| named(&part, error))?)
        }
    };
    let written = async {
        let mut bytes = 0;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            sink.write_all(&chunk)?;
            bytes += chunk.len() as u64;
            at(bytes);
        }
        sink.flush()?;
        Ok(bytes)
    }
    .await;
    if is_file {
        match &written {
            Ok(_) => {
                File::open(&part)?.sync_all()?;
                fs::rename(&part, output)?;
            }
            Err(_) => drop(fs::remove_file(&part)),
        }
    }
    written
}

/// How far it is, on a terminal: entries of so many, or bytes.
struct Progress(ProgressBar);

impl Progress {
    fn new(entries: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(entries, ProgressDrawTarget::stderr());
        let template = match entries {
            Some(_) => "{bar:30} {human_pos} of {human_len} entries",
            None => "{spinner} {binary_bytes}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    fn at(&self, position: u64) {
        self.0.set_position(position);
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}

fn tell(line: &str) -> Result<(), Error> {
    Ok(writeln!(io::stderr(), "{line}")?)
}
