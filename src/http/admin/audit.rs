//! The audit log, of a workspace or of the instance: list, one entry, export. Must not change anything.

mod entry;
mod folds;
mod list;

pub use entry::{proof, proof_any, show, show_any};

use super::{
    super::{
        Answer, Error,
        export::{self, Request},
        export_link,
    },
    form::query_string,
    present,
    secrets::{self, SecretKind},
    views::AuditRow,
    visit::Visit,
};
use crate::{
    domain::{
        admins::Right,
        audit::{Action, Entry, ExportFormat},
    },
    store::audit::AuditFilter,
};
use std::collections::{BTreeMap, HashMap};

/// Tenants to choose from; others are filtered for by a link on their page.
const TENANTS: i64 = 500;
/// What a list's address holds beside the filter.
const NOT_FILTERS: [&str; 5] = ["before", "after", "fold", "done", "refresh"];

/// The log's actions to choose from, by noun. A noun alone is all of its actions.
fn actions() -> Vec<(String, String)> {
    let mut list: Vec<(String, String)> = Vec::new();
    for group in Action::ALL.chunk_by(|a, b| a.noun() == b.noun()) {
        if let [first, _, ..] = group {
            let all = match first.noun() {
                "post" => "Posts: all",
                "plan" => "Previews: all",
                "job" => "Bulk jobs: all",
                "tenant" => "Tenants: all",
                "key" => "Keys: all",
                "webhook" => "Webhooks: all",
                "linkedin" => "LinkedIn: all",
                "workspace" => "Workspaces: all",
                "admin" => "People: all",
                _ => "Audit log: all",
            };
            list.push((first.noun().to_owned(), all.to_owned()));
        }
        list.extend(group.iter().map(|action| (action.to_string(), action.to_string())));
    }
    list
}

pub async fn list(visit: Visit) -> Result<Answer, Error> {
    let ws = visit.workspace()?.id.clone();
    list::render(&visit, Some(&ws)).await
}

pub async fn list_all(visit: Visit) -> Result<Answer, Error> {
    list::render(&visit, None).await
}

pub async fn export(visit: Visit) -> Result<Answer, Error> {
    let ws = visit.workspace()?.id.clone();
    stream(&visit, Some(ws)).await
}

pub async fn export_all(visit: Visit) -> Result<Answer, Error> {
    stream(&visit, None).await
}

/// Makes a link that downloads what the filters match, for somebody who has no account here.
pub async fn link(visit: Visit) -> Result<Answer, Error> {
    let app = &visit.app;
    let ws = visit.workspace()?.id.clone();
    let format = read_format(&visit)?;
    export::audit_filter(visit.form.pairs(), &FORM_FIELDS)?;
    let filters = visit.form.pairs().iter().filter(|(name, _)| !FORM_FIELDS.contains(&name.as_str()));
    let text = query_string(filters.map(|(name, value)| (name.as_str(), value.as_str())));
    let path = export_link::issue(app, &visit.actor, Some(&ws), format, text).await?;
    let until = app.clock.now() + export_link::LIFE;
    let (url, label, back) =
        (format!("{}{path}", app.public_url), format!("audit entries as {format}"), base(Some(&ws)));
    let location = secrets::store_reveal(&visit, SecretKind::Export, &url, &label, back, Some(until)).await?;
    Ok(Answer::see_other(&location))
}

/// What the export forms hold beside the filter.
const FORM_FIELDS: [&str; 3] = ["_csrf", "_once", "format"];

fn read_format(visit: &Visit) -> Result<ExportFormat, Error> {
    ExportFormat::parse(visit.form.get("format"))
        .ok_or_else(|| Error::bad("invalid_form", "format: choose csv or ndjson"))
}

async fn stream(visit: &Visit, workspace_id: Option<String>) -> Result<Answer, Error> {
    let mut request = Request::read(visit.form.pairs(), &FORM_FIELDS, read_format(visit)?, false)?;
    request.filter.workspace_id = workspace_id;
    let place = visit.app.gate.download()?;
    export::audit(&visit.app, &visit.actor, request, place).await
}

/// The newest entries of what `filter` names, for the pages that show some.
pub(super) async fn latest(visit: &Visit, filter: AuditFilter, limit: i64) -> Result<Vec<AuditRow>, Error> {
    let Some(ws) = filter.workspace_id.clone().filter(|_| visit.may(Right::Audit)) else {
        return Ok(Vec::new());
    };
    let entries = visit.app.db.audit_page(&filter, None, None, limit).await?;
    rows(visit, &entries, &base(Some(&ws))).await
}

/// Who did something last, as the log has the name: for "frozen by".
pub(super) async fn latest_actor(visit: &Visit, filter: AuditFilter) -> Result<String, Error> {
    let entry = visit.app.db.audit_page(&filter, None, None, 1).await?.pop();
    let names = entry.as_ref().and_then(|e| e.detail("names"));
    let names: Option<serde_json::Value> = names.and_then(|body| serde_json::from_str(body).ok());
    Ok(names.and_then(|n| n.get("actor")?.as_str().map(str::to_owned)).unwrap_or_default())
}

async fn rows(visit: &Visit, entries: &[Entry], base: &str) -> Result<Vec<AuditRow>, Error> {
    let mut tenants: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in entries {
        if let (Some(workspace), Some(tenant)) = (&entry.workspace_id, &entry.tenant_id) {
            tenants.entry(workspace).or_default().push(tenant);
        }
    }
    let mut names = HashMap::new();
    for (workspace, mut ids) in tenants {
        ids.sort_unstable();
        ids.dedup();
        names.extend(visit.app.db.tenant_names(workspace, &ids).await?);
    }
    let accounts = visit.accounts();
    let workspaces = accounts.iter().map(|a| (a.workspace.id.clone(), a.workspace.name.clone())).collect();
    Ok(present::audit_rows(entries, &names, &workspaces, base, visit.app.clock.now()))
}

fn base(workspace_id: Option<&str>) -> String {
    workspace_id.map_or_else(|| "/audit".into(), |ws| format!("/w/{ws}/audit"))
}
