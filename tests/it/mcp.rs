//! `/mcp`, as an assistant meets it: with the protocol's own client, in both of its ways to begin, and by hand.

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
};
use reqwest::{Method, header::HeaderMap};
use rmcp::{
    ClientLifecycleMode, ClientServiceExt, RoleClient, ServiceError,
    model::{CallToolRequestParams, ClientCapabilities, ClientConfig, Implementation, ProtocolVersion},
    service::{ClientInitializeError, RunningService},
    transport::{
        StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig as Config,
    },
};
use serde_json::{Value, json};
use std::collections::HashMap;

gateway_on_both_engines!(
    a_session_does_what_the_tenant_may,
    tools_are_those_that_the_keys_scopes_open,
    who_may_not_call_is_told_so,
    a_frozen_tenant_sends_nothing_and_says_why,
    a_change_in_doubt_is_not_made_again,
    the_statuses_offered_can_be_asked_for,
    an_idempotency_key_makes_a_tool_run_once,
    a_post_is_created_once,
    a_workspace_key_names_its_tenant,
    messages_that_are_none_are_refused,
    arguments_that_are_none_are_refused,
    calls_count_on_the_keys_limit,
    the_client_is_known_upstream_and_in_the_log,
);

type Session = RunningService<RoleClient, ClientConfig>;

const ALL_TOOLS: [&str; 9] = [
    "list_posts",
    "get_post",
    "create_post",
    "reschedule_post",
    "pause_post",
    "resume_post",
    "delete_post",
    "list_connections",
    "get_operation",
];

/// The protocol's two ways to begin: a handshake, and since 2026-07-28 none.
fn beginnings() -> [ClientLifecycleMode; 2] {
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    [ClientLifecycleMode::Initialize, ClientLifecycleMode::Discover { preferred_versions }]
}

async fn begin(
    app: &TestApp,
    key: &str,
    headers: &[(&str, &str)],
    how: ClientLifecycleMode,
) -> Result<Session, ClientInitializeError> {
    let headers: HashMap<_, _> =
        headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    let config = Config::with_uri(format!("{}/mcp", app.url())).auth_header(key).custom_headers(headers);
    let transport = StreamableHttpClientTransport::with_client(client(), config);
    let probe = Implementation::new("probe sk_ght_secret", "1.2");
    ClientConfig::new(ClientCapabilities::default(), probe).serve_with_lifecycle(transport, how).await
}

async fn session(app: &TestApp, key: &str) -> Session {
    begin(app, key, &[], ClientLifecycleMode::Initialize).await.unwrap()
}

/// A tool's result: whether it is an error, and what it says. Text and structure say the same.
async fn call(session: &Session, tool: &'static str, arguments: Value) -> (bool, Value) {
    let params = CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone());
    let result = session.call_tool(params).await.unwrap_or_else(|error| panic!("{tool}: {error}"));
    let structured = result.structured_content.unwrap();
    let text = &result.content[0].as_text().unwrap().text;
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), structured, "{tool}");
    (result.is_error.unwrap(), structured)
}

/// The same, of which no error is expected.
async fn done(session: &Session, tool: &'static str, arguments: Value) -> Value {
    let (error, answer) = call(session, tool, arguments).await;
    assert!(!error, "{tool}: {answer}");
    answer
}

/// The same, of which an error is expected: its code.
async fn refused(session: &Session, tool: &'static str, arguments: Value) -> (String, Value) {
    let (error, answer) = call(session, tool, arguments).await;
    assert!(error, "{tool}: {answer}");
    assert!(answer["error"].is_string() && answer["requestId"].is_string() && answer["status"].is_u64());
    (answer["code"].as_str().unwrap().to_owned(), answer)
}

async fn names(session: &Session) -> Vec<String> {
    session.list_all_tools().await.unwrap().into_iter().map(|tool| tool.name.into_owned()).collect()
}

async fn status_and_time(app: &TestApp, id: &str) -> (String, Option<String>) {
    let post = app.control(Method::GET, &format!("posts/{id}"), Value::Null).await;
    (post["status"].as_str().unwrap().to_owned(), post["scheduledTime"].as_str().map(str::to_owned))
}

