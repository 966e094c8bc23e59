//! Tenants of a workspace, and how fresh the mirror of each is.

use super::{Db, Result, Tx, like_anywhere, posts::Listing};
use crate::{
    clock::Millis,
    domain::{
        audit::{Action, Actor, Draft, Outcome},
        tenants::{ManagedUser, Sync, Tenant, TenantState},
        workspaces::Frozen,
    },
};
use std::collections::HashMap;

#[derive(sqlx::FromRow)]
struct TenantRow {
    workspace_id: String,
    id: String,
    username: String,
    display_name: String,
    created_at: i64,
    frozen_at: Option<i64>,
    frozen_reason: Option<String>,
    detached_at: Option<i64>,
    link_expires_at: Option<i64>,
    synced_at: Option<i64>,
    swept_at: Option<i64>,
    sync_error: Option<String>,
    sync_error_at: Option<i64>,
    read_to: Option<i64>,
    due_at: i64,
}

const COLUMNS: &str = "SELECT workspace_id, id, username, display_name, created_at, frozen_at, frozen_reason, detached_at, \
    link_expires_at, synced_at, swept_at, sync_error, sync_error_at, read_to, due_at FROM tenants WHERE workspace_id = ";

/// What a list of tenants asks for.
#[derive(Debug, Clone, Default)]
pub struct TenantFilter {
    /// Part of the name or user name, or a whole id.
    pub search: Option<String>,
    pub state: Option<TenantState>,
    /// Only attached ones whose mirror could not be refreshed.
    pub failing: bool,
}

/// How an import changed the tenants of a workspace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    pub added: usize,
    pub returned: usize,
    pub detached: usize,
}

impl Db {
    pub async fn tenant(&self, workspace_id: &str, id: &str) -> Result<Option<Tenant>> {
        let row: Option<TenantRow> = self.read(COLUMNS).arg(workspace_id).and("id =", Some(id)).opt().await?;
        Ok(row.map(Into::into))
    }

    /// Tenants by display name, after the given (display name, id).
    pub async fn tenants(
        &self,
        workspace_id: &str,
        filter: &TenantFilter,
        after: Option<(&str, &str)>,
        limit: i64,
    ) -> Result<Vec<Tenant>> {
        let mut sql = narrow(self.read(COLUMNS).arg(workspace_id), filter);
        if let Some((name, id)) = after {
            sql = sql.push(" AND (display_name, id) > (").arg(name).push(", ").arg(id).push(")");
        }
        let rows: Vec<TenantRow> = sql.push(" ORDER BY display_name, id LIMIT ").arg(limit).all().await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// The page just before the given (display name, id), in list order.
    pub async fn tenants_before(
        &self,
        workspace_id: &str,
        filter: &TenantFilter,
        before: (&str, &str),
        limit: i64,
    ) -> Result<Vec<Tenant>> {
        let sql = narrow(self.read(COLUMNS).arg(workspace_id), filter).push(" AND (display_name, id) < (");
        let sql = sql.arg(before.0).push(", ").arg(before.1);
        let sql = sql.push(") ORDER BY display_name DESC, id DESC LIMIT ").arg(limit);
        let rows: Vec<TenantRow> = sql.all().await?;
        Ok(rows.into_iter().rev().map(Into::into).collect())
    }

    /// The attached tenant of exactly this username.
    pub async fn tenant_by_username(&self, workspace_id: &str, username: &str) -> Result<Option<Tenant>> {
        let row: Option<TenantRow> = self
            .read(COLUMNS)
            .arg(workspace_id)
            .push(" AND detached_at IS NULL")
            .and("LOWER(username) =", Some(username.to_lowercase()))
            .push(" LIMIT 1")
            .opt()
            .await?;
        Ok(row.map(Into::into))
    }

    pub async fn count_tenants(&self, workspace_id: &str, filter: &TenantFilter) -> Result<i64> {
        narrow(self.read("SELECT COUNT(*) FROM tenants WHERE workspace_id = ").arg(workspace_id), filter)
            .value()
            .await
    }

    /// When the stalest of these tenants was last synced; `None` if one never was, or there are none.
    pub async fn oldest_sync(&self, workspace_id: &str, ids: &[&str]) -> Result<Option<Millis>> {
        let mut oldest = None;
        for chunk in ids.chunks(500) {
            let (at,): (Option<i64>,) = self
                .read("SELECT MIN(COALESCE(synced_at, 0)) FROM tenants WHERE workspace_id = ")
                .arg(workspace_id)
                .push(" AND id IN ")
                .list(chunk.iter().copied())
                .one()
                .await?;
            oldest = oldest.into_iter().chain(at).min();
        }
        Ok(oldest.filter(|at| *at > 0))
    }

    /// Those of these tenants whose mirror is older than a time.
    pub async fn synced_before(
        &self,
        workspace_id: &str,
        ids: &[&str],
        before: Millis,
    ) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for chunk in ids.chunks(500) {
            let rows: Vec<(String,)> = self
                .read("SELECT id FROM tenants WHERE workspace_id = ")
                .arg(workspace_id)
                .and("COALESCE(synced_at, 0) <", Some(before))
                .push(" AND detached_at IS NULL AND id IN ")
                .list(chunk.iter().copied())
                .push(" ORDER BY id")
                .all()
                .await?;
            found.extend(rows.into_iter().map(|(id,)| id));
        }
        Ok(found)
    }

