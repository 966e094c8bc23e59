//! The scheduler step by step, post logs, and platform connections.

use std::time::Duration;

use serde_json::{Value, json};

use super::Bench;

const AHEAD: &str = "2099-03-15T14:00:00.000Z";

/// One tick at the moment the posts are due.
async fn tick(bench: &Bench) -> Value {
    bench.control("POST", "tick", json!({ "now": AHEAD })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_due_post_is_published_in_observable_steps() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let due = bench.post(&user, Some(AHEAD)).await;
    let later = bench.post(&user, Some("2099-03-15T14:00:00.001Z")).await;
    let draft = bench.post(&user, None).await;
    let nothing = json!({ "pending": 0, "processing": 0, "finished": 0 });
    assert_eq!(bench.control("POST", "tick", Value::Null).await, nothing, "not due by the clock");

    let path = format!("get-post/{due}");
    for (step, processing) in [("pending", json!("pending")), ("processing", json!("processing"))] {
        let mut moved = nothing.clone();
        moved[step] = json!(1);
        assert_eq!(tick(&bench).await, moved);
        let (_, shown) = bench.api("GET", &path, Some(&user), None).await;
        assert_eq!(shown["processingStatus"], processing);
        assert!(shown["posts"].as_array().is_some_and(|all| all.iter().all(|post| post["status"] == step)));
        let (_, list) = bench.api("GET", "list-posts?status=scheduled", Some(&user), None).await;
        assert_eq!(list["pagination"]["totalItems"], 2, "the group says scheduled until it is done");
    }
    assert_eq!(tick(&bench).await["finished"], 1);
    assert_eq!(tick(&bench).await, nothing);
    let (_, shown) = bench.api("GET", &path, Some(&user), None).await;
    assert_eq!(shown.get("processingStatus"), None);
    for post in shown["posts"].as_array().expect("posts") {
        assert!(post["status"] == "published" && post["postedId"].is_string() && post.get("error").is_none());
    }
    for (id, status) in [(&due, "published"), (&later, "scheduled"), (&draft, "draft")] {
        assert_eq!(bench.control("GET", &format!("posts/{id}"), Value::Null).await["status"], status);
    }

    let (status, logs) = bench.api("GET", &format!("post-logs/{due}"), Some(&user), None).await;
    let lines = logs["logs"].as_array().expect("logs");
    let events: Vec<&str> = lines.iter().filter_map(|line| line["event"].as_str()).collect();
    let expected = [
        "scheduled",
        "processing",
        "publish_attempted",
        "publish_succeeded",
        "publish_attempted",
        "publish_succeeded",
        "status_changed",
    ];
    assert_eq!((status, events.as_slice()), (200, &expected[..]));
    assert_eq!((&lines[2]["platform"], &lines[2]["postId"]), (&json!("twitter"), &shown["posts"][0]["_id"]));
    assert!(lines.iter().all(|line| line["postGroupId"] == due.as_str() && line["createdAt"].is_string()));
    let journal = bench.journal(&due).await;
    assert_eq!(journal, ["post.create", "post.pending", "post.processing", "post.publish"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_connection_fails_its_part() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    bench
        .control(
            "POST",
            "connections",
            json!([
                { "userId": user, "platformId": "twitter-1", "accessTokenExpiresAt": "2099-01-01T00:00:00Z" },
                { "userId": user, "platformId": "telegram--100", "accessTokenExpiresAt": null },
            ]),
        )
        .await;
    let mixed = bench.post(&user, Some(AHEAD)).await;
    let body = json!({ "content": "Hello", "platforms": ["twitter-1"], "scheduledTime": AHEAD });
    let (_, made) = bench.api("POST", "create-post", Some(&user), Some(body)).await;
    let failing = made["postGroupId"].as_str().expect("an id").to_owned();
    bench.control("POST", "tick", json!({ "now": AHEAD, "steps": 3 })).await;
    for (id, status) in [(&mixed, "partially_published"), (&failing, "failed")] {
        let (_, list) = bench.api("GET", &format!("list-posts?status={status}"), Some(&user), None).await;
        assert_eq!(list["posts"][0]["postGroupId"], id.as_str());
        let (_, shown) = bench.api("GET", &format!("get-post/{id}"), Some(&user), None).await;
        let twitter = &shown["posts"][0];
        assert_eq!((&twitter["status"], twitter.get("postedId")), (&json!("failed"), None));
        let error = &twitter["error"];
        assert_eq!((&error["code"], &error["retryable"]), (&json!("PLATFORM_AUTH_EXPIRED"), &json!(false)));
        assert_eq!(error["failedAt"], AHEAD);
    }
    let (_, body) = bench.api("GET", "platform-connections", Some(&user), None).await;
    let connections = body["connections"].as_array().expect("connections");
    assert_eq!(connections[0]["lastSuccessfulPost"], AHEAD);
    assert_eq!(connections[1]["lastError"]["occurredAt"], AHEAD);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_tell_how_their_tokens_stand() {
    let bench = Bench::start().await;
    let (ann, bob) = (bench.user("ann").await, bench.user("bob").await);
    let put = |body: Value| async { bench.control("POST", "connections", body).await };
    put(json!([
        { "userId": ann, "platformId": "linkedin-1", "username": "ann", "displayName": "Ann",
          "accessTokenExpiresAt": "2020-01-01T00:00:00.000Z",
          "lastError": { "message": "No", "occurredAt": "2020-01-02T00:00:00.000Z" } },
        { "userId": ann, "platformId": "bluesky-did:plc:abc", "username": "ann.example" },
        { "userId": ann, "platformId": "twitter-1", "username": "ann", "accessTokenExpiresAt": "2099-01-01T00:00:00Z",
          "lastSuccessfulPost": "2026-01-01T00:00:00Z" },
    ]))
    .await;
    let list = || async { bench.api("GET", "platform-connections", Some(&ann), None).await };
    let (status, body) = list().await;
    let all = body["connections"].as_array().expect("connections");
    assert_eq!((status, all.len()), (200, 3));
    let expected = json!({
        "platformId": "linkedin-1", "username": "ann", "displayName": "Ann", "profileImageUrl": null,
        "profileUrl": null, "accessTokenExpiresAt": "2020-01-01T00:00:00.000Z", "tokenStatus": "expired",
        "tokenExpiresIn": "expired", "lastSuccessfulPost": null,
        "lastError": { "message": "No", "occurredAt": "2020-01-02T00:00:00.000Z" },
    });
    assert_eq!(all[1], expected);
    assert_eq!((&all[0]["tokenStatus"], &all[0]["tokenExpiresIn"]), (&json!("unknown"), &Value::Null));
    assert_eq!(all[2]["tokenStatus"], "valid");

    // A change keeps what it does not name.
    put(json!({ "userId": ann, "platformId": "linkedin-1", "lastError": null })).await;
    let (_, body) = list().await;
    assert_eq!(
        (&body["connections"][1]["lastError"], &body["connections"][1]["displayName"]),
        (&Value::Null, &json!("Ann"))
    );
    assert_eq!(body["connections"][1]["tokenStatus"], "expired");
    bench.control("DELETE", "connections", json!({ "userId": ann, "platformId": "twitter-1" })).await;
    assert_eq!(list().await.1["connections"].as_array().map(Vec::len), Some(2));
    let (_, body) = bench.api("GET", "platform-connections", Some(&bob), None).await;
    assert_eq!(body, json!({ "success": true, "connections": [] }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scheduler_runs_by_itself() {
    let bench = Bench::start_with(Duration::from_millis(1)).await;
    let user = bench.user("ann").await;
    let id = bench.post(&user, Some("2020-01-01T00:00:00Z")).await;
    // Each look is a round trip; the bound only keeps a broken scheduler from hanging the run.
    for _ in 0..10_000 {
        let truth = bench.control("GET", &format!("posts/{id}"), Value::Null).await;
        if truth["status"] == "published" {
            return bench.sandbox.stop().await;
        }
    }
    panic!("never published");
}

/// The events of a post's log.
async fn events(bench: &Bench, user: &str, id: &str) -> Vec<Value> {
    let (status, body) = bench.api("GET", &format!("post-logs/{id}"), Some(user), None).await;
    assert_eq!((status, &body["success"]), (200, &json!(true)), "{body}");
    body["logs"].as_array().expect("logs").clone()
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["event"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn post_logs_tell_the_whole_story() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let connection =
        json!({ "userId": user, "platformId": "twitter-1", "accessTokenExpiresAt": "2099-01-01T00:00:00Z" });
    bench.control("POST", "connections", connection).await;
    let id = bench.post(&user, None).await;
    assert_eq!(events(&bench, &user, &id).await, Vec::<Value>::new(), "a draft has no history");
    let path = format!("update-post/{id}");
    for body in [
        json!({ "scheduledTime": "2099-02-01T00:00:00Z" }),
        json!({ "status": "scheduled" }),
        json!({ "status": "draft" }),
        json!({ "status": "scheduled", "scheduledTime": AHEAD }),
    ] {
        assert_eq!(bench.api("PUT", &path, Some(&user), Some(body)).await.0, 200);
    }
    bench.control("POST", "tick", json!({ "now": AHEAD, "steps": 3 })).await;
    let all = events(&bench, &user, &id).await;
    let expected = [
        "status_changed",
        "scheduled",
        "status_changed",
        "status_changed",
        "scheduled",
        "processing",
        "publish_attempted",
        "publish_failed",
        "publish_attempted",
        "publish_succeeded",
        "status_changed",
    ];
    assert_eq!(names(&all), expected);
    assert_eq!(all[0]["metadata"], json!({ "from": "draft", "to": "scheduled" }));
    assert_eq!(all[4]["metadata"], json!({ "scheduledTime": AHEAD }));
    assert_eq!(all[10]["metadata"], json!({ "from": "scheduled", "to": "partially_published" }));
    let (failed, succeeded) = (&all[7], &all[9]);
    assert_eq!((&failed["platform"], &failed["httpStatus"]), (&json!("twitter"), &json!(401)));
    assert_eq!(
        (&failed["error"]["code"], &failed["retryCount"]),
        (&json!("PLATFORM_AUTH_EXPIRED"), &json!(0))
    );
    assert_eq!((&succeeded["platform"], &succeeded["httpStatus"]), (&json!("telegram"), &json!(200)));
    assert!(succeeded["metadata"]["postedId"].is_string() && succeeded["postId"].is_string());
    let groups_own = &all[0];
    for name in ["postId", "platform", "error", "httpStatus", "retryCount"] {
        assert_eq!(groups_own.get(name), None, "{name}");
    }
    assert!(all.iter().all(|event| event["postGroupId"] == id.as_str() && event["_id"].is_string()));
    assert!(all.is_sorted_by_key(|event| event["createdAt"].as_str().map(str::to_owned)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn post_logs_end_at_a_hundred_and_can_be_seeded() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let id = bench.post(&user, Some(AHEAD)).await;
    let path = format!("update-post/{id}");
    for _ in 0..35 {
        for status in ["draft", "scheduled"] {
            bench.api("PUT", &path, Some(&user), Some(json!({ "status": status }))).await;
        }
    }
    let all = events(&bench, &user, &id).await;
    assert_eq!((all.len(), &names(&all)[..3]), (100, &["scheduled", "status_changed", "status_changed"][..]));

    let seeded = json!({
        "userId": user, "status": "partially_published", "createdAt": "2026-01-01T00:00:00.000Z",
        "scheduledTime": "2026-01-02T00:00:00.000Z", "updatedAt": "2026-01-02T00:00:09.000Z",
        "platforms": ["threads-1", { "platformId": "twitter-1", "status": "failed" }],
    });
    let silent = bench.seed(json!([seeded])).await.remove(0);
    assert_eq!(events(&bench, &user, &silent).await, Vec::<Value>::new());
    let made = bench.control("POST", "posts", json!({ "posts": [seeded], "logs": true })).await;
    let all = events(&bench, &user, made["ids"][0].as_str().expect("an id")).await;
    let expected = [
        ("scheduled", "2026-01-01T00:00:00.000Z"),
        ("processing", "2026-01-02T00:00:00.000Z"),
        ("publish_attempted", "2026-01-02T00:00:09.000Z"),
        ("publish_succeeded", "2026-01-02T00:00:09.000Z"),
        ("publish_attempted", "2026-01-02T00:00:09.000Z"),
        ("publish_failed", "2026-01-02T00:00:09.000Z"),
        ("status_changed", "2026-01-02T00:00:09.000Z"),
    ];
    let got: Vec<(&str, &str)> = all
        .iter()
        .map(|event| (event["event"].as_str().unwrap_or(""), event["createdAt"].as_str().unwrap_or("")))
        .collect();
    assert_eq!(got, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_can_be_tested() {
    let bench = Bench::start().await;
    let (ann, bob) = (bench.user("ann").await, bench.user("bob").await);
    let error = json!({ "message": "No", "occurredAt": "2026-01-02T00:00:00.000Z" });
    bench
        .control(
            "POST",
            "connections",
            json!([
                { "userId": ann, "platformId": "threads-1", "username": "ann",
                  "accessTokenExpiresAt": "2020-01-01T00:00:00Z", "lastError": error },
                { "userId": ann, "platformId": "bluesky-did:plc:abc", "username": "ann.example",
                  "lastSuccessfulPost": "2026-01-01T00:00:00.000Z" },
            ]),
        )
        .await;
    let test = |user: &str, id: &'static str| {
        let (bench, user) = (&bench, user.to_owned());
        async move { bench.api("POST", &format!("test-connection/{id}"), Some(&user), None).await }
    };
    let expired = json!({
        "platform": "threads", "platformId": "threads-1", "username": "ann", "status": "error",
        "message": "The token has expired. Please reconnect the account.", "permissions": [],
        "tokenExpiresIn": "expired", "lastSuccessfulPost": null, "lastError": error,
    });
    assert_eq!(test(&ann, "threads-1").await, (200, expired));
    let good = json!({
        "platform": "bluesky", "platformId": "bluesky-did:plc:abc", "username": "ann.example", "status": "ok",
        "message": "Connection is working", "permissions": ["post"], "tokenExpiresIn": null,
        "lastSuccessfulPost": "2026-01-01T00:00:00.000Z", "lastError": null,
    });
    // As it is, and as clients encode it.
    assert_eq!(test(&ann, "bluesky-did:plc:abc").await, (200, good.clone()));
    assert_eq!(test(&ann, "bluesky-did%3Aplc%3Aabc").await, (200, good));
    for (user, id) in [(&bob, "threads-1"), (&ann, "threads-2"), (&ann, "threads-1=x"), (&ann, "threads-1&x")]
    {
        assert_eq!(test(user, id).await, (404, json!({ "error": "Connection not found" })), "{id}");
    }
    bench.faults(json!([{ "match": { "path": "/api/v1/test-connection" }, "statusAfter": 500 }])).await;
    assert_eq!(test(&ann, "threads-1").await.0, 500);
}
