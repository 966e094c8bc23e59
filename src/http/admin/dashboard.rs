//! The dashboard of one workspace: what needs attention, numbers, charts, what runs, the latest entries. Every number is
//! counted with the very filter that its link names. Must not call upstream.

mod charts;
mod numbers;

use super::{
    super::{Answer, Error},
    audit, jobs, present,
    views::{DashboardPage, Link, OperationRow, Step},
    visit::Visit,
};
use crate::{
    clock::{Millis, SECOND},
    domain::{admins::Right, operations::OpState},
    store::audit::AuditFilter,
};

/// An open operation younger than this is simply under way.
const UNDER_WAY: Millis = 30 * SECOND;

pub async fn show(mut visit: Visit) -> Result<Answer, Error> {
    let entered = match visit.form.some("ws").map(str::to_owned) {
        Some(id) if visit.enter(&id, Right::Read) => true,
        // Another's workspace and none at all are the same 404 (ui.md G12).
        Some(_) => return Err(Error::NotFound),
        None => {
            let mut ids: Vec<String> = visit.accounts().iter().map(|a| a.workspace.id.clone()).collect();
            // The oldest is the one people mean; our ids sort by age.
            ids.sort_unstable();
            ids.iter().any(|id| visit.enter(id, Right::Read))
        }
    };
    if !entered {
        return without_workspace(&visit);
    }
    let db = &visit.app.db;
    let ws = visit.workspace()?.id.clone();
    let now = visit.app.clock.now();
    let (tenants, never, failing, oldest) = db.sync_summary(&ws).await?;
    if tenants == 0 {
        return Ok(first_steps(&visit, Some(&ws)));
    }
    let about = AuditFilter { workspace_id: Some(ws.clone()), ..AuditFilter::default() };
    let mut jobs = Vec::new();
    for job in db.unfinished_jobs().await?.iter().filter(|job| job.workspace_id == ws) {
        jobs.push(jobs::row(job, "", &jobs::starter(&visit.app, job).await?, now));
    }
    let page = DashboardPage {
        data_line: data_line(tenants, never, failing, oldest),
        data_link: (failing > 0).then(|| Link::new("Show them", format!("/w/{ws}/tenants?state=failing"))),
        attention: numbers::attention(&visit, &ws, failing, now).await?,
        tiles: numbers::tiles(&visit, &ws, tenants, now).await?,
        days: Some(charts::days(&visit, &ws, now).await?),
        failures: charts::failures(&visit, &ws, now).await?,
        jobs,
        operations: operations(&visit, &ws, now).await?,
        operations_url: format!("/w/{ws}/operations"),
        audit: audit::latest(&visit, about, 10).await?,
        audit_url: if visit.may(Right::Audit) { format!("/w/{ws}/audit") } else { String::new() },
        shell: visit.shell("Dashboard"),
        last_sign_in: None,
        checklist: None,
    };
    Ok(present::page(&page))
}

/// For somebody who may read no workspace: an auditor's page is the log; the instance's owner is shown where to begin.
fn without_workspace(visit: &Visit) -> Result<Answer, Error> {
    let audited = visit
        .accounts()
        .into_iter()
        .find(|a| visit.role_in(&a.workspace.id).is_some_and(|role| role.may(Right::Audit)));
    match audited {
        Some(account) => Ok(Answer::see_other(&format!("/w/{}/audit", account.workspace.id))),
        None if visit.admin.instance_owner => Ok(first_steps(visit, None)),
        None => Ok(Answer::see_other("/workspaces")),
    }
}

fn first_steps(visit: &Visit, ws: Option<&str>) -> Answer {
    let operate = visit.may(Right::Operate);
    let steps = vec![
        Step {
            done: ws.is_some(),
            text: "Add a workspace with its key from PostPost".into(),
            link: ws.is_none().then(|| Link::new("Add workspace", "/workspaces/new")),
        },
        Step {
            done: false,
            text: "Create a tenant, or import the managed users there are".into(),
            link: ws.filter(|_| operate).map(|ws| Link::new("New tenant", format!("/w/{ws}/tenants/new"))),
        },
        Step { done: false, text: "Send the tenant its connection link".into(), link: None },
    ];
    let page =
        DashboardPage { shell: visit.shell("Dashboard"), checklist: Some(steps), ..DashboardPage::default() };
    present::page(&page)
}

/// "Data as of 14:31:40 UTC, 2 of 57 tenants failed to sync." Never a silent partial sum (ui.md D3).
fn data_line(tenants: i64, never: i64, failing: i64, oldest: Option<Millis>) -> String {
    let mut line = match oldest.and_then(|at| jiff::Timestamp::from_millisecond(at).ok()) {
        Some(at) => format!("Data as of {}", at.strftime("%-d %b %Y, %H:%M:%S UTC")),
        None => "No data yet".to_owned(),
    };
    if never > 0 {
        line.push_str(&format!(", {never} of {tenants} tenants not read yet"));
    }
    if failing > 0 {
        line.push_str(&format!(", {failing} of {tenants} tenants failed to sync"));
    }
    line.push('.');
    line
}

/// What is in doubt, or under way for longer than a call takes.
async fn operations(visit: &Visit, ws: &str, now: Millis) -> Result<Vec<OperationRow>, Error> {
    let mut open = visit.app.db.open_operations(ws, 10).await?;
    open.retain(|o| o.state == OpState::InDoubt || o.started_at < now - UNDER_WAY);
    super::operations::rows(visit, &open).await
}
