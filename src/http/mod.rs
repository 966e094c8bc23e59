//! The HTTP server and its three doors. A request becomes a plain [`Call`], is worked on in a task of the shared runtime,
//! and becomes a plain [`Answer`]: the server's own threads are single-threaded runtimes that never touch the database,
//! a client that hangs up does not stop what it began, and a panic is one 500.

pub mod admin;
pub mod api;
mod audit_proof;
mod call;
mod credentials;
mod error;
mod export;
mod export_link;
mod gate;
mod health;
mod json_body;
mod limits;
pub mod manage;
mod mint;
mod reference;
mod route;
mod server;
mod transport;

pub use admin::{LoginState, note_refused_logins};
pub use call::{Answer, Body, Call, header};
pub use error::{Described, Error};
pub use gate::Gate;
pub use health::{State as HealthState, look as look_at_health, wait_until_told};
pub use limits::Limits;
pub use route::{Door, Record, Route, route};
pub use server::Server;

/// Every route of every door, with the fallback door for what none of them knows. The site map.
pub fn routes() -> Vec<Route> {
    [health::routes(), reference::routes(), api::routes(), manage::routes(), admin::routes()]
        .into_iter()
        .flatten()
        .collect()
}
