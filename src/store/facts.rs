//! Facts about the installation, the data keys, and the version counters replicas watch.

use super::{Db, Result};
use crate::clock::Millis;

impl Db {
    /// The version of what `crate::access` holds in memory.
    pub async fn access_version(&self) -> Result<i64> {
        self.read("SELECT version FROM versions WHERE name = 'access'").value().await
    }

    pub async fn fact(&self, name: &str) -> Result<Option<String>> {
        let row: Option<(String,)> =
            self.read("SELECT value FROM facts WHERE name = $1").bind(name).opt().await?;
        Ok(row.map(|r| r.0))
    }

    /// Sets a fact if it is not set, and returns what is set.
    pub async fn fact_or(&self, name: &str, value: &str) -> Result<String> {
        self.write("INSERT INTO facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(name)
            .bind(value)
            .run()
            .await?;
        self.write("SELECT value FROM facts WHERE name = $1").bind(name).value().await
    }

    /// Whether the database answers and can be written: stores one small row of its own.
    pub async fn check_writable(&self, now: Millis) -> Result<()> {
        self.write(
            "INSERT INTO facts (name, value) VALUES ('checked_at', $1)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(now.to_string())
        .run()
        .await
        .map(drop)
    }

    /// The newest data key: id and wrapped bytes.
    pub async fn data_key(&self) -> Result<Option<(String, Vec<u8>)>> {
        self.read("SELECT id, wrapped FROM data_keys ORDER BY created_at DESC, id DESC LIMIT 1").opt().await
    }

    pub async fn add_data_key(&self, id: &str, wrapped: &[u8], now: Millis) -> Result<()> {
        self.write("INSERT INTO data_keys (id, wrapped, created_at) VALUES ($1, $2, $3)")
            .bind(id)
            .bind(wrapped)
            .bind(now)
            .run()
            .await
            .map(drop)
    }
}
