//! Migrations: repeatable, refused when newer than this program, and the same on both engines.

use crate::{store::raw, support::databases::both_engines};
use gatehouse::store::{Db, Error};

both_engines!(again, newer_schema);

async fn again(db: Db) {
    db.migrate().await.unwrap();
    assert_eq!(db.access_version().await.unwrap(), 1);
}

/// An older program must not write into what a newer one has changed.
async fn newer_schema(db: Db) {
    let newer = if db.is_embedded() {
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (29990101000000, 'from the future', TRUE, x'00', 0)"
    } else {
        r"INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (29990101000000, 'from the future', TRUE, '\x00', 0)"
    };
    raw(&db, newer).await.unwrap();
    let refused = db.migrate().await;
    assert!(matches!(refused, Err(Error::NewerSchema(29990101000000))), "{refused:?}");
}

/// A table or column on one engine only would be found by the first customer of the other.
#[cfg(feature = "postgres-tests")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn same_tables_and_columns() {
    use crate::support::databases::{on_postgres, sqlite};
    type Columns = Vec<(String, String, bool)>;
    type Versions = Vec<(i64, String)>;

    let (db, _folder) = sqlite().await;
    let Db::Sqlite { reader, .. } = &db else { unreachable!() };
    let columns = "SELECT m.name, c.name, c.\"notnull\" <> 0 OR c.pk > 0
         FROM sqlite_schema m, pragma_table_info(m.name) c
         WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name NOT LIKE '\\_sqlx%' ESCAPE '\\'
           -- An index of texts is a table here, and knows a post by its number.
           AND m.name NOT LIKE 'posts\\_by\\_text%' ESCAPE '\\' AND NOT (m.name = 'posts' AND c.name = 'n')";
    let mut in_sqlite: Columns = sqlx::query_as(columns).fetch_all(reader).await.unwrap();
    in_sqlite.sort();
    let versions = "SELECT version, description FROM _sqlx_migrations ORDER BY version";
    let sqlite_versions: Versions = sqlx::query_as(versions).fetch_all(reader).await.unwrap();
    assert!(in_sqlite.len() > 150, "{}", in_sqlite.len());

    on_postgres(async |db| {
        let Db::Postgres(pool, ..) = &db else { unreachable!() };
        let columns = "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT), is_nullable = 'NO'
             FROM information_schema.columns
             WHERE table_schema = current_schema() AND table_name NOT LIKE '\\_sqlx%'";
        let mut in_postgres: Columns = sqlx::query_as(columns).fetch_all(pool).await.unwrap();
        in_postgres.sort();
        assert_eq!(in_sqlite, in_postgres);
        let postgres_versions: Versions = sqlx::query_as(versions).fetch_all(pool).await.unwrap();
        assert_eq!(sqlite_versions, postgres_versions);
    })
    .await;
}
