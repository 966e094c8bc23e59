//! The machine door: the audit log for auditors' programs, under an audit token.

mod audit;

use super::{Route, route};

/// The site map of the machine door.
pub fn routes() -> Vec<Route> {
    vec![
        route("GET", "/manage/v1/audit.csv", "audit:read", |app, call| {
            audit::export(app, call, audit::Format::Csv)
        }),
        route("GET", "/manage/v1/audit.ndjson", "audit:read", |app, call| {
            audit::export(app, call, audit::Format::Ndjson)
        }),
    ]
}