    /// Display names of tenants, for lists that show them by id.
    pub async fn tenant_names(&self, workspace_id: &str, ids: &[&str]) -> Result<HashMap<String, String>> {
        let mut names = HashMap::new();
        for chunk in ids.chunks(500) {
            let rows: Vec<(String, String)> = self
                .read("SELECT id, display_name FROM tenants WHERE workspace_id = ")
                .arg(workspace_id)
                .push(" AND id IN ")
                .list(chunk.iter().copied())
                .all()
                .await?;
            names.extend(rows);
        }
        Ok(names)
    }

    /// What the hot path needs of every tenant: workspace, id, reason if frozen, whether detached.
    pub async fn tenant_states(&self) -> Result<Vec<(String, String, Option<String>, bool)>> {
        let rows: Vec<(String, String, Option<i64>, Option<String>, Option<i64>)> = self
            .read("SELECT workspace_id, id, frozen_at, frozen_reason, detached_at FROM tenants")
            .all()
            .await?;
        Ok(rows
            .into_iter()
            .map(|(workspace, id, frozen, reason, detached)| {
                (workspace, id, frozen.map(|_| reason.unwrap_or_default()), detached.is_some())
            })
            .collect())
    }

    /// Makes the tenants of a workspace equal to upstream's managed users: adds, brings back, detaches. Keys of detached ones
    /// are revoked.
    pub async fn import_tenants(
        &self,
        actor: &Actor,
        workspace_id: &str,
        users: &[ManagedUser],
        now: Millis,
    ) -> Result<Imported> {
        let mut tx = self.begin().await?;
        let known: Vec<(String, Option<i64>)> = tx
            .sql("SELECT id, detached_at FROM tenants WHERE workspace_id = $1")
            .bind(workspace_id)
            .all()
            .await?;
        let known: HashMap<String, Option<i64>> = known.into_iter().collect();
        let mut imported = Imported::default();
        let mut entries = Vec::new();
        for user in users {
            let action = match known.get(&user.id) {
                None => {
                    imported.added += 1;
                    Some(Action::TenantImport)
                }
                Some(Some(_)) => {
                    imported.returned += 1;
                    Some(Action::TenantReattach)
                }
                Some(None) => None,
            };
            tx.put_tenant(workspace_id, user, now).await?;
            if let Some(action) = action {
                entries.push(
                    Draft::done(actor, action)
                        .workspace(workspace_id)
                        .tenant(Some(&user.id))
                        .target("tenant", &user.id)
                        .set("displayName", user.display_name.as_str()),
                );
            }
        }
        let listed: std::collections::HashSet<&str> = users.iter().map(|u| u.id.as_str()).collect();
        let mut left: Vec<_> =
            known.iter().filter(|(id, gone)| gone.is_none() && !listed.contains(id.as_str())).collect();
        left.sort();
        for (id, _) in left {
            imported.detached += 1;
            tx.mark_detached(workspace_id, id, now).await?;
            let entry = Draft::done(actor, Action::TenantDetach).workspace(workspace_id).tenant(Some(id));
            entries.push(entry.target("tenant", id).reason("no longer listed upstream"));
        }
        tx.sql("UPDATE workspaces SET imported_at = $2, import_error = NULL WHERE id = $1")
            .bind(workspace_id)
            .bind(now)
            .run()
            .await?;
        tx.touch_access().await?;
        entries.extend(tx.revoke_keys_of_detached(actor, workspace_id, None, now).await?);
        let all = Draft::done(actor, Action::WorkspaceImport)
            .workspace(workspace_id)
            .target("workspace", workspace_id)
            .set("added", imported.added)
            .set("returned", imported.returned)
            .set("detached", imported.detached);
        entries.insert(0, all);
        tx.append(now, &entries.iter().collect::<Vec<_>>()).await?;
        tx.commit().await?;
        Ok(imported)
    }

