//! Sending one call: the request is built from an allow-list (method, path segments, headers), never copied; no redirect
//! is followed, no system proxy used, every wait is bounded. What is repeated, and when, is design §13.

use crate::{
    clock::{Clock, Millis},
    envelope,
    metrics::Metrics,
};
use bytes::{Bytes, BytesMut};
use secrecy::SecretString;
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use url::Url;

/// Attempts of one call, the first included.
const ATTEMPTS: u32 = 3;
const CONNECT: Duration = Duration::from_secs(2);
/// Base and cap of the wait between attempts, before jitter.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(20));
/// Repeats of a changing call begin within this long. With the call's own time limit of 30 s it ends within 50 s.
const CHANGE_PATIENCE: Duration = Duration::from_secs(20);
/// Largest answer read. A list of 10,000 managed users is about 3 MiB.
const REPLY_MAX: usize = 16 << 20;

/// Where a workspace's calls go, and under which key.
pub struct Endpoint {
    pub workspace_id: String,
    /// Checked by `domain::workspaces::check_base_url`; no trailing slash.
    pub base_url: String,
    pub key: SecretString,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

/// One call. Segments are appended to `/api/v1`, each encoded on its own.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: Method,
    pub segments: Vec<String>,
    pub query: Vec<(String, String)>,
    /// JSON.
    pub body: Option<Bytes>,
    /// The managed user acted for; `None` is the owner's own account.
    pub user: Option<String>,
    pub request_id: String,
    /// The client label passed on, such as `mcp`.
    pub client: Option<String>,
}

/// How long a caller is willing to have repeats waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience(pub Duration);

impl Patience {
    /// Somebody waits for the answer.
    pub const DOOR: Self = Self(Duration::from_secs(3));
    /// Background work.
    pub const BACKGROUND: Self = Self(Duration::from_secs(120));
}

/// What upstream answered, as it is.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub body: Bytes,
    pub latency_ms: i64,
    /// Seconds to wait, as upstream asked with a 429 or 503.
    pub retry_after: Option<u64>,
}

impl Reply {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON, if it is.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Upstream's error text: `error`, or `message` as some of its answers have it.
    pub fn error_text(&self) -> Option<String> {
        let json = self.json()?;
        ["error", "message"].iter().find_map(|name| json.get(name)?.as_str().map(str::to_owned))
    }

    /// The code of a structured limit error.
    pub fn error_code(&self) -> Option<String> {
        self.json()?.get("code")?.as_str().map(str::to_owned)
    }
}

/// Why there is no usable answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// No connection: nothing was sent.
    Unreachable(String),
    /// No complete answer in time.
    Timeout,
    /// The connection broke after something was sent.
    Broken(String),
    /// A redirect, which is never followed.
    Redirect(u16),
    /// The answer is larger than we read.
    TooLarge,
    /// The answer is not what the contract says.
    BadReply(String),
}

impl Error {
    /// Whether the call may have had its effect. A redirect that keeps the method says "ask there instead"; any other may
    /// be the page after a change that was made.
    pub fn may_have_happened(&self) -> bool {
        !matches!(self, Self::Unreachable(_) | Self::Redirect(307 | 308))
    }

    /// Stable word for entries and item codes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "upstream_unreachable",
            Self::Timeout => "upstream_timeout",
            Self::Broken(_) => "upstream_reset",
            Self::Redirect(_) => "upstream_redirect",
            Self::TooLarge | Self::BadReply(_) => "upstream_bad_reply",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(detail) => write!(f, "PostPost cannot be reached: {detail}"),
            Self::Timeout => f.write_str("PostPost did not answer in time"),
            Self::Broken(detail) => write!(f, "the connection to PostPost broke: {detail}"),
            Self::Redirect(status) => write!(f, "PostPost answered with a redirect ({status})"),
            Self::TooLarge => f.write_str("PostPost's answer is too large"),
            Self::BadReply(detail) => write!(f, "PostPost's answer cannot be used: {detail}"),
        }
    }
}

impl std::error::Error for Error {}

