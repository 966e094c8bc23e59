//! Operations whose outcome is or was in doubt: the list, and any one operation. Must not change anything: what is in
//! doubt is the reconciler's to settle.

use super::{
    super::{Answer, Error},
    audit, present,
    views::{Badge, CopyId, Fact, OperationListPage, OperationPage, OperationRow, Pager},
    visit::Visit,
};
use crate::{
    clock::Millis,
    domain::{
        admins::Right,
        ids,
        operations::{Noun, OpState, Operation, Snapshot, Verb},
    },
    store::audit::AuditFilter,
};

/// Open ones shown; there are more only while upstream hangs.
const OPEN: i64 = 100;
/// Characters of a post's text.
const TEXT: usize = 300;

pub async fn list(visit: Visit) -> Result<Answer, Error> {
    let ws = visit.workspace()?.id.clone();
    let db = &visit.app.db;
    let base = format!("/w/{ws}/operations");
    let before = visit.form.some("before").filter(|id| ids::is_own_id(id));
    let mut open = if before.is_none() { db.open_operations(&ws, OPEN + 1).await? } else { Vec::new() };
    let more_open = open.len() as i64 > OPEN;
    open.truncate(OPEN as usize);
    let size = visit.admin.preferences.rows_per_page;
    let mut settled = db.settled_operations(&ws, before, size + 1).await?;
    let more = settled.len() as i64 > size;
    settled.truncate(size as usize);
    let older = settled.last().filter(|_| more).map(|o| format!("{base}?before={}", o.id));
    let page = OperationListPage {
        open: rows(&visit, &open).await?,
        open_note: if more_open {
            format!("More are open; the oldest {OPEN} are shown.")
        } else {
            String::new()
        },
        settled: rows(&visit, &settled).await?,
        later: before.is_some(),
        pager: Pager::times(before.map(|_| base.clone()), older),
        shell: visit.shell("Operations"),
        ws,
    };
    Ok(present::page(&page))
}

pub async fn show(visit: Visit) -> Result<Answer, Error> {
    let ws = visit.workspace()?.id.clone();
    let id = visit.own_id("id")?;
    let operation = visit.app.db.operation(&ws, id).await?.ok_or(Error::NotFound)?;
    let now = visit.app.clock.now();
    let moment = |at: Millis| present::exact_moment(at, now);
    let filter = AuditFilter {
        workspace_id: Some(ws.clone()),
        op_id: Some(operation.id.clone()),
        ..AuditFilter::default()
    };
    let Some(row) = rows(&visit, std::slice::from_ref(&operation)).await?.pop() else {
        return Err(Error::NotFound);
    };
    let page = OperationPage {
        shell: visit.shell(row.what.as_str()),
        summary: operation.how_it_ended().into(),
        facts: facts(&operation, &row),
        asked: asked(&operation),
        before: operation.snapshot.as_ref().map(before).unwrap_or_default(),
        started: row.started,
        doubted: operation.doubted_at.map(moment),
        ended: row.ended,
        id: CopyId::whole("operation ID", operation.id.as_str()),
        audit_url: if visit.may(Right::Audit) {
            format!("/w/{ws}/audit?operation={}", operation.id)
        } else {
            String::new()
        },
        // An intent, perhaps a doubt, an end.
        audit: audit::latest(&visit, filter, 10).await?,
        what: row.what,
        state: row.state,
        ws,
    };
    Ok(present::page(&page))
}

/// Rows for operations of the page's workspace.
pub(super) async fn rows(visit: &Visit, operations: &[Operation]) -> Result<Vec<OperationRow>, Error> {
    let ws = &visit.workspace()?.id;
    let now = visit.app.clock.now();
    let tenants: Vec<&str> = operations.iter().filter_map(Operation::about_tenant).collect();
    let names = visit.app.db.tenant_names(ws, &tenants).await?;
    let row = |o: &Operation| OperationRow {
        url: format!("/w/{ws}/operations/{}", o.id),
        what: what(o),
        tenant: match (o.about_tenant(), &o.asked.username) {
            (Some(id), _) => names.get(id).cloned().unwrap_or_else(|| id.into()),
            (None, username) => username.clone().unwrap_or_default(),
        },
        actor: o.actor.name.clone(),
        state: badge(o.state),
        started: present::exact_moment(o.started_at, now),
        ended: o.ended_at.map(|at| present::exact_moment(at, now)),
    };
    Ok(operations.iter().map(row).collect())
}

