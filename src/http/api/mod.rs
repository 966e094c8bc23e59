//! The tenant door: PostPost's own API under a gateway key. Checks who calls, what they may do and what they sent, by the
//! row of the route table; the road does the rest. Answers of upstream's keep their status and body untouched.

mod auth;
pub mod differences;
pub mod fields;
mod idempotency;
mod mcp;
pub mod openapi;
mod operations;
mod passes;
mod posts;
mod shapes;
pub mod table;
mod whoami;
mod workspace;

pub use auth::who;

use super::{Answer, Call, Error, Route, credentials, json_body, route};
use crate::{
    app::App,
    domain::keys::{Key, KeyKind},
    proxy::Caller,
    upstream::Reply,
};
use serde_json::{Map, Value};
use std::sync::Arc;
use table::{Body, Effect, Needs, Row, part_rule, rows};

/// Longest query passed on, in bytes (security.md item 43).
const QUERY_MAX: usize = 2_048;

/// A call that has been let in, and read as its row says.
pub struct Request {
    pub app: Arc<App>,
    pub row: &'static Row,
    pub call: Call,
    pub key: Arc<Key>,
    pub caller: Caller,
    /// The parameters that the row allows, in their order.
    pub query: Vec<(String, String)>,
    pub body: Map<String, Value>,
}

/// The site map of the tenant door.
pub fn routes() -> Vec<Route> {
    let mut routes: Vec<Route> = rows()
        .iter()
        .map(|row| {
            let route =
                route(row.method, row.path, row.needs_words(), move |app, call| handle(app, call, row));
            match row.action() {
                Some(action) => route.writes([action]),
                None => route,
            }
        })
        .collect();
    routes.push(route("POST", "/mcp", "any key", mcp::serve).writes(mcp::actions()));
    routes
}

async fn handle(app: Arc<App>, call: Call, row: &'static Row) -> Result<Answer, Error> {
    let (mut caller, key) = auth::identify(&app, &call).await?;
    let scope = match row.needs {
        Needs::AnyKey => None,
        Needs::Scope(scope) => Some(scope),
        Needs::Workspace(scope) => {
            if key.kind != KeyKind::Workspace {
                return Err(auth::not_for_this_key(&app, &caller).await?);
            }
            caller.tenant = None;
            Some(scope)
        }
    };
    if row.needs != Needs::AnyKey {
        app.road.admit(&caller, scope.map(|scope| (&key.scopes, scope))).await?;
    }
    for name in row.parts() {
        if let Some((fits, text)) = part_rule(name)
            && !fits(call.param(name))
        {
            return Err(Error::bad("invalid_id", text));
        }
    }
    let query = query(&call, row)?;
    let body = match row.body {
        Body::None => Map::new(),
        Body::Object(_) => json_body::object(&call)?,
    };
    credentials::used(&app, &key, &caller.actor, &call).await?;
    let request = Request { app, row, call, key, caller, query, body };
    match row.effect {
        Effect::Changes(_) => idempotency::once(request, &row.handler).await,
        Effect::Reads | Effect::Own(_) => (row.handler)(request).await,
    }
}

/// What is passed on of the query.
fn query(call: &Call, row: &Row) -> Result<Vec<(String, String)>, Error> {
    if call.query.len() > QUERY_MAX {
        return Err(Error::bad("invalid_query", "The query is longer than 2,048 bytes"));
    }
    let mut query = call.query_pairs();
    query.retain(|(name, _)| row.query.iter().any(|field| field.name == name));
    let mut names: Vec<&str> = query.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Error::bad("invalid_query", "A query parameter stands twice"));
    }
    Ok(query)
}

/// Upstream's answer: status and body as they are, and of its headers only `Retry-After`.
fn pass(reply: Reply) -> Answer {
    let mut answer = Answer::new(reply.status, "application/json; charset=utf-8", reply.body);
    if let Some(seconds) = reply.retry_after {
        answer = answer.with("retry-after", seconds.to_string());
    }
    answer
}
