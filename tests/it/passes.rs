//! The calls that pass through, row by row of the route table, against an upstream that writes down what it is sent:
//! built requests, no header of the caller's, audited where something changes, never sent twice.

use crate::{
    support::{
        databases::{Engine, gateway_on_both_engines},
        recorder::{Received, Recorder, Script},
    },
    testapp::{Answer, TestApp},
};
use gatehouse::{
    domain::{
        audit::Action,
        ids,
        keys::{KeyKind, Scope, Scopes},
        workspaces::Environment,
    },
    http::{
        admin::{NewWorkspace, add_workspace},
        api::table::{Body, Effect, Needs, Row, rows},
    },
};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, btree_map::Entry};

gateway_on_both_engines!(
    every_row_is_sent_as_it_was_built,
    every_row_needs_its_scope,
    what_changes_something_is_audited_and_nothing_else,
    no_header_of_upstreams_reaches_the_client,
    a_doubt_stays_unknown_and_nothing_is_sent_again,
    a_deleted_webhook_in_doubt_is_looked_up,
    a_secret_goes_to_the_caller_and_is_kept_nowhere,
    what_is_sent_is_checked_first,
);

const USER: &str = "65f0a1b2c3d4e5f601020304";
const POST: &str = "65f0a1b2c3d4e5f601020305";
const HOOK: &str = "65f0a1b2c3d4e5f601020306";
const UPSTREAM_KEY: &str = "sk_upstream_0123456789abcdef.0123456789abcdef";
const SECRET: &str = "whsec_canary_of_the_webhook";

/// A workspace whose upstream is the recorder, with a key of its tenant and one of its own that may do everything.
struct Scene {
    app: TestApp,
    upstream: Recorder,
    ws: String,
    tenant_key: String,
    workspace_key: String,
}

/// What every endpoint answers when nothing is wrong.
fn well(received: &Received) -> Script {
    let user =
        json!({ "_id": USER, "username": "ann@test.example", "displayName": "Ann", "role": "managed" });
    let path = received.path.as_str();
    Script::json(
        200,
        &match (received.method.as_str(), path) {
            ("GET", "/api/v1/workspace/users") => json!({ "users": [user] }),
            ("GET", "/api/v1/list-posts") => json!({ "success": true, "posts": [], "pagination": { "page": 1,
                "limit": 100, "totalItems": 0, "totalPages": 0, "hasNextPage": false, "hasPrevPage": false } }),
            ("GET", path) if path.starts_with("/api/v1/get-post/") => {
                json!({ "success": true, "postGroupId": POST, "posts": [{ "_id": POST, "platform": "twitter",
                        "platformId": "1", "content": "x", "status": "draft" }] })
            }
            _ => json!({ "success": true, "message": "Post updated successfully",
                         "postGroup": { "_id": POST, "status": "draft" }, "postGroupId": POST,
                         "webhook": { "_id": HOOK, "name": "n", "secret": SECRET }, "user": user,
                         "url": "https://connect.example/canary-link", "tokenExpiresAt": "2030-01-01T00:00:00.000Z" }),
        },
    )
}

impl Scene {
    async fn set_up(engine: Engine, script: impl Fn(&Received) -> Script + Send + Sync + 'static) -> Self {
        let app = TestApp::spawn_with(engine, |config| config.tuning.upstream_guarded = false).await;
        let upstream = Recorder::start(script).await;
        let new = NewWorkspace {
            name: "Recorded".into(),
            environment: Environment::Development,
            base_url: upstream.url.clone(),
            upstream_key: UPSTREAM_KEY.into(),
        };
        let ws = add_workspace(app.app(), &app.owner, "Owner", new).await.unwrap();
        let all = Scopes::new(Scope::ALL.iter().copied().filter(|s| *s != Scope::AuditRead));
        let own: Vec<Scope> = all.handed_on().iter().collect();
        let all: Vec<Scope> = all.iter().collect();
        let tenant_key = app.key(&ws, KeyKind::Tenant, Some(USER), &own).await;
        let workspace_key = app.key(&ws, KeyKind::Workspace, None, &all).await;
        Self { app, upstream, ws, tenant_key, workspace_key }
    }

