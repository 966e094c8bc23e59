//! Gatehouse: a self-hosted workspace gateway for PostPost. The modules in reading order.

/// Keys, tenants and workspaces in memory.
pub mod access;
/// From configuration to a running gateway.
pub mod app;
/// The audit log: bytes, tree, writer.
pub mod audit;
/// The commands.
pub mod cli;
/// What "now" is.
pub mod clock;
/// What a person can set.
pub mod config;
/// CSV that a spreadsheet cannot be made to run.
pub mod csv;
/// The demo.
pub mod demo;
/// The nouns of the field and the rules about them.
pub mod domain;
/// Encryption of secrets at rest, random bytes.
pub mod envelope;
/// The audit log in files.
pub mod exports;
/// Where tests make commits and calls fail.
pub mod failpoints;
/// The server and its three doors.
pub mod http;
/// Background work.
pub mod jobs;
/// The key files.
pub mod keyring;
/// The leases this process holds.
pub mod leases;
/// What the process counts about itself.
pub mod metrics;
/// Keeping our copy of the posts fresh.
pub mod mirror;
/// The one road upstream.
pub mod proxy;
/// The PostPost look-alike; imports nothing of ours.
pub mod sandbox;
/// The database: the only SQL.
pub mod store;
/// The only HTTP client.
pub mod upstream;
