//! The demo world: two workspaces, a dozen tenants and their posts, put into a fresh sandbox.
//!
//! Works from outside, over the control routes, as a drill would. Everything comes from constants and the given
//! time; only ids and keys differ from run to run. What the businesses are is in `agency` and `saas`, what
//! becomes of their posts in `posts`.

mod accounts;
mod agency;
mod business;
mod dice;
mod posts;
mod saas;
mod specials;
mod writing;

use std::fmt;
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};

use business::Business;

/// What was seeded: enough to add the workspaces to a gateway.
#[derive(Debug)]
pub struct World {
    /// In the order they were made: the agency, then the SaaS.
    pub workspaces: Vec<Workspace>,
}

/// A workspace with the key that opens it.
pub struct Workspace {
    /// What it is called.
    pub name: String,
    /// `production` or `staging`.
    pub environment: &'static str,
    /// The account the key belongs to.
    pub owner_id: String,
    /// The workspace key, shown nowhere else.
    pub key: String,
    /// Its managed users.
    pub tenants: Vec<Tenant>,
}

/// A managed user.
#[derive(Debug)]
pub struct Tenant {
    /// The ObjectId.
    pub id: String,
    /// The display name.
    pub name: String,
}

/// Why the world was not made, or not to its end.
#[derive(Debug)]
pub enum SeedError {
    /// The sandbox could not be reached.
    Http(reqwest::Error),
    /// It refused a call: the world is there already, or this file is wrong.
    Refused {
        /// The path of the call.
        route: String,
        /// The answer's status.
        status: u16,
        /// The answer's text.
        body: String,
    },
    /// An answer lacked this field.
    Missing(&'static str),
}

/// Seeds the sandbox at `url` (an origin without a slash); `now_ms` is the time the posts are spread around.
///
/// # Errors
/// If the sandbox cannot be reached or refuses a call. One that holds this world already refuses the first user
/// (409), and keeps the empty workspace made before: seed a fresh one.
pub async fn seed(url: &str, now_ms: i64) -> Result<World, SeedError> {
    let http = Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
    let control = Control { http, url };
    let plan =
        [("Northwind Social", "production", agency::TENANTS), ("Brightdesk", "staging", saas::TENANTS)];
    let mut workspaces = Vec::with_capacity(plan.len());
    for (name, environment, businesses) in plan {
        let made = control.post("/_sandbox/workspaces", &json!({ "name": name }), None).await?;
        let mut workspace = Workspace {
            name: name.to_owned(),
            environment,
            owner_id: text(&made["ownerId"], "ownerId")?,
            key: text(&made["key"], "key")?,
            tenants: Vec::with_capacity(businesses.len()),
        };
        for business in businesses {
            let tenant = control.tenant(&workspace, business, now_ms).await?;
            workspace.tenants.push(tenant);
        }
        workspaces.push(workspace);
    }
    Ok(World { workspaces })
}

/// A client of the sandbox.
struct Control<'a> {
    http: Client,
    url: &'a str,
}

impl Control<'_> {
    async fn tenant(
        &self,
        workspace: &Workspace,
        business: &'static Business,
        now: i64,
    ) -> Result<Tenant, SeedError> {
        let user = json!({
            "ownerId": workspace.owner_id, "username": business.email, "displayName": business.name,
        });
        let made = self.post("/_sandbox/users", &user, None).await?;
        let id = text(&made["user"]["_id"], "user._id")?;
        let written = posts::of(business, &id, now);
        // Posts first: how the connections fared follows from them.
        self.post("/_sandbox/posts", &json!({ "posts": written.posts, "logs": true }), None).await?;
        let connections = accounts::of(business, &id, &written.ledgers, now);
        self.post("/_sandbox/connections", &connections, None).await?;
        if let Some(days) = business.link_days {
            // No control route makes these; the owner's own key does.
            let route = format!("/api/v1/workspace/users/{id}/connection-url");
            self.post(&route, &json!({ "expiresInDays": days }), Some(&workspace.key)).await?;
        }
        Ok(Tenant { id, name: business.name.to_owned() })
    }

    async fn post(&self, route: &str, body: &Value, key: Option<&str>) -> Result<Value, SeedError> {
        let mut request = self.http.request(Method::POST, format!("{}{route}", self.url));
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        let request = request.header("content-type", "application/json").body(body.to_string());
        let response = request.send().await?;
        let status = response.status();
        let answer = response.text().await?;
        if !status.is_success() {
            let status = status.as_u16();
            return Err(SeedError::Refused { route: route.to_owned(), status, body: answer });
        }
        Ok(serde_json::from_str(&answer).unwrap_or_default())
    }
}

fn text(value: &Value, name: &'static str) -> Result<String, SeedError> {
    value.as_str().map(str::to_owned).ok_or(SeedError::Missing(name))
}

impl fmt::Debug for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workspace")
            .field("name", &self.name)
            .field("environment", &self.environment)
            .field("owner_id", &self.owner_id)
            .field("tenants", &self.tenants)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for SeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SeedError::Http(error) => write!(f, "seeding the sandbox: {error}"),
            SeedError::Refused { route, status, body } => {
                write!(f, "seeding the sandbox: {route} was answered {status}: {body}")
            }
            SeedError::Missing(name) => write!(f, "seeding the sandbox: an answer lacks {name}"),
        }
    }
}

impl std::error::Error for SeedError {}

impl From<reqwest::Error> for SeedError {
    fn from(error: reqwest::Error) -> SeedError {
        SeedError::Http(error)
    }
}
