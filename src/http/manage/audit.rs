//! The audit log by program, for the workspace of the audit token: pages for whoever polls it as a feed, and files.

use super::super::{
    Answer, Body, Call, Error, audit_proof, credentials,
    export::{self, Request, bounds},
};
use crate::{
    app::App,
    clock::HOUR,
    domain::{
        audit::{Action, Actor, Draft, ExportFormat, Outcome},
        keys::{Key, KeyKind, Scope},
    },
    exports::lines,
    store::{
        audit::AuditFilter,
        audit_batches::{Batch, Scope as Part},
    },
};
use std::sync::Arc;

/// Entries of a page, if the caller does not say, and at most.
const LIMIT: i64 = 500;
const LIMIT_MAX: i64 = 1_000;
/// A feed makes an entry of its own so often: one for each poll would be read by the next poll.
const NOTED_EVERY: i64 = HOUR;

/// `GET /manage/v1/audit.{csv,ndjson}` and the same with `.gz`, with the filters of the audit page as query parameters.
pub async fn export(app: Arc<App>, call: Call, format: ExportFormat, gzip: bool) -> Result<Answer, Error> {
    let (key, actor) = admit(&app, &call, Action::AuditExport).await?;
    let mut request = Request::read(&call.query_pairs(), &[], format, gzip)?;
    request.filter.workspace_id = Some(key.workspace_id.clone());
    let place = app.gate.download()?;
    credentials::used(&app, &key, &actor, &call).await?;
    export::audit(&app, &actor, request, place).await
}

/// `GET /manage/v1/audit/{seq}`: one entry, with its proof.
pub async fn show(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    let (key, actor) = admit(&app, &call, Action::AuditRead).await?;
    let seq: i64 = call.param("seq").parse().map_err(|_| Error::NotFound)?;
    let entry = app.db.audit_entry(Some(&key.workspace_id), seq).await?.ok_or(Error::NotFound)?;
    credentials::used(&app, &key, &actor, &call).await?;
    note_read(&app, &key, &actor).await?;
    audit_proof::answer(&app, &entry).await
}

/// `GET /manage/v1/audit`: entries above `after`, oldest first. `next` is the `after` of the next call: a caller that always
/// sends it gets every entry once, in order.
pub async fn list(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    let (key, actor) = admit(&app, &call, Action::AuditRead).await?;
    let pairs = call.query_pairs();
    let (after, before) = bounds(&pairs)?;
    let mut filter = export::audit_filter(&pairs, &["after", "before", "limit"])?;
    filter.workspace_id = Some(key.workspace_id.clone());
    let limit = match pairs.iter().find(|(name, _)| name == "limit") {
        None => LIMIT,
        Some((_, text)) => text.parse().ok().filter(|n| (1..=LIMIT_MAX).contains(n)).ok_or_else(|| {
            Error::bad("invalid_filter", format!("limit: not a number from 1 to {LIMIT_MAX}"))
        })?,
    };
    credentials::used(&app, &key, &actor, &call).await?;
    note_read(&app, &key, &actor).await?;
    let size = app.db.audit_scope_len(&Part::Log, i64::MAX).await?;
    if after >= size {
        let text = format!(
            "The log has {size} entries and none with the number {after}. Was an older database restored?"
        );
        return Err(Error::CursorAhead(text));
    }
    let (batch, next) = page(&app, &filter, after, before.min(size), limit).await?;
    let mut body = Vec::with_capacity(batch.len() * 1_536 + 64);
    body.extend_from_slice(b"{\"entries\":[");
    for (n, entry) in batch.iter().enumerate() {
        if n > 0 {
            body.push(b',');
        }
        lines::push_object(&mut body, &entry);
    }
    let more = next + 1 < before.min(size);
    body.extend_from_slice(format!("],\"next\":{next},\"more\":{more}}}").as_bytes());
    Ok(Answer { body: Body::Bytes(body.into()), ..Answer::new(200, "application/json; charset=utf-8", "") })
}

/// That the token reads is an entry, but not each time.
async fn note_read(app: &App, key: &Key, actor: &Actor) -> Result<(), Error> {
    let entry = Draft::done(actor, Action::AuditRead).workspace(&key.workspace_id);
    let now = app.clock.now();
    Ok(app.db.note_audit_read(&key.id, now - NOTED_EVERY, now, &entry).await?)
}

/// Up to `limit` entries, and the number up to which all that match are among them.
async fn page(
    app: &App,
    filter: &AuditFilter,
    after: i64,
    until: i64,
    limit: i64,
) -> Result<(Batch, i64), Error> {
    if let Some(scope) = filter.scope() {
        let from = app.db.audit_scope_len(&scope, after + 1).await?;
        let to = app.db.audit_scope_len(&scope, until).await?.max(from);
        let batch = app.db.audit_scope_batch(&scope, from..to.min(from + limit)).await?;
        let next = match batch.last() {
            Some(last) if to > from + limit => last,
            _ => after.max(until - 1),
        };
        return Ok((batch, next));
    }
    let mut looked = after;
    while looked + 1 < until {
        let (batch, up_to) = app.db.audit_batch(filter, looked, until, limit).await?;
        looked = up_to;
        if !batch.is_empty() {
            return Ok((batch, looked));
        }
    }
    Ok((Batch::default(), looked))
}

/// The audit token of a call, and whom it stands for.
async fn admit(app: &App, call: &Call, action: Action) -> Result<(Arc<Key>, Actor), Error> {
    let key = credentials::key(app, call).await?;
    let actor = credentials::actor(&key, call);
    if key.kind != KeyKind::Audit || !key.scopes.has(Scope::AuditRead) {
        let denied = Draft::new(&actor, action, Outcome::Denied)
            .workspace(&key.workspace_id)
            .tenant(key.tenant_id.as_deref())
            .set("code", "scope_missing");
        app.audit.deny(denied).await?;
        let text = format!("This key lacks the scope {}", Scope::AuditRead);
        return Err(Error::Forbidden { code: "scope_missing", text });
    }
    Ok((key, actor))
}
