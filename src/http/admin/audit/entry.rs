//! One entry of the audit log, with everything that is kept of it.

use super::{base, list::matches_text, rows};
use crate::{
    audit::note::base64,
    clock::Millis,
    domain::{
        admins::Right,
        audit::{Action, Entry},
        audit_search::{self, Field, Search},
        ids, times,
    },
    http::{
        Answer, Error,
        admin::{
            form::query_string,
            present,
            views::{AuditPage, AuditRow, Change, CopyId, Count, EntryProof, Fact, Link},
            visit::Visit,
        },
        audit_proof,
    },
    store::audit::AuditFilter,
};
use serde_json::Value;

/// Most entries of an operation that are shown; more than a few are only there if it was in doubt for long.
const RELATED: i64 = 20;

pub async fn show(visit: Visit) -> Result<Answer, Error> {
    let ws = visit.workspace()?.id.clone();
    render(&visit, Some(ws)).await
}

pub async fn show_any(visit: Visit) -> Result<Answer, Error> {
    render(&visit, None).await
}

pub async fn proof(visit: Visit) -> Result<Answer, Error> {
    let ws = visit.workspace()?.id.clone();
    give_proof(&visit, Some(&ws)).await
}

pub async fn proof_any(visit: Visit) -> Result<Answer, Error> {
    give_proof(&visit, None).await
}

async fn find(visit: &Visit, workspace_id: Option<&str>) -> Result<Entry, Error> {
    let seq: i64 = visit.call.param("seq").parse().map_err(|_| Error::NotFound)?;
    visit.app.db.audit_entry(workspace_id, seq).await?.ok_or(Error::NotFound)
}

/// The entry with its proof, as a file to keep.
async fn give_proof(visit: &Visit, workspace_id: Option<&str>) -> Result<Answer, Error> {
    let entry = find(visit, workspace_id).await?;
    let name = format!("gatehouse-audit-entry-{}.json", entry.seq);
    let answer = audit_proof::answer(&visit.app, &entry).await?;
    Ok(answer.with("content-disposition", format!("attachment; filename=\"{name}\"")))
}

async fn render(visit: &Visit, workspace_id: Option<String>) -> Result<Answer, Error> {
    let db = &visit.app.db;
    let entry = find(visit, workspace_id.as_deref()).await?;
    let base = base(workspace_id.as_deref());
    let filter = AuditFilter { workspace_id, ..AuditFilter::default() };
    let newer = db.audit_seqs(&filter, None, Some(entry.seq), 1).await?.pop();
    let older = db.audit_seqs(&filter, Some(entry.seq), None, 1).await?.pop();
    let url = |seq: i64| format!("{base}/{seq}");
    let (related, related_rows) = related(visit, &entry, &filter, &base).await?;
    let Some(row) = rows(visit, std::slice::from_ref(&entry), &base).await?.pop() else {
        return Err(Error::NotFound);
    };
    let fixed: Value = serde_json::from_slice(&entry.bytes).unwrap_or_default();
    let page = AuditPage {
        shell: visit.shell(format!("Entry {}", Count(row.seq))),
        seq: Count(row.seq),
        action: entry.action.clone(),
        facts: facts(visit, &entry, &row, &fixed, &base),
        context: context(&entry),
        erased: erased(&entry, &fixed, &db.erased_parts(entry.seq).await?),
        changes: changes(&entry),
        bytes: String::from_utf8_lossy(&entry.bytes).into_owned(),
        leaf_hash: CopyId::whole("leaf hash", hex::encode(&entry.leaf)),
        related,
        related_rows,
        proof: inclusion(visit, &entry).await?,
        proof_url: format!("{base}/{}/proof.json", entry.seq),
        outcome: row.outcome,
        at: row.at,
        prev_url: newer.map(url),
        next_url: older.map(url),
        back_url: base.clone(),
    };
    Ok(present::page(&page))
}

/// Other entries of the same operation, and links to what the job and the session have left.
async fn related(
    visit: &Visit,
    entry: &Entry,
    scope: &AuditFilter,
    base: &str,
) -> Result<(Vec<Link>, Vec<AuditRow>), Error> {
    let db = &visit.app.db;
    let context: Value =
        entry.detail("context").and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
    let session = context["sessionId"].as_str();
    let mut links = Vec::new();
    for (field, id, what) in [
        (Field::Job, entry.job_id.as_deref(), "this bulk job"),
        (Field::Session, session, "this session"),
        (Field::Request, context["requestId"].as_str(), "this request"),
    ] {
        let Some(id) = id else { continue };
        let search = Search::parse(&audit_search::is(field, id)).unwrap_or_default();
        let filter = AuditFilter { search: search.clone(), ..scope.clone() };
        let matches = db.audit_count_in_time(&filter).await?;
        if matches.count > 1 || !matches.is_exact {
            let text = format!("{} of {what}", matches_text(matches));
            let search = search.to_string();
            links.push(Link::new(text, format!("{base}?{}", query_string([("q", search.as_str())]))));
        }
    }
    let Some(operation) = &entry.op_id else { return Ok((links, Vec::new())) };
    let filter = AuditFilter { op_id: Some(operation.clone()), ..scope.clone() };
    let mut entries = db.audit_page(&filter, None, None, RELATED).await?;
    entries.retain(|other| other.seq != entry.seq);
    Ok((links, rows(visit, &entries, base).await?))
}

