//! Gateway keys. The secret is never here: only its HMAC, and what may be shown.

use super::{Db, Error, Result, Sql, Tx};
use crate::{
    clock::{DAY, Millis},
    domain::{
        addresses::Addresses,
        audit::{Action, Actor, Draft},
        keys::{Key, KeyKind, KeyRules, Rotation, Scopes},
        words,
    },
};

#[derive(sqlx::FromRow)]
pub(super) struct KeyRow {
    id: String,
    workspace_id: String,
    kind: String,
    tenant_id: Option<String>,
    name: String,
    prefix: String,
    last_four: String,
    scopes: String,
    addresses: String,
    rate: Option<i64>,
    created_at: i64,
    created_by: String,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
    last_used_from: Option<String>,
    last_used_agent: Option<String>,
    revoked_at: Option<i64>,
    replaces: Option<String>,
    pending_until: Option<i64>,
    overlap: Option<i64>,
    replaced_by: Option<String>,
    retires_at: Option<i64>,
    mac: Vec<u8>,
}

pub(super) const COLUMNS: &str = "SELECT id, workspace_id, kind, tenant_id, name, prefix, last_four, scopes, addresses, rate, \
    created_at, created_by, expires_at, last_used_at, last_used_from, last_used_agent, revoked_at, \
    replaces, pending_until, overlap, replaced_by, retires_at, mac FROM keys";

words! {
    /// The kinds of keys an operator can list.
    KeyList {
        /// Opens something now.
        Active = "active",
        /// Live, but not for longer than 7 days (ui.md K3).
        Expiring = "expiring",
        /// Live, and not used for 90 days.
        Unused = "unused",
        /// Live, and made to replace another that is, or to be replaced.
        Rotating = "rotating",
        /// By time: expired, replaced, or not used in time.
        Expired = "expired",
        Revoked = "revoked",
    }
}

/// What a list of keys asks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyFilter<'a> {
    pub tenant_id: Option<&'a str>,
    pub list: Option<KeyList>,
    pub now: Millis,
}

/// A use of a key, to be noted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyUse {
    pub key_id: String,
    pub at: Millis,
    pub address: String,
    /// As the client names itself; may be empty.
    pub agent: String,
}

/// Who has used a key, and when last.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct KeyUser {
    pub address: String,
    pub agent: String,
    pub used_at: Millis,
}

/// So many users of a key are remembered.
pub const KEY_USERS: i64 = 20;

/// A key as the hot path keeps it.
pub struct StoredKey {
    pub key: Key,
    pub mac: Vec<u8>,
}

