//! The audit log, of a workspace or of the instance: list, one entry, export. Must not change anything.

mod entry;
pub mod exports;

pub use entry::{show, show_any};

use super::{
    super::{Answer, Error, export, export_link},
    form::query_string,
    present,
    secrets::{self, SecretKind},
    views::{self, AuditListPage, AuditRow, Badge, Chip, Choice, Count, ExportForm, Pager},
    visit::Visit,
};
use crate::{
    domain::{
        admins::Right,
        audit::{Action, Entry, ExportFormat, Outcome},
        times,
    },
    store::{audit::AuditFilter, tenants::TenantFilter},
};
use std::collections::{BTreeMap, HashMap};

/// Tenants to choose from; others are filtered for by a link on their page.
const TENANTS: i64 = 500;
/// An export of more entries than this is made in the background (ui.md A2).
const STREAMED_MAX: i64 = 50_000;
/// What a list's address holds beside the filter.
const NOT_FILTERS: [&str; 4] = ["before", "after", "done", "refresh"];

/// The log's actions to choose from, by noun. A trailing dot is all of a noun.
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
            list.push((format!("{}.", first.noun()), all.to_owned()));
        }
        list.extend(group.iter().map(|action| (action.to_string(), action.to_string())));
    }
    list
}

pub async fn list(visit: Visit) -> Result<Answer, Error> {
    let ws = visit.workspace()?.id.clone();
    render(&visit, Some(&ws)).await
}

pub async fn list_all(visit: Visit) -> Result<Answer, Error> {
    render(&visit, None).await
}

pub async fn export(visit: Visit) -> Result<Answer, Error> {
    let ws = visit.workspace()?.id.clone();
    begin_export(&visit, Some(ws)).await
}

pub async fn export_all(visit: Visit) -> Result<Answer, Error> {
    begin_export(&visit, None).await
}

/// Makes a link that downloads what the filters match, for somebody who has no account here.
pub async fn link(visit: Visit) -> Result<Answer, Error> {
    let app = &visit.app;
    let ws = visit.workspace()?.id.clone();
    let format = read_format(&visit)?;
    if format == ExportFormat::Bundle {
        return Err(Error::bad("invalid_form", "format: a bundle is made first, and its link on its page"));
    }
    let wanted = export::wanted(visit.form.pairs(), &FORM_FIELDS, format, false)?;
    let path = export_link::issue(app, &visit.actor, Some(&ws), format, wanted.search, None).await?;
    let label = format!("audit entries as {format}");
    let location = reveal_link(&visit, &path, &label, base(Some(&ws))).await?;
    Ok(Answer::see_other(&location))
}

/// The page that shows a download link once.
async fn reveal_link(visit: &Visit, path: &str, label: &str, back: String) -> Result<String, Error> {
    let until = visit.app.clock.now() + export_link::LIFE;
    let url = format!("{}{path}", visit.app.public_url);
    secrets::store_reveal(visit, SecretKind::Export, &url, label, back, Some(until)).await
}

/// What the export forms hold beside the filter.
const FORM_FIELDS: [&str; 3] = ["_csrf", "_once", "format"];

fn read_format(visit: &Visit) -> Result<ExportFormat, Error> {
    ExportFormat::parse(visit.form.get("format"))
        .ok_or_else(|| Error::bad("invalid_form", "format: choose csv, ndjson or bundle"))
}

