//! The log as a whole, under a running gateway: what is signed and what never is, where it is told of, and how it goes on
//! after a restore.

mod anchors;
mod guard;
#[cfg(feature = "postgres-tests")]
mod replicas;
mod restore;

use crate::{
    support::{
        databases::{Engine, gateway_on_both_engines},
        jobs::{changing_calls, delete_job, deletions, ended},
    },
    testapp::{Answer, Browser, EMAIL, PASSWORD, Tenant, TestApp},
};
use gatehouse::{
    audit::{
        note::{Chain, Checkpoint, PublicKey},
        proof::{verify_consistency, verify_inclusion},
        tree::{Range, leaf_hash},
    },
    clock::{HOUR, MINUTE},
    store::{Db, Error},
};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use std::{fs, path::Path, time::Duration};

gateway_on_both_engines!(
    checkpoints_are_signed_as_it_grows,
    an_entry_that_was_changed_is_never_signed,
    silence_is_said
);

/// How soon a checkpoint follows where a test waits for one.
const SOON: Duration = Duration::from_millis(50);

/// Runs a statement past the store.
async fn sql(db: &Db, text: impl Into<String>) {
    let text = AssertSqlSafe(text.into());
    match db {
        Db::Sqlite { writer, .. } => sqlx::query(text).execute(writer).await.map(drop).unwrap(),
        Db::Postgres(pool, ..) => sqlx::query(text).execute(pool).await.map(drop).unwrap(),
    }
}

/// Without what guards entries against mistakes.
async fn unguard(db: &Db) {
    match db {
        Db::Sqlite { .. } => {
            sql(db, "DROP TRIGGER IF EXISTS audit_entries_no_update").await;
            sql(db, "DROP TRIGGER IF EXISTS audit_entries_no_delete").await;
        }
        Db::Postgres(..) => {
            sql(db, "ALTER TABLE audit_entries DISABLE TRIGGER audit_entries_no_change").await;
        }
    }
}

/// The checkpoints of a file of notes with empty lines between, each signed by the key.
fn signed_in(path: &Path, key: &PublicKey) -> Vec<Checkpoint> {
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    assert_eq!(lines.len() % 6, 0, "whole notes: {text}");
    lines.chunks(6).map(|note| key.checkpoint(&note[..5].concat()).unwrap()).collect()
}

async fn checkpoints_are_signed_as_it_grows(engine: Engine) {
    let app = TestApp::spawn_with(engine, |config| {
        config.tuning.checkpoint = SOON;
        config.audit_anchor_file = Some(config.data.join("anchors"));
    })
    .await;
    let log = app.app().audit_log.clone();
    let db = &app.app().db;
    assert_eq!(db.audit_entry(None, 0).await.unwrap().unwrap().action, "audit.start");
    app.until("a checkpoint", || async { log.status().signed.is_some() }).await;
    let ann = app.tenant("ann").await;
    let posts = app.posts(&ann.id, (0..150).map(|_| json!({ "status": "draft" })).collect()).await;
    app.sweep(&app.ws, &ann.id).await;
    for posts in posts.chunks(50) {
        let job = delete_job(&app, &ann, posts).await;
        ended(&app, &job).await;
        let size = db.audit_head().await.unwrap().size;
        app.until("all is signed", || async { log.status().signed.unwrap().checkpoint.size as i64 >= size })
            .await;
    }
    let size = db.audit_head().await.unwrap().size;
    assert!(size > 300, "{size}: more than a tile");
    let signed = log.checkpoint_now(size).await.unwrap();
    assert_eq!(log.public().checkpoint(&signed.note).as_ref(), Ok(&signed.checkpoint));
    let now = &signed.checkpoint;

    // The roots are those of the entries' bytes, and every entry is proven.
    let mut roots = vec![Range::default().root()];
    let mut range = Range::default();
    let mut proofs = log.proofs(&signed);
    for seq in 0..now.size as i64 {
        let leaf = leaf_hash(&db.audit_entry(None, seq).await.unwrap().unwrap().bytes);
        range.push(leaf);
        roots.push(range.root());
        let proof = proofs.inclusion(&[seq]).await.unwrap().pop().unwrap();
        assert!(verify_inclusion(seq as u64, now.size, &leaf, &proof, &now.root), "{seq}");
    }
    assert_eq!(roots[now.size as usize], now.root);
    let told = signed_in(app.config.audit_anchor_file.as_ref().unwrap(), log.public());
    assert!(told.len() >= 4, "{}", told.len());
    for earlier in &told {
        assert_eq!(earlier.root, roots[earlier.size as usize], "{}", earlier.size);
        let proof = proofs.consistency(earlier.size.min(now.size)).await.unwrap();
        if earlier.size <= now.size {
            assert!(verify_consistency(earlier.size, now.size, &earlier.root, &now.root, &proof));
        }
    }
    assert!(told.windows(2).all(|pair| pair[0].size < pair[1].size), "each once, in order");

    // Pages are given the same.
    let inclusion = log.inclusion(7).await.unwrap().unwrap();
    let leaf = leaf_hash(&db.audit_entry(None, 7).await.unwrap().unwrap().bytes);
    let checkpoint = &inclusion.signed.checkpoint;
    assert!(verify_inclusion(7, checkpoint.size, &leaf, &inclusion.proof, &checkpoint.root));
    assert_eq!(log.inclusion(size + 1_000).await.unwrap(), None);
    assert_eq!(log.inclusion(-1).await.unwrap(), None);
    let of_ann = Chain { workspace: app.ws.clone(), tenant: Some(ann.id.clone()) };
    let head = log.public().head(&log.head_note(&signed, of_ann.clone()).await.unwrap()).unwrap();
    assert_eq!((head.chain, head.size, &head.origin), (of_ann, now.size, &now.origin));
    assert!(head.count > 300, "{}", head.count);
}

