//! The site map: every path of the sandbox, and the order in which a call passes count, faults, key, handler.
//!
//! Handlers are in the file of their noun. A failure gets the endpoint's documented text here, so that none
//! can leak what went wrong inside.

use std::sync::Arc;
use std::time::Duration;

use super::auth::{self, Caller};
use super::faults::Effects;
use super::journal::{self, Origin};
use super::wire::{Answer, Call, Failure, Reply, refused};
use super::{
    App, bookmarks, connections, control, deletion, deliveries, linkedin, listing, logs, media, plans, posts,
    scheduler, seeding, users, webhooks,
};

/// One authenticated call, as a handler sees it.
pub(super) struct Request {
    pub(super) app: Arc<App>,
    pub(super) call: Call,
    pub(super) who: Caller,
    pub(super) effects: Effects,
}

impl Request {
    pub(super) fn origin(&self) -> Origin<'_> {
        Origin::Api(self.call.request_id())
    }
}

/// The endpoints of `/api/v1`; the text is what the path carries.
enum Endpoint {
    CreatePost,
    GetPost(String),
    ListPosts,
    UpdatePost(String),
    DeletePost(String),
    PlatformConnections,
    TestConnection(String),
    GetUploadUrl,
    PostLogs(String),
    ListUsers,
    CreateUser,
    DetachUser(String),
    UserKey(String),
    ConnectionUrl(String),
    ListWebhooks,
    CreateWebhook,
    UpdateWebhook(String),
    DeleteWebhook(String),
    WebhookSecret(String),
    LinkedinPostStatistics,
    LinkedinAccountStatistics,
    LinkedinProfileSummary,
    LinkedinFollowers,
    LinkedinReact,
    LinkedinTakeReactionBack,
    LinkedinComment,
    LinkedinDeleteComment,
    ListBookmarks(String),
    AddBookmark(String),
    RemoveBookmark(String, String),
}

impl Endpoint {
    fn find(method: &str, path: &[&str]) -> Option<Endpoint> {
        Some(match (method, path) {
            ("POST", ["create-post"]) => Endpoint::CreatePost,
            ("GET", ["get-post", id]) => Endpoint::GetPost((*id).to_owned()),
            ("GET", ["list-posts"]) => Endpoint::ListPosts,
            ("PUT", ["update-post", id]) => Endpoint::UpdatePost((*id).to_owned()),
            ("DELETE", ["delete-post", id]) => Endpoint::DeletePost((*id).to_owned()),
            ("GET", ["platform-connections"]) => Endpoint::PlatformConnections,
            ("POST", ["test-connection", id]) => Endpoint::TestConnection((*id).to_owned()),
            ("POST", ["get-upload-url"]) => Endpoint::GetUploadUrl,
            ("GET", ["post-logs", id]) => Endpoint::PostLogs((*id).to_owned()),
            ("GET", ["workspace", "users"]) => Endpoint::ListUsers,
            ("POST", ["workspace", "users"]) => Endpoint::CreateUser,
            ("DELETE", ["workspace", "users", id]) => Endpoint::DetachUser((*id).to_owned()),
            ("POST", ["workspace", "users", id, "api-key"]) => Endpoint::UserKey((*id).to_owned()),
            ("POST", ["workspace", "users", id, "connection-url"]) => {
                Endpoint::ConnectionUrl((*id).to_owned())
            }
            ("GET", ["webhooks"]) => Endpoint::ListWebhooks,
            ("POST", ["webhooks"]) => Endpoint::CreateWebhook,
            ("PATCH", ["webhooks", id]) => Endpoint::UpdateWebhook((*id).to_owned()),
            ("DELETE", ["webhooks", id]) => Endpoint::DeleteWebhook((*id).to_owned()),
            ("POST", ["webhooks", id, "regenerate-secret"]) => Endpoint::WebhookSecret((*id).to_owned()),
            ("POST", ["linkedin-post-statistics"]) => Endpoint::LinkedinPostStatistics,
            ("POST", ["linkedin-account-statistics"]) => Endpoint::LinkedinAccountStatistics,
            ("POST", ["linkedin-profile-summary"]) => Endpoint::LinkedinProfileSummary,
            ("POST", ["linkedin-followers"]) => Endpoint::LinkedinFollowers,
            ("POST", ["linkedin-reactions"]) => Endpoint::LinkedinReact,
            ("DELETE", ["linkedin-reactions"]) => Endpoint::LinkedinTakeReactionBack,
            ("POST", ["linkedin-comments"]) => Endpoint::LinkedinComment,
            ("DELETE", ["linkedin-comments"]) => Endpoint::LinkedinDeleteComment,
            ("GET", ["x-bookmarks", account]) => Endpoint::ListBookmarks((*account).to_owned()),
            ("POST", ["x-bookmarks", account]) => Endpoint::AddBookmark((*account).to_owned()),
            ("DELETE", ["x-bookmarks", account, post]) => {
                Endpoint::RemoveBookmark((*account).to_owned(), (*post).to_owned())
            }
            _ => return None,
        })
    }

