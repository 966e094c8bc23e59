//! The machine door: the audit log for auditors' programs, under an audit token.

mod audit;

use super::{Route, route};
use crate::domain::audit::ExportFormat;

/// The site map of the machine door.
pub fn routes() -> Vec<Route> {
    vec![
        route("GET", "/manage/v1/audit.csv", "audit:read", |app, call| {
            audit::export(app, call, ExportFormat::Csv)
        }),
        route("GET", "/manage/v1/audit.ndjson", "audit:read", |app, call| {
            audit::export(app, call, ExportFormat::Ndjson)
        }),
    ]
}
