//! The machine door: the audit log for auditors' programs, under an audit token, and bulk work under a workspace key.

mod audit;
mod jobs;
mod key;
mod plans;
mod tenants;

use super::{Route, route};
use crate::domain::audit::{
    Action,
    ExportFormat::{Csv, Ndjson},
};

/// The site map of the machine door.
pub fn routes() -> Vec<Route> {
    vec![
        route("GET", "/manage/v1/audit", "audit:read", audit::list).writes([Action::AuditRead]),
        route("GET", "/manage/v1/audit/{seq}", "audit:read", audit::show).writes([Action::AuditRead]),
        route("GET", "/manage/v1/audit.csv", "audit:read", |app, call| audit::export(app, call, Csv, false))
            .writes([Action::AuditExport]),
        route("GET", "/manage/v1/audit.csv.gz", "audit:read", |app, call| {
            audit::export(app, call, Csv, true)
        })
        .writes([Action::AuditExport]),
        route("GET", "/manage/v1/audit.ndjson", "audit:read", |app, call| {
            audit::export(app, call, Ndjson, false)
        })
        .writes([Action::AuditExport]),
        route("GET", "/manage/v1/audit.ndjson.gz", "audit:read", |app, call| {
            audit::export(app, call, Ndjson, true)
        })
        .writes([Action::AuditExport]),
        route("POST", "/manage/v1/bulk/plans", "the action's scope", plans::create)
            .writes([Action::PlanCreate]),
        route("POST", "/manage/v1/tenants/{id}/erase", "workspace:manage", tenants::erase)
            .writes([Action::AuditErase]),
        route("GET", "/manage/v1/erasures/{id}", "workspace:manage", tenants::show_erasure),
        route("GET", "/manage/v1/bulk/plans/{id}", "posts:read", plans::show),
        route("GET", "/manage/v1/bulk/plans/{id}/items", "posts:read", plans::items),
        route("POST", "/manage/v1/bulk/plans/{id}/apply", "the action's scope", plans::apply)
            .writes([Action::JobCreate]),
        route("GET", "/manage/v1/bulk/jobs/{id}", "posts:read", jobs::show),
        route("GET", "/manage/v1/bulk/jobs/{id}/items", "posts:read", jobs::items),
        route("POST", "/manage/v1/bulk/jobs/{id}/pause", "the action's scope", jobs::pause)
            .writes([Action::JobPause]),
        route("POST", "/manage/v1/bulk/jobs/{id}/resume", "the action's scope", jobs::resume)
            .writes([Action::JobResume]),
        route("POST", "/manage/v1/bulk/jobs/{id}/cancel", "the action's scope", jobs::cancel)
            .writes([Action::JobCancel]),
        route("POST", "/manage/v1/bulk/jobs/{id}/retry", "the action's scope", jobs::retry)
            .writes([Action::PlanCreate]),
        route("POST", "/manage/v1/bulk/jobs/{id}/undo", "the action's scope", jobs::undo)
            .writes([Action::PlanCreate]),
    ]
}
