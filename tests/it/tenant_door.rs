//! The tenant door, as a PostPost client meets it: the same calls against the sandbox directly and through the gateway.

use crate::{
    support::databases::{Engine, gateway_on_both_engines},
    testapp::{Answer, TestApp},
};
use gatehouse::{
    clock::DAY,
    domain::{keys::KeyKind, keys::Scope, times},
};
use reqwest::Method;
use serde_json::{Value, json};

gateway_on_both_engines!(
    reads_are_what_upstream_says,
    every_way_to_send_a_key_works,
    authentication_errors_are_postposts,
    deleting_answers_as_upstream_does_and_follows_the_policy,
    updating_answers_as_upstream_does_and_never_publishes_unasked,
    bad_input_is_a_clear_4xx_on_every_door,
    upstream_faults_are_mapped_and_recorded,
    an_answer_with_the_accounts_key_in_it_goes_to_nobody,
    an_update_in_doubt_is_settled_from_the_list,
    frozen_and_suspended_send_nothing,
    the_owners_own_account_is_guarded_too,
    a_doubt_about_a_detached_tenant_is_closed,
);

/// The same call with the workspace's own key at the sandbox.
async fn direct(app: &TestApp, method: Method, path: &str, tenant: &str, body: Option<Value>) -> Answer {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = http
        .request(method, format!("{}{path}", app.sandbox.url()))
        .header("x-api-key", &app.ws_key)
        .header("x-postpost-user-id", tenant);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    Answer::read(request.send().await.unwrap()).await
}

async fn reads_are_what_upstream_says(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let posts: Vec<Value> =
        (0..25).map(|n| json!({ "content": format!("post {n}"), "status": "draft" })).collect();
    let ids = app.posts(&tenant.id, posts).await;
    app.control(
        Method::POST,
        "connections",
        json!({ "userId": tenant.id, "platformId": "twitter-1", "username": "ann" }),
    )
    .await;
    let paths = [
        "/api/v1/list-posts".to_owned(),
        "/api/v1/list-posts?page=2&limit=7&sortBy=updatedAt&sortOrder=asc".into(),
        "/api/v1/list-posts?limit=0".into(),
        "/api/v1/list-posts?limit=1000".into(),
        "/api/v1/list-posts?status=nope".into(),
        "/api/v1/list-posts?sortBy=size".into(),
        "/api/v1/list-posts?platform=TWITTER".into(),
        "/api/v1/list-posts?fromDate=yesterday".into(),
        format!("/api/v1/get-post/{}", ids[0]),
        "/api/v1/get-post/507f191e810c19729de860ea".into(),
        "/api/v1/platform-connections".into(),
    ];
    for path in &paths {
        let through = app.api(Method::GET, path, &tenant.key, None).await;
        let straight = direct(&app, Method::GET, path, &tenant.id, None).await;
        assert_eq!((through.status, through.json()), (straight.status, straight.json()), "{path}");
        assert!(through.header("content-type").starts_with("application/json"), "{path}");
    }
}

async fn every_way_to_send_a_key_works(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let wk = app.key(&app.ws, KeyKind::Workspace, None, &[Scope::PostsRead]).await;
    let key = tenant.key.as_str();
    let bearer = format!("Bearer {key}");
    for headers in [
        vec![("x-api-key", key)],
        vec![("x-publora-key", key)],
        vec![("authorization", bearer.as_str())],
        vec![("x-api-key", key), ("x-postpost-user-id", tenant.id.as_str())],
        vec![("x-api-key", &wk), ("x-postpost-user-id", tenant.id.as_str())],
        vec![("x-publora-key", &wk), ("x-publora-user-id", tenant.id.as_str())],
        vec![("x-api-key", &wk)],
    ] {
        let mut request = app.request(Method::GET, "/api/v1/list-posts");
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let answer = Answer::read(request.send().await.unwrap()).await;
        assert_eq!(answer.status, 200, "{:?} {}", headers[0].0, answer.text);
    }
}

