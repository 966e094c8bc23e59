//! A tenant's posts, in PostPost's own words.

use super::{
    super::{Answer, Call, Error, json_body},
    Request, auth, pass,
};
use crate::{
    app::App,
    domain::{
        audit::{Draft, Outcome},
        created_posts::NewPost,
        ids,
        operations::Operation,
        times,
        updates::Update,
    },
    proxy::Read,
};
use serde_json::json;
use std::sync::Arc;

/// The query parameters `list-posts` knows; others are not passed on.
const LIST_QUERY: &[&str] =
    &["page", "limit", "status", "platform", "sortBy", "sortOrder", "fromDate", "toDate"];

/// Longest query passed on, in bytes (security.md item 43).
const QUERY_MAX: usize = 2_048;

pub async fn list(request: Request) -> Result<Answer, Error> {
    if request.call.query.len() > QUERY_MAX {
        return Err(Error::bad("invalid_query", "The query is longer than 2,048 bytes"));
    }
    let mut query = request.call.query_pairs();
    query.retain(|(name, _)| LIST_QUERY.contains(&name.as_str()));
    let mut names: Vec<&str> = query.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Error::bad("invalid_query", "A query parameter stands twice"));
    }
    Ok(pass(request.app.road.read(&request.caller, Read::ListPosts(query)).await?))
}

pub async fn show(request: Request) -> Result<Answer, Error> {
    let id = request.call.param("id").to_owned();
    Ok(pass(request.app.road.read(&request.caller, Read::GetPost(id)).await?))
}

pub async fn connections(request: Request) -> Result<Answer, Error> {
    Ok(pass(request.app.road.read(&request.caller, Read::Connections).await?))
}

pub async fn create(request: Request) -> Result<Answer, Error> {
    let post = NewPost::parse(json_body::object(&request.call)?)
        .map_err(|e| Error::bad("invalid_body", e.text()))?;
    let created = request.app.road.create_post(&request.caller, &post, publish_now(&request), None).await?;
    Ok(pass(created.reply))
}

pub async fn update(request: Request) -> Result<Answer, Error> {
    let id = request.call.param("id");
    if !ids::is_object_id(id) {
        return Err(crate::proxy::Refusal::InvalidId.into());
    }
    let update =
        Update::parse(json_body::object(&request.call)?).map_err(|e| Error::bad("invalid_body", e.text()))?;
    let now = publish_now(&request);
    let changed = request.app.road.update_post(&request.caller, id, &update, now, None).await?;
    Ok(pass(changed.reply))
}

pub async fn delete(request: Request) -> Result<Answer, Error> {
    let changed = request.app.road.delete_post(&request.caller, request.call.param("id"), None).await?;
    Ok(pass(changed.reply))
}

/// Whether the caller says that a post may go out at once.
fn publish_now(request: &Request) -> bool {
    request.call.header("x-gatehouse-publish-now") == Some("1")
}

/// What became of an operation: for the key whose call got a 504. Any key may ask, about its own tenant's only.
pub async fn operation(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    let (caller, _) = auth::identify(&app, &call).await?;
    app.road.admit(&caller, None).await?;
    let id = call.param("id");
    let workspace_id = &caller.account.workspace.id;
    let found = if ids::is_own_id(id) { app.db.operation(workspace_id, id).await? } else { None };
    // A workspace key that names no tenant may ask about all of its workspace's.
    match found.filter(|o| caller.tenant.is_none() || o.tenant_id == caller.tenant) {
        Some(operation) => Ok(Answer::json(200, &describe(&operation))),
        None => {
            let mut draft = Draft::new(&caller.actor, "access.refuse", Outcome::Denied)
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
    let target = if operation.verb.of_post() { "postGroupId" } else { "tenantId" };
    json!({
        "operationId": operation.id,
        "action": operation.verb.as_str(),
        // Null while it is not known what was made, and for good if nothing was.
        target: Some(operation.target.as_str()).filter(|id| !id.is_empty()),
        "state": operation.state.as_str(),
        "outcome": operation.how_it_ended(),
        "startedAt": times::to_iso(operation.started_at),
        "endedAt": operation.ended_at.map(times::to_iso),
        "upstreamStatus": operation.upstream_status,
        "grantedTime": operation.granted_at.map(times::to_iso),
    })
}
