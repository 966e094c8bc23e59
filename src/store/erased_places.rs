//! Where personal data of a tenant or person stands besides the audit log, table by table, and what keeps it from being
//! erased now. A new column with personal data belongs in here; `tests/it/erasure.rs` looks for what is left.

use super::{Result, Tx, erasures::Asked, like_anywhere};
use crate::{
    clock::Millis,
    domain::erasures::{ERASED_PERSON, ERASED_TENANT},
};

/// An actor without name and circumstances, on either engine. The id and a key's prefix stay, as in the log.
const SQLITE_ACTOR: &str = " SET actor = json_set(actor, '$.name', '', '$.context', json('{}')) WHERE ";
const POSTGRES_ACTOR: &str = " SET actor = actor || '{\"name\": \"\", \"context\": {}}'::jsonb WHERE ";

impl Tx {
    pub(super) async fn tenant_is_held(&mut self, workspace_id: &str, id: &str) -> Result<Option<Asked>> {
        // Whoever changes the tenant waits.
        let row: Option<(Option<i64>,)> = self
            .sql("UPDATE tenants SET id = id WHERE workspace_id = $1 AND id = $2 RETURNING detached_at")
            .bind(workspace_id)
            .bind(id)
            .opt()
            .await?;
        match row {
            None => return Ok(Some(Asked::Unknown)),
            Some((None,)) => return Ok(Some(Asked::Attached)),
            Some((Some(_),)) => {}
        }
        let busy: i64 = self
            .sql(
                "SELECT (SELECT COUNT(*) FROM operations WHERE workspace_id = $1 AND (tenant_id = $2 OR target = $2)
                           AND state IN ('open', 'in_doubt'))
                      + (SELECT COUNT(*) FROM job_items i JOIN jobs j ON j.id = i.job_id WHERE i.workspace_id = $1
                           AND i.tenant_id = $2 AND j.state IN ('queued', 'running', 'paused'))",
            )
            .bind(workspace_id)
            .bind(id)
            .value()
            .await?;
        Ok((busy > 0).then_some(Asked::Busy))
    }

    pub(super) async fn person_is_held(&mut self, id: &str) -> Result<Option<Asked>> {
        let row: Option<(bool,)> = self
            .sql("UPDATE admins SET id = id WHERE id = $1 RETURNING instance_owner")
            .bind(id)
            .opt()
            .await?;
        let Some((owner,)) = row else { return Ok(Some(Asked::Unknown)) };
        let others: i64 = self
            .sql("SELECT COUNT(*) FROM admins WHERE id <> $1 AND instance_owner AND disabled_at IS NULL")
            .bind(id)
            .value()
            .await?;
        if owner && others == 0 {
            return Ok(Some(Asked::LastOwner));
        }
        // Their name would be written again when these end.
        let jobs: i64 = self
            .sql(
                "SELECT COUNT(*) FROM jobs j JOIN plans p ON p.id = j.plan_id
                 WHERE p.created_by = $1 AND j.state IN ('queued', 'running', 'paused')",
            )
            .bind(id)
            .value()
            .await?;
        let open: i64 = self
            .sql("SELECT COUNT(*) FROM operations WHERE state IN ('open', 'in_doubt') AND CAST(actor AS TEXT) LIKE ")
            .arg(like_anywhere(id))
            .push(r" ESCAPE '\'")
            .value()
            .await?;
        Ok((jobs + open > 0).then_some(Asked::Busy))
    }

    /// Ends everything under which a person could still act.
    pub(super) async fn lock_out(&mut self, id: &str, now: Millis) -> Result<()> {
        self.sql("UPDATE admins SET disabled_at = COALESCE(disabled_at, $2) WHERE id = $1")
            .bind(id)
            .bind(now)
            .run()
            .await?;
        self.sql("DELETE FROM form_tokens WHERE session_id IN (SELECT id FROM sessions WHERE admin_id = $1)")
            .bind(id)
            .run()
            .await?;
        self.sql("DELETE FROM sessions WHERE admin_id = $1").bind(id).run().await.map(drop)
    }

    pub(super) async fn erase_tenant(&mut self, workspace_id: &str, id: &str, embedded: bool) -> Result<()> {
        for statement in [
            "DELETE FROM posts WHERE workspace_id = $1 AND tenant_id = $2",
            "DELETE FROM pauses WHERE workspace_id = $1 AND tenant_id = $2",
            "DELETE FROM idempotency_keys WHERE workspace_id = $1 AND tenant_id = $2",
            "DELETE FROM post_backups WHERE EXISTS (SELECT 1 FROM job_items i WHERE i.job_id = post_backups.job_id
               AND i.n = post_backups.n AND i.workspace_id = $1 AND i.tenant_id = $2)",
            "UPDATE job_items SET message = NULL WHERE workspace_id = $1 AND tenant_id = $2",
            "UPDATE jobs SET reason = '' WHERE workspace_id = $1
               AND id IN (SELECT job_id FROM job_items WHERE workspace_id = $1 AND tenant_id = $2)",
            "UPDATE plans SET filter = '' WHERE workspace_id = $1
               AND id IN (SELECT plan_id FROM plan_items WHERE tenant_id = $2)",
            "UPDATE plan_items SET content = '' WHERE tenant_id = $2
               AND plan_id IN (SELECT id FROM plans WHERE workspace_id = $1)",
            "UPDATE operations SET asked = '{}', snapshot = NULL
               WHERE workspace_id = $1 AND (tenant_id = $2 OR target = $2)",
            "DELETE FROM key_users WHERE key_id IN (SELECT id FROM keys WHERE workspace_id = $1 AND tenant_id = $2)",
        ] {
            self.sql(statement).bind(workspace_id).bind(id).run().await?;
        }
        // A preview that nobody has confirmed is made anew in a moment.
        let previews: Vec<(String,)> = self
            .sql(
                "SELECT DISTINCT p.id FROM plans p JOIN plan_items i ON i.plan_id = p.id
                 WHERE p.workspace_id = $1 AND p.job_id IS NULL AND i.tenant_id = $2",
            )
            .bind(workspace_id)
            .bind(id)
            .all()
            .await?;
        for (plan,) in previews {
            self.sql("DELETE FROM plan_items WHERE plan_id = $1").bind(&plan).run().await?;
            self.sql("DELETE FROM plans WHERE id = $1 AND job_id IS NULL").bind(&plan).run().await?;
        }
        // A create that was refused or never settled names nobody but by what was asked.
        let names: Option<(String, String)> = self
            .sql("SELECT username, display_name FROM tenants WHERE workspace_id = $1 AND id = $2 AND username <> ''")
            .bind(workspace_id)
            .bind(id)
            .opt()
            .await?;
        if let Some((username, display_name)) = names {
            self.sql("DELETE FROM reveals WHERE workspace_id = $1 AND label = $2")
                .bind(workspace_id)
                .bind(&display_name)
                .run()
                .await?;
            for name in [&username, &display_name] {
                self.forget_places(&in_address(name)).await?;
            }
            let quoted = serde_json::Value::from(username).to_string();
            self.sql("UPDATE operations SET asked = '{}', snapshot = NULL WHERE action = 'tenant.create' AND workspace_id = ")
                .arg(workspace_id)
                .push(" AND state NOT IN ('open', 'in_doubt') AND LOWER(CAST(asked AS TEXT)) LIKE LOWER(")
                .arg(like_anywhere(&quoted))
                .push(r") ESCAPE '\'")
                .run()
                .await?;
        }
        self.sql("UPDATE operations")
            .push(if embedded { SQLITE_ACTOR } else { POSTGRES_ACTOR })
            .push("workspace_id = ")
            .arg(workspace_id)
            .push(" AND (tenant_id = ")
            .arg(id)
            .push(" OR target = ")
            .arg(id)
            .push(")")
            .run()
            .await?;
        self.forget_places(id).await?;
        for text in [
            "DELETE FROM saved_views WHERE workspace_id = $1 AND filter LIKE $2",
            "DELETE FROM selections WHERE workspace_id = $1 AND (filter LIKE $2 OR CAST(left_out AS TEXT) LIKE $2)",
            // What waits to be shown names the tenant, and its page.
            "DELETE FROM reveals WHERE workspace_id = $1 AND (back LIKE $2 OR EXISTS (SELECT 1 FROM keys k
               WHERE k.workspace_id = $1 AND k.tenant_id = $3
                 AND (reveals.back LIKE '%' || k.id || '%' OR reveals.label = k.name)))",
        ] {
            let sql = self.sql(text).bind(workspace_id).bind(like_anywhere(id));
            let sql = if text.contains("$3") { sql.bind(id) } else { sql };
            sql.run().await?;
        }
        self.sql(
            "UPDATE keys SET name = 'Erased', addresses = '', last_used_from = NULL, last_used_agent = NULL
             WHERE workspace_id = $1 AND tenant_id = $2",
        )
        .bind(workspace_id)
        .bind(id)
        .run()
        .await?;
        self.sql(
            "UPDATE tenants SET username = '', display_name = $3, frozen_at = NULL, frozen_reason = NULL,
               sync_error = NULL, sync_error_at = NULL, link_expires_at = NULL WHERE workspace_id = $1 AND id = $2",
        )
        .bind(workspace_id)
        .bind(id)
        .bind(ERASED_TENANT)
        .run()
        .await
        .map(drop)
    }

    /// Forgets where forms have led whose address says this: a form that is sent again is then one that was cut short.
    async fn forget_places(&mut self, text: &str) -> Result<()> {
        self.sql("DELETE FROM form_tokens WHERE location LIKE ")
            .arg(like_anywhere(text))
            .push(r" ESCAPE '\'")
            .run()
            .await
            .map(drop)
    }

    pub(super) async fn erase_person(&mut self, id: &str, embedded: bool) -> Result<()> {
        let names: Option<(String, String)> =
            self.sql("SELECT email, name FROM admins WHERE id = $1").bind(id).opt().await?;
        let Some((email, name)) = names else { return Ok(()) };
        for name in [&email, &name] {
            self.forget_places(&in_address(name)).await?;
        }
        self.lock_out(id, 0).await?;
        for statement in [
            "DELETE FROM roles WHERE admin_id = $1",
            "DELETE FROM saved_views WHERE admin_id = $1",
            "DELETE FROM selections WHERE admin_id = $1",
            "DELETE FROM notices WHERE admin_id = $1",
            "DELETE FROM reveals WHERE admin_id = $1",
        ] {
            self.sql(statement).bind(id).run().await?;
        }
        // Counted under a digest of the address, which anybody who guesses it could find.
        let account = format!("account:{}", hex::encode(crate::envelope::token_hash(&email)));
        self.sql("DELETE FROM login_failures WHERE subject LIKE ").arg(format!("{account}%")).run().await?;
        for table in ["UPDATE operations", "UPDATE jobs"] {
            self.sql(table)
                .push(if embedded { SQLITE_ACTOR } else { POSTGRES_ACTOR })
                .push("CAST(actor AS TEXT) LIKE ")
                .arg(like_anywhere(id))
                .push(r" ESCAPE '\'")
                .run()
                .await?;
        }
        for statement in [
            "UPDATE keys SET created_by = $2 WHERE created_by = $1",
            "UPDATE workspaces SET key_added_by = $2 WHERE key_added_by = $1",
        ] {
            self.sql(statement).bind(&name).bind(ERASED_PERSON).run().await?;
        }
        self.sql(
            "UPDATE admins SET email = $2, name = $3, password_hash = '', instance_owner = FALSE, zone = 'UTC',
               rows_per_page = 50, shortcuts = TRUE WHERE id = $1",
        )
        .bind(id)
        .bind(format!("erased-{id}"))
        .bind(ERASED_PERSON)
        .run()
        .await
        .map(drop)
    }
}

/// A name as it stands in the query of an address.
pub(super) fn in_address(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect()
}
