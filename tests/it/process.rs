//! The program as a process: kill -9 under load, an orderly stop, start-up time and memory.

use crate::{
    support::databases::{Engine, gateway_on_both_engines},
    testapp::{Tenant, TestApp},
};
use gatehouse::{
    app::Running,
    audit::tree,
    clock::MINUTE,
    domain::{
        ids,
        jobs::JobState,
        plans::{BulkAction, PlanOptions},
    },
    jobs::planning,
};
use reqwest::Client;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

gateway_on_both_engines!(
    kill_9_loses_no_acknowledged_delete_and_leaves_none_unexplained,
    sigterm_finishes_what_was_begun_and_exits_0,
    it_listens_within_a_second_and_idles_small,
    kill_9_in_the_middle_of_a_job_loses_and_doubles_nothing,
);

/// Kills in one run; `GATEHOUSE_KILLS` asks for more.
fn kills() -> usize {
    std::env::var("GATEHOUSE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(20)
}

/// A gateway in a process of its own, on the data of a stopped one or on none.
pub struct Process {
    pub child: Child,
    pub url: String,
    /// What it says after its address.
    pub stdout: BufReader<ChildStdout>,
    /// Until it answered.
    started_in: Duration,
}

impl Process {
    async fn start(app: &TestApp) -> Self {
        Self::start_logging(app, "error", Stdio::inherit()).await
    }

    pub async fn start_logging(app: &TestApp, log: &str, stderr: Stdio) -> Self {
        let begun = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_gatehouse"))
            .args(["serve", "--listen", "127.0.0.1:0", "--log", log, "--data"])
            .arg(&app.config.data)
            .args(["--database-url", &app.config.database_url])
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let url =
            line.trim().strip_prefix("Gatehouse listens on ").unwrap_or_else(|| panic!("{line}")).to_owned();
        let health = reqwest::get(format!("{url}/healthz")).await.unwrap();
        assert_eq!(health.status(), 200);
        Self { child, url, stdout, started_in: begun.elapsed() }
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn kill_9_loses_no_acknowledged_delete_and_leaves_none_unexplained(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let kills = kills();
    let posts = (0..kills * 400).map(|n| json!({ "status": "draft", "content": format!("p{n}") })).collect();
    let ids = Arc::new(app.posts(&tenant.id, posts).await);
    app.running.take().unwrap().stop().await;
    let next = Arc::new(AtomicUsize::new(0));
    let acknowledged: Arc<Mutex<Vec<String>>> = Arc::default();
    let mut starts = Vec::new();
    for kill in 0..kills {
        let mut process = Process::start(&app).await;
        starts.push(process.started_in);
        let http = Client::builder().no_proxy().build().unwrap();
        let workers: Vec<_> = (0..16)
            .map(|_| {
                tokio::spawn(delete_all(
                    http.clone(),
                    process.url.clone(),
                    tenant.clone(),
                    ids.clone(),
                    next.clone(),
                    acknowledged.clone(),
                ))
            })
            .collect();
        // Spread over the first half second of load, so that every stage of a call is hit sooner or later.
        tokio::time::sleep(Duration::from_millis(60 + (kill as u64 * 37) % 440)).await;
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        for worker in workers {
            worker.await.unwrap();
        }
    }
    // On PostgreSQL another node's call counts as orphaned only when it is older than any call can be.
    app.sandbox_idle().await;
    app.clock.advance(2 * MINUTE);
    app.running = Some(Running::start(app.config.clone(), app.clock.clone()).await.unwrap());
    app.until_settled().await;

    let entries = all_entries(&app).await;
    let mut ends: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in &entries {
        if entry["action"] == "post.delete" {
            let post = entry["targets"][0]["id"].as_str().unwrap().to_owned();
            ends.entry(post).or_default().insert(entry["outcome"].as_str().unwrap().to_owned());
        }
    }
    let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
    for post in &acknowledged {
        let outcomes = ends.get(post).unwrap_or_else(|| panic!("{post}: acknowledged without an entry"));
        assert!(outcomes.contains("intent") && outcomes.contains("succeeded"), "{post}: {outcomes:?}");
    }
    let mut effects = 0;
    let mut after = 0;
    loop {
        let page = app.journal(after).await;
        let Some(last) = page.last() else { break };
        after = last["seq"].as_i64().unwrap();
        for effect in page.iter().filter(|e| e["action"] == "post.delete") {
            effects += 1;
            let post = effect["postGroupId"].as_str().unwrap();
            let outcomes = ends.get(post).unwrap_or_else(|| panic!("{post}: an effect without an entry"));
            let explained = ["succeeded", "applied", "gone"].iter().any(|o| outcomes.contains(*o));
            assert!(outcomes.contains("intent") && explained, "{post}: {outcomes:?}");
        }
    }
    let slowest = starts.iter().max().unwrap();
    println!(
        "kills {kills}, acknowledged {}, effects {effects}, entries {}, slowest start {slowest:?}",
        acknowledged.len(),
        entries.len()
    );
    assert!(acknowledged.len() > kills, "the load was too small to mean anything");
    assert!(*slowest < Duration::from_secs(5));
}

async fn delete_all(
    http: Client,
    url: String,
    tenant: Tenant,
    ids: Arc<Vec<String>>,
    next: Arc<AtomicUsize>,
    acknowledged: Arc<Mutex<Vec<String>>>,
) {
    loop {
        let Some(id) = ids.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
        let call = http.delete(format!("{url}/api/v1/delete-post/{id}")).header("x-api-key", &tenant.key);
        match call.send().await {
            Ok(answer) if answer.status() == 200 => acknowledged.lock().unwrap().push(id.clone()),
            Ok(_) => {}
            // The process is gone.
            Err(_) => return,
        }
    }
}

/// All entries, checked on the way: dense numbers, leaves that are the hashes of the bytes, and the root over them.
pub async fn all_entries(app: &TestApp) -> Vec<Value> {
    let db = &app.app().db;
    let (mut entries, mut range, mut after) = (Vec::new(), tree::Range::default(), -1);
    loop {
        let page = db.audit_page(&Default::default(), None, Some(after), 500).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.seq;
        for entry in &page {
            assert_eq!(entry.seq, entries.len() as i64);
            let leaf = tree::leaf_hash(&entry.bytes);
            assert_eq!(entry.leaf, leaf);
            range.push(leaf);
            entries.push(serde_json::from_slice(&entry.bytes).unwrap());
        }
    }
    let head = db.audit_head().await.unwrap();
    // Workers may have added an entry since the last page was read; until_settled has made that unlikely, not impossible.
    if head.size == entries.len() as i64 {
        assert_eq!(head.root, range.root());
    }
    entries
}

async fn sigterm_finishes_what_was_begun_and_exits_0(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let ids = app.posts(&tenant.id, (0..8).map(|_| json!({ "status": "draft" })).collect()).await;
    app.running.take().unwrap().stop().await;
    app.faults(json!([{ "match": { "method": "DELETE" }, "delayMs": 400 }])).await;
    let mut process = Process::start(&app).await;
    let http = Client::builder().no_proxy().build().unwrap();
    let calls: Vec<_> = ids
        .iter()
        .map(|id| {
            let call = http
                .delete(format!("{}/api/v1/delete-post/{id}", process.url))
                .header("x-api-key", &tenant.key);
            tokio::spawn(async move { call.send().await.map(|answer| answer.status().as_u16()) })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    process.signal("-TERM");
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), 200, "a call under way is finished");
    }
    let status = process.child.wait().unwrap();
    println!("drained in {:?}", begun.elapsed());
    assert_eq!(status.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(25));
}

async fn it_listens_within_a_second_and_idles_small(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    app.posts(&tenant.id, (0..200).map(|n| json!({ "content": format!("p{n}") })).collect()).await;
    app.sweep(&app.ws, &tenant.id).await;
    app.running.take().unwrap().stop().await;
    let process = Process::start(&app).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let rss = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap().trim().trim_end_matches(" kB");
    let rss: u64 = rss.trim().parse().unwrap();
    println!("listening after {:?}, idle {} MB", process.started_in, rss / 1024);
    assert!(process.started_in < Duration::from_secs(1), "{:?}", process.started_in);
    assert!(rss < 60 * 1024, "{rss} kB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_data_is_refused() {
    let app = TestApp::spawn(Engine::Sqlite).await;
    let refused = Command::new(env!("CARGO_BIN_EXE_gatehouse"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(&app.config.data)
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is locked"));
}

async fn kill_9_in_the_middle_of_a_job_loses_and_doubles_nothing(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let posts = (0..40).map(|n| json!({ "status": "draft", "content": format!("p{n}") })).collect();
    let post_ids = app.posts(&tenant.id, posts).await;
    app.sweep(&app.ws, &tenant.id).await;
    // Slow enough that the kills fall into the job.
    app.faults(json!([{ "match": { "method": "DELETE" }, "delayMs": 150 }])).await;
    let db = app.app().db.clone();
    let account = app.app().access.account(&app.ws).unwrap();
    let request = planning::Request {
        workspace: &account.workspace,
        action: BulkAction::Delete,
        options: PlanOptions::default(),
        filter_text: String::new(),
        created_by: &app.owner.id,
    };
    let all = post_ids.iter().map(|id| (tenant.id.clone(), id.clone())).collect();
    let plan = planning::make(app.app(), request, planning::Selection::Ticked(all)).await.unwrap();
    let job = ids::new_id();
    db.confirm_plan(&app.owner, &plan, &job, "spring", app.clock.now()).await.unwrap().unwrap();
    app.running.take().unwrap().stop().await;
    for _ in 0..3 {
        let mut process = Process::start(&app).await;
        tokio::time::sleep(Duration::from_millis(900)).await;
        process.child.kill().unwrap();
        process.child.wait().unwrap();
    }
    // Only then may the clock be moved past the time in which a lost call can still take effect. The leases of the dead run
    // out, and their open calls count as orphaned.
    app.sandbox_idle().await;
    app.clock.advance(130_000);
    app.running = Some(Running::start(app.config.clone(), app.clock.clone()).await.unwrap());
    app.until("the job ends", || async {
        let job = app.app().db.job(&app.ws, &job).await.unwrap().unwrap();
        job.state == JobState::Completed && job.counts.unknown == 0
    })
    .await;
    let counts = app.app().db.job(&app.ws, &job).await.unwrap().unwrap().counts;
    let journal = app.journal(0).await;
    let mut deleted: Vec<&str> = journal
        .iter()
        .filter(|e| e["action"] == "post.delete")
        .map(|e| e["postGroupId"].as_str().unwrap())
        .collect();
    let effects = deleted.len() as i64;
    deleted.sort_unstable();
    deleted.dedup();
    println!("{effects} effects after 3 kills: {counts:?}");
    assert_eq!(deleted.len() as i64, effects, "nothing was deleted twice");
    assert_eq!(counts.total(), 40);
    assert_eq!(counts.succeeded + counts.gone, effects, "{counts:?}");
    // What was under way at a kill and had no effect is a failure that says so; nothing else fails.
    assert_eq!(effects + counts.failed, 40, "{counts:?}");
}