    fn key_for(&self, row: &Row) -> &str {
        match row.needs {
            Needs::Workspace(_) => &self.workspace_key,
            _ => &self.tenant_key,
        }
    }

    /// Calls a row with everything that a caller can send, under a request id of its own.
    async fn call(&self, row: &Row, key: &str, more: &[(&str, &str)]) -> (Answer, Vec<Received>) {
        self.call_with(row, key, more, &body_of(row)).await
    }

    async fn call_with(
        &self,
        row: &Row,
        key: &str,
        more: &[(&str, &str)],
        body: &Value,
    ) -> (Answer, Vec<Received>) {
        let request_id = ids::new_id();
        let query = row.query.iter().map(|field| format!("{}=v%20{}&", field.name, field.name));
        let query: String = query.collect();
        let target = format!("{}?{query}_method=DELETE&x-api-key=1&debug=1", path_of(row));
        let mut request = self
            .app
            .request(row.method.parse::<Method>().unwrap(), &target)
            .header("x-api-key", key)
            .header("x-request-id", &request_id);
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        if matches!(row.body, Body::Object(_)) {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = Answer::read(request.send().await.unwrap()).await;
        let mut received = self.upstream.take();
        received.retain(|r| r.header("x-request-id") == Some(&request_id));
        (answer, received)
    }

    /// The entries with the action, oldest first.
    async fn outcomes(&self, action: &str) -> Vec<String> {
        let entries = self.app.entries().await;
        let of_action = entries.iter().rev().filter(|e| e["action"] == action);
        of_action.map(|e| e["outcome"].as_str().unwrap().to_owned()).collect()
    }
}

fn path_of(row: &Row) -> String {
    [
        ("postGroupId", POST),
        ("webhookId", HOOK),
        ("userId", USER),
        ("platformId", "bluesky-did:plc:abc"),
        ("first", "folders"),
        ("second", "12"),
    ]
    .iter()
    .fold(row.path.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value))
}

/// A body of the row's fields, and of some it does not name.
fn body_of(row: &Row) -> Value {
    let Body::Object(fields) = row.body else { return Value::Null };
    let mut body = json!({ "unknown": { "field": [1, 2.5, null, "é"] } });
    for field in fields {
        body[field.name] = match field.name {
            "events" => json!(["post.published"]),
            "url" => json!("https://hooks.example/path-canary?token=canary"),
            "isActive" | "rotate" => json!(true),
            "expiresInDays" => json!(30),
            "status" => json!("draft"),
            "scheduledTime" => continue,
            "postGroupId" => json!(POST),
            "platforms" => json!(["twitter-1"]),
            "platformSettings" => json!({ "tiktok": {} }),
            "username" => json!("new@test.example"),
            name => json!(format!("{name}-1")),
        };
    }
    body
}

/// The rows that are sent upstream.
fn sent_rows() -> Vec<&'static Row> {
    let rows: Vec<_> = rows().iter().filter(|r| r.needs != Needs::AnyKey).collect();
    let mut rows: Vec<_> = rows.into_iter().filter(|r| !r.path.ends_with("/api-key")).collect();
    // The user is not there any more after it.
    rows.sort_by_key(|r| r.action() == Some(Action::TenantDetach));
    assert!(rows.len() >= 40, "{}", rows.len());
    rows
}

