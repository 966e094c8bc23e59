//! The tenant door: PostPost's own API under a gateway key. Checks who calls and what they may do; the road does the rest.
//! Answers of upstream's keep their status and body untouched.

mod auth;
mod idempotency;
mod mcp;
mod posts;
mod whoami;

pub use auth::who;

use super::{Answer, Call, Error, Route, route};
use crate::{
    app::App,
    domain::keys::{Scope, Scopes},
    proxy::Caller,
    upstream::Reply,
};
use std::{future::Future, sync::Arc};

/// A call that has been let in.
pub struct Request {
    pub app: Arc<App>,
    pub call: Call,
    pub caller: Caller,
}

/// The site map of the tenant door.
pub fn routes() -> Vec<Route> {
    use Scope::{ConnectionsRead, PostsCreate, PostsDelete, PostsRead, PostsUpdate};
    vec![
        scoped("GET", "/api/v1/list-posts", PostsRead, posts::list),
        scoped("GET", "/api/v1/get-post/{id}", PostsRead, posts::show),
        changing("POST", "/api/v1/create-post", PostsCreate, posts::create),
        changing("PUT", "/api/v1/update-post/{id}", PostsUpdate, posts::update),
        changing("DELETE", "/api/v1/delete-post/{id}", PostsDelete, posts::delete),
        scoped("GET", "/api/v1/platform-connections", ConnectionsRead, posts::connections),
        route("GET", "/api/v1/operations/{id}", "any key", posts::operation),
        route("GET", "/api/v1/whoami", "any key", whoami::show),
        route("POST", "/mcp", "any key", mcp::serve),
    ]
}

/// A route that needs a key with a scope.
fn scoped<F, Fut>(method: &'static str, path: &'static str, scope: Scope, handler: F) -> Route
where
    F: Fn(Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, Error>> + Send,
{
    route(method, path, scope.as_str(), move |app, call| {
        let handler = handler.clone();
        async move {
            let (caller, key) = auth::identify(&app, &call).await?;
            admit(&app, &caller, &key.scopes, scope).await?;
            handler(Request { app, call, caller }).await
        }
    })
}

/// A route that changes something: it takes an `Idempotency-Key`.
fn changing<F, Fut>(method: &'static str, path: &'static str, scope: Scope, handler: F) -> Route
where
    F: Fn(Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, Error>> + Send + 'static,
{
    scoped(method, path, scope, move |request| idempotency::once(request, handler.clone()))
}

async fn admit(app: &App, caller: &Caller, scopes: &Scopes, scope: Scope) -> Result<(), Error> {
    app.road.admit(caller, Some((scopes, scope))).await.map_err(Error::from)
}

/// Upstream's answer: status and body as they are, and of its headers only `Retry-After`.
fn pass(reply: Reply) -> Answer {
    let mut answer = Answer::new(reply.status, "application/json; charset=utf-8", reply.body);
    if let Some(seconds) = reply.retry_after {
        answer = answer.with("retry-after", seconds.to_string());
    }
    answer
}
