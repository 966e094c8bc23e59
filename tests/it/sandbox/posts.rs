//! Posts: the rows of create, get, list, update and delete, and that a post is found under its user only.

use serde_json::{Value, json};

use super::{Bench, read};

const AHEAD: &str = "2099-03-15T14:00:00.000Z";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_refuses_as_documented() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let with = |name: &str, value: Value| {
        let mut body = json!({ "content": "Hello", "platforms": ["twitter-1"] });
        body[name] = value;
        body
    };
    let format = "Invalid scheduled time format";
    let cases = [
        (json!({}), "Content is required"),
        (with("content", json!("  ")), "Content is required"),
        (with("content", json!(7)), "Content is required"),
        (json!([]), "Content is required"),
        (json!({ "content": "Hello" }), "Platforms are required"),
        (with("platforms", json!("")), "Platforms are required"),
        (with("platforms", json!([])), "At least one platform is required"),
        (with("platforms", json!("[]")), "At least one platform is required"),
        (with("platforms", json!({ "a": 1 })), "Platforms must be an array"),
        (with("platforms", json!("{}")), "Platforms must be an array"),
        (with("platforms", json!("twitter-1")), "Invalid platforms JSON format"),
        (with("platforms", json!(["twitter"])), "Invalid platform ID format: twitter"),
        (with("platforms", json!(["twitter-1", "Twitter-1"])), "Invalid platform ID format: Twitter-1"),
        (with("platforms", json!(["twitter-a b"])), "Invalid platform ID format: twitter-a b"),
        (with("platforms", json!([5])), "Invalid platform ID format: 5"),
        (with("scheduledTime", json!("tomorrow")), format),
        (with("scheduledTime", json!("2099-03-15")), format),
        (with("scheduledTime", json!("2099-03-15T10:00:00")), format),
        (with("scheduledTime", json!(1_773_000_000)), format),
        (with("platformSettings", json!("{")), "Invalid platformSettings JSON"),
        (with("platformSettings", json!([])), "platformSettings must be an object"),
        (with("platformSettings", json!("[]")), "platformSettings must be an object"),
    ];
    for (body, error) in cases {
        let (status, answer) = bench.api("POST", "create-post", Some(&user), Some(body.clone())).await;
        assert_eq!((status, answer), (400, json!({ "error": error })), "{body}");
    }
    let request =
        bench.http.post(format!("{}/api/v1/create-post", bench.url)).header("x-api-key", &bench.key);
    let (status, _) = read(request.body("{\"content\":").send().await.expect("an answer")).await;
    assert_eq!(status, 400);
    let (_, list) = bench.api("GET", "list-posts", Some(&user), None).await;
    assert_eq!(list["pagination"]["totalItems"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_show_and_list() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let body = json!({
        "content": "Hello", "scheduledTime": "2099-03-15T16:00:00+02:00",
        "platforms": "[\"twitter-123\",\"telegram--1001234567890\",\"bluesky-did:plc:abc123\"]",
        "platformSettings": { "tiktok": { "a": 1 }, "twitter": { "b": 2 } },
    });
    let (status, made) = bench.api("POST", "create-post", Some(&user), Some(body)).await;
    let id = made["postGroupId"].as_str().expect("an id").to_owned();
    assert_eq!((status, made), (200, json!({ "success": true, "postGroupId": id })));

    let (status, mut shown) = bench.api("GET", &format!("get-post/{id}"), Some(&user), None).await;
    for post in shown["posts"].as_array_mut().expect("posts") {
        let id = post["_id"].take();
        assert_eq!(id.as_str().map(str::len), Some(24));
    }
    let line = |platform, raw| json!({ "_id": null, "platform": platform, "platformId": raw, "content": "Hello", "status": "scheduled" });
    let posts = json!([
        line("twitter", "123"),
        line("telegram", "-1001234567890"),
        line("bluesky", "did:plc:abc123")
    ]);
    assert_eq!((status, shown), (200, json!({ "success": true, "postGroupId": id, "posts": posts })));
    let truth = bench.control("GET", &format!("posts/{id}"), Value::Null).await;
    assert_eq!(truth["platformSettings"], json!({ "tiktok": { "a": 1 } }));

    let (status, mut list) = bench.api("GET", "list-posts", Some(&user), None).await;
    let first = &mut list["posts"][0];
    let (created, updated) = (first["createdAt"].take(), first["updatedAt"].take());
    assert_eq!(created, updated);
    assert_eq!(created.as_str().map(str::len), Some(AHEAD.len()));
    let platforms = json!([
        { "platformId": "twitter-123", "platform": "twitter", "status": "scheduled" },
        { "platformId": "telegram--1001234567890", "platform": "telegram", "status": "scheduled" },
        { "platformId": "bluesky-did:plc:abc123", "platform": "bluesky", "status": "scheduled" },
    ]);
    let post = json!({
        "postGroupId": id, "content": "Hello", "status": "scheduled", "scheduledTime": AHEAD, "createdAt": null,
        "updatedAt": null, "platforms": platforms, "mediaUrls": [],
    });
    let pagination = json!({
        "page": 1, "limit": 20, "totalItems": 1, "totalPages": 1, "hasNextPage": false, "hasPrevPage": false,
    });
    assert_eq!((status, list), (200, json!({ "success": true, "posts": [post], "pagination": pagination })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_times_become_now() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let before = jiff::Timestamp::now();
    let is_now = |text: &Value| {
        let at: jiff::Timestamp = text.as_str().expect("a time").parse().expect("a time");
        at.as_millisecond() >= before.as_millisecond() && at <= jiff::Timestamp::now()
    };
    let past = "2020-01-01T00:00:00Z";
    let created = bench.post(&user, Some(past)).await;
    let truth = bench.control("GET", &format!("posts/{created}"), Value::Null).await;
    assert!(truth["status"] == "scheduled" && is_now(&truth["scheduledTime"]), "{truth}");

    let draft = bench.post(&user, None).await;
    let overdue = bench
        .seed(
            json!([{ "userId": user, "status": "draft", "scheduledTime": past, "platforms": ["twitter-1"] }]),
        )
        .await
        .remove(0);
    for (id, body) in [
        (&draft, json!({ "status": "scheduled" })),
        (&overdue, json!({ "status": "scheduled" })),
        (&draft, json!({ "scheduledTime": past })),
    ] {
        let (status, answer) = bench.api("PUT", &format!("update-post/{id}"), Some(&user), Some(body)).await;
        assert!(status == 200 && is_now(&answer["postGroup"]["scheduledTime"]), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_filters_sorts_and_pages() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let mut posts = Vec::new();
    for (n, status) in
        ["draft", "scheduled", "published", "failed", "partially_published"].into_iter().enumerate()
    {
        for m in 0..5 {
            let day = n * 5 + m + 1;
            let platform = if n == 0 { "linkedin-1" } else { "twitter-1" };
            let mut post = json!({
                "userId": user, "status": status, "platforms": [platform],
                // Five share each moment of creation: only the second key orders them.
                "createdAt": format!("2026-01-0{}T00:00:00Z", n + 1),
                "updatedAt": format!("2026-02-{:02}T00:00:00Z", 26 - day),
            });
            if n > 0 {
                post["scheduledTime"] = json!(format!("2026-03-{day:02}T12:00:00Z"));
            }
            posts.push(post);
        }
    }
    let ids = bench.seed(json!(posts)).await;
    #[rustfmt::skip]
    let cases: [(&str, u64, u64, u64, u64); 27] = [
        // query, items on the page, total, page, limit
        ("", 20, 25, 1, 20), ("page=2", 5, 25, 2, 20), ("page=3", 0, 25, 3, 20), ("page=0", 20, 25, 1, 20),
        ("page=-4", 20, 25, 1, 20), ("page=x", 20, 25, 1, 20), ("limit=0", 20, 25, 1, 20), ("limit=", 20, 25, 1, 20),
        ("limit=x", 20, 25, 1, 20), ("limit=-3", 1, 25, 1, 1), ("limit=7&page=4", 4, 25, 4, 7), ("limit=500", 25, 25, 1, 100),
        ("page=99999999999999999999&limit=100", 0, 25, i64::MAX as u64, 100),
        ("status=draft", 5, 5, 1, 20), ("status=published", 5, 5, 1, 20), ("status=", 20, 25, 1, 20),
        ("platform=linkedin", 5, 5, 1, 20), ("platform=LinkedIn", 5, 5, 1, 20), ("platform=myspace", 0, 0, 1, 20),
        ("status=draft&platform=twitter", 0, 0, 1, 20),
        ("fromDate=2000-01-01", 20, 20, 1, 20), ("fromDate=2026-03-06T12:00:00Z&toDate=2026-03-08T12:00:00Z", 3, 3, 1, 20),
        ("fromDate=2026-03-06T12:00:00.001Z&toDate=2026-03-08T11:59:59Z", 1, 1, 1, 20),
        ("toDate=2026-03-06", 0, 0, 1, 20), ("toDate=2026-03-06T14%3A00%3A00%2B02%3A00", 1, 1, 1, 20),
        ("sortBy=&sortOrder=sideways", 20, 25, 1, 20), ("unknown=1", 20, 25, 1, 20),
    ];
    for (query, on_page, total, page, limit) in cases {
        let (status, body) = bench.api("GET", &format!("list-posts?{query}"), Some(&user), None).await;
        assert_eq!(status, 200, "{query}: {body}");
        let pages = total.div_ceil(limit);
        let pagination = json!({
            "page": page, "limit": limit, "totalItems": total, "totalPages": pages,
            "hasNextPage": page < pages, "hasPrevPage": page > 1,
        });
        assert_eq!(body["pagination"], pagination, "{query}");
        assert_eq!(body["posts"].as_array().map(|posts| posts.len() as u64), Some(on_page), "{query}");
    }
    let statuses = "draft, scheduled, published, failed, partially_published";
    for (query, error) in [
        ("status=paused", format!("Invalid status. Must be one of: {statuses}")),
        ("status=Draft", format!("Invalid status. Must be one of: {statuses}")),
        ("sortBy=content", "Invalid sortBy. Must be one of: createdAt, updatedAt, scheduledTime".to_owned()),
        ("fromDate=yesterday", "Invalid fromDate format".to_owned()),
        ("toDate=15.03.2026", "Invalid toDate format".to_owned()),
    ] {
        let (status, body) = bench.api("GET", &format!("list-posts?{query}"), Some(&user), None).await;
        assert_eq!((status, body), (400, json!({ "error": error })), "{query}");
    }
    let forward: Vec<usize> = (0..25).collect();
    let backward: Vec<usize> = (0..25).rev().collect();
    let undated_last: Vec<usize> = (0..25).rev().collect();
    for (query, order) in [
        ("", &backward),
        ("sortBy=createdAt&sortOrder=asc", &forward),
        ("sortBy=updatedAt", &forward),
        ("sortBy=updatedAt&sortOrder=asc", &backward),
        ("sortBy=scheduledTime&sortOrder=desc", &undated_last),
        ("sortBy=scheduledTime&sortOrder=asc", &forward),
    ] {
        let mut seen = Vec::new();
        for page in 1..=5 {
            let path = format!("list-posts?limit=6&page={page}&{query}");
            let (_, body) = bench.api("GET", &path, Some(&user), None).await;
            let posts = body["posts"].as_array().expect("posts");
            seen.extend(posts.iter().map(|post| post["postGroupId"].as_str().unwrap_or("").to_owned()));
        }
        let expected: Vec<String> = order.iter().map(|n| ids[*n].clone()).collect();
        assert_eq!(seen, expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn update_pauses_resumes_and_moves() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let id = bench.post(&user, Some(AHEAD)).await;
    let path = format!("update-post/{id}");
    let later = "2099-04-01T08:00:00.000Z";
    for (body, status, time) in [
        (json!({ "status": "draft" }), "draft", AHEAD),
        (json!({ "status": "scheduled" }), "scheduled", AHEAD),
        (json!({ "scheduledTime": "2099-04-01T08:00:00Z" }), "scheduled", later),
        (json!({ "scheduledTime": "2099-04-01T10:00:00.000+02:00" }), "scheduled", later),
        (json!({ "status": "draft", "scheduledTime": AHEAD }), "draft", AHEAD),
        (json!({ "status": "", "scheduledTime": later }), "draft", later),
        (json!({ "status": "scheduled", "scheduledTime": 0 }), "scheduled", later),
    ] {
        let (code, answer) = bench.api("PUT", &path, Some(&user), Some(body.clone())).await;
        let group = json!({ "_id": id, "status": status, "scheduledTime": time });
        let message = "Post updated successfully";
        let expected = json!({ "success": true, "message": message, "postGroup": group });
        assert_eq!((code, answer), (200, expected), "{body}");
        let (_, shown) = bench.api("GET", &format!("get-post/{id}"), Some(&user), None).await;
        assert!(shown["posts"].as_array().is_some_and(|all| all.iter().all(|post| post["status"] == status)));
    }
    let neither = "Either status or scheduledTime must be provided";
    let wrong = "Status must be either 'draft' or 'scheduled'";
    let format = "Invalid scheduled time format";
    for (body, error) in [
        (json!({}), neither),
        (json!({ "status": "", "scheduledTime": null }), neither),
        (json!({ "status": 0 }), neither),
        (json!({ "status": "published" }), wrong),
        (json!({ "status": ["draft"] }), wrong),
        (json!({ "scheduledTime": "2099-03-15" }), format),
        (json!({ "scheduledTime": "2099-03-15 10:00:00Z" }), format),
        (json!({ "scheduledTime": "2099-03-15T10:00:00" }), format),
        (json!({ "scheduledTime": "Mon, 15 Mar 2099 10:00:00 GMT" }), format),
        (json!({ "status": "draft", "scheduledTime": true }), format),
    ] {
        let (status, answer) = bench.api("PUT", &path, Some(&user), Some(body.clone())).await;
        assert_eq!((status, answer), (400, json!({ "error": error })), "{body}");
    }
    for (status, platform_status, named) in [
        ("published", "published", "published"),
        ("failed", "failed", "failed"),
        ("partially_published", "published", "partially_published"),
        ("scheduled", "pending", "pending"),
        ("scheduled", "processing", "processing"),
    ] {
        let target = json!({ "platformId": "twitter-1", "status": platform_status });
        let id =
            bench.seed(json!([{ "userId": user, "status": status, "platforms": [target] }])).await.remove(0);
        let body = json!({ "status": "draft" });
        let (code, answer) = bench.api("PUT", &format!("update-post/{id}"), Some(&user), Some(body)).await;
        let error = format!("Cannot update post: post is currently in {named} status");
        assert_eq!((code, answer), (400, json!({ "error": error })));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_are_wrong_unknown_or_somebody_elses() {
    let bench = Bench::start().await;
    let (ann, bob) = (bench.user("ann").await, bench.user("bob").await);
    let post = bench.post(&ann, Some(AHEAD)).await;
    let body = || Some(json!({ "status": "draft" }));
    for (method, path, failed) in [
        ("GET", "get-post", "Failed to fetch post group"),
        ("PUT", "update-post", "Failed to update post"),
        ("DELETE", "delete-post", "Failed to delete post group"),
        ("GET", "post-logs", "Failed to get post logs"),
    ] {
        let (status, answer) = bench.api(method, &format!("{path}/123"), Some(&ann), body()).await;
        assert_eq!((status, answer), (500, json!({ "error": failed })));
        let unknown = "f".repeat(24);
        // Another user's, the owner's view, and nobody's: the same answer.
        for (user, id) in [(Some(&bob), &post), (None, &post), (Some(&ann), &unknown)] {
            let (status, answer) =
                bench.api(method, &format!("{path}/{id}"), user.map(String::as_str), body()).await;
            assert_eq!((status, answer), (404, json!({ "error": "Post group not found" })), "{method}");
        }
    }
    assert_eq!(bench.journal(&post).await, ["post.create"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delete_takes_any_status_once() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    for status in
        ["draft", "scheduled", "pending", "processing", "published", "failed", "partially_published"]
    {
        let id = bench
            .seed(json!([{ "userId": user, "status": status, "platforms": ["twitter-1"] }]))
            .await
            .remove(0);
        let path = format!("delete-post/{id}");
        assert_eq!(bench.api("DELETE", &path, Some(&user), None).await, (200, json!({ "success": true })));
        let (code, answer) = bench.api("DELETE", &path, Some(&user), None).await;
        assert_eq!((code, answer), (404, json!({ "error": "Post group not found" })));
        assert_eq!(bench.journal(&id).await, ["post.create", "post.delete"]);
    }
    let (_, list) = bench.api("GET", "list-posts", Some(&user), None).await;
    assert_eq!(list["posts"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn platform_settings_are_kept_for_four_platforms() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let kept = json!({
        "tiktok": { "viewerSetting": "PUBLIC" }, "instagram": { "videoType": "REELS" },
        "youtube": { "privacy": "unlisted" }, "threads": { "replyControl": "anyone" },
    });
    let mut all = kept.clone();
    for other in ["twitter", "linkedin", "facebook", "TikTok"] {
        all[other] = json!({ "a": 1 });
    }
    for (given, stored) in [
        (all.clone(), kept.clone()),
        (json!(all.to_string()), kept),
        (json!({}), json!({})),
        (json!("{}"), json!({})),
        // What counts as not given.
        (Value::Null, Value::Null),
        (json!(""), Value::Null),
        (json!(false), Value::Null),
    ] {
        let body = json!({ "content": "Hello", "platforms": ["tiktok-1"], "platformSettings": given });
        let (status, made) = bench.api("POST", "create-post", Some(&user), Some(body)).await;
        assert_eq!(status, 200, "{given}: {made}");
        let id = made["postGroupId"].as_str().expect("an id");
        let truth = bench.control("GET", &format!("posts/{id}"), Value::Null).await;
        assert_eq!(truth["platformSettings"], stored, "{given}");
    }
    for (given, error) in [
        (json!("{tiktok"), "Invalid platformSettings JSON"),
        (json!("null"), "platformSettings must be an object"),
        (json!("7"), "platformSettings must be an object"),
        (json!(7), "platformSettings must be an object"),
        (json!([{}]), "platformSettings must be an object"),
    ] {
        let body = json!({ "content": "Hello", "platforms": ["tiktok-1"], "platformSettings": given });
        let (status, answer) = bench.api("POST", "create-post", Some(&user), Some(body)).await;
        assert_eq!((status, answer), (400, json!({ "error": error })), "{given}");
    }
}
