//! An erasure that is cut short is completed, and nothing says that it is done before it is.

use super::{CANARY, Places, until_done};
use crate::{
    support::{
        databases::{Engine, gateway_on_both_engines},
        log::all_entries,
    },
    testapp::TestApp,
};
use gatehouse::{
    app::Running,
    domain::{
        audit::{Action, Draft},
        erasures::{ErasureState, Subject},
        ids,
    },
    store::{Db, erasures::Asked},
};
use serde_json::json;
use std::{
    process::{Command, Stdio},
    time::Duration,
};

gateway_on_both_engines!(a_killed_erasure_is_completed_by_the_next_start, an_older_reader_is_waited_for);

/// A detached tenant with many entries, and posts.
async fn detached(app: &TestApp, entries: usize) -> String {
    let tenant = app.tenant(CANARY).await;
    app.posts(&tenant.id, vec![json!({ "status": "draft", "content": format!("{CANARY} bread") })]).await;
    app.sweep(&app.ws, &tenant.id).await;
    let mut actor = app.owner.clone();
    actor.context.user_agent = Some(format!("{CANARY}/1"));
    let draft = Draft::done(&actor, Action::PostUpdate)
        .workspace(&app.ws)
        .tenant(Some(&tenant.id))
        .reason(&format!("{CANARY} wants it"))
        .set("status", "draft");
    let drafts: Vec<&Draft> = std::iter::repeat_n(&draft, 250).collect();
    for _ in 0..entries / 250 {
        app.app().db.append(app.clock.now(), &drafts).await.unwrap();
    }
    app.app().db.import_tenants(&app.owner, &app.ws, &[], app.clock.now()).await.unwrap();
    app.app().access.reload().await.unwrap();
    tenant.id
}

async fn left(app: &TestApp) -> Vec<String> {
    let mut places = Places::default();
    places.tables(app).await;
    places.folder("", &app.config.data);
    places.with(CANARY).into_iter().map(str::to_owned).collect()
}

async fn a_killed_erasure_is_completed_by_the_next_start(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let tenant = detached(&app, 6_000).await;
    let ws = app.ws.clone();
    app.running.take().unwrap().stop().await;
    assert!(!left(&app).await.is_empty());
    let (mut killed, mut wait) = (0, Duration::from_millis(60));
    for _ in 0..8 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gatehouse"))
            .args(["erase", "tenant", &tenant, "--workspace", &ws, "--reason", "request 20", "--data"])
            .arg(&app.config.data)
            .args(["--database-url", &app.config.database_url])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(wait).await;
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        let db = Db::connect(&app.config.database_url).await.unwrap();
        let subject = Subject::Tenant { workspace: ws.clone(), id: tenant.clone() };
        let state = db.erasure_of(&subject).await.unwrap().map(|erasure| erasure.state);
        db.close().await;
        if state == Some(ErasureState::Done) {
            assert_eq!(left(&app).await, Vec::<String>::new(), "it is said to be done");
            break;
        }
        // On a busy machine the start alone may take a second.
        wait = if state.is_none() { wait * 2 } else { wait + Duration::from_millis(25) };
    }
    assert!(killed > 0, "it was never cut short");
    app.running = Some(Running::start(app.config.clone(), app.clock.clone()).await.unwrap());
    let subject = Subject::Tenant { workspace: ws, id: tenant };
    let erasure = app.app().db.erasure_of(&subject).await.unwrap().expect("it was begun");
    let done = until_done(&app, &erasure.id).await;
    assert!(done.details >= 18_000, "{done:?}");
    assert_eq!(left(&app).await, Vec::<String>::new());
    let entries = all_entries(&app).await;
    let said: Vec<_> =
        entries.iter().filter(|e| e["action"] == "audit.erase").map(|e| &e["outcome"]).collect();
    assert_eq!(said, ["intent", "succeeded"], "once each, however often it was cut short");
    println!("killed {killed} times, {} details erased", done.details);
}

/// SQLite keeps older pages as long as somebody reads them. PostgreSQL has no such file.
async fn an_older_reader_is_waited_for(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = detached(&app, 500).await;
    let db = &app.app().db;
    let reading = match db {
        Db::Sqlite { reader, .. } => Some(reader.begin().await.unwrap()),
        Db::Postgres(..) => None,
    };
    let mut reading = reading;
    if let Some(tx) = &mut reading {
        sqlx::query("SELECT COUNT(*) FROM posts").fetch_one(&mut **tx).await.unwrap();
    }
    let subject = Subject::Tenant { workspace: app.ws.clone(), id: tenant };
    let begun = db.begin_erasure(&app.owner, &ids::new_id(), &subject, "request 21", app.clock.now()).await;
    let Asked::Begun(id) = begun.unwrap() else { panic!("not begun") };
    if let Some(tx) = reading {
        app.until("the rows are gone", || async {
            db.erasure(&id).await.unwrap().unwrap().state == ErasureState::Emptying
        })
        .await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(db.erasure(&id).await.unwrap().unwrap().state, ErasureState::Emptying);
        drop(tx);
    }
    until_done(&app, &id).await;
    assert_eq!(left(&app).await, Vec::<String>::new());
}
