//! Gateway keys. The secret is never here: only its HMAC, and what may be shown.

use super::{Db, Error, Result};
use crate::{
    clock::Millis,
    domain::{
        audit::{Actor, Draft},
        keys::{Key, KeyKind, Scopes},
    },
};

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: String,
    workspace_id: String,
    kind: String,
    tenant_id: Option<String>,
    name: String,
    prefix: String,
    last_four: String,
    scopes: String,
    created_at: i64,
    created_by: String,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
    last_used_from: Option<String>,
    revoked_at: Option<i64>,
    mac: Vec<u8>,
}

const COLUMNS: &str = "SELECT id, workspace_id, kind, tenant_id, name, prefix, last_four, scopes, created_at, created_by, \
    expires_at, last_used_at, last_used_from, revoked_at, mac FROM keys";

/// A key as the hot path keeps it.
pub struct StoredKey {
    pub key: Key,
    pub mac: Vec<u8>,
}

impl Db {
    /// Stores a new key. `mac` is HMAC-SHA256 of the secret under the pepper named `pepper_id`.
    pub async fn create_key(&self, actor: &Actor, key: &Key, mac: &[u8], pepper_id: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.sql(
            "INSERT INTO keys (id, workspace_id, kind, tenant_id, name, mac, pepper_id, prefix, last_four, scopes,
               created_at, created_by, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(&key.id)
        .bind(&key.workspace_id)
        .bind(key.kind.as_str())
        .bind(&key.tenant_id)
        .bind(&key.name)
        .bind(mac)
        .bind(pepper_id)
        .bind(&key.prefix)
        .bind(&key.last_four)
        .bind(key.scopes.to_string())
        .bind(key.created_at)
        .bind(&key.created_by)
        .bind(key.expires_at)
        .run()
        .await?;
        tx.touch_access().await?;
        let entry = Draft::done(actor, "key.create")
            .workspace(&key.workspace_id)
            .tenant(key.tenant_id.as_deref())
            .target("key", &key.id)
            .set("kind", key.kind.as_str())
            .set("name", key.name.as_str())
            .set("prefix", key.prefix.as_str())
            .set("scopes", key.scopes.to_string())
            .set("expiresAt", key.expires_at.map(crate::domain::times::to_iso));
        tx.append(key.created_at, &[&entry]).await?;
        tx.commit().await
    }

    pub async fn key(&self, workspace_id: &str, id: &str) -> Result<Option<Key>> {
        let row: Option<KeyRow> = self
            .read(COLUMNS)
            .push(" WHERE workspace_id = ")
            .arg(workspace_id)
            .and("id =", Some(id))
            .opt()
            .await?;
        row.map(|r| StoredKey::try_from(r).map(|s| s.key)).transpose()
    }

    /// A workspace's keys, newest first, optionally one tenant's.
    pub async fn keys(
        &self,
        workspace_id: &str,
        tenant_id: Option<&str>,
        before: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Key>> {
        let rows: Vec<KeyRow> = self
            .read(COLUMNS)
            .push(" WHERE workspace_id = ")
            .arg(workspace_id)
            .and("tenant_id =", tenant_id)
            .and("id <", before)
            .push(" ORDER BY id DESC LIMIT ")
            .arg(limit)
            .all()
            .await?;
        rows.into_iter().map(|r| StoredKey::try_from(r).map(|s| s.key)).collect()
    }

    /// Every key that could still be used, for the hot path.
    pub async fn live_keys(&self, now: Millis) -> Result<Vec<StoredKey>> {
        let rows: Vec<KeyRow> = self
            .read(COLUMNS)
            .push(" WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ")
            .arg(now)
            .push(")")
            .all()
            .await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Revokes a key. `false` if it was revoked before.
    pub async fn revoke_key(&self, actor: &Actor, key: &Key, now: Millis) -> Result<bool> {
        let mut tx = self.begin().await?;
        let changed = tx
            .sql("UPDATE keys SET revoked_at = $3 WHERE workspace_id = $1 AND id = $2 AND revoked_at IS NULL")
            .bind(&key.workspace_id)
            .bind(&key.id)
            .bind(now)
            .run()
            .await?;
        if changed == 0 {
            return Ok(false);
        }
        tx.touch_access().await?;
        let entry = Draft::done(actor, "key.revoke")
            .workspace(&key.workspace_id)
            .tenant(key.tenant_id.as_deref())
            .target("key", &key.id)
            .set("name", key.name.as_str());
        tx.append(now, &[&entry]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Notes when and from where keys were last used; only ever forward.
    pub async fn note_key_uses(&self, uses: &[(String, Millis, String)]) -> Result<()> {
        let mut tx = self.begin().await?;
        for (id, at, from) in uses {
            tx.sql(
                "UPDATE keys SET last_used_at = $2, last_used_from = $3
                 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)",
            )
            .bind(id)
            .bind(*at)
            .bind(from)
            .run()
            .await?;
        }
        tx.commit().await
    }

    /// How many live keys end before `until`, or were not used since `unused_since`, in a workspace.
    pub async fn count_key_warnings(
        &self,
        workspace_id: &str,
        now: Millis,
        until: Millis,
        unused_since: Millis,
    ) -> Result<(i64, i64)> {
        self.read(
            "SELECT CAST(COALESCE(SUM(CASE WHEN expires_at <= $3 THEN 1 ELSE 0 END), 0) AS BIGINT),
                    CAST(COALESCE(SUM(CASE WHEN COALESCE(last_used_at, created_at) < $4 THEN 1 ELSE 0 END), 0) AS BIGINT)
             FROM keys WHERE workspace_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(workspace_id)
        .bind(now)
        .bind(until)
        .bind(unused_since)
        .one()
        .await
    }
}

impl TryFrom<KeyRow> for StoredKey {
    type Error = Error;

    fn try_from(row: KeyRow) -> Result<Self> {
        let key = Key {
            kind: KeyKind::parse(&row.kind).ok_or_else(|| Error::Corrupt("key kind".into()))?,
            scopes: Scopes::parse(&row.scopes).ok_or_else(|| Error::Corrupt("key scopes".into()))?,
            id: row.id,
            workspace_id: row.workspace_id,
            tenant_id: row.tenant_id,
            name: row.name,
            prefix: row.prefix,
            last_four: row.last_four,
            created_at: row.created_at,
            created_by: row.created_by,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            last_used_from: row.last_used_from,
            revoked_at: row.revoked_at,
        };
        Ok(Self { key, mac: row.mac })
    }
}
