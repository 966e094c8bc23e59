//! Exports that are made in the background: asked for, watched, downloaded. Whoever has no account here gets the file by a
//! link that works once and soon ends.

use super::{
    super::{
        super::{Answer, Error, export, export_file, export_link},
        present,
        views::{Badge, Count, ExportListPage, ExportPage, ExportRow},
        visit::Visit,
    },
    base, reveal_link,
};
use crate::{
    domain::{
        admins::Right,
        audit::{Action, Draft, Export, ExportFormat, ExportState, Outcome},
        ids,
    },
    exports::Wanted,
};

/// Exports of one list.
const LISTED: i64 = 50;

/// Has a file made; the answer leads to its page.
pub(super) async fn create(visit: &Visit, wanted: Wanted, entries: i64) -> Result<Answer, Error> {
    let app = &visit.app;
    let export = Export {
        id: ids::new_id(),
        workspace_id: wanted.filter.workspace_id.clone(),
        admin_id: visit.admin.id.clone(),
        format: wanted.format,
        // It lies on our disk for a day.
        gzip: true,
        filter: wanted.search.clone(),
        entries,
        state: ExportState::Queued,
        done: 0,
        bytes: None,
        sha256: None,
        failure: None,
        created_at: app.clock.now(),
        ended_at: None,
        expires_at: None,
    };
    let entry = export::entry(&visit.actor, &wanted, entries).target("export", &export.id);
    app.db.create_export(&export, &entry).await?;
    let base = base(export.workspace_id.as_deref());
    Ok(Answer::see_other(&format!("{base}/exports/{}", export.id)))
}

pub async fn list(visit: Visit) -> Result<Answer, Error> {
    let workspace = workspace(&visit);
    let exports = visit.app.db.exports(workspace.as_deref(), LISTED).await?;
    let base = base(workspace.as_deref());
    let mut rows = Vec::with_capacity(exports.len());
    for export in &exports {
        rows.push(row(&visit, export, &base).await?);
    }
    Ok(present::page(&ExportListPage { shell: visit.shell("Exports"), base, rows }))
}

pub async fn show(visit: Visit) -> Result<Answer, Error> {
    let export = find(&visit).await?;
    let base = base(export.workspace_id.as_deref());
    let now = visit.app.clock.now();
    let row = row(&visit, &export, &base).await?;
    let mut shell = visit.shell(format!("Export: {}", row.format));
    let is_under_way = matches!(export.state, ExportState::Queued | ExportState::Running);
    if is_under_way {
        shell.title_prefix = format!("({}%) ", (export.done * 100 / export.entries.max(1)).min(99));
    }
    let can_download = export.state == ExportState::Ready && may_download(&visit);
    let page = ExportPage {
        shell,
        is_under_way,
        done: Count(export.done.unsigned_abs()),
        summary: summary(&export),
        size: export.bytes.map(size).unwrap_or_default(),
        sha256: export.sha256.clone().unwrap_or_default(),
        expires: export.expires_at.map(|at| present::exact_moment(at, now)),
        can_download,
        can_link: can_download && export.workspace_id.is_some(),
        id: export.id,
        row,
        base,
    };
    Ok(present::page(&page))
}

/// The file itself, for whoever is signed in.
pub async fn download(visit: Visit) -> Result<Answer, Error> {
    let export = allowed(&visit).await?;
    let app = &visit.app;
    let file = export_file::open(app, export).await?;
    let place = app.gate.download()?;
    export_file::download(app, &visit.actor, file, place).await
}

/// Shows a fresh link once, for somebody who has no account here.
pub async fn link(visit: Visit) -> Result<Answer, Error> {
    let export = allowed(&visit).await?;
    let (workspace, id) = (export.workspace_id.as_deref(), export.id.as_str());
    let path =
        export_link::issue(&visit.app, &visit.actor, workspace, export.format, String::new(), Some(id))
            .await?;
    let label = format!("the export as {}", export.format);
    let back = format!("{}/exports/{id}", base(workspace));
    let location = reveal_link(&visit, &path, &label, back).await?;
    Ok(Answer::see_other(&location))
}

/// The export of the path, if there is a file of it and this person may have it.
async fn allowed(visit: &Visit) -> Result<Export, Error> {
    let export = find(visit).await?;
    if !may_download(visit) {
        let mut denied = Draft::new(&visit.actor, Action::AuditDownload, Outcome::Denied)
            .target("export", &export.id)
            .set("code", "role");
        denied.workspace.clone_from(&export.workspace_id);
        visit.app.audit.deny(denied).await?;
        return Err(Error::Forbidden { code: "role", text: "Your role does not allow this".into() });
    }
    if export.state != ExportState::Ready {
        return Err(Error::Conflict("There is no file of this export"));
    }
    Ok(export)
}

/// The workspace of the page; of the whole instance's pages, none.
fn workspace(visit: &Visit) -> Option<String> {
    visit.workspace().ok().map(|w| w.id.clone())
}

/// On the instance's own pages nobody but its owners comes.
fn may_download(visit: &Visit) -> bool {
    workspace(visit).is_none() || visit.may(Right::Export)
}

async fn find(visit: &Visit) -> Result<Export, Error> {
    let (workspace, id) = (workspace(visit), visit.own_id("id")?);
    visit.app.db.export(workspace.as_deref(), id).await?.ok_or(Error::NotFound)
}

async fn row(visit: &Visit, export: &Export, base: &str) -> Result<ExportRow, Error> {
    let by = visit.app.db.admin(&export.admin_id).await?;
    let search = url::form_urlencoded::parse(export.filter.as_bytes());
    let search: Vec<String> = search.map(|(name, value)| format!("{name}: {value}")).collect();
    Ok(ExportRow {
        url: format!("{base}/exports/{}", export.id),
        format: match export.format {
            ExportFormat::Csv => "CSV",
            ExportFormat::Ndjson => "NDJSON",
            ExportFormat::Bundle => "Bundle",
        }
        .into(),
        search: match search.is_empty() {
            true if export.failure.is_some() => "[erased]".into(),
            true => "Everything".into(),
            false => search.join(", "),
        },
        badge: badge(export.state),
        entries: Count(export.entries.max(export.done).unsigned_abs()),
        by: by.map(|(admin, _)| admin.email).unwrap_or_default(),
        created: present::exact_moment(export.created_at, visit.app.clock.now()),
    })
}

fn badge(state: ExportState) -> Badge {
    match state {
        ExportState::Queued => Badge::new("neutral", "clock", "Queued"),
        ExportState::Running => Badge::new("info", "half", "Being made"),
        ExportState::Ready => Badge::new("ok", "check", "Ready"),
        ExportState::Failed => Badge::new("danger", "cross", "Failed"),
        ExportState::Expired => Badge::new("neutral", "cross", "Removed"),
    }
}

fn summary(export: &Export) -> String {
    let why = || export.failure.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    match export.state {
        ExportState::Queued => "It waits for its turn.".into(),
        ExportState::Running => "It is being made.".into(),
        ExportState::Ready => "The file is ready.".into(),
        ExportState::Failed => format!("It could not be made{}. Nothing was kept; export again.", why()),
        ExportState::Expired => format!("The file was removed{}. Export again to get another.", why()),
    }
}

/// "12.4 MiB"
fn size(bytes: i64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1_024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
