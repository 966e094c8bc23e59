//! Replacing a key while clients use it: no client that switches in time is refused, on either of two replicas.

use super::{LIST, WHOAMI, make, tenant_key};
use crate::{
    support::databases::Engine,
    testapp::{Answer, Browser, TestApp},
};
use gatehouse::{
    clock::{DAY, HOUR, SECOND},
    domain::{audit::Actor, keys::PENDING_LIFE},
};
use reqwest::Method;
use serde_json::{Value, json};

/// A tenant's key made on the pages: where its page is, and the secret.
async fn old_key(app: &TestApp, browser: &mut Browser) -> (String, String) {
    let tenant = app.tenant("ann").await;
    app.quiet().await;
    make(app, browser, &tenant_key(&tenant, "", "7")).await
}

/// Rotates it on its page: the new one's page and secret.
pub async fn rotate(browser: &mut Browser, page: &str, overlap: i64) -> (String, String) {
    let overlap = (overlap / SECOND).to_string();
    let rotate = format!("{page}/rotate");
    let made = browser.submit(&rotate, &rotate, &[("overlap", &overlap), ("expiry", "90")]).await;
    let shown = browser.follow(made).await.text;
    let cut = |begin: &str| {
        shown.split(begin).nth(1).unwrap_or_else(|| panic!("{shown}")).split('"').next().unwrap()
    };
    (cut("<a class=\"btn primary\" href=\"").to_owned(), cut("readonly value=\"").to_owned())
}

async fn status(app: &TestApp, key: &str) -> u16 {
    app.api(Method::GET, WHOAMI, key, None).await.status
}

fn shows(html: &str, texts: &[&str]) {
    for text in texts {
        assert!(html.contains(text), "{text} is not in {html}");
    }
}

async fn actions(app: &TestApp) -> Vec<String> {
    let entries = app.entries().await;
    let of_keys = entries.iter().filter_map(|e| e["action"].as_str()).filter(|a| a.starts_with("key."));
    of_keys.map(str::to_owned).collect()
}

pub async fn the_first_use_of_the_new_key_begins_the_old_ones_end(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let mut browser = Browser::login(&app).await;
    let (page, old) = old_key(&app, &mut browser).await;
    let wrong = browser
        .submit(&format!("{page}/rotate"), &format!("{page}/rotate"), &[("overlap", "60"), ("expiry", "90")])
        .await;
    assert_eq!(wrong.status, 422, "{}", wrong.text);
    shows(&wrong.text, &["Choose how long the old key lives on"]);
    let (new_page, new) = rotate(&mut browser, &page, HOUR).await;
    let told = app.api(Method::GET, WHOAMI, &old, None).await.json();
    assert_eq!(told["replaced"], true);
    shows(
        &browser.get(&page).await.text,
        &["waits for its first use until", "lives on for 1 hour", "Cancel rotation"],
    );
    shows(
        &browser.get(&new_page).await.text,
        &["Waits for first use", "Nightly", "7 calls a second", "Cancel rotation"],
    );
    // A key in rotation is not rotated again.
    for page in [&page, &new_page] {
        let refused = browser.get(&format!("{page}/rotate")).await;
        shows(&browser.follow(refused).await.text, &["cannot be rotated now"]);
    }
    // Nothing but a call under the new key brings it into force: not a look at it, not a wrong door.
    assert_eq!(app.api(Method::GET, "/manage/v1/audit.csv", &new, None).await.status, 403);
    app.clock.advance(20 * 60 * SECOND);
    assert_eq!(app.api(Method::GET, LIST, &old, None).await.status, 200);
    assert!(!actions(&app).await.contains(&"key.activate".to_owned()));
    // Twenty at once, and it comes into force once.
    let calls = futures_util::future::join_all((0..20).map(|_| status(&app, &new))).await;
    assert_eq!(calls, [200; 20]);
    assert_eq!(actions(&app).await.iter().filter(|a| *a == "key.activate").count(), 1);
    let old_call =
        app.request(Method::GET, WHOAMI).header("x-api-key", &old).header("user-agent", "laggard/2 <b>");
    assert_eq!(old_call.send().await.unwrap().status(), 200);
    app.app().access.flush_uses().await.unwrap();
    shows(&browser.get(&page).await.text, &["Being replaced", "Still in use", "laggard/2 &#60;b&#62;"]);
    shows(
        &browser.get(&new_page).await.text,
        &["The old key", "Who used the old key lately", "laggard/2 &#60;b&#62;"],
    );
    let list = browser.get(&format!("/w/{}/keys?status=rotating", app.ws)).await.text;
    shows(&list, &["2 keys", "Its new key", "The key it replaces", "laggard/2"]);
    // The overlap is over: by the time alone, then on record.
    app.clock.advance(HOUR);
    assert_eq!((status(&app, &old).await, status(&app, &new).await), (401, 200));
    app.app().db.end_keys(&Actor::system("keys"), app.clock.now()).await.unwrap();
    assert_eq!(actions(&app).await[..4], ["key.retire", "key.activate", "key.create", "key.rotate"]);
    let mut browser = Browser::login(&app).await;
    shows(&browser.get(&page).await.text, &["Replaced", "This key ended on"]);
    shows(&browser.get(&new_page).await.text, &["This key has replaced", "Rotate…"]);
}

