//! `GET /api/v1/whoami`: what a key is and may do. The gateway's own; PostPost has no such route.

use super::{
    super::{Answer, Error, limits::WINDOW},
    Request,
};
use crate::domain::times;
use serde_json::{Value, json};

/// Answers any key that this door knows, also of a frozen tenant. `tenant` is who the call acts for: a tenant key's own, or
/// the one a workspace key names; `null` is the account's owner. `replaced`: another key was made to take this one's place.
pub async fn show(request: Request) -> Result<Answer, Error> {
    let Request { app, caller, key, .. } = request;
    let workspace = &caller.account.workspace;
    let tenant = match &caller.tenant {
        None => Value::Null,
        Some(id) => {
            let names = app.db.tenant_names(&workspace.id, &[id.as_str()]).await?;
            json!({ "id": id, "displayName": names.get(id) })
        }
    };
    let limit = |rate: u32| match rate {
        0 => Value::Null,
        rate => json!({ "callsPerSecond": rate, "burst": rate * WINDOW }),
    };
    let body = json!({
        "key": { "id": key.id, "name": key.name, "kind": key.kind.as_str() },
        "workspace": { "id": workspace.id, "name": workspace.name },
        "tenant": tenant,
        "scopes": key.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>(),
        "expiresAt": key.ends_at().map(times::to_iso),
        "replaced": key.rotation.replaced_by.is_some(),
        "addresses": key.rules.addresses.words().collect::<Vec<_>>(),
        "limits": {
            "key": limit(app.limits.rate_of(key.rules.rate)),
            "tenant": caller.tenant.as_ref().map_or(Value::Null, |_| limit(app.config.tenant_rate)),
        },
    });
    Ok(Answer::json(200, &body))
}
