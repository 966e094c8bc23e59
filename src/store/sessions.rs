//! Browser sessions (only a hash of the cookie is stored) and the forms they have sent.

use super::{Db, Result};
use crate::{
    clock::{MINUTE, Millis},
    domain::{
        admins::{SESSIONS_PER_ADMIN, Session},
        audit::{Action, Actor, Draft},
    },
};

#[derive(sqlx::FromRow)]
struct SessionRow {
    id: String,
    admin_id: String,
    created_at: i64,
    seen_at: i64,
    authenticated_at: i64,
    ip: String,
    user_agent: String,
}

const COLUMNS: &str =
    "SELECT id, admin_id, created_at, seen_at, authenticated_at, ip, user_agent FROM sessions WHERE ";

/// A form sent longer ago than this is not being worked on any more, whatever its process says.
const FORM_MAX: Millis = 5 * MINUTE;

/// How a form stands that carries a once-token.
#[derive(Debug, PartialEq, Eq)]
pub enum FormClaim {
    /// Seen for the first time: go on.
    First,
    /// Answered before, by a redirect to this place.
    Answered(String),
    /// Its first submission is being worked on.
    Running,
    /// Its token came with other content before.
    Mismatch,
    /// The process that worked on it is gone, and nobody will hear how far it came.
    Interrupted,
}

impl Db {
    /// Starts a session. The oldest ones of the admin beyond the limit end.
    pub async fn create_session(&self, actor: &Actor, hash: &[u8], session: &Session) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.sql(
            "INSERT INTO sessions (hash, id, admin_id, created_at, seen_at, authenticated_at, ip, user_agent)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(hash)
        .bind(&session.id)
        .bind(&session.admin_id)
        .bind(session.created_at)
        .bind(session.seen_at)
        .bind(session.authenticated_at)
        .bind(&session.ip)
        .bind(&session.user_agent)
        .run()
        .await?;
        tx.sql(
            "DELETE FROM sessions WHERE admin_id = $1 AND id NOT IN
               (SELECT id FROM sessions WHERE admin_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2)",
        )
        .bind(&session.admin_id)
        .bind(SESSIONS_PER_ADMIN)
        .run()
        .await?;
        tx.append(
            session.created_at,
            &[&Draft::done(actor, Action::AdminLogin).target("admin", &session.admin_id)],
        )
        .await?;
        tx.commit().await
    }

    pub async fn session_by_hash(&self, hash: &[u8]) -> Result<Option<Session>> {
        let row: Option<SessionRow> = self.read(COLUMNS).push("hash = ").arg(hash).opt().await?;
        Ok(row.map(Into::into))
    }

    /// An admin's sessions, the newest first.
    pub async fn sessions(&self, admin_id: &str) -> Result<Vec<Session>> {
        let rows: Vec<SessionRow> = self
            .read(COLUMNS)
            .push("admin_id = ")
            .arg(admin_id)
            .push(" ORDER BY created_at DESC, id DESC")
            .all()
            .await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    pub async fn touch_session(&self, id: &str, now: Millis) -> Result<()> {
        self.write("UPDATE sessions SET seen_at = $2 WHERE id = $1 AND seen_at < $2")
            .bind(id)
            .bind(now)
            .run()
            .await?;
        Ok(())
    }

    /// Notes that the person of a session has just given the password again.
    pub async fn prove_session(&self, actor: &Actor, id: &str, now: Millis) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.sql("UPDATE sessions SET authenticated_at = $2 WHERE id = $1").bind(id).bind(now).run().await?;
        tx.append(now, &[&Draft::done(actor, Action::AdminProve).target("session", id)]).await?;
        tx.commit().await
    }

    /// Ends one of an admin's sessions. `false` if there is no such session.
    pub async fn end_session(
        &self,
        actor: &Actor,
        admin_id: &str,
        id: &str,
        action: Action,
        now: Millis,
    ) -> Result<bool> {
        let mut tx = self.begin().await?;
        let ended = tx
            .sql("DELETE FROM sessions WHERE admin_id = $1 AND id = $2")
            .bind(admin_id)
            .bind(id)
            .run()
            .await?;
        if ended == 0 {
            return Ok(false);
        }
        tx.append(now, &[&Draft::done(actor, action).target("session", id)]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Claims a form's once-token for this session and process. `content` stands for what the form says.
    pub async fn claim_form(
        &self,
        token: &str,
        content: &str,
        session_id: &str,
        node: &str,
        now: Millis,
    ) -> Result<FormClaim> {
        let claimed = self
            .write(
                "INSERT INTO form_tokens (token, session_id, created_at, node, content) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (token) DO NOTHING",
            )
            .bind(token)
            .bind(session_id)
            .bind(now)
            .bind(node)
            .bind(content)
            .run()
            .await?;
        if claimed == 1 {
            return Ok(FormClaim::First);
        }
        let row: Option<(String, Option<String>, Option<String>, i64)> = self
            .write("SELECT content, location, node, created_at FROM form_tokens WHERE token = $1 AND session_id = $2")
            .bind(token)
            .bind(session_id)
            .opt()
            .await?;
        match row {
            Some((first, ..)) if first != content => Ok(FormClaim::Mismatch),
            Some((_, Some(location), ..)) => Ok(FormClaim::Answered(location)),
            Some((_, None, Some(node), since))
                if since > now - FORM_MAX && self.node_is_alive(&node, now).await? =>
            {
                Ok(FormClaim::Running)
            }
            Some((_, None, ..)) => Ok(FormClaim::Interrupted),
            // The first submission has just been given up: the second may be tried again.
            None => Ok(FormClaim::Running),
        }
    }

    /// Notes where a form's answer led; without a place, the form may be sent again.
    pub async fn settle_form(&self, token: &str, location: Option<&str>) -> Result<()> {
        let sql = match location {
            Some(location) => {
                self.write("UPDATE form_tokens SET location = $2 WHERE token = $1").bind(token).bind(location)
            }
            None => self.write("DELETE FROM form_tokens WHERE token = $1").bind(token),
        };
        sql.run().await.map(drop)
    }

    /// Removes sessions nobody can use any more, and old form tokens.
    pub async fn sweep_sessions(
        &self,
        seen_before: Millis,
        created_before: Millis,
        forms_before: Millis,
    ) -> Result<()> {
        self.write("DELETE FROM sessions WHERE seen_at < $1 OR created_at < $2")
            .bind(seen_before)
            .bind(created_before)
            .run()
            .await?;
        self.write("DELETE FROM form_tokens WHERE created_at < $1").bind(forms_before).run().await.map(drop)
    }
}

impl From<SessionRow> for Session {
    fn from(row: SessionRow) -> Self {
        Self {
            id: row.id,
            admin_id: row.admin_id,
            created_at: row.created_at,
            seen_at: row.seen_at,
            authenticated_at: row.authenticated_at,
            ip: row.ip,
            user_agent: row.user_agent,
        }
    }
}
