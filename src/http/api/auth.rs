//! Who calls, on the tenant door: the key from one of three headers, and for a workspace key the tenant acted for. Texts
//! and statuses are PostPost's (`contract.md`, authentication errors). Reads memory only.

use super::super::{
    Call, Door, Error,
    credentials::{self, actor, given, presented},
    limits::Who,
};
use crate::{
    app::App,
    domain::{
        audit::{Action, Draft, Outcome},
        ids,
        keys::{Key, KeyKind},
    },
    proxy::Caller,
    upstream::Patience,
};
use std::sync::Arc;

/// Whose call it is, if its key is live, one for this door and used from where it may be: enough to count it before anything is done for it. What
/// the key may do is [`identify`]'s to say.
pub fn who(app: &App, door: Door, call: &Call) -> Option<Who> {
    let key = app.access.key(presented(call)?)?;
    // Whoever has found a key and calls from elsewhere must not use up the owner's calls.
    if door == Door::Api && key.kind == KeyKind::Audit || !key.rules.addresses.allow(call.ip) {
        return None;
    }
    let named = || given(call, "x-postpost-user-id").or_else(|| given(call, "x-publora-user-id"));
    let ours = |user: &&str| app.access.tenant(&key.workspace_id, user).is_some_and(|s| !s.detached);
    let tenant_id = match (&key.tenant_id, key.kind) {
        (Some(own), _) => Some(own.clone()),
        (None, KeyKind::Workspace) => named().filter(ours).map(str::to_owned),
        (None, _) => None,
    };
    Some(Who {
        key_id: key.id.clone(),
        rate: key.rules.rate,
        workspace_id: key.workspace_id.clone(),
        tenant_id,
    })
}

/// The caller behind a call and the key, or the refusal PostPost's clients know. Whether the call is let in is for its row to
/// say; then [`credentials::used`] is to be told.
pub async fn identify(app: &App, call: &Call) -> Result<(Caller, Arc<Key>), Error> {
    let key = credentials::key(app, call).await?;
    if key.kind == KeyKind::Audit {
        return Err(credentials::refused(app, call));
    }
    let account = app.access.account(&key.workspace_id).ok_or_else(|| credentials::refused(app, call))?;
    let mut caller = Caller {
        actor: actor(&key, call),
        account,
        tenant: key.tenant_id.clone(),
        request_id: call.request_id.clone(),
        client: client_label(call),
        item: None,
        fence: None,
        claim: None,
        keep_backup: false,
        patience: Patience::DOOR,
        seat: None,
    };
    let (user, older) = (given(call, "x-postpost-user-id"), given(call, "x-publora-user-id"));
    if user.is_some() && older.is_some() && user != older {
        return Err(Error::bad("invalid_user_id", "Invalid x-postpost-user-id"));
    }
    let user = user.or(older);
    if let Some(user) = user {
        if !ids::is_object_id(user) {
            return Err(Error::bad("invalid_user_id", "Invalid x-postpost-user-id"));
        }
        match (&key.tenant_id, app.access.tenant(&key.workspace_id, user)) {
            // A tenant key naming its own tenant: no-op, as upstream has it.
            (Some(own), _) if own == user => {}
            (Some(_), _) => {
                deny(app, &caller, user).await?;
                return Err(workspace_access());
            }
            (None, Some(standing)) if !standing.detached => caller.tenant = Some(user.to_owned()),
            (None, _) => {
                deny(app, &caller, user).await?;
                return Err(Error::Forbidden {
                    code: "not_managed",
                    text: "User is not managed by key".into(),
                });
            }
        }
    }
    Ok((caller, key))
}

/// A tenant's key at a call that is the workspace's: refused, with an entry.
pub async fn not_for_this_key(app: &App, caller: &Caller) -> Result<Error, Error> {
    app.road.deny(caller, Action::AccessRefuse, "workspace_access", None).await?;
    Ok(workspace_access())
}

fn workspace_access() -> Error {
    let text = "Workspace access is not enabled for this key".into();
    Error::Forbidden { code: "workspace_access", text }
}

/// Naming a user that is not one's own leaves an entry, and nothing is sent upstream.
async fn deny(app: &App, caller: &Caller, user: &str) -> Result<(), Error> {
    let draft = Draft::new(&caller.actor, Action::AccessRefuse, Outcome::Denied)
        .workspace(&caller.account.workspace.id)
        .tenant(caller.tenant.as_deref())
        .target("tenant", user)
        .set("code", "not_managed");
    app.audit.deny(draft).await.map_err(Error::from)
}

/// The client label to pass on: a short plain word, else none. What else a client says of itself is for the log alone.
fn client_label(call: &Call) -> Option<String> {
    let label = call.header("x-postpost-client").or_else(|| call.header("x-publora-client"))?;
    let label = label.split(' ').next().unwrap_or_default();
    let plain = (1..=32).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    plain.then(|| label.to_owned())
}
