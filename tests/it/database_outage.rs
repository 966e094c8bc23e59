//! PostgreSQL that restarts, ends our sessions, or falls silent, under the whole gateway: calls are refused in time and
//! nothing of them is sent, and all goes on by itself when it is back.

use crate::{
    support::{
        databases::{Engine, gateway_on_postgres},
        jobs::{changing_calls, delete_job, deletions, ended},
        log::all_entries,
        tcp_proxy::TcpProxy,
    },
    testapp::{Answer, Browser, EMAIL, PASSWORD, Tenant, TestApp},
};
use gatehouse::{app::Running, clock::MINUTE, config::Config, store::Db};
use reqwest::Method;
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use url::Url;

#[test]
fn a_restart_of_the_database() {
    gateway_on_postgres(restart);
}

#[test]
fn every_session_is_ended_by_the_server() {
    gateway_on_postgres(terminated);
}

#[test]
fn a_database_that_falls_silent() {
    gateway_on_postgres(silence);
}

/// A gateway whose way to the database can be disturbed, and the database's own address.
async fn behind_proxy(engine: Engine) -> (TestApp, TcpProxy, String) {
    let direct = engine.database_url().unwrap();
    let mut url = Url::parse(&direct).unwrap();
    let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
    let proxy = TcpProxy::start(&server).await;
    url.set_host(Some("127.0.0.1")).unwrap();
    url.set_port(Some(proxy.address.port())).unwrap();
    // TLS would be another matter; on loopback there is none.
    let app =
        TestApp::spawn_with(Engine::Sqlite, |config: &mut Config| config.database_url = url.to_string())
            .await;
    (app, proxy, direct)
}

/// What the callers were answered, and for which post.
#[derive(Default)]
struct Load {
    answers: Mutex<Vec<(Instant, u16, String, Duration)>>,
    next: AtomicUsize,
}

