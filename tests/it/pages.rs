//! The operators' pages as a browser without JavaScript sees them: each opens, shows what is there, and its forms do what
//! they say.

use crate::{
    support::databases::{Engine, gateway_on_both_engines},
    testapp::{Answer, Browser, TestApp, hidden},
};
use reqwest::Method;
use serde_json::json;

gateway_on_both_engines!(
    every_page_opens,
    a_number_leads_to_as_many_posts,
    a_key_is_shown_once_and_revoked_at_once,
    tenants_are_made_linked_frozen_and_detached,
    a_workspace_key_is_tried_before_it_is_kept,
    the_log_is_exported_as_filtered,
    an_export_link_works_once_and_without_a_session,
    one_account_is_one_workspace,
    a_form_sent_many_times_at_once_is_never_a_500,
    guessing_passwords_is_slowed_down,
);

fn shows(answer: &Answer, status: u16, words: &[&str]) {
    assert_eq!(answer.status, status, "{}", answer.text);
    for word in words {
        assert!(answer.text.contains(word), "no {word:?} in {}", answer.text);
    }
}

/// The text between two marks.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let start = text.find(from).unwrap_or_else(|| panic!("no {from} in {text}")) + from.len();
    text[start..].split(to).next().unwrap()
}

async fn every_page_opens(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("Blue Bakery").await;
    app.posts(
        &tenant.id,
        vec![
            json!({ "status": "scheduled", "scheduledTime": "2030-01-01T09:00:00Z" }),
            json!({ "status": "failed", "scheduledTime": iso(&app, -3_600_000) }),
            json!({ "status": "published", "scheduledTime": iso(&app, -7_200_000) }),
        ],
    )
    .await;
    app.sweep(&app.ws, &tenant.id).await;
    let mut browser = Browser::login(&app).await;
    let (ws, id) = (&app.ws, &tenant.id);
    for (path, words) in [
        ("/".to_owned(), vec!["Needs attention", "post failed in the last 24 h", "key.create"]),
        (format!("/?ws={ws}"), vec!["Needs attention"]),
        ("/workspaces".into(), vec!["First"]),
        ("/workspaces/new".into(), vec!["Add workspace"]),
        (format!("/w/{ws}"), vec!["First", "Working keys", "Last complete import"]),
        (format!("/w/{ws}/tenants"), vec!["Blue Bakery", "1 tenant"]),
        (format!("/w/{ws}/tenants?q=blue&state=active"), vec!["Blue Bakery"]),
        (format!("/w/{ws}/tenants?q=nobody"), vec!["No tenant matches"]),
        (format!("/w/{ws}/tenants/new"), vec!["New tenant"]),
        (format!("/w/{ws}/tenants/{id}"), vec!["Blue Bakery", "tenant.import"]),
        (format!("/w/{ws}/tenants/{id}/detach"), vec!["1 post is scheduled"]),
        (format!("/w/{ws}/keys"), vec!["tenant key", "1 key"]),
        (format!("/w/{ws}/keys?status=active&tenant={id}"), vec!["1 key of Blue Bakery"]),
        (format!("/w/{ws}/keys/new?tenant={id}"), vec!["New key"]),
        (format!("/w/{ws}/audit"), vec!["workspace.create", "Export CSV"]),
        (
            format!("/w/{ws}/audit?action=key.create&outcome=succeeded"),
            vec!["1 entry", "action:key.create", "outcome:succeeded"],
        ),
        ("/audit".into(), vec!["admin.login"]),
        ("/audit/0".into(), vec!["Entry 0", "As stored"]),
    ] {
        shows(&browser.get(&path).await, 200, &words);
    }
    shows(&browser.get(&format!("/w/{ws}/audit?outcome=nonsense")).await, 422, &["no such outcome"]);
    shows(&browser.get(&format!("/?ws={}", "0".repeat(36))).await, 404, &[]);
    let found = browser.get(&format!("/w/{ws}/tenants?q={id}")).await;
    assert_eq!(found.header("location"), format!("/w/{ws}/tenants/{id}"));
}

