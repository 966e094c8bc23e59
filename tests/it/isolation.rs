//! Nobody sees or touches what is another's: a foreign id is answered as an unknown one, nothing is sent upstream, and
//! the attempt is on record.

use crate::{
    support::databases::{Engine, execute, gateway_on_both_engines},
    testapp::{Browser, Tenant, TestApp, hidden},
};
use gatehouse::{
    clock::SECOND,
    domain::{
        ids,
        keys::{KeyKind, Scope},
    },
    http,
};
use reqwest::Method;
use serde_json::json;
use std::time::Duration;

gateway_on_both_engines!(
    a_foreign_id_is_an_unknown_id_on_every_page,
    no_page_or_export_carries_the_others_data,
    a_foreign_post_is_upstreams_404_under_the_callers_own_tenant,
    forms_from_elsewhere_are_refused,
);

/// Two workspaces with everything that has an id, and an operator of the first only.
struct Two {
    app: TestApp,
    other_ws: String,
    ann: Tenant,
    eve: Tenant,
    eve_post: String,
}

const CANARY: &str = "canary-of-the-other-workspace";

impl Two {
    async fn set_up(engine: Engine) -> Self {
        // The clock is moved below; no tenant is to be read again because of it.
        let long = Duration::from_secs(24 * 3600);
        let app = TestApp::spawn_with(engine, |config| {
            (config.tuning.mirror_age, config.tuning.sweep_age) = (long, long);
        })
        .await;
        let ann = app.tenant("ann").await;
        app.posts(&ann.id, vec![json!({ "status": "draft" })]).await;
        app.sweep(&app.ws, &ann.id).await;
        let (other_ws, other_key) = app.add_workspace(CANARY).await;
        let eve = app.tenant_of(&other_ws, &other_key, CANARY).await;
        let eve_post =
            app.posts(&eve.id, vec![json!({ "status": "draft", "content": CANARY })]).await.remove(0);
        app.sweep(&other_ws, &eve.id).await;
        Self { app, other_ws, ann, eve, eve_post }
    }

    /// Turns the instance's owner into an owner of the first workspace alone.
    async fn demote(&self) {
        let (db, admin) = (&self.app.app().db, self.app.owner.id.as_str());
        execute(db, "UPDATE admins SET instance_owner = FALSE WHERE id = $1", &[admin]).await.unwrap();
        let grant = "INSERT INTO roles (admin_id, workspace_id, role) VALUES ($1, $2, 'owner')";
        execute(db, grant, &[admin, &self.app.ws]).await.unwrap();
    }

    async fn denied(&self) -> usize {
        self.app.entries().await.iter().filter(|e| e["outcome"] == "denied").count()
    }
}

