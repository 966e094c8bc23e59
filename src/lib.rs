//! Gatehouse: a self-hosted workspace gateway for PostPost. The modules in reading order.

/// What "now" is.
pub mod clock;
/// The nouns of the field and the rules about them.
pub mod domain;
/// Encryption of secrets at rest, random bytes.
pub mod envelope;
/// The audit log: bytes, tree, writer.
pub mod audit;
/// The database: the only SQL.
pub mod store;
/// The key files.
pub mod keyring;
/// The only HTTP client.
pub mod upstream;
/// Keys, tenants and workspaces in memory.
pub mod access;
/// Keeping our copy of the posts fresh.
pub mod mirror;
/// The one road upstream.
pub mod proxy;
/// The PostPost look-alike; imports nothing of ours.
pub mod sandbox;
