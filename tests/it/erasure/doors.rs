//! Who may erase, how it is asked for, and when it is refused: page, program and shell.

use super::{CANARY, until_done};
use crate::{
    support::{
        databases::{Engine, gateway_on_both_engines},
        jobs::delete_job_at,
    },
    testapp::{Answer, Browser, PASSWORD, TestApp},
};
use gatehouse::{
    clock::{HOUR, MINUTE},
    domain::{
        erasures::Subject,
        keys::{KeyKind, Scope},
    },
};
use reqwest::Method;
use serde_json::{Value, json};
use std::process::Command;

gateway_on_both_engines!(
    a_page_asks_for_reason_name_and_password,
    a_program_erases_under_a_key_that_manages,
    work_under_way_is_waited_for,
    the_shell_erases_a_person,
);

async fn detach_all(app: &TestApp) {
    app.app().db.import_tenants(&app.owner, &app.ws, &[], app.clock.now()).await.unwrap();
    app.app().access.reload().await.unwrap();
}

async fn a_page_asks_for_reason_name_and_password(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant(CANARY).await;
    let mut browser = Browser::login(&app).await;
    let page = format!("/w/{}/tenants/{}/erase", app.ws, tenant.id);
    let held = browser.get(&page).await;
    assert!(
        held.text.contains("Detach it first") && !held.text.contains("name=\"confirm\""),
        "{}",
        held.text
    );
    let of_tenant = browser.get(&format!("/w/{}/tenants/{}", app.ws, tenant.id)).await;
    assert!(!of_tenant.text.contains("/erase\""), "not offered while it is attached");
    detach_all(&app).await;
    let of_tenant = browser.get(&format!("/w/{}/tenants/{}", app.ws, tenant.id)).await;
    assert!(of_tenant.text.contains(&format!("href=\"{page}\"")), "{}", of_tenant.text);
    let typed = format!("erase {CANARY}@test.example");
    app.clock.advance(20 * MINUTE);
    for (fields, said) in [
        (vec![("reason", ""), ("confirm", typed.as_str()), ("password", PASSWORD)], "Enter a reason"),
        (vec![("reason", "request 1"), ("confirm", "erase"), ("password", PASSWORD)], "Type it as it stands"),
        (vec![("reason", "request 1"), ("confirm", typed.as_str())], "Enter your password"),
        (
            vec![("reason", "request 1"), ("confirm", typed.as_str()), ("password", "not the right one")],
            "This is not your password",
        ),
    ] {
        let answer = browser.submit(&page, &page, &fields).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert!(answer.text.contains(said), "{said}: {}", answer.text);
    }
    let subject = Subject::Tenant { workspace: app.ws.clone(), id: tenant.id.clone() };
    assert_eq!(app.app().db.erasure_of(&subject).await.unwrap(), None, "nothing was begun");
    let fields = [("reason", "request 1"), ("confirm", typed.as_str()), ("password", PASSWORD)];
    let answer = browser.submit(&page, &page, &fields).await;
    assert_eq!(answer.header("location"), format!("{page}?done=erasing"), "{}", answer.text);
    let id = app.app().db.erasure_of(&subject).await.unwrap().unwrap().id;
    until_done(&app, &id).await;
    let shown = browser.get(&page).await;
    assert!(shown.text.contains("<b>Erased</b>") && !shown.text.contains(CANARY), "{}", shown.text);
    let people = browser.get("/people").await;
    assert!(
        people.text.contains("owner@test.example") && !people.text.contains("/erase\""),
        "{}",
        people.text
    );
}

