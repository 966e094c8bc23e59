//! The route table of the tenant door: one row per method and path, with all that is to be known of it. Routes, the scopes
//! of keys, the OpenAPI document and the reference page are made from it. Says what a call needs; decides nothing.

use super::{
    Request,
    fields::{self, Field},
    operations, passes, posts, whoami, workspace,
};
use crate::{
    domain::{
        audit::Action,
        ids,
        keys::Scope::{
            self, AnalyticsRead, ConnectionsRead, EngagementWrite, MediaWrite, PostsCreate, PostsDelete,
            PostsRead, PostsUpdate, WebhooksManage, WorkspaceManage,
        },
        operations::Verb,
    },
    http::{Answer, Error},
};
use futures_util::future::{BoxFuture, FutureExt};
use serde_json::Value;
use std::{future::Future, sync::LazyLock};

/// One route.
pub struct Row {
    /// Upper case.
    pub method: &'static str,
    /// With `{name}` parts; a part's name says what it has to look like ([`part_rule`]).
    pub path: &'static str,
    pub needs: Needs,
    pub effect: Effect,
    /// The query parameters passed on. Others are dropped.
    pub query: &'static [Field],
    pub body: Body,
    /// What it does, for people.
    pub summary: &'static str,
    /// Of an answer when all is well: its status, and its shape in [`super::shapes`].
    pub status: u16,
    pub shape: &'static str,
    pub(super) handler: Handler,
}

pub(super) type Handler = Box<dyn Fn(Request) -> BoxFuture<'static, Result<Answer, Error>> + Send + Sync>;

/// What a key must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Any key of a tenant or workspace, also while that is frozen or suspended: what the gateway itself knows is told, and
    /// nothing is sent.
    AnyKey,
    Scope(Scope),
    /// A workspace key with this scope. Whether it names a tenant does not matter.
    Workspace(Scope),
}

/// What a call leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it is not audited.
    Reads,
    /// A change at PostPost: intent and outcome are audited as this action. Takes an `Idempotency-Key`.
    Changes(Verb),
    /// A change of the gateway's own data, audited as this action. Nothing is sent.
    Own(Action),
}

/// What is taken as a body.
#[derive(Debug, Clone, Copy)]
pub enum Body {
    /// None; one that is sent is not looked at.
    None,
    /// A JSON object. Fields that are not named here are passed on too.
    Object(&'static [Field]),
}

/// The whole table, in the order of the reference.
pub fn rows() -> &'static [Row] {
    static ROWS: LazyLock<Vec<Row>> =
        LazyLock::new(|| [posts_rows(), other_rows(), bookmark_rows()].into_iter().flatten().collect());
    &ROWS
}

impl Row {
    /// The path's parts below `/api/v1`, with `{name}` for what the caller chooses.
    pub fn segments(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').skip(3)
    }

    /// What a caller needs, in words.
    pub fn needs_words(&self) -> String {
        match self.needs {
            Needs::AnyKey => "any key".into(),
            Needs::Scope(scope) => scope.as_str().into(),
            Needs::Workspace(scope) => format!("a workspace key with {scope}"),
        }
    }

    /// The action of its audit entries.
    pub fn action(&self) -> Option<Action> {
        match self.effect {
            Effect::Reads => None,
            Effect::Changes(verb) => Some(verb.into()),
            Effect::Own(action) => Some(action),
        }
    }

    /// Seconds after which PostPost is not waited for any longer: what only reads by its method has less.
    pub fn timeout_seconds(&self) -> u32 {
        if self.method == "GET" { 15 } else { 30 }
    }

    /// Whether `x-gatehouse-publish-now` means something to it.
    pub fn takes_publish_now(&self) -> bool {
        matches!(self.effect, Effect::Changes(Verb::PostCreate | Verb::PostUpdate))
    }

