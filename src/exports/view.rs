//! Entries as CSV, for people and spreadsheets: a view, not evidence. It has neither hashes nor salts, and what a
//! spreadsheet would run is changed.

use crate::{
    csv::Records,
    store::audit_batches::{Batch, StoredEntry},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, io};

pub const COLUMNS: [&str; 22] = [
    "seq",
    "time",
    "actor_type",
    "actor_id",
    "actor_name",
    "key_prefix",
    "action",
    "outcome",
    "workspace",
    "tenant",
    "targets",
    "reason",
    "ip",
    "user_agent",
    "request_id",
    "upstream_status",
    "upstream_latency_ms",
    "operation",
    "job",
    "before",
    "after",
    "client",
];
/// What stands where a part of the entry was erased.
const ERASED: &str = "[erased]";
/// What stands as the action where the bytes are no entry: somebody has changed them.
const UNREADABLE: &str = "[unreadable entry]";

/// The records of a batch.
pub fn csv(batch: &Batch) -> io::Result<Vec<u8>> {
    let mut records = Records::with_capacity(batch.len() * 768);
    for entry in batch.iter() {
        push(&mut records, &entry)?;
    }
    records.into_bytes()
}

type Text<'a> = Option<Cow<'a, str>>;

/// The hashed part, as far as it is shown.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fixed<'a> {
    #[serde(borrow)]
    at: Cow<'a, str>,
    #[serde(borrow)]
    actor: Who<'a>,
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    outcome: Cow<'a, str>,
    #[serde(borrow)]
    workspace: Text<'a>,
    #[serde(borrow)]
    tenant: Text<'a>,
    #[serde(borrow)]
    targets: Vec<What<'a>>,
    upstream: Option<Upstream>,
    #[serde(borrow)]
    op_id: Text<'a>,
    #[serde(borrow)]
    job_id: Text<'a>,
    commitments: Parts,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Who<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    key_prefix: Text<'a>,
}

#[derive(Deserialize)]
struct What<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Upstream {
    status: Option<u16>,
    latency_ms: Option<i64>,
}

/// Which details the entry had when it was written.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Parts {
    names: Option<serde::de::IgnoredAny>,
    context: Option<serde::de::IgnoredAny>,
    change: Option<serde::de::IgnoredAny>,
    reason: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Names<'a> {
    #[serde(borrow)]
    actor: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Context<'a> {
    #[serde(borrow)]
    ip: Text<'a>,
    #[serde(borrow)]
    user_agent: Text<'a>,
    #[serde(borrow)]
    request_id: Text<'a>,
    #[serde(borrow)]
    client: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Change<'a> {
    #[serde(borrow)]
    before: Option<&'a RawValue>,
    #[serde(borrow)]
    after: Option<&'a RawValue>,
}

/// A detail that is there, or was and is not any more, or never was.
enum Detail<T> {
    There(T),
    Erased,
    None,
}

impl<T> Detail<T> {
    fn text<'t>(&'t self, field: impl FnOnce(&'t T) -> Option<&'t str>) -> &'t str {
        match self {
            Self::There(detail) => field(detail).unwrap_or_default(),
            Self::Erased => ERASED,
            Self::None => "",
        }
    }
}

fn push(records: &mut Records, entry: &StoredEntry<'_>) -> io::Result<()> {
    let seq = entry.seq.to_string();
    let Ok(fixed) = serde_json::from_slice::<Fixed<'_>>(entry.bytes) else {
        let mut fields = [""; COLUMNS.len()];
        (fields[0], fields[6]) = (&seq, UNREADABLE);
        return records.push(fields);
    };
    let body = |part: &str| entry.details.iter().find(|d| d.part == part).map(|d| d.body);
    let names: Detail<Names<'_>> = detail(body("names"), fixed.commitments.names.is_some());
    let context: Detail<Context<'_>> = detail(body("context"), fixed.commitments.context.is_some());
    let change: Detail<Change<'_>> = detail(body("change"), fixed.commitments.change.is_some());
    let reason: Detail<Cow<'_, str>> = match body("reason") {
        // A string in the way of JSON, borrowed only where it holds no escape.
        Some(body) => Detail::There(serde_json::from_str::<String>(body).unwrap_or_default().into()),
        None if fixed.commitments.reason.is_some() => Detail::Erased,
        None => Detail::None,
    };
    let targets: Vec<String> = fixed.targets.iter().map(|t| format!("{}:{}", t.kind, t.id)).collect();
    let number = |n: Option<i64>| n.map(|n| n.to_string()).unwrap_or_default();
    let status = number(fixed.upstream.as_ref().and_then(|u| u.status).map(i64::from));
    let latency = number(fixed.upstream.as_ref().and_then(|u| u.latency_ms));
    records.push([
        seq.as_str(),
        &fixed.at,
        &fixed.actor.kind,
        &fixed.actor.id,
        names.text(|n| n.actor.as_deref()),
        plain(&fixed.actor.key_prefix),
        &fixed.action,
        &fixed.outcome,
        plain(&fixed.workspace),
        plain(&fixed.tenant),
        &targets.join(" "),
        reason.text(|r| Some(r)),
        context.text(|c| c.ip.as_deref()),
        context.text(|c| c.user_agent.as_deref()),
        context.text(|c| c.request_id.as_deref()),
        &status,
        &latency,
        plain(&fixed.op_id),
        plain(&fixed.job_id),
        change.text(|c| c.before.map(RawValue::get)),
        change.text(|c| c.after.map(RawValue::get)),
        context.text(|c| c.client.as_deref()),
    ])
}

fn plain<'t>(text: &'t Text<'_>) -> &'t str {
    text.as_deref().unwrap_or_default()
}

fn detail<'a, T: Deserialize<'a> + Default>(body: Option<&'a str>, was_there: bool) -> Detail<T> {
    match body {
        Some(body) => Detail::There(serde_json::from_str(body).unwrap_or_default()),
        None if was_there => Detail::Erased,
        None => Detail::None,
    }
}
