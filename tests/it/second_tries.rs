//! A caller who got no answer tries again. What became of the first try and of the second is told apart.

use crate::{
    support::{
        databases::{Engine, execute, gateway_on_both_engines},
        ledger::Ledger,
    },
    testapp::TestApp,
};
use gatehouse::domain::times;
use reqwest::Method;
use serde_json::json;
use std::time::Duration;

gateway_on_both_engines!(
    of_two_deletes_only_one_did_it,
    an_update_waits_for_what_became_of_the_one_before,
    the_same_update_again_is_not_taken_for_done,
    an_update_right_after_another_knows_what_that_one_did,
    an_earlier_updates_time_is_not_taken_for_this_ones,
    an_update_is_refused_while_the_one_before_is_in_doubt,
);

async fn ledger(app: &TestApp) -> Ledger {
    app.until_settled().await;
    let mut ledger = Ledger::default();
    ledger.read(app, &app.app().db).await;
    ledger.check_settled();
    let (violations, text) = ledger.violations();
    assert!(violations == 0, "{text}");
    ledger
}

async fn of_two_deletes_only_one_did_it(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    for (lost, second) in [("resetBefore", 200), ("resetAfter", 404)] {
        let id = app.posts(&ann.id, vec![json!({ "status": "draft" })]).await.remove(0);
        app.faults(json!([{ "match": { "method": "DELETE" }, "times": 1, (lost): true }])).await;
        let path = format!("/api/v1/delete-post/{id}");
        assert_eq!(app.api(Method::DELETE, &path, &ann.key, None).await.status, 504);
        assert_eq!(app.api(Method::DELETE, &path, &ann.key, None).await.status, second, "{lost}");
    }
    let ledger = ledger(&app).await;
    let ends: Vec<_> = ledger.ends().into_iter().collect();
    // The first try that did nothing found the post gone; that which did it was found to have.
    assert_eq!(ends, [("applied", 1), ("gone", 1), ("succeeded", 1)]);
}

async fn an_update_waits_for_what_became_of_the_one_before(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    for lost in ["resetBefore", "resetAfter"] {
        let post = json!({ "status": "scheduled", "scheduledTime": "2030-01-01T09:00:00Z" });
        let id = app.posts(&ann.id, vec![post]).await.remove(0);
        app.sweep(&app.ws, &ann.id).await;
        app.faults(json!([{ "match": { "method": "PUT" }, "times": 1, (lost): true }])).await;
        let path = format!("/api/v1/update-post/{id}");
        let update =
            |hour: i64| Some(json!({ "scheduledTime": times::to_iso(1_900_000_000_000 + hour * 3_600_000) }));
        assert_eq!(app.api(Method::PUT, &path, &ann.key, update(1)).await.status, 504);
        let second = app.api(Method::PUT, &path, &ann.key, update(2)).await;
        assert_eq!(second.status, 200, "{lost}: {}", second.text);
        // Two at once: one after the other.
        let both = futures_util::future::join(
            app.api(Method::PUT, &path, &ann.key, update(3)),
            app.api(Method::PUT, &path, &ann.key, update(4)),
        );
        let both = both.await;
        assert!(matches!((both.0.status, both.1.status), (200, 200 | 409) | (409, 200)), "{both:?}");
    }
    let ledger = ledger(&app).await;
    let ends = ledger.ends();
    assert_eq!((ends["applied"], ends["not_applied"]), (1, 1), "{ends:?}");
}

async fn the_same_update_again_is_not_taken_for_done(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let post = json!({ "status": "scheduled", "scheduledTime": "2030-01-01T09:00:00Z" });
    let id = app.posts(&ann.id, vec![post]).await.remove(0);
    app.sweep(&app.ws, &ann.id).await;
    let path = format!("/api/v1/update-post/{id}");
    let update = Some(json!({ "scheduledTime": "2030-02-02T09:00:00Z" }));
    // The first is done and not answered; the second never arrives. Lists are slow, so that the restart leaves the mirror
    // as it was before the first.
    app.faults(json!([
        { "match": { "path": "/api/v1/list-posts" }, "delayMs": 600 },
        { "match": { "method": "PUT" }, "times": 1, "resetAfter": true },
        { "match": { "method": "PUT" }, "times": 1, "resetBefore": true },
    ]))
    .await;
    assert_eq!(app.api(Method::PUT, &path, &ann.key, update.clone()).await.status, 504);
    app.restart().await;
    assert_eq!(app.api(Method::PUT, &path, &ann.key, update).await.status, 504);
    let ends: Vec<_> = ledger(&app).await.ends().into_iter().map(|(end, n)| (end.to_owned(), n)).collect();
    assert_eq!(ends, [("applied".to_owned(), 1), ("not_applied".to_owned(), 1)]);
}