/// Action and outcome of the entries about a post, oldest first.
async fn entries_of(app: &TestApp, id: &str) -> Vec<String> {
    let entries = app.entries().await;
    let of_post = entries.iter().rev().filter(|e| e["targets"][0]["id"] == id);
    of_post.map(|e| format!("{} {}", e["action"].as_str().unwrap(), e["outcome"].as_str().unwrap())).collect()
}

/// A message by hand: status, headers and what is answered.
async fn post(app: &TestApp, key: &str, headers: &[(&str, &str)], body: impl Into<String>) -> Answer {
    let mut all = HeaderMap::new();
    for (name, value) in [
        ("authorization", format!("Bearer {key}").as_str()),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ]
    .iter()
    .chain(headers)
    {
        let name: reqwest::header::HeaderName = name.parse().unwrap();
        all.insert(name, value.parse().unwrap());
    }
    let request = app.request(Method::POST, "/mcp").headers(all).body(body.into());
    Answer::read(request.send().await.unwrap()).await
}

fn tools_call(tool: &str, arguments: Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call",
            "params": { "name": tool, "arguments": arguments } })
    .to_string()
}

async fn a_session_does_what_the_tenant_may(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let (soon, later) = (times::to_iso(app.clock.now() + DAY), times::to_iso(app.clock.now() + 2 * DAY));
    let past = times::to_iso(app.clock.now() - DAY);
    app.control(
        Method::POST,
        "connections",
        json!({ "userId": tenant.id, "platformId": "twitter-1", "username": "ann" }),
    )
    .await;
    for how in beginnings() {
        let made = vec![
            json!({ "content": "first", "status": "scheduled", "scheduledTime": soon }),
            json!({ "content": "missed", "status": "draft", "scheduledTime": past }),
        ];
        let ids = app.posts(&tenant.id, made).await;
        let (id, missed) = (ids[0].as_str(), ids[1].as_str());
        let session = begin(&app, &tenant.key, &[], how.clone()).await.unwrap();
        let server = session.peer_info().unwrap();
        assert_eq!(server.server_info.as_ref().map(|i| i.name.as_str()), Some("gatehouse"), "{how:?}");
        assert_eq!(names(&session).await, ALL_TOOLS, "{how:?}");

        let listed = done(&session, "list_posts", json!({ "status": "scheduled", "limit": 100 })).await;
        assert!(listed["posts"].as_array().unwrap().iter().any(|p| p["postGroupId"] == id), "{listed}");
        let shown = done(&session, "get_post", json!({ "postGroupId": id })).await;
        assert_eq!(shown["posts"][0]["content"], "first");
        let connections = done(&session, "list_connections", json!({})).await;
        assert_eq!(connections["connections"][0]["platformId"], "twitter-1");

        let moved = json!({ "postGroupId": id, "scheduledTime": later });
        let moved = done(&session, "reschedule_post", moved).await;
        assert_eq!(moved["postGroup"]["scheduledTime"], later);
        assert_eq!(status_and_time(&app, id).await, ("scheduled".into(), Some(later.clone())));
        done(&session, "pause_post", json!({ "postGroupId": id })).await;
        assert_eq!(status_and_time(&app, id).await, ("draft".into(), Some(later.clone())));
        done(&session, "resume_post", json!({ "postGroupId": id, "scheduledTime": null })).await;
        assert_eq!(status_and_time(&app, id).await, ("scheduled".into(), Some(later.clone())));

        // What would go out at once is refused, whatever headers the client sends; with a new time it is resumed.
        let resume = json!({ "postGroupId": missed });
        assert_eq!(refused(&session, "resume_post", resume.clone()).await.0, "past_time");
        let headers = [("x-gatehouse-publish-now", "1"), ("idempotency-key", "one for all")];
        let pushy = begin(&app, &tenant.key, &headers, how.clone()).await.unwrap();
        assert_eq!(refused(&pushy, "resume_post", resume.clone()).await.0, "past_time");
        let back = json!({ "postGroupId": missed, "scheduledTime": past });
        assert_eq!(refused(&session, "reschedule_post", back).await.0, "past_time");
        assert_eq!(status_and_time(&app, missed).await.0, "draft");
        done(&session, "resume_post", json!({ "postGroupId": missed, "scheduledTime": soon })).await;
        assert_eq!(status_and_time(&app, missed).await, ("scheduled".into(), Some(soon.clone())));

        assert_eq!(
            done(&session, "delete_post", json!({ "postGroupId": id })).await,
            json!({ "success": true })
        );
        let (code, gone) = refused(&session, "delete_post", json!({ "postGroupId": id })).await;
        assert_eq!(
            (code.as_str(), &gone["error"], &gone["status"]),
            ("upstream_refused", &json!("Post group not found"), &json!(404))
        );
        let expected = [
            "post.update intent",
            "post.update succeeded",
            "post.update intent",
            "post.update succeeded",
            "post.update intent",
            "post.update succeeded",
            "post.delete intent",
            "post.delete succeeded",
            "post.delete gone",
        ];
        assert_eq!(entries_of(&app, id).await, expected, "{how:?}");
        assert_eq!(
            entries_of(&app, missed).await,
            [
                "post.update denied",
                "post.update denied",
                "post.update denied",
                "post.update intent",
                "post.update succeeded"
            ]
        );
        session.cancel().await.unwrap();
    }
}