/// "Delete post 507f…9011"
fn what(operation: &Operation) -> String {
    let target = || CopyId::short("", operation.target.as_str()).short;
    match operation.verb {
        Verb::PostCreate if operation.target.is_empty() => "Create a post".into(),
        Verb::PostCreate => format!("Create post {}", target()),
        Verb::PostDelete => format!("Delete post {}", target()),
        Verb::PostUpdate => format!("Change post {}", target()),
        Verb::TenantCreate => "Create a tenant".into(),
        Verb::TenantDetach => "Detach tenant".into(),
        Verb::TenantLink => "Make a connection link for tenant".into(),
        Verb::MediaUploadUrl => format!("Upload media for post {}", target()),
        Verb::WebhookCreate => "Create a webhook".into(),
        Verb::WebhookUpdate => format!("Change webhook {}", target()),
        Verb::WebhookDelete => format!("Delete webhook {}", target()),
        Verb::WebhookRotate => format!("Make a new secret for webhook {}", target()),
        Verb::LinkedinReact => "React on LinkedIn".into(),
        Verb::LinkedinUnreact => "Take back a reaction on LinkedIn".into(),
        Verb::LinkedinComment => "Comment on LinkedIn".into(),
        Verb::LinkedinUncomment => "Delete a comment on LinkedIn".into(),
        Verb::BookmarkChange => "Change X bookmarks".into(),
    }
}

fn badge(state: OpState) -> Badge {
    Badge::outcome(if state == OpState::Open { "intent" } else { state.as_str() })
}

fn fact(name: &str, value: impl Into<String>, url: impl Into<String>) -> Fact {
    Fact { name: name.into(), value: value.into(), url: url.into() }
}

fn facts(operation: &Operation, row: &OperationRow) -> Vec<Fact> {
    let ws = &operation.workspace_id;
    let mut facts = vec![fact("Asked by", operation.actor.name.as_str(), "")];
    match operation.about_tenant().filter(|id| ids::is_object_id(id)) {
        Some(id) => facts.push(fact("Tenant", row.tenant.as_str(), format!("/w/{ws}/tenants/{id}"))),
        None if operation.verb.noun() != Noun::Tenant => {
            facts.push(fact("Tenant", "The account's owner", ""));
        }
        None => {}
    }
    if operation.verb.noun() == Noun::Post && !operation.target.is_empty() {
        let url = match &operation.tenant_id {
            Some(tenant) => format!("/w/{ws}/posts/{tenant}/{}", operation.target),
            None => String::new(),
        };
        facts.push(fact("Post", operation.target.as_str(), url));
    }
    facts.push(match operation.upstream_status {
        Some(status) => fact("PostPost's answer", status.to_string(), ""),
        None if operation.state == OpState::Open => fact("PostPost's answer", "None yet", ""),
        None => fact("PostPost's answer", "None", ""),
    });
    if let Some(at) = operation.granted_at {
        facts.push(fact("Time PostPost gave", time(at), ""));
    }
    if let Some((job, _)) = &operation.item {
        facts.push(fact("Bulk job", "Show it", format!("/w/{ws}/jobs/{job}")));
    }
    facts
}

fn asked(operation: &Operation) -> Vec<Fact> {
    let asked = &operation.asked;
    let mut facts = Vec::new();
    facts.extend(asked.status.as_deref().map(|status| fact("Status", status, "")));
    facts.extend(asked.scheduled_at.map(|at| fact("Scheduled time", time(at), "")));
    if !asked.platforms.is_empty() {
        facts.push(fact("Platforms", asked.platforms.join(", "), ""));
    }
    facts.extend(asked.username.as_deref().map(|username| fact("Username", username, "")));
    facts
}

fn before(snapshot: &Snapshot) -> Vec<Fact> {
    let mut facts = Vec::new();
    facts.extend(snapshot.status.as_deref().map(|status| fact("Status", status, "")));
    facts.extend(snapshot.scheduled_at.map(|at| fact("Scheduled time", time(at), "")));
    facts.extend(snapshot.updated_at.map(|at| fact("Last changed", time(at), "")));
    facts.extend(snapshot.link_expires_at.map(|at| fact("Connection link until", time(at), "")));
    if !snapshot.platforms.is_empty() {
        let platforms: Vec<&str> = snapshot.platforms.iter().map(|p| p.id.as_str()).collect();
        facts.push(fact("Platforms", platforms.join(", "), ""));
    }
    if let Some(content) = snapshot.content.as_deref().filter(|text| !text.is_empty()) {
        facts.push(fact("Text", content.chars().take(TEXT).collect::<String>(), ""));
    }
    facts
}

fn time(at: Millis) -> String {
    present::exact_moment(at, at).absolute
}
