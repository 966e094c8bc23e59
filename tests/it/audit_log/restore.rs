//! A database that is an older copy of itself, a log that is gone, and what an operator does about it.

use super::{Forked, sql, unguard};
use crate::{
    support::{
        databases::{Engine, gateway_on_both_engines},
        log::all_entries,
    },
    testapp::{Browser, TestApp},
};
use gatehouse::store::Db;
use reqwest::Method;
use serde_json::json;
use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

gateway_on_both_engines!(an_older_copy_is_a_fork_until_it_is_accepted);

/// Runs `gatehouse audit accept-restore` beside the running gateway.
fn command(app: &TestApp, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gatehouse"))
        .args(["audit", "accept-restore", "--database-url", &app.config.database_url, "--data"])
        .arg(&app.config.data)
        .arg("--audit-head")
        .arg(&app.config.audit_head)
        .args(more)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Looks, tries wrong numbers, accepts; the log must have this many entries.
pub async fn accept(app: &TestApp, size: i64) {
    let looked = command(app, &[]);
    let (said, error) = (text(&looked.stdout), text(&looked.stderr));
    assert_eq!(looked.status.code(), Some(1), "{said}{error}");
    assert!(
        said.contains(&format!("In the database: {size} entries")) && said.contains("Signed: "),
        "{said}"
    );
    assert!(error.contains(&format!("--entries {size}")), "{error}");
    let wrong = command(app, &["--entries", &(size + 1).to_string()]);
    assert!(
        wrong.status.code() == Some(1) && text(&wrong.stderr).contains("nothing was changed"),
        "{wrong:?}"
    );
    assert!(app.app().db.audit_head().await.unwrap().fork.is_some(), "a look changes nothing");
    let accepted = command(app, &["--entries", &size.to_string(), "--reason", "disk broke"]);
    let (said, error) = (text(&accepted.stdout), text(&accepted.stderr));
    assert_eq!(accepted.status.code(), Some(0), "{said}{error}");
    assert!(said.contains("Accepted"), "{said}");
    let entry = app.app().db.audit_entry(None, size).await.unwrap().unwrap();
    assert_eq!(entry.action, "audit.restore", "the first one after those there were");
    assert_eq!(entry.detail("reason"), Some(r#""disk broke""#));
    let change = entry.detail("change").unwrap();
    assert!(
        change.contains(&format!(r#""entries":{size}"#)) && change.contains(r#""contradiction":"#),
        "{change}"
    );
}

/// A copy of the database as an operator makes one.
struct Backup(PathBuf);

/// What the log is made of.
const TABLES: [&str; 6] =
    ["audit_entries", "audit_details", "audit_head", "audit_chains", "audit_tiles", "audit_checkpoints"];

impl Backup {
    async fn of(app: &TestApp) -> Self {
        let path = app.config.data.with_file_name("backup.db");
        let db = &app.app().db;
        match db {
            Db::Sqlite { .. } => sql(db, format!("VACUUM INTO '{}'", path.display())).await,
            // Of the log alone: a schema has no copy that could be put back as a whole.
            Db::Postgres(..) => {
                for table in TABLES {
                    sql(db, format!("CREATE TABLE copy_of_{table} AS SELECT * FROM {table}")).await;
                }
            }
        }
        Self(path)
    }

    /// Puts it in the place of a stopped gateway's database.
    async fn restore(&self, app: &TestApp) {
        let Some(file) = app.config.database_url.strip_prefix("sqlite:") else {
            let db = Db::connect(&app.config.database_url).await.unwrap();
            unguard(&db).await;
            sql(&db, "DELETE FROM audit_details WHERE seq >= (SELECT size FROM copy_of_audit_head)").await;
            sql(&db, "DELETE FROM audit_entries WHERE seq >= (SELECT size FROM copy_of_audit_head)").await;
            for table in &TABLES[2..] {
                sql(&db, format!("DELETE FROM {table}")).await;
                sql(&db, format!("INSERT INTO {table} SELECT * FROM copy_of_{table}")).await;
            }
            return db.close().await;
        };
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(format!("{file}{suffix}"));
        }
        fs::copy(&self.0, file).unwrap();
    }
}

async fn an_older_copy_is_a_fork_until_it_is_accepted(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let posts = app.posts(&ann.id, (0..6).map(|_| json!({ "status": "draft" })).collect()).await;
    app.sweep(&app.ws, &ann.id).await;
    let browser = Browser::login(&app).await;
    app.app().audit_log.checkpoint_now(i64::MAX).await.unwrap();
    let backup = Backup::of(&app).await;
    let restored = app.app().db.audit_head().await.unwrap().size;

    // Twice the same copy: what came after the first is lost by the second.
    for (epoch, post) in [(2, &posts[0]), (3, &posts[1])] {
        let path = format!("/api/v1/delete-post/{post}");
        assert_eq!(app.api(Method::DELETE, &path, &ann.key, None).await.status, 200);
        let lost = app.app().db.audit_head().await.unwrap().size;
        // Nothing was signed since, but for the stop.
        app.running.take().unwrap().stop().await;
        let noted = fs::read_to_string(&app.config.audit_head).unwrap();
        backup.restore(&app).await;
        app.restart_stopped().await;
        let log = app.app().audit_log.clone();
        let fork = log.status().fork.expect("a fork").reason;
        let says = format!("the log has {restored} entries, and a checkpoint of {lost} was signed");
        assert!(fork.starts_with(&says), "{fork}; {says}");
        let forked = Forked { app: &app, ann: &ann, post: &posts[5] };
        forked.refuses_changes(&mut browser.moved_to(app.url())).await;
        assert_eq!(fs::read_to_string(&app.config.audit_head).unwrap(), noted, "the evidence stays");
        accept(&app, restored).await;
        let entry = app.app().db.audit_entry(None, restored).await.unwrap().unwrap();
        let change = entry.detail("change").unwrap();
        assert!(change.contains(&format!(r#""entries":{lost}"#)), "{change}");
        forked.goes_on(epoch).await;
        let nothing = command(&app, &[]);
        assert!(text(&nothing.stderr).contains("nothing to accept"), "{nothing:?}");
        app.restart().await;
        assert_eq!(app.app().audit_log.status().fork, None);
        all_entries(&app).await;
    }
}

/// Database files removed, key files kept: a new log would begin at 0 as if nothing had been.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_gone_is_a_fork() {
    let mut app = TestApp::spawn(Engine::Sqlite).await;
    app.running.take().unwrap().stop().await;
    let file = app.config.database_url.strip_prefix("sqlite:").unwrap().to_owned();
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{file}{suffix}"));
    }
    app.restart_stopped().await;
    let fork = app.app().audit_log.status().fork.expect("a fork").reason;
    assert!(fork.contains("is of another log"), "{fork}");
    assert_eq!(app.app().db.audit_head().await.unwrap().size, 0);
    let looked = command(&app, &[]);
    assert!(text(&looked.stdout).contains("Signed: no note of this log's key is left"), "{looked:?}");
    let accepted = command(&app, &["--entries", "0"]);
    assert_eq!(accepted.status.code(), Some(0), "{accepted:?}");
    app.until("it goes on", || async { app.app().audit_log.status().fork.is_none() }).await;
    let first = app.app().db.audit_entry(None, 0).await.unwrap().unwrap();
    assert_eq!(first.action, "audit.restore");
}

/// An entry in the middle that is gone cannot be accepted: no tree can be made of the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_with_a_hole_is_not_accepted() {
    let app = TestApp::spawn(Engine::Sqlite).await;
    let db = &app.app().db;
    let signed = app.app().audit_log.checkpoint_now(i64::MAX).await.unwrap();
    app.tenant("ann").await;
    let seq = signed.checkpoint.size as i64;
    unguard(db).await;
    sql(db, format!("DELETE FROM audit_details WHERE seq = {seq}")).await;
    sql(db, format!("DELETE FROM audit_entries WHERE seq = {seq}")).await;
    let refused = app.app().audit_log.checkpoint_now(i64::MAX).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("entry {seq} is missing")), "{refused}");
    let size = db.audit_head().await.unwrap().size;
    let refused = command(&app, &["--entries", &size.to_string()]);
    let said = text(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("restore a backup"), "{said}");
    assert!(db.audit_head().await.unwrap().fork.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_is_printed() {
    let app = TestApp::spawn(Engine::Sqlite).await;
    let key = |folder: &std::path::Path| {
        Command::new(env!("CARGO_BIN_EXE_gatehouse"))
            .args(["audit", "key", "--data"])
            .arg(folder)
            .output()
            .unwrap()
    };
    let printed = key(&app.config.data);
    assert_eq!(text(&printed.stdout).trim(), app.app().audit_log.public().to_string(), "{printed:?}");
    let fresh = tempfile::tempdir().unwrap();
    let none = key(fresh.path());
    assert!(none.status.code() == Some(1) && text(&none.stderr).contains("no audit key yet"), "{none:?}");
    assert!(!fresh.path().join("audit.key").exists(), "a look makes no key");
}
