//! How keys end: revoked by a person, or replaced by another. A rotation is two rows that name each other. Whoever changes
//! keys takes the counter that all of them advance first, then the old key, then the new one, so that no two wait for each
//! other.

use super::{
    Db, Result, Tx,
    keys::{COLUMNS, KeyRow, StoredKey, creation},
};
use crate::{
    clock::Millis,
    domain::{
        audit::{Action, Actor, Draft},
        keys::Key,
        times,
    },
};

/// Keys whose end is written down in one go.
const ENDS: i64 = 200;

impl Db {
    /// Stores a key that is to replace another. `false`, and nothing is stored, if the old one is not live or part of a
    /// rotation that has not ended.
    pub async fn rotate_key(
        &self,
        actor: &Actor,
        old: &Key,
        new: &Key,
        mac: &[u8],
        pepper_id: &str,
    ) -> Result<bool> {
        let mut tx = self.begin().await?;
        tx.touch_access().await?;
        let taken = tx
            .sql(
                "UPDATE keys SET replaced_by = $3 WHERE workspace_id = $1 AND id = $2 AND revoked_at IS NULL
                   AND replaced_by IS NULL AND pending_until IS NULL AND (expires_at IS NULL OR expires_at > $4)
                   AND NOT EXISTS (SELECT 1 FROM keys o WHERE o.workspace_id = $1 AND o.replaced_by = $2
                     AND o.revoked_at IS NULL AND (o.expires_at IS NULL OR o.expires_at > $4)
                     AND (o.retires_at IS NULL OR o.retires_at > $4))",
            )
            .bind(&old.workspace_id)
            .bind(&old.id)
            .bind(&new.id)
            .bind(new.created_at)
            .run()
            .await?;
        if taken == 0 {
            return Ok(false);
        }
        tx.insert_key(new, mac, pepper_id).await?;
        let rotation = about(actor, Action::KeyRotate, old)
            .target("key", &new.id)
            .set("pendingUntil", new.rotation.pending_until.map(times::to_iso))
            .set("overlapSeconds", new.rotation.overlap.map(|overlap| overlap / 1_000));
        tx.append(new.created_at, &[&rotation, &creation(actor, new)]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Notes the first use of a pending key: from now on the old one lives for the overlap. `false` if it is not pending
    /// (any more).
    pub async fn activate_key(&self, actor: &Actor, key: &Key, now: Millis) -> Result<bool> {
        let mut tx = self.begin().await?;
        tx.touch_access().await?;
        tx.lock_old_key(key).await?;
        if !tx.put_in_force(&key.workspace_id, &key.id, now).await? {
            return Ok(false);
        }
        let overlap = key.rotation.overlap.unwrap_or_default();
        let ends = now + overlap;
        let at_once = overlap == 0;
        let old = tx
            .sql(
                "UPDATE keys SET retires_at = $3, ended_at = $4 WHERE workspace_id = $1 AND replaced_by = $2
                   AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $5)",
            )
            .bind(&key.workspace_id)
            .bind(&key.id)
            .bind(ends)
            .bind(at_once.then_some(now))
            .bind(now)
            .run()
            .await?;
        let replaced = key.rotation.replaces.as_deref().filter(|_| old == 1);
        let mut activation = about(actor, Action::KeyActivate, key);
        if let Some(old) = replaced {
            activation = activation.target("key", old).set("oldKeyEndsAt", times::to_iso(ends));
        }
        let retirement = replaced.filter(|_| at_once).map(|old| {
            let draft = Draft::done(actor, Action::KeyRetire).workspace(&key.workspace_id);
            draft.tenant(key.tenant_id.as_deref()).target("key", old).set("replacedBy", key.id.as_str())
        });
        let entries: Vec<&Draft> = [Some(&activation), retirement.as_ref()].into_iter().flatten().collect();
        tx.append(now, &entries).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Takes a new key back before its first use; the old one goes on as before. `false` if it is too late.
    pub async fn cancel_rotation(&self, actor: &Actor, new: &Key, now: Millis) -> Result<bool> {
        let mut tx = self.begin().await?;
        tx.touch_access().await?;
        tx.lock_old_key(new).await?;
        let cancelled = tx
            .sql(
                "UPDATE keys SET revoked_at = $3
                 WHERE workspace_id = $1 AND id = $2 AND pending_until > $3 AND revoked_at IS NULL
                   AND ended_at IS NULL",
            )
            .bind(&new.workspace_id)
            .bind(&new.id)
            .bind(now)
            .run()
            .await?;
        if cancelled == 0 {
            return Ok(false);
        }
        tx.free_old_key(new).await?;
        let mut cancellation = Draft::done(actor, Action::KeyCancelRotation)
            .workspace(&new.workspace_id)
            .tenant(new.tenant_id.as_deref());
        if let Some(old) = &new.rotation.replaces {
            cancellation = cancellation.target("key", old);
        }
        let cancellation = cancellation.target("key", &new.id);
        tx.append(now, &[&cancellation, &about(actor, Action::KeyRevoke, new)]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Revokes a key. `false` if it was revoked before. A new key that waits for its first use gives the old one free; one
    /// that waits to replace the revoked key waits no longer, so that it cannot lapse and leave nobody a key.
    pub async fn revoke_key(&self, actor: &Actor, key: &Key, now: Millis) -> Result<bool> {
        let mut tx = self.begin().await?;
        tx.touch_access().await?;
        tx.lock_old_key(key).await?;
        let row: Option<(Option<i64>, Option<String>)> = tx
            .sql(
                "UPDATE keys SET revoked_at = $3 WHERE workspace_id = $1 AND id = $2 AND revoked_at IS NULL
                 RETURNING pending_until, replaced_by",
            )
            .bind(&key.workspace_id)
            .bind(&key.id)
            .bind(now)
            .opt()
            .await?;
        let Some((pending, replaced_by)) = row else { return Ok(false) };
        if pending.is_some() {
            tx.free_old_key(key).await?;
        }
        let mut entries = vec![about(actor, Action::KeyRevoke, key)];
        if let Some(new) = replaced_by
            && tx.put_in_force(&key.workspace_id, &new, now).await?
        {
            let draft = Draft::done(actor, Action::KeyActivate).workspace(&key.workspace_id);
            let draft = draft.tenant(key.tenant_id.as_deref()).target("key", &new);
            entries.push(draft.target("key", &key.id).set("oldKey", "revoked"));
        }
        tx.append(now, &entries.iter().collect::<Vec<_>>()).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Writes down the ends that time has brought: an old key's overlap is over, a new key was not used in time and gives
    /// the old one free. What a key opens does not wait for this. Says how many.
    pub async fn end_keys(&self, actor: &Actor, now: Millis) -> Result<usize> {
        let rows: Vec<KeyRow> = self
            .read(COLUMNS)
            .push(" WHERE ended_at IS NULL AND revoked_at IS NULL AND (pending_until <= ")
            .arg(now)
            .push(" OR retires_at <= ")
            .arg(now)
            .push(") ORDER BY id LIMIT ")
            .arg(ENDS)
            .all()
            .await?;
        let mut ended = 0;
        for row in rows {
            let key = StoredKey::try_from(row)?.key;
            ended += usize::from(self.end_key(actor, &key, now).await?);
        }
        Ok(ended)
    }

    async fn end_key(&self, actor: &Actor, key: &Key, now: Millis) -> Result<bool> {
        let mut tx = self.begin().await?;
        tx.touch_access().await?;
        tx.lock_old_key(key).await?;
        let changed = tx
            .sql(
                "UPDATE keys SET ended_at = $3 WHERE workspace_id = $1 AND id = $2 AND ended_at IS NULL
                   AND revoked_at IS NULL AND (pending_until <= $3 OR retires_at <= $3)",
            )
            .bind(&key.workspace_id)
            .bind(&key.id)
            .bind(now)
            .run()
            .await?;
        if changed == 0 {
            return Ok(false);
        }
        let entry = if key.is_pending() {
            tx.free_old_key(key).await?;
            let entry = about(actor, Action::KeyLapse, key);
            key.rotation.replaces.as_deref().map_or(entry.clone(), |old| entry.target("key", old))
        } else {
            about(actor, Action::KeyRetire, key).set("replacedBy", key.rotation.replaced_by.as_deref())
        };
        tx.append(now, &[&entry]).await?;
        tx.commit().await?;
        Ok(true)
    }
}

impl Tx {
    /// Lets a pending key wait no longer. `false` if it is not pending (any more).
    async fn put_in_force(&mut self, workspace_id: &str, id: &str, now: Millis) -> Result<bool> {
        self.sql(
            "UPDATE keys SET pending_until = NULL
             WHERE workspace_id = $1 AND id = $2 AND pending_until > $3 AND revoked_at IS NULL AND ended_at IS NULL",
        )
        .bind(workspace_id)
        .bind(id)
        .bind(now)
        .run()
        .await
        .map(|changed| changed == 1)
    }

    /// Locks the key that this one replaces, if there is one.
    async fn lock_old_key(&mut self, new: &Key) -> Result<()> {
        let Some(old) = &new.rotation.replaces else { return Ok(()) };
        self.sql("UPDATE keys SET name = name WHERE workspace_id = $1 AND id = $2")
            .bind(&new.workspace_id)
            .bind(old)
            .run()
            .await
            .map(drop)
    }

    /// Revokes the live keys of detached tenants, of one or all of a workspace, and gives the entries about it. Whoever calls
    /// this has taken the counter.
    pub(super) async fn revoke_keys_of_detached(
        &mut self,
        actor: &Actor,
        workspace_id: &str,
        tenant_id: Option<&str>,
        now: Millis,
    ) -> Result<Vec<Draft>> {
        let mut revoked: Vec<(String, String, String, Option<i64>)> = self
            .sql("UPDATE keys SET revoked_at = ")
            .arg(now)
            .push(" WHERE workspace_id = ")
            .arg(workspace_id)
            .and("tenant_id =", tenant_id)
            .push(" AND tenant_id IN (SELECT t.id FROM tenants t WHERE t.detached_at IS NOT NULL AND t.workspace_id = ")
            .arg(workspace_id)
            .push(")")
            .live(now)
            .push(" RETURNING id, tenant_id, name, pending_until")
            .all()
            .await?;
        revoked.sort();
        // A rotation in which the new key was never used is over with both.
        for (id, ..) in revoked.iter().filter(|key| key.3.is_some()) {
            self.free_replaced_by(workspace_id, id).await?;
        }
        let entry = |(id, tenant, name, _): &(String, String, String, Option<i64>)| {
            let entry = Draft::done(actor, Action::KeyRevoke).workspace(workspace_id).tenant(Some(tenant));
            entry.target("key", id).set("name", name.as_str()).reason("the tenant was detached")
        };
        Ok(revoked.iter().map(entry).collect())
    }

    /// Lets the key that was to be replaced by this one be replaced by another.
    async fn free_old_key(&mut self, new: &Key) -> Result<()> {
        self.free_replaced_by(&new.workspace_id, &new.id).await
    }

    async fn free_replaced_by(&mut self, workspace_id: &str, id: &str) -> Result<()> {
        self.sql("UPDATE keys SET replaced_by = NULL WHERE workspace_id = $1 AND replaced_by = $2")
            .bind(workspace_id)
            .bind(id)
            .run()
            .await
            .map(drop)
    }
}

/// An entry about a key that is there.
fn about(actor: &Actor, action: Action, key: &Key) -> Draft {
    Draft::done(actor, action)
        .workspace(&key.workspace_id)
        .tenant(key.tenant_id.as_deref())
        .target("key", &key.id)
        .set("name", key.name.as_str())
}
