//! A route: method, path, the door it belongs to, and what it does. Tables of routes are data, so that tests can walk them.

use super::{Answer, Call, Error};
use crate::{app::App, domain::audit::Action};
use futures_util::future::{BoxFuture, FutureExt};
use std::{future::Future, sync::Arc};

/// Which door: decides how errors look and how large bodies may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Api,
    Manage,
    Admin,
}

impl Door {
    /// The door of a path, whether a route knows it or not.
    pub fn of(path: &str) -> Self {
        let below =
            |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if below("/api") || below("/mcp") {
            Self::Api
        } else if below("/manage") {
            Self::Manage
        } else {
            Self::Admin
        }
    }

    /// Its label in the counters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Manage => "manage",
            Self::Admin => "pages",
        }
    }

    /// Largest body in bytes. Forms can tick thousands of rows, and a plan can name 50,000 posts.
    pub fn body_max(self) -> usize {
        match self {
            Self::Api => 256 << 10,
            Self::Admin => 8 << 20,
            Self::Manage => 8 << 20,
        }
    }

    /// The error as this door shows it.
    pub fn render(self, app: &App, call: &Call, error: &Error) -> Answer {
        match self {
            Self::Api | Self::Manage => error.to_json(&call.request_id),
            Self::Admin => super::admin::render_error(app, call, error),
        }
    }
}

pub type Handler = Arc<dyn Fn(Arc<App>, Call) -> BoxFuture<'static, Result<Answer, Error>> + Send + Sync>;

/// What a call leaves in the audit log when it is let in and all goes well. A refusal of somebody we know is an entry
/// whatever the route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Nothing: it only reads.
    Reads,
    /// An entry of at least one of these actions.
    Entries(Vec<Action>),
    /// Nothing, though something is stored; why.
    None(&'static str),
}

#[derive(Clone)]
pub struct Route {
    pub method: &'static str,
    /// With `{name}` parts.
    pub path: &'static str,
    /// What a caller needs, in words, for tests and documents: a scope, a right, or `anyone`.
    pub needs: String,
    pub record: Record,
    pub handler: Handler,
}

/// Makes a route of an async function.
pub fn route<F, Fut>(method: &'static str, path: &'static str, needs: impl Into<String>, handler: F) -> Route
where
    F: Fn(Arc<App>, Call) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, Error>> + Send + 'static,
{
    let handler: Handler = Arc::new(move |app, call| handler(app, call).boxed());
    Route { method, path, needs: needs.into(), record: Record::Reads, handler }
}

impl Route {
    /// States the actions of its entries.
    pub fn writes(self, actions: impl IntoIterator<Item = Action>) -> Self {
        Self { record: Record::Entries(actions.into_iter().collect()), ..self }
    }

    /// States why it leaves no entry, although it stores something.
    pub fn writes_none(self, why: &'static str) -> Self {
        Self { record: Record::None(why), ..self }
    }
}
