//! Posts made through the tenant door: PostPost's answers, nothing published unasked, and one post for one create, whatever
//! happens to its answer.

use crate::{
    support::{
        databases::{Engine, gateway_on_both_engines},
        process::Process,
    },
    testapp::{Answer, Tenant, TestApp, client},
};
use gatehouse::{
    clock::{DAY, HOUR, MINUTE},
    domain::{
        keys::{KeyKind, Scope},
        times,
    },
    store::Db,
};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::time::Duration;

gateway_on_both_engines!(
    creating_answers_as_upstream_does,
    nothing_is_published_unasked,
    a_create_is_on_record_without_its_content,
    a_create_in_doubt_is_settled_from_the_list,
    two_creates_in_doubt_share_no_post,
    what_was_there_before_or_elsewhere_is_not_taken,
    a_repeat_never_creates_twice,
    a_crash_never_creates_twice,
);

const PATH: &str = "/api/v1/create-post";

fn body(content: &str) -> Value {
    json!({ "content": content, "platforms": ["twitter-1"] })
}

async fn create(app: &TestApp, tenant: &Tenant, body: &Value) -> Answer {
    app.api(Method::POST, PATH, &tenant.key, Some(body.clone())).await
}

async fn keyed(http: &Client, url: &str, key: &str, once: &str, body: &Value) -> reqwest::Result<Answer> {
    let call = http.post(format!("{url}{PATH}")).header("x-api-key", key).header("idempotency-key", once);
    let call = call.header("content-type", "application/json").body(body.to_string());
    Ok(Answer::read(call.send().await?).await)
}

/// The same call at the sandbox, with the workspace's own key.
async fn direct(app: &TestApp, tenant: &Tenant, body: &str) -> Answer {
    let call = client().post(format!("{}{PATH}", app.sandbox.url())).header("x-api-key", &app.ws_key);
    let call = call.header("x-postpost-user-id", &tenant.id).header("content-type", "application/json");
    Answer::read(call.body(body.to_owned()).send().await.unwrap()).await
}

/// The posts that the API has made at PostPost, by their content.
async fn made(app: &TestApp, content: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for entry in app.journal(0).await {
        if entry["action"] == "post.create" && entry["origin"] == "api" {
            let id = entry["postGroupId"].as_str().unwrap();
            let post = app.control(Method::GET, &format!("posts/{id}"), Value::Null).await;
            if post["content"] == content {
                ids.push(id.to_owned());
            }
        }
    }
    ids
}

/// What `GET /operations/{id}` tells once it has ended.
async fn ended(app: &TestApp, tenant: &Tenant, answer: &Answer) -> Value {
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (504, Some("outcome_unknown")),
        "{}",
        answer.text
    );
    app.until_settled().await;
    let op = answer.json()["operationId"].as_str().unwrap().to_owned();
    let told = app.api(Method::GET, &format!("/api/v1/operations/{op}"), &tenant.key, None).await;
    assert_eq!(told.status, 200, "{}", told.text);
    told.json()
}

async fn fault(app: &TestApp, what: &str) {
    app.faults(json!([{ "match": { "method": "POST", "path": PATH }, what: true }])).await;
}