async fn authentication_errors_are_postposts(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let other = app.tenant("bob").await;
    let read_only = app.key(&app.ws, KeyKind::Tenant, Some(&tenant.id), &[Scope::PostsRead]).await;
    let wk = app.key(&app.ws, KeyKind::Workspace, None, &[Scope::PostsRead]).await;
    let mut wrong = tenant.key.clone();
    wrong.replace_range(20..21, if &wrong[20..21] == "a" { "b" } else { "a" });
    app.quiet().await;
    let long = "507f191e810c19729de860ea".to_owned();
    let cases: Vec<(Option<&str>, Option<&str>, u16, &str)> = vec![
        (None, None, 401, "API key is required"),
        (Some("nonsense"), None, 401, "Invalid API key"),
        (Some(&wrong), None, 401, "Invalid API key"),
        (Some(&tenant.key), Some("xyz"), 400, "Invalid x-postpost-user-id"),
        (Some(&tenant.key), Some(&other.id), 403, "Workspace access is not enabled for this key"),
        (Some(&wk), Some(&long), 403, "User is not managed by key"),
    ];
    for (key, user, status, text) in cases {
        let mut request = app.request(Method::GET, "/api/v1/list-posts");
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        if let Some(user) = user {
            request = request.header("x-postpost-user-id", user);
        }
        let answer = Answer::read(request.send().await.unwrap()).await;
        assert_eq!((answer.status, answer.json()["error"].as_str().unwrap()), (status, text));
        assert!(answer.json()["requestId"].is_string() && answer.json()["code"].is_string());
    }
    let id = app.posts(&tenant.id, vec![json!({})]).await.remove(0);
    let path = format!("/api/v1/delete-post/{id}");
    let refused = app.api(Method::DELETE, &path, &read_only, None).await;
    assert_eq!((refused.status, refused.json()["code"].as_str().unwrap()), (403, "scope_missing"));
    assert!(refused.text.contains("posts:delete"));
    assert_eq!(app.calls().await, 0, "nothing was sent upstream");
}

async fn deleting_answers_as_upstream_does_and_follows_the_policy(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let statuses = ["draft", "scheduled", "failed", "pending", "processing", "published"];
    for status in statuses {
        let group = if matches!(status, "pending" | "processing") { "scheduled" } else { status };
        let post = json!({ "status": group, "scheduledTime": "2030-01-01T00:00:00.000Z",
                           "platforms": [{ "platformId": "twitter-1", "status": status }] });
        let id = app.posts(&tenant.id, vec![post]).await.remove(0);
        let answer = app.api(Method::DELETE, &format!("/api/v1/delete-post/{id}"), &tenant.key, None).await;
        if matches!(status, "draft" | "scheduled" | "failed") {
            assert_eq!((answer.status, answer.json()), (200, json!({ "success": true })), "{status}");
            let again =
                app.api(Method::DELETE, &format!("/api/v1/delete-post/{id}"), &tenant.key, None).await;
            assert_eq!((again.status, again.json()), (404, json!({ "error": "Post group not found" })));
        } else {
            let text = format!("Cannot delete post: post is currently in {status} status");
            assert_eq!((answer.status, answer.json()["error"].as_str().unwrap()), (400, text.as_str()));
            assert_eq!(answer.json()["code"], "delete_blocked");
        }
    }
    for bad in ["..", "507f", "507F191e810c19729de860ea", "%2e%2e", "a%2Fb"] {
        let answer = app.api(Method::DELETE, &format!("/api/v1/delete-post/{bad}"), &tenant.key, None).await;
        assert!(matches!(answer.status, 400 | 404), "{bad}: {}", answer.status);
    }
}

