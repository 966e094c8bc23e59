//! Sending one call: the request is built from an allow-list (method, path segments, headers), never copied; no redirect
//! is followed, no system proxy used, every wait is bounded. Whether a call is sent at all, and again, is decided by
//! `refused`, `breaker`, `repeats` and `budget`; here is the order in which they are asked.

use super::{
    body::Bodies,
    breaker::Breakers,
    budget::Budgets,
    error::{Error, sort},
    refused::{KeyStanding, RefusedKey, RefusedKeys},
    repeats::{self, ATTEMPTS, CHANGE_PATIENCE},
};
use crate::{
    clock::{Clock, Millis},
    envelope,
    failpoints::Failpoints,
    metrics::Metrics,
};
use bytes::Bytes;
use secrecy::SecretString;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use url::Url;

/// Time for a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// The time limits of one attempt (security.md §6). To connect it has 2 s, always.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// All of a reading call, and all of a changing one.
    pub total: (Duration, Duration),
    /// Between two parts of an answer that has begun.
    pub idle: Duration,
    /// Whether breaker and retry budget are in force. Tests of single faults do without.
    pub guarded: bool,
}

/// Where a workspace's calls go, and under which key.
pub struct Endpoint {
    pub workspace_id: String,
    /// Checked by `domain::workspaces::check_base_url`; no trailing slash.
    pub base_url: String,
    pub key: SecretString,
    pub standing: KeyStanding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// As a request line has it. `None` for one that upstream has no endpoint for.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "GET" => Self::Get,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ => return None,
        })
    }
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

/// The client. One for the whole process.
pub struct Upstream {
    http: reqwest::Client,
    clock: Clock,
    metrics: Arc<Metrics>,
    timeouts: Timeouts,
    bodies: Bodies,
    budgets: Budgets,
    breakers: Breakers,
    refused: RefusedKeys,
    /// Since when a workspace's upstream has not answered.
    unreachable: Mutex<HashMap<String, Millis>>,
    /// How far a workspace's upstream's clock is ahead of ours, by its last answer.
    ahead: Mutex<HashMap<String, Millis>>,
    points: Failpoints,
}

impl Upstream {
    /// # Errors
    /// When the TLS backend cannot be set up.
    pub fn new(clock: Clock, metrics: Arc<Metrics>, timeouts: Timeouts) -> Result<Self, Error> {
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
        Ok(Self {
            http,
            breakers: Breakers::new(clock.clone(), metrics.clone()),
            clock,
            metrics,
            timeouts,
            bodies: Bodies::new(timeouts.idle),
            budgets: Budgets::default(),
            refused: RefusedKeys::default(),
            unreachable: Mutex::default(),
            ahead: Mutex::default(),
            points: Failpoints::default(),
        })
    }

    /// With the failpoints of the database that it works with.
    pub fn with_failpoints(self, points: &Failpoints) -> Self {
        Self { points: points.clone(), ..self }
    }

    /// Since when this workspace's upstream has not answered, or not been asked because it failed, if so.
    pub fn unreachable_since(&self, workspace_id: &str) -> Option<Millis> {
        let silent =
            self.unreachable.lock().unwrap_or_else(PoisonError::into_inner).get(workspace_id).copied();
        silent.or_else(|| self.breakers.open_since(workspace_id))
    }

