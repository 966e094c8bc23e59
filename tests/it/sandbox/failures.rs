//! The failure switches, and that the journal tells the truth whatever the client was told.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::{Bench, read};

const AHEAD: &str = "2099-03-15T14:00:00.000Z";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_transaction_is_rolled_back_whole() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let media = json!([{ "fileName": "a.svg", "contentType": "image/svg+xml", "text": "<svg/>" }]);
    let post = json!({
        "userId": user, "status": "scheduled", "scheduledTime": AHEAD,
        "platforms": ["twitter-1", "threads-2"], "media": media,
    });
    let id = bench.seed(json!([post])).await.remove(0);
    let before = bench.control("GET", &format!("posts/{id}"), Value::Null).await;
    let file = before["media"][0]["storageKey"].as_str().expect("a file").to_owned();
    let on_disk = || bench.folder.path().join("media").join(&file).exists();

    bench.faults(json!([{ "failTransaction": true }])).await;
    let draft = || Some(json!({ "status": "draft" }));
    let create = json!({ "content": "Hello", "platforms": ["twitter-1"] });
    for (method, path, body, error) in [
        ("DELETE", format!("delete-post/{id}"), None, "Failed to delete post group"),
        ("PUT", format!("update-post/{id}"), draft(), "Failed to update post"),
        ("POST", "create-post".to_owned(), Some(create), "Failed to create post group"),
    ] {
        let (status, answer) = bench.api(method, &path, Some(&user), body).await;
        assert_eq!((status, answer), (500, json!({ "error": error })));
    }
    assert_eq!(bench.control("GET", &format!("posts/{id}"), Value::Null).await, before);
    assert_eq!(bench.journal(&id).await, ["post.create"]);
    assert!(on_disk());
    let (_, list) = bench.api("GET", "list-posts", Some(&user), None).await;
    assert_eq!(list["pagination"]["totalItems"], 1);

    bench.control("DELETE", "faults", Value::Null).await;
    assert_eq!(bench.api("DELETE", &format!("delete-post/{id}"), Some(&user), None).await.0, 200);
    assert_eq!(bench.journal(&id).await, ["post.create", "media.delete", "post.delete"]);
    assert!(!on_disk());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_failure_does_not_fail_the_delete() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let media = json!([{ "fileName": "a.svg", "contentType": "image/svg+xml", "text": "<svg/>" }]);
    let id =
        bench.seed(json!([{ "userId": user, "platforms": ["twitter-1"], "media": media }])).await.remove(0);
    let truth = bench.control("GET", &format!("posts/{id}"), Value::Null).await;
    let file =
        bench.folder.path().join("media").join(truth["media"][0]["storageKey"].as_str().expect("a key"));
    bench.faults(json!([{ "failStorage": true }])).await;
    let (status, answer) = bench.api("DELETE", &format!("delete-post/{id}"), Some(&user), None).await;
    assert_eq!((status, answer), (200, json!({ "success": true })));
    assert!(file.exists());
    assert_eq!(bench.api("GET", &format!("get-post/{id}"), Some(&user), None).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_before_and_after_the_effect() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    for (fault, applied) in [("resetBefore", false), ("resetAfter", true)] {
        let id = bench.post(&user, Some(AHEAD)).await;
        let path = format!("delete-post/{id}");
        // A connection that has been used, and a fresh one with the raw bytes in view.
        bench.faults(json!([{ "match": { "method": "DELETE" }, (fault): true }])).await;
        assert!(bench.try_api("DELETE", &path, Some(&user), None).await.is_err(), "{fault}");
        let expected: &[&str] = if applied { &["post.create", "post.delete"] } else { &["post.create"] };
        assert_eq!(bench.journal(&id).await, expected, "{fault}");

        let bytes = raw(&bench, &format!("DELETE /api/v1/{path}"), &user).await;
        assert!(bytes.is_empty(), "{fault}: {}", String::from_utf8_lossy(&bytes));
        bench.control("DELETE", "faults", Value::Null).await;
        let code = if applied { 404 } else { 200 };
        assert_eq!(bench.api("DELETE", &path, Some(&user), None).await.0, code, "{fault}");
    }
    let calls = bench.control("GET", "calls", Value::Null).await;
    assert_eq!((&calls["byStatus"]["dropped"], &calls["inFlight"]), (&json!(4), &json!(0)));
}

