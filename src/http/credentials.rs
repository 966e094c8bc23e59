//! The key a program presents, on the doors for programs.

use super::{Call, Error};
use crate::{
    app::App,
    domain::{
        audit::{Actor, ActorType, Draft, Outcome},
        keys::Key,
    },
};
use std::sync::Arc;

/// The presented key: `x-api-key`, the older `x-publora-key`, or a bearer token.
pub fn presented(call: &Call) -> Option<&str> {
    let bearer = || {
        let (scheme, token) = call.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
    };
    ["x-api-key", "x-publora-key"].iter().find_map(|name| given(call, name)).or_else(bearer)
}

/// A header that says something; an empty one says nothing.
pub fn given<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    call.header(name).filter(|value| !value.is_empty())
}

/// The live key of a call that comes from where the key may be used. What it may do is its door's to say.
pub async fn key(app: &App, call: &Call) -> Result<Arc<Key>, Error> {
    let Some(secret) = presented(call) else {
        return Err(Error::Unauthorized { code: "api_key_required", text: "API key is required" });
    };
    app.access.ensure_fresh().await?;
    let key = app.access.key(secret).ok_or_else(|| refused(app, call))?;
    if !key.rules.addresses.allow(call.ip) {
        let draft = Draft::new(&actor(&key, call), "access.refuse", Outcome::Denied)
            .workspace(&key.workspace_id)
            .tenant(key.tenant_id.as_deref())
            .set("code", "address_denied");
        app.audit.deny(draft).await?;
        let text = "This key cannot be used from this address".into();
        return Err(Error::Forbidden { code: "address_denied", text });
    }
    Ok(key)
}

/// Notes that a door has let the key in.
pub fn used(app: &App, key: &Key, actor: &Actor, call: &Call) {
    app.access.note_use(&key.id, call.ip, actor.context.user_agent.as_deref().unwrap_or_default());
}

/// A key that nobody has, or that opens another door: the same answer, and counted.
pub fn refused(app: &App, call: &Call) -> Error {
    app.login.note_refused_key(call.ip);
    Error::Unauthorized { code: "invalid_api_key", text: "Invalid API key" }
}

/// The key as an actor in audit entries.
pub fn actor(key: &Key, call: &Call) -> Actor {
    let mut actor = Actor::new(ActorType::Key, &key.id, &key.name);
    actor.key_prefix = Some(key.prefix.clone());
    actor.context = call.context();
    actor
}
