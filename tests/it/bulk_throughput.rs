//! How fast a job goes when nothing holds it back, and that it goes no faster than it may. The upstream costs next to
//! nothing and answers after 20 ms. The normal run is a sample; the figures worth quoting come from
//! `GATEHOUSE_BULK_POSTS=10000 cargo nextest run --release --features postgres-tests bulk_throughput --no-capture`.

use crate::{
    support::{
        databases::{Engine, gateway_on_both_engines},
        jobs::delete_all,
    },
    testapp::{Browser, TestApp},
};
use gatehouse::{
    domain::{jobs::JobState, workspaces::Environment},
    http::admin::{NewWorkspace, add_workspace},
    jobs::planning::Selection,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

gateway_on_both_engines!(a_job_keeps_upstream_busy, a_job_keeps_to_its_pace);

const ANSWER_AFTER: Duration = Duration::from_millis(20);
/// Calls in flight that the goal is counted in.
const AT_ONCE: usize = 64;
const TENANT_POSTS: usize = 20;
const WRITTEN: &str = "2026-01-01T00:00:00.000Z";

/// What is at PostPost, and when it was asked.
#[derive(Default)]
struct Posts {
    of: BTreeMap<String, BTreeSet<String>>,
    calls: Vec<Instant>,
}

/// An upstream that has drafts, shows, lists and deletes them.
struct Slow {
    url: String,
    posts: Arc<Mutex<Posts>>,
    accepting: JoinHandle<()>,
}

impl Slow {
    async fn start(posts: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut all = Posts::default();
        for n in 0..posts {
            let tenant = format!("507f1f77bcf86cd7{:08x}", n / TENANT_POSTS);
            all.of.entry(tenant).or_default().insert(format!("507f191e810c1972{n:08x}"));
        }
        let posts = Arc::new(Mutex::new(all));
        let shared = posts.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(answer_all(socket, shared.clone()));
            }
        });
        Self { url, posts, accepting }
    }

    fn tenants(&self) -> Vec<String> {
        self.posts.lock().unwrap().of.keys().cloned().collect()
    }

    /// Calls since the last time this was asked.
    fn take_calls(&self) -> Vec<Instant> {
        std::mem::take(&mut self.posts.lock().unwrap().calls)
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Requests of one connection; none of them has a body.
async fn answer_all(mut socket: TcpStream, posts: Arc<Mutex<Posts>>) {
    let _ = socket.set_nodelay(true);
    let mut read = Vec::new();
    loop {
        let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") else {
            match socket.read_buf(&mut read).await {
                Ok(n) if n > 0 => continue,
                _ => return,
            }
        };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        read.drain(..end + 4);
        let (status, body) = answer(&head, &posts);
        tokio::time::sleep(ANSWER_AFTER).await;
        let body = body.to_string();
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        if socket.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(head: &str, posts: &Mutex<Posts>) -> (u16, Value) {
    let mut posts = posts.lock().unwrap();
    let (method, path) = (head.split(' ').next().unwrap(), head.split(' ').nth(1).unwrap());
    let header = |name: &str| {
        head.lines().find_map(|l| l.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)))
    };
    let tenant = header("x-postpost-user-id").map(|(_, id)| id.to_owned()).unwrap_or_default();
    if path.ends_with("/workspace/users") {
        let user = |id: &String| json!({ "_id": id, "username": format!("{id}@test.example") });
        return (200, json!({ "users": posts.of.keys().map(user).collect::<Vec<_>>() }));
    }
    posts.calls.push(Instant::now());
    let of = posts.of.entry(tenant).or_default();
    let id = path.rsplit('/').next().unwrap();
    if path.contains("/get-post/") {
        let found = json!({ "platform": "twitter", "platformId": "1", "content": "x", "status": "draft" });
        return match of.contains(id) {
            true => (200, json!({ "success": true, "postGroupId": id, "posts": [found] })),
            false => (404, json!({ "error": "Post group not found" })),
        };
    }
    if method == "DELETE" {
        return match of.remove(id) {
            true => (200, json!({ "success": true })),
            false => (404, json!({ "error": "Post group not found" })),
        };
    }
    let post = |id: &String| {
        json!({
            "postGroupId": id, "content": "x", "status": "draft", "createdAt": WRITTEN, "updatedAt": WRITTEN,
            "platforms": [{ "platformId": "twitter-1", "platform": "twitter", "status": "draft" }], "mediaUrls": [],
        })
    };
    let listed: Vec<Value> = of.iter().take(100).map(post).collect();
    let pagination = json!({
        "page": 1, "limit": 100, "totalItems": of.len(), "totalPages": 1, "hasNextPage": false, "hasPrevPage": false,
    });
    (200, json!({ "success": true, "posts": listed, "pagination": pagination }))
}

/// A workspace at this upstream, mirrored; its id.
async fn mirrored(app: &TestApp, upstream: &Slow) -> String {
    let new = NewWorkspace {
        name: "Many".into(),
        environment: Environment::Development,
        base_url: upstream.url.clone(),
        upstream_key: "sk_0123456789abcdef0123456789abcdef".into(),
    };
    let ws = add_workspace(app.app(), &app.owner, "Owner", new).await.unwrap();
    for tenant in upstream.tenants() {
        app.sweep(&ws, &tenant).await;
    }
    ws
}

