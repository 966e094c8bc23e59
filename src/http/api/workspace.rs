//! The workspace's own calls: its users, who are the gateway's tenants, and how they connect. A workspace key's only.

use super::{
    super::{Answer, Error, mint::mint},
    Request, pass, passes,
};
use crate::{
    access::Standing,
    domain::{
        audit::Action,
        keys::{KeyKind, KeyRules, NewKey},
        operations::Verb,
        tenants::{check_display_name, check_username},
    },
    proxy::Refusal,
    upstream::Reply,
};
use serde_json::{Value, json};

pub(super) const UNKNOWN_USER: &str = "User not found or not managed by this key";

pub async fn list(request: Request) -> Result<Answer, Error> {
    passes::read(request).await
}

/// Creates a user at PostPost and the tenant here. A user that is there already because an earlier call was never
/// answered, or that the gateway does not know yet, is the answer to the repeated call.
pub async fn create(request: Request) -> Result<Answer, Error> {
    let text = |name: &str| request.body.get(name).and_then(Value::as_str).unwrap_or_default().trim();
    let name = text("username");
    // That none is given is PostPost's to say.
    if !name.is_empty() {
        check_username(name).map_err(|invalid| Error::bad("invalid_username", invalid.reason))?;
    }
    check_display_name(text("displayName"))
        .map_err(|invalid| Error::bad("invalid_display_name", invalid.reason))?;
    let road = &request.app.road;
    let (changed, _) = road.create_tenant(&request.caller, &request.body).await?;
    if changed.reply.status != 409 {
        return Ok(pass(changed.reply));
    }
    let reply = road.adopt_tenant(&request.caller, name).await?.unwrap_or(changed.reply);
    keep(&request, &reply).await?;
    Ok(pass(reply))
}

/// Keeps the answer for the call's idempotency key: the road has left it open.
async fn keep(request: &Request, reply: &Reply) -> Result<(), Error> {
    let Some(claim) = &request.caller.claim else { return Ok(()) };
    let sealed = request.app.road.seal_reply(claim, Verb::TenantCreate, reply);
    let sealed = sealed.map_err(|error| Error::Internal(error.to_string()))?;
    Ok(request.app.db.answer_claim(claim, reply.status, &sealed).await?)
}

/// Detaches a user, here and there.
pub async fn delete(request: Request) -> Result<Answer, Error> {
    let id = request.call.param("userId");
    managed(&request, id).await?;
    Ok(pass(request.app.road.detach_tenant(&request.caller, id).await?.reply))
}

/// A link under which the user connects accounts. It is a bearer secret: it goes to the caller and nowhere else.
pub async fn link(request: Request) -> Result<Answer, Error> {
    let id = request.call.param("userId");
    managed(&request, id).await?;
    let (changed, _) = request.app.road.link_tenant(&request.caller, id, &request.body).await?;
    Ok(pass(changed.reply))
}

/// Makes a gateway key for a user, shown once; the one made here before ends. PostPost's own keys for users are never made.
/// It can do what a tenant's key can, as far, as fast and as long as the key that asks for it can. From where is not handed
/// on: the tenant's programs run elsewhere.
pub async fn create_key(request: Request) -> Result<Answer, Error> {
    let Request { app, call, caller, key, .. } = &request;
    let id = call.param("userId");
    managed(&request, id).await?;
    let workspace_id = &caller.account.workspace.id;
    let scopes = key.scopes.handed_on();
    if scopes.iter().next().is_none() {
        app.road.deny(caller, Action::KeyCreate, "scope_missing", Some(("tenant", id))).await?;
        let text = "This key has no scope that a tenant's key can have".into();
        return Err(Error::Forbidden { code: "scope_missing", text });
    }
    let by: String = key.name.chars().take(90).collect();
    let new = NewKey {
        kind: KeyKind::Tenant,
        tenant_id: Some(id.to_owned()),
        name: format!("Made by {by}"),
        scopes,
        rules: KeyRules { rate: key.rules.rate, ..KeyRules::default() },
        expires_at: key.expires_at,
    };
    let made = mint(app, &key.name, workspace_id, new)?;
    if !app.db.issue_key(&caller.actor, &made.key, &made.mac, app.keyring.pepper_id()).await? {
        return Err(Error::NotThere(UNKNOWN_USER));
    }
    app.access.reload().await?;
    let message = "API key generated successfully";
    Ok(Answer::json(200, &json!({ "message": message, "apiKey": made.secret, "userId": id })))
}

/// Only an id that PostPost has listed is sent there: it skips its own check for the owner's (contract, trap 5). And nothing
/// is done about a frozen tenant: a new key or link would be for whoever the freeze is to keep out.
async fn managed(request: &Request, id: &str) -> Result<(), Error> {
    let (road, caller) = (&request.app.road, &request.caller);
    let (code, error) = match request.app.access.tenant(&caller.account.workspace.id, id) {
        Some(Standing { detached: false, frozen: None, .. }) => return Ok(()),
        Some(Standing { detached: false, frozen: Some(reason), .. }) => {
            ("frozen", Error::from(Refusal::Frozen(reason)))
        }
        _ => ("not_managed", Error::NotThere(UNKNOWN_USER)),
    };
    road.deny(caller, Action::AccessRefuse, code, Some(("tenant", id))).await?;
    Err(error)
}
