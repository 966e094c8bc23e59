//! A fresh database per test, on each engine. SQLite is a file in a folder of its own; PostgreSQL is a schema of its
//! own in the database that `TEST_POSTGRES_URL` names. A test is given either the migrated database or an [`Engine`] to
//! start a whole gateway on.
//!
//! The PostgreSQL half exists only with the feature `postgres-tests`, and there a missing server is a failure: a test
//! that did not run must never look like one that passed.

use gatehouse::store::Db;
use tempfile::TempDir;

/// Makes `name::sqlite` and, with the feature, `name::postgres` of each `async fn name(db: Db)`. A test that is left
/// out of the list is dead code, which the lints refuse.
macro_rules! both_engines {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                crate::support::databases::on_sqlite(super::$name).await;
            }

            #[cfg(feature = "postgres-tests")]
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                crate::support::databases::on_postgres(super::$name).await;
            }
        }
    )+};
}
pub(crate) use both_engines;

/// The same of each `async fn name(engine: Engine)`, for tests of the whole gateway.
macro_rules! gateway_on_both_engines {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn sqlite() {
                crate::support::databases::gateway_on_sqlite(super::$name);
            }

            #[cfg(feature = "postgres-tests")]
            #[test]
            fn postgres() {
                crate::support::databases::gateway_on_postgres(super::$name);
            }
        }
    )+};
}
pub(crate) use gateway_on_both_engines;

/// What a test's gateway keeps its data in; fresh, and not migrated.
pub enum Engine {
    /// A file in the gateway's own data folder.
    Sqlite,
    /// The URL of a schema.
    #[cfg(feature = "postgres-tests")]
    Postgres(String),
}