/// Streams it, or where that would take long, has it made in the background.
async fn begin_export(visit: &Visit, workspace_id: Option<String>) -> Result<Answer, Error> {
    let mut wanted = export::wanted(visit.form.pairs(), &FORM_FIELDS, read_format(visit)?, false)?;
    wanted.filter.workspace_id = workspace_id;
    let (_, entries) = crate::exports::measure(&visit.app.db, &wanted).await?;
    if wanted.format == ExportFormat::Bundle || entries > STREAMED_MAX {
        return exports::create(visit, wanted, entries).await;
    }
    let place = visit.app.gate.download()?;
    export::audit(&visit.app, &visit.actor, wanted, place).await
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

async fn render(visit: &Visit, workspace_id: Option<&str>) -> Result<Answer, Error> {
    let db = &visit.app.db;
    let base = base(workspace_id);
    let pairs: Vec<(&str, &str)> = visit
        .form
        .pairs()
        .iter()
        .map(|(n, v)| (n.as_str(), v.trim()))
        .filter(|(n, v)| !NOT_FILTERS.contains(n) && !v.is_empty())
        .collect();
    let parsed = export::audit_filter(visit.form.pairs(), &NOT_FILTERS).and_then(|filter| {
        let place = |name| match visit.form.some(name) {
            None => Ok(None),
            Some(text) => text
                .parse::<i64>()
                .map(Some)
                .map_err(|_| Error::bad("invalid_filter", format!("{name}: not the number of an entry"))),
        };
        Ok((filter, place("before")?, place("after")?))
    });
    let title = if workspace_id.is_some() { "Audit log" } else { "Instance log" };
    let mut page = AuditListPage {
        base: base.clone(),
        whole: workspace_id.is_none(),
        clear_url: base.clone(),
        ..AuditListPage::default()
    };
    let (filter, before, after) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            page.shell = visit.error_shell(title);
            page.filter = choices(visit, workspace_id, &AuditFilter::default()).await?;
            page.chips = chips(&pairs, &base, &page.filter);
            page.filter_error = Some(format!("{}.", error.describe().text));
            return Ok(present::page_with_status(422, &page));
        }
    };
    let filter = AuditFilter { workspace_id: workspace_id.map(str::to_owned), ..filter };
    let size = visit.admin.preferences.rows_per_page;
    let mut entries = db.audit_page(&filter, before, after, size + 1).await?;
    let more = entries.len() as i64 > size;
    entries.truncate(size as usize);
    if after.is_some() {
        entries.reverse();
    }
    let url = |name: &str, seq: i64| {
        let seq = seq.to_string();
        format!("{base}?{}", query_string(pairs.iter().copied().chain([(name, seq.as_str())])))
    };
    let (newer, older) = if after.is_some() { (more, true) } else { (before.is_some(), more) };
    let count = present::count(db.audit_count(&filter).await?);
    page.pager = Pager::times(
        entries.first().filter(|_| newer).map(|e| url("after", e.seq)),
        entries.last().filter(|_| older).map(|e| url("before", e.seq)),
    );
    page.rows = rows(visit, &entries, &base).await?;
    page.shell = visit.shell(title);
    page.filter = choices(visit, workspace_id, &filter).await?;
    page.chips = chips(&pairs, &base, &page.filter);
    page.result_line = match count {
        Count(0) => String::new(),
        count => format!("{} · newest first", count.of("entry", "entries")),
    };
    let may_export = workspace_id.is_none() || visit.may(Right::Export);
    page.export = may_export.then(|| ExportForm {
        rows: count,
        hidden: pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        note: if count.0 > STREAMED_MAX as u64 {
            "So many are written to a file in the background.".into()
        } else {
            String::new()
        },
    });
    Ok(present::page(&page))
}

/// What the filter form offers, with what is in force chosen even where it is not on offer.
async fn choices(
    visit: &Visit,
    workspace_id: Option<&str>,
    filter: &AuditFilter,
) -> Result<views::AuditFilter, Error> {
    let offer = |any: &str, list: Vec<(String, String)>, chosen: Option<&str>| {
        let mut offer = vec![Choice::new("", any, chosen.is_none())];
        if let Some(other) = chosen.filter(|c| !list.iter().any(|(value, _)| value == c)) {
            offer.push(Choice::new(other, other, true));
        }
        offer.extend(list.into_iter().map(|(value, label)| {
            let selected = chosen == Some(value.as_str());
            Choice::new(value, label, selected)
        }));
        offer
    };
    let tenants = match workspace_id {
        None => Vec::new(),
        Some(ws) => visit.app.db.tenants(ws, &TenantFilter::default(), None, TENANTS).await?,
    };
    let outcomes = Outcome::ALL.iter().map(|o| (o.to_string(), Badge::outcome(o.as_str()).text));
    let time = |at: Option<i64>| at.map(times::to_local_utc).unwrap_or_default();
    Ok(views::AuditFilter {
        actor: filter.actor.clone().unwrap_or_default(),
        actions: offer("Any action", actions(), filter.action.as_deref()),
        tenants: offer(
            "Any tenant",
            tenants.into_iter().map(|t| (t.id, t.display_name)).collect(),
            filter.tenant_id.as_deref(),
        ),
        outcomes: offer("Any outcome", outcomes.collect(), filter.outcome.map(Outcome::as_str)),
        from: time(filter.from),
        to: time(filter.to),
    })
}

fn chips(pairs: &[(&str, &str)], base: &str, filter: &views::AuditFilter) -> Vec<Chip> {
    let label = |choices: &[Choice], value: &str| {
        choices.iter().find(|c| c.value == value).map_or_else(|| value.to_owned(), |c| c.label.clone())
    };
    pairs
        .iter()
        .map(|(name, value)| {
            let (noun, text) = match *name {
                "actor" => ("Actor", (*value).to_owned()),
                "action" => ("Action", label(&filter.actions, value)),
                "tenant" => ("Tenant", label(&filter.tenants, value)),
                "outcome" => ("Outcome", label(&filter.outcomes, value)),
                "from" => ("From", format!("{value} UTC")),
                "to" => ("To", format!("{value} UTC")),
                "target" => ("Target", (*value).to_owned()),
                "job" => ("Job", (*value).to_owned()),
                "operation" => ("Operation", (*value).to_owned()),
                other => (other, (*value).to_owned()),
            };
            let rest = query_string(pairs.iter().copied().filter(|(n, _)| n != name));
            Chip {
                label: format!("{noun}: {text}"),
                remove_url: if rest.is_empty() { base.to_owned() } else { format!("{base}?{rest}") },
            }
        })
        .collect()
}
