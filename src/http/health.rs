//! What a load balancer and a monitoring system ask: `/healthz`, `/readyz`, `/metrics`. They belong to no door, take no
//! request permit, and none of them waits long: when everything else is busy or the database hangs, they still answer.

use super::{Answer, Call, Error, Route, route};
use crate::{app::App, audit::Unavailable, clock::Millis, domain::times, envelope, store};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// A database that takes longer than this to store one row is as good as none.
const PATIENCE: Duration = Duration::from_secs(2);
/// One look at the database serves everybody who asks within this time, so that asking costs nothing.
const FRESH: Duration = Duration::from_secs(1);
/// Somebody who asked `/readyz` within this time is taken for a load balancer that will ask again.
const WATCHED: Duration = Duration::from_secs(30);
/// The most a stop waits for such a one to ask again and be told.
const NOTICE: Duration = Duration::from_secs(5);

/// Label of these routes in the counters.
pub const DOOR: &str = "health";

pub fn routes() -> Vec<Route> {
    vec![
        route("GET", "/healthz", "anyone", healthz),
        route("HEAD", "/healthz", "anyone", healthz),
        route("GET", "/readyz", "anyone", readyz),
        route("HEAD", "/readyz", "anyone", readyz),
        route("GET", "/metrics", "this machine, or the metrics token", metrics),
    ]
}

/// Whether the route is one of these. They run without a permit.
pub fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/metrics")
}

/// The last look at what this process needs, and who asks.
#[derive(Default)]
pub struct State {
    last: tokio::sync::Mutex<Option<(Instant, Checked)>>,
    asked: Mutex<Option<Instant>>,
    told: AtomicBool,
    telling: Notify,
}

/// What was found: a word for each part, `ok` if it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Checked {
    database: &'static str,
    audit: &'static str,
}

impl Checked {
    fn is_ready(self) -> bool {
        self.database == "ok" && self.audit == "ok"
    }
}

/// `GET /healthz`: the process answers. Touches nothing else.
async fn healthz(_: Arc<App>, _: Call) -> Result<Answer, Error> {
    Ok(Answer::json(200, &json!({ "status": "ok" })))
}

/// `GET /readyz`: 200 if calls can be served, else 503. A workspace whose upstream is down does not make it unready:
/// the others can be served, and so can its pages.
async fn readyz(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    *app.health.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    let stopping = *app.stopping.borrow();
    // A stop must not be told late because the database is slow.
    let checked = if stopping { None } else { Some(check(&app).await) };
    let ready = checked.is_some_and(Checked::is_ready);
    let mut body =
        json!({ "status": if stopping { "stopping" } else if ready { "ready" } else { "unready" } });
    if let Some(checked) = checked {
        body["database"] = checked.database.into();
        body["auditWriter"] = checked.audit.into();
    }
    if may_see(&app, &call).is_ok() {
        body["workspaces"] = workspaces(&app);
    }
    if stopping {
        app.health.told.store(true, Ordering::Release);
        app.health.telling.notify_waiters();
    }
    Ok(Answer::json(if ready { 200 } else { 503 }, &body))
}

/// `GET /metrics`, in the OpenMetrics text format. Read from memory alone.
async fn metrics(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    if let Err(refusal) = may_see(&app, &call) {
        return match refusal {
            // As if nothing were there.
            Unseen::NotHere => Err(Error::NotFound),
            Unseen::TokenNeeded => {
                let body =
                    json!({ "error": "Send the metrics token as a bearer token", "code": "token_needed" });
                Ok(Answer::json(401, &body).with("www-authenticate", "Bearer"))
            }
        };
    }
    app.metrics.audit_waiting(app.audit.waiting());
    let mut counts: BTreeMap<&str, usize> = STATES.iter().map(|state| (*state, 0)).collect();
    for account in app.access.accounts() {
        *counts.entry(state(&app, &account.workspace).0).or_default() += 1;
    }
    for (state, count) in counts {
        app.metrics.workspaces(state, count);
    }
    let media = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(Answer::new(200, media, app.metrics.encode()))
}

enum Unseen {
    NotHere,
    TokenNeeded,
}

