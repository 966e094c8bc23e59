//! The one configuration: flags over environment over file over defaults, checked once at the start. Environment
//! variables are read here and nowhere else. Secrets do not live here; `Debug` shows a database URL without its password.

mod tuning;

pub use tuning::{ClientTimes, Tuning};

use crate::domain::keys::RATE_MAX;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};
use url::Url;

/// Shortest `metrics_token`, in characters: guessing is hopeless, so attempts need not be counted.
const TOKEN_MIN: usize = 32;

/// What a person can set. Every field is also `GATEHOUSE_<NAME>` and a line in `gatehouse.toml`.
#[derive(Args, Deserialize, Debug, Clone, Default)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long)]
    pub listen: Option<SocketAddr>,
    /// Address people use in the browser, such as https://gate.example.com [default: http://<listen>]
    #[arg(long)]
    pub public_url: Option<String>,
    /// sqlite:<file> or postgres://… [default: sqlite file in the data folder]
    #[arg(long)]
    pub database_url: Option<String>,
    /// Folder of the database and the key files [default: gatehouse-data]
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Folder of the files of exports; one for all processes, if several use one database [default: exports in the data folder]
    #[arg(long)]
    pub export_folder: Option<PathBuf>,
    /// Addresses of proxies whose X-Forwarded-For is believed, with commas between
    #[arg(long)]
    pub trusted_proxies: Option<String>,
    /// What to log, such as info or gatehouse=debug [default: info]
    #[arg(long)]
    pub log: Option<String>,
    /// Seconds a process may be silent before another on the same database takes its work over [default: 60]
    #[arg(long)]
    pub lease_seconds: Option<u64>,
    /// Calls a second of one key; five seconds' worth may come at once; 0 is no limit [default: 20]
    #[arg(long)]
    pub key_rate: Option<u32>,
    /// Calls a second of one tenant, all keys together; as key_rate [default: 40]
    #[arg(long)]
    pub tenant_rate: Option<u32>,
    /// File of the last signed checkpoint of the audit log, best on another volume than the database
    /// [default: audit.head in the data folder]
    #[arg(long)]
    pub audit_head: Option<PathBuf>,
    /// File to which every signed checkpoint is appended
    #[arg(long)]
    pub audit_anchor_file: Option<PathBuf>,
    /// Address to which every signed checkpoint is posted
    #[arg(long)]
    pub audit_anchor_url: Option<String>,
    /// Allow plain http on other addresses than loopback
    #[arg(long)]
    #[serde(default)]
    pub insecure_http: bool,
    /// Times and paces, for tests of the program as a process: NAME=MILLISECONDS with commas between
    #[arg(long, hide = true)]
    pub tuning: Option<String>,
    /// Bearer token that opens `/metrics`. No flag: a command line can be read by everybody on the machine.
    #[arg(skip)]
    pub metrics_token: Option<Token>,
}

/// A secret among the settings; never printed.
#[derive(Deserialize, Debug, Clone)]
#[serde(from = "String")]
pub struct Token(pub SecretString);

impl From<String> for Token {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// The checked configuration.
#[derive(Clone)]
pub struct Config {
    pub listen: SocketAddr,
    /// Origin people use, without a slash; `None` until the port is known.
    pub public_url: Option<String>,
    pub database_url: String,
    pub data: PathBuf,
    /// Where the files of exports are.
    pub export_folder: PathBuf,
    pub trusted_proxies: Vec<std::net::IpAddr>,
    pub log: String,
    /// Calls a second of one key and of one tenant; 0 is no limit.
    pub key_rate: u32,
    pub tenant_rate: u32,
    pub insecure_http: bool,
    /// The rollback guard of the audit log.
    pub audit_head: PathBuf,
    /// Where signed checkpoints go besides.
    pub audit_anchor_file: Option<PathBuf>,
    pub audit_anchor_url: Option<SecretString>,
    /// Opens `/metrics` and the details of `/readyz`. Without it they are for this machine alone.
    pub metrics_token: Option<SecretString>,
    pub tuning: Tuning,
}

/// Twice the pace PostPost's guides ask of a client (about 100 ms between deletes): a client with manners never meets it,
/// one in an endless loop does at once. Upstream documents no rate of its own.
const KEY_RATE: u32 = 20;
/// Two keys of a tenant at full pace, such as its own and the agency's acting for it.
const TENANT_RATE: u32 = 40;

/// A setting that cannot be used: its name and why.
#[derive(Debug)]
pub struct Error(pub &'static str, pub String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0, self.1)
    }
}

impl std::error::Error for Error {}

