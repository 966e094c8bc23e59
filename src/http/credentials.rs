//! The key a program presents, on the doors for programs.

use super::{Call, Error};
use crate::{
    app::App,
    domain::{
        audit::{Action, Actor, ActorType, Draft, Outcome},
        keys::Key,
        secrets,
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
    // What is no key at all is known without asking anybody.
    if secrets::checked_kind(secret).is_none() {
        return Err(refused(app, call));
    }
    app.access.ensure_fresh().await?;
    let key = app.access.key(secret).ok_or_else(|| refused(app, call))?;
    if !key.rules.addresses.allow(call.ip) {
        let draft = Draft::new(&actor(&key, call), Action::AccessRefuse, Outcome::Denied)
            .workspace(&key.workspace_id)
            .tenant(key.tenant_id.as_deref())
            .set("code", "address_denied");
        app.audit.deny(draft).await?;
        let text = "This key cannot be used from this address".into();
        return Err(Error::Forbidden { code: "address_denied", text });
    }
    Ok(key)
}

/// Whether the call brings what could be a key and is none we know. Another node may have made it.
pub fn is_unknown(app: &App, call: &Call) -> bool {
    presented(call).is_some_and(|key| secrets::checked_kind(key).is_some() && app.access.key(key).is_none())
}

/// Notes that a door has let a call in, when nothing that the key may not do is left to be refused. The first time, a key
/// that was made to replace another comes into force by it.
pub async fn used(app: &App, key: &Key, actor: &Actor, call: &Call) -> Result<(), Error> {
    if key.is_pending() {
        app.access.activate(key, actor).await?;
        let known = presented(call).and_then(|secret| app.access.key(secret));
        if known.is_none_or(|key| key.is_pending()) {
            return Err(refused(app, call));
        }
    }
    app.access.note_use(&key.id, call.ip, actor.context.user_agent.as_deref().unwrap_or_default());
    Ok(())
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