    fn workspace_only(&self) -> bool {
        use Endpoint::*;
        matches!(self, ListUsers | CreateUser | DetachUser(_) | UserKey(_) | ConnectionUrl(_))
    }

    /// The documented text of the endpoint's own 500.
    fn broken(&self) -> &'static str {
        match self {
            Endpoint::CreatePost => "Failed to create post group",
            Endpoint::GetPost(_) => "Failed to fetch post group",
            Endpoint::ListPosts => "Failed to list posts",
            Endpoint::UpdatePost(_) => "Failed to update post",
            Endpoint::DeletePost(_) => "Failed to delete post group",
            Endpoint::PlatformConnections => "Failed to fetch platform connections",
            Endpoint::TestConnection(_) => "Failed to test connection",
            Endpoint::GetUploadUrl => "Failed to get upload URL",
            Endpoint::PostLogs(_) => "Failed to get post logs",
            _ => INTERNAL,
        }
    }

    async fn run(&self, request: &Request) -> Result<Answer, Failure> {
        match self {
            Endpoint::CreatePost => posts::create(request).await,
            Endpoint::GetPost(id) => posts::show(request, id).await,
            Endpoint::ListPosts => listing::list(request).await,
            Endpoint::UpdatePost(id) => posts::update(request, id).await,
            Endpoint::DeletePost(id) => deletion::delete(request, id).await,
            Endpoint::PlatformConnections => connections::list(request).await,
            Endpoint::TestConnection(id) => connections::test(request, id).await,
            Endpoint::GetUploadUrl => media::upload_url(request).await,
            Endpoint::PostLogs(id) => logs::list(request, id).await,
            Endpoint::ListUsers => users::list(request).await,
            Endpoint::CreateUser => users::create(request).await,
            Endpoint::DetachUser(id) => users::detach(request, id).await,
            Endpoint::UserKey(id) => users::new_key(request, id).await,
            Endpoint::ConnectionUrl(id) => users::connection_url(request, id).await,
            Endpoint::ListWebhooks => webhooks::list(request).await,
            Endpoint::CreateWebhook => webhooks::create(request).await,
            Endpoint::UpdateWebhook(id) => webhooks::update(request, id).await,
            Endpoint::DeleteWebhook(id) => webhooks::delete(request, id).await,
            Endpoint::WebhookSecret(id) => webhooks::new_secret_for(request, id).await,
            Endpoint::LinkedinPostStatistics => linkedin::post_statistics(request).await,
            Endpoint::LinkedinAccountStatistics => linkedin::account_statistics(request).await,
            Endpoint::LinkedinProfileSummary => linkedin::profile_summary(request).await,
            Endpoint::LinkedinFollowers => linkedin::followers(request).await,
            Endpoint::LinkedinReact => linkedin::react(request).await,
            Endpoint::LinkedinTakeReactionBack => linkedin::take_reaction_back(request).await,
            Endpoint::LinkedinComment => linkedin::comment(request).await,
            Endpoint::LinkedinDeleteComment => linkedin::delete_comment(request).await,
            Endpoint::ListBookmarks(account) => bookmarks::list(request, account).await,
            Endpoint::AddBookmark(account) => bookmarks::add(request, account).await,
            Endpoint::RemoveBookmark(account, post) => bookmarks::remove(request, account, post).await,
        }
    }
}

const INTERNAL: &str = "Internal server error";