    /// The heading it stands under.
    pub fn tag(&self) -> &'static str {
        match self.needs {
            Needs::AnyKey => "The gateway's own",
            Needs::Workspace(_) => "Workspace",
            Needs::Scope(ConnectionsRead) => "Connections",
            Needs::Scope(WebhooksManage) => "Webhooks",
            Needs::Scope(AnalyticsRead | EngagementWrite) if self.path.contains("x-bookmarks") => {
                "X bookmarks"
            }
            Needs::Scope(AnalyticsRead | EngagementWrite) => "LinkedIn",
            Needs::Scope(_) => "Posts",
        }
    }

    /// A body for the reference.
    pub fn example(&self) -> Value {
        let Body::Object(fields) = self.body else { return Value::Null };
        let shown = fields.iter().filter(|field| !field.example.is_empty());
        shown
            .map(|f| (f.name.to_owned(), serde_json::from_str::<Value>(f.example).unwrap_or_default()))
            .collect()
    }

    /// The names of the path's parts.
    pub fn parts(&self) -> impl Iterator<Item = &'static str> {
        self.segments().filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

/// What a path's part has to look like, and what is said if it does not. `None`: the handler looks.
pub fn part_rule(name: &str) -> Option<(fn(&str) -> bool, &'static str)> {
    Some(match name {
        "postGroupId" => (ids::is_object_id, "Invalid post group ID"),
        "userId" => (ids::is_object_id, "Invalid user ID"),
        "webhookId" => (ids::is_object_id, "Invalid webhook ID"),
        "platformId" => (ids::is_platform_id, "Invalid platform ID"),
        "first" | "second" => (ids::is_path_word, "Invalid path"),
        _ => return None,
    })
}

/// The same as a pattern.
pub fn part_pattern(name: &str) -> &'static str {
    match name {
        "postGroupId" | "userId" | "webhookId" => "^[0-9a-f]{24}$",
        "platformId" => "^[a-z]+-[A-Za-z0-9_.:-]+$",
        "operationId" => "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        _ => "^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$",
    }
}

/// What may stand there, for the reference.
pub fn part_example(name: &str) -> &'static str {
    match name {
        "postGroupId" => "65f0a1b2c3d4e5f601020305",
        "userId" => "65f0a1b2c3d4e5f601020304",
        "webhookId" => "65f0a1b2c3d4e5f601020306",
        "platformId" => "linkedin-Tz9W5i6ZYG",
        "operationId" => "01a220b6-656c-70e1-bd2e-4ff260f875a7",
        "first" => "twitter-123456789",
        _ => "1790000000000000000",
    }
}

fn row<F, Fut>(
    method: &'static str,
    path: &'static str,
    needs: impl Into<Needs>,
    effect: Effect,
    handler: F,
) -> Row
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, Error>> + Send + 'static,
{
    let handler: Handler = Box::new(move |request| handler(request).boxed());
    Row {
        method,
        path,
        needs: needs.into(),
        effect,
        query: &[],
        body: Body::None,
        summary: "",
        status: 200,
        shape: "Success",
        handler,
    }
}

impl From<Scope> for Needs {
    fn from(scope: Scope) -> Self {
        Self::Scope(scope)
    }
}