async fn updating_answers_as_upstream_does_and_never_publishes_unasked(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let later = times::to_iso(app.clock.now() + DAY);
    let past = times::to_iso(app.clock.now() - DAY);
    let ids = app
        .posts(
            &tenant.id,
            vec![
                json!({ "status": "scheduled", "scheduledTime": later }),
                json!({ "status": "draft", "scheduledTime": past }),
                json!({ "status": "draft" }),
                json!({ "status": "published", "scheduledTime": past }),
            ],
        )
        .await;
    let put = async |id: &str, body: Value| {
        app.api(Method::PUT, &format!("/api/v1/update-post/{id}"), &tenant.key, Some(body)).await
    };
    let paused = put(&ids[0], json!({ "status": "draft" })).await;
    assert_eq!(paused.status, 200, "{}", paused.text);
    assert_eq!(paused.json()["message"], "Post updated successfully");
    assert_eq!(paused.json()["postGroup"]["status"], "draft");
    let resumed = put(&ids[0], json!({ "status": "scheduled" })).await;
    assert_eq!((resumed.status, &resumed.json()["postGroup"]["scheduledTime"]), (200, &json!(later)));
    for (id, body, status, text) in [
        (&ids[0], json!({}), 400, "Either status or scheduledTime must be provided"),
        (&ids[0], json!({ "status": "published" }), 400, "Status must be either 'draft' or 'scheduled'"),
        (&ids[0], json!({ "scheduledTime": "tomorrow" }), 400, "Invalid scheduled time format"),
        (&ids[0], json!({ "scheduledTime": past }), 400, "Scheduled time cannot be in the past"),
        (&ids[1], json!({ "status": "scheduled" }), 400, "Scheduled time cannot be in the past"),
        (&ids[2], json!({ "status": "scheduled" }), 400, "Scheduled time cannot be in the past"),
        (
            &ids[3],
            json!({ "status": "draft" }),
            400,
            "Cannot update post: post is currently in published status",
        ),
    ] {
        let answer = put(id, body.clone()).await;
        assert_eq!((answer.status, answer.json()["error"].as_str().unwrap()), (status, text), "{body}");
    }
    let unknown = put("507f191e810c19729de860ea", json!({ "status": "draft" })).await;
    assert_eq!((unknown.status, unknown.json()["error"].as_str().unwrap()), (404, "Post group not found"));
    let now = app
        .request(Method::PUT, &format!("/api/v1/update-post/{}", ids[1]))
        .header("x-api-key", &tenant.key)
        .header("x-gatehouse-publish-now", "1")
        .header("content-type", "application/json")
        .body(r#"{"status":"scheduled"}"#);
    assert_eq!(now.send().await.unwrap().status(), 200);
}

async fn bad_input_is_a_clear_4xx_on_every_door(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let id = app.posts(&tenant.id, vec![json!({})]).await.remove(0);
    app.quiet().await;
    let path = format!("/api/v1/update-post/{id}");
    let deep = format!("{}1{}", "{\"a\":".repeat(80), "}".repeat(80));
    for (body, media, status) in [
        ("{", "application/json", 400),
        ("[]", "application/json", 400),
        ("{\"status\":\"draft\",\"status\":\"scheduled\"}", "application/json", 400),
        (deep.as_str(), "application/json", 400),
        ("{\"status\":\"draft\"}", "text/plain", 415),
        ("{\"a\":1e999}", "application/json", 400),
    ] {
        let request = app
            .request(Method::PUT, &path)
            .header("x-api-key", &tenant.key)
            .header("content-type", media)
            .body(body.to_owned());
        let answer = Answer::read(request.send().await.unwrap()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        assert!(answer.json()["code"].is_string());
    }
    let large = app
        .request(Method::PUT, &path)
        .header("x-api-key", &tenant.key)
        .header("content-type", "application/json")
        .body("x".repeat(300 << 10));
    assert_eq!(large.send().await.unwrap().status(), 413);
    for (method, path, status) in [
        (Method::GET, "/api/v1/nothing", 404),
        (Method::POST, "/api/v1/list-posts", 405),
        (Method::TRACE, "/api/v1/list-posts", 405),
        (Method::GET, "/manage/v1/nothing", 404),
        (Method::DELETE, "/manage/v1/audit.csv", 405),
    ] {
        let answer = Answer::read(app.request(method, path).send().await.unwrap()).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.json()["error"].is_string());
    }
    let page = Answer::read(app.request(Method::GET, "/no/such/page").send().await.unwrap()).await;
    assert!(
        page.status == 404 && page.text.contains("<h1>") && page.text.contains(page.header("x-request-id"))
    );
    assert_eq!(app.calls().await, 0);
}

async fn upstream_faults_are_mapped_and_recorded(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let delete = json!({ "method": "DELETE", "path": "/api/v1/delete-post" });
    let cases = [
        (json!([{ "match": delete, "resetBefore": true }]), 504, "outcome_unknown", "not_applied", false),
        (json!([{ "match": delete, "resetAfter": true }]), 504, "outcome_unknown", "applied", true),
        (json!([{ "match": delete, "delayAfterMs": 1200 }]), 504, "outcome_unknown", "applied", true),
        (json!([{ "match": delete, "status": 503 }]), 504, "outcome_unknown", "not_applied", false),
        (json!([{ "match": delete, "statusAfter": 502 }]), 504, "outcome_unknown", "applied", true),
        (json!([{ "match": delete, "status": 500 }]), 504, "outcome_unknown", "not_applied", false),
        (json!([{ "match": delete, "statusAfter": 302 }]), 504, "outcome_unknown", "applied", true),
        (
            json!([{ "match": delete, "redirect": "http://127.0.0.1:1/" }]),
            502,
            "upstream_redirect",
            "failed",
            false,
        ),
        (json!([{ "match": delete, "garbageAfter": true }]), 502, "upstream_bad_reply", "applied", true),
        (json!([{ "match": delete, "failTransaction": true }]), 500, "", "failed", false),
    ];
    for (rules, status, code, end, gone) in cases {
        let id = app.posts(&tenant.id, vec![json!({})]).await.remove(0);
        app.faults(rules.clone()).await;
        let answer = app.api(Method::DELETE, &format!("/api/v1/delete-post/{id}"), &tenant.key, None).await;
        app.control(Method::DELETE, "faults", Value::Null).await;
        assert_eq!(answer.status, status, "{rules}: {}", answer.text);
        if !code.is_empty() {
            assert_eq!(answer.json()["code"], code, "{rules}");
        }
        if status == 504 {
            let answered = !rules[0]["status"].is_null() || !rules[0]["statusAfter"].is_null();
            let says = if answered { "answer does not say" } else { "did not answer" };
            assert!(answer.json()["error"].as_str().unwrap().contains(says), "{rules}: {}", answer.text);
        }
        app.until_settled().await;
        let entries = app.entries().await;
        let of_post: Vec<&str> = entries
            .iter()
            .filter(|e| e["targets"][0]["id"] == id.as_str())
            .map(|e| e["outcome"].as_str().unwrap())
            .collect();
        assert_eq!(of_post[0], end, "{rules}: {of_post:?}");
        assert_eq!(*of_post.last().unwrap(), "intent");
        let found = app.api(Method::GET, &format!("/api/v1/get-post/{id}"), &tenant.key, None).await;
        assert_eq!(found.status == 404, gone, "{rules}");
        if let Some(op) = answer.json()["operationId"].as_str() {
            let told = app.api(Method::GET, &format!("/api/v1/operations/{op}"), &tenant.key, None).await;
            assert_eq!((told.status, told.json()["state"].as_str().unwrap()), (200, end));
        }
    }
}

async fn an_answer_with_the_accounts_key_in_it_goes_to_nobody(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let id = app.posts(&tenant.id, vec![json!({})]).await.remove(0);
    let (shown, deleted) = (format!("/api/v1/get-post/{id}"), format!("/api/v1/delete-post/{id}"));
    let echo = async |path: &str, status: u16| {
        let body = json!({ "error": format!("bad key <{}>", app.ws_key) });
        app.faults(json!([{ "match": { "path": path }, "status": status, "body": body }])).await;
    };
    for status in [200, 400, 403, 500] {
        echo("/api/v1/get-post", status).await;
        let read = app.api(Method::GET, &shown, &tenant.key, None).await;
        assert_eq!((read.status, &read.json()["code"]), (502, &json!("upstream_bad_reply")), "{}", read.text);
        echo("/api/v1/delete-post", status).await;
        let change = app.api(Method::DELETE, &deleted, &tenant.key, None).await;
        app.control(Method::DELETE, "faults", Value::Null).await;
        assert_eq!((change.status, &change.json()["code"]), (502, &json!("upstream_bad_reply")));
        assert!(!read.text.contains(&app.ws_key) && !change.text.contains(&app.ws_key), "{status}");
        // In doubt, and looked up.
        app.until_settled().await;
        let op = change.json()["operationId"].as_str().unwrap().to_owned();
        let told = app.api(Method::GET, &format!("/api/v1/operations/{op}"), &tenant.key, None).await;
        assert_eq!((told.status, &told.json()["state"]), (200, &json!("not_applied")), "{status}");
        assert_eq!(app.api(Method::GET, &shown, &tenant.key, None).await.status, 200);
    }
    // What a 401 means stands in its status.
    echo("/api/v1/get-post", 401).await;
    let refused = app.api(Method::GET, &shown, &tenant.key, None).await;
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("workspace_suspended")));
    let account = app.app().access.account(&app.ws).unwrap();
    let reason = account.workspace.suspended_reason.clone().unwrap();
    assert!(reason.starts_with("PostPost refused") && !reason.contains(&app.ws_key), "{reason}");
    let entries = app.app().db.audit_page(&Default::default(), None, None, 500).await.unwrap();
    for entry in &entries {
        let fixed = String::from_utf8_lossy(&entry.bytes);
        let parts = entry.details.iter().map(|detail| detail.body.as_str());
        assert!(parts.chain([&*fixed]).all(|part| !part.contains(&app.ws_key)), "{fixed}");
    }
}

