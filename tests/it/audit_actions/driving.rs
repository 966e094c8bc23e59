//! Each route that changes something is called on a running gateway, once with success and once by somebody who may not;
//! then every entry of the log is compared with the table.

use super::{Row, by_action, name};
use crate::{
    bulk::{last_id, plan},
    support::{
        databases::{Engine, execute, gateway_on_both_engines},
        jobs::ended,
    },
    testapp::{Answer, Browser, EMAIL, PASSWORD, TestApp, client, hidden},
};
use gatehouse::{
    app::Running,
    domain::{
        audit::{Actor, ActorType, Entry},
        keys::{KeyKind, Scope},
    },
    http::{
        self, Record,
        api::table::{Body, Effect, rows},
    },
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

gateway_on_both_engines!(
    every_route_that_changes_something_leaves_its_entry,
    every_refusal_leaves_an_entry,
    a_link_to_set_the_gateway_up_leaves_an_entry,
);

const WRONG: &str = "not the password of this person";

/// Which routes have been called, and where the log stood before each.
struct Drive<'a> {
    app: &'a TestApp,
    browser: Browser,
    called: BTreeSet<String>,
}

impl<'a> Drive<'a> {
    async fn size(&self) -> i64 {
        self.app.app().db.audit_head().await.unwrap().size
    }

    /// The route has just been called: one of its actions must be among the entries since.
    async fn expect(&mut self, route: &str, since: i64) {
        let routes = http::routes();
        let found = routes.iter().find(|r| name(r) == route).unwrap_or_else(|| panic!("no route {route}"));
        let new = entries(self.app, since).await;
        let written: Vec<&str> = new.iter().map(|e| e.action.as_str()).collect();
        match &found.record {
            Record::Entries(actions) => {
                let named = actions.iter().any(|action| written.contains(&action.as_str()));
                assert!(named, "{route} names {actions:?} and wrote {written:?}");
            }
            Record::None(_) => assert!(new.is_empty(), "{route} is to write nothing and wrote {written:?}"),
            Record::Reads => panic!("{route} says that it only reads"),
        }
        self.called.insert(route.to_owned());
    }

    /// Opens a page, sends its form, and expects the entry.
    async fn form(&mut self, route: &str, page: &str, action: &str, fields: &[(&str, &str)]) -> Answer {
        let since = self.size().await;
        let answer = self.browser.submit(page, action, fields).await;
        assert!(matches!(answer.status, 200 | 303), "{route}: {} {}", answer.status, answer.text);
        self.expect(&format!("POST {route}"), since).await;
        answer
    }

    /// A call with a key, and its entry.
    async fn call(&mut self, route: &str, path: &str, key: &str, body: Option<Value>) -> Answer {
        let since = self.size().await;
        let method: Method = route.split(' ').next().unwrap().parse().unwrap();
        let answer = self.app.api(method, path, key, body).await;
        assert!(answer.status < 300, "{route}: {} {}", answer.status, answer.text);
        self.expect(route, since).await;
        answer
    }
}

async fn entries(app: &TestApp, since: i64) -> Vec<Entry> {
    app.app().db.audit_page(&Default::default(), None, Some(since - 1), 1_000).await.unwrap()
}

/// Every entry says what the table says that it may.
async fn compare_with_the_table(app: &TestApp) {
    let table: BTreeMap<String, Row> = by_action();
    let mut seen = BTreeSet::new();
    let mut after = 0;
    loop {
        let page = entries(app, after).await;
        let Some(last) = page.last() else { break };
        after = last.seq + 1;
        for entry in &page {
            let row = &table[&entry.action];
            let bytes: Value = serde_json::from_slice(&entry.bytes).unwrap();
            assert!(row.outcomes.contains(entry.outcome.as_str()), "{} {}", entry.action, entry.outcome);
            for target in bytes["targets"].as_array().unwrap() {
                let kind = target["type"].as_str().unwrap();
                assert!(row.targets.contains(kind), "{} has a target {kind}: {bytes}", entry.action);
            }
            let change: Value = serde_json::from_str(entry.detail("change").unwrap_or("{}")).unwrap();
            for (side, allowed) in [("before", &row.before), ("after", &row.after)] {
                for field in change[side].as_object().into_iter().flatten().map(|(name, _)| name) {
                    assert!(allowed.contains(field), "{} {side}: {field} is not in the table", entry.action);
                }
            }
            seen.insert(entry.action.clone());
        }
    }
    println!("{after} entries of {} actions, all as the table says", seen.len());
}