/// Sends a request by hand and answers all that came back.
async fn raw(bench: &Bench, line: &str, user: &str) -> Vec<u8> {
    let host = bench.url.trim_start_matches("http://").to_owned();
    let key = &bench.key;
    let text =
        format!("{line} HTTP/1.1\r\nhost: {host}\r\nx-api-key: {key}\r\nx-postpost-user-id: {user}\r\n\r\n");
    let sent = tokio::task::spawn_blocking(move || {
        let mut socket = TcpStream::connect(host)?;
        socket.write_all(text.as_bytes())?;
        let mut bytes = Vec::new();
        // A reset is as good an end as a close here.
        _ = socket.read_to_end(&mut bytes);
        Ok::<_, std::io::Error>(bytes)
    });
    sent.await.expect("a task").expect("a connection")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_in_place_of_the_effect_and_after_it() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let garbage = "<html><body>It works!</body></html>";
    let limit = json!({ "error": "Limit", "code": "POST_LIMIT_REACHED" });
    #[rustfmt::skip]
    let cases = [
        (json!({ "status": 503 }), 503, json!({ "error": "Service unavailable" }), false),
        (json!({ "status": 403, "body": limit }), 403, limit.clone(), false),
        (json!({ "status": 502, "body": "<h1>Bad</h1>" }), 502, json!("<h1>Bad</h1>"), false),
        (json!({ "retryAfter": 7 }), 429, json!({ "error": "Too many requests" }), false),
        (json!({ "redirect": "http://127.0.0.1:1/" }), 307, json!({ "error": "Injected failure" }), false),
        (json!({ "garbage": true }), 200, json!(garbage), false),
        (json!({ "garbageAfter": true }), 200, json!(garbage), true),
        (json!({ "statusAfter": 502 }), 502, json!({ "error": "Bad gateway" }), true),
        (json!({ "delayMs": 1, "delayAfterMs": 1 }), 200, json!({ "success": true }), true),
    ];
    for (rule, status, body, applied) in cases {
        let id = bench.post(&user, Some(AHEAD)).await;
        let mut limited = rule.clone();
        limited["match"] = json!({ "postGroupId": id });
        limited["times"] = json!(1);
        bench.faults(json!([limited])).await;
        let path = format!("delete-post/{id}");
        let answer = bench.try_api("DELETE", &path, Some(&user), None).await.expect("an answer");
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        if rule["retryAfter"] == 7 {
            assert_eq!(header("retry-after"), Some("7"));
        }
        if rule["redirect"].is_string() {
            assert_eq!(header("location"), Some("http://127.0.0.1:1/"));
        }
        assert_eq!(read(answer).await, (status, body), "{rule}");
        assert_eq!(bench.journal(&id).await.len(), if applied { 2 } else { 1 }, "{rule}");
        // Once only.
        let code = if applied { 404 } else { 200 };
        assert_eq!(bench.api("DELETE", &path, Some(&user), None).await.0, code, "{rule}");
        let rules = bench.control("GET", "faults", Value::Null).await;
        assert_eq!(rules["rules"][0]["fired"], 1, "{rule}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_match_what_they_name_and_refuse_what_they_do_not_know() {
    let bench = Bench::start().await;
    let (ann, bob) = (bench.user("ann").await, bench.user("bob").await);
    bench
        .faults(json!([
            { "match": { "userId": ann, "path": "/api/v1/list" }, "status": 503 },
            { "match": { "method": "get", "path": "/api/v1/platform" }, "times": 2, "status": 500 },
            { "probability": 0.0, "status": 418 },
        ]))
        .await;
    #[rustfmt::skip]
    let cases = [
        ("list-posts", &ann, 503), ("list-posts", &bob, 200), ("platform-connections", &ann, 500),
        ("platform-connections", &bob, 500), ("platform-connections", &bob, 200), ("list-posts", &ann, 503),
    ];
    for (path, user, status) in cases {
        assert_eq!(bench.api("GET", path, Some(user), None).await.0, status, "{path}");
    }
    for bad in
        [json!([{ "statu": 500 }]), json!([{ "match": { "usr": "x" } }]), json!([{ "status": 99 }]), json!(5)]
    {
        assert_eq!(bench.try_control("PUT", "faults", bad.clone()).await.0, 400, "{bad}");
    }
    // Pages in a browser may not play with the switches.
    let request =
        bench.http.delete(format!("{}/_sandbox/faults", bench.url)).header("origin", "http://evil.example");
    assert_eq!(read(request.send().await.expect("an answer")).await.0, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn granted_times_may_be_later_than_asked() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    bench.faults(json!([{ "moveTimesByMs": 300_000 }, { "match": { "method": "PUT" }, "delayMs": 1 }])).await;
    let id = bench.post(&user, Some(AHEAD)).await;
    let truth = bench.control("GET", &format!("posts/{id}"), Value::Null).await;
    assert_eq!(truth["scheduledTime"], "2099-03-15T14:05:00.000Z");
    let body = json!({ "scheduledTime": "2099-05-01T00:00:00Z" });
    let (_, answer) = bench.api("PUT", &format!("update-post/{id}"), Some(&user), Some(body)).await;
    assert_eq!(answer["postGroup"]["scheduledTime"], "2099-05-01T00:05:00.000Z");
    // Nothing asked, nothing moved.
    let body = json!({ "status": "draft" });
    let (_, answer) = bench.api("PUT", &format!("update-post/{id}"), Some(&user), Some(body)).await;
    assert_eq!(answer["postGroup"]["scheduledTime"], "2099-05-01T00:05:00.000Z");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_names_origin_request_and_states() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let id = bench.post(&user, Some(AHEAD)).await;
    let url = format!("{}/api/v1/update-post/{id}", bench.url);
    let request = bench.http.put(url).header("x-api-key", &bench.key).header("x-postpost-user-id", &user);
    let request = request.header("x-request-id", "req-7").body(json!({ "status": "draft" }).to_string());
    assert_eq!(read(request.send().await.expect("an answer")).await.0, 200);
    bench
        .control("PATCH", &format!("posts/{id}"), json!({ "status": "failed", "platformStatus": "failed" }))
        .await;
    bench.control("DELETE", &format!("posts/{id}"), Value::Null).await;

    let all = bench.control("GET", "journal", Value::Null).await;
    let entries = all["entries"].as_array().expect("entries");
    let of_post: Vec<&Value> = entries.iter().filter(|entry| entry["postGroupId"] == id.as_str()).collect();
    let state = |status| json!({ "status": status, "scheduledTime": AHEAD });
    let expected = [
        ("post.create", Value::Null, state("scheduled"), "api", Value::Null),
        ("post.update", state("scheduled"), state("draft"), "api", json!("req-7")),
        ("post.update", state("draft"), state("failed"), "control", Value::Null),
        ("post.delete", state("failed"), Value::Null, "control", Value::Null),
    ];
    assert_eq!(of_post.len(), expected.len());
    for (entry, (action, before, after, origin, request)) in of_post.iter().zip(expected) {
        assert_eq!((entry["action"].as_str(), entry["origin"].as_str()), (Some(action), Some(origin)));
        assert_eq!((&entry["before"], &entry["after"], &entry["userId"]), (&before, &after, &json!(user)));
        assert_eq!(entry.get("requestId").cloned().unwrap_or(Value::Null), request);
    }
    let last = entries.last().map(|entry| entry["seq"].to_string()).expect("a number");
    let none = bench.control("GET", &format!("journal?after={last}"), Value::Null).await;
    assert_eq!(none["entries"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_counted_with_the_names_of_their_headers() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    bench.control("DELETE", "calls", Value::Null).await;
    bench.api("GET", "list-posts?page=2", Some(&user), None).await;
    bench.api("DELETE", &format!("delete-post/{}", "0".repeat(24)), Some(&user), None).await;
    let calls = bench.control("GET", "calls", Value::Null).await;
    assert_eq!((&calls["total"], &calls["maxInFlight"]), (&json!(2), &json!(1)));
    assert_eq!(calls["byEndpoint"], json!({ "GET list-posts": 1, "DELETE delete-post": 1 }));
    assert_eq!(calls["byStatus"], json!({ "200": 1, "404": 1 }));
    let first = &calls["calls"][0];
    assert_eq!((&first["path"], &first["query"]), (&json!("/api/v1/list-posts"), &json!("page=2")));
    assert_eq!((&first["userId"], &first["status"]), (&json!(user), &json!(200)));
    assert_eq!(first["headers"], json!(["accept", "host", "x-api-key", "x-postpost-user-id"]));
    assert!(!calls.to_string().contains(&bench.key), "no key is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_deletes_at_once() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let post =
        json!({ "userId": user, "status": "scheduled", "scheduledTime": AHEAD, "platforms": ["twitter-1"] });
    let ids = bench.seed(json!(vec![post; 640])).await;
    assert_eq!(ids.len(), 640);
    let (bench, user) = (&bench, user.as_str());
    let deletes = ids.chunks(10).map(|chunk| async move {
        let mut statuses = Vec::new();
        for id in chunk {
            statuses.push(bench.api("DELETE", &format!("delete-post/{id}"), Some(user), None).await.0);
        }
        statuses
    });
    let statuses = futures_util::future::join_all(deletes).await.concat();
    assert!(statuses.len() == 640 && statuses.iter().all(|status| *status == 200));
    let (_, list) = bench.api("GET", "list-posts", Some(user), None).await;
    assert_eq!(list["pagination"]["totalItems"], 0);
    let all = bench.control("GET", "journal", Value::Null).await;
    let deleted = all["entries"].as_array().expect("entries").iter().filter(|e| e["action"] == "post.delete");
    assert_eq!(deleted.count(), 640);
}

/// Calls that change something, beside posts and users, and what the journal calls the change.
const CHANGES: [(&str, &str); 11] = [
    ("media.create", "POST get-upload-url"),
    ("webhook.create", "POST webhooks"),
    ("webhook.update", "PATCH webhooks/ID"),
    ("webhook.secret", "POST webhooks/ID/regenerate-secret"),
    ("webhook.delete", "DELETE webhooks/ID"),
    ("reaction.create", "POST linkedin-reactions"),
    ("reaction.delete", "DELETE linkedin-reactions"),
    ("comment.create", "POST linkedin-comments"),
    ("comment.delete", "DELETE linkedin-comments"),
    ("bookmark.create", "POST x-bookmarks/twitter-1"),
    ("bookmark.delete", "DELETE x-bookmarks/twitter-1/22"),
];

/// A user with one of everything that can be changed; answers him and a body that fits all the calls.
async fn settled(bench: &Bench, name: &str) -> (String, String, Value) {
    let user = bench.user(name).await;
    let connections = ["linkedin-1", "twitter-1"].map(|id| json!({ "userId": user, "platformId": id }));
    bench.control("POST", "connections", json!(connections)).await;
    let mut body = json!({
        "fileName": "a.jpg", "contentType": "image/jpeg", "postGroupId": bench.post(&user, None).await,
        "name": "In", "url": "https://hooks.example.com/", "events": ["post.failed"],
        "platformId": "linkedin-1", "postedId": "urn:li:share:1", "reactionType": "LIKE", "message": "Yes",
        "postId": "22",
    });
    let mut made = Vec::new();
    for path in ["webhooks", "linkedin-reactions", "linkedin-comments", "x-bookmarks/twitter-1"] {
        let (status, answer) = bench.api("POST", path, Some(&user), Some(body.clone())).await;
        assert!(matches!(status, 200 | 201), "{path}: {answer}");
        made.push(answer);
    }
    let webhook = made[0]["webhook"]["_id"].as_str().expect("an id").to_owned();
    body["commentId"] = made[2]["comment"]["commentId"].take();
    // Another one than is marked already.
    body["postId"] = json!("23");
    (user, webhook, body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_can_fail_before_and_after_its_effect() {
    let bench = Bench::start().await;
    let faults = [
        (json!({ "status": 503 }), Some(503), false),
        (json!({ "retryAfter": 2 }), Some(429), false),
        (json!({ "garbage": true }), Some(200), false),
        (json!({ "resetBefore": true }), None, false),
        (json!({ "failTransaction": true }), Some(500), false),
        (json!({ "statusAfter": 504, "delayMs": 1 }), Some(504), true),
        (json!({ "resetAfter": true, "delayAfterMs": 1 }), None, true),
    ];
    for (action, call) in CHANGES {
        let (method, path) = call.split_once(' ').expect("a method and a path");
        let (user, webhook, body) = settled(&bench, action).await;
        let path = path.replace("ID", &webhook);
        for (fault, status, applied) in &faults {
            // What has been deleted is made anew for the next fault.
            let (user, path, body) = match *applied && method == "DELETE" {
                true => {
                    let (user, again, body) =
                        settled(&bench, &format!("{action}-{}", status.is_some())).await;
                    (user, path.replace(&webhook, &again), body)
                }
                false => (user.clone(), path.clone(), body.clone()),
            };
            let mut body = body;
            if action == "bookmark.create" && *applied {
                body["postId"] = json!(if status.is_some() { "24" } else { "25" });
            }
            let before = bench.control("GET", "journal", Value::Null).await;
            let seq =
                before["entries"].as_array().and_then(|all| all.last()).map(|last| last["seq"].to_string());
            let mut rule = fault.clone();
            rule["match"] = json!({ "userId": user });
            bench.faults(json!([rule])).await;
            let answer = bench.try_api(method, &path, Some(&user), Some(body)).await;
            bench.control("DELETE", "faults", Value::Null).await;
            let got = answer.ok().map(|answer| answer.status().as_u16());
            assert_eq!(got, *status, "{call} {fault}");
            let after = format!("journal?after={}", seq.expect("a number"));
            let after = bench.control("GET", &after, Value::Null).await;
            let done: Vec<&str> = after["entries"]
                .as_array()
                .expect("entries")
                .iter()
                .map(|entry| entry["action"].as_str().unwrap_or(""))
                .collect();
            let expected: &[&str] = if *applied { &[action] } else { &[] };
            assert_eq!(done, expected, "{call} {fault}");
        }
    }
}