    /// An import did not happen, for this reason.
    pub async fn note_import_error(
        &self,
        actor: &Actor,
        workspace_id: &str,
        error: &str,
        now: Millis,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.sql("UPDATE workspaces SET import_error = $2 WHERE id = $1")
            .bind(workspace_id)
            .bind(error)
            .run()
            .await?;
        let entry = Draft::new(actor, Action::WorkspaceImport, Outcome::Failed)
            .workspace(workspace_id)
            .target("workspace", workspace_id);
        tx.append(now, &[&entry]).await?;
        tx.commit().await
    }

    /// Freezes (with a reason, shown to the tenant) or unfreezes.
    pub async fn freeze_tenant(
        &self,
        actor: &Actor,
        workspace_id: &str,
        id: &str,
        reason: Option<&str>,
        now: Millis,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.sql("UPDATE tenants SET frozen_at = $3, frozen_reason = $4 WHERE workspace_id = $1 AND id = $2")
            .bind(workspace_id)
            .bind(id)
            .bind(reason.map(|_| now))
            .bind(reason)
            .run()
            .await?;
        tx.touch_access().await?;
        let action = if reason.is_some() { Action::TenantFreeze } else { Action::TenantUnfreeze };
        let entry = Draft::done(actor, action)
            .workspace(workspace_id)
            .tenant(Some(id))
            .target("tenant", id)
            .reason(reason.unwrap_or_default());
        tx.append(now, &[&entry]).await?;
        tx.commit().await
    }