impl Load {
    /// Deletes the posts one after the other until they are all used up or `until` has come.
    async fn run(&self, app: &TestApp, tenant: &Tenant, posts: &[String], until: impl Fn() -> bool) {
        while !until() {
            let Some(post) = posts.get(self.next.fetch_add(1, Ordering::Relaxed)) else { return };
            let begun = Instant::now();
            let path = format!("/api/v1/delete-post/{post}");
            let answer = app.api(Method::DELETE, &path, &tenant.key, None).await;
            self.answers.lock().unwrap().push((begun, answer.status, post.clone(), begun.elapsed()));
            if answer.status == 503 {
                // As clients do; else the posts are used up by refusals.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    fn counts(&self) -> BTreeMap<u16, usize> {
        let mut counts = BTreeMap::new();
        for (_, status, ..) in self.answers.lock().unwrap().iter() {
            *counts.entry(*status).or_default() += 1;
        }
        counts
    }

    /// An acknowledged delete happened, a refused one did not, and nothing else was said but that it is not known.
    async fn agrees(&self, app: &TestApp) {
        let deleted = deletions(app).await;
        assert!(deleted.values().all(|times| *times == 1));
        for (_, status, post, _) in self.answers.lock().unwrap().iter() {
            match status {
                200 => assert!(deleted.contains_key(post), "{post}: acknowledged, and nothing happened"),
                503 => assert!(!deleted.contains_key(post), "{post}: refused, and it happened"),
                504 => {}
                other => panic!("{post}: {other}"),
            }
        }
        let entries = all_entries(app).await;
        for post in deleted.keys() {
            let outcomes: Vec<&str> = entries
                .iter()
                .filter(|e| e["action"] == "post.delete" && e["targets"][0]["id"] == post.as_str())
                .map(|e| e["outcome"].as_str().unwrap())
                .collect();
            let ends = outcomes.iter().filter(|o| matches!(**o, "succeeded" | "applied" | "gone")).count();
            assert!(outcomes.contains(&"intent") && ends == 1, "{post}: {outcomes:?}");
        }
    }

    fn slowest(&self) -> Duration {
        self.answers.lock().unwrap().iter().map(|(.., took)| *took).max().unwrap()
    }
}

struct Scene {
    app: TestApp,
    ann: Tenant,
    posts: Vec<String>,
    job: String,
    browser: Browser,
}

/// A tenant with posts of its own, and a job that is under way.
async fn scene(app: TestApp) -> Scene {
    let ann = app.tenant("ann").await;
    let bob = app.tenant("bob").await;
    let drafts =
        |n: usize| (0..n).map(|n| json!({ "status": "draft", "content": format!("p{n}") })).collect();
    let posts = app.posts(&ann.id, drafts(600)).await;
    let of_job = app.posts(&bob.id, drafts(40)).await;
    app.sweep(&app.ws, &bob.id).await;
    app.quiet().await;
    let browser = Browser::login(&app).await;
    app.faults(json!([{ "match": { "method": "DELETE", "userId": bob.id }, "delayMs": 250 }])).await;
    let job = delete_job(&app, &bob, &of_job).await;
    app.until("the job has begun", || async { !changing_calls(&app).await.is_empty() }).await;
    Scene { app, ann, posts, job, browser }
}

impl Scene {
    async fn delete_next(&self, load: &Load) -> Answer {
        let post = &self.posts[load.next.fetch_add(1, Ordering::Relaxed)];
        self.app.api(Method::DELETE, &format!("/api/v1/delete-post/{post}"), &self.ann.key, None).await
    }

    async fn status(&self, path: &str) -> u16 {
        self.app.request(Method::GET, path).send().await.unwrap().status().as_u16()
    }

    /// Lets calls whose outcome could not be stored be looked up, and checks everything.
    async fn goes_on(&mut self, load: &Load) {
        let app = &self.app;
        let page = self.browser.get("/").await;
        assert_eq!(page.status, 200, "{}", page.text);
        app.until("ready again", || async { self.status("/readyz").await == 200 }).await;
        app.faults(json!([])).await;
        app.until("the job has begun its last item", || async {
            app.app().db.job(&app.ws, &self.job).await.unwrap().unwrap().counts.pending == 0
        })
        .await;
        // A clock that jumps while a call is under way would make it look lost.
        app.sandbox_idle().await;
        app.clock.advance(2 * MINUTE);
        app.until_settled().await;
        let counts = ended(app, &self.job).await;
        assert_eq!(counts.total(), 40, "{counts:?}");
        let of_posts = load.answers.lock().unwrap().len();
        load.agrees(app).await;
        println!("job {counts:?}, {of_posts} calls {:?}, slowest {:?}", load.counts(), load.slowest());
    }
}

async fn restart(engine: Engine) {
    let (app, proxy, _) = behind_proxy(engine).await;
    let mut scene = scene(app).await;
    let load = Arc::new(Load::default());
    let (down, back) = (Arc::new(Mutex::new(None::<Instant>)), Arc::new(AtomicUsize::new(0)));
    let workers =
        (0..4).map(|_| load.run(&scene.app, &scene.ann, &scene.posts, || back.load(Ordering::Relaxed) > 0));
    let disturb = async {
        scene
            .app
            .until("calls are answered", || async { load.counts().get(&200).is_some_and(|n| *n > 10) })
            .await;
        proxy.cut();
        *down.lock().unwrap() = Some(Instant::now());
        // What needs no database goes on.
        let list = scene.app.api(Method::GET, "/api/v1/list-posts", &scene.ann.key, None).await;
        assert_eq!(list.status, 200, "{}", list.text);
        assert_eq!((scene.status("/healthz").await, scene.status("/metrics").await), (200, 200));
        assert_eq!(scene.status("/login").await, 200);
        scene.app.until("not ready", || async { scene.status("/readyz").await == 503 }).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        proxy.restore().await;
        back.store(1, Ordering::Relaxed);
    };
    let pages = async {
        scene.app.until("the database is away", || async { down.lock().unwrap().is_some() }).await;
        let mut browser = Browser::at(scene.app.url());
        let form = [("email", EMAIL), ("password", PASSWORD)];
        browser.submit("/login", "/login", &form).await
    };
    let (_, _, login) = tokio::join!(futures_util::future::join_all(workers), disturb, pages);
    assert!(
        login.status == 503 && login.text.contains("database does not answer"),
        "{}: {}",
        login.status,
        login.text
    );
    let first = scene.delete_next(&load).await;
    assert_eq!(first.status, 200, "the first call after it works: {}", first.text);
    let during = load.counts();
    assert!(
        during.get(&200).is_some_and(|n| *n > 10) && during.get(&503).is_some_and(|n| *n > 0),
        "{during:?}"
    );
    // At most 3 s for a connection and then 5 s for a statement.
    assert!(load.slowest() < Duration::from_millis(8_500), "{:?}", load.slowest());
    scene.goes_on(&load).await;
}

async fn terminated(engine: Engine) {
    let (app, proxy, direct) = behind_proxy(engine).await;
    let mut scene = scene(app).await;
    let admin = Db::connect(&direct).await.unwrap();
    let load = Arc::new(Load::default());
    let over = AtomicUsize::new(0);
    let workers =
        (0..4).map(|_| load.run(&scene.app, &scene.ann, &scene.posts, || over.load(Ordering::Relaxed) > 0));
    let disturb = async {
        let mut ended = 0;
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let ports = proxy.ports().iter().map(u16::to_string).collect::<Vec<_>>().join(",");
            let Db::Postgres(pool, ..) = &admin else { panic!("PostgreSQL only") };
            let sql = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity
                       WHERE client_port::text = ANY(string_to_array($1, ','))";
            let (n,): (i64,) = sqlx::query_as(sql).bind(ports).fetch_one(pool).await.unwrap();
            ended += n;
        }
        over.store(1, Ordering::Relaxed);
        ended
    };
    let (_, sessions) = tokio::join!(futures_util::future::join_all(workers), disturb);
    let first = scene.delete_next(&load).await;
    assert_eq!(first.status, 200, "the first call after it works: {}", first.text);
    assert!(sessions >= 5, "{sessions}");
    println!("{sessions} sessions ended by the server");
    scene.goes_on(&load).await;
    admin.close().await;
}

async fn silence(engine: Engine) {
    let (app, proxy, _) = behind_proxy(engine).await;
    let mut scene = scene(app).await;
    // Several connections, so that there are some to be stuck with.
    futures_util::future::join_all((0..12).map(|_| scene.app.app().db.ping())).await;
    let load = Arc::new(Load::default());
    proxy.swallow().await;
    let begun = Instant::now();
    let bounded = async |path: &str, expected: u16, at_most: Duration| {
        let begun = Instant::now();
        let status = scene.status(path).await;
        assert_eq!(status, expected, "{path}");
        assert!(begun.elapsed() < at_most, "{path}: {:?}", begun.elapsed());
    };
    let cookie = scene.browser.cookie_header();
    let page = async {
        let begun = Instant::now();
        let request = scene.app.request(Method::GET, "/").header("cookie", &cookie);
        let answer = Answer::read(request.send().await.unwrap()).await;
        assert!(answer.status == 503 && answer.text.contains("database does not answer"), "{}", answer.text);
        begun.elapsed()
    };
    let over = || begun.elapsed() > Duration::from_secs(7);
    let workers = (0..8).map(|_| load.run(&scene.app, &scene.ann, &scene.posts, over));
    let (_, page, ..) = tokio::join!(
        futures_util::future::join_all(workers),
        page,
        bounded("/healthz", 200, Duration::from_secs(1)),
        bounded("/metrics", 200, Duration::from_secs(1)),
        bounded("/login", 200, Duration::from_secs(1)),
        async {
            // The last look may be a second old.
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            bounded("/readyz", 503, Duration::from_secs(4)).await;
        },
    );
    // What was revoked elsewhere could not be heard of for too long: no key is trusted.
    let list = scene.app.api(Method::GET, "/api/v1/list-posts", &scene.ann.key, None).await;
    assert_eq!(list.status, 503, "{}", list.text);
    let answers = load.counts();
    assert_eq!(answers.keys().collect::<Vec<_>>(), [&503], "{answers:?}");
    println!("silent: page refused after {page:?}, calls {answers:?}, slowest {:?}", load.slowest());
    assert!(load.slowest() < Duration::from_secs(9) && page < Duration::from_secs(9), "{page:?}");
    // A start against it is refused in time as well.
    let before = Instant::now();
    assert!(Running::start(scene.app.config.clone(), scene.app.clock.clone()).await.is_err());
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());