impl Settings {
    /// What is set in the environment.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    fn from_env() -> Result<Self, Error> {
        let var = |name: &'static str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let listen = match var("GATEHOUSE_LISTEN") {
            None => None,
            Some(text) => Some(
                text.parse().map_err(|_| Error("GATEHOUSE_LISTEN", format!("{text} is not ADDRESS:PORT")))?,
            ),
        };
        Ok(Self {
            listen,
            public_url: var("GATEHOUSE_PUBLIC_URL"),
            database_url: var("GATEHOUSE_DATABASE_URL"),
            data: var("GATEHOUSE_DATA").map(PathBuf::from),
            export_folder: var("GATEHOUSE_EXPORT_FOLDER").map(PathBuf::from),
            trusted_proxies: var("GATEHOUSE_TRUSTED_PROXIES"),
            log: var("GATEHOUSE_LOG"),
            lease_seconds: number("GATEHOUSE_LEASE_SECONDS")?,
            key_rate: number("GATEHOUSE_KEY_RATE")?,
            tenant_rate: number("GATEHOUSE_TENANT_RATE")?,
            audit_head: var("GATEHOUSE_AUDIT_HEAD").map(PathBuf::from),
            audit_anchor_file: var("GATEHOUSE_AUDIT_ANCHOR_FILE").map(PathBuf::from),
            audit_anchor_url: var("GATEHOUSE_AUDIT_ANCHOR_URL"),
            insecure_http: var("GATEHOUSE_INSECURE_HTTP").is_some_and(|v| v == "1" || v == "true"),
            tuning: var("GATEHOUSE_TUNING"),
            metrics_token: var("GATEHOUSE_METRICS_TOKEN").map(Token::from),
        })
    }

    /// What stands in a file; an absent file says nothing.
    fn from_file(path: &std::path::Path, must_exist: bool) -> Result<Self, Error> {
        match std::fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).map_err(|e| Error("gatehouse.toml", e.to_string())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !must_exist => Ok(Self::default()),
            Err(e) => Err(Error("gatehouse.toml", format!("{}: {e}", path.display()))),
        }
    }

    /// These settings, and where they say nothing, the other's.
    fn over(self, other: Self) -> Self {
        Self {
            listen: self.listen.or(other.listen),
            public_url: self.public_url.or(other.public_url),
            database_url: self.database_url.or(other.database_url),
            data: self.data.or(other.data),
            export_folder: self.export_folder.or(other.export_folder),
            trusted_proxies: self.trusted_proxies.or(other.trusted_proxies),
            log: self.log.or(other.log),
            lease_seconds: self.lease_seconds.or(other.lease_seconds),
            key_rate: self.key_rate.or(other.key_rate),
            tenant_rate: self.tenant_rate.or(other.tenant_rate),
            audit_head: self.audit_head.or(other.audit_head),
            audit_anchor_file: self.audit_anchor_file.or(other.audit_anchor_file),
            audit_anchor_url: self.audit_anchor_url.or(other.audit_anchor_url),
            insecure_http: self.insecure_http || other.insecure_http,
            tuning: self.tuning.or(other.tuning),
            metrics_token: self.metrics_token.or(other.metrics_token),
        }
    }
}

impl Config {
    /// Flags over environment over file over defaults.
    pub fn load(flags: Settings, file: Option<PathBuf>) -> Result<Self, Error> {
        let path = file.clone().unwrap_or_else(|| PathBuf::from("gatehouse.toml"));
        let settings = flags.over(Settings::from_env()?).over(Settings::from_file(&path, file.is_some())?);
        Self::from_settings(settings)
    }