/// The hop-by-hop headers, twins with underscores, and whatever else a caller may hope to have passed on.
const HOSTILE: &[(&str, &str)] = &[
    ("connection", "close, x-api-key, x-postpost-user-id"),
    ("keep-alive", "timeout=5"),
    ("proxy-authorization", "Basic Zm9v"),
    ("te", "trailers"),
    ("trailer", "x-late"),
    ("upgrade", "h2c"),
    ("x_api_key", "sk_twin"),
    ("x_postpost_user_id", "65f0a1b2c3d4e5f6010203ff"),
    ("authorization", "Bearer sk_other_canary_key_of_the_caller"),
    ("cookie", "session=canary"),
    ("origin", "https://evil.example"),
    ("referer", "https://evil.example/canary"),
    ("user-agent", "canary/1"),
    ("accept", "text/html"),
    ("accept-language", "de"),
    ("accept-encoding", "gzip"),
    ("x-forwarded-for", "203.0.113.9"),
    ("x-forwarded-host", "evil.example"),
    ("x-real-ip", "203.0.113.9"),
    ("forwarded", "for=203.0.113.9"),
    ("x-http-method-override", "DELETE"),
    ("x-original-url", "/api/v1/workspace/users"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("range", "bytes=0-1"),
    ("expect", "200-ok"),
    ("content-encoding", "identity"),
    ("x-publora-client", "older"),
    ("x-postpost-client", "mcp"),
];

async fn every_row_is_sent_as_it_was_built(engine: Engine) {
    let scene = Scene::set_up(engine, well).await;
    let mut tried = 0;
    for (n, row) in sent_rows().into_iter().enumerate() {
        let once = format!("row-{n}");
        let headers = [HOSTILE, &[("idempotency-key", once.as_str())]].concat();
        let (answer, received) = scene.call(row, scene.key_for(row), &headers).await;
        let name = format!("{} {}", row.method, row.path);
        assert!((200..300).contains(&answer.status), "{name}: {} {}", answer.status, answer.text);
        let path = path_of(row).replace(':', "%3A").replace("%3Aplc%3A", ":plc:");
        let call =
            received.iter().find(|r| r.method == row.method && (r.path == path || r.path == path_of(row)));
        let call = call.unwrap_or_else(|| panic!("{name}: {received:?}"));
        let expected: BTreeMap<String, String> =
            row.query.iter().map(|f| (f.name.to_owned(), format!("v {}", f.name))).collect();
        assert_eq!(call.query_pairs(), expected, "{name}: only the query that the row allows");
        match row.body {
            Body::None => assert_eq!(call.body, "", "{name}"),
            Body::Object(_) if row.path.contains("update-post") => {
                assert_eq!(
                    call.json(),
                    json!({ "status": "draft", "unknown": body_of(row)["unknown"] }),
                    "{name}"
                );
            }
            Body::Object(_) => assert_eq!(call.json(), body_of(row), "{name}"),
        }
        let known = [
            "host",
            "x-api-key",
            "x-request-id",
            "accept",
            "user-agent",
            "x-postpost-user-id",
            "x-postpost-client",
            "content-type",
            "content-length",
        ];
        for received in &received {
            for (header, value) in &received.headers {
                assert!(known.contains(&header.as_str()), "{name} sends {header}: {value}");
                assert!(!value.contains("canary"), "{name} sends {header}: {value}");
            }
            assert_eq!(received.header("x-api-key"), Some(UPSTREAM_KEY), "{name}");
            assert_eq!(received.header("accept"), Some("application/json"), "{name}");
            let user = (!matches!(row.needs, Needs::Workspace(_))).then_some(USER);
            assert_eq!(received.header("x-postpost-user-id"), user, "{name}");
        }
        // Two labels that differ: the newer name counts.
        assert_eq!(call.header("x-postpost-client"), Some("mcp"), "{name}");
        tried += 1;
    }
    println!("rows sent as they were built: {tried}");
}

async fn every_row_needs_its_scope(engine: Engine) {
    let scene = Scene::set_up(engine, well).await;
    let mut keys = BTreeMap::new();
    for row in rows() {
        let name = format!("{} {}", row.method, row.path);
        let (scope, kind) = match row.needs {
            Needs::AnyKey => continue,
            Needs::Scope(scope) => (scope, KeyKind::Tenant),
            Needs::Workspace(scope) => (scope, KeyKind::Workspace),
        };
        let all = Scope::ALL.iter().copied().filter(|s| *s != scope && *s != Scope::AuditRead);
        let all: Vec<Scope> = match kind {
            KeyKind::Tenant => Scopes::new(all).handed_on().iter().collect(),
            _ => all.collect(),
        };
        let tenant = (kind == KeyKind::Tenant).then_some(USER);
        if let Entry::Vacant(place) = keys.entry(scope) {
            place.insert(scene.app.key(&scene.ws, kind, tenant, &all).await);
        }
        let (refused, received) = scene.call(row, &keys[&scope], &[]).await;
        assert_eq!((refused.status, refused.json()["code"].as_str()), (403, Some("scope_missing")), "{name}");
        assert!(refused.text.contains(scope.as_str()), "{name}: {}", refused.text);
        assert!(received.is_empty(), "{name}: {received:?}");
        if kind == KeyKind::Workspace {
            let (refused, received) = scene.call(row, &scene.tenant_key, &[]).await;
            let text = "Workspace access is not enabled for this key";
            assert_eq!((refused.status, refused.json()["error"].as_str()), (403, Some(text)), "{name}");
            assert!(received.is_empty(), "{name}: {received:?}");
        }
    }
    // Each scope opens something, so that none is offered for nothing.
    for scope in Scope::ALL.iter().filter(|s| **s != Scope::AuditRead) {
        assert!(keys.contains_key(scope), "{scope} opens no route");
    }
}

async fn what_changes_something_is_audited_and_nothing_else(engine: Engine) {
    let scene = Scene::set_up(engine, well).await;
    for row in sent_rows() {
        let name = format!("{} {}", row.method, row.path);
        let before = scene.app.entries().await.len();
        let (answer, _) = scene.call(row, scene.key_for(row), &[]).await;
        assert!((200..300).contains(&answer.status), "{name}: {}", answer.text);
        let entries = scene.app.entries().await;
        let new: Vec<&Value> = entries[..entries.len() - before].iter().collect();
        // A detached tenant's keys end with it.
        let detaches = row.action() == Some(Action::TenantDetach);
        let (ended, new): (Vec<&Value>, Vec<&Value>) =
            new.into_iter().partition(|e| detaches && e["action"] == "key.revoke");
        assert_eq!(ended.len(), usize::from(detaches), "{name}");
        match row.effect {
            Effect::Reads | Effect::Own(_) => assert!(new.is_empty(), "{name}: {new:?}"),
            Effect::Changes(verb) => {
                let words: Vec<_> =
                    new.iter().map(|e| (e["action"].as_str(), e["outcome"].as_str())).collect();
                let action = Some(verb.as_str());
                assert_eq!(words, [(action, Some("succeeded")), (action, Some("intent"))], "{name}");
                assert_eq!(new[0]["workspace"], scene.ws.as_str(), "{name}");
                assert_eq!(new[0]["actor"]["type"], "key", "{name}");
                if !matches!(row.needs, Needs::Workspace(_)) {
                    assert_eq!(new[0]["tenant"], USER, "{name}");
                }
            }
        }
    }
    let hooks = scene.app.entries().await;
    let made = hooks.iter().find(|e| e["action"] == "webhook.create" && e["outcome"] == "succeeded").unwrap();
    assert_eq!(made["targets"], json!([{ "type": "webhook", "id": HOOK }]));
}

async fn no_header_of_upstreams_reaches_the_client(engine: Engine) {
    let hostile = "set-cookie: canary=1\r\nlocation: https://evil.example/canary\r\nserver: canary/1\r\n\
        x-powered-by: canary\r\netag: canary\r\naccess-control-allow-origin: *\r\nx-request-id: canary\r\n\
        www-authenticate: canary\r\nretry-after: 7\r\ncontent-security-policy: canary\r\n";
    let script = move |received: &Received| match well(received) {
        Script::Answer(status, _, body) => Script::Answer(status, hostile.into(), body),
        Script::Drop => Script::Drop,
    };
    let scene = Scene::set_up(engine, script).await;
    for row in sent_rows() {
        let (answer, _) = scene.call(row, scene.key_for(row), &[]).await;
        let name = format!("{} {}", row.method, row.path);
        for gone in
            ["set-cookie", "location", "server", "x-powered-by", "etag", "access-control-allow-origin"]
        {
            assert_eq!(answer.header(gone), "", "{name}: {gone}");
        }
        for (header, value) in &answer.headers {
            assert!(!value.to_str().unwrap().contains("canary"), "{name}: {header}");
        }
        // The one that is passed on.
        assert_eq!(answer.header("retry-after"), "7", "{name}");
    }
}

async fn a_doubt_stays_unknown_and_nothing_is_sent_again(engine: Engine) {
    let broken = |received: &Received| match received.method.as_str() {
        "GET" => well(received),
        _ => Script::Drop,
    };
    let scene = Scene::set_up(engine, broken).await;
    let rows = sent_rows();
    let rows = rows.iter().filter(|r| match r.effect {
        Effect::Changes(verb) => !verb.can_be_looked_up(),
        Effect::Reads | Effect::Own(_) => false,
    });
    for (n, row) in rows.enumerate() {
        let name = format!("{} {}", row.method, row.path);
        let once = format!("doubt-{n}");
        let keyed = [("idempotency-key", once.as_str())];
        let before = scene.outcomes(row.action().unwrap().as_str()).await.len();
        let (answer, received) = scene.call(row, &scene.tenant_key, &keyed).await;
        assert_eq!((answer.status, &answer.json()["code"]), (504, &json!("outcome_unknown")), "{name}");
        assert_eq!(received.len(), 1, "{name}");
        let op = answer.json()["operationId"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/operations/{op}");
        let told = scene.app.api(Method::GET, &path, &scene.tenant_key, None).await.json();
        assert_eq!(
            (&told["state"], &told["action"]),
            (&json!("unknown"), &json!(row.action().unwrap().as_str())),
            "{name}"
        );
        assert!(told["endedAt"].is_string(), "{name}: {told}");
        assert_eq!(
            scene.outcomes(row.action().unwrap().as_str()).await[before..],
            ["intent", "unknown"],
            "{name}"
        );
        // Under the same key it stays unknown.
        let (again, received) = scene.call(row, &scene.tenant_key, &keyed).await;
        assert_eq!((again.status, again.json()["operationId"].as_str()), (504, Some(op.as_str())), "{name}");
        assert!(received.is_empty(), "{name}: {received:?}");
    }
}

async fn a_deleted_webhook_in_doubt_is_looked_up(engine: Engine) {
    let script = |received: &Received| match (received.method.as_str(), received.path.as_str()) {
        ("GET", "/api/v1/webhooks") => Script::json(200, &json!({ "webhooks": [{ "_id": HOOK }] })),
        ("DELETE", _) => Script::Drop,
        _ => well(received),
    };
    let scene = Scene::set_up(engine, script).await;
    for (hook, end) in [(HOOK, "not_applied"), ("65f0a1b2c3d4e5f601020399", "gone")] {
        let path = format!("/api/v1/webhooks/{hook}");
        let delete = async || {
            let call = scene.app.request(Method::DELETE, &path).header("x-api-key", &scene.tenant_key);
            Answer::read(call.header("idempotency-key", hook).send().await.unwrap()).await
        };
        let answer = delete().await;
        assert_eq!(answer.status, 504, "{}", answer.text);
        scene.app.until_settled().await;
        let op = format!("/api/v1/operations/{}", answer.json()["operationId"].as_str().unwrap());
        let told = scene.app.api(Method::GET, &op, &scene.tenant_key, None).await.json();
        assert_eq!((&told["state"], &told["webhookId"]), (&json!(end), &json!(hook)));
        if end == "gone" {
            let again = delete().await;
            assert_eq!((again.status, again.json()), (404, json!({ "error": "Webhook not found" })));
        }
        let deletes = scene.upstream.take().iter().filter(|r| r.method == "DELETE").count();
        assert_eq!(deletes, 1, "it is not sent again");
    }
}

async fn a_secret_goes_to_the_caller_and_is_kept_nowhere(engine: Engine) {
    let scene = Scene::set_up(engine, well).await;
    let with_secret = |row: &&&Row| match row.effect {
        Effect::Changes(verb) => !verb.secret_fields().is_empty() && row.path != "/api/v1/workspace/users",
        Effect::Reads | Effect::Own(_) => false,
    };
    let rows = sent_rows();
    let rows: Vec<_> = rows.iter().filter(with_secret).collect();
    assert_eq!(rows.len(), 4);
    for (n, row) in rows.iter().enumerate() {
        let name = format!("{} {}", row.method, row.path);
        let once = format!("secret-{n}");
        let keyed = [("idempotency-key", once.as_str())];
        let secret = if row.path.contains("connection-url") { "canary-link" } else { SECRET };
        let (answer, _) = scene.call(row, scene.key_for(row), &keyed).await;
        assert!(answer.text.contains(secret), "{name}: {}", answer.text);
        let (again, received) = scene.call(row, scene.key_for(row), &keyed).await;
        assert_eq!((again.status, again.header("idempotency-replayed")), (answer.status, "true"), "{name}");
        assert!(!again.text.contains(secret), "{name}: {}", again.text);
        assert!(again.text.contains("\"success\":true"), "{name}: {}", again.text);
        assert!(received.is_empty(), "{name}");
    }
    for entry in scene.app.app().db.audit_page(&Default::default(), None, None, 500).await.unwrap() {
        let text = format!("{} {:?}", String::from_utf8_lossy(&entry.bytes), entry.details);
        for secret in [SECRET, "canary-link", "path-canary", "token=canary"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

async fn what_is_sent_is_checked_first(engine: Engine) {
    let scene = Scene::set_up(engine, well).await;
    let http = |method: Method, path: &str| {
        let request = scene.app.request(method, path).header("x-api-key", &scene.tenant_key);
        request.header("content-type", "application/json")
    };
    let deep = format!("{}1{}", "{\"a\":".repeat(80), "}".repeat(80));
    for (method, path, body, status) in [
        (Method::POST, "/api/v1/webhooks", "{", 400),
        (Method::POST, "/api/v1/webhooks", "[]", 400),
        (Method::POST, "/api/v1/webhooks", "{\"a\":1,\"a\":2}", 400),
        (Method::DELETE, "/api/v1/linkedin-comments", "{\"a\":1,\"a\":2}", 400),
        (Method::POST, "/api/v1/linkedin-followers", deep.as_str(), 400),
        (Method::POST, "/api/v1/get-upload-url", "{\"a\":1e999}", 400),
        (Method::PATCH, "/api/v1/webhooks/..", "{}", 404),
        (Method::PATCH, "/api/v1/webhooks/%2e%2e", "{}", 404),
        (Method::PATCH, "/api/v1/webhooks/65F0A1B2C3D4E5F601020306", "{}", 400),
        (Method::DELETE, "/api/v1/webhooks/65f0a1b2c3d4e5f601020306%2f..", "", 400),
        (Method::POST, "/api/v1/webhooks/x/regenerate-secret", "", 400),
        (Method::GET, "/api/v1/post-logs/nonsense", "", 400),
        (Method::POST, "/api/v1/test-connection/..%2f..", "", 400),
        (Method::POST, "/api/v1/test-connection/nonsense", "", 400),
        (Method::GET, "/api/v1/x-bookmarks/a/b/c", "", 404),
        (Method::GET, "/api/v1/x-bookmarks/%2e%2e/workspace", "", 404),
        (Method::GET, "/api/v1/x-bookmarks/a%2fb", "", 400),
        (Method::GET, "/api/v1/x-bookmarks?page=1&page=2", "", 400),
    ] {
        scene.upstream.take();
        let request = http(method.clone(), path).header("x-request-id", "checked").body(body.to_owned());
        let answer = Answer::read(request.send().await.unwrap()).await;
        let short: String = body.chars().take(30).collect();
        assert_eq!(answer.status, status, "{method} {path} {short}: {}", answer.text);
        assert!(answer.json()["code"].is_string(), "{}", answer.text);
        let mut received = scene.upstream.take();
        received.retain(|r| r.header("x-request-id") == Some("checked"));
        assert!(received.is_empty(), "{method} {path}: {received:?}");
    }
    let plain = http(Method::POST, "/api/v1/webhooks").header("content-type", "text/plain").body("{}");
    assert!(matches!(plain.send().await.unwrap().status().as_u16(), 400 | 415));
    // A text with another media type alone.
    let request = scene.app.request(Method::POST, "/api/v1/webhooks").header("x-api-key", &scene.tenant_key);
    assert_eq!(request.header("content-type", "text/plain").body("{}").send().await.unwrap().status(), 415);
}
