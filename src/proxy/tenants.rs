//! Changing the managed users of a workspace: create, detach, connection link. For the pages and the tenant door's own
//! workspace calls alike.

use super::{
    Caller, Changed, Refusal, Road,
    change::{Change, Settled},
};
use crate::{
    clock::{DAY, Millis},
    domain::{
        audit::{Action, Draft},
        operations::{Asked, OpState, Snapshot, Verb},
        tenants::ManagedUser,
    },
    store::operations::Effect,
    upstream::{
        self, Call, Method, Reply,
        types::{read_link, read_user},
    },
};
use serde_json::{Map, Value, json};

/// How long a link lives that is asked for without a number of days.
const LINK_DAYS: i64 = 90;
/// How many of the operations last settled are looked through for one that was never answered.
const DOUBTED: i64 = 200;
/// As long as answers are kept for idempotency keys: whoever asks again later asks for another user.
const DOUBTED_FOR: Millis = DAY;

/// A made connection link. The URL is a bearer secret.
pub struct Link {
    pub url: secrecy::SecretString,
    pub expires_at: Option<i64>,
}

impl Road {
    /// Creates a managed user upstream and the tenant here. What `body` names beside `username` and `displayName` is
    /// passed on.
    pub async fn create_tenant(
        &self,
        caller: &Caller,
        body: &Map<String, Value>,
    ) -> Result<(Changed, Option<ManagedUser>), Refusal> {
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().trim();
        let (username, display_name) = (text("username"), text("displayName"));
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
            call: self.call(caller, Method::Post, &["workspace", "users"]).json(body),
            shown: [("username", username), ("displayName", display_name)]
                .into_iter()
                .filter_map(|(field, name)| Some((field, shown(name)?.into())))
                .collect(),
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
                    made: None,
                }
            })
            .await?;
        self.reload().await;
        Ok((changed, created))
    }

    /// A user of this name whom PostPost lists as the workspace's, after it has refused to make one. The answer is as for
    /// one made now if the tenant is new here, or if this caller's own call to make it was never answered. Else `None`:
    /// the refusal is right.
    pub async fn adopt_tenant(&self, caller: &Caller, username: &str) -> Result<Option<Reply>, Refusal> {
        let workspace_id = &caller.account.workspace.id;
        let name = username.trim().to_lowercase();
        let call = Call::get(&["workspace", "users"], None, &caller.request_id);
        let reply = self.upstream.send(&caller.account.endpoint, &call, caller.patience).await?;
        self.check_reply(caller, &reply).await?;
        if !reply.is_success() {
            // That the user is not listed is not said by this: the call is to be tried again.
            let detail = format!("status {} to a look at the workspace's users", reply.status);
            return Err(Refusal::Upstream(upstream::Error::BadReply(detail)));
        }
        let listed = reply.json().unwrap_or_default();
        let named = |user: &&Value| user["username"].as_str().is_some_and(|n| n.to_lowercase() == name);
        let Some(user) = listed["users"].as_array().and_then(|users| users.iter().find(named)) else {
            return Ok(None);
        };
        let made = Reply { status: 201, body: json!({ "user": user }).to_string().into(), ..reply };
        let Some(managed) = read_user(&made) else { return Ok(None) };
        let standing = self.access.tenant(workspace_id, &managed.id);
        if standing.is_some_and(|standing| !standing.detached) {
            let doubted = self.db.settled_operations(workspace_id, None, DOUBTED).await?;
            let ours = doubted.iter().any(|o| {
                (o.verb, o.state) == (Verb::TenantCreate, OpState::Applied)
                    && o.started_at > self.clock.now() - DOUBTED_FOR
                    && o.actor.id == caller.actor.id
                    && o.asked.username.as_ref().is_some_and(|asked| asked.to_lowercase() == name)
            });
            return Ok(ours.then_some(made));
        }
        let entry = Draft::done(&caller.actor, Action::TenantImport)
            .workspace(workspace_id)
            .tenant(Some(&managed.id))
            .target("tenant", &managed.id)
            .set("displayName", shown(&managed.display_name));
        let at = self.clock.now();
        let put = Effect::TenantPut { workspace_id: workspace_id.clone(), user: managed, at };
        self.audit.record(vec![entry], vec![put]).await.map_err(Refusal::Audit)?;
        self.reload().await;
        Ok(Some(made))
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
                made: None,
                usable: reply.json().is_some_and(|b| b.get("success") == Some(&Value::Bool(true))),
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
        body: &Map<String, Value>,
    ) -> Result<(Changed, Option<Link>), Refusal> {
        let workspace_id = caller.account.workspace.id.clone();
        let known = self.db.tenant(&workspace_id, tenant_id).await?;
        // As upstream reads them.
        let days = body.get("expiresInDays").filter(|days| days.is_number()).cloned();
        let days = days.unwrap_or_else(|| LINK_DAYS.into());
        let rotate = body.get("rotate").and_then(Value::as_bool).unwrap_or_default();
        let change = Change {
            verb: Verb::TenantLink,
            target: tenant_id.to_owned(),
            asked: Asked { link_days: days.as_i64(), ..Asked::default() },
            snapshot: Some(Snapshot {
                existed: true,
                link_expires_at: known.and_then(|t| t.link_expires_at),
                ..Snapshot::default()
            }),
            call: self
                .call(caller, Method::Post, &["workspace", "users", tenant_id, "connection-url"])
                .json(body),
            shown: vec![("expiresInDays", days), ("rotate", rotate.into())],
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
                Settled { effects: vec![effect], granted_at: None, usable, made: None }
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

/// A name as an entry may have it: not if a key may have been put in its place.
fn shown(name: &str) -> Option<&str> {
    (!name.contains("sk_")).then_some(name)
}
