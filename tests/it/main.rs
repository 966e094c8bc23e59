//! The integration tests: one crate, so that they link once. A module per part, named as in `src/`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that panics says what was wrong")]
#![expect(clippy::print_stdout, reason = "figures beside the result: how many were tried, how long it took")]
#![expect(clippy::disallowed_methods, reason = "tests ask the system for its time and for TEST_POSTGRES_URL")]

mod audit_actions;
mod audit_export;
mod audit_log;
mod audit_search;
mod audit_size;
mod audit_verify;
mod bulk;
mod bulk_command;
mod bulk_door;
mod bulk_property;
mod bulk_throughput;
mod conduct;
mod conformance;
mod created_posts;
#[cfg(feature = "postgres-tests")]
mod database_outage;
mod disk;
mod erasure;
#[cfg(feature = "failpoints")]
mod failpoints;
mod fault_matrix;
mod follow_ups;
mod health;
mod hostile_bytes;
mod idempotency;
mod isolation;
mod job_pages;
mod keys;
mod kills;
mod limits;
mod load;
mod mcp;
mod mirror;
mod operations;
mod outage;
mod pages;
mod passes;
mod plans;
mod preferences;
mod process;
mod raw_http;
mod recreated_posts;
mod reference;
mod refusals;
#[cfg(feature = "postgres-tests")]
mod replicas;
mod sandbox;
mod second_tries;
mod secrets;
mod selection;
mod size;
mod slow_clients;
mod stopping;
mod store;
mod structure;
mod support;
mod tenant_door;
mod testapp;
mod workspace_door;