/// The client. One for the whole process.
pub struct Upstream {
    http: reqwest::Client,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// Total time of a reading and of a changing call.
    timeouts: (Duration, Duration),
    /// Since when a workspace's upstream has not answered.
    unreachable: Mutex<HashMap<String, Millis>>,
    /// How far a workspace's upstream's clock is ahead of ours, by its last answer.
    ahead: Mutex<HashMap<String, Millis>>,
}

impl Upstream {
    /// `timeouts`: total time of a reading and of a changing call.
    ///
    /// # Errors
    /// When the TLS backend cannot be set up.
    pub fn new(clock: Clock, metrics: Arc<Metrics>, timeouts: (Duration, Duration)) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(1024)
            .pool_idle_timeout(Duration::from_secs(20))
            .http1_only()
            .user_agent(concat!("gatehouse/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| Error::Unreachable(e.to_string()))?;
        Ok(Self { http, clock, metrics, timeouts, unreachable: Mutex::default(), ahead: Mutex::default() })
    }

    /// Since when this workspace's upstream has not answered, if it does not.
    pub fn unreachable_since(&self, workspace_id: &str) -> Option<Millis> {
        self.unreachable.lock().unwrap_or_else(PoisonError::into_inner).get(workspace_id).copied()
    }

    /// How far upstream's clock is ahead of ours, to a second, by the `Date` of its last answer. `None`: it sends none.
    pub fn clock_ahead(&self, workspace_id: &str) -> Option<Millis> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).get(workspace_id).copied()
    }

    /// Sends a call, repeating what may be repeated: a reading call on no connection, 429, 502, 503 and 504; a changing
    /// one only on no connection and 429, where nothing can have happened.
    pub async fn send(&self, to: &Endpoint, call: &Call, patience: Patience) -> Result<Reply, Error> {
        let begun = Instant::now();
        // A change must have ended, repeats included, before the reconciler can take it for orphaned.
        let patience = if call.method == Method::Get { patience.0 } else { patience.0.min(CHANGE_PATIENCE) };
        let mut attempt = 1;
        loop {
            let sent = Instant::now();
            let result = self.once(to, call).await;
            self.note_reachability(&to.workspace_id, &result);
            let word = match &result {
                Ok(reply) => reply.status.to_string(),
                Err(error) => error.code().to_owned(),
            };
            self.metrics.upstream_call(&to.workspace_id, &word, sent.elapsed());
            let reads = call.method == Method::Get;
            let again = match &result {
                Err(Error::Unreachable(_)) => true,
                Ok(reply) => reply.status == 429 || reads && matches!(reply.status, 502..=504),
                Err(_) => false,
            };
            let wait = match &result {
                Ok(Reply { retry_after: Some(seconds), .. }) => Duration::from_secs(*seconds),
                _ => jitter(attempt),
            };
            if !again || attempt == ATTEMPTS || begun.elapsed() + wait > patience {
                return result;
            }
            tokio::time::sleep(wait).await;
            self.metrics.upstream_retry(&to.workspace_id);
            attempt += 1;
        }
    }

    async fn once(&self, to: &Endpoint, call: &Call) -> Result<Reply, Error> {
        let begun = Instant::now();
        let method = match call.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Delete => reqwest::Method::DELETE,
        };
        let timeout = if call.method == Method::Get { self.timeouts.0 } else { self.timeouts.1 };
        let mut key = reqwest::header::HeaderValue::from_str(envelope::expose(&to.key))
            .map_err(|_| Error::Unreachable("the workspace's key cannot be sent in a header".into()))?;
        key.set_sensitive(true);
        let mut request = self
            .http
            .request(method, call.url(&to.base_url)?)
            .timeout(timeout)
            .header("x-api-key", key)
            .header("x-request-id", &call.request_id)
            .header("accept", "application/json");
        if let Some(user) = &call.user {
            request = request.header("x-postpost-user-id", user);
        }
        if let Some(client) = &call.client {
            request = request.header("x-postpost-client", client);
        }
        if let Some(body) = &call.body {
            request = request.header("content-type", "application/json").body(body.clone());
        }
        let mut response = request.send().await.map_err(sort)?;
        let status = response.status().as_u16();
        self.note_clock(&to.workspace_id, response.headers());
        if (300..400).contains(&status) {
            return Err(Error::Redirect(status));
        }
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.trim().parse().ok());
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(sort)? {
            if body.len() + chunk.len() > REPLY_MAX {
                return Err(Error::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, body: body.freeze(), latency_ms: begun.elapsed().as_millis() as i64, retry_after })
    }

    fn note_clock(&self, workspace_id: &str, headers: &reqwest::header::HeaderMap) {
        let date = headers.get("date").and_then(|v| v.to_str().ok());
        let Some(at) = date.and_then(|text| jiff::fmt::rfc2822::parse(text).ok()) else { return };
        // The header has whole seconds, cut off.
        let ahead = at.timestamp().as_millisecond() + 500 - self.clock.now();
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).insert(workspace_id.to_owned(), ahead);
    }

    fn note_reachability(&self, workspace_id: &str, result: &Result<Reply, Error>) {
        let mut unreachable = self.unreachable.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Err(Error::Unreachable(_) | Error::Timeout) => {
                unreachable.entry(workspace_id.to_owned()).or_insert_with(|| self.clock.now());
            }
            _ => {
                unreachable.remove(workspace_id);
            }
        }
    }
}