/// A gateway nobody has set up yet, with the time of its jobs at hand.
async fn fresh(engine: Engine) -> TestApp {
    let mut app =
        TestApp::prepare(engine, |config| config.tuning.mirror_age = Duration::from_secs(3_600)).await;
    app.running = Some(Running::start(app.config.clone(), app.clock.clone()).await.unwrap());
    app
}

async fn set_up(drive: &mut Drive<'_>, link: &str) {
    let since = drive.size().await;
    let person = [("name", "Ann"), ("email", EMAIL), ("password", PASSWORD)];
    assert_eq!(drive.browser.submit(link, link, &person).await.status, 303);
    drive.expect("POST /setup/{token}", since).await;
}

async fn every_route_that_changes_something_leaves_its_entry(engine: Engine) {
    let mut app = fresh(engine).await;
    let link = app.running.as_ref().unwrap().setup_link.clone().unwrap();
    let link = link.strip_prefix(app.url()).unwrap().to_owned();
    let browser = Browser::at(app.url());
    let mut first = Drive { app: &app, browser, called: BTreeSet::new() };
    set_up(&mut first, &link).await;
    let Drive { browser, called, .. } = first;
    let admin = app.app().db.admin_by_email(EMAIL).await.unwrap().unwrap().0;
    app.owner = Actor::new(ActorType::Admin, admin.id, EMAIL);

    // A workspace.
    let account = app.control(Method::POST, "workspaces", json!({ "name": "First" })).await;
    app.ws_key = account["key"].as_str().unwrap().to_owned();
    let sandbox = app.sandbox.url();
    let mut drive = Drive { app: &app, browser, called };
    let fields = [
        ("name", "First"),
        ("environment", "staging"),
        ("base_url", sandbox.as_str()),
        ("upstream_key", app.ws_key.as_str()),
    ];
    let made = drive.form("/workspaces", "/workspaces/new", "/workspaces", &fields).await;
    let called = drive.called;
    let browser = drive.browser;
    app.ws = last_id(made.header("location"));
    let mut drive = Drive { app: &app, browser, called };
    let tenant = the_workspace(&mut drive).await;
    the_keys(&mut drive, &tenant).await;
    bulk_work(&mut drive, &tenant).await;
    own_settings(&mut drive, &tenant).await;
    the_log(&mut drive).await;
    the_machine_door(&mut drive, &tenant).await;
    the_tenant_door(&mut drive, &tenant).await;
    leave(&mut drive, &tenant).await;
    app.until_settled().await;

    let called = drive.called;
    for route in http::routes().iter().filter(|route| route.record != Record::Reads) {
        assert!(called.contains(&name(route)), "{} was not called: add it to this test", name(route));
    }
    println!("{} routes called", called.len());
    compare_with_the_table(&app).await;
}