pub async fn a_rotation_can_be_cancelled_or_lapses(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let mut browser = Browser::login(&app).await;
    let (page, old) = old_key(&app, &mut browser).await;
    let (new_page, new) = rotate(&mut browser, &page, DAY).await;
    let cancelled = browser.submit(&new_page, &format!("{new_page}/cancel"), &[]).await;
    shows(&browser.follow(cancelled).await.text, &["The rotation was cancelled", "Rotate…"]);
    assert_eq!((status(&app, &old).await, status(&app, &new).await), (200, 401));
    // Used in the meantime, it cannot be taken back.
    let (new_page, new) = rotate(&mut browser, &page, DAY).await;
    let form = browser.get(&new_page).await.text;
    assert_eq!(status(&app, &new).await, 200);
    let fields = ["_csrf", "_once"].map(|name| (name, crate::testapp::hidden(&form, name)));
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    let late = browser.post(&format!("{new_page}/cancel"), &fields).await;
    shows(&browser.follow(late).await.text, &["nothing to cancel any more"]);
    assert_eq!((status(&app, &old).await, status(&app, &new).await), (200, 200));
    // Revoking the old one ends the overlap.
    let revoked = browser.submit(&format!("{page}/revoke"), &format!("{page}/revoke"), &[]).await;
    assert_eq!(revoked.status, 303);
    assert_eq!((status(&app, &old).await, status(&app, &new).await), (401, 200));
    // Nobody uses the next one for a week.
    let (_, unused) = rotate(&mut browser, &new_page, HOUR).await;
    app.clock.advance(PENDING_LIFE);
    assert_eq!((status(&app, &new).await, status(&app, &unused).await), (200, 401));
    app.app().db.end_keys(&Actor::system("keys"), app.clock.now()).await.unwrap();
    assert_eq!(actions(&app).await[0], "key.lapse");
    let mut browser = Browser::login(&app).await;
    rotate(&mut browser, &new_page, HOUR).await;
}

/// A message of the protocol for assistants.
async fn message(app: &TestApp, key: &str, method: &str, params: Value) -> Answer {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let request = app.request(Method::POST, "/mcp").header("x-api-key", key);
    let request = request.header("accept", "application/json, text/event-stream");
    Answer::read(request.header("content-type", "application/json").body(body).send().await.unwrap()).await
}

/// That the new key waits, and the old one works. A look at what the old one is is no use of the new one.
async fn nothing_has_changed(app: &TestApp, old: &str, after: &str) {
    assert!(!actions(app).await.contains(&"key.activate".to_owned()), "{after}");
    assert_eq!(status(app, old).await, 200, "{after}");
}