/// Answers one call.
pub(super) async fn handle(app: Arc<App>, call: Call) -> Reply {
    if let Some(["_sandbox", path @ ..]) = call.segments().get(..) {
        return Reply::Answer(settle(control_route(&app, &call, path).await, None));
    }
    let number = app.calls.began(&call);
    let verdict = app.faults.judge(&call);
    pause(verdict.delay).await;
    let calls = Arc::clone(&app);
    let reply = match verdict.instead {
        Some(reply) => reply,
        None => {
            let answer = public_route(app, call, verdict.effects).await;
            pause(verdict.delay_after).await;
            verdict.afterwards.unwrap_or(Reply::Answer(answer))
        }
    };
    calls.calls.ended(number, &reply);
    reply
}

async fn public_route(app: Arc<App>, call: Call, effects: Effects) -> Answer {
    let segments = call.segments();
    let endpoint = match segments.as_slice() {
        ["api", "v1", path @ ..] => Endpoint::find(&call.method, path),
        ["_storage", path @ ..] => {
            let outcome = match (call.method.as_str(), path) {
                ("PUT", ["upload", id]) => media::upload(&app, &call, id, effects).await,
                ("GET", ["files", id, _name]) => media::download(&app, id, effects).await,
                _ => Err(refused(404, "Not found")),
            };
            return settle(outcome, None);
        }
        ["connect", token] if call.method == "GET" => {
            return settle(users::connections_page(&app, token).await, None);
        }
        _ => None,
    };
    let Some(endpoint) = endpoint else { return Answer::error(404, "Not found") };
    match auth::authenticate(&app, &call, endpoint.workspace_only()).await {
        Err(failure) => settle(Err(failure), None),
        Ok(who) => {
            let request = Request { app, call, who, effects };
            settle(endpoint.run(&request).await, Some(endpoint.broken()))
        }
    }
}

async fn control_route(app: &App, call: &Call, path: &[&str]) -> Result<Answer, Failure> {
    // The switches are open to every program on this machine, but not to the pages its browser shows.
    if call.header("origin").is_some() {
        return Err(refused(403, "control calls are not for browsers"));
    }
    match (call.method.as_str(), path) {
        ("POST", ["workspaces"]) => control::create_workspace(app, call).await,
        ("POST", ["keys"]) => control::create_key(app, call).await,
        ("DELETE", ["keys"]) => control::revoke_key(app, call).await,
        ("POST", ["users"]) => control::create_user(app, call).await,
        ("DELETE", ["users", id]) => control::remove_user(app, call, id).await,
        ("POST", ["connections"]) => control::put_connections(app, call).await,
        ("DELETE", ["connections"]) => control::remove_connection(app, call).await,
        ("POST", ["posts"]) => seeding::create(app, call).await,
        ("GET", ["posts", id]) => seeding::show(app, id).await,
        ("PATCH", ["posts", id]) => seeding::change(app, call, id).await,
        ("DELETE", ["posts", id]) => seeding::remove(app, call, id).await,
        ("GET", ["faults"]) => Ok(app.faults.show()),
        ("PUT", ["faults"]) => app.faults.put(call),
        ("DELETE", ["faults"]) => {
            app.faults.clear();
            Ok(app.faults.show())
        }
        ("GET", ["journal"]) => journal::list(app, call).await,
        ("GET", ["calls"]) => Ok(app.calls.show(call)),
        ("DELETE", ["calls"]) => {
            app.calls.reset();
            Ok(app.calls.show(call))
        }
        ("PATCH", ["media", id]) => media::change(app, call, id).await,
        ("PUT", ["plans"]) => plans::put(app, call).await,
        ("PUT", ["webhooks"]) => deliveries::switch(app, call),
        ("GET", ["deliveries"]) => deliveries::list(app, call).await,
        ("POST", ["deliveries"]) => deliveries::send_now(app, call).await,
        ("POST", ["tick"]) => scheduler::tick_now(app, call).await,
        _ => Err(refused(404, "Not found")),
    }
}

/// Sleeps, without a turn of the timer where nothing was asked for.
async fn pause(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}

fn settle(outcome: Result<Answer, Failure>, broken: Option<&str>) -> Answer {
    match outcome {
        Ok(answer) | Err(Failure::Refused(answer)) => answer,
        Err(Failure::Broken(reason)) => {
            tracing::warn!(reason, "sandbox: a call failed");
            Answer::error(500, broken.unwrap_or(INTERNAL))
        }
    }
}
