//! Audit exports and other long answers: what both the machine door and the pages stream. Producers run on the shared
//! runtime and hand chunks over a short queue, so that a slow reader holds no connection and no memory.

use super::{Answer, Body, Error, csv};
use crate::{
    app::App,
    clock::{DAY, Millis},
    domain::{
        audit::{Action, Actor, Draft, Entry, ExportFormat, Outcome},
        times,
    },
    store::audit::AuditFilter,
};
use bytes::Bytes;
use futures_util::stream;
use serde_json::Value;
use std::{io, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// Entries read at a time.
const PAGE: i64 = 500;

const COLUMNS: [&str; 22] = [
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

/// Reads a filter from query or form pairs. Unknown names, repeated names and values that are none are refused: a filter
/// that is silently dropped would export too much.
pub fn audit_filter(pairs: &[(String, String)], ignored: &[&str]) -> Result<AuditFilter, Error> {
    let mut filter = AuditFilter::default();
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in pairs {
        if ignored.contains(&name.as_str()) {
            continue;
        }
        if seen.contains(&name.as_str()) {
            return Err(Error::bad("invalid_filter", format!("The filter {name} stands twice")));
        }
        seen.push(name);
        let value = value.trim();
        if value.is_empty() {
            continue;
        }
        let bad = |what: &str| Error::bad("invalid_filter", format!("{name}: {what}"));
        let plain = || value.len() <= 200 && !value.chars().any(char::is_control);
        match name.as_str() {
            "actor" | "action" | "tenant" | "target" | "job" | "operation" if !plain() => {
                return Err(bad("too long"));
            }
            "actor" => filter.actor = Some(value.to_owned()),
            "action" => filter.action = Some(value.to_owned()),
            "tenant" => filter.tenant_id = Some(value.to_owned()),
            "target" => filter.target = Some(value.to_owned()),
            "job" => filter.job_id = Some(value.to_owned()),
            "operation" => filter.op_id = Some(value.to_owned()),
            "outcome" => {
                filter.outcome = Some(Outcome::parse(value).ok_or_else(|| bad("no such outcome"))?);
            }
            "from" => filter.from = Some(moment(value, 0).ok_or_else(|| bad("not a time"))?),
            "to" => filter.to = Some(moment(value, DAY).ok_or_else(|| bad("not a time"))?),
            _ => return Err(Error::bad("invalid_filter", format!("There is no filter {name}"))),
        }
    }
    Ok(filter)
}

/// A time as people and programs write it: ISO with a zone, a form's local time (taken as UTC), or a day, of which
/// `whole_day` says how much is meant.
pub fn moment(text: &str, whole_day: Millis) -> Option<Millis> {
    times::from_iso(text)
        .or_else(|| times::from_local_utc(text))
        .or_else(|| times::from_local_utc(&format!("{text}T00:00")).map(|at| at + whole_day))
}

/// Streams what the filter matches, up to the entry that records the export itself. `place` is held until the last byte
/// is made; taken by the caller, before anything is used up.
pub async fn audit(
    app: &Arc<App>,
    actor: &Actor,
    filter: AuditFilter,
    format: ExportFormat,
    place: OwnedSemaphorePermit,
) -> Result<Answer, Error> {
    let rows = app.db.audit_count(&filter).await?;
    let mut entry =
        Draft::done(actor, Action::AuditExport).set("format", format.as_str()).set("entries", rows);
    entry.workspace.clone_from(&filter.workspace_id);
    for (name, value) in shown(&filter) {
        entry = entry.set(name, value);
    }
    let end = app.db.append(app.clock.now(), &[&entry]).await?;
    let (chunks, body) = channel();
    let db = app.db.clone();
    app.runtime.spawn(async move {
        let _place = place;
        if format == ExportFormat::Csv {
            let Ok(head) = csv::record(COLUMNS) else { return };
            if chunks.send(Ok(head.into())).await.is_err() {
                return;
            }
        }
        let mut after = -1;
        loop {
            let page = match db.audit_page(&filter, Some(end), Some(after), PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    let _ = chunks.send(Err(io::Error::other(error.to_string()))).await;
                    return;
                }
            };
            let Some(last) = page.last() else { return };
            after = last.seq;
            let chunk: io::Result<Vec<u8>> = page.iter().try_fold(Vec::new(), |mut chunk, entry| {
                chunk.extend(line(entry, format)?);
                Ok(chunk)
            });
            if chunks.send(chunk.map(Bytes::from)).await.is_err() {
                return;
            }
        }
    });
    let day = times::to_iso(app.clock.now());
    let name = format!("gatehouse-audit-{}.{format}", &day[..10]);
    let media = match format {
        ExportFormat::Csv => "text/csv; charset=utf-8; header=present",
        ExportFormat::Ndjson => "application/x-ndjson",
    };
    Ok(download(&name, media, body))
}

/// A file to save. The name is ours, never a caller's.
pub fn download(name: &str, media: &str, body: Body) -> Answer {
    let mut answer =
        Answer::new(200, media, "").with("content-disposition", format!("attachment; filename=\"{name}\""));
    answer.body = body;
    answer
}

/// A short queue and the body that reads from it. Two chunks: one to be sent, one made meanwhile.
pub fn channel() -> (mpsc::Sender<io::Result<Bytes>>, Body) {
    let (sender, receiver) = mpsc::channel(2);
    let body = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    (sender, Body::Stream(Box::pin(body)))
}

fn shown(filter: &AuditFilter) -> Vec<(&'static str, String)> {
    let mut shown = Vec::new();
    let mut add = |name, value: Option<String>| shown.extend(value.map(|v| (name, v)));
    add("filterActor", filter.actor.clone());
    add("filterAction", filter.action.clone());
    add("filterTenant", filter.tenant_id.clone());
    add("filterOutcome", filter.outcome.map(|o| o.to_string()));
    add("filterFrom", filter.from.map(times::to_iso));
    add("filterTo", filter.to.map(times::to_iso));
    add("filterTarget", filter.target.clone());
    add("filterJob", filter.job_id.clone());
    add("filterOperation", filter.op_id.clone());
    shown
}

fn line(entry: &Entry, format: ExportFormat) -> io::Result<Vec<u8>> {
    match format {
        ExportFormat::Csv => csv_line(entry),
        ExportFormat::Ndjson => ndjson_line(entry),
    }
}

/// The hashed bytes stand in the line as they are, so that a verifier can take them out and hash them.
fn ndjson_line(entry: &Entry) -> io::Result<Vec<u8>> {
    let details: Vec<Value> = entry
        .details
        .iter()
        .map(|d| serde_json::json!({ "part": d.part, "salt": hex::encode(&d.salt), "body": d.body }))
        .collect();
    let mut line = b"{\"entry\":".to_vec();
    line.extend_from_slice(&entry.bytes);
    line.extend_from_slice(format!(",\"leaf\":\"{}\",\"details\":", hex::encode(&entry.leaf)).as_bytes());
    serde_json::to_writer(&mut line, &details)?;
    line.extend_from_slice(b"}\n");
    Ok(line)
}

fn csv_line(entry: &Entry) -> io::Result<Vec<u8>> {
    let fixed: Value = serde_json::from_slice(&entry.bytes)?;
    let detail = |part: &str| entry.detail(part).and_then(|body| serde_json::from_str::<Value>(body).ok());
    let (names, context, change) = (detail("names"), detail("context"), detail("change"));
    let text = |value: Option<&Value>| match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let of = |object: &Option<Value>, name: &str| text(object.as_ref().and_then(|o| o.get(name)));
    let targets: Vec<String> = fixed["targets"]
        .as_array()
        .map(|targets| {
            targets.iter().map(|t| format!("{}:{}", text(t.get("type")), text(t.get("id")))).collect()
        })
        .unwrap_or_default();
    let fields = [
        entry.seq.to_string(),
        times::to_iso(entry.at),
        entry.actor_type.to_string(),
        entry.actor_id.clone(),
        of(&names, "actor"),
        text(fixed["actor"].get("keyPrefix")),
        entry.action.clone(),
        entry.outcome.to_string(),
        entry.workspace_id.clone().unwrap_or_default(),
        entry.tenant_id.clone().unwrap_or_default(),
        targets.join(" "),
        text(detail("reason").as_ref()),
        of(&context, "ip"),
        of(&context, "userAgent"),
        of(&context, "requestId"),
        text(fixed["upstream"].get("status")),
        text(fixed["upstream"].get("latencyMs")),
        entry.op_id.clone().unwrap_or_default(),
        entry.job_id.clone().unwrap_or_default(),
        of(&change, "before"),
        of(&change, "after"),
        of(&context, "client"),
    ];
    csv::record(fields.iter().map(String::as_str))
}