async fn a_number_leads_to_as_many_posts(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("Blue Bakery").await;
    let failed = |ago: i64| json!({ "status": "failed", "scheduledTime": iso(&app, -ago) });
    app.posts(&tenant.id, vec![failed(60_000), failed(3_600_000), failed(30 * 3_600_000)]).await;
    app.sweep(&app.ws, &tenant.id).await;
    let mut browser = Browser::login(&app).await;
    let page = browser.get("/").await;
    let row = between(&page.text, "<ul class=\"panel rows\">", "</ul>");
    assert!(row.contains("<b class=\"num\">2</b>"), "{row}");
    let link = between(row, "href=\"", "\"").replace("&#38;", "&").replace("&amp;", "&");
    shows(&browser.get(&link).await, 200, &["2 posts · sorted by"]);
    let list = browser.get(&format!("/w/{}/tenants", app.ws)).await;
    assert!(list.text.contains(">3</a>"), "three failed within a week: {}", list.text);
}

async fn a_key_is_shown_once_and_revoked_at_once(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("Blue Bakery").await;
    let mut browser = Browser::login(&app).await;
    let (ws, form) = (&app.ws, format!("/w/{}/keys/new", app.ws));
    let list = format!("/w/{ws}/keys");
    let wrong = browser.submit(&form, &list, &[("name", "CI"), ("kind", "tenant"), ("expiry", "30")]).await;
    shows(&wrong, 422, &["Choose the tenant this key acts for", "value=\"CI\""]);
    let fields = [
        ("name", "CI"),
        ("kind", "tenant"),
        ("tenant", tenant.id.as_str()),
        ("scopes", "posts:read"),
        ("expiry", "30"),
    ];
    let made = browser.submit(&form, &list, &fields).await;
    let location = made.header("location").to_owned();
    let page = browser.get(&location).await;
    shows(&page, 200, &["shown this one time", "$GATEHOUSE_KEY"]);
    let secret = between(&page.text, "readonly value=\"", "\"").to_owned();
    assert_eq!(page.text.matches(&secret).count(), 1);
    let again = browser.get(&location).await;
    shows(&again, 200, &["already shown"]);
    assert!(!again.text.contains(&secret));

    let call = app.api(Method::GET, "/api/v1/list-posts", &secret, None).await;
    assert_eq!(call.status, 200, "{}", call.text);
    let back = between(&page.text, "<a class=\"btn primary\" href=\"", "\"").to_owned();
    shows(&browser.get(&format!("{back}/revoke")).await, 200, &["Revoke CI"]);
    let revoked = browser.submit(&format!("{back}/revoke"), &format!("{back}/revoke"), &[]).await;
    shows(&browser.follow(revoked).await, 200, &["Revoked", "key.revoke"]);
    let call = app.api(Method::GET, "/api/v1/list-posts", &secret, None).await;
    assert_eq!(call.status, 401, "{}", call.text);
}

async fn tenants_are_made_linked_frozen_and_detached(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let mut browser = Browser::login(&app).await;
    let list = format!("/w/{}/tenants", app.ws);
    let form = format!("{list}/new");
    let wrong =
        browser.submit(&form, &list, &[("username", "nobody"), ("display_name", "Blue Bakery")]).await;
    shows(&wrong, 422, &["Enter an e-mail address", "value=\"Blue Bakery\""]);
    let fields = [("username", "hello@bakery.example"), ("display_name", "Blue Bakery")];
    let made = browser.submit(&form, &list, &fields).await;
    let page = made.header("location").split('?').next().unwrap().to_owned();
    shows(&browser.follow(made).await, 200, &["Tenant created.", "hello@bakery.example"]);
    let twice = browser.submit(&form, &list, &fields).await;
    shows(&twice, 422, &["User with this email already exists", &page]);

    let wrong = browser.submit(&page, &format!("{page}/link"), &[("days", "400")]).await;
    shows(&wrong, 422, &["Enter a number of days from 1 to 365"]);
    let linked = browser.submit(&page, &format!("{page}/link"), &[("days", "30")]).await;
    shows(&browser.follow(linked).await, 200, &["Connection link created", "http"]);

    shows(
        &browser.submit(&page, &format!("{page}/freeze"), &[("reason", " ")]).await,
        422,
        &["Enter a reason"],
    );
    let frozen = browser.submit(&page, &format!("{page}/freeze"), &[("reason", "Not paid")]).await;
    shows(
        &browser.follow(frozen).await,
        200,
        &["This tenant is frozen", "Not paid", "by owner@test.example"],
    );
    let unfrozen = browser.submit(&page, &format!("{page}/unfreeze"), &[]).await;
    shows(&browser.follow(unfrozen).await, 200, &["Unfrozen."]);

    let id = page.rsplit('/').next().unwrap();
    let post = json!({ "status": "scheduled", "scheduledTime": "2030-01-01T09:00:00Z" });
    app.posts(id, vec![post]).await;
    app.sweep(&app.ws, id).await;
    let detach = format!("{page}/detach");
    shows(&browser.submit(&detach, &detach, &[("confirm", "yes")]).await, 422, &["Type the username"]);
    let gone = browser.submit(&detach, &detach, &[("confirm", "Hello@bakery.example")]).await;
    shows(&browser.follow(gone).await, 200, &["Tenant detached.", "is detached"]);
}