async fn creating_answers_as_upstream_does(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let mut refused = 0;
    for bad in [
        json!({}),
        json!({ "content": "", "platforms": ["twitter-1"] }),
        json!({ "content": " \n\t", "platforms": ["twitter-1"] }),
        json!({ "content": 7, "platforms": ["twitter-1"] }),
        json!({ "content": null }),
        json!({ "content": "Hi" }),
        json!({ "content": "Hi", "platforms": null }),
        json!({ "content": "Hi", "platforms": "" }),
        json!({ "content": "Hi", "platforms": 0 }),
        json!({ "content": "Hi", "platforms": false }),
        json!({ "content": "Hi", "platforms": [] }),
        json!({ "content": "Hi", "platforms": "[]" }),
        json!({ "content": "Hi", "platforms": {} }),
        json!({ "content": "Hi", "platforms": "{}" }),
        json!({ "content": "Hi", "platforms": 5 }),
        json!({ "content": "Hi", "platforms": "twitter-1" }),
        json!({ "content": "Hi", "platforms": ["twitter"] }),
        json!({ "content": "Hi", "platforms": ["Twitter-1"] }),
        json!({ "content": "Hi", "platforms": ["twitter-1", 5] }),
        json!({ "content": "Hi", "platforms": "[\"twitter-1\", \"-\"]" }),
        json!({ "content": "Hi", "platforms": ["twitter-1"], "scheduledTime": "tomorrow" }),
        json!({ "content": "Hi", "platforms": ["twitter-1"], "scheduledTime": 5 }),
        json!({ "content": "Hi", "platforms": ["twitter-1"], "scheduledTime": "2031-01-01" }),
        json!({ "content": "Hi", "platforms": ["twitter-1"], "platformSettings": "{" }),
        json!({ "content": "Hi", "platforms": ["twitter-1"], "platformSettings": [] }),
        json!({ "content": "Hi", "platforms": ["twitter-1"], "platformSettings": "[]" }),
        // The first of several mistakes is named.
        json!({ "platforms": [], "scheduledTime": "x", "platformSettings": 5 }),
        json!({ "content": "Hi", "platforms": ["twitter-1"], "scheduledTime": "x", "platformSettings": 5 }),
    ] {
        let through = create(&app, &ann, &bad).await;
        let straight = direct(&app, &ann, &bad.to_string()).await;
        assert_eq!((through.status, straight.status), (400, 400), "{bad}: {}", through.text);
        assert_eq!(through.json()["error"], straight.json()["error"], "{bad}");
        assert_eq!(through.json()["code"], "invalid_body", "{bad}");
        refused += 1;
    }
    assert!(app.journal(0).await.iter().all(|e| e["action"] != "post.create"));

    let later = times::to_iso(app.clock.now() + DAY);
    for (n, more) in [
        json!({}),
        json!({ "scheduledTime": later }),
        json!({ "scheduledTime": null, "platformSettings": 0 }),
        json!({ "platforms": "[\"bluesky-did:plc:abc123\",\"telegram--100\"]", "platformSettings": "{\"youtube\":{}}" }),
        json!({ "platformSettings": { "tiktok": {} }, "unheardOf": [{ "a": null }] }),
    ]
    .into_iter()
    .enumerate()
    {
        let mut good = body(&format!("Good {n}"));
        good.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = create(&app, &ann, &good).await;
        let id = answer.json()["postGroupId"].as_str().unwrap_or_default().to_owned();
        assert_eq!((answer.status, answer.json()), (200, json!({ "success": true, "postGroupId": id })));
        let post = app.control(Method::GET, &format!("posts/{id}"), Value::Null).await;
        let status = if more["scheduledTime"].is_string() { "scheduled" } else { "draft" };
        assert_eq!((&post["content"], &post["status"]), (&good["content"], &json!(status)), "{post}");
        // The copy follows without being asked.
        app.until("the mirror has it", || async {
            app.app().db.post(&app.ws, &ann.id, &id).await.unwrap().is_some()
        })
        .await;
    }
    let calls = app.control(Method::GET, "calls", Value::Null).await;
    assert_eq!(
        calls["byEndpoint"]["POST create-post"],
        refused + 5,
        "only the sandbox's own saw the bad ones"
    );

    // What PostPost says stays as it is.
    let limit = json!({ "error": "Limit", "code": "POST_LIMIT_REACHED", "limit": 3, "used": 3, "planName": "Starter" });
    for (status, said) in [
        (403, limit),
        (400, json!({ "error": "Content is required" })),
        (500, json!({ "error": "Failed to create post group" })),
        (404, json!({ "error": "Not here" })),
    ] {
        app.faults(json!([{ "match": { "path": PATH }, "status": status, "body": said }])).await;
        let answer = create(&app, &ann, &body("Refused")).await;
        assert_eq!((answer.status, answer.json()), (status, said));
        let end = if status == 500 { "failed" } else { "refused" };
        assert_eq!(app.entries().await[0]["outcome"], end, "{status}");
    }
    app.faults(json!([])).await;
    assert!(made(&app, "Refused").await.is_empty());

    let reader =
        app.key(&app.ws, KeyKind::Tenant, Some(&ann.id), &[Scope::PostsRead, Scope::PostsUpdate]).await;
    let answer = app.api(Method::POST, PATH, &reader, Some(body("Denied"))).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (403, Some("scope_missing")));
    assert!(answer.text.contains("posts:create") && made(&app, "Denied").await.is_empty());
}

