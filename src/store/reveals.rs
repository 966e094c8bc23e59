//! Secrets that wait, encrypted, for the one page that shows them (ui.md K1).

use super::{Db, Result};
use crate::clock::Millis;

/// What the page shows around the secret.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Reveal {
    pub id: String,
    pub workspace_id: String,
    pub admin_id: String,
    /// `key` or `link`.
    pub kind: String,
    pub label: String,
    /// Where "I have stored it" leads.
    pub back: String,
    pub created_at: Millis,
    /// Until when a link works.
    pub valid_until: Option<Millis>,
}

impl Db {
    pub async fn create_reveal(&self, reveal: &Reveal, sealed: &[u8]) -> Result<()> {
        self.write(
            "INSERT INTO reveals (id, workspace_id, admin_id, kind, label, back, sealed, created_at, valid_until)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(&reveal.id)
        .bind(&reveal.workspace_id)
        .bind(&reveal.admin_id)
        .bind(&reveal.kind)
        .bind(&reveal.label)
        .bind(&reveal.back)
        .bind(sealed)
        .bind(reveal.created_at)
        .bind(reveal.valid_until)
        .run()
        .await
        .map(drop)
    }

    /// What was revealed; only to the admin who made it.
    pub async fn reveal(&self, workspace_id: &str, admin_id: &str, id: &str) -> Result<Option<Reveal>> {
        self.read(
            "SELECT id, workspace_id, admin_id, kind, label, back, created_at, valid_until FROM reveals
             WHERE workspace_id = $1 AND admin_id = $2 AND id = $3",
        )
        .bind(workspace_id)
        .bind(admin_id)
        .bind(id)
        .opt()
        .await
    }

    /// Takes the secret out: the first call gets it, every later one `None`.
    pub async fn take_secret(&self, id: &str, created_after: Millis) -> Result<Option<Vec<u8>>> {
        let mut tx = self.begin().await?;
        // Locks the row on PostgreSQL, so that of two openings one finds it empty.
        let row: Option<(Option<Vec<u8>>, i64)> = tx
            .sql("UPDATE reveals SET kind = kind WHERE id = $1 RETURNING sealed, created_at")
            .bind(id)
            .opt()
            .await?;
        tx.sql("UPDATE reveals SET sealed = NULL WHERE id = $1").bind(id).run().await?;
        tx.commit().await?;
        Ok(row.and_then(|(sealed, at)| sealed.filter(|_| at > created_after)))
    }

    /// Uses up an export link. `false` if it has been used before. Links that have ended are forgotten on the way.
    pub async fn use_export_link(&self, jti: &str, expires_at: Millis, now: Millis) -> Result<bool> {
        self.write("DELETE FROM export_links WHERE expires_at < $1").bind(now).run().await?;
        let used = self
            .write("INSERT INTO export_links (jti, expires_at) VALUES ($1, $2) ON CONFLICT (jti) DO NOTHING")
            .bind(jti)
            .bind(expires_at)
            .run()
            .await?;
        Ok(used == 1)
    }

    /// Forgets secrets nobody fetched in time.
    pub async fn sweep_reveals(&self, created_before: Millis) -> Result<()> {
        self.write("UPDATE reveals SET sealed = NULL WHERE created_at < $1 AND sealed IS NOT NULL")
            .bind(created_before)
            .run()
            .await
            .map(drop)
    }
}