async fn a_foreign_id_is_an_unknown_id_on_every_page(engine: Engine) {
    let two = Two::set_up(engine).await;
    let app = &two.app;
    let mut browser = Browser::login(app).await;
    // One of each in the other workspace, made while still the owner of all.
    let ticked = format!("{}:{}", two.eve.id, two.eve_post);
    let form = [("action", "delete"), ("scope", "ticked"), ("post", ticked.as_str())];
    let other = format!("/w/{}", two.other_ws);
    let plan = browser.submit(&format!("{other}/posts"), &format!("{other}/plans"), &form).await;
    let plan_url = plan.header("location").to_owned();
    let page = browser.get(&plan_url).await;
    let digest = hidden(&page.text, "digest");
    let fields = [("digest", digest.as_str()), ("reason", "x")];
    let job = browser.submit(&plan_url, &format!("{plan_url}/confirm"), &fields).await;
    let job_id = job.header("location").split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
    let plan_id = plan_url.rsplit('/').next().unwrap().to_owned();
    app.until("the other job ends", || async {
        app.app().db.job(&two.other_ws, &job_id).await.unwrap().unwrap().state.is_final()
    })
    .await;
    app.until_settled().await;
    let key_id = app.app().db.keys(&two.other_ws, &Default::default(), None, 1).await.unwrap().remove(0).id;
    let entry = app.app().db.audit_page(&Default::default(), None, None, 500).await.unwrap();
    let seq =
        entry.iter().find(|e| e.workspace_id.as_deref() == Some(&two.other_ws)).unwrap().seq.to_string();
    two.demote().await;
    app.quiet().await;
    let settings = browser.get("/settings").await;
    let csrf = hidden(&settings.text, "_csrf");
    let unknown_own = ids::new_id();
    let unknown_object = "507f191e810c19729de860ea";
    let mut tried = 0;
    for route in http::routes().iter().filter(|r| r.path.starts_with("/w/{ws}")) {
        let noun = route.path.split('/').nth(3).unwrap_or_default();
        let (foreign, unknown) = match noun {
            "tenants" => (two.eve.id.clone(), unknown_object.to_owned()),
            "keys" => (key_id.clone(), unknown_own.clone()),
            "plans" => (plan_id.clone(), unknown_own.clone()),
            "jobs" => (job_id.clone(), unknown_own.clone()),
            "secrets" => (unknown_own.clone(), ids::new_id()),
            "audit" => (seq.clone(), "999999999".to_owned()),
            _ => (unknown_own.clone(), ids::new_id()),
        };
        let path = |ws: &str, id: &str, tenant: &str, post: &str| {
            route
                .path
                .replace("{ws}", ws)
                .replace("{id}", id)
                .replace("{seq}", id)
                .replace("{tenant}", tenant)
                .replace("{post}", post)
        };
        // The other workspace in the path, against a workspace there is not …
        let mut pairs = vec![(
            path(&two.other_ws, &foreign, &two.eve.id, &two.eve_post),
            path(&unknown_own, &foreign, &two.eve.id, &two.eve_post),
        )];
        // … and the other's ids under our own workspace, against ids there are not.
        if route.path.contains("{id}") || route.path.contains("{seq}") || route.path.contains("{post}") {
            pairs.push((
                path(&app.ws, &foreign, &two.eve.id, &two.eve_post),
                path(&app.ws, &unknown, unknown_object, unknown_object),
            ));
        }
        for (foreign, unknown) in pairs {
            let mut answers = Vec::new();
            for path in [&foreign, &unknown] {
                let before = two.denied().await;
                // One caller's refusals are counted, not listed, if there are too many of them in a short time.
                app.clock.advance(10 * SECOND);
                let answer = match route.method {
                    "GET" => browser.get(path).await,
                    _ => {
                        let once = ids::new_id();
                        browser
                            .post(
                                path,
                                &[
                                    ("_csrf", &csrf),
                                    ("_once", &once),
                                    ("reason", "x"),
                                    ("days", "1"),
                                    ("confirm", "x"),
                                ],
                            )
                            .await
                    }
                };
                assert_eq!(two.denied().await, before + 1, "{} {path}: one denied entry", route.method);
                let request_id = answer.header("x-request-id").to_owned();
                let once = if answer.text.contains("_once") {
                    hidden(&answer.text, "_once")
                } else {
                    String::from("-")
                };
                let text = answer.text.replace(&request_id, "").replace(&once, "").replace(path.as_str(), "");
                answers.push((answer.status, text));
            }
            assert_eq!(answers[0].0, 404, "{} {foreign}", route.method);
            assert_eq!(answers[0], answers[1], "{} {foreign}", route.method);
            tried += 1;
        }
    }
    println!("route and id pairs tried: {tried}");
    assert!(tried > 60);
    let calls = app.control(Method::GET, "calls", serde_json::Value::Null).await;
    let of_eve = calls["calls"].as_array().unwrap().iter().filter(|c| c["userId"] == two.eve.id.as_str());
    assert_eq!(of_eve.count(), 0, "nothing was sent upstream for the other's tenant");
}

async fn no_page_or_export_carries_the_others_data(engine: Engine) {
    let two = Two::set_up(engine).await;
    let app = &two.app;
    two.demote().await;
    let mut browser = Browser::login(app).await;
    let token = app.key(&app.ws, KeyKind::Audit, None, &[Scope::AuditRead]).await;
    let mut seen = 0;
    for path in http::routes()
        .iter()
        .filter(|r| r.method == "GET" && !r.path.contains("{id}") && !r.path.contains("{tenant}"))
    {
        let path = path.path.replace("{ws}", &app.ws).replace("{seq}", "0");
        if path.contains('{') {
            continue;
        }
        let answer = browser.get(&path).await;
        assert!(!answer.text.contains(CANARY) && !answer.text.contains(&two.eve.id), "{path}");
        assert_ne!(answer.status, 500, "{path}");
        seen += 1;
    }
    for format in ["csv", "ndjson"] {
        let path = format!("/manage/v1/audit.{format}");
        let export = app.api(Method::GET, &path, &token, None).await;
        assert_eq!(export.status, 200);
        assert!(
            !export.text.contains(CANARY)
                && !export.text.contains(&two.eve.id)
                && !export.text.contains(&two.other_ws)
        );
        let wrong = app.api(Method::GET, &path, &two.ann.key, None).await;
        assert_eq!((wrong.status, wrong.json()["code"].as_str().unwrap()), (403, "scope_missing"));
    }
    assert!(seen > 10, "{seen}");
}

