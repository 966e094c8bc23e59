//! Doubts in which what upstream shows afterwards could be taken for our change and is not, or is and could be missed:
//! things that were there before, things that others did meanwhile, clocks that differ, lists that move.

use super::Page;
use crate::{
    support::databases::{Engine, gateway_on_both_engines},
    testapp::{Tenant, TestApp},
};
use gatehouse::{
    clock::{DAY, MINUTE, SECOND},
    domain::{operations::Operation, times},
};
use reqwest::Method;
use serde_json::{Value, json};

gateway_on_both_engines!(
    a_user_that_was_there_before_was_not_made,
    a_link_that_was_there_before_was_not_made,
    an_update_to_what_is_so_already_is_told_apart,
    what_others_did_is_not_taken_for_ours,
    an_upstream_whose_clock_is_off_is_understood,
    a_list_that_misses_the_post_settles_nothing,
    a_post_gone_meanwhile_is_gone,
);

/// The operation about a target that was in doubt and has ended, with how it ended.
async fn ended(app: &TestApp, about: &str) -> (String, Operation) {
    app.until_settled().await;
    let settled = app.app().db.settled_operations(&app.ws, None, 50).await.unwrap();
    let found = settled.into_iter().find(|o| o.target == about || o.asked.username.as_deref() == Some(about));
    let found = found.unwrap_or_else(|| panic!("no settled operation about {about}"));
    (found.state.to_string(), found)
}

async fn put(app: &TestApp, tenant: &Tenant, post: &str, body: Value) {
    let path = format!("/api/v1/update-post/{post}");
    let answer = app.api(Method::PUT, &path, &tenant.key, Some(body)).await;
    assert_eq!(answer.status, 504, "{}", answer.text);
}

/// Puts a rule for changes in force; reading calls stay healthy.
async fn fault(app: &TestApp, method: &str, what: &str) {
    app.faults(json!([{ "match": { "method": method }, what: true }])).await;
}

async fn a_user_that_was_there_before_was_not_made(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let people = Page::open(&app).await;
    app.tenant("known").await;
    // Made at PostPost a year ago, and not imported here.
    let body = json!({ "workspaceKey": app.ws_key, "username": "elsewhere@test.example", "id": "65000000aaaaaaaaaaaaaaaa" });
    app.control(Method::POST, "users", body).await;
    let form = format!("/w/{}/tenants", app.ws);
    for (name, rule, end) in [
        ("Known@test.example", "resetBefore", "not_applied"),
        ("elsewhere@test.example", "resetBefore", "not_applied"),
        ("New@Test.example", "resetAfter", "applied"),
    ] {
        fault(&app, "POST", rule).await;
        let answer = people.submit(&app, &form, &[("username", name)]).await;
        assert!(answer.header("location").contains("/operations/"), "{} {}", answer.status, answer.text);
        app.control(Method::DELETE, "faults", Value::Null).await;
        assert_eq!(ended(&app, name).await.0, end, "{name}");
    }
    let made = app.app().db.tenant_by_username(&app.ws, "new@test.example").await.unwrap();
    assert!(made.is_some(), "a user that was made is a tenant here");
}

