//! Audit exports and other long answers: what both the machine door and the pages stream. Producers run on the shared
//! runtime and hand chunks over a short queue, so that a slow reader holds no connection and no memory.

use super::{Answer, Body, Error};
use crate::{
    app::App,
    clock::{DAY, Millis},
    domain::{
        audit::{Action, Actor, Draft, ExportFormat, Outcome},
        audit_search::{Field, Search},
        times,
    },
    exports::{self, Cut},
    store::{audit::AuditFilter, audit_batches::Scope},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::{io, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// The highest number there can be.
const NO_END: i64 = i64::MAX;

/// What is asked for in a file.
pub struct Request {
    pub filter: AuditFilter,
    pub format: ExportFormat,
    pub gzip: bool,
    /// Entries between these numbers, both exclusive.
    pub after: i64,
    pub before: i64,
}

impl Request {
    /// From query or form pairs; `ignored` are names that mean something else.
    pub fn read(
        pairs: &[(String, String)],
        ignored: &[&str],
        format: ExportFormat,
        gzip: bool,
    ) -> Result<Self, Error> {
        let (after, before) = bounds(pairs)?;
        let filter = audit_filter(pairs, &[ignored, &BOUNDS].concat())?;
        Ok(Self { filter, format, gzip, after, before })
    }
}

/// What limits the numbers of entries, beside a filter.
pub const BOUNDS: [&str; 2] = ["after", "before"];

/// The numbers, both exclusive, that `after` and `before` name.
pub fn bounds(pairs: &[(String, String)]) -> Result<(i64, i64), Error> {
    let number =
        |bound: &str, none| {
            let mut named = pairs.iter().filter(|(name, value)| name == bound && !value.is_empty());
            match (named.next(), named.next()) {
                (None, _) => Ok(none),
                (Some((_, text)), None) => text.parse::<i64>().ok().filter(|n| *n >= -1).ok_or_else(|| {
                    Error::bad("invalid_filter", format!("{bound}: not the number of an entry"))
                }),
                _ => Err(Error::bad("invalid_filter", format!("{bound} stands twice"))),
            }
        };
    Ok((number("after", -1)?, number("before", NO_END)?))
}

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
            "q" => {
                filter.search = Search::parse(value).map_err(|why| Error::bad("invalid_filter", why))?;
            }
            "from" => filter.from = Some(moment(value, 0).ok_or_else(|| bad("not a time"))?),
            "to" => filter.to = Some(moment(value, DAY).ok_or_else(|| bad("not a time"))?),
            _ => return Err(Error::bad("invalid_filter", format!("There is no filter {name}"))),
        }
    }
    // A search for one tenant and nothing else is the tenant's part of the log, and can be proven to be all of it.
    if filter.tenant_id.is_none()
        && filter.search.terms().len() == 1
        && let Some(tenant) = filter.search.value(Field::Tenant).map(str::to_owned)
    {
        filter.tenant_id = Some(tenant);
        filter.search = Search::default();
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

/// Streams what the request matches, up to the log's size at this moment; the entry that records the export comes after
/// it. `place` is held until the last byte is made; taken by the caller, before anything is used up.
pub async fn audit(
    app: &Arc<App>,
    actor: &Actor,
    request: Request,
    place: OwnedSemaphorePermit,
) -> Result<Answer, Error> {
    let Request { filter, format, gzip, after, before } = request;
    let until = app.db.audit_scope_len(&Scope::Log, before).await?;
    let rows = app.db.audit_matches(&filter, after, until).await?;
    let mut entry =
        Draft::done(actor, Action::AuditExport).set("format", format.as_str()).set("entries", rows);
    entry.workspace.clone_from(&filter.workspace_id);
    if after >= 0 {
        entry = entry.set("after", after);
    }
    for (name, value) in shown(&filter) {
        entry = entry.set(name, value);
    }
    app.db.append(app.clock.now(), &[&entry]).await?;
    let made = exports::chunks(app.db.clone(), Cut { filter, after, until }, format);
    let mut made = if gzip { exports::gzipped(made) } else { made };
    let (chunks, body) = channel();
    app.runtime.spawn(async move {
        let _place = place;
        while let Some(chunk) = made.next().await {
            if let Err(error) = &chunk {
                tracing::error!(%error, "an export was cut short");
            }
            let failed = chunk.is_err();
            if chunks.send(chunk).await.is_err() || failed {
                return;
            }
        }
    });
    let day = times::to_iso(app.clock.now());
    let name = exports::file_name(&day[..10], format, gzip);
    let answer = download(&name, exports::media(format, gzip, after), body)
        // What a reader needs to see that a file was cut, and to fetch the rest of it and nothing else.
        .with("x-audit-entries", rows.to_string())
        .with("x-audit-before", until.to_string())
        .with("x-audit-evidence", if format == ExportFormat::Csv { "no" } else { "yes" });
    // Compressed already: the server must not do it again.
    Ok(if gzip { answer.with("content-encoding", "identity") } else { answer })
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
    add("filterSearch", Some(filter.search.to_string()).filter(|text| !text.is_empty()));
    shown
}