    /// The attached tenants of a workspace whose mirror is due, longest due first.
    pub async fn due_tenants(&self, workspace_id: &str, now: Millis, limit: i64) -> Result<Vec<String>> {
        let rows: Vec<(String,)> = self
            .read(
                "SELECT id FROM tenants WHERE workspace_id = $1 AND detached_at IS NULL AND due_at <= $2
                 ORDER BY due_at, id LIMIT $3",
            )
            .bind(workspace_id)
            .bind(now)
            .bind(limit)
            .all()
            .await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Attached tenants with a scheduled post whose time came in the span, not read since `grace` after it: what became
    /// of the post is not known yet. Those read longest ago first; failing ones wait for their own time.
    pub async fn awaiting_tenants(
        &self,
        workspace_id: &str,
        span: std::ops::Range<Millis>,
        grace: Millis,
        limit: i64,
    ) -> Result<Vec<String>> {
        let rows: Vec<(String,)> = self
            .read(
                "SELECT t.id FROM posts p JOIN tenants t ON t.workspace_id = p.workspace_id AND t.id = p.tenant_id
                 WHERE p.workspace_id = $1 AND p.status = 'scheduled' AND p.place_at >= $2
                   AND p.place_at < $3
                   AND t.detached_at IS NULL AND t.sync_error_at IS NULL AND t.synced_at < p.place_at + $4
                 GROUP BY t.id, t.synced_at ORDER BY t.synced_at, t.id LIMIT $5",
            )
            .bind(workspace_id)
            .bind(span.start)
            .bind(span.end)
            .bind(grace)
            .bind(limit)
            .all()
            .await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Ages of the mirror over the attached tenants: (tenants, never synced, failing, oldest synced_at).
    pub async fn sync_summary(&self, workspace_id: &str) -> Result<(i64, i64, i64, Option<i64>)> {
        self.read(
            "SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN synced_at IS NULL THEN 1 ELSE 0 END), 0) AS BIGINT),
                    CAST(COALESCE(SUM(CASE WHEN sync_error IS NOT NULL THEN 1 ELSE 0 END), 0) AS BIGINT), MIN(synced_at)
             FROM tenants WHERE workspace_id = $1 AND detached_at IS NULL",
        )
        .bind(workspace_id)
        .one()
        .await
    }

    /// The mirror of a tenant could not be refreshed; it should be tried again at `due_at`.
    pub async fn note_sync_error(
        &self,
        workspace_id: &str,
        id: &str,
        error: &str,
        now: Millis,
        due_at: Millis,
    ) -> Result<()> {
        self.write(
            "UPDATE tenants SET sync_error = $3, sync_error_at = $4, due_at = $5 WHERE workspace_id = $1 AND id = $2",
        )
        .bind(workspace_id)
        .bind(id)
        .bind(error)
        .bind(now)
        .bind(due_at)
        .run()
        .await
        .map(drop)
    }
}

impl Tx {
    /// The mirror of a tenant is as new as the beginning of this listing.
    pub(crate) async fn note_synced(
        &mut self,
        workspace_id: &str,
        id: &str,
        listing: &Listing<'_>,
    ) -> Result<()> {
        self.sql(
            "UPDATE tenants SET synced_at = CASE WHEN synced_at > $3 THEN synced_at ELSE $3 END,
               swept_at = COALESCE($4, swept_at), read_to = CASE WHEN read_to > $5 THEN read_to ELSE COALESCE($5, read_to) END,
               due_at = $6, sync_error = NULL, sync_error_at = NULL
             WHERE workspace_id = $1 AND id = $2",
        )
        .bind(workspace_id)
        .bind(id)
        .bind(listing.started)
        .bind(listing.complete.then_some(listing.started))
        .bind(listing.read_to)
        .bind(listing.due_at)
        .run()
        .await
        .map(drop)
    }

    /// Adds a tenant or brings it up to date; a detached one is attached again.
    pub(crate) async fn put_tenant(
        &mut self,
        workspace_id: &str,
        user: &ManagedUser,
        now: Millis,
    ) -> Result<()> {
        self.sql(
            "INSERT INTO tenants (workspace_id, id, username, display_name, created_at, link_expires_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (workspace_id, id) DO UPDATE SET username = excluded.username,
               display_name = excluded.display_name, detached_at = NULL, link_expires_at = excluded.link_expires_at",
        )
        .bind(workspace_id)
        .bind(&user.id)
        .bind(&user.username)
        .bind(&user.display_name)
        .bind(now)
        .bind(user.link_expires_at)
        .run()
        .await
        .map(drop)
    }

    /// Ends the management of a tenant and revokes its keys; gives the entries about those.
    pub(crate) async fn detach_tenant(
        &mut self,
        actor: &Actor,
        workspace_id: &str,
        id: &str,
        now: Millis,
    ) -> Result<Vec<Draft>> {
        self.mark_detached(workspace_id, id, now).await?;
        self.revoke_keys_of_detached(actor, workspace_id, Some(id), now).await
    }

    async fn mark_detached(&mut self, workspace_id: &str, id: &str, now: Millis) -> Result<()> {
        self.sql("UPDATE tenants SET detached_at = $3 WHERE workspace_id = $1 AND id = $2")
            .bind(workspace_id)
            .bind(id)
            .bind(now)
            .run()
            .await
            .map(drop)
    }
}

fn narrow<'c>(mut sql: super::Sql<'c>, filter: &TenantFilter) -> super::Sql<'c> {
    if let Some(search) = &filter.search {
        // Names sort by bytes, and LOWER of such a column knows no capitals but ASCII's, on both engines.
        let pattern = like_anywhere(&search.to_ascii_lowercase());
        sql = sql.push(" AND (id = ").arg(search.as_str());
        sql = sql.push(" OR LOWER(display_name) LIKE ").arg(pattern.as_str()).push(r" ESCAPE '\'");
        sql = sql.push(" OR LOWER(username) LIKE ").arg(pattern).push(r" ESCAPE '\')");
    }
    if filter.failing {
        sql = sql.push(" AND detached_at IS NULL AND sync_error IS NOT NULL");
    }
    sql.push(match filter.state {
        None => "",
        Some(TenantState::Active) => " AND detached_at IS NULL AND frozen_at IS NULL",
        Some(TenantState::Frozen) => " AND detached_at IS NULL AND frozen_at IS NOT NULL",
        Some(TenantState::Detached) => " AND detached_at IS NOT NULL",
    })
}

impl From<TenantRow> for Tenant {
    fn from(row: TenantRow) -> Self {
        Self {
            workspace_id: row.workspace_id,
            id: row.id,
            username: row.username,
            display_name: row.display_name,
            created_at: row.created_at,
            frozen: row.frozen_at.map(|at| Frozen { at, reason: row.frozen_reason.unwrap_or_default() }),
            detached_at: row.detached_at,
            link_expires_at: row.link_expires_at,
            sync: Sync {
                synced_at: row.synced_at,
                swept_at: row.swept_at,
                error: row.sync_error,
                error_at: row.sync_error_at,
                read_to: row.read_to,
                due_at: row.due_at,
            },
        }
    }
}