async fn tools_are_those_that_the_keys_scopes_open(engine: Engine) {
    use Scope::{ConnectionsRead, PostsDelete, PostsRead, PostsUpdate};
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let id = app.posts(&tenant.id, vec![json!({ "status": "draft" })]).await.remove(0);
    app.quiet().await;
    for (scopes, open) in [
        (vec![PostsRead], vec!["list_posts", "get_post", "get_operation"]),
        (vec![PostsUpdate], vec!["reschedule_post", "pause_post", "resume_post", "get_operation"]),
        (vec![PostsDelete, ConnectionsRead], vec!["delete_post", "list_connections", "get_operation"]),
        (vec![Scope::PostsCreate], vec!["create_post", "get_operation"]),
        (vec![Scope::MediaWrite], vec!["get_operation"]),
    ] {
        let key = app.key(&app.ws, KeyKind::Tenant, Some(&tenant.id), &scopes).await;
        for how in beginnings() {
            assert_eq!(names(&begin(&app, &key, &[], how).await.unwrap()).await, open);
        }
    }
    // Called all the same: refused as on every other way in, and in the log.
    let key = app.key(&app.ws, KeyKind::Tenant, Some(&tenant.id), &[PostsRead]).await;
    let session = session(&app, &key).await;
    let later = times::to_iso(app.clock.now() + DAY);
    for (tool, arguments, scope) in [
        ("delete_post", json!({ "postGroupId": id }), "posts:delete"),
        ("pause_post", json!({ "postGroupId": id }), "posts:update"),
        ("reschedule_post", json!({ "postGroupId": id, "scheduledTime": later }), "posts:update"),
        ("list_connections", json!({}), "connections:read"),
        ("create_post", json!({ "content": "x", "platforms": ["twitter-1"] }), "posts:create"),
    ] {
        let before = app.entries().await.len();
        let (code, answer) = refused(&session, tool, arguments).await;
        assert!(code == "scope_missing" && answer["error"].as_str().unwrap().contains(scope), "{answer}");
        let entries = app.entries().await;
        assert_eq!((entries.len(), &entries[0]["outcome"]), (before + 1, &json!("denied")), "{tool}");
        assert_eq!(entries[0]["action"], "access.refuse");
    }
    assert_eq!(app.calls().await, 0, "nothing was sent upstream");
    // What each tool is said to do is what clients ask people about.
    let all = self::session(&app, &tenant.key).await.list_all_tools().await.unwrap();
    for tool in all {
        let hints = tool.annotations.unwrap();
        let reads = ["list_posts", "get_post", "list_connections", "get_operation"].contains(&&*tool.name);
        assert_eq!(hints.read_only_hint, Some(reads), "{}", tool.name);
        if tool.name == "create_post" {
            assert_eq!((hints.destructive_hint, hints.idempotent_hint), (Some(false), Some(false)));
        }
        if tool.name == "delete_post" {
            assert_eq!((hints.destructive_hint, hints.idempotent_hint), (Some(true), Some(true)));
        }
        assert_eq!(tool.input_schema["additionalProperties"], false, "{}", tool.name);
        assert!(
            tool.input_schema["properties"]
                .as_object()
                .unwrap()
                .values()
                .all(|p| p["description"].is_string())
        );
    }
}