impl Db {
    /// Stores a new key. `mac` is HMAC-SHA256 of the secret under the pepper named `pepper_id`. `false`, and nothing is
    /// stored, if its tenant is detached.
    pub async fn create_key(&self, actor: &Actor, key: &Key, mac: &[u8], pepper_id: &str) -> Result<bool> {
        let mut tx = self.begin().await?;
        tx.touch_access().await?;
        if tx.is_detached(key).await? {
            return Ok(false);
        }
        tx.insert_key(key, mac, pepper_id).await?;
        tx.append(key.created_at, &[&creation(actor, key)]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Stores a key that was asked for at the tenant door, and revokes the tenant's one made so before, with what was made
    /// to replace that. Keys made otherwise stay. `false`, and nothing is done, if the tenant is detached.
    pub async fn issue_key(&self, actor: &Actor, key: &Key, mac: &[u8], pepper_id: &str) -> Result<bool> {
        let mut tx = self.begin().await?;
        // First, as in every change of keys: of two at once the second sees the first, and neither waits for the other.
        tx.touch_access().await?;
        if tx.is_detached(key).await? {
            return Ok(false);
        }
        let earlier: Vec<(String, String)> = tx
            .sql(
                "UPDATE keys SET revoked_at = $3
                 WHERE workspace_id = $1 AND tenant_id = $2 AND issued = 1 AND revoked_at IS NULL
                 RETURNING id, name",
            )
            .bind(&key.workspace_id)
            .bind(&key.tenant_id)
            .bind(key.created_at)
            .all()
            .await?;
        tx.insert_key(key, mac, pepper_id).await?;
        tx.sql("UPDATE keys SET issued = 1 WHERE id = $1").bind(&key.id).run().await?;
        let revocation = |(id, name): &(String, String)| {
            Draft::done(actor, Action::KeyRevoke)
                .workspace(&key.workspace_id)
                .tenant(key.tenant_id.as_deref())
                .target("key", id)
                .set("name", name.as_str())
                .reason("a new one was made")
        };
        let mut entries: Vec<Draft> = earlier.iter().map(revocation).collect();
        entries.push(creation(actor, key));
        tx.append(key.created_at, &entries.iter().collect::<Vec<_>>()).await?;
        tx.commit().await?;
        Ok(true)
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

    /// A workspace's keys, newest first, from before the given id.
    pub async fn keys(
        &self,
        workspace_id: &str,
        filter: &KeyFilter<'_>,
        before: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Key>> {
        let sql = narrow(self.read(COLUMNS).push(" WHERE workspace_id = ").arg(workspace_id), filter);
        let sql = sql.and("id <", before).push(" ORDER BY id DESC LIMIT ").arg(limit);
        let rows: Vec<KeyRow> = sql.all().await?;
        rows.into_iter().map(|r| StoredKey::try_from(r).map(|s| s.key)).collect()
    }

    /// The page of keys just after the given id, newest first.
    pub async fn keys_after(
        &self,
        workspace_id: &str,
        filter: &KeyFilter<'_>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Key>> {
        let sql = narrow(self.read(COLUMNS).push(" WHERE workspace_id = ").arg(workspace_id), filter);
        let sql = sql.and("id >", Some(after)).push(" ORDER BY id LIMIT ").arg(limit);
        let rows: Vec<KeyRow> = sql.all().await?;
        rows.into_iter().rev().map(|r| StoredKey::try_from(r).map(|s| s.key)).collect()
    }

    pub async fn count_keys(&self, workspace_id: &str, filter: &KeyFilter<'_>) -> Result<i64> {
        narrow(self.read("SELECT COUNT(*) FROM keys WHERE workspace_id = ").arg(workspace_id), filter)
            .value()
            .await
    }

    /// Every key that could still be used, for the hot path.
    pub async fn live_keys(&self, now: Millis) -> Result<Vec<StoredKey>> {
        let rows: Vec<KeyRow> = self.read(COLUMNS).push(" WHERE TRUE").live(now).all().await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Changes where from and how fast a key may be used. `false` if it is not there or revoked; that the rules hold already
    /// leaves no entry.
    pub async fn update_key_rules(
        &self,
        actor: &Actor,
        key: &Key,
        rules: &KeyRules,
        now: Millis,
    ) -> Result<bool> {
        let mut tx = self.begin().await?;
        tx.touch_access().await?;
        // Locks the row, so that the entry says what was there before.
        let row: Option<(String, Option<i64>)> = tx
            .sql("UPDATE keys SET name = name WHERE workspace_id = $1 AND id = $2 AND revoked_at IS NULL RETURNING addresses, rate")
            .bind(&key.workspace_id)
            .bind(&key.id)
            .opt()
            .await?;
        let Some((addresses, rate)) = row else { return Ok(false) };
        let before = stored_rules(&addresses, rate)?;
        if before == *rules {
            return Ok(true);
        }
        tx.sql("UPDATE keys SET addresses = $3, rate = $4 WHERE workspace_id = $1 AND id = $2")
            .bind(&key.workspace_id)
            .bind(&key.id)
            .bind(rules.addresses.to_string())
            .bind(rules.rate.map(i64::from))
            .run()
            .await?;
        let entry = Draft::done(actor, Action::KeyUpdate)
            .workspace(&key.workspace_id)
            .tenant(key.tenant_id.as_deref())
            .target("key", &key.id)
            .was("addresses", before.addresses.to_string())
            .was("rate", before.rate)
            .set("addresses", rules.addresses.to_string())
            .set("rate", rules.rate);
        tx.append(now, &[&entry]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Notes when, from where and by whom keys were used; only ever forward.
    pub async fn note_key_uses(&self, uses: &[KeyUse]) -> Result<()> {
        let mut tx = self.begin().await?;
        for one in uses {
            tx.sql(
                "UPDATE keys SET last_used_at = $2, last_used_from = $3, last_used_agent = $4
                 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)",
            )
            .bind(&one.key_id)
            .bind(one.at)
            .bind(&one.address)
            .bind(&one.agent)
            .run()
            .await?;
            let known = tx
                .sql(
                    "UPDATE key_users SET used_at = CASE WHEN used_at < $4 THEN $4 ELSE used_at END
                     WHERE key_id = $1 AND address = $2 AND agent = $3",
                )
                .bind(&one.key_id)
                .bind(&one.address)
                .bind(&one.agent)
                .bind(one.at)
                .run()
                .await?;
            if known == 0 {
                tx.add_key_user(one).await?;
            }
        }
        tx.commit().await
    }

    /// Who has used a key lately, the last first; at most [`KEY_USERS`] or so.
    pub async fn key_users(&self, workspace_id: &str, id: &str) -> Result<Vec<KeyUser>> {
        self.read(
            "SELECT u.address, u.agent, u.used_at FROM key_users u JOIN keys k ON k.id = u.key_id
             WHERE k.workspace_id = $1 AND k.id = $2 ORDER BY u.used_at DESC, u.address, u.agent",
        )
        .bind(workspace_id)
        .bind(id)
        .all()
        .await
    }
}

impl Tx {
    /// Whether the key's tenant is detached. With the counter taken, it stays so until the end of the transaction.
    async fn is_detached(&mut self, key: &Key) -> Result<bool> {
        let row: Option<(String,)> = self
            .sql("SELECT id FROM tenants WHERE workspace_id = $1 AND id = $2 AND detached_at IS NOT NULL")
            .bind(&key.workspace_id)
            .bind(&key.tenant_id)
            .opt()
            .await?;
        Ok(row.is_some())
    }

    pub(super) async fn insert_key(&mut self, key: &Key, mac: &[u8], pepper_id: &str) -> Result<()> {
        self.sql(
            "INSERT INTO keys (id, workspace_id, kind, tenant_id, name, mac, pepper_id, prefix, last_four, scopes,
               addresses, rate, created_at, created_by, expires_at, replaces, pending_until, overlap, issued)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
               COALESCE((SELECT issued FROM keys WHERE id = $16), 0))",
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
        .bind(key.rules.addresses.to_string())
        .bind(key.rules.rate.map(i64::from))
        .bind(key.created_at)
        .bind(&key.created_by)
        .bind(key.expires_at)
        .bind(&key.rotation.replaces)
        .bind(key.rotation.pending_until)
        .bind(key.rotation.overlap)
        .run()
        .await
        .map(drop)
    }

    /// Adds a user of a key that is there, and forgets the oldest beyond [`KEY_USERS`].
    async fn add_key_user(&mut self, user: &KeyUse) -> Result<()> {
        self.sql(
            "INSERT INTO key_users (key_id, address, agent, used_at)
             SELECT id, $2, $3, $4 FROM keys WHERE id = $1 ON CONFLICT (key_id, address, agent) DO NOTHING",
        )
        .bind(&user.key_id)
        .bind(&user.address)
        .bind(&user.agent)
        .bind(user.at)
        .run()
        .await?;
        self.sql(
            "DELETE FROM key_users WHERE key_id = $1 AND used_at <
               (SELECT used_at FROM key_users WHERE key_id = $1 ORDER BY used_at DESC LIMIT 1 OFFSET $2)",
        )
        .bind(&user.key_id)
        .bind(KEY_USERS - 1)
        .run()
        .await
        .map(drop)
    }
}

/// The entry about a new key.
pub(super) fn creation(actor: &Actor, key: &Key) -> Draft {
    let draft = Draft::done(actor, Action::KeyCreate)
        .workspace(&key.workspace_id)
        .tenant(key.tenant_id.as_deref())
        .target("key", &key.id)
        .set("kind", key.kind.as_str())
        .set("name", key.name.as_str())
        .set("prefix", key.prefix.as_str())
        .set("scopes", key.scopes.to_string())
        .set("expiresAt", key.expires_at.map(crate::domain::times::to_iso))
        .set("addresses", key.rules.addresses.to_string())
        .set("rate", key.rules.rate);
    match &key.rotation.replaces {
        Some(old) => draft.set("replaces", old.as_str()),
        None => draft,
    }
}

fn stored_rules(addresses: &str, rate: Option<i64>) -> Result<KeyRules> {
    let rate = rate.map(u32::try_from).transpose().map_err(|_| Error::Corrupt("key rate".into()))?;
    let addresses = Addresses::parse(addresses).map_err(|_| Error::Corrupt("key addresses".into()))?;
    Ok(KeyRules { addresses, rate })
}

impl<'c> Sql<'c> {
    /// Keys that open something, as [`Key::is_live`] has it.
    pub(super) fn live(self, now: Millis) -> Self {
        self.push(" AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ")
            .arg(now)
            .push(") AND (retires_at IS NULL OR retires_at > ")
            .arg(now)
            .push(") AND (pending_until IS NULL OR pending_until > ")
            .arg(now)
            .push(")")
    }
}

fn narrow<'c>(sql: Sql<'c>, filter: &KeyFilter<'_>) -> Sql<'c> {
    let sql = sql.and("tenant_id =", filter.tenant_id);
    let live = |sql: Sql<'c>| sql.live(filter.now);
    match filter.list {
        None => sql,
        Some(KeyList::Active) => live(sql),
        Some(KeyList::Expiring) => live(sql).and("expires_at <=", Some(filter.now + 7 * DAY)),
        Some(KeyList::Unused) => {
            live(sql).and("COALESCE(last_used_at, created_at) <", Some(filter.now - 90 * DAY))
        }
        Some(KeyList::Rotating) => live(sql).push(
            " AND (pending_until IS NOT NULL OR replaced_by IS NOT NULL OR EXISTS (
               SELECT 1 FROM keys o WHERE o.id = keys.replaces AND o.revoked_at IS NULL AND o.replaced_by = keys.id
               AND (o.expires_at IS NULL OR o.expires_at > ",
        )
        .arg(filter.now)
        .push(") AND o.retires_at > ")
        .arg(filter.now)
        .push("))"),
        Some(KeyList::Expired) => sql
            .push(" AND revoked_at IS NULL AND (expires_at <= ")
            .arg(filter.now)
            .push(" OR retires_at <= ")
            .arg(filter.now)
            .push(" OR pending_until <= ")
            .arg(filter.now)
            .push(")"),
        Some(KeyList::Revoked) => sql.push(" AND revoked_at IS NOT NULL"),
    }
}

impl TryFrom<KeyRow> for StoredKey {
    type Error = Error;

    fn try_from(row: KeyRow) -> Result<Self> {
        let key = Key {
            kind: KeyKind::parse(&row.kind).ok_or_else(|| Error::Corrupt("key kind".into()))?,
            scopes: Scopes::parse(&row.scopes).ok_or_else(|| Error::Corrupt("key scopes".into()))?,
            rules: stored_rules(&row.addresses, row.rate)?,
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
            last_used_agent: row.last_used_agent,
            revoked_at: row.revoked_at,
            rotation: Rotation {
                replaces: row.replaces,
                pending_until: row.pending_until,
                overlap: row.overlap,
                replaced_by: row.replaced_by,
                retires_at: row.retires_at,
            },
        };
        Ok(Self { key, mac: row.mac })
    }
}
