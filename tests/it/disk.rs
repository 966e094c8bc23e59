//! A disk that cannot be written, under the whole gateway: changing calls are refused and nothing of them is sent, reads
//! and pages go on, and when there is room again nobody has to start anything anew. (A file that may not grow is tried
//! in `store/disk.rs`: that limit is one connection's, and the pool replaces connections.)

use crate::{
    support::{
        databases::Engine,
        jobs::{changing_calls, delete_job, deletions, ended},
        log::all_entries,
        process::Process,
    },
    testapp::{Answer, Browser, EMAIL, PASSWORD, TestApp, client},
};
use gatehouse::{
    app::Running,
    clock::MINUTE,
    store::{Db, Error},
};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// What keeps the database from being written.
enum Fault {
    /// The driver refuses every write (SQLITE_READONLY), as on a file system that was remounted read-only.
    ReadOnly,
    /// Another program's data fill the file system.
    FullDisk(Mounted),
}

impl Fault {
    async fn begin(&self, app: &TestApp) {
        match self {
            Self::ReadOnly => pragma(&app.app().db, "PRAGMA query_only = ON").await,
            Self::FullDisk(mounted) => {
                let mut size = 1 << 20;
                while size > 0 {
                    let name =
                        mounted.0.join(format!("somebody-elses-{size}-{}", gatehouse::domain::ids::new_id()));
                    if fs::write(name, vec![7; size]).is_err() {
                        size /= 4;
                    }
                }
            }
        }
    }

    async fn end(&self, app: &TestApp) {
        match self {
            Self::ReadOnly => pragma(&app.app().db, "PRAGMA query_only = OFF").await,
            Self::FullDisk(mounted) => {
                for entry in fs::read_dir(&mounted.0).unwrap() {
                    let path = entry.unwrap().path();
                    if path.file_name().unwrap().to_string_lossy().starts_with("somebody-elses") {
                        fs::remove_file(path).unwrap();
                    }
                }
            }
        }
    }
}

/// On the one connection that writes.
async fn pragma(db: &Db, text: &str) {
    let Db::Sqlite { writer, .. } = db else { panic!("SQLite only") };
    sqlx::query(AssertSqlSafe(text.to_owned())).execute(writer).await.unwrap();
}

/// A small file system of its own; only root can mount one.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir(at).unwrap();
        let option = format!("size={size}");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &option, "tmpfs"]).arg(at).status();
        status.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // The database may still be open; the file system goes when it is not.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

async fn ready(app: &TestApp) -> (u16, Value) {
    let answer = app.request(Method::GET, "/readyz").send().await.unwrap();
    (answer.status().as_u16(), answer.json_value().await)
}

trait JsonValue {
    async fn json_value(self) -> Value;
}

impl JsonValue for reqwest::Response {
    async fn json_value(self) -> Value {
        serde_json::from_str(&self.text().await.unwrap()).unwrap()
    }
}