async fn a_link_that_was_there_before_was_not_made(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let people = Page::open(&app).await;
    // What the page asks for: days, whether to make it anew; whether it reaches PostPost; whether it makes a link there.
    for (n, (before, rotate, rule, end)) in [
        (None, "", "resetBefore", "not_applied"),
        (None, "", "resetAfter", "applied"),
        (Some(90), "", "resetBefore", "not_applied"),
        (Some(90), "", "resetAfter", "not_applied"),
        (Some(90), "1", "resetBefore", "not_applied"),
        (Some(90), "1", "resetAfter", "applied"),
    ]
    .into_iter()
    .enumerate()
    {
        let tenant = app.tenant(&format!("t{n}")).await.id;
        if let Some(days) = before {
            // Made by somebody else: the gateway knows nothing of it.
            let url = format!("{}/api/v1/workspace/users/{tenant}/connection-url", app.sandbox.url());
            let call = crate::testapp::client().post(url).header("x-api-key", &app.ws_key);
            let body = json!({ "expiresInDays": days }).to_string();
            let call = call.header("content-type", "application/json").body(body);
            assert_eq!(call.send().await.unwrap().status(), 200);
        }
        fault(&app, "POST", rule).await;
        let path = format!("/w/{}/tenants/{tenant}/link", app.ws);
        let answer = people.submit(&app, &path, &[("days", "30"), ("rotate", rotate)]).await;
        assert!(answer.header("location").contains("/operations/"), "{} {}", answer.status, answer.text);
        app.control(Method::DELETE, "faults", Value::Null).await;
        let made = app.journal(0).await.iter().any(|e| {
            e["action"] == "url.create"
                && e["userId"] == tenant.as_str()
                && e["requestId"] == answer.header("x-request-id")
        });
        assert_eq!(made, end == "applied", "{before:?} {rotate:?} {rule}");
        assert_eq!(ended(&app, &tenant).await.0, end, "{before:?} {rotate:?} {rule}");
    }
}

async fn an_update_to_what_is_so_already_is_told_apart(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let at = times::to_iso(app.clock.now() + DAY);
    let old = times::to_iso(app.clock.now() - DAY);
    for (rule, end) in [("resetBefore", "not_applied"), ("resetAfter", "applied")] {
        for mirrored in [true, false] {
            for (status, body) in
                [("draft", json!({ "status": "draft" })), ("scheduled", json!({ "scheduledTime": at }))]
            {
                let post =
                    json!({ "status": status, "scheduledTime": at, "createdAt": old, "updatedAt": old });
                let id = app.posts(&tenant.id, vec![post]).await.remove(0);
                if mirrored {
                    app.sweep(&app.ws, &tenant.id).await;
                }
                fault(&app, "PUT", rule).await;
                put(&app, &tenant, &id, body).await;
                app.control(Method::DELETE, "faults", Value::Null).await;
                assert_eq!(ended(&app, &id).await.0, end, "{rule} {status} mirrored: {mirrored}");
            }
        }
    }
}

async fn what_others_did_is_not_taken_for_ours(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let now = app.clock.now();
    let time = |days: i64| times::to_iso(now + days * DAY);
    // Others move it to an earlier time than we ask for, while our call is lost.
    let id = app
        .posts(&tenant.id, vec![json!({ "status": "scheduled", "scheduledTime": time(9) })])
        .await
        .remove(0);
    app.sweep(&app.ws, &tenant.id).await;
    app.faults(json!([{ "match": { "method": "PUT" }, "resetBefore": true, "delayMs": 300 }])).await;
    let others = async {
        app.until("our call has arrived", || async {
            app.control(Method::GET, "calls?last=1", Value::Null).await["calls"][0]["method"] == "PUT"
        })
        .await;
        app.control(Method::PATCH, &format!("posts/{id}"), json!({ "scheduledTime": time(4) })).await;
    };
    tokio::join!(put(&app, &tenant, &id, json!({ "scheduledTime": time(5) })), others);
    assert_eq!(ended(&app, &id).await.0, "not_applied", "an earlier time is not what PostPost moves to");

    // Others paused it some seconds before our call; the gateway's copy does not know yet.
    let ago = |seconds: i64| times::to_iso(app.clock.now() - seconds * SECOND);
    let post = json!({ "status": "scheduled", "scheduledTime": time(9), "createdAt": ago(60), "updatedAt": ago(60) });
    let id = app.posts(&tenant.id, vec![post]).await.remove(0);
    app.sweep(&app.ws, &tenant.id).await;
    app.control(Method::PATCH, &format!("posts/{id}"), json!({ "status": "draft", "updatedAt": ago(10) }))
        .await;
    fault(&app, "PUT", "resetBefore").await;
    put(&app, &tenant, &id, json!({ "status": "draft" })).await;
    app.control(Method::DELETE, "faults", Value::Null).await;
    assert_eq!(ended(&app, &id).await.0, "not_applied", "it was so before our call began");
}

