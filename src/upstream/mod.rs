//! The only HTTP client: how PostPost is spoken to. Knows nothing of keys, tenants' rights or the audit log.

mod client;
pub mod pacing;
pub mod types;

pub use client::{Call, Endpoint, Error, Method, Patience, Reply, Upstream};
