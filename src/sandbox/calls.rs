//! The calls received: counts and the last few, in memory, so that a test can say "nothing was sent" and
//! "these headers were".
//!
//! Keeps names of headers, never their values: the keys among them are secrets. Bounded by `KEPT`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::json;

use super::times;
use super::wire::{Answer, Call, Reply};

/// How many calls are remembered one by one.
const KEPT: usize = 2000;

/// How many endpoints are counted apart; paths are the caller's, so there must be an end to them.
const ENDPOINTS: usize = 200;

/// The calls of one sandbox; everything but `/_sandbox/` itself counts.
#[derive(Default)]
pub(super) struct Calls(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Runs on through a reset, so that a call from before it is never taken for a later one.
    seq: u64,
    total: u64,
    in_flight: u64,
    max_in_flight: u64,
    by_endpoint: BTreeMap<String, u64>,
    by_status: BTreeMap<String, u64>,
    last: VecDeque<Line>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    seq: u64,
    at: String,
    method: String,
    path: String,
    query: String,
    user_id: Option<String>,
    request_id: Option<String>,
    headers: Vec<String>,
    /// Absent while the call is in flight, and for good where the connection was dropped.
    status: Option<u16>,
    state: &'static str,
}

impl Calls {
    /// A call has come in; the number names it in `ended`.
    pub(super) fn began(&self, call: &Call) -> u64 {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.seq += 1;
        inner.total += 1;
        inner.in_flight += 1;
        inner.max_in_flight = inner.max_in_flight.max(inner.in_flight);
        let mut name = endpoint(call);
        if inner.by_endpoint.len() >= ENDPOINTS && !inner.by_endpoint.contains_key(&name) {
            name = "other".to_owned();
        }
        *inner.by_endpoint.entry(name).or_default() += 1;
        let mut headers: Vec<String> = call.headers.iter().map(|(name, _)| name.clone()).collect();
        headers.sort();
        let seq = inner.seq;
        if inner.last.len() == KEPT {
            inner.last.pop_front();
        }
        inner.last.push_back(Line {
            seq,
            at: times::text(times::now()),
            method: call.method.clone(),
            path: call.path.clone(),
            query: call.query.clone(),
            user_id: call.user_header().map(str::to_owned),
            request_id: call.request_id().map(str::to_owned),
            headers,
            status: None,
            state: "inFlight",
        });
        seq
    }

    pub(super) fn ended(&self, seq: u64, reply: &Reply) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.in_flight = inner.in_flight.saturating_sub(1);
        let (status, state) = match reply {
            Reply::Answer(answer) => (Some(answer.status), "answered"),
            Reply::Dropped => (None, "dropped"),
        };
        if let Some(line) = inner.last.iter_mut().rev().find(|line| line.seq == seq) {
            (line.status, line.state) = (status, state);
        }
        let status = status.map_or_else(|| "dropped".to_owned(), |status| status.to_string());
        *inner.by_status.entry(status).or_default() += 1;
    }

    /// `GET /_sandbox/calls?last=N`.
    pub(super) fn show(&self, call: &Call) -> Answer {
        let last = call.query("last").and_then(|text| text.parse().ok()).unwrap_or(100);
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&Line> = inner.last.iter().skip(inner.last.len().saturating_sub(last)).collect();
        Answer::json(
            200,
            &json!({
                "total": inner.total, "inFlight": inner.in_flight, "maxInFlight": inner.max_in_flight,
                "byEndpoint": inner.by_endpoint, "byStatus": inner.by_status, "calls": lines,
            }),
        )
    }

    /// `DELETE /_sandbox/calls`. The numbers run on; calls in flight stay counted as such.
    pub(super) fn reset(&self) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { seq, in_flight, .. } = *inner;
        *inner = Inner { seq, in_flight, max_in_flight: in_flight, ..Inner::default() };
    }
}

/// `DELETE delete-post`: the method and the part of the path that is not an id.
fn endpoint(call: &Call) -> String {
    let words: Vec<&str> = match call.segments().as_slice() {
        ["api", "v1", "workspace", "users", _, action, ..] => vec!["workspace", "users", action],
        ["api", "v1", "workspace", rest @ ..] => [&["workspace"], &rest[..rest.len().min(1)]].concat(),
        ["api", "v1", name, ..] => vec![name],
        [first, ..] => vec![first],
        [] => vec!["/"],
    };
    let name: String = words.join("/").chars().take(80).collect();
    format!("{} {name}", call.method)
}
