//! Plan limits: the structured 403 on creating and rescheduling, row by row, and whose limits they are.

use serde_json::{Value, json};

use super::Bench;

const DAY: i64 = 86_400_000;

fn text(millis: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(millis).expect("a time");
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// In so many days from now.
fn days(count: i64) -> String {
    text(jiff::Timestamp::now().as_millisecond() + count * DAY)
}

impl Bench {
    async fn plan(&self, body: Value) -> Value {
        let mut body = body;
        body["ownerId"] = json!(self.owner);
        self.control("PUT", "plans", body).await
    }

    async fn create(&self, user: &str, platforms: &[&str], time: Option<&str>) -> (u16, Value) {
        let mut body = json!({ "content": "Hi", "platforms": platforms });
        if let Some(time) = time {
            body["scheduledTime"] = json!(time);
        }
        self.api("POST", "create-post", Some(user), Some(body)).await
    }

    async fn total(&self, user: &str) -> Value {
        self.api("GET", "list-posts", Some(user), None).await.1["pagination"]["totalItems"].take()
    }
}

fn id(made: (u16, Value)) -> String {
    assert_eq!(made.0, 200, "{}", made.1);
    made.1["postGroupId"].as_str().expect("an id").to_owned()
}

/// The fields every limit body has.
fn hit(answer: (u16, Value), code: &str, figures: [i64; 4], plan: &str) -> Value {
    let (status, body) = answer;
    let [limit, used, requested, remaining] = figures;
    assert_eq!((status, &body["code"], &body["planName"]), (403, &json!(code), &json!(plan)), "{body}");
    let got = [&body["limit"], &body["used"], &body["requested"], &body["remaining"]];
    assert_eq!(got, [&json!(limit), &json!(used), &json!(requested), &json!(remaining)], "{body}");
    for name in ["error", "message", "metric"] {
        assert!(body[name].as_str().is_some_and(|text| !text.is_empty()), "{name}: {body}");
    }
    let fields = body.as_object().expect("an object");
    assert!(fields.contains_key("periodStart") && fields.contains_key("periodEnd"), "{body}");
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starter_is_small_and_without_the_api() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let set = bench.plan(json!({ "plan": "starter" })).await;
    let expected = json!({
        "ownerId": bench.owner, "plan": "starter", "apiEnabled": false, "postsPerMonth": 15,
        "postsPerConnection": null, "scheduledPosts": 3, "horizonDays": 7, "connections": null,
    });
    assert_eq!(set, expected);
    let (status, body) = bench.create(&user, &["threads-1"], None).await;
    assert_eq!((status, body), (403, json!({ "error": "API access is not enabled for this account" })));

    bench.plan(json!({ "plan": "starter", "apiEnabled": true })).await;
    let body = hit(
        bench.create(&user, &["threads-1", "twitter-9"], None).await,
        "PLATFORM_NOT_AVAILABLE",
        [0, 0, 1, 0],
        "Starter",
    );
    assert_eq!((&body["platform"], &body["platformId"]), (&json!("twitter"), &json!("twitter-9")));
    let far = days(8);
    let body = hit(
        bench.create(&user, &["threads-1"], Some(&far)).await,
        "SCHEDULE_HORIZON_REACHED",
        [7, 0, 8, 7],
        "Starter",
    );
    assert_eq!(body["scheduledTime"], far.as_str());
    assert_eq!(bench.total(&user).await, 0, "nothing was made");

    // Three may wait; a draft is none of them, and one that is moved is not counted against itself.
    let mut posts = Vec::new();
    for _ in 0..3 {
        posts.push(id(bench.create(&user, &["threads-1"], Some(&days(3))).await));
    }
    let draft = id(bench.create(&user, &["threads-1"], None).await);
    let code = "SCHEDULED_POST_LIMIT_REACHED";
    let body = hit(bench.create(&user, &["threads-1"], Some(&days(3))).await, code, [3, 3, 1, 0], "Starter");
    assert_eq!((&body["metric"], &body["periodStart"]), (&json!("scheduledPosts"), &Value::Null));
    let update = |id: String, body: Value| async {
        let id = id;
        bench.api("PUT", &format!("update-post/{id}"), Some(&user), Some(body)).await
    };
    let resume = || json!({ "status": "scheduled", "scheduledTime": days(2) });
    hit(update(draft.clone(), resume()).await, code, [3, 3, 1, 0], "Starter");
    assert_eq!(update(posts[0].clone(), json!({ "scheduledTime": days(4) })).await.0, 200);
    let far = json!({ "scheduledTime": days(30) });
    hit(update(posts[0].clone(), far.clone()).await, "SCHEDULE_HORIZON_REACHED", [7, 0, 30, 7], "Starter");
    // A draft may have any time, and pausing is always possible.
    assert_eq!(update(draft.clone(), far).await.0, 200);
    assert_eq!(update(posts[1].clone(), json!({ "status": "draft" })).await.0, 200);
    assert_eq!(update(draft.clone(), resume()).await.0, 200);
    let before = bench.control("GET", &format!("posts/{}", posts[0]), Value::Null).await;
    assert_eq!(before["status"], "scheduled");
    // Refusals leave no trace in the journal.
    assert_eq!(bench.journal(&posts[0]).await, ["post.create", "post.update"]);
    assert_eq!(bench.journal(&draft).await, ["post.create", "post.update", "post.update"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_holds_so_many_posts() {
    let bench = Bench::start().await;
    let (ann, bob) = (bench.user("ann").await, bench.user("bob").await);
    let code = "POST_LIMIT_REACHED";
    // Over all connections together: each platform post counts.
    bench
        .plan(json!({ "plan": "starter", "apiEnabled": true, "scheduledPosts": null, "horizonDays": null }))
        .await;
    let june = "2099-06-10T08:00:00.000Z";
    for _ in 0..7 {
        id(bench.create(&ann, &["threads-1", "linkedin-1"], Some(june)).await);
    }
    let answer = bench.create(&ann, &["threads-1", "linkedin-1"], Some(june)).await;
    let body = hit(answer, code, [15, 14, 2, 1], "Starter");
    assert_eq!(body["metric"], "postsPerMonth");
    assert_eq!(body["periodStart"], "2099-06-01T00:00:00.000Z");
    assert_eq!(body["periodEnd"], "2099-07-01T00:00:00.000Z");
    let last = id(bench.create(&ann, &["threads-1"], Some("2099-06-30T23:59:59.999Z")).await);
    hit(bench.create(&ann, &["threads-1"], Some(june)).await, code, [15, 15, 1, 0], "Starter");
    // Another month, a draft, and another managed user are not held up.
    let july = id(bench.create(&ann, &["threads-1"], Some("2099-07-01T00:00:00.000Z")).await);
    id(bench.create(&ann, &["threads-1"], None).await);
    id(bench.create(&bob, &["threads-1"], Some(june)).await);
    // Moving into the full month is refused, within it not.
    let moved = |id: &str, time: &str| {
        let (path, body) = (format!("update-post/{id}"), json!({ "scheduledTime": time }));
        let (bench, ann) = (&bench, &ann);
        async move { bench.api("PUT", &path, Some(ann), Some(body)).await }
    };
    hit(moved(&july, june).await, code, [15, 15, 1, 0], "Starter");
    assert_eq!(moved(&last, june).await.0, 200);
    // What is deleted makes room.
    assert_eq!(bench.api("DELETE", &format!("delete-post/{last}"), Some(&ann), None).await.0, 200);
    assert_eq!(moved(&july, june).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paid_plans_count_by_connection_and_look_ahead_for_ever() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    for (plan, limit) in [("pro", 100), ("premium", 500)] {
        let set = bench.plan(json!({ "plan": plan })).await;
        let expected = json!({
            "ownerId": bench.owner, "plan": plan, "apiEnabled": true, "postsPerMonth": null,
            "postsPerConnection": limit, "scheduledPosts": limit, "horizonDays": null, "connections": null,
        });
        assert_eq!(set, expected);
    }
    let june = "2099-06-10T08:00:00.000Z";
    bench.plan(json!({ "plan": "pro" })).await;
    let seeded =
        json!({ "userId": user, "status": "published", "scheduledTime": june, "platforms": ["twitter-1"] });
    bench.seed(json!(vec![seeded; 99])).await;
    id(bench.create(&user, &["twitter-1", "linkedin-1"], Some(june)).await);
    let answer = bench.create(&user, &["linkedin-1", "twitter-1"], Some(june)).await;
    let body = hit(answer, "POST_LIMIT_REACHED", [100, 100, 1, 0], "Pro");
    assert_eq!(body["platformId"], "twitter-1");
    id(bench.create(&user, &["linkedin-1", "twitter-2"], Some(june)).await);
    bench.plan(json!({ "plan": "premium" })).await;
    id(bench.create(&user, &["twitter-1"], Some(june)).await);

    bench.plan(json!({ "plan": "pro", "scheduledPosts": 4 })).await;
    id(bench.create(&user, &["threads-1"], Some(june)).await);
    let answer = bench.create(&user, &["threads-1"], Some(june)).await;
    hit(answer, "SCHEDULED_POST_LIMIT_REACHED", [4, 4, 1, 0], "Pro");

    // Too many connections hold everything up until some are gone.
    let connect = |n: i64| json!({ "userId": user, "platformId": format!("threads-{n}") });
    bench.control("POST", "connections", json!([connect(1), connect(2), connect(3)])).await;
    bench.plan(json!({ "plan": "pro", "connections": 2 })).await;
    let answer = bench.create(&user, &["threads-1"], None).await;
    hit(answer, "CONNECTIONS_OVER_LIMIT", [2, 3, 0, 0], "Pro");
    bench.control("DELETE", "connections", connect(3)).await;
    id(bench.create(&user, &["threads-1"], None).await);

    // No plan, no limits; and one workspace's plan is not another's.
    let other = bench.control("POST", "workspaces", json!({})).await;
    bench.plan(json!({ "plan": "pro", "scheduledPosts": 0 })).await;
    let elsewhere = bench.http.post(format!("{}/api/v1/create-post", bench.url));
    let body = json!({ "content": "Hi", "platforms": ["twitter-1"], "scheduledTime": june });
    let elsewhere =
        elsewhere.header("x-api-key", other["key"].as_str().expect("a key")).body(body.to_string());
    assert_eq!(super::read(elsewhere.send().await.expect("an answer")).await.0, 200);
    assert_eq!(bench.create(&user, &["twitter-1"], Some(june)).await.0, 403);
    let none = bench.plan(json!({ "plan": null })).await;
    assert_eq!(none, json!({ "ownerId": bench.owner, "plan": null, "apiEnabled": true }));
    id(bench.create(&user, &["twitter-1"], Some(june)).await);

    for (body, status) in [
        (json!({ "ownerId": bench.owner, "plan": "gold" }), 400),
        (json!({ "ownerId": bench.owner, "plan": "pro", "connections": -1 }), 400),
        (json!({ "ownerId": bench.owner, "connections": 1 }), 400),
        (json!({ "ownerId": bench.owner, "plann": "pro" }), 400),
        (json!({ "ownerId": user, "plan": "pro" }), 404),
    ] {
        assert_eq!(bench.try_control("PUT", "plans", body.clone()).await.0, status, "{body}");
    }
}

/// A managed user with a key of his own is under the owner's plan too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_users_own_key_is_under_the_owners_plan() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let (_, made) = bench.api("POST", &format!("workspace/users/{user}/api-key"), None, None).await;
    let key = made["apiKey"].as_str().expect("a key").to_owned();
    let create = || async {
        let body = json!({ "content": "Hi", "platforms": ["twitter-1"], "scheduledTime": days(1) });
        let request = bench.http.post(format!("{}/api/v1/create-post", bench.url)).header("x-api-key", &key);
        super::read(request.body(body.to_string()).send().await.expect("an answer")).await
    };
    bench.plan(json!({ "plan": "pro", "scheduledPosts": 1 })).await;
    assert_eq!(create().await.0, 200);
    hit(create().await, "SCHEDULED_POST_LIMIT_REACHED", [1, 1, 1, 0], "Pro");
    bench.plan(json!({ "plan": "starter" })).await;
    let none = json!({ "error": "API access is not enabled for this account" });
    assert_eq!(create().await, (403, none));
}
