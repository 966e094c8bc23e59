//! Audit exports and other long answers: what both the machine door and the pages stream. Producers run on the shared
//! runtime and hand chunks over a short queue, so that a slow reader holds no connection and no memory.

use super::{Answer, Body, Error};
use crate::{
    app::App,
    clock::{DAY, Millis},
    domain::{
        audit::{Action, Actor, Draft, ExportFormat, Outcome},
        times,
    },
    exports::{self, Wanted},
    store::{self, audit::AuditFilter},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::{io, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// The highest number there can be.
const NO_END: i64 = i64::MAX;
/// Sizes of earlier checkpoints that one bundle proves itself against, beside those handed out.
const SINCE_MAX: usize = 20;

/// What query or form pairs ask for; `ignored` are names that mean something else.
pub fn wanted(
    pairs: &[(String, String)],
    ignored: &[&str],
    format: ExportFormat,
    gzip: bool,
) -> Result<Wanted, Error> {
    let (after, before) = bounds(pairs)?;
    let filter = audit_filter(pairs, &[ignored, &BOUNDS, &["since"]].concat())?;
    let since = pairs.iter().filter(|(name, value)| name == "since" && !value.is_empty());
    let since: Option<Vec<u64>> = since.map(|(_, text)| text.parse().ok()).collect();
    let since = since
        .filter(|sizes| sizes.len() <= SINCE_MAX && (format == ExportFormat::Bundle || sizes.is_empty()));
    let since = since.ok_or_else(|| {
        let text = format!("since: up to {SINCE_MAX} sizes of earlier checkpoints, for a bundle");
        Error::bad("invalid_filter", text)
    })?;
    let kept = pairs.iter().filter(|(name, value)| !ignored.contains(&name.as_str()) && !value.is_empty());
    let search = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish();
    Ok(Wanted { filter, search, after, before, format, gzip, since })
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

/// Streams what is wanted, up to the log's size at this moment; the entry that records the export comes after it. But a
/// bundle goes up to a checkpoint that is signed for it, and has that entry. `place` is held until the last byte is made;
/// taken by the caller, before anything is used up.
pub async fn audit(
    app: &Arc<App>,
    actor: &Actor,
    wanted: Wanted,
    place: OwnedSemaphorePermit,
) -> Result<Answer, Error> {
    let Wanted { after, format, gzip, .. } = wanted;
    let (size, entries) = exports::measure(&app.db, &wanted).await?;
    let size = match app.db.append(app.clock.now(), &[&entry(actor, &wanted, entries)]).await {
        Ok(seq) if format == ExportFormat::Bundle => seq + 1,
        // A log that contradicts what was signed of it can be taken away; it is the log that cannot be added to.
        Ok(_) | Err(store::Error::AuditFork(_)) => size,
        Err(error) => return Err(error.into()),
    };
    let name = file_name(app, format, gzip);
    let made = exports::make(&app.db, &app.audit_log, wanted, size, app.clock.now(), Arc::default()).await?;
    let (mut made, until) = made;
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
    let mut answer = download(&name, exports::media(format, gzip, after), body)
        // What a reader needs to fetch the rest of a file that was cut, and nothing else.
        .with("x-audit-before", until.to_string())
        .with("x-audit-evidence", if format == ExportFormat::Csv { "no" } else { "yes" });
    if format != ExportFormat::Bundle {
        answer = answer.with("x-audit-entries", entries.to_string());
    }
    // Compressed already: the server must not do it again.
    Ok(if gzip { answer.with("content-encoding", "identity") } else { answer })
}

/// The entry of an export of `entries` entries.
pub fn entry(actor: &Actor, wanted: &Wanted, entries: i64) -> Draft {
    let mut entry =
        Draft::done(actor, Action::AuditExport).set("format", wanted.format.as_str()).set("entries", entries);
    entry.workspace.clone_from(&wanted.filter.workspace_id);
    if wanted.format == ExportFormat::Bundle {
        entry = entry.set("scope", wanted.scope().word());
    }
    for (name, bound, none) in [("after", wanted.after, -1), ("before", wanted.before, NO_END)] {
        if bound != none {
            entry = entry.set(name, bound);
        }
    }
    shown(&wanted.filter).into_iter().fold(entry, |entry, (name, value)| entry.set(name, value))
}

/// The name under which a file of today is saved.
pub fn file_name(app: &App, format: ExportFormat, gzip: bool) -> String {
    exports::file_name(&times::to_iso(app.clock.now())[..10], format, gzip)
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