async fn an_update_in_doubt_is_settled_from_the_list(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let put = json!({ "method": "PUT" });
    let at = times::to_iso(app.clock.now() + 3 * DAY);
    for (rule, end) in [("resetAfter", "applied"), ("resetBefore", "not_applied")] {
        let post = json!({ "status": "scheduled", "scheduledTime": times::to_iso(app.clock.now() + DAY) });
        let id = app.posts(&tenant.id, vec![post]).await.remove(0);
        app.sweep(&app.ws, &tenant.id).await;
        app.faults(json!([{ "match": put, rule: true }])).await;
        let body = json!({ "scheduledTime": at });
        let answer =
            app.api(Method::PUT, &format!("/api/v1/update-post/{id}"), &tenant.key, Some(body)).await;
        app.control(Method::DELETE, "faults", Value::Null).await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str().unwrap()),
            (504, "outcome_unknown"),
            "{rule}"
        );
        app.until_settled().await;
        let op = answer.json()["operationId"].as_str().unwrap().to_owned();
        let told = app.api(Method::GET, &format!("/api/v1/operations/{op}"), &tenant.key, None).await;
        assert_eq!(told.json()["state"], end, "{rule}");
    }
}

async fn frozen_and_suspended_send_nothing(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let id = app.posts(&tenant.id, vec![json!({})]).await.remove(0);
    let gone = app.api(Method::DELETE, &format!("/api/v1/delete-post/{id}"), &tenant.key, None).await;
    assert_eq!(gone.status, 200, "{}", gone.text);
    let op = app.entries().await.iter().find_map(|e| Some(e["opId"].as_str()?.to_owned())).unwrap();
    // What the gateway itself knows is told all the same.
    let told = async || {
        let answer = app.api(Method::GET, &format!("/api/v1/operations/{op}"), &tenant.key, None).await;
        assert_eq!((answer.status, &answer.json()["state"]), (200, &json!("succeeded")), "{}", answer.text);
    };
    let db = &app.app().db;
    db.freeze_tenant(&app.owner, &app.ws, &tenant.id, Some("unpaid"), app.clock.now()).await.unwrap();
    app.app().access.reload().await.unwrap();
    app.quiet().await;
    told().await;
    let answer = app.api(Method::GET, "/api/v1/list-posts", &tenant.key, None).await;
    assert_eq!((answer.status, answer.json()["code"].as_str().unwrap()), (423, "frozen"));
    assert!(answer.text.contains("unpaid"));
    assert_eq!(app.calls().await, 0);
    db.freeze_tenant(&app.owner, &app.ws, &tenant.id, None, app.clock.now()).await.unwrap();
    app.app().access.reload().await.unwrap();
    app.control(Method::DELETE, "keys", json!({ "key": app.ws_key })).await;
    let refused = app.api(Method::GET, "/api/v1/list-posts", &tenant.key, None).await;
    assert_eq!((refused.status, refused.json()["code"].as_str().unwrap()), (503, "workspace_suspended"));
    app.reset_calls().await;
    let again = app.api(Method::GET, "/api/v1/list-posts", &tenant.key, None).await;
    told().await;
    assert_eq!((again.status, app.calls().await), (503, 0), "no storm of refused calls");
}