async fn an_upstream_whose_clock_is_off_is_understood(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let mut tried = 0;
    // The gateway's clock runs ahead of PostPost's by this much, all along.
    for _ in 0..2 {
        app.clock.advance(10 * MINUTE);
        for (rules, end) in [
            (json!([{ "moveTimesByMs": 60_000 }, { "resetAfter": true }]), "applied"),
            (json!([{ "resetAfter": true }]), "applied"),
            (json!([{ "resetBefore": true }]), "not_applied"),
        ] {
            let asked = app.clock.now() + 3 * DAY;
            let post =
                json!({ "status": "scheduled", "scheduledTime": times::to_iso(app.clock.now() + DAY) });
            let id = app.posts(&tenant.id, vec![post]).await.remove(0);
            app.sweep(&app.ws, &tenant.id).await;
            let mut rules = rules.clone();
            for rule in rules.as_array_mut().unwrap() {
                rule["match"] = json!({ "method": "PUT", "postGroupId": id });
            }
            app.faults(rules).await;
            put(&app, &tenant, &id, json!({ "scheduledTime": times::to_iso(asked) })).await;
            app.control(Method::DELETE, "faults", Value::Null).await;
            assert_eq!(ended(&app, &id).await.0, end, "{tried}");
            tried += 1;
        }
    }
    println!("doubts settled with the gateway's clock 10 and 20 minutes ahead: {tried}");
}

async fn a_list_that_misses_the_post_settles_nothing(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let asked = times::to_iso(app.clock.now() + 3 * DAY);
    let post = json!({ "status": "scheduled", "scheduledTime": times::to_iso(app.clock.now() + DAY) });
    let id = app.posts(&tenant.id, vec![post]).await.remove(0);
    app.sweep(&app.ws, &tenant.id).await;
    let page = json!({ "page": 1, "limit": 100, "totalItems": 0, "totalPages": 0, "hasNextPage": false, "hasPrevPage": false });
    let empty = json!({ "success": true, "posts": [], "pagination": page });
    app.faults(json!([
        { "match": { "method": "PUT" }, "resetAfter": true },
        { "match": { "path": "/api/v1/list-posts" }, "status": 200, "body": empty },
    ]))
    .await;
    put(&app, &tenant, &id, json!({ "scheduledTime": asked })).await;
    // Two looks, the second long after an effect would count as missing.
    let looks =
        async || app.app().db.open_operations(&app.ws, 1).await.unwrap().first().map_or(99, |o| o.checks);
    app.until("it was looked for twice", async || looks().await >= 1).await;
    app.clock.advance(MINUTE);
    app.until("it was looked for again", async || looks().await >= 3).await;
    assert!(looks().await < 99, "not seeing it is no proof");
    app.control(Method::DELETE, "faults", Value::Null).await;
    assert_eq!(ended(&app, &id).await.0, "applied");
}

async fn a_post_gone_meanwhile_is_gone(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let id = app.posts(&tenant.id, vec![json!({ "status": "draft" })]).await.remove(0);
    app.sweep(&app.ws, &tenant.id).await;
    fault(&app, "PUT", "resetBefore").await;
    put(&app, &tenant, &id, json!({ "status": "draft" })).await;
    app.control(Method::DELETE, &format!("posts/{id}"), Value::Null).await;
    app.control(Method::DELETE, "faults", Value::Null).await;
    let (end, operation) = ended(&app, &id).await;
    assert_eq!(end, "gone");
    assert!(operation.how_it_ended().contains("not there any more"), "{}", operation.how_it_ended());
}
