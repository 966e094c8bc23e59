//! The machine door: the audit log for auditors' programs, under an audit token, and bulk work under a workspace key.

mod audit;
mod jobs;
mod key;
mod plans;

use super::{Route, route};
use crate::domain::audit::ExportFormat::{Csv, Ndjson};

/// The site map of the machine door.
pub fn routes() -> Vec<Route> {
    vec![
        route("GET", "/manage/v1/audit", "audit:read", audit::list),
        route("GET", "/manage/v1/audit.csv", "audit:read", |app, call| audit::export(app, call, Csv, false)),
        route("GET", "/manage/v1/audit.csv.gz", "audit:read", |app, call| {
            audit::export(app, call, Csv, true)
        }),
        route("GET", "/manage/v1/audit.ndjson", "audit:read", |app, call| {
            audit::export(app, call, Ndjson, false)
        }),
        route("GET", "/manage/v1/audit.ndjson.gz", "audit:read", |app, call| {
            audit::export(app, call, Ndjson, true)
        }),
        route("POST", "/manage/v1/bulk/plans", "the action's scope", plans::create),
        route("GET", "/manage/v1/bulk/plans/{id}", "posts:read", plans::show),
        route("GET", "/manage/v1/bulk/plans/{id}/items", "posts:read", plans::items),
        route("POST", "/manage/v1/bulk/plans/{id}/apply", "the action's scope", plans::apply),
        route("GET", "/manage/v1/bulk/jobs/{id}", "posts:read", jobs::show),
        route("GET", "/manage/v1/bulk/jobs/{id}/items", "posts:read", jobs::items),
        route("POST", "/manage/v1/bulk/jobs/{id}/pause", "the action's scope", jobs::pause),
        route("POST", "/manage/v1/bulk/jobs/{id}/resume", "the action's scope", jobs::resume),
        route("POST", "/manage/v1/bulk/jobs/{id}/cancel", "the action's scope", jobs::cancel),
        route("POST", "/manage/v1/bulk/jobs/{id}/retry", "the action's scope", jobs::retry),
        route("POST", "/manage/v1/bulk/jobs/{id}/undo", "the action's scope", jobs::undo),
    ]
}
