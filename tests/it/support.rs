//! What the tests of several parts share.

pub mod databases;
pub mod jobs;
#[cfg(feature = "postgres-tests")]
pub mod tcp_proxy;
pub mod tiny;