/// What everybody is told while the log is forked, on a gateway with a tenant and a person who is logged in.
struct Forked<'a> {
    app: &'a TestApp,
    ann: &'a Tenant,
    post: &'a str,
}

impl Forked<'_> {
    async fn refuses_changes(&self, browser: &mut Browser) {
        let Self { app, ann, post } = self;
        app.sandbox_idle().await;
        app.reset_calls().await;
        for (method, path, body) in [
            (Method::DELETE, format!("/api/v1/delete-post/{post}"), None),
            (Method::PUT, format!("/api/v1/update-post/{post}"), Some(json!({ "status": "draft" }))),
            (
                Method::POST,
                "/api/v1/create-post".into(),
                Some(json!({ "content": "x", "platforms": ["twitter-1"] })),
            ),
        ] {
            let answer = app.api(method, &path, &ann.key, body).await;
            assert_eq!(
                (answer.status, &answer.json()["code"]),
                (503, &json!("audit_fork")),
                "{}",
                answer.text
            );
            assert_eq!(answer.header("retry-after"), "5");
        }
        assert_eq!(changing_calls(app).await, Vec::<String>::new(), "nothing was sent");
        for path in ["/api/v1/list-posts".into(), format!("/api/v1/get-post/{post}")] {
            assert_eq!(app.api(Method::GET, &path, &ann.key, None).await.status, 200, "{path}");
        }
        let tenant = format!("/w/{}/tenants/{}", app.ws, ann.id);
        for path in ["/".into(), tenant.clone(), format!("/w/{}/audit", app.ws), "/settings".into()] {
            let page = browser.get(&path).await;
            assert_eq!(page.status, 200, "{path}: {}", page.text);
            assert!(page.text.contains("Nothing can be changed"), "{path}");
        }
        let frozen = browser.submit(&tenant, &format!("{tenant}/freeze"), &[("reason", "Not paid")]).await;
        assert!(frozen.status == 503 && frozen.text.contains("audit log contradicts"), "{}", frozen.text);
        assert_eq!(app.app().db.tenant(&app.ws, &ann.id).await.unwrap().unwrap().frozen, None);
        let mut stranger = Browser::at(app.url());
        let login = stranger.submit("/login", "/login", &[("email", EMAIL), ("password", PASSWORD)]).await;
        assert_eq!(login.status, 503, "{}", login.text);
        app.until("not ready", || async {
            let ready = Answer::read(app.request(Method::GET, "/readyz").send().await.unwrap()).await;
            ready.status == 503 && ready.json()["auditWriter"] == "is forked"
        })
        .await;
        let metrics = app.app().metrics.encode();
        assert!(metrics.contains("gatehouse_audit_fork 1"), "{metrics}");
        let refused = app.app().audit_log.checkpoint_now(0).await;
        assert!(matches!(refused, Err(Error::AuditFork(_))), "{refused:?}");
    }

    /// Once it was accepted, without a restart.
    async fn goes_on(&self, epoch: u64) {
        let Self { app, ann, post } = self;
        let log = &app.app().audit_log;
        app.until("it goes on", || async {
            let status = log.status();
            status.fork.is_none() && status.signed.is_some_and(|signed| signed.epoch == epoch)
        })
        .await;
        assert!(app.app().metrics.encode().contains("gatehouse_audit_fork 0"));
        let path = format!("/api/v1/update-post/{post}");
        let answer = app.api(Method::PUT, &path, &ann.key, Some(json!({ "status": "draft" }))).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let signed = log.checkpoint_now(i64::MAX).await.unwrap();
        assert_eq!(signed.checkpoint.origin, log.public().origin(epoch));
        assert_eq!(fs::read_to_string(&app.config.audit_head).unwrap(), signed.note);
        // One of them may be what was accepted, changed as it is.
        let entries = app.entries().await;
        let restores: Vec<&Value> = entries.iter().filter(|e| e["action"] == "audit.restore").collect();
        let targets = json!([{ "type": "epoch", "id": epoch.to_string() }]);
        assert_eq!(restores[0]["targets"], targets);
    }
}

