//! People's accounts, their roles, the one-time set-up link and the count of failed log-ins.

use super::{Db, Error, Result};
use crate::{
    clock::Millis,
    domain::{
        admins::{Admin, Preferences, Role},
        audit::{Action, Actor, Draft},
        times,
    },
};

#[derive(sqlx::FromRow)]
struct AdminRow {
    id: String,
    email: String,
    name: String,
    password_hash: String,
    instance_owner: bool,
    created_at: i64,
    disabled_at: Option<i64>,
    zone: String,
    rows_per_page: i64,
    shortcuts: bool,
}

const COLUMNS: &str = "SELECT id, email, name, password_hash, instance_owner, created_at, disabled_at, zone, rows_per_page, \
    shortcuts FROM admins WHERE ";

impl Db {
    /// How many admins there are.
    pub async fn count_admins(&self) -> Result<i64> {
        self.read("SELECT COUNT(*) FROM admins").value().await
    }

    /// Makes the first admin with a set-up link. `false` if the link does not work (any more) or an admin exists.
    pub async fn create_first_admin(
        &self,
        link_hash: &[u8],
        admin: &Admin,
        password_hash: &str,
    ) -> Result<bool> {
        let mut tx = self.begin().await?;
        let now = admin.created_at;
        let used = tx
            .sql(
                "UPDATE setup_links SET used_at = $2 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2",
            )
            .bind(link_hash)
            .bind(now)
            .run()
            .await?;
        let others: i64 = tx.sql("SELECT COUNT(*) FROM admins").value().await?;
        if used != 1 || others != 0 {
            return Ok(false);
        }
        tx.sql(
            "INSERT INTO admins (id, email, name, password_hash, instance_owner, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&admin.id)
        .bind(&admin.email)
        .bind(&admin.name)
        .bind(password_hash)
        .bind(admin.instance_owner)
        .bind(now)
        .run()
        .await?;
        let actor = Actor::new(crate::domain::audit::ActorType::Admin, &admin.id, &admin.email);
        tx.append(now, &[&Draft::done(&actor, Action::AdminCreate).target("admin", &admin.id)]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Makes a set-up link; those made before stop working.
    pub async fn put_setup_link(
        &self,
        actor: &Actor,
        hash: &[u8],
        expires_at: Millis,
        now: Millis,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.sql("DELETE FROM setup_links").run().await?;
        tx.sql("INSERT INTO setup_links (hash, expires_at) VALUES ($1, $2)")
            .bind(hash)
            .bind(expires_at)
            .run()
            .await?;
        let invitation = Draft::done(actor, Action::AdminInvite).set("expiresAt", times::to_iso(expires_at));
        tx.append(now, &[&invitation]).await?;
        tx.commit().await
    }

    /// Whether a set-up link works now.
    pub async fn setup_link_works(&self, hash: &[u8], now: Millis) -> Result<bool> {
        let found: i64 = self
            .read("SELECT COUNT(*) FROM setup_links WHERE hash = $1 AND used_at IS NULL AND expires_at > $2")
            .bind(hash)
            .bind(now)
            .value()
            .await?;
        Ok(found == 1 && self.count_admins().await? == 0)
    }

    /// An admin and the stored password hash, by e-mail in lower case.
    pub async fn admin_by_email(&self, email: &str) -> Result<Option<(Admin, String)>> {
        let row: Option<AdminRow> = self.read(COLUMNS).push("email = ").arg(email).opt().await?;
        Ok(row.map(Into::into))
    }

    pub async fn admin(&self, id: &str) -> Result<Option<(Admin, String)>> {
        let row: Option<AdminRow> = self.read(COLUMNS).push("id = ").arg(id).opt().await?;
        Ok(row.map(Into::into))
    }

    /// Everybody, the oldest account first.
    pub async fn admins(&self) -> Result<Vec<Admin>> {
        let rows: Vec<AdminRow> = self.read(COLUMNS).push("1 = 1 ORDER BY created_at, id").all().await?;
        Ok(rows.into_iter().map(|row| <(Admin, String)>::from(row).0).collect())
    }

    /// The roles of an admin, by workspace.
    pub async fn roles(&self, admin_id: &str) -> Result<Vec<(String, Role)>> {
        let rows: Vec<(String, String)> = self
            .read("SELECT workspace_id, role FROM roles WHERE admin_id = $1")
            .bind(admin_id)
            .all()
            .await?;
        rows.into_iter()
            .map(|(workspace, role)| {
                Role::parse(&role).map(|role| (workspace, role)).ok_or_else(|| Error::Corrupt("role".into()))
            })
            .collect()
    }

    /// Replaces a password and ends the admin's other sessions.
    pub async fn set_password(
        &self,
        actor: &Actor,
        admin_id: &str,
        hash: &str,
        keep_session: &str,
        now: Millis,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.sql("UPDATE admins SET password_hash = $2 WHERE id = $1").bind(admin_id).bind(hash).run().await?;
        tx.sql("DELETE FROM sessions WHERE admin_id = $1 AND id <> $2")
            .bind(admin_id)
            .bind(keep_session)
            .run()
            .await?;
        tx.append(now, &[&Draft::done(actor, Action::AdminSetPassword).target("admin", admin_id)]).await?;
        tx.commit().await
    }

    /// Keeps how a person wants the pages. It is their own view and nobody else's matter: no entry is made of it.
    pub async fn set_preferences(&self, admin_id: &str, preferences: &Preferences) -> Result<()> {
        self.write("UPDATE admins SET zone = $2, rows_per_page = $3, shortcuts = $4 WHERE id = $1")
            .bind(admin_id)
            .bind(&preferences.zone)
            .bind(preferences.rows_per_page)
            .bind(preferences.shortcuts)
            .run()
            .await
            .map(drop)
    }

    /// Until when log-ins of this subject (account or address) are refused; 0 if they are not.
    pub async fn login_blocked_until(&self, subject: &str) -> Result<Millis> {
        let row: Option<(i64,)> = self
            .read("SELECT blocked_until FROM login_failures WHERE subject = $1")
            .bind(subject)
            .opt()
            .await?;
        Ok(row.map_or(0, |r| r.0))
    }

    /// Counts a failed log-in of this subject and returns the failures within `window`.
    pub async fn note_login_failure(&self, subject: &str, now: Millis, window: Millis) -> Result<i64> {
        self.write(
            "INSERT INTO login_failures (subject, failures, first_at, blocked_until) VALUES ($1, 1, $2, 0)
             ON CONFLICT (subject) DO UPDATE SET
               failures = CASE WHEN login_failures.first_at < $3 THEN 1 ELSE login_failures.failures + 1 END,
               first_at = CASE WHEN login_failures.first_at < $3 THEN excluded.first_at ELSE login_failures.first_at END
             RETURNING failures",
        )
        .bind(subject)
        .bind(now)
        .bind(now - window)
        .value()
        .await
    }

    pub async fn block_login(&self, subject: &str, until: Millis) -> Result<()> {
        self.write("UPDATE login_failures SET blocked_until = $2 WHERE subject = $1")
            .bind(subject)
            .bind(until)
            .run()
            .await
            .map(drop)
    }

    /// Removes counters that have served their time.
    pub async fn sweep_login_failures(&self, first_before: Millis, now: Millis) -> Result<()> {
        self.write("DELETE FROM login_failures WHERE first_at < $1 AND blocked_until < $2")
            .bind(first_before)
            .bind(now)
            .run()
            .await
            .map(drop)
    }

    pub async fn forget_login_failures(&self, subject: &str) -> Result<()> {
        self.write("DELETE FROM login_failures WHERE subject = $1").bind(subject).run().await.map(drop)
    }
}

impl From<AdminRow> for (Admin, String) {
    fn from(row: AdminRow) -> Self {
        let admin = Admin {
            id: row.id,
            email: row.email,
            name: row.name,
            instance_owner: row.instance_owner,
            created_at: row.created_at,
            disabled_at: row.disabled_at,
            preferences: Preferences {
                zone: row.zone,
                rows_per_page: row.rows_per_page,
                shortcuts: row.shortcuts,
            },
        };
        (admin, row.password_hash)
    }
}