async fn a_program_erases_under_a_key_that_manages(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant(CANARY).await;
    let path = format!("/manage/v1/tenants/{}/erase", tenant.id);
    let posts = app.key(&app.ws, KeyKind::Workspace, None, &[Scope::PostsRead, Scope::PostsDelete]).await;
    let manages = app.key(&app.ws, KeyKind::Workspace, None, &[Scope::WorkspaceManage]).await;
    let ask = async |path: &str, key: &str, body: Value| {
        let call =
            app.request(Method::POST, path).bearer_auth(key).header("content-type", "application/json");
        Answer::read(call.body(body.to_string()).send().await.unwrap()).await
    };
    let body = json!({ "reason": "request 2", "confirm": tenant.id });
    let other = format!("/manage/v1/tenants/{}/erase", "0".repeat(24));
    for (path, key, body, status) in [
        (&path, &posts, body.clone(), 403),
        (&path, &tenant.key, body.clone(), 403),
        (&other, &manages, body.clone(), 404),
        (&path, &manages, json!({ "reason": "", "confirm": tenant.id }), 400),
        (&path, &manages, json!({ "reason": "x", "confirm": "y" }), 400),
        (&path, &manages, json!({ "reason": "x" }), 400),
        (&path, &manages, body.clone(), 409),
    ] {
        let answer = ask(path, key, body.clone()).await;
        let refused = answer.status == status || (status == 400 && answer.status == 422);
        assert!(refused, "{status}: {} {} for {body}", answer.status, answer.text);
    }
    detach_all(&app).await;
    let begun = ask(&path, &manages, body.clone()).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    let id = begun.json()["erasureId"].as_str().unwrap().to_owned();
    until_done(&app, &id).await;
    let at = begun.header("location").to_owned();
    let shown = Answer::read(app.request(Method::GET, &at).bearer_auth(&manages).send().await.unwrap()).await;
    assert_eq!((shown.json()["state"].as_str(), shown.json()["ended"].as_bool()), (Some("done"), Some(true)));
    let (other_ws, _) = app.add_workspace("Second").await;
    let foreign = app.key(&other_ws, KeyKind::Workspace, None, &[Scope::WorkspaceManage]).await;
    let hidden = app.request(Method::GET, &at).bearer_auth(foreign).send().await.unwrap();
    assert_eq!(hidden.status(), 404, "another workspace's erasure is not there");
}

async fn work_under_way_is_waited_for(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant(CANARY).await;
    let posts = app.posts(&tenant.id, vec![json!({ "status": "draft" })]).await;
    app.sweep(&app.ws, &tenant.id).await;
    delete_job_at(&app, &tenant, &posts, Some(app.clock.now() + HOUR)).await;
    detach_all(&app).await;
    let manages = app.key(&app.ws, KeyKind::Workspace, None, &[Scope::WorkspaceManage]).await;
    let path = format!("/manage/v1/tenants/{}/erase", tenant.id);
    let body = json!({ "reason": "request 3", "confirm": tenant.id }).to_string();
    let call =
        app.request(Method::POST, &path).bearer_auth(manages).header("content-type", "application/json");
    let answer = Answer::read(call.body(body).send().await.unwrap()).await;
    assert_eq!(answer.status, 409, "{}", answer.text);
    assert!(answer.text.contains("have no end yet"), "{}", answer.text);
}

async fn the_shell_erases_a_person(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let erase = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_gatehouse"))
            .arg("erase")
            .args(arguments)
            .args(["--reason", "request 4", "--data"])
            .arg(&app.config.data)
            .args(["--database-url", &app.config.database_url])
            .output()
            .unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said)
    };
    let (code, said) = erase(&["person", "owner@test.example"]);
    assert!(code == Some(1) && said.contains("the only owner"), "{code:?} {said}");
    let (code, said) = erase(&["person", "nobody@test.example"]);
    assert!(code == Some(1) && said.contains("there is no person"), "{code:?} {said}");
    let tenant = app.tenant(CANARY).await;
    let (code, said) = erase(&["tenant", &tenant.id, "--workspace", &app.ws]);
    assert!(code == Some(1) && said.contains("still attached"), "{code:?} {said}");
    detach_all(&app).await;
    // Beside the running gateway.
    let (code, said) = erase(&["tenant", &tenant.id, "--workspace", &app.ws]);
    assert!(code == Some(0) && said.contains("Erased, with"), "{code:?} {said}");
    let known = app.app().db.tenant(&app.ws, &tenant.id).await.unwrap().unwrap();
    assert_eq!((known.username.as_str(), known.display_name.as_str()), ("", "Erased tenant"));
}