async fn a_workspace_key_is_tried_before_it_is_kept(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let mut browser = Browser::login(&app).await;
    let bad_key = format!("sk_{}", "x".repeat(40));
    let form = |name: &'static str, url: String, key: String| {
        [
            ("name", name.to_owned()),
            ("environment", "staging".to_owned()),
            ("base_url", url),
            ("upstream_key", key),
        ]
    };
    let fresh = app.control(Method::POST, "workspaces", json!({ "name": "Fresh" })).await;
    let fresh = fresh["key"].as_str().unwrap().to_owned();
    let cases = [
        (form("Second", app.sandbox.url(), bad_key.clone()), "PostPost does not know this key"),
        (form("Second", "http://127.0.0.1:1".into(), bad_key.clone()), "cannot be reached"),
        (form("First", app.sandbox.url(), fresh), "There is a workspace of this name already"),
        (form("Second", "http://example.com".into(), "brief".into()), "use https"),
    ];
    for (fields, words) in cases {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let answer = browser.submit("/workspaces/new", "/workspaces", &fields).await;
        shows(&answer, 422, &[words, fields[0].1]);
        assert!(!answer.text.contains(fields[3].1), "the key is printed");
    }
    let account = app.control(Method::POST, "workspaces", json!({ "name": "Second" })).await;
    let key = account["key"].as_str().unwrap().to_owned();
    let fields = form("Second", app.sandbox.url(), key.clone());
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let made = browser.submit("/workspaces/new", "/workspaces", &fields).await;
    let page = made.header("location").split('?').next().unwrap().to_owned();
    let shown = browser.follow(made).await;
    shows(&shown, 200, &["Workspace added.", "Staging workspace"]);
    assert!(!shown.text.contains(&key));
    let replaced = browser.submit(&page, &format!("{page}/key"), &[("upstream_key", &bad_key)]).await;
    shows(&replaced, 422, &["PostPost does not know this key"]);
    let policy = browser.submit(&page, &format!("{page}/policy"), &[("policy", "any")]).await;
    shows(&browser.follow(policy).await, 200, &["Any post, whatever its status"]);
    let imported = browser.submit(&page, &format!("{page}/import"), &[]).await;
    shows(&browser.follow(imported).await, 200, &["Managed users imported."]);
    app.faults(json!([{ "status": 500, "body": { "error": "Internal server error" } }])).await;
    let failed = browser.submit(&page, &format!("{page}/import"), &[]).await;
    shows(&failed, 422, &["Nothing was imported", "The last attempt did not finish"]);
}

async fn the_log_is_exported_as_filtered(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    app.tenant("Blue Bakery").await;
    let mut browser = Browser::login(&app).await;
    let page = format!("/w/{}/audit", app.ws);
    let fields = [("action", "key.create"), ("format", "csv")];
    let csv = browser.submit(&page, &format!("{page}/export"), &fields).await;
    shows(&csv, 200, &["key.create"]);
    assert_eq!(csv.text.lines().count(), 2, "{}", csv.text);
    assert!(csv.text.lines().next().unwrap().ends_with(r#","before","after","client""#), "{}", csv.text);
    assert!(csv.header("content-disposition").starts_with("attachment"));
}

/// A time relative to now.
fn iso(app: &TestApp, millis: i64) -> String {
    gatehouse::domain::times::to_iso(app.clock.now() + millis)
}

async fn an_export_link_works_once_and_without_a_session(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let mut browser = Browser::login(&app).await;
    let log = format!("/w/{}/audit", app.ws);
    let made = browser
        .submit(&log, &format!("{log}/link"), &[("format", "ndjson"), ("action", "workspace.create")])
        .await;
    let shown = browser.follow(made).await;
    let start = shown.text.find("/exports/").unwrap();
    let path = shown.text[start..].split(['"', '<', '&']).next().unwrap().to_owned();
    let anyone = Answer::read(app.request(Method::GET, &path).send().await.unwrap()).await;
    assert_eq!((anyone.status, anyone.text.lines().count()), (200, 1), "{}", anyone.text);
    assert!(anyone.text.contains("workspace.create"));
    let again = Answer::read(app.request(Method::GET, &path).send().await.unwrap()).await;
    assert_eq!(again.status, 404);
    let forged = format!("{}x", &path[..path.len() - 1]);
    assert_eq!(app.request(Method::GET, &forged).send().await.unwrap().status(), 404);
}

async fn one_account_is_one_workspace(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let mut browser = Browser::login(&app).await;
    let form = |name: &'static str, key: &str| {
        vec![
            ("name", name.to_owned()),
            ("environment", "staging".to_owned()),
            ("base_url", app.sandbox.url()),
            ("upstream_key", key.to_owned()),
        ]
    };
    let mut add = async |name: &'static str, key: &str| {
        let fields = form(name, key);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        browser.submit("/workspaces/new", "/workspaces", &fields).await
    };
    shows(&add("Again", &app.ws_key).await, 422, &["This PostPost account is the workspace First already"]);
    // Another key of the same account shows by its tenants.
    app.tenant("ann").await;
    let journal = app.journal(0).await;
    let owner = journal.iter().find(|e| e["action"] == "workspace.create").unwrap()["userId"].clone();
    let other = app.control(Method::POST, "keys", json!({ "userId": owner, "workspace": true })).await;
    let other = other["key"].as_str().unwrap();
    shows(&add("Again", other).await, 422, &["This PostPost account is the workspace First already"]);
}