impl Call {
    pub fn get(segments: &[&str], user: Option<&str>, request_id: &str) -> Self {
        Self {
            method: Method::Get,
            segments: segments.iter().map(|s| (*s).to_owned()).collect(),
            query: Vec::new(),
            body: None,
            user: user.map(str::to_owned),
            request_id: request_id.to_owned(),
            client: None,
        }
    }

    pub fn with(method: Method, segments: &[&str], user: Option<&str>, request_id: &str) -> Self {
        Self { method, ..Self::get(segments, user, request_id) }
    }

    pub fn query(mut self, name: &str, value: impl ToString) -> Self {
        self.query.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn json(mut self, body: &serde_json::Value) -> Self {
        self.body = Some(Bytes::from(body.to_string()));
        self
    }

    /// The URL, asserted to have exactly our segments: `..` and `.` would be dropped by the URL's own rules
    /// (security.md §0.7).
    fn url(&self, base: &str) -> Result<Url, Error> {
        let bad = |what: &str| Error::Unreachable(format!("the URL cannot be built: {what}"));
        let mut url = Url::parse(base).map_err(|_| bad("base"))?;
        let expected =
            url.path_segments().map_or(0, |s| s.filter(|s| !s.is_empty()).count()) + 2 + self.segments.len();
        url.path_segments_mut()
            .map_err(|()| bad("base"))?
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(&self.segments);
        if url.path_segments().map_or(0, Iterator::count) != expected {
            return Err(bad("segments"));
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        Ok(url)
    }
}

/// Full jitter: anything from nothing to the exponential bound.
fn jitter(attempt: u32) -> Duration {
    let bound = (BACKOFF.0 * 2u32.pow(attempt - 1)).min(BACKOFF.1);
    let random = envelope::random();
    bound.mul_f64(f64::from(random[0]) / 255.0)
}

fn sort(error: reqwest::Error) -> Error {
    // The URL is ours and holds nothing secret, but a message is shorter without it.
    let error = error.without_url();
    if error.is_connect() || error.is_builder() {
        Error::Unreachable(root(&error))
    } else if error.is_timeout() {
        Error::Timeout
    } else {
        Error::Broken(root(&error))
    }
}

/// The innermost cause, which is the one that says something.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_exactly_our_segments() {
        let url = |base: &str, segments: &[&str]| Call::get(segments, None, "r").url(base).map(String::from);
        assert_eq!(
            url("http://127.0.0.1:1", &["get-post", "abc"]).unwrap(),
            "http://127.0.0.1:1/api/v1/get-post/abc"
        );
        assert_eq!(url("https://x.example/p", &["a/b?c"]).unwrap(), "https://x.example/p/api/v1/a%2Fb%3Fc");
        assert!(url("https://x.example", &["delete-post", ".."]).is_err());
        assert!(url("https://x.example", &["delete-post", "."]).is_err());
    }
}