impl Row {
    fn says(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    fn answers(self, status: u16, shape: &'static str) -> Self {
        Self { status, shape, ..self }
    }

    fn query(self, query: &'static [Field]) -> Self {
        Self { query, ..self }
    }

    fn body(self, fields: &'static [Field]) -> Self {
        Self { body: Body::Object(fields), ..self }
    }
}

fn posts_rows() -> Vec<Row> {
    use Effect::{Changes, Reads};
    vec![
        row("GET", "/api/v1/list-posts", PostsRead, Reads, posts::list)
            .says("Lists posts, a page at a time.")
            .answers(200, "Posts")
            .query(fields::LIST_QUERY),
        row("GET", "/api/v1/get-post/{postGroupId}", PostsRead, Reads, posts::show)
            .says("Shows a post on each of its platforms.")
            .answers(200, "Post"),
        row("GET", "/api/v1/post-logs/{postGroupId}", PostsRead, Reads, passes::read)
            .says("What happened to a post, oldest first.")
            .answers(200, "PostLogs"),
        row("POST", "/api/v1/create-post", PostsCreate, Changes(Verb::PostCreate), posts::create)
            .says("Creates a post on one or more connected accounts: scheduled, or without a time a draft.")
            .answers(200, "Created")
            .body(fields::CREATE),
        row(
            "PUT",
            "/api/v1/update-post/{postGroupId}",
            PostsUpdate,
            Changes(Verb::PostUpdate),
            posts::update,
        )
        .says("Changes a post's time or status.")
        .answers(200, "Updated")
        .body(fields::UPDATE),
        row(
            "DELETE",
            "/api/v1/delete-post/{postGroupId}",
            PostsDelete,
            Changes(Verb::PostDelete),
            posts::delete,
        )
        .says("Deletes a post. What is live on a platform stays there."),
        row("POST", "/api/v1/get-upload-url", MediaWrite, Changes(Verb::MediaUploadUrl), passes::change)
            .says("An address to PUT one media file of a post to, within the hour.")
            .answers(200, "UploadUrl")
            .body(fields::UPLOAD),
        row("GET", "/api/v1/whoami", Needs::AnyKey, Reads, whoami::show)
            .says("What the key is and may do. The gateway's own.")
            .answers(200, "Identity"),
        row("GET", "/api/v1/operations/{operationId}", Needs::AnyKey, Reads, operations::show)
            .says(
                "What became of a change whose answer was 504 or 502; also while frozen. The gateway's own.",
            )
            .answers(200, "Operation"),
    ]
}

fn other_rows() -> Vec<Row> {
    use Effect::{Changes, Own, Reads};
    let owner = Needs::Workspace(WorkspaceManage);
    vec![
        row("GET", "/api/v1/platform-connections", ConnectionsRead, Reads, passes::read)
            .says("The connected accounts and how long their tokens last.")
            .answers(200, "Connections"),
        row("POST", "/api/v1/test-connection/{platformId}", ConnectionsRead, Reads, passes::read)
            .says("Tries a connected account now.")
            .answers(200, "Tested"),
        row("GET", "/api/v1/webhooks", WebhooksManage, Reads, passes::read)
            .says("Lists the webhooks, without their secrets.")
            .answers(200, "Webhooks"),
        row("POST", "/api/v1/webhooks", WebhooksManage, Changes(Verb::WebhookCreate), passes::change)
            .says("Makes a webhook. The answer has its secret, once.")
            .answers(201, "WebhookWithSecret")
            .body(fields::WEBHOOK),
        row(
            "PATCH",
            "/api/v1/webhooks/{webhookId}",
            WebhooksManage,
            Changes(Verb::WebhookUpdate),
            passes::change,
        )
        .says("Changes what is given of a webhook.")
        .answers(200, "Webhook")
        .body(fields::WEBHOOK_CHANGE),
        row(
            "DELETE",
            "/api/v1/webhooks/{webhookId}",
            WebhooksManage,
            Changes(Verb::WebhookDelete),
            passes::change,
        )
        .says("Deletes a webhook."),
        row(
            "POST",
            "/api/v1/webhooks/{webhookId}/regenerate-secret",
            WebhooksManage,
            Changes(Verb::WebhookRotate),
            passes::change,
        )
        .says("Makes a new secret; the old one ends. The answer has it, once.")
        .answers(200, "WebhookWithSecret"),
        row("POST", "/api/v1/linkedin-post-statistics", AnalyticsRead, Reads, passes::read)
            .says("Figures of a LinkedIn post.")
            .answers(200, "Anything")
            .body(fields::LINKEDIN_POST),
        row("POST", "/api/v1/linkedin-account-statistics", AnalyticsRead, Reads, passes::read)
            .says("Figures of a LinkedIn account.")
            .answers(200, "Anything")
            .body(fields::LINKEDIN_ACCOUNT),
        row("POST", "/api/v1/linkedin-profile-summary", AnalyticsRead, Reads, passes::read)
            .says("A LinkedIn account in short.")
            .answers(200, "Anything")
            .body(fields::LINKEDIN_ACCOUNT),
        row("POST", "/api/v1/linkedin-followers", AnalyticsRead, Reads, passes::read)
            .says("How many follow a LinkedIn account.")
            .answers(200, "Anything")
            .body(fields::LINKEDIN_ACCOUNT),
        row(
            "POST",
            "/api/v1/linkedin-reactions",
            EngagementWrite,
            Changes(Verb::LinkedinReact),
            passes::change,
        )
        .says("Reacts to a LinkedIn post.")
        .answers(200, "Anything")
        .body(fields::LINKEDIN_REACTION),
        row(
            "DELETE",
            "/api/v1/linkedin-reactions",
            EngagementWrite,
            Changes(Verb::LinkedinUnreact),
            passes::change,
        )
        .says("Takes a reaction back.")
        .answers(200, "Anything")
        .body(fields::LINKEDIN_REACTION),
        row(
            "POST",
            "/api/v1/linkedin-comments",
            EngagementWrite,
            Changes(Verb::LinkedinComment),
            passes::change,
        )
        .says("Comments on a LinkedIn post.")
        .answers(200, "Anything")
        .body(fields::LINKEDIN_COMMENT),
        row(
            "DELETE",
            "/api/v1/linkedin-comments",
            EngagementWrite,
            Changes(Verb::LinkedinUncomment),
            passes::change,
        )
        .says("Deletes a comment.")
        .answers(200, "Anything")
        .body(fields::LINKEDIN_UNCOMMENT),
        row("GET", "/api/v1/workspace/users", owner, Reads, workspace::list)
            .says("Lists the workspace's users.")
            .answers(200, "Users"),
        row("POST", "/api/v1/workspace/users", owner, Changes(Verb::TenantCreate), workspace::create)
            .says("Creates a user, who is a tenant of the gateway at once.")
            .answers(201, "OneUser")
            .body(fields::USER),
        row(
            "DELETE",
            "/api/v1/workspace/users/{userId}",
            owner,
            Changes(Verb::TenantDetach),
            workspace::delete,
        )
        .says("Detaches a user, here and at PostPost; the user's posts stay."),
        row(
            "POST",
            "/api/v1/workspace/users/{userId}/api-key",
            owner,
            Own(Action::KeyCreate),
            workspace::create_key,
        )
        .says("Makes a gateway key of the user's, shown once. The one made here before ends; others stay.")
        .answers(200, "UserKey"),
        row(
            "POST",
            "/api/v1/workspace/users/{userId}/connection-url",
            owner,
            Changes(Verb::TenantLink),
            workspace::link,
        )
        .says("A link under which the user connects accounts.")
        .answers(200, "Link")
        .body(fields::LINK),
    ]
}

/// PostPost does not document what is below `/x-bookmarks`: up to two plain words are passed on with any of its methods.
fn bookmark_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for path in ["/api/v1/x-bookmarks", "/api/v1/x-bookmarks/{first}", "/api/v1/x-bookmarks/{first}/{second}"]
    {
        let read = row("GET", path, AnalyticsRead, Effect::Reads, passes::read).says("Reads X bookmarks.");
        rows.push(read.query(fields::BOOKMARKS_QUERY).answers(200, "Anything"));
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let effect = Effect::Changes(Verb::BookmarkChange);
            let change = row(method, path, EngagementWrite, effect, passes::change);
            rows.push(
                change
                    .says("Changes X bookmarks.")
                    .query(fields::BOOKMARKS_QUERY)
                    .body(fields::BOOKMARK)
                    .answers(200, "Anything"),
            );
        }
    }
    rows
}