/// The mirror does not know yet what the first one did: the second looks before it is sent, or its end would be read from
/// the first one's traces.
async fn an_update_right_after_another_knows_what_that_one_did(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let post = json!({ "status": "scheduled", "scheduledTime": "2030-01-01T09:00:00Z" });
    let id = app.posts(&ann.id, vec![post]).await.remove(0);
    app.sweep(&app.ws, &ann.id).await;
    let path = format!("/api/v1/update-post/{id}");
    let update = Some(json!({ "scheduledTime": "2030-02-02T09:00:00Z" }));
    app.faults(json!([{ "match": { "path": "/api/v1/list-posts" }, "delayMs": 300 }])).await;
    assert_eq!(app.api(Method::PUT, &path, &ann.key, update.clone()).await.status, 200);
    app.faults(json!([
        { "match": { "path": "/api/v1/list-posts" }, "delayMs": 300 },
        { "match": { "method": "PUT" }, "times": 1, "resetBefore": true },
    ]))
    .await;
    assert_eq!(app.api(Method::PUT, &path, &ann.key, update).await.status, 504);
    let ends: Vec<_> = ledger(&app).await.ends().into_iter().map(|(end, n)| (end.to_owned(), n)).collect();
    assert_eq!(ends, [("not_applied".to_owned(), 1), ("succeeded".to_owned(), 1)]);
}

async fn an_earlier_updates_time_is_not_taken_for_this_ones(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let post = json!({ "status": "scheduled", "scheduledTime": "2030-01-01T09:00:00Z" });
    let id = app.posts(&ann.id, vec![post]).await.remove(0);
    app.sweep(&app.ws, &ann.id).await;
    let path = format!("/api/v1/update-post/{id}");
    let update = |time: &str| Some(json!({ "scheduledTime": time }));
    let first = app.api(Method::PUT, &path, &ann.key, update("2030-02-02T09:00:00Z")).await;
    assert_eq!(first.status, 200, "{}", first.text);
    app.sweep(&app.ws, &ann.id).await;
    // As a listing read before the first update leaves it, when it brings a post that was not in the mirror.
    execute(
        &app.app().db,
        "UPDATE posts SET scheduled_at = 1, place_at = 1, updated_at = 1 WHERE id = $1",
        &[&id],
    )
    .await
    .unwrap();
    app.faults(json!([{ "match": { "method": "PUT" }, "times": 1, "resetBefore": true }])).await;
    let lost = app.api(Method::PUT, &path, &ann.key, update("2030-02-02T08:00:00Z")).await;
    assert_eq!(lost.status, 504, "{}", lost.text);
    let ends: Vec<_> = ledger(&app).await.ends().into_iter().map(|(end, n)| (end.to_owned(), n)).collect();
    assert_eq!(ends, [("not_applied".to_owned(), 1), ("succeeded".to_owned(), 1)]);
}

async fn an_update_is_refused_while_the_one_before_is_in_doubt(engine: Engine) {
    let app =
        TestApp::spawn_with(engine, |config| config.tuning.settle_after = Duration::from_secs(60)).await;
    let ann = app.tenant("ann").await;
    let post = json!({ "status": "scheduled", "scheduledTime": "2030-01-01T09:00:00Z" });
    let id = app.posts(&ann.id, vec![post]).await.remove(0);
    app.faults(json!([{ "match": { "method": "PUT" }, "times": 1, "resetBefore": true }])).await;
    let path = format!("/api/v1/update-post/{id}");
    let update = Some(json!({ "status": "draft" }));
    let first = app.api(Method::PUT, &path, &ann.key, update.clone()).await;
    assert_eq!(first.status, 504);
    app.reset_calls().await;
    let second = app.api(Method::PUT, &path, &ann.key, update.clone()).await;
    assert_eq!((second.status, second.header("retry-after")), (409, "5"), "{}", second.text);
    assert_eq!(second.json()["code"], "change_unsettled");
    assert_eq!(second.json()["operationId"], first.json()["operationId"]);
    // A delete does not wait: whoever wants the post gone has it gone.
    let delete = app.api(Method::DELETE, &format!("/api/v1/delete-post/{id}"), &ann.key, None).await;
    assert_eq!(delete.status, 200, "{}", delete.text);
    ledger(&app).await;
}
