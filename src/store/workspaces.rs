//! Workspaces. Each change appends its audit entry in the same transaction.

use super::{Db, Error, Result};
use crate::{
    clock::Millis,
    domain::{
        audit::{Action, Actor, Draft},
        workspaces::{DeletePolicy, Environment, Frozen, Workspace},
    },
};

#[derive(sqlx::FromRow)]
struct WorkspaceRow {
    id: String,
    name: String,
    environment: String,
    base_url: String,
    key_prefix: String,
    key_added_at: i64,
    key_added_by: String,
    delete_policy: String,
    frozen_at: Option<i64>,
    frozen_reason: Option<String>,
    suspended_at: Option<i64>,
    suspended_reason: Option<String>,
    imported_at: Option<i64>,
    import_error: Option<String>,
    created_at: i64,
}

const COLUMNS: &str = "SELECT id, name, environment, base_url, key_prefix, key_added_at, key_added_by, delete_policy, \
    frozen_at, frozen_reason, suspended_at, suspended_reason, imported_at, import_error, created_at FROM workspaces";

/// A workspace's key as it is stored.
pub struct SealedKey {
    pub sealed: Vec<u8>,
    pub prefix: String,
}

impl Db {
    /// Stores a workspace whose key has been verified. [`Error::Taken`] if the name is.
    pub async fn create_workspace(&self, actor: &Actor, w: &Workspace, key: &SealedKey) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.sql(
            "INSERT INTO workspaces (id, name, environment, base_url, upstream_key, key_prefix, key_added_at,
               key_added_by, delete_policy, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(&w.id)
        .bind(&w.name)
        .bind(w.environment.as_str())
        .bind(&w.base_url)
        .bind(&key.sealed)
        .bind(&key.prefix)
        .bind(w.key_added_at)
        .bind(&w.key_added_by)
        .bind(w.delete_policy.as_str())
        .bind(w.created_at)
        .run()
        .await?;
        tx.touch_access().await?;
        let entry = Draft::done(actor, Action::WorkspaceCreate)
            .workspace(&w.id)
            .target("workspace", &w.id)
            .set("name", w.name.as_str())
            .set("environment", w.environment.as_str())
            .set("baseUrl", w.base_url.as_str())
            .set("keyPrefix", key.prefix.as_str());
        tx.append(w.created_at, &[&entry]).await?;
        tx.commit().await
    }

    pub async fn workspace(&self, id: &str) -> Result<Option<Workspace>> {
        let row: Option<WorkspaceRow> = self.read(COLUMNS).push(" WHERE id = ").arg(id).opt().await?;
        row.map(TryInto::try_into).transpose()
    }