/// Figures and workspace ids are for whoever runs this: with a token if one is set, else for programs on this machine, and
/// then only while nobody is served from elsewhere. Behind a TLS proxy every peer is this machine, so there the token is
/// the only way.
fn may_see(app: &App, call: &Call) -> Result<(), Unseen> {
    if let Some(token) = &app.config.metrics_token {
        let sent = call.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let equal =
            sent.is_some_and(|s| envelope::equal(s.trim().as_bytes(), envelope::expose(token).as_bytes()));
        return if equal { Ok(()) } else { Err(Unseen::TokenNeeded) };
    }
    // A proxy nobody told us of would make strangers look like this machine, and so would a name of a stranger's that
    // points here (DNS rebinding).
    let forwarded = call
        .headers
        .keys()
        .any(|name| name.starts_with("x-forwarded-") || FORWARDED.contains(&name.as_str()));
    let here = call.header("host").is_some_and(|host| {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        name == "localhost" || name.trim_matches(['[', ']']).parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    });
    if app.config.is_local() && call.ip.is_loopback() && !forwarded && here {
        Ok(())
    } else {
        Err(Unseen::NotHere)
    }
}

/// What proxies add to say for whom they ask, besides `X-Forwarded-*`.
const FORWARDED: [&str; 7] =
    ["forwarded", "via", "x-real-ip", "x-client-ip", "x-original-host", "cf-connecting-ip", "true-client-ip"];

const STATES: [&str; 4] = ["ok", "frozen", "suspended", "unreachable"];

/// How calls of a workspace stand, and since when.
fn state(app: &App, workspace: &crate::domain::workspaces::Workspace) -> (&'static str, Option<Millis>) {
    if let Some(at) = workspace.suspended_at {
        ("suspended", Some(at))
    } else if let Some(at) = app.upstream.unreachable_since(&workspace.id) {
        ("unreachable", Some(at))
    } else if let Some(frozen) = &workspace.frozen {
        ("frozen", Some(frozen.at))
    } else {
        ("ok", None)
    }
}

fn workspaces(app: &App) -> Value {
    let mut all: Vec<_> = app
        .access
        .accounts()
        .iter()
        .map(|account| {
            let (word, since) = state(app, &account.workspace);
            let mut shown = json!({ "id": account.workspace.id, "upstream": word });
            if let Some(at) = since {
                shown["since"] = times::to_iso(at).into();
            }
            shown
        })
        .collect();
    all.sort_by_key(|shown| shown["id"].as_str().map(str::to_owned));
    all.into()
}

/// One look at the database and the audit writer, or the last one if it is fresh. Says so once in the log when it turns.
async fn check(app: &App) -> Checked {
    let mut last = app.health.last.lock().await;
    if let Some((at, checked)) = *last
        && at.elapsed() < FRESH
    {
        return checked;
    }
    let (stored, recorded) = tokio::join!(
        tokio::time::timeout(PATIENCE, app.db.check_writable(app.clock.now())),
        tokio::time::timeout(PATIENCE, app.audit.check()),
    );
    let database = match &stored {
        Ok(Ok(())) => "ok",
        Ok(Err(store::Error::NoSpace(_))) => "cannot be written",
        Ok(Err(_)) => "fails",
        Err(_) => "does not answer",
    };
    let audit = match &recorded {
        Ok(Ok(())) => "ok",
        Ok(Err(Unavailable::Full)) => "is too slow",
        Ok(Err(Unavailable::Stopped)) => "has stopped",
        Ok(Err(Unavailable::Store(store::Error::AuditFork(_)))) => "is forked",
        Ok(Err(Unavailable::Store(_))) => "cannot write",
        Err(_) => "does not answer",
    };
    let checked = Checked { database, audit };
    let before = last.is_none_or(|(_, before)| before.is_ready());
    if before && !checked.is_ready() {
        let detail = stored.ok().and_then(Result::err).map(|error| error.to_string());
        tracing::error!(database, audit_writer = audit, detail, "not ready: changing calls are answered 503");
    } else if !before && checked.is_ready() {
        tracing::info!("ready again");
    }
    app.metrics.ready(checked.is_ready());
    *last = Some((Instant::now(), checked));
    checked
}

/// A look on our own account, so that the gauge and the log are right where nobody asks.
pub async fn look(app: &App) {
    check(app).await;
}

/// At a stop: waits until a load balancer that has been asking is told, so that it sends nobody to a closed port. Does
/// not wait where nobody asks.
pub async fn wait_until_told(app: &App) {
    let asked = *app.health.asked.lock().unwrap_or_else(PoisonError::into_inner);
    if asked.is_none_or(|at| at.elapsed() > WATCHED) {
        return;
    }
    let told = async {
        loop {
            let telling = app.health.telling.notified();
            if app.health.told.load(Ordering::Acquire) {
                return;
            }
            telling.await;
        }
    };
    let _ = tokio::time::timeout(NOTICE, told).await;
}