async fn nothing_is_published_unasked(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let mut late = body("Late");
    late["scheduledTime"] = times::to_iso(app.clock.now() - MINUTE).into();
    let answer = create(&app, &ann, &late).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (400, Some("past_time")));
    assert_eq!(answer.json()["error"], "Scheduled time cannot be in the past");
    assert!(made(&app, "Late").await.is_empty());
    let denied = &app.entries().await[0];
    assert_eq!((&denied["action"], &denied["outcome"]), (&json!("post.create"), &json!("denied")));
    let now = async |value: &str| {
        let call = app.request(Method::POST, PATH).header("x-api-key", &ann.key);
        let call = call.header("x-gatehouse-publish-now", value).header("content-type", "application/json");
        call.body(late.to_string()).send().await.unwrap().status().as_u16()
    };
    assert_eq!((now("yes").await, now("1").await), (400, 200));
    assert_eq!(made(&app, "Late").await.len(), 1);
}

async fn a_create_is_on_record_without_its_content(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let secret = "A text that is not the gateway's to keep";
    let answer = create(&app, &ann, &body(secret)).await;
    let id = answer.json()["postGroupId"].clone();
    let entries = app.entries().await;
    let (outcome, intent) = (&entries[0], &entries[1]);
    assert_eq!((&intent["action"], &intent["outcome"]), (&json!("post.create"), &json!("intent")));
    assert_eq!((&intent["targets"], &intent["tenant"]), (&json!([]), &json!(ann.id)));
    assert_eq!((&outcome["outcome"], &outcome["opId"]), (&json!("succeeded"), &intent["opId"]));
    assert_eq!(outcome["targets"], json!([{ "type": "post", "id": id }]));
    let op = intent["opId"].as_str().unwrap();
    let told = app.api(Method::GET, &format!("/api/v1/operations/{op}"), &ann.key, None).await.json();
    let known = (&told["action"], &told["state"], &told["postGroupId"]);
    assert_eq!(known, (&json!("post.create"), &json!("succeeded"), &id));
    // Neither the operation nor the log holds the text.
    for query in
        ["SELECT CAST(asked AS TEXT) FROM operations", "SELECT CAST(body AS TEXT) FROM audit_details"]
    {
        let rows: Vec<(String,)> = match &app.app().db {
            Db::Sqlite { reader, .. } => sqlx::query_as(query).fetch_all(reader).await.unwrap(),
            Db::Postgres(pool, ..) => sqlx::query_as(query).fetch_all(pool).await.unwrap(),
        };
        assert!(!rows.is_empty() && rows.iter().all(|row| !row.0.contains("not the gateway's")), "{query}");
    }
}

async fn a_create_in_doubt_is_settled_from_the_list(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let owner = app.key(&app.ws, KeyKind::Workspace, None, &[Scope::PostsCreate]).await;
    let owner = Tenant { id: String::new(), key: owner };
    let at = times::to_iso(app.clock.now() + DAY);
    let (mut n, mut settled) = (0, Vec::new());
    for tenant in [&ann, &owner] {
        for (rules, end) in [
            (json!([{ "resetAfter": true }]), "applied"),
            (json!([{ "resetBefore": true }]), "not_applied"),
            (json!([{ "moveTimesByMs": 420_000 }, { "statusAfter": 503 }]), "applied"),
            (json!([{ "delayAfterMs": 1_200 }]), "applied"),
            (json!([{ "statusAfter": 500, "body": { "error": "Internal server error" } }]), "applied"),
        ] {
            for time in [None, Some(&at)] {
                n += 1;
                let content = format!("In doubt {n}");
                let mut body = body(&content);
                body["platforms"] = json!(["twitter-2", "mastodon-1"]);
                body["scheduledTime"] = json!(time);
                let mut rules = rules.clone();
                for rule in rules.as_array_mut().unwrap() {
                    rule["match"] = json!({ "method": "POST", "path": PATH });
                }
                app.faults(rules.clone()).await;
                let answer = create(&app, tenant, &body).await;
                app.faults(json!([])).await;
                let told = ended(&app, tenant, &answer).await;
                let made = made(&app, &content).await;
                assert_eq!(told["state"], end, "{rules} {time:?}");
                assert_eq!(
                    told["postGroupId"].as_str(),
                    made.first().map(String::as_str),
                    "{rules} {time:?}"
                );
                assert_eq!(made.len(), usize::from(end == "applied"));
                assert_eq!(told["grantedTime"].is_string(), time.is_some() && end == "applied", "{told}");
                let entry = &app.entries().await[0];
                assert_eq!((&entry["outcome"], &entry["opId"]), (&json!(end), &told["operationId"]));
                settled.push(end);
            }
        }
    }
    println!("creates settled: {}", settled.len());
}