async fn who_may_not_call_is_told_so(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let audit = app.key(&app.ws, KeyKind::Audit, None, &[Scope::AuditRead]).await;
    app.quiet().await;
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string();
    for key in ["", "nonsense", &audit] {
        let answer = post(&app, key, &[], list.clone()).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer"), "{}", answer.text);
        assert!(answer.json()["code"].is_string() && answer.json()["requestId"].is_string());
        for how in beginnings() {
            let error = begin(&app, if key.is_empty() { "x" } else { key }, &[], how).await.err().unwrap();
            assert!(error.auth_challenge().is_some(), "{error:?}");
        }
    }
    // A page of somebody else's in a person's browser; the gateway's own origin, and no page at all, may call.
    for (origin, status) in [
        ("https://evil.example", 403),
        ("null", 403),
        ("http://localhost.evil.example", 403),
        (app.url(), 200),
    ] {
        let answer = post(&app, &tenant.key, &[("origin", origin)], list.clone()).await;
        assert_eq!(answer.status, status, "{origin}: {}", answer.text);
        assert!(answer.header("access-control-allow-origin").is_empty());
    }
    // A key that is revoked while a session goes on.
    let running = session(&app, &tenant.key).await;
    assert_eq!(names(&running).await, ALL_TOOLS);
    let key = app.app().access.key(&tenant.key).unwrap();
    app.app().db.revoke_key(&app.owner, &key, app.clock.now()).await.unwrap();
    app.app().access.reload().await.unwrap();
    for _ in 0..2 {
        let error = running.call_tool(CallToolRequestParams::new("list_posts")).await.unwrap_err();
        assert!(matches!(error, ServiceError::TransportSend(_) | ServiceError::TransportClosed), "{error:?}");
    }
    assert_eq!(post(&app, &tenant.key, &[], list).await.status, 401);
    assert_eq!(app.calls().await, 0, "nothing was sent upstream");
}

async fn a_frozen_tenant_sends_nothing_and_says_why(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let id = app.posts(&tenant.id, vec![json!({ "status": "draft" })]).await.remove(0);
    let session = session(&app, &tenant.key).await;
    let db = &app.app().db;
    db.freeze_tenant(&app.owner, &app.ws, &tenant.id, Some("unpaid"), app.clock.now()).await.unwrap();
    app.app().access.reload().await.unwrap();
    app.quiet().await;
    for (tool, arguments) in [("list_posts", json!({})), ("delete_post", json!({ "postGroupId": id }))] {
        let (code, answer) = refused(&session, tool, arguments).await;
        assert_eq!((code.as_str(), answer["status"].as_u64()), ("frozen", Some(423)));
        assert!(answer["error"].as_str().unwrap().contains("unpaid"), "{answer}");
        assert_eq!(app.entries().await[0]["outcome"], "denied");
    }
    assert_eq!(app.calls().await, 0);
}

async fn a_change_in_doubt_is_not_made_again(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let session = session(&app, &tenant.key).await;
    for (rule, end) in
        [("resetAfter", "applied"), ("resetBefore", "not_applied"), ("garbageAfter", "applied")]
    {
        let id = app.posts(&tenant.id, vec![json!({ "status": "draft" })]).await.remove(0);
        app.faults(json!([{ "match": { "method": "DELETE" }, rule: true }])).await;
        let (code, answer) = refused(&session, "delete_post", json!({ "postGroupId": id })).await;
        app.control(Method::DELETE, "faults", Value::Null).await;
        assert!(["outcome_unknown", "upstream_bad_reply"].contains(&code.as_str()), "{answer}");
        assert!(answer["advice"].as_str().unwrap().contains("get_operation"), "{answer}");
        app.until_settled().await;
        let asked = json!({ "operationId": answer["operationId"] });
        let told = done(&session, "get_operation", asked).await;
        assert_eq!((&told["state"], &told["postGroupId"]), (&json!(end), &json!(id)), "{rule}");
    }
    // What was refused before it was sent is no doubt.
    let id = app.posts(&tenant.id, vec![json!({ "status": "published" })]).await.remove(0);
    let (code, answer) = refused(&session, "delete_post", json!({ "postGroupId": id })).await;
    assert_eq!((code.as_str(), answer.get("advice")), ("delete_blocked", None));
    // Another tenant's operation is not there.
    let other = app.tenant("bob").await;
    let id = app.posts(&other.id, vec![json!({ "status": "draft" })]).await.remove(0);
    app.faults(json!([{ "match": { "method": "DELETE" }, "resetAfter": true }])).await;
    let theirs = self::session(&app, &other.key).await;
    let (_, answer) = refused(&theirs, "delete_post", json!({ "postGroupId": id })).await;
    app.control(Method::DELETE, "faults", Value::Null).await;
    let asked = json!({ "operationId": answer["operationId"] });
    assert_eq!(refused(&session, "get_operation", asked).await.0, "not_found");
    app.until_settled().await;
}