async fn the_owners_own_account_is_guarded_too(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let key = app.key(&app.ws, KeyKind::Workspace, None, &[Scope::PostsRead, Scope::PostsUpdate]).await;
    let past = times::to_iso(app.clock.now() - DAY);
    let made = app.control(Method::GET, "journal?after=0", Value::Null).await;
    let owner =
        made["entries"].as_array().unwrap().iter().find(|e| e["action"] == "workspace.create").unwrap();
    let owner = owner["userId"].as_str().unwrap().to_owned();
    let id = app.posts(&owner, vec![json!({ "status": "draft", "scheduledTime": past })]).await.remove(0);
    let resume = async || {
        let body = Some(json!({ "status": "scheduled" }));
        app.api(Method::PUT, &format!("/api/v1/update-post/{id}"), &key, body).await
    };
    assert_eq!(resume().await.json()["code"], "past_time");
    // The look-up failing is no reason to let it through.
    app.faults(json!([{ "match": { "path": "/api/v1/list-posts" }, "status": 500 }])).await;
    let answer = resume().await;
    assert_eq!((answer.status, answer.json()["code"].as_str().unwrap()), (502, "upstream_bad_reply"));
    app.control(Method::DELETE, "faults", Value::Null).await;
    let post = app.control(Method::GET, &format!("posts/{id}"), Value::Null).await;
    assert_eq!(post["status"], "draft");
}

async fn a_doubt_about_a_detached_tenant_is_closed(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let id = app.posts(&tenant.id, vec![json!({ "status": "draft" })]).await.remove(0);
    app.faults(json!([{ "match": { "method": "DELETE" }, "resetBefore": true }])).await;
    let answer = app.api(Method::DELETE, &format!("/api/v1/delete-post/{id}"), &tenant.key, None).await;
    assert_eq!(answer.status, 504);
    app.control(Method::DELETE, &format!("users/{}", tenant.id), Value::Null).await;
    app.control(Method::DELETE, "faults", Value::Null).await;
    app.until_settled().await;
}