/// The entry's proof in the newest checkpoint.
async fn inclusion(visit: &Visit, entry: &Entry) -> Result<Option<EntryProof>, Error> {
    let inclusion = visit.app.audit_log.inclusion(entry.seq).await?;
    Ok(inclusion.map(|inclusion| EntryProof {
        size: Count(inclusion.signed.checkpoint.size),
        hashes: inclusion.proof.iter().map(base64).collect(),
        checkpoint: inclusion.signed.note.clone(),
    }))
}

fn fact(name: &str, value: impl Into<String>, url: impl Into<String>) -> Fact {
    Fact { name: name.into(), value: value.into(), url: url.into() }
}

fn facts(visit: &Visit, entry: &Entry, row: &AuditRow, fixed: &Value, base: &str) -> Vec<Fact> {
    let mut facts = vec![fact("Actor", format!("{} ({})", row.actor, row.actor_type), "")];
    if !entry.actor_id.is_empty() {
        facts.push(fact("Actor ID", entry.actor_id.as_str(), ""));
    }
    if let Some(prefix) = fixed["actor"]["keyPrefix"].as_str() {
        facts.push(fact("Key", format!("{prefix}…"), ""));
    }
    if let Some(ws) = &entry.workspace_id {
        facts.push(fact("Workspace", row.workspace.as_str(), format!("/w/{ws}")));
        if let Some(tenant) = &entry.tenant_id {
            facts.push(fact("Tenant", row.tenant.as_str(), format!("/w/{ws}/tenants/{tenant}")));
        }
    }
    for (i, target) in fixed["targets"].as_array().into_iter().flatten().enumerate() {
        let text = |field: &str| target[field].as_str().unwrap_or_default();
        let url = if i == 0 { row.target_url.as_str() } else { "" };
        facts.push(fact("Target", format!("{} {}", text("type"), text("id")), url));
    }
    if let Some(reason) = entry.detail("reason").and_then(|body| serde_json::from_str::<String>(body).ok()) {
        facts.push(fact("Reason", reason, ""));
    }
    if let Some(latency) = fixed["upstream"]["latencyMs"].as_i64() {
        let answer = match (fixed["upstream"]["status"].as_u64(), fixed["upstream"]["code"].as_str()) {
            (Some(status), Some(code)) => format!("{status} ({code})"),
            (Some(status), None) => status.to_string(),
            (None, code) => format!("no answer ({})", code.unwrap_or("not known")),
        };
        facts.push(fact("PostPost's answer", format!("{answer} after {latency} ms"), ""));
    }
    if let Some(id) = entry.op_id.as_deref().filter(|id| ids::is_own_id(id)) {
        // An auditor reads the log alone; others are shown how it ended.
        let reads = |ws: &&String| visit.role_in(ws).is_some_and(|role| role.may(Right::Read));
        // An erasure is joined by its id as well, and is no call at PostPost.
        let called = entry.action != Action::AuditErase.as_str();
        let url = match entry.workspace_id.as_ref().filter(reads).filter(|_| called) {
            Some(ws) => format!("/w/{ws}/operations/{id}"),
            None => format!("{base}?q=operation%3A{id}"),
        };
        facts.push(fact("Operation", id, url));
    }
    if let (Some(ws), Some(id)) =
        (&entry.workspace_id, entry.job_id.as_deref().filter(|id| ids::is_own_id(id)))
    {
        facts.push(fact("Job", id, format!("/w/{ws}/jobs/{id}")));
    }
    for (name, place) in [("Number in the workspace", "inWorkspace"), ("Number of the tenant", "inTenant")] {
        if let Some(seq) = fixed[place]["seq"].as_u64() {
            facts.push(fact(name, Count(seq).to_string(), ""));
        }
    }
    facts
}

fn context(entry: &Entry) -> Vec<Fact> {
    let context: Value =
        entry.detail("context").and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
    [
        ("Address", "ip"),
        ("User agent", "userAgent"),
        ("Request ID", "requestId"),
        ("Session", "sessionId"),
        ("Client", "client"),
    ]
    .into_iter()
    .filter_map(|(name, field)| Some(fact(name, context.get(field)?.as_str()?, "")))
    .collect()
}

/// Parts that the hashed bytes commit to and that are no longer there.
fn erased(entry: &Entry, fixed: &Value, since: &[(String, Millis)]) -> Option<String> {
    let day = since.iter().map(|(_, at)| times::to_iso(*at)[..10].to_owned()).min();
    let when = day.map(|day| format!(" on {day}")).unwrap_or_default();
    let parts = fixed["commitments"].as_object()?.keys();
    let gone: Vec<&str> = parts.map(String::as_str).filter(|part| entry.detail(part).is_none()).collect();
    (!gone.is_empty()).then(|| {
        format!("Erased{when}: {}. What is left is the commitment to it in the bytes below.", gone.join(", "))
    })
}

fn changes(entry: &Entry) -> Vec<Change> {
    let change: Value =
        entry.detail("change").and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
    let text = |side: &str, field: &str| match change[side].get(field) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let mut fields: Vec<&String> = ["before", "after"]
        .iter()
        .filter_map(|side| change[*side].as_object())
        .flat_map(|o| o.keys())
        .collect();
    fields.sort();
    fields.dedup();
    fields
        .into_iter()
        .map(|field| Change {
            before: text("before", field),
            after: text("after", field),
            field: field.clone(),
        })
        .collect()
}