async fn the_workspace(drive: &mut Drive<'_>) -> String {
    let app = drive.app;
    let w = format!("/w/{}", app.ws);
    let person = json!({ "workspaceKey": app.ws_key, "username": "bob@test.example", "displayName": "Bob" });
    app.control(Method::POST, "users", person).await;
    drive.form("/w/{ws}/import", &w, &format!("{w}/import"), &[]).await;
    drive.form("/w/{ws}/key", &w, &format!("{w}/key"), &[("upstream_key", &app.ws_key)]).await;
    drive.form("/w/{ws}/policy", &w, &format!("{w}/policy"), &[("policy", "any")]).await;
    drive.form("/w/{ws}/freeze", &w, &format!("{w}/freeze"), &[("reason", "an incident")]).await;
    drive.form("/w/{ws}/unfreeze", &w, &format!("{w}/unfreeze"), &[]).await;
    let (list, new) = (format!("{w}/tenants"), format!("{w}/tenants/new"));
    let fields = [("username", "ann@test.example"), ("display_name", "Ann")];
    let made = drive.form("/w/{ws}/tenants", &new, &list, &fields).await;
    let id = last_id(made.header("location"));
    let page = format!("{list}/{id}");
    drive
        .form("/w/{ws}/tenants/{id}/freeze", &page, &format!("{page}/freeze"), &[("reason", "not paid")])
        .await;
    drive.form("/w/{ws}/tenants/{id}/unfreeze", &page, &format!("{page}/unfreeze"), &[]).await;
    drive.form("/w/{ws}/tenants/{id}/link", &page, &format!("{page}/link"), &[("days", "30")]).await;
    id
}

async fn the_keys(drive: &mut Drive<'_>, tenant: &str) {
    let keys = format!("/w/{}/keys", drive.app.ws);
    let new = format!("{keys}/new");
    let fields = [
        ("name", "nightly"),
        ("kind", "tenant"),
        ("tenant", tenant),
        ("scopes", "posts:read"),
        ("expiry", "30"),
    ];
    let made = drive.form("/w/{ws}/keys", &new, &keys, &fields).await;
    let shown = drive.browser.follow(made).await;
    let page = shown.text.split("<a class=\"btn primary\" href=\"").nth(1).unwrap();
    let page = page.split(['"', '?']).next().unwrap().to_owned();
    let rules = [("addresses", "192.0.2.1"), ("rate", "9")];
    drive.form("/w/{ws}/keys/{id}/rules", &page, &format!("{page}/rules"), &rules).await;
    let rotate = format!("{page}/rotate");
    let options = [("overlap", "3600"), ("expiry", "30")];
    drive.form("/w/{ws}/keys/{id}/rotate", &rotate, &rotate, &options).await;
    // The newest key is the one that waits.
    let filter =
        gatehouse::store::audit::AuditFilter { action: Some("key.rotate".into()), ..Default::default() };
    let rotation = drive.app.app().db.audit_page(&filter, None, None, 1).await.unwrap().pop().unwrap();
    let rotation: Value = serde_json::from_slice(&rotation.bytes).unwrap();
    let new = format!("{keys}/{}", rotation["targets"][1]["id"].as_str().unwrap());
    drive.form("/w/{ws}/keys/{id}/cancel", &new, &format!("{new}/cancel"), &[]).await;
    let revoke = format!("{page}/revoke");
    drive.form("/w/{ws}/keys/{id}/revoke", &revoke, &revoke, &[]).await;
}

