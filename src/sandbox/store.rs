//! The sandbox's database: one SQLite file, one writer, a few readers, and the ids made for its rows.
//!
//! Holds no rules: what a request may do is decided by the file of its noun.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_lc_rs::rand;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};

/// A write transaction; dropping it rolls back.
pub(super) type Tx = Transaction<'static, Sqlite>;

/// The database of one sandbox.
pub(super) struct Store {
    writer: SqlitePool,
    reader: SqlitePool,
    machine: [u8; 5],
    counter: AtomicU32,
}

impl Store {
    /// Opens the file, making it and its tables if need be.
    pub(super) async fn open(file: &Path) -> Result<Store, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A look-alike may lose its last second in a power cut; it may not lose consistency.
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(5));
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        sqlx::raw_sql(include_str!("schema.sql")).execute(&writer).await?;
        let reader = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options.create_if_missing(false).read_only(true))
            .await?;
        let mut machine = [0; 5];
        fill(&mut machine);
        let mut start = [0; 4];
        fill(&mut start);
        Ok(Store { writer, reader, machine, counter: AtomicU32::new(u32::from_be_bytes(start)) })
    }

    /// A write transaction. Immediate: two writers queue here and never fail later on a lock upgrade.
    pub(super) async fn begin(&self) -> Result<Tx, sqlx::Error> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    /// The readers' pool.
    pub(super) fn reader(&self) -> &SqlitePool {
        &self.reader
    }

    /// A new ObjectId: seconds, a part of this sandbox, a counter; 24 hex characters.
    pub(super) fn new_id(&self, now: i64) -> String {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&((now / 1000) as u32).to_be_bytes());
        bytes[4..9].copy_from_slice(&self.machine);
        let counter = self.counter.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        bytes[9..].copy_from_slice(&counter[1..]);
        hex::encode(bytes)
    }

    pub(super) async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

/// `bytes` random bytes as hex: tokens, keys, probabilities.
pub(super) fn random_hex(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    fill(&mut buffer);
    hex::encode(buffer)
}

/// A number from 0 up to, but not including, 1.
pub(super) fn random_fraction() -> f64 {
    let mut bytes = [0; 4];
    fill(&mut bytes);
    f64::from(u32::from_be_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

fn fill(buffer: &mut [u8]) {
    // The generator of aws-lc does not fail once the process has started; zeros would only make ids that
    // collide, which the primary keys refuse.
    if rand::fill(buffer).is_err() {
        tracing::error!("the random generator failed");
    }
}

/// The id in canonical form if it is an ObjectId, as the upstream's database understands one.
pub(super) fn object_id(text: &str) -> Option<String> {
    (text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit())).then(|| text.to_ascii_lowercase())
}