async fn two_creates_in_doubt_share_no_post(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    // The same twice, sent one after the other; one arrives.
    for (n, (first, second)) in
        [("resetAfter", "resetBefore"), ("resetBefore", "resetAfter")].into_iter().enumerate()
    {
        let body = body(&format!("Twice {n}"));
        fault(&app, first).await;
        let one = create(&app, &ann, &body).await;
        fault(&app, second).await;
        let two = create(&app, &ann, &body).await;
        app.faults(json!([])).await;
        let (one, two) = (ended(&app, &ann, &one).await, ended(&app, &ann, &two).await);
        let applied: Vec<&Value> =
            [&one, &two].into_iter().filter(|told| told["state"] == "applied").collect();
        let made = made(&app, &format!("Twice {n}")).await;
        assert_eq!((applied.len(), made.len()), (1, 1), "{one} {two}");
        assert_eq!(applied[0]["postGroupId"], made[0].as_str());
    }
    // Both arrive: each has its own.
    let twice = body("Both");
    fault(&app, "resetAfter").await;
    let (one, two) = tokio::join!(create(&app, &ann, &twice), create(&app, &ann, &twice));
    app.faults(json!([])).await;
    let (one, two) = (ended(&app, &ann, &one).await, ended(&app, &ann, &two).await);
    assert_eq!((&one["state"], &two["state"]), (&json!("applied"), &json!("applied")));
    assert_ne!(one["postGroupId"], two["postGroupId"]);
    // The same text for two times: a time that the other asked for is not ours moved.
    let at = |minutes: i64| json!(times::to_iso(app.clock.now() / 1_000 * 1_000 + HOUR + minutes * MINUTE));
    let (mut early, mut late) = (body("Every day"), body("Every day"));
    (early["scheduledTime"], late["scheduledTime"]) = (at(0), at(5));
    fault(&app, "resetBefore").await;
    let one = create(&app, &ann, &early).await;
    fault(&app, "resetAfter").await;
    let two = create(&app, &ann, &late).await;
    app.faults(json!([])).await;
    let (one, two) = (ended(&app, &ann, &one).await, ended(&app, &ann, &two).await);
    assert_eq!((&one["state"], &two["state"]), (&json!("not_applied"), &json!("applied")));
}

async fn what_was_there_before_or_elsewhere_is_not_taken(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let (ann, bob) = (app.tenant("ann").await, app.tenant("bob").await);
    let lost = async |tenant: &Tenant, content: &str| {
        fault(&app, "resetBefore").await;
        let answer = create(&app, tenant, &body(content)).await;
        app.faults(json!([])).await;
        ended(&app, tenant, &answer).await["state"].as_str().unwrap().to_owned()
    };
    // Made a moment before by somebody else; the mirror knows it.
    app.posts(&ann.id, vec![json!({ "content": "Before" })]).await;
    app.sweep(&app.ws, &ann.id).await;
    assert_eq!(lost(&ann, "Before").await, "not_applied");
    // Made a while before, and not in the mirror.
    let old = times::to_iso(app.clock.now() - MINUTE);
    app.posts(&ann.id, vec![json!({ "content": "Long before", "createdAt": old, "updatedAt": old })]).await;
    assert_eq!(lost(&ann, "Long before").await, "not_applied");
    // A create that has its answer has its post.
    assert_eq!(create(&app, &ann, &body("Answered")).await.status, 200);
    assert_eq!(lost(&ann, "Answered").await, "not_applied");
    // Another text, other accounts, a time of its own.
    app.posts(&ann.id, vec![
        json!({ "content": "Other text" }),
        json!({ "content": "Same", "platforms": ["twitter-2"] }),
        json!({ "content": "Same", "status": "scheduled", "scheduledTime": times::to_iso(app.clock.now() + DAY) }),
    ])
    .await;
    assert_eq!(lost(&ann, "Same").await, "not_applied");
    // Another tenant's post is another tenant's.
    fault(&app, "resetAfter").await;
    let bobs = create(&app, &bob, &body("Shared")).await;
    assert_eq!(lost(&ann, "Shared").await, "not_applied");
    let bobs = ended(&app, &bob, &bobs).await;
    assert_eq!(bobs["state"], "applied");
    let op = bobs["operationId"].as_str().unwrap();
    let foreign = app.api(Method::GET, &format!("/api/v1/operations/{op}"), &ann.key, None).await;
    assert_eq!(foreign.status, 404);
    // A workspace key creates for the tenant it names, and for no one it does not manage.
    let key = app.key(&app.ws, KeyKind::Workspace, None, &[Scope::PostsCreate]).await;
    for (user, status) in [(bob.id.as_str(), 200), ("507f191e810c19729de860ea", 403)] {
        let call =
            app.request(Method::POST, PATH).header("x-api-key", &key).header("x-postpost-user-id", user);
        let call = call.header("content-type", "application/json").body(body("By the office").to_string());
        assert_eq!(call.send().await.unwrap().status(), status, "{user}");
    }
    let made = made(&app, "By the office").await;
    let post = app.control(Method::GET, &format!("posts/{}", made[0]), Value::Null).await;
    assert_eq!((made.len(), &post["userId"]), (1, &json!(bob.id)));
}

