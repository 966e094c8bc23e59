//! Tenants by program: erasing the personal data of one that has been detached, under a key that manages the workspace.

use super::{
    super::{Answer, Call, Error, json_body},
    key::Program,
};
use crate::{
    app::App,
    domain::{
        erasures::{Erasure, Subject, check_reason},
        ids,
        keys::Scope,
        times,
    },
    store::erasures::Asked,
};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wanted {
    /// Stays in the audit log.
    reason: String,
    /// The tenant's id once more: an address alone is too easily wrong.
    confirm: String,
}

/// `POST /manage/v1/tenants/{id}/erase`: begins it; the answer says where to ask how far it is.
pub async fn erase(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    let program = Program::with(&app, &call, Scope::WorkspaceManage).await?;
    let wanted: Wanted = json_body::read(&call)?;
    let (workspace, id) = (program.account.workspace.id.clone(), call.param("id").to_owned());
    if !ids::is_object_id(&id) || app.db.tenant(&workspace, &id).await?.is_none() {
        return Err(program.not_found(&app).await?);
    }
    let reason = check_reason(&wanted.reason)?;
    if wanted.confirm != id {
        return Err(Error::bad("invalid_confirm", "confirm must be the tenant's id"));
    }
    program.enters(&app, &call).await?;
    let subject = Subject::Tenant { workspace, id };
    let now = app.clock.now();
    let erasure = match app.db.begin_erasure(&program.actor, &ids::new_id(), &subject, &reason, now).await? {
        Asked::Begun(id) | Asked::UnderWay(id) => app.db.erasure(&id).await?.ok_or(Error::NotFound)?,
        Asked::Attached => return Err(Error::Conflict("The tenant has to be detached first")),
        Asked::Busy => {
            return Err(Error::Conflict("Calls of the tenant, or a job with its posts, have no end yet"));
        }
        Asked::Unknown | Asked::LastOwner => return Err(program.not_found(&app).await?),
    };
    Ok(Answer::json(202, &describe(&erasure)).with("location", format!("/manage/v1/erasures/{}", erasure.id)))
}

/// `GET /manage/v1/erasures/{id}`: how far an erasure of the workspace is.
pub async fn show_erasure(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    let program = Program::with(&app, &call, Scope::WorkspaceManage).await?;
    let id = call.param("id");
    let found = if ids::is_own_id(id) { app.db.erasure(id).await? } else { None };
    match found.filter(|e| e.subject.workspace() == Some(program.account.workspace.id.as_str())) {
        Some(erasure) => {
            program.enters(&app, &call).await?;
            Ok(Answer::json(200, &describe(&erasure)))
        }
        None => Err(program.not_found(&app).await?),
    }
}

fn describe(erasure: &Erasure) -> serde_json::Value {
    json!({
        "erasureId": erasure.id,
        "tenant": erasure.subject.id(),
        "state": erasure.state.as_str(),
        "ended": erasure.ended_at.is_some(),
        "details": erasure.details,
        "askedAt": times::to_iso(erasure.asked_at),
        "endedAt": erasure.ended_at.map(times::to_iso),
    })
}
