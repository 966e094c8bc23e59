//! A fresh, migrated database per test, on each engine. SQLite is a file in a folder of its own; PostgreSQL is a
//! schema of its own in the database that `TEST_POSTGRES_URL` names.
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
}
#[cfg(feature = "postgres-tests")]
pub use postgres::on_postgres;

/// `tests/run.sh` asks for both engines; without the feature half of the tests would be missing unnoticed.
#[cfg(not(feature = "postgres-tests"))]
#[test]
fn postgres_is_not_left_out_where_it_is_required() {
    let required = std::env::var("GATEHOUSE_TEST_POSTGRES").is_ok_and(|value| value == "required");
    assert!(!required, "GATEHOUSE_TEST_POSTGRES=required needs `--features postgres-tests`");
}