    /// Checks settings as a whole.
    pub fn from_settings(settings: Settings) -> Result<Self, Error> {
        let listen = settings.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080)));
        let data = settings.data.unwrap_or_else(|| PathBuf::from("gatehouse-data"));
        let database_url = match settings.database_url {
            Some(url)
                if url.starts_with("sqlite:")
                    || url.starts_with("postgres://")
                    || url.starts_with("postgresql://") =>
            {
                url
            }
            Some(_) => return Err(Error("database_url", "must start with sqlite: or postgres://".into())),
            None => format!("sqlite:{}", data.join("gatehouse.db").display()),
        };
        let public_url = settings.public_url.map(|url| check_public_url(&url)).transpose()?;
        let secure = public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
        let loopback = listen.ip().is_loopback();
        if !loopback && !secure && !settings.insecure_http {
            return Err(Error(
                "listen",
                format!(
                    "{listen} is not loopback: put a TLS proxy in front and set public_url to its https address, or pass --insecure-http"
                ),
            ));
        }
        if listen.ip().is_unspecified() && public_url.is_none() {
            return Err(Error(
                "public_url",
                format!("must be set, because {listen} is no address people can open"),
            ));
        }
        let plain_elsewhere = public_url.as_deref().is_some_and(|url| !secure && !is_loopback_origin(url));
        if plain_elsewhere && !settings.insecure_http {
            return Err(Error("public_url", "must be https, or pass --insecure-http".into()));
        }
        let trusted_proxies = settings
            .trusted_proxies
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|a| !a.is_empty())
            .map(|a| a.parse().map_err(|_| Error("trusted_proxies", format!("{a} is not an IP address"))))
            .collect::<Result<_, _>>()?;
        let metrics_token = settings.metrics_token.map(|token| token.0);
        if let Some(token) = &metrics_token {
            let token = token.expose_secret();
            if token.len() < TOKEN_MIN || !token.bytes().all(|b| b.is_ascii_graphic()) {
                let rule = format!("must be at least {TOKEN_MIN} printable ASCII characters without spaces");
                return Err(Error("metrics_token", rule));
            }
        }
        Ok(Self {
            listen,
            public_url,
            database_url,
            export_folder: settings.export_folder.unwrap_or_else(|| data.join("exports")),
            audit_head: settings.audit_head.unwrap_or_else(|| data.join("audit.head")),
            audit_anchor_file: settings.audit_anchor_file,
            audit_anchor_url: settings.audit_anchor_url.map(check_anchor_url).transpose()?,
            data,
            trusted_proxies,
            log: settings.log.unwrap_or_else(|| "info".into()),
            key_rate: check_rate("key_rate", settings.key_rate.unwrap_or(KEY_RATE))?,
            tenant_rate: check_rate("tenant_rate", settings.tenant_rate.unwrap_or(TENANT_RATE))?,
            insecure_http: plain_elsewhere || !loopback && !secure,
            metrics_token,
            tuning: Tuning {
                lease: check_lease(settings.lease_seconds)?,
                ..settings.tuning.as_deref().map_or(Ok(Tuning::default()), Tuning::parse)?
            },
        })
    }

    /// The database URL without what may be secret in it.
    pub fn shown_database_url(&self) -> String {
        redacted(&self.database_url)
    }

    /// Whether people open it under an address of this machine only, as while trying it out.
    pub fn is_local(&self) -> bool {
        self.listen.ip().is_loopback() && self.public_url.as_deref().is_none_or(is_loopback_origin)
    }
}

/// A number in the environment.
#[expect(clippy::disallowed_methods, reason = "this is the one file that reads the environment")]
fn number<T: std::str::FromStr>(name: &'static str) -> Result<Option<T>, Error> {
    let Some(text) = std::env::var(name).ok().filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Error(name, format!("{text} is not a number")))
}

/// Shorter than three seconds and a slow disk looks like a dead process; longer than ten minutes and work stands still.
fn check_lease(seconds: Option<u64>) -> Result<Duration, Error> {
    match seconds {
        None => Ok(Tuning::default().lease),
        Some(seconds @ 3..=600) => Ok(Duration::from_secs(seconds)),
        Some(seconds) => Err(Error("lease_seconds", format!("{seconds} is not between 3 and 600"))),
    }
}

fn check_rate(name: &'static str, rate: u32) -> Result<u32, Error> {
    if rate > RATE_MAX {
        return Err(Error(name, format!("at most {RATE_MAX}; 0 is no limit")));
    }
    Ok(rate)
}

/// What stands in its path may be a secret: webhooks are often opened by their address.
fn check_anchor_url(text: String) -> Result<SecretString, Error> {
    let bad = |reason: &str| Error("audit_anchor_url", reason.into());
    let url = Url::parse(&text).map_err(|_| bad("not a URL"))?;
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback_origin(&text)) {
        return Err(bad("must be https, or http on this machine"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("must not hold a user name or password"));
    }
    Ok(text.into())
}

