//! The contract's tables, row by row, against PostPost's look-alike directly and through the gateway. The answers are the
//! same but for the differences listed in `http::api::differences`; each of those is met.

use crate::{
    support::databases::{Engine, gateway_on_both_engines},
    testapp::{Answer, Tenant, TestApp, client},
};
use gatehouse::{
    clock::DAY,
    domain::{
        ids,
        keys::{KeyKind, Scope},
        times,
    },
    http::api::differences::DIFFERENCES,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

gateway_on_both_engines!(every_row_of_the_contract_is_answered_as_by_postpost);

const USERS: &str = "/api/v1/workspace/users";
const UNKNOWN: &str = "507f191e810c19729de860ea";

/// How the gateway's answer stands to PostPost's.
#[derive(Clone, Copy, Debug)]
enum Is {
    Same,
    /// Same status and text, and the gateway's own `code`.
    SameText,
    /// The difference, and the gateway's status.
    Other(&'static str, u16),
}
use Is::{Other, Same, SameText};

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Key {
    None,
    Nonsense,
    Tenant,
    /// The tenant's, naming this user.
    TenantAs(&'static str),
    Workspace,
    WorkspaceAs(&'static str),
}

/// One side: where to call, under which keys, about which things.
struct Side {
    url: String,
    tenant_key: String,
    workspace_key: String,
    /// What stands in braces in a path, a body or a user header.
    things: BTreeMap<&'static str, String>,
}

struct Bench {
    app: TestApp,
    direct: Side,
    gateway: Side,
    met: BTreeSet<&'static str>,
    wrong: Vec<String>,
    tried: usize,
}

impl Side {
    fn fill(&self, text: &str) -> String {
        self.things
            .iter()
            .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    async fn call(&self, method: &Method, path: &str, key: Key, media: &str, body: &str) -> Answer {
        let mut request = client().request(method.clone(), format!("{}{}", self.url, self.fill(path)));
        let secret = match key {
            Key::None => None,
            Key::Nonsense => Some("sk_nonsense_0123456789abcdef.0123456789"),
            Key::Tenant | Key::TenantAs(_) => Some(self.tenant_key.as_str()),
            Key::Workspace | Key::WorkspaceAs(_) => Some(self.workspace_key.as_str()),
        };
        if let Some(secret) = secret {
            request = request.header("x-api-key", secret);
        }
        if let Key::TenantAs(user) | Key::WorkspaceAs(user) = key {
            request = request.header("x-postpost-user-id", self.fill(user));
        }
        if !body.is_empty() {
            request = request.header("content-type", media).body(self.fill(body));
        }
        Answer::read(request.send().await.unwrap()).await
    }
}

/// An answer without what must differ from call to call: ids, times, secrets, addresses.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| {
                let secret = [
                    "secret",
                    "url",
                    "uploadUrl",
                    "fileUrl",
                    "mediaId",
                    "connectionsPageUrl",
                    "postedId",
                    "username",
                    "displayName",
                ];
                let value = if secret.contains(&name.as_str()) && value.is_string() {
                    json!("…")
                } else {
                    plain(value)
                };
                (name, value)
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::String(text) if ids::is_object_id(&text) => json!("an id"),
        Value::String(text) if times::from_iso(&text).is_some() => json!("a time"),
        other => other,
    }
}

impl Bench {
    async fn set_up(engine: Engine) -> Self {
        let app = TestApp::spawn_with(engine, |config| config.tuning.upstream_guarded = false).await;
        let (ann, bob) = (app.tenant("ann").await, app.tenant("bob").await);
        let everything: Vec<Scope> = Scope::ALL.iter().copied().filter(|s| *s != Scope::AuditRead).collect();
        let workspace_key = app.key(&app.ws, KeyKind::Workspace, None, &everything).await;
        // The tenant's key at PostPost itself.
        let request = client().post(format!("{}{USERS}/{}/api-key", app.sandbox.url(), ann.id));
        let made = Answer::read(request.header("x-api-key", &app.ws_key).send().await.unwrap()).await;
        let journal = app.journal(0).await;
        let owner = journal.iter().find(|e| e["action"] == "workspace.create").unwrap()["userId"].clone();
        let owner = owner.as_str().unwrap().to_owned();
        let side = |url: &str, tenant_key: &str, workspace_key: &str, own: &Tenant, other: &Tenant| Side {
            url: url.into(),
            tenant_key: tenant_key.into(),
            workspace_key: workspace_key.into(),
            things: BTreeMap::from([
                ("own", own.id.clone()),
                ("other", other.id.clone()),
                ("owner", owner.clone()),
                ("unknown", UNKNOWN.into()),
                ("side", own.id[18..].into()),
            ]),
        };
        let direct =
            side(&app.sandbox.url(), made.json()["apiKey"].as_str().unwrap(), &app.ws_key, &ann, &bob);
        let gateway = side(app.url(), &bob.key, &workspace_key, &bob, &ann);
        let mut bench = Self { app, direct, gateway, met: BTreeSet::new(), wrong: Vec::new(), tried: 0 };
        bench.furnish(&ann, &bob).await;
        bench
    }

    /// The same things on both sides.
    async fn furnish(&mut self, ann: &Tenant, bob: &Tenant) {
        let (later, past) =
            (times::to_iso(self.app.clock.now() + DAY), times::to_iso(self.app.clock.now() - DAY));
        let posts = |kind: &str| match kind {
            "scheduled" | "moved" => json!({ "status": "scheduled", "scheduledTime": later }),
            "missed" => json!({ "status": "draft", "scheduledTime": past }),
            "published" => json!({ "status": "published", "scheduledTime": past }),
            _ => json!({ "status": "draft", "content": "Hello" }),
        };
        for tenant in [ann, bob] {
            for account in ["twitter-1", "linkedin-Tz9", "bluesky-did:plc:abc123"] {
                let connection = json!({ "userId": tenant.id, "platformId": account, "username": "same" });
                self.app.control(Method::POST, "connections", connection).await;
            }
            let side = if tenant.id == ann.id { &mut self.direct } else { &mut self.gateway };
            for kind in ["draft", "scheduled", "moved", "missed", "published", "doubted", "once", "gone"] {
                let id = self.app.posts(&tenant.id, vec![posts(kind)]).await.remove(0);
                side.things.insert(kind, id);
            }
            side.things.insert("past", past.clone());
            side.things.insert("later", later.clone());
        }
        self.app.sweep(&self.app.ws, &bob.id).await;
    }

    async fn try_row(&mut self, name: &str, key: Key, call: &str, body: &str, is: Is) -> (Answer, Answer) {
        self.try_as(name, key, call, "application/json", body, is).await
    }

    async fn try_as(
        &mut self,
        name: &str,
        key: Key,
        call: &str,
        media: &str,
        body: &str,
        is: Is,
    ) -> (Answer, Answer) {
        let (method, path) = call.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let path = format!("/api/v1/{path}");
        let direct = self.direct.call(&method, &path, key, media, body).await;
        let through = self.gateway.call(&method, &path, key, media, body).await;
        let said = format!(
            "{name}: {call} {body} {key:?}\n  direct {} {}\n  gateway {} {}",
            direct.status, direct.text, through.status, through.text
        );
        let same = direct.status == through.status;
        let alike = plain(direct.json()) == plain(through.json());
        let fits = match is {
            Same => same && alike,
            SameText => {
                self.met.insert("own_errors");
                let own = through.json()["code"].is_string() && through.json()["requestId"].is_string();
                same && own && direct.json()["error"] == through.json()["error"]
            }
            Other(difference, status) => {
                self.met.insert(difference);
                through.status == status && !(same && alike)
            }
        };
        if !fits {
            self.wrong.push(said);
        }
        self.tried += 1;
        (direct, through)
    }

    /// Keeps an id that both answers have, for later rows.
    fn keep(&mut self, name: &'static str, answers: &(Answer, Answer), pointer: &str) {
        for (side, answer) in [(&mut self.direct, &answers.0), (&mut self.gateway, &answers.1)] {
            let id = answer.json().pointer(pointer).and_then(|id| Some(id.as_str()?.to_owned()));
            side.things.insert(name, id.unwrap_or_else(|| "none".into()));
        }
    }
}

async fn every_row_of_the_contract_is_answered_as_by_postpost(engine: Engine) {
    let mut bench = Bench::set_up(engine).await;
    authentication(&mut bench).await;
    posts(&mut bench).await;
    changes(&mut bench).await;
    connections_and_media(&mut bench).await;
    webhooks(&mut bench).await;
    platforms(&mut bench).await;
    workspace(&mut bench).await;
    beside_the_tables(&mut bench).await;
    assert!(
        bench.wrong.is_empty(),
        "{} of {} rows:\n{}",
        bench.wrong.len(),
        bench.tried,
        bench.wrong.join("\n")
    );
    let listed: BTreeSet<&str> = DIFFERENCES.iter().map(|d| d.id).collect();
    let unmet: Vec<&&str> = listed.difference(&bench.met).collect();
    assert!(unmet.is_empty(), "listed, and not met: {unmet:?}");
    let unlisted: Vec<&&str> = bench.met.difference(&listed).collect();
    assert!(unlisted.is_empty(), "met, and not listed: {unlisted:?}");
    println!("rows tried on both sides: {}, differences met: {}", bench.tried, bench.met.len());
}

async fn authentication(bench: &mut Bench) {
    for (name, key, call, is) in [
        ("no key", Key::None, "GET list-posts", SameText),
        ("a key nobody has", Key::Nonsense, "GET list-posts", SameText),
        ("no user's id", Key::WorkspaceAs("xyz"), "GET list-posts", SameText),
        ("a user of nobody", Key::WorkspaceAs("{unknown}"), "GET list-posts", SameText),
        ("another tenant", Key::TenantAs("{other}"), "GET list-posts", SameText),
        ("a tenant's own", Key::TenantAs("{own}"), "GET list-posts", Same),
        ("a tenant by a workspace key", Key::WorkspaceAs("{own}"), "GET list-posts", Same),
        ("the owner", Key::Workspace, "GET list-posts", Same),
        ("the owner by id", Key::WorkspaceAs("{owner}"), "GET list-posts", Other("owner_id", 403)),
        ("the workspace by a tenant's key", Key::Tenant, "GET workspace/users", SameText),
        ("no such path", Key::Tenant, "GET nothing", SameText),
        ("no such method", Key::Tenant, "POST list-posts", Other("unknown_route", 405)),
    ] {
        bench.try_row(name, key, call, "", is).await;
    }
}

async fn posts(bench: &mut Bench) {
    for query in [
        "",
        "?page=2&limit=3",
        "?page=0",
        "?limit=0",
        "?limit=",
        "?limit=x",
        "?limit=1000",
        "?status=draft",
        "?status=nope",
        "?platform=TWITTER",
        "?platform=nope",
        "?sortBy=updatedAt&sortOrder=asc",
        "?sortBy=size",
        "?sortOrder=up",
        "?fromDate=2020-01-01T00:00:00.000Z&toDate=2040-01-01T00:00:00.000Z",
        "?fromDate=x",
        "?toDate=x",
        "?more=1",
    ] {
        bench.try_row("list-posts", Key::Tenant, &format!("GET list-posts{query}"), "", Same).await;
    }
    bench.try_row("twice", Key::Tenant, "GET list-posts?page=1&page=2", "", Other("strict_query", 400)).await;
    for call in ["get-post", "post-logs"] {
        bench.try_row(call, Key::Tenant, &format!("GET {call}/{{draft}}"), "", Same).await;
        bench.try_row(call, Key::Tenant, &format!("GET {call}/{{unknown}}"), "", Same).await;
        bench.try_row(call, Key::Tenant, &format!("GET {call}/xyz"), "", Other("malformed_id", 400)).await;
    }
    bench.try_row("published", Key::Tenant, "GET get-post/{published}", "", Same).await;
}

async fn changes(bench: &mut Bench) {
    for (body, is) in [
        ("{}", SameText),
        (r#"{"content":"  ","platforms":["twitter-1"]}"#, SameText),
        (r#"{"content":"x"}"#, SameText),
        (r#"{"content":"x","platforms":[]}"#, SameText),
        (r#"{"content":"x","platforms":{"a":1}}"#, SameText),
        (r#"{"content":"x","platforms":"[oops"}"#, SameText),
        (r#"{"content":"x","platforms":["twitter"]}"#, SameText),
        (r#"{"content":"x","platforms":["twitter-1"],"scheduledTime":"tomorrow"}"#, SameText),
        (r#"{"content":"x","platforms":["twitter-1"],"platformSettings":"{oops"}"#, SameText),
        (r#"{"content":"x","platforms":["twitter-1"],"platformSettings":[]}"#, SameText),
        (r#"{"content":"x","platforms":["twitter-1"],"scheduledTime":"{past}"}"#, Other("past_time", 400)),
        (r#"{"content":"x","platforms":["twitter-1"]}"#, Same),
        (r#"{"content":"y","platforms":"[\"twitter-1\"]","scheduledTime":"{later}","more":1}"#, Same),
    ] {
        bench.try_row("create-post", Key::Tenant, "POST create-post", body, is).await;
    }
    for (post, body, is) in [
        ("scheduled", "{}", SameText),
        ("scheduled", r#"{"status":"","scheduledTime":null}"#, SameText),
        ("scheduled", r#"{"status":"published"}"#, SameText),
        ("scheduled", r#"{"scheduledTime":"2031-03-15"}"#, SameText),
        ("scheduled", r#"{"scheduledTime":"2031-03-15T10:00:00"}"#, SameText),
        ("scheduled", r#"{"status":"draft"}"#, Same),
        ("scheduled", r#"{"status":"scheduled"}"#, Same),
        ("scheduled", r#"{"scheduledTime":"2031-03-15T10:00:00+02:00"}"#, Same),
        ("moved", r#"{"scheduledTime":"{past}"}"#, Other("past_time", 400)),
        ("missed", r#"{"status":"scheduled"}"#, Other("past_time", 400)),
        ("published", r#"{"status":"draft"}"#, Same),
        ("unknown", r#"{"status":"draft"}"#, Same),
        ("draft", r#"{"status":"draft","status":"scheduled"}"#, Other("strict_body", 400)),
    ] {
        bench.try_row("update-post", Key::Tenant, &format!("PUT update-post/{{{post}}}"), body, is).await;
    }
    let malformed = Other("malformed_id", 400);
    bench
        .try_row("update-post", Key::Tenant, "PUT update-post/xyz", r#"{"status":"draft"}"#, malformed)
        .await;
    for (post, is) in
        [("gone", Same), ("gone", Same), ("unknown", Same), ("published", Other("delete_policy", 400))]
    {
        bench.try_row("delete-post", Key::Tenant, &format!("DELETE delete-post/{{{post}}}"), "", is).await;
    }
    bench.try_row("delete-post", Key::Tenant, "DELETE delete-post/xyz", "", malformed).await;
}

async fn connections_and_media(bench: &mut Bench) {
    for (call, body, is) in [
        ("GET platform-connections", "", Same),
        ("POST test-connection/twitter-1", "", Same),
        ("POST test-connection/bluesky-did:plc:abc123", "", Same),
        ("POST test-connection/twitter-404", "", Same),
        ("POST test-connection/nonsense", "", Other("malformed_id", 400)),
        (
            "POST get-upload-url",
            r#"{"fileName":"a.png","contentType":"image/png","postGroupId":"{draft}","type":"image"}"#,
            Same,
        ),
        ("POST get-upload-url", "{}", Same),
        ("POST get-upload-url", r#"{"fileName":"a.png","contentType":"image/png"}"#, Same),
        (
            "POST get-upload-url",
            r#"{"fileName":"a.png","contentType":"image/png","postGroupId":"{unknown}"}"#,
            Same,
        ),
    ] {
        bench.try_row("connections and media", Key::Tenant, call, body, is).await;
    }
}

async fn webhooks(bench: &mut Bench) {
    let good = r#"{"name":"n","url":"https://cms.example.com/x","events":["post.published"]}"#;
    bench.try_row("none yet", Key::Tenant, "GET webhooks", "", Same).await;
    let made = bench.try_row("make", Key::Tenant, "POST webhooks", good, Same).await;
    bench.keep("hook", &made, "/webhook/_id");
    for (call, body, is) in [
        ("GET webhooks", "", Same),
        ("POST webhooks", "{}", Same),
        ("POST webhooks", r#"{"name":"n","url":"nonsense","events":["post.published"]}"#, Same),
        ("POST webhooks", r#"{"name":"n","url":"https://x.example","events":["nope"]}"#, Same),
        ("POST webhooks", r#"{"name":"n","url":"http://x.example","events":["post.published"]}"#, Same),
        ("POST webhooks", r#"{"name":"n","url":"https://localhost","events":["post.published"]}"#, Same),
        ("POST webhooks", r#"{"name":"n","url":"https://10.0.0.1","events":["post.published"]}"#, Same),
        ("POST webhooks", r#"{"name":"n","url":"https://169.254.1.1","events":["post.published"]}"#, Same),
        (
            "POST webhooks",
            r#"{"name":"n","url":"https://169.254.169.254","events":["post.published"]}"#,
            Same,
        ),
        ("PATCH webhooks/{hook}", r#"{"isActive":false,"name":""}"#, Same),
        ("PATCH webhooks/{hook}", r#"{"isActive":"no"}"#, Same),
        ("PATCH webhooks/{unknown}", r#"{"isActive":false}"#, Same),
        ("PATCH webhooks/xyz", r#"{"isActive":false}"#, Other("malformed_id", 400)),
        ("POST webhooks/{hook}/regenerate-secret", "", Same),
        ("POST webhooks/{unknown}/regenerate-secret", "", Same),
        ("DELETE webhooks/{hook}", "", Same),
        ("DELETE webhooks/{hook}", "", Same),
    ] {
        bench.try_row("webhooks", Key::Tenant, call, body, is).await;
    }
    // Ten, and the eleventh is refused.
    for _ in 0..11 {
        bench.try_row("many", Key::Tenant, "POST webhooks", good, Same).await;
    }
}

async fn platforms(bench: &mut Bench) {
    let post = r#"{"postedId":"urn:li:share:71","platformId":"linkedin-Tz9","queryTypes":"ALL"}"#;
    let react = r#"{"postedId":"urn:li:share:71","platformId":"linkedin-Tz9","reactionType":"LIKE"}"#;
    let comment = r#"{"postedId":"urn:li:share:71","platformId":"linkedin-Tz9","message":"Thank you"}"#;
    let account = r#"{"platformId":"linkedin-Tz9"}"#;
    for (call, body) in [
        ("POST linkedin-post-statistics", post),
        ("POST linkedin-post-statistics", "{}"),
        ("POST linkedin-account-statistics", account),
        ("POST linkedin-profile-summary", account),
        ("POST linkedin-followers", account),
        ("POST linkedin-followers", r#"{"platformId":"linkedin-404"}"#),
        ("POST linkedin-reactions", react),
        ("POST linkedin-reactions", "{}"),
        ("DELETE linkedin-reactions", react),
        ("DELETE linkedin-reactions", react),
        ("POST linkedin-comments", comment),
        ("POST linkedin-comments", "{}"),
        ("DELETE linkedin-comments", "{}"),
        ("GET x-bookmarks/twitter-1?limit=2", ""),
        ("POST x-bookmarks/twitter-1", r#"{"postId":"1790000000000000000"}"#),
        ("POST x-bookmarks/twitter-1", "{}"),
        ("DELETE x-bookmarks/twitter-1/1790000000000000000", ""),
        ("DELETE x-bookmarks/twitter-1/1790000000000000000", ""),
    ] {
        // What a comment is called is its own.
        let is = if body == comment { Other("none", 200) } else { Same };
        if let Other(..) = is {
            let (method, path) = call.split_once(' ').unwrap();
            let (method, path) = (method.parse().unwrap(), format!("/api/v1/{path}"));
            for side in [&bench.direct, &bench.gateway] {
                let answer = side.call(&method, &path, Key::Tenant, "application/json", body).await;
                assert_eq!(answer.status, 200, "{}", answer.text);
            }
            continue;
        }
        bench.try_row("platforms", Key::Tenant, call, body, is).await;
    }
}

async fn workspace(bench: &mut Bench) {
    let user = r#"{"username":"new-{side}@test.example","displayName":"New"}"#;
    bench.try_row("users", Key::Workspace, "GET workspace/users", "", Same).await;
    let made = bench.try_row("make", Key::Workspace, "POST workspace/users", user, Same).await;
    bench.keep("user", &made, "/user/_id");
    for (call, body, is) in [
        ("POST workspace/users", user, Same),
        ("POST workspace/users", "{}", Same),
        ("POST workspace/users/{user}/connection-url", "", Same),
        ("POST workspace/users/{user}/connection-url", r#"{"expiresInDays":2,"rotate":true}"#, Same),
        ("POST workspace/users/{user}/connection-url", r#"{"expiresInDays":-1}"#, Same),
        ("POST workspace/users/{unknown}/connection-url", "", SameText),
        ("POST workspace/users/xyz/connection-url", "", SameText),
        ("DELETE workspace/users/xyz", "", SameText),
        ("DELETE workspace/users/{unknown}", "", SameText),
    ] {
        bench.try_row("workspace", Key::Workspace, call, body, is).await;
    }
    let keys = bench
        .try_row("a key", Key::Workspace, "POST workspace/users/{user}/api-key", "", Other("user_key", 200))
        .await;
    assert_eq!(keys.0.json()["message"], keys.1.json()["message"]);
    assert!(keys.1.json()["apiKey"].as_str().unwrap().starts_with("sk_ght_"), "{}", keys.1.text);
    for call in ["POST workspace/users/{unknown}/api-key", "POST workspace/users/xyz/api-key"] {
        bench.try_row("a key", Key::Workspace, call, "", SameText).await;
    }
    bench.try_row("detach", Key::Workspace, "DELETE workspace/users/{user}", "", Same).await;
    bench.try_row("detach", Key::Workspace, "DELETE workspace/users/{user}", "", SameText).await;
    // Made at PostPost, and not imported yet.
    let fresh =
        json!({ "workspaceKey": bench.app.ws_key, "username": "fresh@test.example", "displayName": "F" });
    let fresh =
        bench.app.control(Method::POST, "users", fresh).await["user"]["_id"].as_str().unwrap().to_owned();
    for side in [&mut bench.direct, &mut bench.gateway] {
        side.things.insert("fresh", fresh.clone());
    }
    let link = "POST workspace/users/{fresh}/connection-url";
    bench.try_row("not imported", Key::Workspace, link, "", Other("foreign_user", 404)).await;
    let again = r#"{"username":"fresh@test.example"}"#;
    bench
        .try_row("not imported", Key::Workspace, "POST workspace/users", again, Other("user_exists", 201))
        .await;
    let nobody = r#"{"username":"nobody"}"#;
    bench
        .try_row("no address", Key::Workspace, "POST workspace/users", nobody, Other("user_name", 400))
        .await;
}

async fn beside_the_tables(bench: &mut Bench) {
    let strict = Other("strict_body", 415);
    let draft = r#"{"status":"draft"}"#;
    bench.try_as("plain text", Key::Tenant, "PUT update-post/{scheduled}", "text/plain", draft, strict).await;
    let strict = Other("strict_body", 400);
    bench.try_row("twice", Key::Tenant, "POST get-upload-url", r#"{"type":"a","type":"b"}"#, strict).await;
    // A limit of PostPost's own passes as it is; the gateway's own limits are its.
    let read_only = bench
        .app
        .key(&bench.app.ws, KeyKind::Tenant, Some(&bench.gateway.things["own"]), &[Scope::PostsRead])
        .await;
    let full = std::mem::replace(&mut bench.gateway.tenant_key, read_only);
    bench.try_row("a scope", Key::Tenant, "GET platform-connections", "", Other("scopes", 403)).await;
    bench.gateway.tenant_key = full;
    // The same call twice under one idempotency key.
    for (side, second) in [(&bench.direct, 404), (&bench.gateway, 200)] {
        let call = || {
            let url = format!("{}/api/v1/delete-post/{}", side.url, side.things["once"]);
            client().delete(url).header("x-api-key", &side.tenant_key).header("idempotency-key", "once")
        };
        let statuses = [call().send().await.unwrap().status(), call().send().await.unwrap().status()];
        assert_eq!(statuses.map(|s| s.as_u16()), [200, second]);
    }
    bench.met.insert("idempotency");
    let rules = json!([{ "match": { "method": "PUT" }, "status": 503 }, { "match": { "path": "/api/v1/list-posts" }, "retryAfter": 3, "status": 429 }]);
    bench.app.faults(rules).await;
    bench.try_row("a doubt", Key::Tenant, "PUT update-post/{doubted}", draft, Other("doubt", 504)).await;
    let limited = bench.try_row("a limit of PostPost's", Key::Tenant, "GET list-posts", "", Same).await;
    assert_eq!(limited.0.header("retry-after"), limited.1.header("retry-after"));
    bench.app.control(Method::DELETE, "faults", Value::Null).await;
    // What the gateway does not say: nothing of what PostPost's server says of itself.
    let answers = bench.try_row("headers", Key::Tenant, "GET platform-connections", "", Same).await;
    let names = |answer: &Answer| answer.headers.keys().map(|name| name.to_string()).collect::<BTreeSet<_>>();
    assert!(names(&answers.1).contains("x-request-id") && names(&answers.0) != names(&answers.1));
    bench.met.insert("headers");
    bench.app.control(Method::DELETE, "keys", json!({ "key": bench.app.ws_key })).await;
    bench
        .try_row(
            "the account's key",
            Key::WorkspaceAs("{own}"),
            "GET list-posts",
            "",
            Other("upstream_key", 503),
        )
        .await;
}
