//! What the tests of several parts share.

pub mod chance;
pub mod databases;
pub mod jobs;
pub mod ledger;
pub mod log;
pub mod process;
pub mod recorder;
#[cfg(feature = "postgres-tests")]
pub mod tcp_proxy;
pub mod tiny;