impl Engine {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            #[cfg(feature = "postgres-tests")]
            Self::Postgres(_) => "PostgreSQL",
        }
    }

    /// What the gateway is configured with; SQLite in the data folder is its default.
    pub fn database_url(self) -> Option<String> {
        match self {
            Self::Sqlite => None,
            #[cfg(feature = "postgres-tests")]
            Self::Postgres(url) => Some(url),
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

pub fn gateway_on_sqlite(test: impl AsyncFnOnce(Engine)) {
    runtime().block_on(test(Engine::Sqlite));
}

/// Runs one statement past the store, with texts for its `$1` and so on.
pub async fn execute(db: &Db, text: &'static str, binds: &[&str]) -> Result<(), sqlx::Error> {
    match db {
        Db::Sqlite { writer, .. } => {
            let query = binds.iter().fold(sqlx::query(text), |query, bind| query.bind((*bind).to_owned()));
            query.execute(writer).await.map(drop)
        }
        Db::Postgres(pool, ..) => {
            let query = binds.iter().fold(sqlx::query(text), |query, bind| query.bind((*bind).to_owned()));
            query.execute(pool).await.map(drop)
        }
    }
}

/// On PostgreSQL every row of every table as text; SQLite is read as files.
pub async fn dump(url: &str) -> Option<Vec<u8>> {
    let db = Db::connect(url).await.unwrap();
    let Db::Postgres(pool, ..) = &db else {
        db.close().await;
        return None;
    };
    let tables = "SELECT CAST(table_name AS TEXT) FROM information_schema.tables
        WHERE table_schema = current_schema() ORDER BY 1";
    let tables: Vec<(String,)> = sqlx::query_as(tables).fetch_all(pool).await.unwrap();
    assert!(tables.len() > 10, "{tables:?}");
    let mut text = String::new();
    for (table,) in tables {
        let rows = sqlx::AssertSqlSafe(format!("SELECT CAST(t AS TEXT) FROM \"{table}\" t"));
        let rows: Vec<(String,)> = sqlx::query_as(rows).fetch_all(pool).await.unwrap();
        for (row,) in rows {
            text.push_str(&row);
            text.push('\n');
        }
    }
    db.close().await;
    // Bytes stand there as hex digits: what is text in them has to be found too.
    let mut dump = text.clone().into_bytes();
    for part in text.split("\\x").skip(1) {
        let digits: String = part.chars().take_while(char::is_ascii_hexdigit).collect();
        dump.extend(hex::decode(&digits).unwrap_or_default());
        dump.push(b'\n');
    }
    Some(dump)
}

/// Keeps everybody from writing posts, keys and versions until it is dropped.
pub async fn hold_writes(db: &Db) -> Box<dyn std::any::Any + Send> {
    match db {
        Db::Sqlite { writer, .. } => Box::new(writer.begin_with("BEGIN IMMEDIATE").await.unwrap()),
        Db::Postgres(pool, ..) => {
            let mut tx = pool.begin().await.unwrap();
            sqlx::query("LOCK TABLE posts, keys, versions IN EXCLUSIVE MODE")
                .execute(&mut *tx)
                .await
                .unwrap();
            Box::new(tx)
        }
    }
}

/// What the engine itself says about the health of its file; `ok`, or what is wrong. PostgreSQL is not asked.
pub async fn integrity(db: &Db) -> String {
    match db {
        Db::Sqlite { reader, .. } => {
            sqlx::query_scalar("PRAGMA integrity_check").fetch_one(reader).await.unwrap()
        }
        Db::Postgres(..) => "ok".into(),
    }
}

/// Operations without an end that were begun before a time.
pub async fn open_since_before(db: &Db, started_before: i64) -> i64 {
    let text = "SELECT COUNT(*) FROM operations WHERE state IN ('open', 'in_doubt') AND started_at < $1";
    match db {
        Db::Sqlite { reader, .. } => {
            sqlx::query_scalar(text).bind(started_before).fetch_one(reader).await.unwrap()
        }
        Db::Postgres(pool, ..) => {
            sqlx::query_scalar(text).bind(started_before).fetch_one(pool).await.unwrap()
        }
    }
}

/// A new SQLite database. The folder goes with the last value returned.
pub async fn sqlite() -> (Db, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let db =
        Db::connect(&format!("sqlite:{}", folder.path().join("test.db").display())).await.expect("SQLite");
    db.migrate().await.expect("the migrations");
    (db, folder)
}

pub async fn on_sqlite(test: impl AsyncFnOnce(Db)) {
    let (db, _folder) = sqlite().await;
    test(db.clone()).await;
    db.close().await;
}

#[cfg(feature = "postgres-tests")]
mod postgres {
    use super::*;
    use gatehouse::domain::ids::new_id;
    use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
    use std::time::Duration;

    /// Where the server is. Panics without one: see the top of this file.
    fn server() -> String {
        std::env::var("TEST_POSTGRES_URL")
            .expect("TEST_POSTGRES_URL names a PostgreSQL server; tests/run.sh sets it")
    }

    async fn command(text: String) {
        let mut connection = PgConnection::connect(&server()).await.expect("PostgreSQL answers");
        connection.execute(AssertSqlSafe(text)).await.expect("a schema");
        connection.close().await.expect("an orderly end");
    }

    /// A new schema, not migrated, and a URL that opens it.
    async fn schema() -> (String, String) {
        let name = format!("t{}", new_id().replace('-', ""));
        command(format!("CREATE SCHEMA {name}")).await;
        let server = server();
        let join = if server.contains('?') { '&' } else { '?' };
        let url = format!("{server}{join}options[search_path]={name}");
        (name, url)
    }

    /// Runs the test in a schema of its own. The schema of a test that fails is left for a look.
    pub async fn on_postgres(test: impl AsyncFnOnce(Db)) {
        let (name, url) = schema().await;
        let db = Db::connect(&url).await.expect("PostgreSQL");
        db.migrate().await.expect("the migrations");
        test(db.clone()).await;
        db.close().await;
        command(format!("DROP SCHEMA {name} CASCADE")).await;
    }

    /// The same for a whole gateway. Its workers end with their runtime, so that none of them holds a table when the
    /// schema is dropped.
    pub fn gateway_on_postgres(test: impl AsyncFnOnce(Engine)) {
        let own = runtime();
        let (name, url) = own.block_on(schema());
        own.block_on(test(Engine::Postgres(url)));
        own.shutdown_timeout(Duration::from_secs(5));
        runtime().block_on(command(format!("DROP SCHEMA {name} CASCADE")));
    }
}
#[cfg(feature = "postgres-tests")]
pub use postgres::{gateway_on_postgres, on_postgres};

/// `tests/run.sh` asks for both engines; without the feature half of the tests would be missing unnoticed.
#[cfg(not(feature = "postgres-tests"))]
#[test]
fn postgres_is_not_left_out_where_it_is_required() {
    let required = std::env::var("GATEHOUSE_TEST_POSTGRES").is_ok_and(|value| value == "required");
    assert!(!required, "GATEHOUSE_TEST_POSTGRES=required needs `--features postgres-tests`");
}