/// A job that deletes all there is; its id.
async fn delete_everything(app: &TestApp, ws: &str) -> String {
    delete_all(app, ws, Selection::Matching { filter: Box::default(), except: Default::default() }, None)
        .await
}

/// What so many calls in flight can reach, without a gateway: two calls per post, posts a second.
async fn reach(upstream: &Slow, posts: usize) -> f64 {
    let begun = Instant::now();
    let callers: Vec<_> = (0..AT_ONCE)
        .map(|n| {
            let address = upstream.url.trim_start_matches("http://").to_owned();
            tokio::spawn(async move {
                let mut socket = TcpStream::connect(address).await.unwrap();
                socket.set_nodelay(true).unwrap();
                for post in (n..posts).step_by(AT_ONCE) {
                    for call in ["GET /api/v1/get-post", "DELETE /api/v1/delete-post"] {
                        // Of nobody, so that nothing is deleted.
                        let request =
                            format!("{call}/507f191e810c1973{post:08x} HTTP/1.1\r\nhost: x\r\n\r\n");
                        socket.write_all(request.as_bytes()).await.unwrap();
                        let mut read = Vec::new();
                        while !read.ends_with(b"}") {
                            assert!(socket.read_buf(&mut read).await.unwrap() > 0);
                        }
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    posts as f64 / begun.elapsed().as_secs_f64()
}

fn memory_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let rss = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    rss.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() / 1024
}

async fn a_job_keeps_upstream_busy(engine: Engine) {
    let asked = std::env::var("GATEHOUSE_BULK_POSTS").ok().and_then(|n| n.parse().ok());
    let count: usize = asked.unwrap_or(300);
    let name = engine.name();
    let app = TestApp::spawn_with(engine, |config| {
        config.tuning.upstream_timeouts = (Duration::from_secs(10), Duration::from_secs(10));
    })
    .await;
    let upstream = Slow::start(count).await;
    let ws = mirrored(&app, &upstream).await;
    let reached = reach(&upstream, count).await;
    let mut browser = Browser::login(&app).await;
    let before = memory_mb();
    let begun = Instant::now();
    let job = delete_everything(&app, &ws).await;
    let planned = begun.elapsed();
    // Somebody looks on.
    let (mut pages, mut most) = (Vec::new(), before);
    let job = loop {
        let looked = Instant::now();
        let page = browser.get(&format!("/w/{ws}/jobs/{job}")).await;
        assert_eq!(page.status, 200, "{}", page.text);
        pages.push(looked.elapsed().as_millis());
        most = most.max(memory_mb());
        let job = app.app().db.job(&ws, &job).await.unwrap().unwrap();
        if job.state.is_final() {
            break job;
        }
        assert!(begun.elapsed() < Duration::from_secs(300), "{:?}", job.counts);
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!((job.state, job.counts.succeeded), (JobState::Completed, count as i64), "{:?}", job.counts);
    assert!(upstream.posts.lock().unwrap().of.values().all(BTreeSet::is_empty));
    let took = (job.ended_at.unwrap() - job.started_at.unwrap()) as f64 / 1_000.0;
    let rate = count as f64 / took;
    pages.sort_unstable();
    let p95 = pages[(pages.len() * 95).div_ceil(100) - 1];
    let share = 100.0 * rate / reached;
    println!(
        "figure: bulk on {name} | posts = {count}, planned and confirmed in ms = {}, posts a second = {rate:.0}, \
         64 calls in flight reach = {reached:.0}, share in % = {share:.0}, job page p95 in ms = {p95}, \
         memory before and at most in MB = {before} and {most}",
        planned.as_millis(),
    );
    if asked.is_some() {
        assert!(share >= 90.0 && p95 <= 200, "{share:.0} %, {p95} ms");
    } else {
        assert!(share >= 1.0, "even a debug build on a busy machine does better: {share:.0} %");
    }
}

async fn a_job_keeps_to_its_pace(engine: Engine) {
    let interval = Duration::from_millis(100);
    let app = TestApp::spawn_with(engine, |config| config.tuning.pace = interval).await;
    let upstream = Slow::start(25).await;
    let ws = mirrored(&app, &upstream).await;
    app.until("the mirror is at rest", || async { app.app().db.sync_summary(&ws).await.unwrap().1 == 0 })
        .await;
    upstream.take_calls();
    let job = delete_everything(&app, &ws).await;
    app.until("the job ends", || async {
        app.app().db.job(&ws, &job).await.unwrap().unwrap().state == JobState::Completed
    })
    .await;
    let calls = upstream.take_calls();
    assert!(calls.len() >= 50, "{}", calls.len());
    let took = calls[calls.len() - 1] - calls[0];
    let rate = (calls.len() - 1) as f64 / took.as_secs_f64();
    let second = |from: &Instant| {
        calls.iter().filter(|at| *at >= from && **at < *from + Duration::from_secs(1)).count()
    };
    let most = calls.iter().map(second).max().unwrap();
    println!(
        "figure: pace of a job | calls = {}, a second = {rate:.2}, most in one second = {most}",
        calls.len()
    );
    assert!((9.5..=10.5).contains(&rate), "{rate:.2} calls a second");
    // Two calls of one post lie close together, each second has an end, and a busy machine is late now and then.
    assert!(most <= 13, "{most} calls within a second");
}
