//! The only HTTP client: how PostPost is spoken to. Knows nothing of keys, tenants' rights or the audit log.

mod body;
mod breaker;
mod budget;
mod client;
mod error;
pub mod pacing;
mod refused;
mod repeats;
pub mod types;

pub use client::{Call, Endpoint, Method, Patience, Reply, Timeouts, Upstream};
pub use error::Error;
pub use refused::{KeyStanding, RefusedKey};
