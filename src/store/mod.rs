//! The only SQL of the gateway: one text for two engines. This file is the facade (`Db`, `Tx`, `Sql`); the statements
//! live in a file per noun beside it. Nothing outside this folder names `sqlx`.

pub mod admins;
pub mod audit;
pub mod audit_batches;
mod audit_reads;
pub mod checkpoints;
pub mod created_posts;
pub mod erasures;
pub mod facts;
pub mod follow_ups;
pub mod idempotency;
pub mod job_items;
pub mod jobs;
pub mod key_rotations;
pub mod keys;
pub mod leases;
pub mod notices;
pub mod operations;
pub mod plans;
pub mod post_backups;
pub mod posts;
pub mod reveals;
pub mod saved_views;
pub mod selections;
pub mod sessions;
pub mod tenants;
pub mod workspaces;

mod effects;
mod erased_places;
mod error;
mod post_figures;
mod post_filter;
mod post_texts;
mod rewriting;
mod sql;

pub use error::Error;
pub(crate) use sql::Sql;
pub use sqlx::types::Json;

use crate::failpoints::Failpoints;
use sqlx::{
    Connection, PgConnection, PgPool, Postgres, Sqlite, SqlitePool, Transaction,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{str::FromStr, time::Duration};

pub type Result<T, E = Error> = std::result::Result<T, E>;

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// SQLite before this version can corrupt a WAL database with two connections (security.md §0.3).
const SQLITE_MIN: (u32, u32, u32) = (3, 51, 3);

/// Longest wait for a statement or a commit on PostgreSQL, and for a connection to it. Both may come one after the other.
const STATEMENT: Duration = Duration::from_secs(5);
const ACQUIRE: Duration = Duration::from_secs(3);
/// A connection that does not answer a ping in this time is not used.
const ALIVE: Duration = Duration::from_secs(1);

/// A database: SQLite inside the process, or PostgreSQL. Cheap to clone.
#[derive(Clone)]
pub enum Db {
    /// One writer and several read-only connections.
    Sqlite {
        writer: SqlitePool,
        reader: SqlitePool,
        points: Failpoints,
    },
    Postgres(PgPool, Failpoints),
}

/// A transaction. Dropped without [`Tx::commit`], it rolls back; after any error in it, drop it: on a full disk SQLite
/// ends the transaction silently and a further statement would commit on its own (security.md §0.1).
pub enum Tx {
    Sqlite(Transaction<'static, Sqlite>, Failpoints),
    Postgres(Transaction<'static, Postgres>, Failpoints),
}

impl Db {
    /// Opens `sqlite:<file>` or `postgres://…` without migrating.
    pub async fn connect(url: &str) -> Result<Self> {
        if url.starts_with("sqlite:") {
            Self::connect_sqlite(url).await
        } else {
            Self::connect_postgres(url).await
        }
    }

    async fn connect_sqlite(url: &str) -> Result<Self> {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // NORMAL may lose acknowledged commits at a power cut; the audit promise needs FULL.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .pragma("trusted_schema", "OFF")
            .pragma("wal_autocheckpoint", "4000");
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(10))
            // On a full disk SQLite ends a transaction by itself, the driver's ROLLBACK then fails, and the driver
            // counts the connection as in a transaction for good. `ping` waits for that ROLLBACK.
            .after_release(|connection, _| {
                Box::pin(async move {
                    connection.ping().await?;
                    Ok(!connection.is_in_transaction())
                })
            })
            .connect_with(options.clone())
            .await?;
        let (version,): (String,) = sqlx::query_as("SELECT sqlite_version()").fetch_one(&writer).await?;
        if !is_sound_sqlite(&version) {
            return Err(Error::OldSqlite(version));
        }
        let reader = SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(10))
            .connect_with(options.read_only(true).create_if_missing(false))
            .await?;
        Ok(Self::Sqlite { writer, reader, points: Failpoints::default() })
    }

    async fn connect_postgres(url: &str) -> Result<Self> {
        // A process that stands still in the middle of a transaction must not hold its locks: the head of the log is one of
        // them. And what nobody waits for any more need not be worked out.
        // And to compile a query takes longer than ours run.
        let limits =
            [("idle_in_transaction_session_timeout", "3s"), ("statement_timeout", "15s"), ("jit", "off")];
        let options = PgConnectOptions::from_str(url)?.application_name("gatehouse").options(limits);
        let pool = PgPoolOptions::new()
            .max_connections(16)
            .acquire_timeout(ACQUIRE)
            // The pool's own test waits for ever where the server or the network stands still, before use and, worse,
            // after: sixteen such connections and nobody gets one again. Ours gives such a connection up.
            .test_before_acquire(false)
            // Also where it was given back a moment ago: the server may have ended it since, and the call would fail.
            .before_acquire(|connection, _| Box::pin(answers(connection)))
            .after_release(|connection, _| Box::pin(answers(connection)))
            .connect_with(options)
            .await?;
        Ok(Self::Postgres(pool, Failpoints::default()))
    }

    /// Brings the tables up to this program's schema. A newer schema than ours is an error.
    pub async fn migrate(&self) -> Result<()> {
        match self {
            Self::Sqlite { writer, .. } => SQLITE.run(writer).await?,
            Self::Postgres(pool, _) => {
                let mut connection = pool.acquire().await?;
                // A migration takes the time it takes. The connection is not used for anything else.
                connection.close_on_drop();
                sqlx::raw_sql("SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0")
                    .execute(&mut *connection)
                    .await?;
                POSTGRES.run(&mut *connection).await?;
            }
        }
        Ok(())
    }

    /// A statement that only reads.
    pub(crate) fn read(&self, text: &'static str) -> Sql<'_> {
        match self {
            Self::Sqlite { reader, .. } => Sql::on_sqlite(reader, text),
            Self::Postgres(pool, _) => Sql::on_postgres(pool, text),
        }
    }

    /// A single statement that commits on its own.
    pub(crate) fn write(&self, text: &'static str) -> Sql<'_> {
        match self {
            Self::Sqlite { writer, points, .. } => Sql::on_sqlite(writer, text).committing(points),
            Self::Postgres(pool, points) => Sql::on_postgres(pool, text).committing(points),
        }
    }

    /// A transaction that writes. `BEGIN IMMEDIATE`: a plain `BEGIN` that later writes fails at once with
    /// SQLITE_BUSY_SNAPSHOT, whatever the busy timeout (security.md §0.2).
    pub async fn begin(&self) -> Result<Tx> {
        Ok(match self {
            Self::Sqlite { writer, points, .. } => {
                Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?, points.clone())
            }
            Self::Postgres(pool, points) => Tx::Postgres(sql::in_time(pool.begin()).await?, points.clone()),
        })
    }

    /// Where tests make commits fail.
    pub fn failpoints(&self) -> &Failpoints {
        match self {
            Self::Sqlite { points, .. } | Self::Postgres(_, points) => points,
        }
    }

    /// The few places where the dialects differ.
    pub(crate) fn pick<T>(&self, sqlite: T, postgres: T) -> T {
        match self {
            Self::Sqlite { .. } => sqlite,
            Self::Postgres(..) => postgres,
        }
    }

    /// Whether this is the engine that only one process opens.
    pub fn is_embedded(&self) -> bool {
        self.pick(true, false)
    }

    /// Whether the database answers at all.
    pub async fn ping(&self) -> Result<()> {
        self.read("SELECT CAST(1 AS BIGINT)").value::<i64>().await.map(drop)
    }

    /// Ends all connections. What is in a transaction is rolled back.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { writer, reader, .. } => {
                reader.close().await;
                writer.close().await;
            }
            Self::Postgres(pool, _) => pool.close().await,
        }
    }
}