    /// How far upstream's clock is ahead of ours, to a second, by the `Date` of its last answer. `None`: it sends none.
    pub fn clock_ahead(&self, workspace_id: &str) -> Option<Millis> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).get(workspace_id).copied()
    }

    /// Whether a call would be sent now. Asked before an intent is written, and by background work before it begins.
    ///
    /// # Errors
    /// [`Error::KeyRefused`] or [`Error::BreakerOpen`]: it would not.
    pub fn ready(&self, to: &Endpoint) -> Result<(), Error> {
        if self.refused.refuses(to) {
            return Err(Error::KeyRefused);
        }
        match to.standing {
            KeyStanding::Trial => Ok(()),
            _ if !self.timeouts.guarded => Ok(()),
            _ => self.breakers.ready(&to.workspace_id),
        }
    }

    /// The keys that this process has seen refused.
    pub fn refused_keys(&self) -> Vec<RefusedKey> {
        self.refused.list()
    }

    /// Returns when a key was refused, or after `at_most`.
    pub async fn wait_for_refused_key(&self, at_most: Duration) {
        self.refused.wait(at_most).await;
    }

    /// Sends a call, and again where that is allowed and there is time and budget for it. Nothing is sent while the
    /// workspace's breaker is open or its key is refused.
    pub async fn send(&self, to: &Endpoint, call: &Call, patience: Patience) -> Result<Reply, Error> {
        let (begun, begun_at) = (Instant::now(), self.clock.now());
        // A change must have ended, repeats included, before the reconciler can take it for orphaned.
        let patience = if call.method == Method::Get { patience.0 } else { patience.0.min(CHANGE_PATIENCE) };
        // The clock too: it goes on while the machine is suspended.
        let spent =
            || begun.elapsed().max(Duration::from_millis((self.clock.now() - begun_at).max(0) as u64));
        let workspace = to.workspace_id.as_str();
        let mut result = self.attempt(to, call, false).await?;
        for attempt in 1..ATTEMPTS {
            let wait = repeats::wait(attempt, &result);
            if !repeats::may_repeat(call.method, &result) || spent() + wait > patience {
                break;
            }
            if self.timeouts.guarded && !self.budgets.spend(workspace, self.clock.now()) {
                self.metrics.upstream_retry_refused(workspace);
                break;
            }
            tokio::time::sleep(wait).await;
            // Asked again after the wait: a process that stood still meanwhile must not send any more.
            if spent() > patience {
                break;
            }
            match self.attempt(to, call, true).await {
                Ok(next) => result = next,
                // Not sent. What the attempt before was told says more.
                Err(_) => break,
            }
        }
        result
    }

    /// One attempt, if it may be made.
    ///
    /// # Errors
    /// As [`Self::ready`]: nothing was sent.
    async fn attempt(&self, to: &Endpoint, call: &Call, again: bool) -> Result<Result<Reply, Error>, Error> {
        let workspace = to.workspace_id.as_str();
        if self.refused.refuses(to) {
            return Err(Error::KeyRefused);
        }
        let request = self.request(to, call)?;
        let permit = match to.standing {
            KeyStanding::Trial => None,
            _ if !self.timeouts.guarded => None,
            _ => Some(self.breakers.admit(workspace)?),
        };
        if again {
            self.metrics.upstream_retry(workspace);
        }
        let sent = Instant::now();
        let result = self.exchange(to, request).await;
        if !repeats::may_repeat(Method::Get, &result) && result.is_ok() {
            self.budgets.earn(workspace);
        }
        if let Some(permit) = permit {
            permit.end(repeats::is_outage(&result));
            self.note_reachability(workspace, &result);
        }
        let word = match &result {
            Ok(reply) => reply.status.to_string(),
            Err(error) => error.code().to_owned(),
        };
        self.metrics.upstream_call(workspace, &word, sent.elapsed());
        if let Ok(reply) = &result
            && reply.status == 401
        {
            self.refused.note(to, &reply.error_text().unwrap_or_default());
        }
        Ok(result)
    }

    fn request(&self, to: &Endpoint, call: &Call) -> Result<reqwest::Request, Error> {
        let method = match call.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let (read, change) = self.timeouts.total;
        let timeout = if call.method == Method::Get { read } else { change };
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
        request.build().map_err(sort)
    }

    async fn exchange(&self, to: &Endpoint, request: reqwest::Request) -> Result<Reply, Error> {
        self.points.before_send()?;
        let begun = Instant::now();
        let response = self.http.execute(request).await.map_err(sort)?;
        let status = response.status().as_u16();
        self.note_clock(&to.workspace_id, response.headers());
        if (300..400).contains(&status) {
            return Err(Error::Redirect(status));
        }
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|v| v.to_str().ok())
            .and_then(|v| repeats::read_retry_after(v, self.clock.now()));
        let mut body = self.bodies.read(response).await?;
        self.points.after_answer()?;
        // An answer that repeats what it was asked with. Whoever reads answers, or the log, must not get the account's key.
        if memchr::memmem::find(&body, envelope::expose(&to.key).as_bytes()).is_some() {
            if status != 401 {
                return Err(Error::BadReply(format!("status {status} with the workspace's key in it")));
            }
            // Its status says all there is to know.
            body = Bytes::new();
        }
        Ok(Reply { status, body, latency_ms: begun.elapsed().as_millis() as i64, retry_after })
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

    /// With a JSON body.
    pub fn json(mut self, body: &impl serde::Serialize) -> Self {
        self.body = serde_json::to_vec(body).ok().map(Bytes::from);
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
