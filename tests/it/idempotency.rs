//! `Idempotency-Key` at the tenant door, and the forms' once-token: whatever is repeated, a change happens once.

use crate::{
    support::{
        databases::{Engine, gateway_on_both_engines},
        process::Process,
    },
    testapp::{Answer, Browser, Tenant, TestApp, client, hidden},
};
use gatehouse::{
    clock::MINUTE,
    domain::keys::{KeyKind, Scope},
    store::Db,
};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

gateway_on_both_engines!(
    the_first_answer_is_replayed,
    what_did_not_happen_may_be_tried_again,
    a_call_in_doubt_is_answered_from_what_became_of_it,
    fifty_at_once_have_one_effect,
    a_crash_between_claim_and_finish_is_survived,
    a_form_cut_short_is_not_done_again,
);

/// A changing call with an idempotency key, at any gateway.
async fn keyed(
    http: &Client,
    url: &str,
    method: Method,
    path: &str,
    key: &str,
    once: &str,
    body: &Value,
) -> Answer {
    let mut request =
        http.request(method, format!("{url}{path}")).header("x-api-key", key).header("idempotency-key", once);
    if !body.is_null() {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    Answer::read(request.send().await.unwrap()).await
}

async fn delete(app: &TestApp, tenant: &Tenant, post: &str, once: &str) -> Answer {
    let path = format!("/api/v1/delete-post/{post}");
    keyed(&client(), app.url(), Method::DELETE, &path, &tenant.key, once, &Value::Null).await
}

async fn draft(app: &TestApp, tenant: &Tenant) -> String {
    app.posts(&tenant.id, vec![json!({ "status": "draft" })]).await.remove(0)
}

/// How often a post was changed or deleted at PostPost.
async fn effects(app: &TestApp, post: &str) -> usize {
    let journal = app.journal(0).await;
    journal.iter().filter(|e| e["postGroupId"] == post && e["origin"] == "api").count()
}

async fn the_first_answer_is_replayed(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let (ann, bob) = (app.tenant("ann").await, app.tenant("bob").await);
    let ids = app.posts(&ann.id, (0..3).map(|_| json!({ "status": "draft" })).collect()).await;
    let path = format!("/api/v1/update-post/{}", ids[0]);
    let time = json!({ "scheduledTime": "2031-05-01T09:00:00Z" });
    let http = client();
    let put = async |once: &str, path: &str, key: &str, body: &Value| {
        keyed(&http, app.url(), Method::PUT, path, key, once, body).await
    };
    let first = put("order-1", &path, &ann.key, &time).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (200, ""), "{}", first.text);
    // Another change in between does not alter what was answered.
    let other = json!({ "scheduledTime": "2032-05-01T09:00:00Z" });
    assert_eq!(app.api(Method::PUT, &path, &ann.key, Some(other.clone())).await.status, 200);
    let again = put("order-1", &path, &ann.key, &time).await;
    assert_eq!((again.status, &again.text), (200, &first.text));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(effects(&app, &ids[0]).await, 2);

    // The same key with anything else is a mistake of the client's.
    for (path, body) in [(path.clone(), other), (format!("/api/v1/update-post/{}", ids[1]), time.clone())] {
        let answer = put("order-1", &path, &ann.key, &body).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (422, Some("idempotency_mismatch")));
    }
    assert_eq!(delete(&app, &ann, &ids[1], "order-1").await.status, 422);
    assert_eq!(effects(&app, &ids[1]).await, 0);
    // Another tenant's key is another key; another gateway key of the same tenant is the same client.
    let bobs = draft(&app, &bob).await;
    assert_eq!(delete(&app, &bob, &bobs, "order-1").await.status, 200);
    let rotated = app.key(&app.ws, KeyKind::Tenant, Some(&ann.id), &[Scope::PostsUpdate]).await;
    assert_eq!(put("order-1", &path, &rotated, &time).await.header("idempotency-replayed"), "true");

    // What was refused or gone at PostPost stays so.
    let gone = "507f191e810c19729de860ea";
    let first = delete(&app, &ann, gone, "order-2").await;
    let again = delete(&app, &ann, gone, "order-2").await;
    assert_eq!((first.status, again.status, &again.text), (404, 404, &first.text));
    assert_eq!(again.header("idempotency-replayed"), "true");
    let live = app.posts(&ann.id, vec![json!({ "status": "published" })]).await.remove(0);
    let live = format!("/api/v1/update-post/{live}");
    let first = put("order-3", &live, &ann.key, &time).await;
    let again = put("order-3", &live, &ann.key, &time).await;
    assert_eq!((first.status, again.status, &again.text), (400, 400, &first.text));
    assert_eq!(again.header("idempotency-replayed"), "true");

    // Kept encrypted, and under a digest of the key.
    let rows = stored(&app).await;
    assert!(rows.iter().any(|(_, answer)| answer.is_some()));
    for (key, answer) in rows {
        let answer = String::from_utf8_lossy(&answer.unwrap_or_default()).into_owned();
        assert!(!key.contains("order") && !answer.contains("success") && !answer.contains("error"));
    }
    let too_long = "x".repeat(256);
    // With a comma it could be two lines.
    for bad in ["", &too_long, "order-1, order-2"] {
        let answer = delete(&app, &ann, &ids[2], bad).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (400, Some("invalid_idempotency_key")));
    }
    let strange = app
        .request(Method::DELETE, &format!("/api/v1/delete-post/{}", ids[2]))
        .header("x-api-key", &ann.key)
        .header("idempotency-key", reqwest::header::HeaderValue::from_bytes(b"\xff\xfe").unwrap());
    assert_eq!(strange.send().await.unwrap().status(), 400, "not the same as no key");
    assert_eq!(effects(&app, &ids[2]).await, 0);
}

