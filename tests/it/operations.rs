//! How a change ended whose answer was lost: for the key that got the 504, and for the operators on their pages.

use crate::{
    support::databases::{Engine, gateway_on_both_engines},
    testapp::{Browser, TestApp},
};
use gatehouse::{
    clock::{DAY, MINUTE},
    domain::{ids, times},
};
use reqwest::Method;
use serde_json::{Value, json};

gateway_on_both_engines!(a_lost_answer_can_be_asked_for, operators_see_what_was_in_doubt);

async fn a_lost_answer_can_be_asked_for(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let asked = app.clock.now() + 3 * DAY;
    let put = json!({ "method": "PUT" });
    let cases = [
        (
            json!([{ "match": put, "moveTimesByMs": 420_000 }, { "match": put, "statusAfter": 503 }]),
            "applied",
            "the change did happen",
            json!(503),
            json!(times::to_iso(asked + 420_000)),
        ),
        (
            json!([{ "match": put, "resetBefore": true }]),
            "not_applied",
            "the change did not happen",
            Value::Null,
            Value::Null,
        ),
    ];
    for (rules, state, words, status, granted) in cases {
        let post = json!({ "status": "scheduled", "scheduledTime": times::to_iso(app.clock.now() + DAY) });
        let id = app.posts(&tenant.id, vec![post]).await.remove(0);
        app.sweep(&app.ws, &tenant.id).await;
        app.faults(rules).await;
        let body = Some(json!({ "scheduledTime": times::to_iso(asked) }));
        let answer = app.api(Method::PUT, &format!("/api/v1/update-post/{id}"), &tenant.key, body).await;
        let op = answer.json()["operationId"].as_str().unwrap().to_owned();
        let ask = async || {
            app.api(Method::GET, &format!("/api/v1/operations/{op}"), &tenant.key, None).await.json()
        };
        let first = ask().await;
        if first["endedAt"] == Value::Null {
            assert_eq!((&first["state"], &first["grantedTime"]), (&json!("in_doubt"), &Value::Null));
            assert!(first["outcome"].as_str().unwrap().contains("being looked up"), "{first}");
        }
        app.control(Method::DELETE, "faults", Value::Null).await;
        app.until_settled().await;
        let last = ask().await;
        assert_eq!(
            (
                &last["action"],
                &last["postGroupId"],
                &last["state"],
                &last["upstreamStatus"],
                &last["grantedTime"]
            ),
            (&json!("post.update"), &json!(id), &json!(state), &status, &granted),
            "{last}"
        );
        assert!(last["outcome"].as_str().unwrap().contains(words), "{last}");
        let time = |name: &str| times::from_iso(last[name].as_str().unwrap()).unwrap();
        assert!(time("startedAt") <= time("endedAt"));
    }
}

async fn operators_see_what_was_in_doubt(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("Blue Bakery").await;
    let mut browser = Browser::login(&app).await;
    let list = format!("/w/{}/operations", app.ws);
    let empty = browser.get(&list).await;
    assert!(empty.text.contains("Every change has ended.") && empty.text.contains("None so far"));

    // In doubt for as long as the post cannot be looked up.
    let id = app.posts(&tenant.id, vec![json!({ "content": "Rhubarb" })]).await.remove(0);
    let reset = json!({ "match": { "method": "DELETE" }, "resetAfter": true, "delayMs": 300 });
    let down =
        json!({ "match": { "method": "GET", "path": "/api/v1/get-post", "postGroupId": id }, "status": 500 });
    app.faults(json!([reset])).await;
    let path = format!("/api/v1/delete-post/{id}");
    let delete = app.api(Method::DELETE, &path, &tenant.key, None);
    let cut = async {
        app.until("the delete has arrived", || async {
            app.control(Method::GET, "calls?last=1", Value::Null).await["calls"][0]["method"] == "DELETE"
        })
        .await;
        app.faults(json!([down])).await;
    };
    let (answer, ()) = tokio::join!(delete, cut);
    assert_eq!(answer.status, 504, "{}", answer.text);
    let op = answer.json()["operationId"].as_str().unwrap().to_owned();
    let short = format!("{}…{}", &id[..4], &id[20..]);
    let page = browser.get(&list).await;
    assert!(page.text.contains(&format!("Delete post {short}")) && page.text.contains("In doubt"));
    let dashboard = browser.get("/").await;
    assert!(dashboard.text.contains(&format!("/w/{}/operations/{op}", app.ws)), "the dashboard links to it");
    let shown = browser.get(&format!("{list}/{op}")).await;
    for words in ["Blue Bakery", "is being looked up", "Rhubarb", "post.delete", "Not yet", &id] {
        assert!(shown.text.contains(words), "{words}: {}", shown.text);
    }
    app.control(Method::DELETE, "faults", Value::Null).await;
    app.clock.advance(2 * MINUTE);
    app.until_settled().await;
    let shown = browser.get(&format!("{list}/{op}")).await;
    assert!(
        shown.text.contains("the change did happen") && shown.text.contains("Did happen"),
        "{}",
        shown.text
    );

    // What PostPost answered is no doubt and not listed; its page is there all the same.
    let other = app.posts(&tenant.id, vec![json!({})]).await.remove(0);
    app.api(Method::DELETE, &format!("/api/v1/delete-post/{other}"), &tenant.key, None).await;
    let page = browser.get(&list).await;
    assert_eq!(page.text.matches("Delete post").count(), 1, "{}", page.text);
    let entry = app.entries().await.into_iter().find(|e| e["targets"][0]["id"] == other.as_str()).unwrap();
    let clear = entry["opId"].as_str().unwrap();
    let shown = browser.get(&format!("{list}/{clear}")).await;
    assert!(shown.text.contains("PostPost answered that it made the change"), "{}", shown.text);
    let logged = browser.get(&format!("/w/{}/audit/{}", app.ws, entry["seq"])).await;
    assert!(logged.text.contains(&format!("{list}/{clear}")), "the entry links to its operation");
    assert_eq!(browser.get(&format!("{list}/{}", ids::new_id())).await.status, 404);
}