fn check_public_url(text: &str) -> Result<String, Error> {
    let bad = |reason: &str| Error("public_url", format!("{text}: {reason}"));
    let url = Url::parse(text).map_err(|_| bad("not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(bad("must be http://HOST or https://HOST"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(bad("must be an origin: no path, query or user name"));
    }
    Ok(url.origin().ascii_serialization())
}

fn is_loopback_origin(url: &str) -> bool {
    match Url::parse(url).ok().as_ref().and_then(Url::host) {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("public_url", &self.public_url)
            .field("database_url", &redacted(&self.database_url))
            .field("data", &self.data)
            .field("export_folder", &self.export_folder)
            .field("trusted_proxies", &self.trusted_proxies)
            .field("log", &self.log)
            .field("key_rate", &self.key_rate)
            .field("tenant_rate", &self.tenant_rate)
            .field("insecure_http", &self.insecure_http)
            .field("audit_head", &self.audit_head)
            .field("audit_anchor_file", &self.audit_anchor_file)
            .field("audit_anchor_url", &self.audit_anchor_url)
            .field("metrics_token", &self.metrics_token)
            .field("tuning", &self.tuning)
            .finish()
    }
}

/// A database URL without what may be secret in it: its password, and its query, where drivers take one too.
fn redacted(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else { return url.to_owned() };
    if parsed.password().is_some() {
        let _ = parsed.set_password(Some("redacted"));
    }
    if parsed.query().is_some() {
        parsed.set_query(Some("redacted"));
    }
    parsed.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_needs_a_word_beyond_loopback() {
        let with = |listen: &str, url: Option<&str>, insecure_http| {
            Config::from_settings(Settings {
                listen: Some(listen.parse().unwrap()),
                public_url: url.map(Into::into),
                insecure_http,
                ..Settings::default()
            })
        };
        assert!(with("127.0.0.1:1", None, false).is_ok());
        assert!(with("0.0.0.0:1", None, false).is_err());
        assert!(with("0.0.0.0:1", Some("http://gate.example"), false).is_err());
        assert!(with("0.0.0.0:1", Some("https://gate.example/"), false).is_ok_and(|c| !c.insecure_http));
        assert!(with("0.0.0.0:1", None, true).is_err(), "nobody can open it");
        assert!(with("0.0.0.0:1", Some("http://gate.example"), true).is_ok_and(|c| c.insecure_http));
        assert!(with("127.0.0.1:1", Some("http://gate.example"), false).is_err());
        assert!(with("127.0.0.1:1", Some("http://localhost:9"), false).is_ok_and(|c| !c.insecure_http));
        assert!(with("127.0.0.1:1", Some("https://gate.example/path"), false).is_err());
    }

    #[test]
    fn a_metrics_token_is_long_and_not_shown() {
        let with = |token: &str| {
            Config::from_settings(Settings {
                metrics_token: Some(token.to_owned().into()),
                ..Settings::default()
            })
        };
        assert!(with("short").is_err() && with(&"a b".repeat(20)).is_err());
        let token = "0123456789abcdef0123456789abcdef";
        let config = with(token).unwrap();
        assert!(!format!("{config:?}").contains(token));
        let settings: Settings = toml::from_str(&format!("metrics_token = \"{token}\"")).unwrap();
        assert!(!format!("{settings:?}").contains(token));
        assert!(Config::from_settings(settings).unwrap().metrics_token.is_some());
    }

    #[test]
    fn anchors_are_posted_over_tls_or_on_this_machine() {
        let with = |url: &str| {
            let settings = Settings { audit_anchor_url: Some(url.into()), ..Settings::default() };
            Config::from_settings(settings)
        };
        for good in ["https://hooks.example/T0/secret", "http://127.0.0.1:9/x", "http://localhost:9"] {
            assert!(!format!("{:?}", with(good).unwrap()).contains("secret"), "{good}");
        }
        for bad in ["http://hooks.example", "ftp://localhost", "hooks.example", "https://u:p@hooks.example"] {
            assert!(with(bad).is_err_and(|e| e.0 == "audit_anchor_url"), "{bad}");
        }
        let config =
            Config::from_settings(Settings { data: Some("d".into()), ..Settings::default() }).unwrap();
        assert_eq!(config.audit_head, PathBuf::from("d/audit.head"));
    }

    #[test]
    fn rates_have_defaults_and_a_bound() {
        let with = |key_rate, tenant_rate| {
            Config::from_settings(Settings { key_rate, tenant_rate, ..Settings::default() })
        };
        let config = with(None, Some(0)).unwrap();
        assert_eq!((config.key_rate, config.tenant_rate), (KEY_RATE, 0));
        assert!(format!("{config:?}").contains("key_rate: 20"), "config check shows it");
        assert!(with(Some(RATE_MAX), None).is_ok());
        assert!(with(None, Some(RATE_MAX + 1)).is_err_and(|e| e.0 == "tenant_rate"));
    }

    #[test]
    fn flags_win_and_passwords_are_not_shown() {
        let flags = Settings { log: Some("debug".into()), ..Settings::default() };
        let file = Settings { log: Some("warn".into()), data: Some("d".into()), ..Settings::default() };
        let merged = flags.over(file);
        assert_eq!((merged.log.as_deref(), merged.data), (Some("debug"), Some("d".into())));
        let config = Config::from_settings(Settings {
            database_url: Some("postgres://u:hunter2@h/d".into()),
            ..Settings::default()
        });
        assert!(!format!("{:?}", config.unwrap()).contains("hunter2"));
    }
}