async fn stands(app: &TestApp, fault: Fault) {
    let ann = app.tenant("ann").await;
    let drafts =
        |n: usize| (0..n).map(|n| json!({ "status": "draft", "content": format!("p{n}") })).collect();
    let own = app.posts(&ann.id, drafts(4)).await;
    let of_job = app.posts(&ann.id, drafts(20)).await;
    app.sweep(&app.ws, &ann.id).await;
    app.quiet().await;
    let mut browser = Browser::login(app).await;
    // Slow enough to be in the middle when the disk fills.
    app.faults(json!([{ "match": { "method": "DELETE" }, "delayMs": 300 }])).await;
    let job = delete_job(app, &ann, &of_job).await;
    app.until("the job has begun", || async { !changing_calls(app).await.is_empty() }).await;

    fault.begin(app).await;
    app.sandbox_idle().await;
    let before = deletions(app).await;
    app.reset_calls().await;
    let draft = Some(json!({ "status": "draft" }));
    for (method, path, body) in [
        (Method::DELETE, format!("/api/v1/delete-post/{}", own[0]), None),
        (Method::PUT, format!("/api/v1/update-post/{}", own[1]), draft),
        (Method::DELETE, format!("/api/v1/delete-post/{}", own[0]), None),
    ] {
        let begun = Instant::now();
        let answer = app.api(method, &path, &ann.key, body).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (503, &json!("audit_unavailable")),
            "{}",
            answer.text
        );
        assert!(answer.text.contains("disk is full") && answer.header("retry-after") == "5", "{answer:?}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
    // The same with a key.
    let path = format!("/api/v1/delete-post/{}", own[0]);
    let keyed =
        app.request(Method::DELETE, &path).header("x-api-key", &ann.key).header("idempotency-key", "k");
    let keyed = Answer::read(keyed.send().await.unwrap()).await;
    assert_eq!((keyed.status, keyed.header("retry-after")), (503, "5"), "{}", keyed.text);
    let tenant_page = format!("/w/{}/tenants/{}", app.ws, ann.id);
    // Later than the last use that was noted of the session.
    app.clock.advance(2 * MINUTE);
    let (ws, id) = (&app.ws, &ann.id);
    let frozen =
        browser.submit(&tenant_page, &format!("{tenant_page}/freeze"), &[("reason", "Not paid")]).await;
    let says = "disk is full or read-only";
    assert!(frozen.status == 507 && frozen.text.contains(says), "{}: {}", frozen.status, frozen.text);
    let mut stranger = Browser::at(app.url());
    let login = stranger.submit("/login", "/login", &[("email", EMAIL), ("password", PASSWORD)]).await;
    assert!(login.status == 507 && login.text.contains(says), "{}: {}", login.status, login.text);
    for path in [
        "/api/v1/list-posts".into(),
        format!("/api/v1/get-post/{}", own[0]),
        "/api/v1/platform-connections".into(),
    ] {
        assert_eq!(app.api(Method::GET, &path, &ann.key, None).await.status, 200, "{path}");
    }
    for path in [
        "/".to_owned(),
        format!("/w/{ws}"),
        tenant_page.clone(),
        format!("/w/{ws}/posts"),
        format!("/w/{ws}/posts/{id}/{}", own[0]),
        format!("/w/{ws}/keys"),
        format!("/w/{ws}/jobs/{job}"),
        format!("/w/{ws}/audit"),
        "/settings".into(),
        "/healthz".into(),
        "/metrics".into(),
    ] {
        let page = browser.get(&path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text);
    }
    assert_eq!(changing_calls(app).await, Vec::<String>::new(), "nothing was sent");
    assert_eq!(deletions(app).await, before);
    // Nothing is signed either, and the guard file is whole.
    let log = &app.app().audit_log;
    let signed = log.status().signed.unwrap();
    match log.checkpoint_now(i64::MAX).await {
        Err(Error::NoSpace(_)) => {}
        Ok(same) => assert_eq!(same, signed, "there was nothing new"),
        Err(other) => panic!("{other}"),
    }
    let guard = || log.public().checkpoint(&fs::read_to_string(&app.config.audit_head).unwrap()).unwrap();
    assert!(guard().size >= signed.checkpoint.size);
    app.until("not ready", || async { ready(app).await.0 == 503 }).await;
    assert_eq!(ready(app).await.1["database"], "cannot be written");

    fault.end(app).await;
    let answer = app.api(Method::DELETE, &format!("/api/v1/delete-post/{}", own[0]), &ann.key, None).await;
    assert_eq!(answer.status, 200, "the first call after it works: {}", answer.text);
    app.until("ready again", || async { ready(app).await.0 == 200 }).await;
    let signed = log.checkpoint_now(i64::MAX).await.unwrap();
    assert_eq!((&guard(), log.status().fork), (&signed.checkpoint, None));
    let login = stranger.submit("/login", "/login", &[("email", EMAIL), ("password", PASSWORD)]).await;
    assert_eq!(login.status, 303, "{}", login.text);
    let frozen =
        browser.submit(&tenant_page, &format!("{tenant_page}/freeze"), &[("reason", "Not paid")]).await;
    assert_eq!(frozen.status, 303, "{}", frozen.text);
    let unfrozen = browser.submit(&tenant_page, &format!("{tenant_page}/unfreeze"), &[]).await;
    assert_eq!(unfrozen.status, 303, "{}", unfrozen.text);
    app.faults(json!([])).await;
    let counts = ended(app, &job).await;
    app.until_settled().await;
    let deleted = deletions(app).await;
    assert!(deleted.values().all(|times| *times == 1), "{deleted:?}");
    assert_eq!(
        (counts.total(), deleted.len()),
        (20, 1 + (counts.succeeded + counts.gone) as usize),
        "{counts:?}"
    );
    explained(app, &deleted).await;
    println!("job {counts:?}, deleted {}", deleted.len());
}

/// Every deletion has its intent and an end that says so, and the log is whole.
async fn explained(app: &TestApp, deleted: &std::collections::BTreeMap<String, usize>) {
    let entries = all_entries(app).await;
    for post in deleted.keys() {
        let outcomes: Vec<&str> = entries
            .iter()
            .filter(|e| e["action"] == "post.delete" && e["targets"][0]["id"] == post.as_str())
            .map(|e| e["outcome"].as_str().unwrap())
            .collect();
        let ends = outcomes.iter().filter(|o| matches!(**o, "succeeded" | "applied" | "gone")).count();
        assert!(outcomes.first() == Some(&"intent") && ends == 1, "{post}: {outcomes:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_became_read_only() {
    let app = TestApp::spawn(Engine::Sqlite).await;
    stands(&app, Fault::ReadOnly).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_file_system() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mounted) = Mounted::new(&folder.path().join("small"), "12m") else {
        println!("mounting is not allowed here: a full file system was not tried; a disk that fails was");
        return;
    };
    let data = mounted.0.clone();
    let app = TestApp::spawn_with(Engine::Sqlite, |config| {
        config.database_url = format!("sqlite:{}", data.join("gatehouse.db").display());
        config.audit_head = data.join("audit.head");
        config.data = data;
    })
    .await;
    stands(&app, Fault::FullDisk(mounted)).await;
}

/// Every write to a file fails with an error of the system's (EFBIG, which SQLite reports as an I/O error, as it does
/// EIO), in a process of its own, and then works again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails() {
    let mut app = TestApp::spawn(Engine::Sqlite).await;
    let ann = app.tenant("ann").await;
    let posts = app.posts(&ann.id, vec![json!({ "status": "draft" }), json!({ "status": "draft" })]).await;
    app.sweep(&app.ws, &ann.id).await;
    app.running.take().unwrap().stop().await;
    // The signal that comes with the error would end a process that does not ignore it.
    let process = Process::start_through(
        &app,
        &["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""],
        "off",
        Stdio::inherit(),
    )
    .await;
    let limit = |size: &str| {
        let id = process.child.id().to_string();
        let status =
            Command::new("prlimit").args(["--pid", &id, &format!("--fsize={size}:")]).status().unwrap();
        assert!(status.success());
    };
    let delete = async |post: &str| {
        let call = client().delete(format!("{}/api/v1/delete-post/{post}", process.url));
        let answer = call.header("x-api-key", &ann.key).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    app.reset_calls().await;
    limit("1024");
    for _ in 0..3 {
        let (status, text) = delete(&posts[0]).await;
        assert!(status == 503 && text.contains("audit_unavailable"), "{status}: {text}");
    }
    let list = client().get(format!("{}/api/v1/list-posts", process.url)).header("x-api-key", &ann.key);
    assert_eq!(list.send().await.unwrap().status(), 200);
    let readyz = || client().get(format!("{}/readyz", process.url)).send();
    app.until("not ready", || async { readyz().await.unwrap().status() == 503 }).await;
    assert_eq!(changing_calls(&app).await, Vec::<String>::new(), "nothing was sent");
    limit("unlimited");
    assert_eq!(delete(&posts[0]).await.0, 200, "the first call after it works");
    drop(process);
    app.running = Some(Running::start(app.config.clone(), app.clock.clone()).await.unwrap());
    let deleted = deletions(&app).await;
    assert_eq!(deleted.len(), 1);
    explained(&app, &deleted).await;
}