async fn bulk_work(drive: &mut Drive<'_>, tenant: &str) {
    let app = drive.app;
    let (list, plans) = (format!("/w/{}/posts", app.ws), format!("/w/{}/plans", app.ws));
    let posts = app.posts(tenant, (0..4).map(|_| json!({ "status": "draft" })).collect()).await;
    app.sweep(&app.ws, tenant).await;
    let delete = [("action", "delete"), ("scope", "matching"), ("filter", "status=draft")];
    let made = drive.form("/w/{ws}/plans", &list, &plans, &delete).await;
    let page = made.header("location").to_owned();
    let options = [("backup", "keep"), ("stop_after", "")];
    drive.form("/w/{ws}/plans/{id}/options", &page, &format!("{page}/options"), &options).await;
    drive.form("/w/{ws}/plans/{id}/again", &page, &format!("{page}/again"), &[]).await;
    let listed = format!("{plans}/new");
    let line = format!("{tenant} {}", posts[0]);
    drive.form("/w/{ws}/plans/new", &listed, &listed, &[("list", &line), ("action", "delete")]).await;
    // To begin later, so that there is time to pause it.
    let digest = hidden(&drive.browser.get(&page).await.text, "digest");
    app.app().db.freeze_workspace(&app.owner, &app.ws, Some("wait"), app.clock.now()).await.unwrap();
    app.app().access.reload().await.unwrap();
    let fields = [("digest", digest.as_str()), ("reason", "spring"), ("confirm", "delete 4")];
    let made = drive.form("/w/{ws}/plans/{id}/confirm", &page, &format!("{page}/confirm"), &fields).await;
    let job = format!("/w/{}/jobs/{}", app.ws, last_id(made.header("location")));
    drive.form("/w/{ws}/jobs/{id}/pause", &job, &format!("{job}/pause"), &[]).await;
    drive.form("/w/{ws}/jobs/{id}/resume", &job, &format!("{job}/resume"), &[]).await;
    app.app().db.freeze_workspace(&app.owner, &app.ws, None, app.clock.now()).await.unwrap();
    app.app().access.reload().await.unwrap();
    ended(app, &last_id(&job)).await;
    drive.form("/w/{ws}/jobs/{id}/follow", &job, &format!("{job}/follow"), &[("purpose", "undo")]).await;
    drive.form("/w/{ws}/jobs/{id}/seen", &job, &format!("{job}/seen"), &[]).await;
    // Another one, that is held up and then cancelled.
    app.posts(tenant, (0..4).map(|_| json!({ "status": "draft" })).collect()).await;
    app.sweep(&app.ws, tenant).await;
    app.app().db.freeze_workspace(&app.owner, &app.ws, Some("wait"), app.clock.now()).await.unwrap();
    app.app().access.reload().await.unwrap();
    let page = plan(&mut drive.browser, &app.ws, &delete).await;
    let made =
        crate::bulk::confirm(&mut drive.browser, &page, &[("reason", "x"), ("confirm", "delete 4")]).await;
    let other = format!("/w/{}/jobs/{}", app.ws, last_id(made.header("location")));
    drive.form("/w/{ws}/jobs/{id}/cancel", &format!("{other}/cancel"), &format!("{other}/cancel"), &[]).await;
    app.app().db.freeze_workspace(&app.owner, &app.ws, None, app.clock.now()).await.unwrap();
    app.app().access.reload().await.unwrap();
    app.until("the job is cancelled", || async {
        app.app().db.job(&app.ws, &last_id(&other)).await.unwrap().unwrap().state.is_final()
    })
    .await;
}

async fn own_settings(drive: &mut Drive<'_>, tenant: &str) {
    let (list, views) = (format!("/w/{}/posts", drive.app.ws), format!("/w/{}/views", drive.app.ws));
    drive.form("/w/{ws}/views", &list, &views, &[("name", "Late"), ("filter", "status=failed")]).await;
    let view = drive.app.app().db.saved_views(&drive.app.ws, &drive.app.owner.id).await.unwrap().remove(0);
    let remove = format!("{views}/{}/delete", view.id);
    drive.form("/w/{ws}/views/{id}/delete", &list, &remove, &[("filter", "")]).await;
    let turn = format!("{list}/selection");
    let shown = format!("{tenant}:{}", "0".repeat(24));
    let page = [("filter", ""), ("shown", shown.as_str()), ("go", "")];
    drive.form("/w/{ws}/posts/selection", &list, &turn, &page).await;
    let looks = [("theme", "dark"), ("density", "compact")];
    drive.form("/settings", "/settings", "/settings", &looks).await;
    let preferences = [("zone", "Europe/Berlin"), ("rows", "100"), ("shortcuts", "off")];
    drive.form("/settings/preferences", "/settings", "/settings/preferences", &preferences).await;
    let mut other = Browser::at(drive.app.url());
    let since = drive.size().await;
    let answer = other.submit("/login", "/login", &[("email", EMAIL), ("password", PASSWORD)]).await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    drive.expect("POST /login", since).await;
    let sessions = drive.app.app().db.sessions(&drive.app.owner.id).await.unwrap();
    let revoke = format!("/settings/sessions/{}/revoke", sessions[0].id);
    drive.form("/settings/sessions/{id}/revoke", "/settings", &revoke, &[]).await;
    let change = [("current_password", PASSWORD), ("new_password", "another four unrelated words")];
    drive.form("/settings/password", "/settings", "/settings/password", &change).await;
}