    // New connections work, those of before stay silent: they must not be used, nor waited for.
    proxy.restore().await;
    let begun = Instant::now();
    let mut refused = 0;
    while scene.delete_next(&load).await.status != 200 {
        refused += 1;
        assert!(begun.elapsed() < Duration::from_secs(10), "{refused} calls refused");
    }
    println!("back after {:?} and {refused} refused calls", begun.elapsed());
    let again = Instant::now();
    for _ in 0..20 {
        assert_eq!(scene.delete_next(&load).await.status, 200);
    }
    assert!(again.elapsed() < Duration::from_secs(10), "{:?}", again.elapsed());
    scene.goes_on(&load).await;
}

#[test]
fn a_process_that_stands_still_does_not_hold_the_log() {
    gateway_on_postgres(stands_still);
}

/// Another process is stopped in the middle of a transaction that holds the head of the log: the server ends it, and
/// nothing of it is kept.
async fn stands_still(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let posts = app.posts(&ann.id, vec![json!({ "status": "draft" })]).await;
    app.sweep(&app.ws, &ann.id).await;
    let other = Db::connect(&app.config.database_url).await.unwrap();
    let mut tx = other.begin().await.unwrap();
    let draft =
        gatehouse::domain::audit::Draft::done(&app.owner, gatehouse::domain::audit::Action::AdminSetPassword);
    tx.append(app.clock.now(), &[&draft]).await.unwrap();
    let before = app.app().db.audit_head().await.unwrap().size;
    let begun = Instant::now();
    let mut answers = Vec::new();
    loop {
        let path = format!("/api/v1/delete-post/{}", posts[0]);
        let answer = app.api(Method::DELETE, &path, &ann.key, None).await;
        answers.push(answer.status);
        if answer.status == 200 {
            break;
        }
        // 502: written down at last, and too late to be sent on the strength of it.
        assert!(matches!(answer.status, 502 | 503), "{}", answer.text);
        assert!(begun.elapsed() < Duration::from_secs(12), "{answers:?}");
    }
    println!("the log was free again after {:?}: {answers:?}", begun.elapsed());
    // It wakes up and goes on: too late.
    assert!(tx.commit().await.is_err());
    assert!(app.app().db.audit_head().await.unwrap().size >= before + 2);
    all_entries(&app).await;
    assert_eq!(deletions(&app).await.get(&posts[0]), Some(&1));
    assert!(!app.entries().await.iter().any(|e| e["action"] == "settings.update"));
    other.close().await;
}