/// Every status that a tool offers is one that PostPost knows.
async fn the_statuses_offered_can_be_asked_for(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let session = session(&app, &tenant.key).await;
    let tools = session.list_all_tools().await.unwrap();
    let tool = tools.iter().find(|tool| tool.name == "list_posts").unwrap();
    let offered = tool.input_schema["properties"]["status"]["enum"].as_array().unwrap().clone();
    assert!(offered.len() >= 5, "{offered:?}");
    for status in &offered {
        done(&session, "list_posts", json!({ "status": status })).await;
    }
    assert_eq!(refused(&session, "list_posts", json!({ "status": "unknown" })).await.0, "invalid_arguments");
}

async fn an_idempotency_key_makes_a_tool_run_once(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let later = times::to_iso(app.clock.now() + DAY);
    let post = json!({ "status": "scheduled", "scheduledTime": later });
    let id = app.posts(&tenant.id, vec![post]).await.remove(0);
    let session = session(&app, &tenant.key).await;
    let arguments = json!({ "postGroupId": id, "idempotencyKey": "pause 1" });
    // What is no key in a header is none here.
    for bad in ["", " pause 1", "pause, 1", "päuse", "pause\n1", &"x".repeat(256)] {
        let wrong = json!({ "postGroupId": id, "idempotencyKey": bad });
        let (code, answer) = refused(&session, "pause_post", wrong).await;
        assert_eq!(code, "invalid_arguments", "{bad:?}");
        assert!(answer["error"].as_str().unwrap().starts_with("idempotencyKey must be"), "{answer}");
    }
    let first = done(&session, "pause_post", arguments.clone()).await;
    assert_eq!(done(&session, "pause_post", arguments.clone()).await, first);
    let other = json!({ "postGroupId": id, "scheduledTime": later, "idempotencyKey": "pause 1" });
    assert_eq!(refused(&session, "reschedule_post", other).await.0, "idempotency_mismatch");
    assert_eq!(entries_of(&app, &id).await, ["post.update intent", "post.update succeeded"]);
    // The keys are the tenant's, not a door's.
    let request = app
        .request(Method::PUT, &format!("/api/v1/update-post/{id}"))
        .header("x-api-key", &tenant.key)
        .header("idempotency-key", "pause 1")
        .header("content-type", "application/json")
        .body(r#"{"status":"draft"}"#);
    let answer = Answer::read(request.send().await.unwrap()).await;
    assert_eq!((answer.header("idempotency-replayed"), answer.json()), ("true", first));
    assert_eq!(entries_of(&app, &id).await.len(), 2);
}

async fn a_post_is_created_once(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let scopes = [Scope::PostsCreate, Scope::PostsRead];
    let key = app.key(&app.ws, KeyKind::Tenant, Some(&tenant.id), &scopes).await;
    let session = session(&app, &key).await;
    let (later, past) = (times::to_iso(app.clock.now() + DAY), times::to_iso(app.clock.now() - DAY));
    let new = |more: Value| {
        let mut all = json!({ "content": "Hello", "platforms": ["twitter-1"] });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let draft = done(&session, "create_post", new(json!({}))).await;
    let id = draft["postGroupId"].as_str().unwrap();
    assert_eq!(status_and_time(&app, id).await, ("draft".into(), None));
    let once = new(json!({ "scheduledTime": later, "idempotencyKey": "hello 1",
                           "platformSettings": { "tiktok": { "privacy": "SELF_ONLY" } } }));
    let scheduled = done(&session, "create_post", once.clone()).await;
    let id = scheduled["postGroupId"].as_str().unwrap();
    assert_eq!(status_and_time(&app, id).await, ("scheduled".into(), Some(later)));
    assert_eq!(done(&session, "create_post", once).await, scheduled);
    assert_eq!(refused(&session, "create_post", new(json!({ "scheduledTime": past }))).await.0, "past_time");
    for (wrong, named) in [
        (json!({ "content": "" }), "content"),
        (json!({ "content": "   " }), "Content"),
        (json!({ "platforms": "twitter-1" }), "platforms"),
        (json!({ "platforms": [] }), "platforms"),
        (json!({ "platforms": ["no platform"] }), "platform"),
        (json!({ "platformSettings": [] }), "platformSettings"),
    ] {
        let (code, answer) = refused(&session, "create_post", new(wrong.clone())).await;
        assert!(
            code.starts_with("invalid_") && answer["error"].as_str().unwrap().contains(named),
            "{wrong}: {answer}"
        );
    }
    // The answer is lost: the operation tells which post it became.
    app.faults(json!([{ "match": { "path": "/api/v1/create-post" }, "resetAfter": true }])).await;
    let (_, lost) = refused(&session, "create_post", new(json!({ "content": "Lost" }))).await;
    app.control(Method::DELETE, "faults", Value::Null).await;
    app.until_settled().await;
    let told = done(&session, "get_operation", json!({ "operationId": lost["operationId"] })).await;
    let listed = done(&session, "list_posts", json!({})).await;
    let posts = listed["posts"].as_array().unwrap();
    let found = posts.iter().find(|post| post["content"] == "Lost").unwrap();
    assert_eq!((&told["state"], &told["postGroupId"]), (&json!("applied"), &found["postGroupId"]));
    assert_eq!(posts.len(), 3, "{listed}");
}

async fn a_workspace_key_names_its_tenant(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let (ann, bob) = (app.tenant("ann").await, app.tenant("bob").await);
    app.posts(&ann.id, vec![json!({ "content": "ann's" })]).await;
    app.posts(&bob.id, vec![json!({ "content": "bob's" })]).await;
    let key = app.key(&app.ws, KeyKind::Workspace, None, &[Scope::PostsRead]).await;
    for (tenant, text) in [(&ann, "ann's"), (&bob, "bob's")] {
        let headers = [("x-postpost-user-id", tenant.id.as_str())];
        let session = begin(&app, &key, &headers, ClientLifecycleMode::Initialize).await.unwrap();
        let listed = done(&session, "list_posts", json!({})).await;
        assert_eq!(listed["posts"].as_array().unwrap().len(), 1);
        assert_eq!(listed["posts"][0]["content"], text);
    }
    let headers = [("x-postpost-user-id", bob.id.as_str())];
    let answer = post(&app, &ann.key, &headers, tools_call("list_posts", json!({}))).await;
    assert_eq!((answer.status, answer.json()["code"].as_str().unwrap()), (403, "workspace_access"));
}

async fn messages_that_are_none_are_refused(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    app.quiet().await;
    let (key, entries) = (&tenant.key, app.entries().await.len());
    let message = |method: &str, params: Value| {
        json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string()
    };
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{}1{}}}"#,
        "{\"a\":".repeat(80),
        "}".repeat(80)
    );
    for (body, status, code) in [
        ("{".to_owned(), 400, -32700),
        ("\u{fe}".into(), 400, -32700),
        ("7".into(), 400, -32700),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"method\":\"tools/list\"}".into(), 400, -32700),
        (deep, 400, -32700),
        ("".into(), 400, -32600),
        ("{}".into(), 400, -32600),
        ("{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}".into(), 400, -32600),
        ("{\"id\":1,\"method\":\"ping\"}".into(), 400, -32600),
        ("{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"ping\"}".into(), 400, -32600),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}".into(), 400, -32600),
        (format!("[{}]", message("ping", json!({}))), 400, -32600),
        (message("posts/delete", json!({})), 200, -32601),
        (message("resources/list", json!({})), 200, -32601),
        (message("prompts/get", json!({ "name": "x" })), 200, -32601),
        (message("tools/call", json!({ "name": "drop_tables" })), 200, -32602),
        (message("tools/call", json!({ "name": 7 })), 200, -32602),
        (message("tools/call", json!({ "name": "list_posts", "arguments": [] })), 200, -32602),
        (message("tools/call", json!({})), 200, -32602),
        (message("initialize", json!({ "protocolVersion": 3 })), 200, -32602),
    ] {
        let answer = post(&app, key, &[], body.clone()).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (status, &json!(code)),
            "{body}: {}",
            answer.text
        );
        assert_eq!(answer.json()["jsonrpc"], "2.0");
        assert!(!answer.text.contains(key.as_str()));
    }
    let ping = message("ping", json!({}));
    for (headers, status) in [
        (vec![("accept", "text/html")], 406),
        (vec![("content-type", "text/plain")], 415),
        (vec![("mcp-protocol-version", "1999-01-01")], 400),
        (vec![("mcp-protocol-version", "2026-07-28")], 400),
        (vec![("mcp-session-id", "somebody-elses")], 200),
        (vec![("mcp-protocol-version", "2025-06-18")], 200),
    ] {
        let answer = post(&app, key, &headers, ping.clone()).await;
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text);
        assert!(answer.header("content-type").starts_with("application/json"), "{headers:?}");
    }
    let noted = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string();
    let answer = post(&app, key, &[], noted).await;
    assert_eq!((answer.status, answer.text.as_str()), (202, ""));
    assert_eq!(post(&app, key, &[], "x".repeat(300 << 10)).await.status, 413);
    for method in [Method::GET, Method::DELETE, Method::PUT] {
        let answer = app.api(method.clone(), "/mcp", key, None).await;
        assert_eq!((answer.status, answer.header("allow")), (405, "POST"), "{method}");
    }
    assert_eq!(app.api(Method::POST, "/mcp/", key, None).await.status, 404);
    assert_eq!(app.calls().await, 0, "nothing was sent upstream");
    assert_eq!(app.entries().await.len(), entries);
}