async fn the_log(drive: &mut Drive<'_>) {
    let app = drive.app;
    let log = format!("/w/{}/audit", app.ws);
    let csv = [("format", "csv")];
    drive.form("/audit/export", "/audit", "/audit/export", &csv).await;
    drive.form("/w/{ws}/audit/export", &log, &format!("{log}/export"), &csv).await;
    let made = drive.form("/w/{ws}/audit/link", &log, &format!("{log}/link"), &csv).await;
    let shown = drive.browser.follow(made).await;
    let link = shown.text.split("readonly value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let since = drive.size().await;
    assert_eq!(client().get(link).send().await.unwrap().status(), 200);
    drive.expect("GET /exports/{token}", since).await;
    let token = app.key(&app.ws, KeyKind::Audit, None, &[Scope::AuditRead]).await;
    for file in ["", ".csv", ".csv.gz", ".ndjson", ".ndjson.gz"] {
        let path = format!("/manage/v1/audit{file}");
        drive.call(&format!("GET {path}"), &path, &token, None).await;
    }
    // A token's reading is an entry once an hour: this one has not read yet.
    let other = app.key(&app.ws, KeyKind::Audit, None, &[Scope::AuditRead]).await;
    let own =
        gatehouse::store::audit::AuditFilter { workspace_id: Some(app.ws.clone()), ..Default::default() };
    let seq = app.app().db.audit_seqs(&own, None, None, 1).await.unwrap()[0];
    drive.call("GET /manage/v1/audit/{seq}", &format!("/manage/v1/audit/{seq}"), &other, None).await;
}

async fn the_machine_door(drive: &mut Drive<'_>, tenant: &str) {
    let app = drive.app;
    let scopes = [Scope::PostsRead, Scope::PostsCreate, Scope::PostsUpdate, Scope::PostsDelete];
    let key = app.key(&app.ws, KeyKind::Workspace, None, &scopes).await;
    let base = "/manage/v1/bulk";
    app.posts(tenant, vec![json!({ "status": "draft" })]).await;
    app.sweep(&app.ws, tenant).await;
    let body = json!({ "action": "delete", "filter": {} });
    let plans = format!("{base}/plans");
    let plan = drive.call("POST /manage/v1/bulk/plans", &plans, &key, Some(body)).await.json();
    let apply = format!("{plans}/{}/apply", plan["planId"].as_str().unwrap());
    let words = json!({ "digest": plan["digest"], "confirm": plan["confirm"], "reason": "Spring" });
    let applied = drive.call("POST /manage/v1/bulk/plans/{id}/apply", &apply, &key, Some(words)).await.json();
    let job = format!("{base}/jobs/{}", applied["jobId"].as_str().unwrap());
    ended(app, &last_id(&job)).await;
    drive.call("POST /manage/v1/bulk/jobs/{id}/undo", &format!("{job}/undo"), &key, None).await;
    held_up(drive, tenant, &key).await;
}

/// A job that begins in an hour can be paused, go on and be cancelled; one whose posts PostPost refused can be tried again.
async fn held_up(drive: &mut Drive<'_>, tenant: &str, key: &str) {
    let app = drive.app;
    let base = "/manage/v1/bulk";
    for failing in [false, true] {
        app.posts(tenant, vec![json!({ "status": "draft" })]).await;
        app.sweep(&app.ws, tenant).await;
        let in_an_hour = gatehouse::domain::times::to_iso(app.clock.now() + 3_600_000);
        let mut body = json!({ "action": "delete", "filter": {} });
        if !failing {
            body["startsAt"] = in_an_hour.into();
        }
        let made = app.api(Method::POST, &format!("{base}/plans"), key, Some(body)).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let plan = made.json();
        if failing {
            let call = json!({ "method": "DELETE" });
            let failure = json!({ "error": "Failed to delete post group" });
            let rules = json!([{ "match": call, "status": 500, "body": failure }]);
            app.faults(rules).await;
        }
        let words = json!({ "digest": plan["digest"], "confirm": plan["confirm"], "reason": "Spring" });
        let apply = format!("{base}/plans/{}/apply", plan["planId"].as_str().unwrap());
        let applied = app.api(Method::POST, &apply, key, Some(words)).await;
        assert!(applied.status < 300, "{}", applied.text);
        let job = format!("{base}/jobs/{}", applied.json()["jobId"].as_str().unwrap());
        if failing {
            ended(app, &last_id(&job)).await;
            app.control(Method::DELETE, "faults", Value::Null).await;
            drive.call("POST /manage/v1/bulk/jobs/{id}/retry", &format!("{job}/retry"), key, None).await;
        } else {
            for what in ["pause", "resume", "cancel"] {
                let route = format!("POST /manage/v1/bulk/jobs/{{id}}/{what}");
                drive.call(&route, &format!("{job}/{what}"), key, None).await;
            }
        }
    }
}

/// Every row, with the example of its reference, and a tool of `/mcp`.
async fn the_tenant_door(drive: &mut Drive<'_>, tenant: &str) {
    let app = drive.app;
    let scopes: Vec<Scope> = Scope::ALL.iter().copied().filter(|scope| *scope != Scope::AuditRead).collect();
    let key = app.key(&app.ws, KeyKind::Workspace, None, &scopes).await;
    let document =
        app.request(Method::GET, "/openapi.json").send().await.unwrap().json::<Value>().await.unwrap();
    let for_tenant = async |method: Method, path: &str, body: Option<Value>| {
        let mut call =
            app.request(method, path).header("x-api-key", &key).header("x-postpost-user-id", tenant);
        if let Some(body) = body {
            call = call.header("content-type", "application/json").body(body.to_string());
        }
        Answer::read(call.send().await.unwrap()).await
    };
    let mut rows: Vec<_> = rows().iter().filter(|row| row.effect != Effect::Reads).collect();
    // Last, and of another user: the tenant has to stay.
    rows.sort_by_key(|row| (row.method, row.path) == ("DELETE", "/api/v1/workspace/users/{userId}"));
    let mut made = tenant.to_owned();
    for row in rows {
        let post = app.posts(tenant, vec![json!({ "status": "draft" })]).await.remove(0);
        let hook = json!({ "name": "x", "url": "https://cms.example.com/x", "events": ["post.failed"] });
        let hook = for_tenant(Method::POST, "/api/v1/webhooks", Some(hook)).await.json();
        let hook = hook["webhook"]["_id"].as_str().unwrap().to_owned();
        let user = if row.method == "DELETE" { made.as_str() } else { tenant };
        let path = row.path.replace("{postGroupId}", &post).replace("{webhookId}", &hook);
        let path = path.replace("{userId}", user).replace("{first}", "a").replace("{second}", "b");
        let operation = &document["paths"][row.path][row.method.to_lowercase()];
        let body = operation.pointer("/requestBody/content/application~1json/example").cloned();
        let body = body.filter(|_| matches!(row.body, Body::Object(_)));
        let since = drive.size().await;
        let answer = for_tenant(row.method.parse().unwrap(), &path, body).await;
        let route = format!("{} {}", row.method, row.path);
        assert!(answer.status < 500, "{route}: {}", answer.text);
        drive.expect(&route, since).await;
        if row.path == "/api/v1/workspace/users" {
            made = answer.json()["user"]["_id"].as_str().unwrap().to_owned();
        }
        for_tenant(Method::DELETE, &format!("/api/v1/webhooks/{hook}"), None).await;
    }
    let post = app.posts(tenant, vec![json!({ "status": "draft" })]).await.remove(0);
    let message = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": { "name": "delete_post", "arguments": { "postGroupId": post } } });
    let since = drive.size().await;
    let call =
        app.request(Method::POST, "/mcp").header("x-api-key", &key).header("x-postpost-user-id", tenant);
    let call = call
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    let answer = Answer::read(call.body(message.to_string()).send().await.unwrap()).await;
    assert!(answer.status == 200 && answer.json()["result"]["isError"] == false, "{}", answer.text);
    drive.expect("POST /mcp", since).await;
}

async fn leave(drive: &mut Drive<'_>, tenant: &str) {
    let detach = format!("/w/{}/tenants/{tenant}/detach", drive.app.ws);
    drive.form("/w/{ws}/tenants/{id}/detach", &detach, &detach, &[("confirm", "ann@test.example")]).await;
    let erase = format!("/w/{}/tenants/{tenant}/erase", drive.app.ws);
    let fields = [("reason", "request 1"), ("confirm", "erase ann@test.example")];
    drive.form("/w/{ws}/tenants/{id}/erase", &erase, &erase, &fields).await;
    let scopes = [Scope::WorkspaceManage];
    let key = drive.app.key(&drive.app.ws, KeyKind::Workspace, None, &scopes).await;
    drive
        .app
        .app()
        .db
        .import_tenants(&drive.app.owner, &drive.app.ws, &[], drive.app.clock.now())
        .await
        .unwrap();
    let all = drive.app.app().db.tenants(&drive.app.ws, &Default::default(), None, 10).await.unwrap();
    let found = all.into_iter().find(|other| other.id != tenant).unwrap().id;
    let path = format!("/manage/v1/tenants/{found}/erase");
    let body = json!({ "reason": "request 2", "confirm": found });
    drive.call("POST /manage/v1/tenants/{id}/erase", &path, &key, Some(body)).await;
    let (id, email) = (gatehouse::domain::ids::new_id(), "leaves@test.example");
    let person = "INSERT INTO admins (id, email, name, password_hash, instance_owner, created_at)
        SELECT $1, $2, 'Leaves', password_hash, instance_owner, created_at FROM admins LIMIT 1";
    execute(&drive.app.app().db, person, &[&id, email]).await.unwrap();
    let erase = format!("/people/{id}/erase");
    let fields = [("reason", "request 3"), ("confirm", "erase leaves@test.example")];
    drive.form("/people/{id}/erase", &erase, &erase, &fields).await;
    drive
        .app
        .until("all is erased", || async {
            drive.app.app().db.unfinished_erasures().await.unwrap().is_empty()
        })
        .await;
    drive.form("/logout", "/settings", "/logout", &[]).await;
}

/// Somebody who may only look asks for every change: each refusal is an entry.
async fn every_refusal_leaves_an_entry(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    app.posts(&ann.id, vec![json!({ "status": "draft" })]).await;
    app.sweep(&app.ws, &ann.id).await;
    let reading = app.key(&app.ws, KeyKind::Workspace, None, &[Scope::PostsRead]).await;
    let all = app.key(&app.ws, KeyKind::Workspace, None, &[Scope::PostsRead, Scope::PostsDelete]).await;
    let tenants = app.key(&app.ws, KeyKind::Tenant, Some(&ann.id), &[Scope::PostsRead]).await;
    let body = json!({ "action": "delete", "filter": {} });
    let plan = app.api(Method::POST, "/manage/v1/bulk/plans", &all, Some(body.clone())).await.json();
    let mut browser = Browser::login(&app).await;
    let (db, admin) = (&app.app().db, app.owner.id.as_str());
    execute(db, "UPDATE admins SET instance_owner = FALSE WHERE id = $1", &[admin]).await.unwrap();
    let grant = "INSERT INTO roles (admin_id, workspace_id, role) VALUES ($1, $2, 'viewer')";
    execute(db, grant, &[admin, &app.ws]).await.unwrap();

    let since = db.audit_head().await.unwrap().size;
    let mut tried = 0;
    for route in http::routes().iter().filter(|route| matches!(route.record, Record::Entries(_))) {
        let before = db.audit_head().await.unwrap().size;
        let own = "01a220b6-656c-70e1-bd2e-4ff260f875a7";
        let id = if route.path.contains("/tenants/") { ann.id.as_str() } else { own };
        let path = route.path.replace("{ws}", &app.ws).replace("{postGroupId}", &ann.id);
        let path = path.replace("{userId}", &ann.id).replace("{webhookId}", &ann.id);
        let path = path.replace("{first}", "a").replace("{second}", "b");
        let path =
            path.replace("/bulk/plans/{id}", &format!("/bulk/plans/{}", plan["planId"].as_str().unwrap()));
        let path = path.replace("{id}", id);
        let answer = match route.path {
            // Strangers: counted, see below.
            "/login" | "/setup/{token}" => continue,
            // A link that is none says nothing of who has it.
            "/exports/{token}" => continue,
            "/mcp" => {
                let message = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call",
                    "params": { "name": "delete_post", "arguments": { "postGroupId": ann.id } } });
                let call = app.request(Method::POST, "/mcp").header("x-api-key", &tenants);
                let call = call.header("content-type", "application/json");
                let call = call.header("accept", "application/json, text/event-stream");
                Answer::read(call.body(message.to_string()).send().await.unwrap()).await
            }
            path_of if path_of.starts_with("/api/") => {
                app.api(route.method.parse().unwrap(), &path, &tenants, Some(json!({}))).await
            }
            path_of if path_of.starts_with("/manage/") => {
                let body = (route.path == "/manage/v1/bulk/plans").then(|| body.clone());
                app.api(route.method.parse().unwrap(), &path, &reading, body.or(Some(json!({})))).await
            }
            // Without the form's token: who may do it at all is refused for that.
            _ => browser.post(&path, &[("_once", "0123456789abcdef")]).await,
        };
        let refused = matches!(answer.status, 403 | 404) || answer.text.contains("isError\":true");
        assert!(refused, "{}: {} {}", name(route), answer.status, answer.text);
        let new = entries(&app, before).await;
        let denied = new.iter().filter(|e| e.outcome.as_str() == "denied").count();
        assert_eq!(denied, 1, "{}: {:?}", name(route), new.iter().map(|e| &e.action).collect::<Vec<_>>());
        tried += 1;
    }
    assert!(tried > 65, "{tried}");
    println!("{tried} refusals, {} entries", db.audit_head().await.unwrap().size - since);
    compare_with_the_table(&app).await;
}