/// Keys and answers as they are stored.
async fn stored(app: &TestApp) -> Vec<(String, Option<Vec<u8>>)> {
    let query = "SELECT key, answer FROM idempotency_keys";
    match &app.app().db {
        Db::Sqlite { reader, .. } => sqlx::query_as(query).fetch_all(reader).await.unwrap(),
        Db::Postgres(pool, ..) => sqlx::query_as(query).fetch_all(pool).await.unwrap(),
    }
}

async fn what_did_not_happen_may_be_tried_again(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    for fault in [
        json!({ "status": 429 }),
        json!({ "status": 500, "body": { "error": "Failed to delete post group" } }),
        json!({ "redirect": "http://127.0.0.1:1/" }),
    ] {
        let post = draft(&app, &ann).await;
        let mut rule = fault.clone();
        rule["match"] = json!({ "method": "DELETE" });
        app.faults(json!([rule])).await;
        let failed = delete(&app, &ann, &post, &format!("once-{post}")).await;
        assert!(failed.status >= 429, "{fault}: {} {}", failed.status, failed.text);
        app.faults(json!([])).await;
        let done = delete(&app, &ann, &post, &format!("once-{post}")).await;
        assert_eq!((done.status, done.header("idempotency-replayed")), (200, ""), "{fault}: {}", done.text);
        assert_eq!(effects(&app, &post).await, 1);
    }
    // A mistake in the body is corrected under the same key.
    let post = draft(&app, &ann).await;
    let path = format!("/api/v1/update-post/{post}");
    for (body, status) in [
        (json!({ "scheduledTime": "yesterday" }), 400),
        (json!({ "scheduledTime": "2031-05-01T09:00:00Z" }), 200),
    ] {
        let answer = keyed(&client(), app.url(), Method::PUT, &path, &ann.key, "corrected", &body).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
}

async fn a_call_in_doubt_is_answered_from_what_became_of_it(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let http = client();
    for (fault, done) in [(json!({ "resetAfter": true }), true), (json!({ "resetBefore": true }), false)] {
        let ids = app.posts(&ann.id, (0..2).map(|_| json!({ "status": "draft" })).collect()).await;
        app.sweep(&app.ws, &ann.id).await;
        let time = json!({ "scheduledTime": "2031-05-01T09:00:00.000Z" });
        let calls = [
            (Method::DELETE, format!("/api/v1/delete-post/{}", ids[0]), Value::Null),
            (Method::PUT, format!("/api/v1/update-post/{}", ids[1]), time),
        ];
        for ((method, path, body), post) in calls.iter().zip(&ids) {
            let mut rule = fault.clone();
            rule["match"] = json!({ "method": method.as_str() });
            app.faults(json!([rule])).await;
            let once = format!("once-{post}");
            let call = async || keyed(&http, app.url(), method.clone(), path, &ann.key, &once, body).await;
            let lost = call().await;
            assert_eq!((lost.status, lost.json()["code"].as_str()), (504, Some("outcome_unknown")), "{path}");
            let waiting = call().await;
            assert_eq!(waiting.status, 409, "nobody knows yet: {}", waiting.text);
            assert!(waiting.header("retry-after").parse::<u64>().unwrap() >= 1);
            app.faults(json!([])).await;
            app.until_settled().await;
            let settled = call().await;
            assert_eq!(settled.status, 200, "{path}: {}", settled.text);
            assert_eq!(settled.header("idempotency-replayed"), if done { "true" } else { "" });
            if *method == Method::PUT {
                let group = &settled.json()["postGroup"];
                assert_eq!(group["_id"], **post);
                assert_eq!(group["scheduledTime"], "2031-05-01T09:00:00.000Z", "{}", settled.text);
            }
            let again = call().await;
            assert_eq!((again.status, &again.text), (200, &settled.text));
            assert_eq!(again.header("idempotency-replayed"), "true");
            assert_eq!(effects(&app, post).await, 1, "{fault} {path}");
        }
    }
}

/// Sends the same delete 50 times at once, spread over the gateways, and counts the answers.
async fn fifty(urls: &[&str], tenant: &Tenant, post: &str) -> BTreeMap<u16, usize> {
    let path = format!("/api/v1/delete-post/{post}");
    // One for all: making a client takes longer than a gateway waits for the head of a request.
    let http = client();
    let calls = (0..50)
        .map(|n| keyed(&http, urls[n % urls.len()], Method::DELETE, &path, &tenant.key, post, &Value::Null));
    let mut answers = BTreeMap::new();
    for answer in futures_util::future::join_all(calls).await {
        *answers.entry(answer.status).or_default() += 1;
    }
    answers
}

async fn fifty_at_once_have_one_effect(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let mut answers = BTreeMap::<u16, usize>::new();
    for round in 0..4 {
        let post = draft(&app, &ann).await;
        app.faults(json!([{ "match": { "method": "DELETE" }, "delayMs": 60 * round }])).await;
        for (status, count) in fifty(&[app.url()], &ann, &post).await {
            assert!(matches!(status, 200 | 409), "{status}");
            *answers.entry(status).or_default() += count;
        }
        assert_eq!(effects(&app, &post).await, 1);
        let last = delete(&app, &ann, &post, &post).await;
        assert_eq!((last.status, last.header("idempotency-replayed")), (200, "true"));
    }
    println!("figure: idempotency, 50 at once | rounds = 4, effects = 4, answers = {answers:?}");
}

#[cfg(feature = "postgres-tests")]
mod replicas {
    use super::*;

    /// A second gateway on the same database: with the same key files, on a port of its own.
    #[test]
    fn fifty_at_once_over_two_replicas_have_one_effect() {
        crate::support::databases::gateway_on_postgres(async |engine| {
            let app = TestApp::spawn(engine).await;
            let ann = app.tenant("ann").await;
            let second = app.replica().await;
            let mut answers = BTreeMap::<u16, usize>::new();
            for _ in 0..4 {
                let post = draft(&app, &ann).await;
                app.faults(json!([{ "match": { "method": "DELETE" }, "delayMs": 100 }])).await;
                for (status, count) in fifty(&[app.url(), &second.url], &ann, &post).await {
                    assert!(matches!(status, 200 | 409), "{status}");
                    *answers.entry(status).or_default() += count;
                }
                assert_eq!(effects(&app, &post).await, 1);
                let path = format!("/api/v1/delete-post/{post}");
                for url in [app.url(), &second.url] {
                    let last =
                        keyed(&client(), url, Method::DELETE, &path, &ann.key, &post, &Value::Null).await;
                    assert_eq!((last.status, last.header("idempotency-replayed")), (200, "true"));
                }
            }
            println!(
                "figure: idempotency, 50 over two replicas | rounds = 4, effects = 4, answers = {answers:?}"
            );
            second.stop().await;
        });
    }
}

async fn a_crash_between_claim_and_finish_is_survived(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let rounds = std::env::var("GATEHOUSE_IDEMPOTENCY_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    let mut slowest = Duration::ZERO;
    let http = client();
    app.running.take().unwrap().stop().await;
    for round in 0..rounds {
        let post = draft(&app, &ann).await;
        app.faults(json!([{ "match": { "method": "DELETE" }, "delayMs": 150, "delayAfterMs": 150 }])).await;
        let path = format!("/api/v1/delete-post/{post}");
        let mut process = Process::start_with(&app, &["--lease-seconds", "3"]).await;
        let url = process.url.clone();
        let calls = (0..50).map(|_| {
            let (url, path, key, once) = (url.clone(), path.clone(), ann.key.clone(), post.clone());
            let http = http.clone();
            tokio::spawn(async move {
                let call = http.delete(format!("{url}{path}"));
                let answer = call.header("x-api-key", key).header("idempotency-key", once).send().await;
                answer.map(|answer| answer.status().as_u16())
            })
        });
        let calls: Vec<_> = calls.collect();
        // Before the claim, before and after the effect, after the answer.
        tokio::time::sleep(Duration::from_millis(20 + (round * 97) % 420)).await;
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        let acknowledged = futures_util::future::join_all(calls)
            .await
            .into_iter()
            .filter(|call| matches!(call, Ok(Ok(200))))
            .count();
        app.sandbox_idle().await;
        app.faults(json!([])).await;
        let process = Process::start_with(&app, &["--lease-seconds", "3"]).await;
        let begun = std::time::Instant::now();
        // As a client does it: the same call again until there is an answer. What had not happened counts as such only after
        // the time in which it could still happen.
        let answer = loop {
            let answer =
                keyed(&http, &process.url, Method::DELETE, &path, &ann.key, &post, &Value::Null).await;
            if !matches!(answer.status, 409 | 503) {
                break answer;
            }
            assert!(begun.elapsed() < Duration::from_secs(100), "{}", answer.text);
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        slowest = slowest.max(begun.elapsed());
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(effects(&app, &post).await, 1, "acknowledged before the kill: {acknowledged}");
    }
    println!(
        "figure: idempotency, kill between claim and finish | kills = {rounds}, effects = {rounds}, slowest answer = {slowest:?}"
    );
}

async fn a_form_cut_short_is_not_done_again(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let mut browser = Browser::login(&app).await;
    let page = format!("/w/{}/tenants/{}", app.ws, ann.id);
    // A new link was made and its answer lost: whoever sends the form again is shown what became of the first.
    app.faults(json!([{ "match": { "method": "POST" }, "resetAfter": true }])).await;
    let shown = browser.get(&page).await;
    let (csrf, once) = (hidden(&shown.text, "_csrf"), hidden(&shown.text, "_once"));
    let fields = [("_csrf", csrf.as_str()), ("_once", &once), ("days", "30"), ("rotate", "1")];
    let lost = browser.post(&format!("{page}/link"), &fields).await;
    assert_eq!(lost.status, 303, "{}", lost.text);
    assert!(lost.header("location").contains("/operations/"), "{:?}", lost.headers);
    app.faults(json!([])).await;
    let again = browser.post(&format!("{page}/link"), &fields).await;
    assert_eq!(again.header("location"), lost.header("location"));
    let made = app.journal(0).await.iter().filter(|e| e["action"] == "user.connection_url").count();
    let calls = app.control(Method::GET, "calls", Value::Null).await;
    assert_eq!(calls["byEndpoint"]["POST workspace/users/connection-url"], 1, "{made} {calls}");

    // The process that worked on a form is gone.
    let orphan = "UPDATE form_tokens SET node = 'gone', location = NULL";
    match &app.app().db {
        Db::Sqlite { writer, .. } => drop(sqlx::query(orphan).execute(writer).await.unwrap()),
        Db::Postgres(pool, ..) => drop(sqlx::query(orphan).execute(pool).await.unwrap()),
    }
    let cut = browser.post(&format!("{page}/link"), &fields).await;
    assert_eq!(cut.status, 409);
    assert!(cut.text.contains("interrupted") && cut.text.contains("reload the page"), "{}", cut.text);
    let calls = app.control(Method::GET, "calls", Value::Null).await;
    assert_eq!(calls["byEndpoint"]["POST workspace/users/connection-url"], 1);
    app.clock.advance(2 * MINUTE);
    app.until_settled().await;
}