async fn arguments_that_are_none_are_refused(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let id = app.posts(&tenant.id, vec![json!({ "status": "draft" })]).await.remove(0);
    app.quiet().await;
    let session = session(&app, &tenant.key).await;
    for (tool, arguments, named) in [
        ("get_post", json!({}), "postGroupId"),
        ("get_post", json!({ "postGroupId": "../list-posts" }), "postGroupId"),
        ("get_post", json!({ "postGroupId": id.to_uppercase() + "0" }), "postGroupId"),
        ("get_post", json!({ "postGroupId": 7 }), "postGroupId"),
        ("delete_post", json!({ "postGroupId": id, "force": true }), "force"),
        ("delete_post", json!({ "postGroupId": [id] }), "postGroupId"),
        ("delete_post", json!({ "postGroupId": id, "idempotencyKey": "" }), "idempotencyKey"),
        ("delete_post", json!({ "postGroupId": id, "idempotencyKey": "x".repeat(256) }), "idempotencyKey"),
        ("delete_post", json!({ "postGroupId": id, "idempotencyKey": "a\r\nx-evil: 1" }), "idempotencyKey"),
        ("pause_post", json!({ "postGroupId": id, "status": "scheduled" }), "status"),
        ("reschedule_post", json!({ "postGroupId": id }), "scheduledTime"),
        ("reschedule_post", json!({ "postGroupId": id, "scheduledTime": null }), "scheduledTime"),
        ("reschedule_post", json!({ "postGroupId": id, "scheduledTime": "tomorrow" }), "scheduled time"),
        ("reschedule_post", json!({ "postGroupId": id, "scheduledTime": 1_900_000_000 }), "scheduledTime"),
        ("list_posts", json!({ "limit": 0 }), "limit"),
        ("list_posts", json!({ "limit": "100" }), "limit"),
        ("list_posts", json!({ "limit": 1.5 }), "limit"),
        ("list_posts", json!({ "status": "paused" }), "status"),
        ("list_posts", json!({ "platform": "x&userId=1".repeat(9) }), "platform"),
        ("get_operation", json!({ "operationId": "../../list-posts" }), "operationId"),
    ] {
        let (code, answer) = refused(&session, tool, arguments.clone()).await;
        assert!(answer["status"] == 400 && code.starts_with("invalid_"), "{tool} {arguments}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(named), "{tool} {arguments}: {answer}");
    }
    assert_eq!(app.calls().await, 0, "nothing was sent upstream");
    // What looks like more of the query is a value.
    let listed = done(&session, "list_posts", json!({ "platform": "x&limit=1" })).await;
    assert_eq!((listed["posts"].as_array().unwrap().len(), &listed["pagination"]["limit"]), (0, &json!(20)));
}

async fn calls_count_on_the_keys_limit(engine: Engine) {
    let app = TestApp::spawn_with(engine, |config| config.key_rate = 1).await;
    let tenant = app.tenant("ann").await;
    app.quiet().await;
    let mut statuses = Vec::new();
    for _ in 0..8 {
        let answer = post(&app, &tenant.key, &[], tools_call("list_connections", json!({}))).await;
        assert!(answer.header("ratelimit").contains("\"key\""), "{answer:?}");
        statuses.push(answer.status);
    }
    assert!(statuses.starts_with(&[200, 200, 200, 200, 200]) && statuses.contains(&429), "{statuses:?}");
}

async fn the_client_is_known_upstream_and_in_the_log(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    for (how, label) in beginnings().into_iter().zip(["mcp", "mcp probe sk_…/1.2"]) {
        let id = app.posts(&tenant.id, vec![json!({ "status": "draft" })]).await.remove(0);
        let headers = [("user-agent", "probe/1.2"), ("x-postpost-client", "web"), ("x-request-id", "call-1")];
        let session = begin(&app, &tenant.key, &headers, how).await.unwrap();
        done(&session, "delete_post", json!({ "postGroupId": id })).await;
        let stored = app.app().db.audit_page(&Default::default(), None, None, 2).await.unwrap();
        for entry in stored {
            let context: Value = serde_json::from_str(entry.detail("context").unwrap()).unwrap();
            assert_eq!((&context["client"], &context["userAgent"]), (&json!(label), &json!("probe/1.2")));
            assert_eq!((&context["requestId"], entry.action.as_str()), (&json!("call-1"), "post.delete"));
        }
    }
    let auditor = app.key(&app.ws, KeyKind::Audit, None, &[Scope::AuditRead]).await;
    let csv = app.api(Method::GET, "/manage/v1/audit.csv?action=post.delete", &auditor, None).await.text;
    let labels: Vec<&str> = csv.lines().map(|line| line.rsplit('"').nth(1).unwrap()).collect();
    let (plain, named) = ("mcp", "mcp probe sk_…/1.2");
    assert_eq!(labels, ["client", plain, plain, named, named], "{csv}");
    // An account whose plan has no MCP: PostPost says so, because it is told.
    let account =
        app.control(Method::POST, "workspaces", json!({ "name": "No MCP", "mcpEnabled": false })).await;
    let upstream_key = account["key"].as_str().unwrap();
    let new = gatehouse::http::admin::NewWorkspace {
        name: "No MCP".into(),
        environment: gatehouse::domain::workspaces::Environment::Development,
        base_url: app.sandbox.url(),
        upstream_key: upstream_key.into(),
    };
    let ws = gatehouse::http::admin::add_workspace(app.app(), &app.owner, "Owner", new).await.unwrap();
    let Tenant { key, .. } = app.tenant_of(&ws, upstream_key, "carl").await;
    let (_, answer) = refused(&session(&app, &key).await, "list_posts", json!({})).await;
    assert_eq!(answer["error"], "MCP access is not enabled for this account");
    assert_eq!(app.api(Method::GET, "/api/v1/list-posts", &key, None).await.status, 200);
    let unknown = json!({ "operationId": ids::new_id() });
    assert_eq!(refused(&session(&app, &key).await, "get_operation", unknown).await.0, "not_found");
}