async fn a_foreign_post_is_upstreams_404_under_the_callers_own_tenant(engine: Engine) {
    let two = Two::set_up(engine).await;
    let app = &two.app;
    let bob = app.tenant("bob").await;
    app.quiet().await;
    for (method, path, body) in [
        (Method::GET, format!("/api/v1/get-post/{}", two.eve_post), None),
        (Method::DELETE, format!("/api/v1/delete-post/{}", two.eve_post), None),
        (Method::PUT, format!("/api/v1/update-post/{}", two.eve_post), Some(json!({ "status": "draft" }))),
    ] {
        let foreign = app.api(method.clone(), &path, &bob.key, body.clone()).await;
        let unknown = path.replace(&two.eve_post, "507f191e810c19729de860ea");
        let unknown = app.api(method, &unknown, &bob.key, body).await;
        assert_eq!((foreign.status, &foreign.text), (404, &unknown.text), "{path}");
    }
    let calls = app.control(Method::GET, "calls", serde_json::Value::Null).await;
    for call in calls["calls"].as_array().unwrap() {
        let path = call["path"].as_str().unwrap();
        if path.contains(&two.eve_post) {
            assert_eq!(call["userId"], bob.id.as_str(), "{call}");
        }
    }
    // An operation of another tenant is an unknown one.
    let ann_post = app.posts(&two.ann.id, vec![json!({ "status": "draft" })]).await.remove(0);
    app.faults(json!([{ "match": { "method": "DELETE" }, "resetBefore": true }])).await;
    let in_doubt =
        app.api(Method::DELETE, &format!("/api/v1/delete-post/{ann_post}"), &two.ann.key, None).await;
    let op = in_doubt.json()["operationId"].as_str().unwrap().to_owned();
    let mine = app.api(Method::GET, &format!("/api/v1/operations/{op}"), &two.ann.key, None).await;
    assert_eq!(mine.status, 200);
    let strip = |a: crate::testapp::Answer| {
        let mut json = a.json();
        json["requestId"] = serde_json::Value::Null;
        (a.status, json)
    };
    let theirs = strip(app.api(Method::GET, &format!("/api/v1/operations/{op}"), &bob.key, None).await);
    let unknown =
        strip(app.api(Method::GET, &format!("/api/v1/operations/{}", ids::new_id()), &bob.key, None).await);
    assert_eq!((theirs.0, &theirs), (404, &unknown));
    let eves = strip(app.api(Method::GET, &format!("/api/v1/operations/{op}"), &two.eve.key, None).await);
    assert_eq!(eves, unknown);
}

async fn forms_from_elsewhere_are_refused(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let mut browser = Browser::login(&app).await;
    let page = browser.get("/settings").await;
    let (csrf, once) = (hidden(&page.text, "_csrf"), hidden(&page.text, "_once"));
    let other_csrf = {
        let mut other = Browser::login(&app).await;
        hidden(&other.get("/settings").await.text, "_csrf")
    };
    let body = |csrf: &str| format!("_csrf={csrf}&_once={once}&theme=dark&density=compact");
    let (own, evil) = (app.url().to_owned(), "https://evil.example".to_owned());
    let mut tried = 0;
    for site in [Some("same-origin"), Some("none"), Some("same-site"), Some("cross-site"), None] {
        for origin in [Some(own.as_str()), Some(evil.as_str()), Some("null"), None] {
            for token in [csrf.as_str(), other_csrf.as_str(), ""] {
                for media in [
                    "application/x-www-form-urlencoded",
                    "text/plain",
                    "application/json",
                    "multipart/form-data",
                ] {
                    let mut request = app
                        .request(Method::POST, "/settings")
                        .header("cookie", browser.cookie_header())
                        .header("content-type", media)
                        .body(body(token));
                    if let Some(site) = site {
                        request = request.header("sec-fetch-site", site);
                    }
                    if let Some(origin) = origin {
                        request = request.header("origin", origin);
                    }
                    let status = request.send().await.unwrap().status().as_u16();
                    let from_us = matches!(site, Some("same-origin" | "none") | None)
                        && (origin == Some(own.as_str()) || origin.is_none() && site.is_some());
                    let good = from_us && token == csrf && media == "application/x-www-form-urlencoded";
                    if good {
                        assert_eq!(status, 303, "{site:?} {origin:?}");
                    } else {
                        assert!(matches!(status, 403 | 415), "{site:?} {origin:?} {media}: {status}");
                    }
                    tried += 1;
                }
            }
        }
    }
    println!("cells of the matrix: {tried}");
}
