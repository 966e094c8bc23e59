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
