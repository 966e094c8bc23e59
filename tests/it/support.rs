//! What the tests of several parts share.

pub mod chance;
pub mod databases;
pub mod ledger;
pub mod process;
