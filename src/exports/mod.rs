//! The audit log in files: what is in one, and its bytes as a stream of chunks. Entries are read a few hundred at a time,
//! by number, so that memory stays flat and no long transaction is held. Must not decide who may have what.

mod bundle;
pub mod files;
mod gzip;
pub mod lines;
mod view;

use crate::{
    audit::Log,
    clock::Millis,
    domain::audit::ExportFormat,
    store::{
        self, Db,
        audit::AuditFilter,
        audit_batches::{Batch, Scope},
    },
};
use bytes::Bytes;
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use std::{
    io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

/// Entries read at a time. What is held of a download while its reader is slow are a few such pages.
const PAGE: i64 = 500;
/// Pages read ahead, so that the database, the writing of lines and the network work side by side.
const AHEAD: usize = 2;

/// What somebody wants in a file.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub filter: AuditFilter,
    /// The same as it was asked for, with `after` and `before`: a query string.
    pub search: String,
    /// Entries between these numbers, both exclusive; −1 and the highest number there is stand for no bound.
    pub after: i64,
    pub before: i64,
    pub format: ExportFormat,
    pub gzip: bool,
    /// For a bundle: sizes of checkpoints that its reader has.
    pub since: Vec<u64>,
}

/// The log's size, and how many entries match so far.
pub async fn measure(db: &Db, wanted: &Wanted) -> store::Result<(i64, i64)> {
    let size = db.audit_scope_len(&Scope::Log, i64::MAX).await?;
    let matches = db.audit_matches(&wanted.filter, wanted.after, wanted.before.min(size)).await?;
    Ok((size, matches))
}

/// A file's bytes, and below which number entries are in it. `size` is the log's; a bundle's checkpoint covers at least that
/// much. `done` counts the entries as they are read.
pub async fn make(
    db: &Db,
    log: &Log,
    wanted: Wanted,
    size: i64,
    now: Millis,
    done: Arc<AtomicI64>,
) -> store::Result<(Chunks, i64)> {
    let gzip = wanted.gzip;
    let (made, until) = match wanted.format {
        ExportFormat::Bundle => bundle::chunks(db, log, wanted, size, now, done).await?,
        format => {
            let until = wanted.before.min(size);
            let cut = Cut { filter: wanted.filter, after: wanted.after, until };
            (chunks(db.clone(), cut, format, done), until)
        }
    };
    Ok((if gzip { gzip::gzipped(made) } else { made }, until))
}

/// What is taken from the log: what matches, above `after` and below `until`.
#[derive(Debug, Clone)]
pub struct Cut {
    pub filter: AuditFilter,
    /// A number, exclusive; −1 is the beginning.
    pub after: i64,
    /// A number, exclusive, not above the log's size.
    pub until: i64,
}

pub type Chunks = BoxStream<'static, io::Result<Bytes>>;

/// Lines or records. A file that was cut is resumed with the number of its last whole line as `after`: the same lines
/// follow, byte by byte, but for details that were erased meanwhile.
pub fn chunks(db: Db, cut: Cut, format: ExportFormat, done: Arc<AtomicI64>) -> Chunks {
    // A part that is appended to another needs no second head.
    let has_head = format == ExportFormat::Csv && cut.after < 0;
    let head = has_head.then(|| crate::csv::record(view::COLUMNS).map(Bytes::from));
    let lines = batches(db, cut, done).map(move |batch| {
        let batch = batch.map_err(io::Error::other)?;
        Ok(Bytes::from(if format == ExportFormat::Csv { view::csv(&batch)? } else { lines::ndjson(&batch) }))
    });
    stream::iter(head).chain(lines).boxed()
}

/// The file's name. A view does not pass for evidence.
pub fn file_name(day: &str, format: ExportFormat, gzip: bool) -> String {
    let kind = match format {
        ExportFormat::Csv => "audit-view",
        ExportFormat::Ndjson => "audit",
        ExportFormat::Bundle => "audit-bundle",
    };
    format!("gatehouse-{kind}-{day}.{}{}", format.extension(), if gzip { ".gz" } else { "" })
}

/// The file's media type.
pub fn media(format: ExportFormat, gzip: bool, after: i64) -> &'static str {
    match format {
        _ if gzip => "application/gzip",
        ExportFormat::Csv if after < 0 => "text/csv; charset=utf-8; header=present",
        ExportFormat::Csv => "text/csv; charset=utf-8; header=absent",
        ExportFormat::Ndjson => "application/x-ndjson",
        ExportFormat::Bundle => "application/x-tar",
    }
}

/// The entries, in order.
pub fn batches(db: Db, cut: Cut, done: Arc<AtomicI64>) -> BoxStream<'static, store::Result<Batch>> {
    let batches = match cut.filter.scope() {
        Some(scope) => of_scope(db, scope, cut.after, cut.until),
        None => matching(db, cut),
    };
    let count = move |batch: &Batch| {
        done.fetch_add(batch.len() as i64, Ordering::Relaxed);
    };
    batches.inspect_ok(count).boxed()
}

/// All of a scope: where each page begins is known, so the next ones are read meanwhile.
fn of_scope(db: Db, scope: Scope, after: i64, until: i64) -> BoxStream<'static, store::Result<Batch>> {
    let numbers = {
        let (db, scope) = (db.clone(), scope.clone());
        async move {
            let from = db.audit_scope_len(&scope, after + 1).await?;
            Ok::<_, store::Error>(pages(from..db.audit_scope_len(&scope, until).await?))
        }
    };
    let page = move |numbers: Range<i64>| {
        let (db, scope) = (db.clone(), scope.clone());
        async move { db.audit_scope_batch(&scope, numbers).await }
    };
    stream::once(numbers)
        .map_ok(|pages| stream::iter(pages.map(Ok)))
        .try_flatten()
        .map_ok(page)
        .try_buffered(AHEAD)
        .boxed()
}

fn pages(numbers: Range<i64>) -> impl Iterator<Item = Range<i64>> {
    let end = numbers.end;
    numbers.step_by(PAGE as usize).map(move |from| from..end.min(from + PAGE))
}

fn matching(db: Db, cut: Cut) -> BoxStream<'static, store::Result<Batch>> {
    stream::try_unfold((db, cut), |(db, mut cut)| async move {
        while cut.after + 1 < cut.until {
            let (batch, looked) = db.audit_batch(&cut.filter, cut.after, cut.until, PAGE).await?;
            cut.after = looked;
            if !batch.is_empty() {
                return Ok(Some((batch, (db, cut))));
            }
        }
        Ok(None)
    })
    .boxed()
}
