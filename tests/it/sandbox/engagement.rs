//! LinkedIn and bookmarks: one connection's figures, what is written there, and that it is the user's own.

use serde_json::{Value, json};

use super::{Bench, read};

const POST: &str = "urn:li:share:7123456789";

async fn connected(bench: &Bench) -> (String, String) {
    let (ann, bob) = (bench.user("ann").await, bench.user("bob").await);
    bench
        .control(
            "POST",
            "connections",
            json!([
                { "userId": ann, "platformId": "linkedin-abc", "username": "ann", "displayName": "Ann",
                  "profileUrl": "https://www.linkedin.com/in/ann" },
                { "userId": ann, "platformId": "twitter-1" },
                { "userId": bob, "platformId": "linkedin-bob" },
                { "userId": bob, "platformId": "twitter-2" },
            ]),
        )
        .await;
    (ann, bob)
}

/// The journal's actions of a user that are about no post of ours.
async fn actions(bench: &Bench, user: &str) -> Vec<String> {
    let all = bench.control("GET", "journal", Value::Null).await;
    let entries = all["entries"].as_array().expect("entries").iter();
    let of_user = entries.filter(|entry| entry["userId"] == user && entry["postGroupId"].is_null());
    let names = of_user.map(|entry| entry["action"].as_str().unwrap_or("").to_owned());
    names.filter(|name| !name.starts_with("connection.") && name != "user.create").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn linkedin_figures_are_the_same_every_time() {
    let bench = Bench::start().await;
    let (ann, bob) = connected(&bench).await;
    let body = |post: &str| Some(json!({ "platformId": "linkedin-abc", "postedId": post }));
    for (path, name, fields) in [
        (
            "linkedin-post-statistics",
            "statistics",
            "clicks comments impressions membersReached reactions reshares",
        ),
        (
            "linkedin-account-statistics",
            "statistics",
            "comments impressions membersReached reactions reshares",
        ),
        ("linkedin-followers", "followers", "gainedLast30Days total"),
        (
            "linkedin-profile-summary",
            "profile",
            "connections displayName followers profileImageUrl profileUrl username",
        ),
    ] {
        let (status, first) = bench.api("POST", path, Some(&ann), body(POST)).await;
        assert_eq!(
            (status, &first["success"], &first["platformId"]),
            (200, &json!(true), &json!("linkedin-abc"))
        );
        let mut got: Vec<&str> =
            first[name].as_object().expect("an object").keys().map(String::as_str).collect();
        got.sort_unstable();
        assert_eq!(got.join(" "), fields, "{path}");
        assert_eq!(bench.api("POST", path, Some(&ann), body(POST)).await, (200, first.clone()), "{path}");

        for (user, sent, status, error) in [
            (&ann, json!({}), 400, "platformId is required"),
            (&ann, json!({ "platformId": "linkedin-bob", "postedId": POST }), 404, "Connection not found"),
            (&ann, json!({ "platformId": "twitter-1", "postedId": POST }), 404, "Connection not found"),
            (&bob, json!({ "platformId": "linkedin-abc", "postedId": POST }), 404, "Connection not found"),
        ] {
            let (got, answer) = bench.api("POST", path, Some(user), Some(sent.clone())).await;
            assert_eq!((got, answer), (status, json!({ "error": error })), "{path} {sent}");
        }
    }
    let path = "linkedin-post-statistics";
    let (_, other) = bench.api("POST", path, Some(&ann), body("urn:li:share:2")).await;
    assert_ne!(bench.api("POST", path, Some(&ann), body(POST)).await.1["statistics"], other["statistics"]);
    let (status, answer) =
        bench.api("POST", path, Some(&ann), Some(json!({ "platformId": "linkedin-abc" }))).await;
    assert_eq!((status, answer), (400, json!({ "error": "postedId is required" })));
    let (_, summary) = bench.api("POST", "linkedin-profile-summary", Some(&ann), body(POST)).await;
    let (_, followers) = bench.api("POST", "linkedin-followers", Some(&ann), body(POST)).await;
    assert_eq!(summary["profile"]["followers"], followers["followers"]["total"]);
    assert_eq!(summary["profile"]["displayName"], "Ann");
    assert_eq!(actions(&bench, &ann).await, Vec::<String>::new(), "reading changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reactions_and_comments_come_and_go() {
    let bench = Bench::start().await;
    let (ann, bob) = connected(&bench).await;
    let call = |method: &'static str, path: &'static str, more: Value| {
        let mut body = json!({ "platformId": "linkedin-abc", "postedId": POST });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let (bench, ann) = (&bench, &ann);
        async move { bench.api(method, path, Some(ann), Some(body)).await }
    };
    let (reactions, comments) = ("linkedin-reactions", "linkedin-comments");
    let error = |status: u16, text: &str| (status, json!({ "error": text }));
    let types = "LIKE, PRAISE, EMPATHY, INTEREST, APPRECIATION, ENTERTAINMENT";
    let wrong = format!("Invalid reactionType. Must be one of: {types}");
    assert_eq!(call("POST", reactions, json!({})).await, error(400, &wrong));
    assert_eq!(call("POST", reactions, json!({ "reactionType": "HATE" })).await, error(400, &wrong));
    assert_eq!(call("DELETE", reactions, json!({})).await, error(404, "Reaction not found"));
    for kind in ["LIKE", "praise"] {
        let reaction =
            json!({ "platformId": "linkedin-abc", "postedId": POST, "reactionType": kind.to_uppercase() });
        let expected = json!({ "success": true, "reaction": reaction });
        assert_eq!(call("POST", reactions, json!({ "reactionType": kind })).await, (200, expected));
    }
    assert_eq!(call("DELETE", reactions, json!({})).await, (200, json!({ "success": true })));
    assert_eq!(call("DELETE", reactions, json!({})).await, error(404, "Reaction not found"));

    assert_eq!(call("POST", comments, json!({})).await, error(400, "message is required"));
    let long = json!({ "message": "x".repeat(1251) });
    assert_eq!(call("POST", comments, long).await, error(400, "message must be at most 1250 characters"));
    let (status, made) = call("POST", comments, json!({ "message": "Well said" })).await;
    assert_eq!((status, &made["comment"]["message"]), (200, &json!("Well said")));
    let id = made["comment"]["commentId"].as_str().expect("an id").to_owned();
    let (status, reply) = call("POST", comments, json!({ "message": "Thanks", "parentComment": id })).await;
    assert_eq!((status, &reply["comment"]["parentComment"]), (200, &json!(id)));
    let unknown = json!({ "message": "x", "parentComment": "0".repeat(24) });
    assert_eq!(call("POST", comments, unknown).await, error(404, "Comment not found"));
    assert_eq!(call("DELETE", comments, json!({})).await, error(400, "commentId is required"));
    let other = json!({ "platformId": "linkedin-bob", "postedId": POST, "commentId": id });
    let (status, _) = bench.api("DELETE", comments, Some(&bob), Some(other)).await;
    assert_eq!(status, 404, "somebody else's comment");
    let which = json!({ "commentId": id });
    assert_eq!(call("DELETE", comments, which.clone()).await, (200, json!({ "success": true })));
    assert_eq!(call("DELETE", comments, which).await, error(404, "Comment not found"));

    let done = [
        "reaction.create",
        "reaction.create",
        "reaction.delete",
        "comment.create",
        "comment.create",
        "comment.delete",
    ];
    assert_eq!(actions(&bench, &ann).await, done);

    // Faults: a transaction that breaks, and an effect whose answer is lost.
    bench.faults(json!([{ "failTransaction": true }])).await;
    assert_eq!(call("POST", comments, json!({ "message": "x" })).await, error(500, "Internal server error"));
    assert_eq!(actions(&bench, &ann).await.len(), done.len());
    bench.faults(json!([{ "match": { "path": "/api/v1/linkedin-reactions" }, "resetAfter": true }])).await;
    let body = json!({ "platformId": "linkedin-abc", "postedId": POST, "reactionType": "LIKE" });
    assert!(bench.try_api("POST", reactions, Some(&ann), Some(body)).await.is_err());
    assert_eq!(actions(&bench, &ann).await.len(), done.len() + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bookmarks_are_listed_made_and_taken_away() {
    let bench = Bench::start().await;
    let (ann, bob) = connected(&bench).await;
    let mark = |post: Value| {
        let (bench, ann) = (&bench, &ann);
        let body = Some(json!({ "postId": post }));
        async move { bench.api("POST", "x-bookmarks/twitter-1", Some(ann), body).await }
    };
    let list = |query: &'static str| {
        let path = format!("x-bookmarks/twitter-1{query}");
        let (bench, ann) = (&bench, &ann);
        async move { bench.api("GET", &path, Some(ann), None).await.1 }
    };
    let none = json!({ "success": true, "bookmarks": [], "nextCursor": null });
    assert_eq!(list("").await, none);
    for post in ["11", "12", "13"] {
        let (status, made) = mark(json!(post)).await;
        assert_eq!((status, &made["bookmark"]["postId"]), (200, &json!(post)));
        let (_, again) = mark(json!(post)).await;
        assert_eq!(again, made, "marking again changes nothing");
    }
    let of = |page: &Value| -> Vec<String> {
        let bookmarks = page["bookmarks"].as_array().expect("bookmarks").iter();
        bookmarks.map(|one| one["postId"].as_str().unwrap_or("").to_owned()).collect()
    };
    let all = list("").await;
    assert_eq!((of(&all), &all["nextCursor"]), (vec!["13".into(), "12".into(), "11".into()], &Value::Null));
    assert!(all["bookmarks"][0]["text"].is_string() && all["bookmarks"][0]["author"].is_string());
    let page = list("?limit=2").await;
    assert_eq!(of(&page), ["13", "12"]);
    let cursor = page["nextCursor"].as_str().expect("a cursor");
    let (_, rest) =
        bench.api("GET", &format!("x-bookmarks/twitter-1?limit=2&cursor={cursor}"), Some(&ann), None).await;
    assert_eq!((of(&rest), &rest["nextCursor"]), (vec!["11".to_owned()], &Value::Null));

    let remove = |post: &'static str| {
        let (bench, ann) = (&bench, &ann);
        async move { bench.api("DELETE", &format!("x-bookmarks/twitter-1/{post}"), Some(ann), None).await }
    };
    assert_eq!(remove("12").await, (200, json!({ "success": true })));
    assert_eq!(remove("12").await, (404, json!({ "error": "Bookmark not found" })));
    assert_eq!(remove("x").await, (400, json!({ "error": "Invalid postId" })));
    assert_eq!(mark(Value::Null).await, (400, json!({ "error": "postId is required" })));
    assert_eq!(mark(json!("../1")).await, (400, json!({ "error": "Invalid postId" })));
    for (user, account) in [(&bob, "twitter-1"), (&ann, "twitter-2"), (&ann, "linkedin-abc")] {
        let (status, answer) = bench.api("GET", &format!("x-bookmarks/{account}"), Some(user), None).await;
        assert_eq!((status, answer), (404, json!({ "error": "Connection not found" })), "{account}");
    }
    let done = ["bookmark.create", "bookmark.create", "bookmark.create", "bookmark.delete"];
    assert_eq!(actions(&bench, &ann).await, done);
    bench.faults(json!([{ "match": { "path": "/api/v1/x-bookmarks" }, "retryAfter": 4 }])).await;
    let answer = bench.try_api("GET", "x-bookmarks/twitter-1", Some(&ann), None).await.expect("an answer");
    assert_eq!(answer.headers().get("retry-after").map(|value| value.as_bytes()), Some(&b"4"[..]));
    assert_eq!(read(answer).await.0, 429);
}
