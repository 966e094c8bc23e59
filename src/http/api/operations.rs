//! What became of an operation: for the key whose call got a 504. Any key may ask, about its own tenant's only.

use super::{
    super::{Answer, Error},
    Request,
};
use crate::domain::{
    audit::{Action, Draft, Outcome},
    ids,
    operations::{Noun, Operation},
    times,
};
use serde_json::json;

pub async fn show(request: Request) -> Result<Answer, Error> {
    let Request { app, call, caller, .. } = request;
    let id = call.param("operationId");
    let workspace_id = &caller.account.workspace.id;
    let found = if ids::is_own_id(id) { app.db.operation(workspace_id, id).await? } else { None };
    // A workspace key that names no tenant may ask about all of its workspace's.
    match found.filter(|o| caller.tenant.is_none() || o.tenant_id == caller.tenant) {
        Some(operation) => Ok(Answer::json(200, &describe(&operation))),
        None => {
            let mut draft = Draft::new(&caller.actor, Action::AccessRefuse, Outcome::Denied)
                .workspace(workspace_id)
                .tenant(caller.tenant.as_deref())
                .set("code", "not_found");
            if ids::is_own_id(id) {
                draft = draft.target("operation", id);
            }
            app.audit.deny(draft).await?;
            Err(Error::NotFound)
        }
    }
}

/// `state` is for programs: everything but `open` and `in_doubt` is final. `outcome` says the same to people.
fn describe(operation: &Operation) -> serde_json::Value {
    let mut described = json!({
        "operationId": operation.id,
        "action": operation.verb.as_str(),
        "state": operation.state.as_str(),
        "outcome": operation.how_it_ended(),
        "startedAt": times::to_iso(operation.started_at),
        "endedAt": operation.ended_at.map(times::to_iso),
        "upstreamStatus": operation.upstream_status,
        "grantedTime": operation.granted_at.map(times::to_iso),
    });
    let target = match operation.verb.noun() {
        Noun::Post => "postGroupId",
        Noun::Tenant => "tenantId",
        Noun::Webhook => "webhookId",
        Noun::Elsewhere => return described,
    };
    // Null while it is not known what was made, and for good if nothing was.
    described[target] = Some(operation.target.as_str()).filter(|id| !id.is_empty()).into();
    described
}