impl Tx {
    pub(crate) fn sql(&mut self, text: &'static str) -> Sql<'_> {
        match self {
            Self::Sqlite(tx, _) => Sql::in_sqlite(tx, text),
            Self::Postgres(tx, _) => Sql::in_postgres(tx, text),
        }
    }

    pub async fn commit(self) -> Result<()> {
        let (Self::Sqlite(_, points) | Self::Postgres(_, points)) = &self;
        let points = points.clone();
        points.before_commit()?;
        match self {
            Self::Sqlite(tx, _) => tx.commit().await?,
            Self::Postgres(tx, _) => sql::in_time(tx.commit()).await?,
        }
        points.after_commit()
    }

    /// Tells every node that keys, tenants or workspaces have changed (see `crate::access`).
    pub(crate) async fn touch_access(&mut self) -> Result<()> {
        self.sql("UPDATE versions SET version = version + 1 WHERE name = 'access'").run().await.map(drop)
    }
}

/// Whether a connection is alive, with a limit on the wait.
async fn answers(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let late = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    tokio::time::timeout(ALIVE, connection.ping()).await.map_err(late)?.map(|()| true)
}

fn is_sound_sqlite(version: &str) -> bool {
    let numbers: Vec<u32> = version.split('.').map_while(|n| n.parse().ok()).collect();
    matches!(numbers[..], [a, b, c, ..] if (a, b, c) >= SQLITE_MIN)
}

/// A text to be found anywhere, as a LIKE pattern with `\` as its escape character. To ignore case, both sides go
/// through the database's own LOWER: what it does beyond ASCII differs, but never between the two sides.
pub(crate) fn like_anywhere(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 8);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlite_with_the_wal_bug_is_refused() {
        for sound in ["3.51.3", "3.51.4", "3.52.0", "4.0.0", "3.51.3.1"] {
            assert!(is_sound_sqlite(sound), "{sound}");
        }
        for old in ["3.51.2", "3.9.9", "3.50.10", "2.99.99", "3.51", "", "3.51.x", "nonsense"] {
            assert!(!is_sound_sqlite(old), "{old}");
        }
        let text = Error::OldSqlite("3.51.2".into()).to_string();
        assert!(text.contains("3.51.2") && text.contains("3.51.3 or newer is needed"), "{text}");
    }
}