async fn an_entry_that_was_changed_is_never_signed(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let posts = app.posts(&ann.id, (0..12).map(|_| json!({ "status": "draft" })).collect()).await;
    app.sweep(&app.ws, &ann.id).await;
    app.quiet().await;
    let log = app.app().audit_log.clone();
    let before = log.checkpoint_now(i64::MAX).await.unwrap();
    let mut browser = Browser::login(&app).await;
    let deleted = app.api(Method::DELETE, &format!("/api/v1/delete-post/{}", posts[0]), &ann.key, None).await;
    assert_eq!(deleted.status, 200);
    // A job is in the middle.
    app.faults(json!([{ "match": { "method": "DELETE" }, "delayMs": 300 }])).await;
    let job = delete_job(&app, &ann, &posts[1..11]).await;
    app.until("the job has begun", || async { changing_calls(&app).await.len() > 1 }).await;

    let db = app.app().db.clone();
    let seq = before.checkpoint.size + 1;
    let old = db.audit_entry(None, seq as i64).await.unwrap().unwrap().bytes;
    unguard(&db).await;
    let change = db_text(
        &db,
        "CAST(REPLACE(CAST(entry AS TEXT), '\"v\":1', '\"v\":2') AS BLOB)",
        "CONVERT_TO(REPLACE(CONVERT_FROM(entry, 'UTF8'), '\"v\":1', '\"v\":2'), 'UTF8')",
    );
    sql(&db, format!("UPDATE audit_entries SET entry = {change} WHERE seq = {seq}")).await;
    assert_ne!(db.audit_entry(None, seq as i64).await.unwrap().unwrap().bytes, old);
    let refused = log.checkpoint_now(i64::MAX).await;
    let says = format!("entry {seq} is not as it was written");
    assert!(matches!(&refused, Err(Error::AuditFork(reason)) if *reason == says), "{refused:?}");
    let size = db.audit_head().await.unwrap().size;
    let forked = Forked { app: &app, ann: &ann, post: &posts[11] };
    forked.refuses_changes(&mut browser).await;
    assert_eq!(db.audit_head().await.unwrap().size, size, "nothing is appended");
    assert_eq!(fs::read_to_string(&app.config.audit_head).unwrap(), before.note, "nor signed");
    let ended_ones = app.app().db.job(&app.ws, &job).await.unwrap().unwrap().counts.ended();
    assert!(ended_ones < 10, "{ended_ones}: the job waits");

    // It is a fork after a restart as well, until somebody has looked.
    app.restart().await;
    let forked = Forked { app: &app, ann: &ann, post: &posts[11] };
    forked.refuses_changes(&mut browser.moved_to(app.url())).await;
    restore::accept(&app, size).await;
    forked.goes_on(2).await;
    app.faults(json!([])).await;
    let counts = ended(&app, &job).await;
    app.until_settled().await;
    assert_eq!((counts.total(), deletions(&app).await.len()), (10, 11), "{counts:?}");
}

fn db_text(db: &Db, sqlite: &'static str, postgres: &'static str) -> &'static str {
    if db.is_embedded() { sqlite } else { postgres }
}

async fn silence_is_said(engine: Engine) {
    let app = TestApp::spawn_with(engine, |config| config.tuning.checkpoint = SOON).await;
    let beats = async || {
        let entries = app.entries().await;
        entries.iter().filter(|entry| entry["action"] == "audit.heartbeat").count()
    };
    tokio::time::sleep(SOON * 4).await;
    assert_eq!(beats().await, 0);
    for beat in 1..=3 {
        let size = app.app().db.audit_head().await.unwrap().size as u64;
        app.clock.advance(HOUR + MINUTE);
        app.until("a heartbeat", || async { beats().await == beat }).await;
        app.until("it is signed", || async {
            app.app().audit_log.status().signed.is_some_and(|signed| signed.checkpoint.size > size)
        })
        .await;
    }
    tokio::time::sleep(SOON * 4).await;
    assert_eq!(beats().await, 3, "one an hour");
}