    /// All workspaces, by name. For the instance's owner and for background work.
    pub async fn workspaces(&self) -> Result<Vec<Workspace>> {
        let rows: Vec<WorkspaceRow> = self.read(COLUMNS).push(" ORDER BY name").all().await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// The encrypted upstream keys, by workspace.
    pub async fn sealed_keys(&self) -> Result<Vec<(String, Vec<u8>)>> {
        self.read("SELECT id, upstream_key FROM workspaces").all().await
    }

    /// Replaces the upstream key; a suspension ends with it.
    pub async fn replace_workspace_key(
        &self,
        actor: &Actor,
        id: &str,
        key: &SealedKey,
        added_by: &str,
        now: Millis,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.sql(
            "UPDATE workspaces SET upstream_key = $2, key_prefix = $3, key_added_at = $4, key_added_by = $5,
               suspended_at = NULL, suspended_reason = NULL WHERE id = $1",
        )
        .bind(id)
        .bind(&key.sealed)
        .bind(&key.prefix)
        .bind(now)
        .bind(added_by)
        .run()
        .await?;
        tx.touch_access().await?;
        let entry = Draft::done(actor, Action::WorkspaceReplaceKey)
            .workspace(id)
            .target("workspace", id)
            .set("keyPrefix", key.prefix.as_str());
        tx.append(now, &[&entry]).await?;
        tx.commit().await
    }

    pub async fn set_delete_policy(
        &self,
        actor: &Actor,
        id: &str,
        policy: DeletePolicy,
        now: Millis,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.sql("UPDATE workspaces SET delete_policy = $2 WHERE id = $1")
            .bind(id)
            .bind(policy.as_str())
            .run()
            .await?;
        tx.touch_access().await?;
        let entry = Draft::done(actor, Action::WorkspaceSetDeletePolicy)
            .workspace(id)
            .target("workspace", id)
            .set("deletePolicy", policy.as_str());
        tx.append(now, &[&entry]).await?;
        tx.commit().await
    }

    /// Points workspaces at an upstream that has moved. Only the demo's sandbox ever moves.
    pub async fn move_workspaces(&self, from: &str, to: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.sql("UPDATE workspaces SET base_url = $2 WHERE base_url = $1").bind(from).bind(to).run().await?;
        tx.touch_access().await?;
        tx.commit().await
    }

    /// Freezes (with a reason) or unfreezes a workspace.
    pub async fn freeze_workspace(
        &self,
        actor: &Actor,
        id: &str,
        reason: Option<&str>,
        now: Millis,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.sql("UPDATE workspaces SET frozen_at = $2, frozen_reason = $3 WHERE id = $1")
            .bind(id)
            .bind(reason.map(|_| now))
            .bind(reason)
            .run()
            .await?;
        tx.touch_access().await?;
        let action = if reason.is_some() { Action::WorkspaceFreeze } else { Action::WorkspaceUnfreeze };
        let entry = Draft::done(actor, action)
            .workspace(id)
            .target("workspace", id)
            .reason(reason.unwrap_or_default());
        tx.append(now, &[&entry]).await?;
        tx.commit().await
    }

    /// Suspends calls upstream because the key added at `key_added_at` was refused. Does nothing, and says false, if they
    /// are suspended already or the key has been replaced since. Replacing the key ends a suspension.
    pub async fn suspend_workspace(
        &self,
        actor: &Actor,
        id: &str,
        key_added_at: Millis,
        reason: &str,
        now: Millis,
    ) -> Result<bool> {
        let mut tx = self.begin().await?;
        let changed = tx
            .sql(
                "UPDATE workspaces SET suspended_at = $2, suspended_reason = $3
                 WHERE id = $1 AND suspended_at IS NULL AND key_added_at = $4",
            )
            .bind(id)
            .bind(now)
            .bind(reason)
            .bind(key_added_at)
            .run()
            .await?;
        if changed == 0 {
            return Ok(false);
        }
        tx.touch_access().await?;
        let entry =
            Draft::done(actor, Action::WorkspaceSuspend).workspace(id).target("workspace", id).reason(reason);
        tx.append(now, &[&entry]).await?;
        tx.commit().await.map(|()| true)
    }
}

impl TryFrom<WorkspaceRow> for Workspace {
    type Error = Error;

    fn try_from(row: WorkspaceRow) -> Result<Self> {
        Ok(Self {
            environment: Environment::parse(&row.environment)
                .ok_or_else(|| Error::Corrupt("environment".into()))?,
            delete_policy: DeletePolicy::parse(&row.delete_policy)
                .ok_or_else(|| Error::Corrupt("delete policy".into()))?,
            frozen: row.frozen_at.map(|at| Frozen { at, reason: row.frozen_reason.unwrap_or_default() }),
            id: row.id,
            name: row.name,
            base_url: row.base_url,
            key_prefix: row.key_prefix,
            key_added_at: row.key_added_at,
            key_added_by: row.key_added_by,
            suspended_at: row.suspended_at,
            suspended_reason: row.suspended_reason,
            imported_at: row.imported_at,
            import_error: row.import_error,
            created_at: row.created_at,
        })
    }
}
