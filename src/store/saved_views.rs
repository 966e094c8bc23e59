//! Filters of the posts list under names, each person's own. No entries of the log: nobody else is concerned.

use super::{Db, Result};
use crate::{
    clock::Millis,
    domain::saved_views::{SAVED_VIEWS_MAX, SavedView},
};

impl Db {
    /// A person's views in a workspace, by name.
    pub async fn saved_views(&self, workspace_id: &str, admin_id: &str) -> Result<Vec<SavedView>> {
        let rows: Vec<(String, String, String)> = self
            .read(
                "SELECT id, name, filter FROM saved_views WHERE workspace_id = $1 AND admin_id = $2 ORDER BY name",
            )
            .bind(workspace_id)
            .bind(admin_id)
            .all()
            .await?;
        Ok(rows.into_iter().map(|(id, name, filter)| SavedView { id, name, filter }).collect())
    }

    /// Keeps a view; one of the same name is replaced. `false` if there are [`SAVED_VIEWS_MAX`] others already.
    pub async fn save_view(
        &self,
        workspace_id: &str,
        admin_id: &str,
        view: &SavedView,
        now: Millis,
    ) -> Result<bool> {
        let mut tx = self.begin().await?;
        // One after the other for each person, or two would both be the last that fits.
        tx.sql("UPDATE admins SET zone = zone WHERE id = $1").bind(admin_id).run().await?;
        let others: i64 = tx
            .sql("SELECT COUNT(*) FROM saved_views WHERE workspace_id = $1 AND admin_id = $2 AND name <> $3")
            .bind(workspace_id)
            .bind(admin_id)
            .bind(&view.name)
            .value()
            .await?;
        if others >= SAVED_VIEWS_MAX {
            return Ok(false);
        }
        tx.sql(
            "INSERT INTO saved_views (id, workspace_id, admin_id, name, filter, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (workspace_id, admin_id, name) DO UPDATE SET filter = excluded.filter",
        )
        .bind(&view.id)
        .bind(workspace_id)
        .bind(admin_id)
        .bind(&view.name)
        .bind(&view.filter)
        .bind(now)
        .run()
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Removes one of a person's views. `false` if there is no such view.
    pub async fn remove_view(&self, workspace_id: &str, admin_id: &str, id: &str) -> Result<bool> {
        let removed = self
            .write("DELETE FROM saved_views WHERE workspace_id = $1 AND admin_id = $2 AND id = $3")
            .bind(workspace_id)
            .bind(admin_id)
            .bind(id)
            .run()
            .await?;
        Ok(removed == 1)
    }
}