async fn a_form_sent_many_times_at_once_is_never_a_500(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let mut browser = Browser::login(&app).await;
    let keys = format!("/w/{}/keys", app.ws);
    let page = browser.get(&format!("{keys}/new")).await;
    let (csrf, once) = (hidden(&page.text, "_csrf"), hidden(&page.text, "_once"));
    for (expiry, expected) in [("", 422), ("30", 303)] {
        let fields = [
            ("_csrf", csrf.as_str()),
            ("_once", once.as_str()),
            ("name", "CI"),
            ("kind", "workspace"),
            ("scopes", "posts:read"),
            ("expiry", expiry),
        ];
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let calls = (0..8).map(|_| {
            app.request(Method::POST, &keys)
                .header("cookie", browser.cookie_header())
                .header("origin", app.url())
                .header("content-type", "application/x-www-form-urlencoded")
                .body(body.clone())
                .send()
        });
        for answer in futures_util::future::join_all(calls).await {
            assert_eq!(answer.unwrap().status(), expected, "expiry {expiry:?}");
        }
    }
    // The token stands for what was sent with it: with another name it would be a second key.
    let other =
        [("_csrf", csrf.as_str()), ("_once", once.as_str()), ("name", "Other"), ("kind", "workspace")];
    let answer =
        browser.post(&keys, &[&other[..], &[("scopes", "posts:read"), ("expiry", "30")]].concat()).await;
    assert!(
        answer.status == 422 && answer.text.contains("sent already"),
        "{}: {}",
        answer.status,
        answer.text
    );
    assert_eq!(app.app().db.keys(&app.ws, &Default::default(), None, 10).await.unwrap().len(), 1);
}

async fn guessing_passwords_is_slowed_down(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let mut browser = Browser::at(app.url());
    let page = browser.get("/login").await;
    let csrf = hidden(&page.text, "_csrf");
    let calls = (0..25).map(|_| {
        app.request(Method::POST, "/login")
            .header("cookie", browser.cookie_header())
            .header("origin", app.url())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("_csrf={csrf}&email=owner%40test.example&password=wrong"))
            .send()
    });
    let answers = futures_util::future::join_all(calls).await;
    let count = |status: u16| answers.iter().filter(|a| a.as_ref().unwrap().status() == status).count();
    let (tried, held, crowded) = (count(401), count(429), count(503));
    // Ten are free; a further one may fall behind the first wait of a second. More than may wait for a place are turned away.
    assert!((10..=13).contains(&tried), "{tried} tried, {held} held back, {crowded} turned away");
    assert_eq!(tried + held + crowded, 25);
    app.clock.advance(20 * 60_000);
    let mut signed_in = Browser::login(&app).await;
    // The same for the current password where it is changed.
    let mut said = Vec::new();
    for _ in 0..12 {
        let guess = [("current_password", "wrong"), ("new_password", "four quite other words")];
        said.push(signed_in.submit("/settings", "/settings/password", &guess).await);
    }
    assert!(said.iter().all(|answer| answer.status == 422), "{said:?}");
    let held = said.iter().filter(|answer| answer.text.contains("Too many attempts")).count();
    assert!((1..=3).contains(&held), "{held}");
}