async fn a_repeat_never_creates_twice(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let http = client();
    for (rule, replayed) in [("resetAfter", "true"), ("resetBefore", "")] {
        let (content, body) = (format!("Once {rule}"), body(&format!("Once {rule}")));
        let call = async || keyed(&http, app.url(), &ann.key, rule, &body).await.unwrap();
        fault(&app, rule).await;
        let lost = call().await;
        assert_eq!(lost.status, 504, "{}", lost.text);
        assert_eq!(call().await.status, 409, "nobody knows yet");
        app.faults(json!([])).await;
        app.until_settled().await;
        for replayed in [replayed, "true"] {
            let answer = call().await;
            assert_eq!(
                (answer.status, answer.header("idempotency-replayed")),
                (200, replayed),
                "{}",
                answer.text
            );
            let made = made(&app, &content).await;
            assert_eq!((made.len(), answer.json()["postGroupId"].as_str()), (1, Some(made[0].as_str())));
        }
    }
    // Fifty at once.
    let body = body("Fifty");
    let calls = (0..50).map(|_| keyed(&http, app.url(), &ann.key, "fifty", &body));
    for answer in futures_util::future::join_all(calls).await {
        let status = answer.unwrap().status;
        assert!(matches!(status, 200 | 409), "{status}");
    }
    assert_eq!(made(&app, "Fifty").await.len(), 1);
}

async fn a_crash_never_creates_twice(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let http = client();
    app.running.take().unwrap().stop().await;
    let more = ["--lease-seconds", "3", "--tuning", "settle-after=1500,pace=0,tick=50"];
    let mut found = Vec::new();
    for (round, wait) in [60, 230, 420].into_iter().enumerate() {
        let content = format!("Through a crash {round}");
        let body = body(&content);
        app.faults(json!([{ "match": { "path": PATH }, "delayMs": 150, "delayAfterMs": 150 }])).await;
        let mut process = Process::start_with(&app, &more).await;
        let (url, key, once, sent) = (process.url.clone(), ann.key.clone(), content.clone(), body.clone());
        let call = tokio::spawn({
            let http = http.clone();
            async move { keyed(&http, &url, &key, &once, &sent).await.map(|answer| answer.status) }
        });
        tokio::time::sleep(Duration::from_millis(wait)).await;
        process.kill();
        let answered = call.await.unwrap();
        app.sandbox_idle().await;
        let before = made(&app, &content).await.len();
        app.faults(json!([])).await;
        let process = Process::start_with(&app, &more).await;
        let begun = std::time::Instant::now();
        let answer = loop {
            let answer = keyed(&http, &process.url, &ann.key, &content, &body).await.unwrap();
            if !matches!(answer.status, 409 | 503) {
                break answer;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{}", answer.text);
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let made = made(&app, &content).await;
        assert_eq!((answer.status, made.len()), (200, 1), "{answered:?} {}", answer.text);
        assert_eq!(answer.json()["postGroupId"], made[0].as_str());
        found.push((answered.is_ok(), before));
    }
    println!("killed during a create: answered and made before each kill: {found:?}");
}