/// Wrong passwords are counted for strangers, and an entry of their own where it is known who types.
async fn a_link_to_set_the_gateway_up_leaves_an_entry(engine: Engine) {
    let app = fresh(engine).await;
    let invited = entries(&app, 0).await;
    let invitations = invited.iter().filter(|e| e.action == "admin.invite").count();
    assert_eq!(invitations, 1, "the first start makes a link");
    let link = app.running.as_ref().unwrap().setup_link.clone().unwrap();
    let link = link.strip_prefix(app.url()).unwrap().to_owned();
    let mut drive = Drive { app: &app, browser: Browser::at(app.url()), called: BTreeSet::new() };
    set_up(&mut drive, &link).await;
    let since = drive.size().await;
    let change = [("current_password", WRONG), ("new_password", "another four unrelated words")];
    let refused = drive.browser.submit("/settings", "/settings/password", &change).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    let mut stranger = Browser::at(app.url());
    let refused = stranger.submit("/login", "/login", &[("email", EMAIL), ("password", WRONG)]).await;
    assert_eq!(refused.status, 401, "{}", refused.text);
    http::note_refused_logins(app.app()).await.unwrap();
    // Another site's page, in the browser of somebody who is logged in.
    let foreign = app.request(Method::POST, "/logout").header("cookie", drive.browser.cookie_header());
    let foreign = foreign.header("origin", "https://evil.example").header("sec-fetch-site", "cross-site");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    let new = entries(&app, since).await;
    let told: Vec<(&str, &str)> = new.iter().map(|e| (e.action.as_str(), e.outcome.as_str())).collect();
    assert_eq!(
        told,
        [("admin.set_password", "denied"), ("auth.refuse", "denied"), ("access.refuse", "denied")]
    );
    assert!(new[1].detail("change").unwrap().contains("\"logins\":2"), "{:?}", new[1].details);
    compare_with_the_table(&app).await;
}
