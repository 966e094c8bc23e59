//! Changing the managed users of a workspace: create, detach, connection link. For the pages; the tenant door's own
//! workspace calls will take the same road.

use super::{
    Caller, Changed, Refusal, Road,
    change::{Change, Settled},
};
use crate::{
    domain::{
        operations::{Asked, Snapshot, Verb},
        tenants::ManagedUser,
    },
    store::operations::Effect,
    upstream::{
        Method,
        types::{link_call, read_link, read_user},
    },
};
use serde_json::json;

/// A made connection link. The URL is a bearer secret.
pub struct Link {
    pub url: secrecy::SecretString,
    pub expires_at: Option<i64>,
}

impl Road {
    /// Creates a managed user upstream and the tenant here.
    pub async fn create_tenant(
        &self,
        caller: &Caller,
        username: &str,
        display_name: &str,
    ) -> Result<(Changed, Option<ManagedUser>), Refusal> {
        let mut body = json!({ "username": username });
        if !display_name.is_empty() {
            body["displayName"] = display_name.into();
        }
        let known = self.db.tenant_by_username(&caller.account.workspace.id, username).await?;
        let change = Change {
            verb: Verb::TenantCreate,
            target: String::new(),
            asked: Asked { username: Some(username.to_owned()), ..Asked::default() },
            snapshot: known.map(|tenant| Snapshot {
                existed: true,
                user_id: Some(tenant.id),
                ..Snapshot::default()
            }),
            call: self.call(caller, Method::Post, &["workspace", "users"]).json(&body),
            shown: vec![("username", username.into()), ("displayName", display_name.into())],
            was: Vec::new(),
            reason: None,
            backup: None,
        };
        let workspace_id = caller.account.workspace.id.clone();
        let mut created = None;
        let changed = self
            .change(caller, change, |reply, _, at| {
                created = read_user(reply);
                let effects = created.clone().map(|user| Effect::TenantPut { workspace_id, user, at });
                Settled {
                    usable: effects.is_some(),
                    effects: effects.into_iter().collect(),
                    granted_at: None,
                }
            })
            .await?;
        self.reload().await;
        Ok((changed, created))
    }

    /// Detaches a managed user. The user and its posts stay upstream.
    pub async fn detach_tenant(&self, caller: &Caller, tenant_id: &str) -> Result<Changed, Refusal> {
        let change = Change {
            verb: Verb::TenantDetach,
            target: tenant_id.to_owned(),
            asked: Asked::default(),
            snapshot: None,
            call: self.call(caller, Method::Delete, &["workspace", "users", tenant_id]),
            shown: Vec::new(),
            was: Vec::new(),
            reason: None,
            backup: None,
        };
        let gone = self.gone_effects(caller, &change);
        let changed = self
            .change(caller, change, |reply, _, _| Settled {
                effects: gone,
                granted_at: None,
                usable: reply
                    .json()
                    .is_some_and(|b| b.get("success") == Some(&serde_json::Value::Bool(true))),
            })
            .await?;
        self.reload().await;
        Ok(changed)
    }

    /// Makes (or with `rotate` replaces) a tenant's connection link.
    pub async fn link_tenant(
        &self,
        caller: &Caller,
        tenant_id: &str,
        days: i64,
        rotate: bool,
    ) -> Result<(Changed, Option<Link>), Refusal> {
        let workspace_id = caller.account.workspace.id.clone();
        let known = self.db.tenant(&workspace_id, tenant_id).await?;
        let change = Change {
            verb: Verb::TenantLink,
            target: tenant_id.to_owned(),
            asked: Asked { link_days: Some(days), ..Asked::default() },
            snapshot: Some(Snapshot {
                existed: true,
                link_expires_at: known.and_then(|t| t.link_expires_at),
                ..Snapshot::default()
            }),
            call: link_call(tenant_id, days, rotate, &caller.request_id),
            shown: vec![("expiresInDays", days.into()), ("rotate", rotate.into())],
            was: Vec::new(),
            reason: None,
            backup: None,
        };
        let mut link = None;
        let changed = self
            .change(caller, change, |reply, _, _| {
                let read = read_link(reply);
                let expires_at = read.as_ref().and_then(|l| l.1);
                let effect = Effect::TenantLink { workspace_id, tenant_id: tenant_id.to_owned(), expires_at };
                let usable = read.is_some();
                link = read.map(|(url, expires_at)| Link { url: url.into(), expires_at });
                Settled { effects: vec![effect], granted_at: None, usable }
            })
            .await?;
        Ok((changed, link))
    }

    /// The change is made and on record: that the picture cannot be rebuilt now must not make it look undone. Polling tries
    /// again.
    async fn reload(&self) {
        if let Err(error) = self.access.reload().await {
            tracing::warn!(%error, "the picture of tenants could not be rebuilt after a change");
        }
    }
}