pub async fn a_refused_call_leaves_the_old_key(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let mut browser = Browser::login(&app).await;
    let (page, old) = old_key(&app, &mut browser).await;
    let tenant = app.api(Method::GET, WHOAMI, &old, None).await.json()["tenant"]["id"].clone();
    let (new_page, new) = rotate(&mut browser, &page, 0).await;
    let id = "507f191e810c19729de860ea";
    for (method, path, code) in [
        (Method::DELETE, format!("/api/v1/delete-post/{id}"), "scope_missing"),
        (Method::GET, "/api/v1/workspace/users".into(), "workspace_access"),
        (Method::GET, "/api/v1/get-post/nonsense".into(), "invalid_id"),
    ] {
        let refused = app.api(method, &path, &new, None).await;
        assert_eq!(refused.json()["code"], code, "{}", refused.text);
        nothing_has_changed(&app, &old, code).await;
    }
    let elsewhere = app.request(Method::GET, WHOAMI).header("x-api-key", &new);
    let elsewhere = elsewhere.header("x-postpost-user-id", id).send().await.unwrap();
    assert_eq!(elsewhere.status(), 403);
    nothing_has_changed(&app, &old, "another tenant").await;
    let call = |tool: &str| json!({ "name": tool, "arguments": { "postGroupId": id } });
    for (method, params, says) in [
        ("tools/call", call("delete_post"), "scope_missing"),
        ("tools/call", call("no_such_tool"), "no tool"),
        ("no/such", json!({}), "no such method"),
    ] {
        let refused = message(&app, &new, method, params).await;
        assert!(refused.text.contains(says), "{}", refused.text);
        nothing_has_changed(&app, &old, says).await;
    }
    let freeze = format!("/w/{}/tenants/{}", app.ws, tenant.as_str().unwrap());
    browser.submit(&freeze, &format!("{freeze}/freeze"), &[("reason", "Not paid")]).await;
    assert_eq!(app.api(Method::GET, LIST, &new, None).await.status, 423);
    nothing_has_changed(&app, &old, "frozen").await;
    app.app().access.flush_uses().await.unwrap();
    shows(
        &browser.get(&new_page).await.text,
        &["waits for its first use until", "Nobody has used this key yet"],
    );
    // What nothing refuses, also while the tenant is frozen: what there is to be called.
    let tools = message(&app, &new, "tools/list", json!({})).await;
    assert_eq!(tools.status, 200, "{}", tools.text);
    assert!(tools.json()["result"]["tools"].is_array(), "{}", tools.text);
    assert_eq!(actions(&app).await[..2], ["key.retire", "key.activate"]);
    assert_eq!((status(&app, &old).await, status(&app, &new).await), (401, 200));
}

pub async fn a_refused_bulk_call_leaves_the_old_key(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let mut browser = Browser::login(&app).await;
    let fields = [
        ("name", "Desk"),
        ("kind", "workspace"),
        ("tenant", ""),
        ("scopes", "posts:read"),
        ("expiry", "30"),
        ("addresses", ""),
        ("rate", ""),
    ];
    let (page, old) = make(&app, &mut browser, &fields).await;
    let (_, new) = rotate(&mut browser, &page, 0).await;
    let plans = "/manage/v1/bulk/plans";
    let body = json!({ "action": "delete", "filter": { "status": ["draft"] } });
    for (method, path, body, code) in [
        (Method::POST, plans.to_owned(), Some(body), "scope_missing"),
        (Method::GET, format!("{plans}/nonsense"), None, "not_found"),
        (Method::GET, "/manage/v1/audit.csv".into(), None, "scope_missing"),
    ] {
        let refused = app.api(method, &path, &new, body).await;
        assert_eq!(refused.json()["code"], code, "{}", refused.text);
        nothing_has_changed(&app, &old, &path).await;
    }
    assert_eq!(status(&app, &new).await, 200);
    assert_eq!((status(&app, &old).await, status(&app, &new).await), (401, 200));
}
