//! kill -9 at random moments under everything at once: tenants' calls, a bulk job, the mirror, a person at the pages.
//! After each the program is started again on the same data; what it says in its log is held against what the sandbox
//! has seen. `GATEHOUSE_KILLS` and `GATEHOUSE_SEED` choose how many and which.

mod door;
mod operator;

use crate::{
    support::{
        chance::Chance,
        databases::{Engine, gateway_on_both_engines, integrity, open_since_before},
        ledger::{Acknowledged, Ledger},
        process::Process,
    },
    testapp::{Answer, Browser, Tenant, TestApp, client},
};
use door::Known;
use gatehouse::{
    app::Running,
    clock::{DAY, MINUTE},
    domain::{jobs::JobState, times},
    store::Db,
};
use operator::Confirmed;
use reqwest::{Client, RequestBuilder};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;

gateway_on_both_engines!(kill_9_at_any_moment_loses_nothing_and_does_nothing_twice);

/// Settled soon, no pause between background calls, a mirror that is always being refreshed.
const FLAGS: &[&str] = &[
    "--log",
    "error",
    "--lease-seconds",
    "3",
    "--tuning",
    "pace=0,mirror-age=500,sweep-age=3000,settle-after=1500,start-delay=0,tick=50,checkpoint=100",
];
/// Kills between two looks at all that must hold, and between two lives in which recovery is waited for.
const CHECK_EVERY: usize = 25;
const RECOVER_EVERY: usize = 8;
/// How long recovery is waited for.
const RECOVERY: Duration = Duration::from_secs(6);

enum Sent {
    Answered(u16),
    /// The gateway died before it answered, or after.
    Unanswered,
}

/// What all who use the gateway share.
struct Shared {
    http: Client,
    sandbox: String,
    url: watch::Receiver<Option<String>>,
    ended: AtomicBool,
    ws: String,
    /// The operator's session.
    cookie: String,
    time: AtomicI64,
    acknowledged: Mutex<Vec<Acknowledged>>,
    frozen: Mutex<Vec<String>>,
    jobs: Mutex<Vec<Confirmed>>,
    /// Answers by what was asked and their status.
    answers: Mutex<BTreeMap<String, usize>>,
    /// Answers that nobody should get.
    wrong: Mutex<BTreeSet<String>>,
}

impl Shared {
    fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Where the gateway is, as soon as it is up; the last place once the test ends.
    async fn url(&self) -> String {
        let mut url = self.url.clone();
        url.wait_for(Option::is_some).await.unwrap().clone().unwrap()
    }

    fn next_time(&self) -> i64 {
        self.time.fetch_add(1_000, Ordering::Relaxed)
    }

    async fn send(&self, request: RequestBuilder, what: &str) -> Sent {
        match self.fetch(request, what).await {
            Some(answer) => {
                *self.answers.lock().unwrap().entry(format!("{what} {}", answer.status)).or_default() += 1;
                Sent::Answered(answer.status)
            }
            None => Sent::Unanswered,
        }
    }

    async fn fetch(&self, request: RequestBuilder, what: &str) -> Option<Answer> {
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.ok()?;
        let expected = match status {
            // A second try finds the post gone, or the first not settled.
            404 => what == "delete",
            409 => !what.starts_with('/'),
            // The mirror does not know the new posts yet.
            422 => what.ends_with("/plans"),
            _ => status < 400 || status == 503,
        };
        if !expected {
            self.note(format!("answer {status}"), format!("{what}: {text:.300}"));
        }
        Some(Answer { status, headers, text })
    }

    fn note(&self, what: String, detail: String) {
        self.wrong.lock().unwrap().insert(format!("{what}: {detail}"));
    }

    /// Posts made at PostPost itself, half of them scheduled.
    async fn new_posts(&self, tenant: &str, count: usize) -> Vec<Known> {
        let posts: Vec<_> = (0..count)
            .map(|n| {
                let mut post =
                    json!({ "userId": tenant, "content": format!("p{n}"), "platforms": ["twitter-1"] });
                post["status"] = json!(if n % 2 == 0 { "scheduled" } else { "draft" });
                post["scheduledTime"] = json!(times::to_iso(self.next_time()));
                post
            })
            .collect();
        let request = self.http.post(format!("{}/_sandbox/posts", self.sandbox));
        let request = request.header("content-type", "application/json");
        let answer = request.body(json!({ "posts": posts }).to_string()).send().await.unwrap();
        let made: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let ids = made["ids"].as_array().unwrap();
        let known = |(n, id): (usize, &serde_json::Value)| Known {
            id: id.as_str().unwrap().to_owned(),
            scheduled: n % 2 == 0,
        };
        ids.iter().enumerate().map(known).collect()
    }
}

fn kills() -> usize {
    std::env::var("GATEHOUSE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(20)
}

async fn kill_9_at_any_moment_loses_nothing_and_does_nothing_twice(engine: Engine) {
    let (seed, kills, engine_name) = (Chance::seed(), kills(), engine.name());
    println!("seed {seed}");
    let mut chance = Chance::new(seed);
    // As the processes later have it: when a tenant is due next is stored.
    let mut app = TestApp::spawn_with(engine, |config| {
        config.tuning.mirror_age = Duration::from_millis(500);
        config.tuning.sweep_age = Duration::from_secs(3);
    })
    .await;
    let mut tenants = Vec::new();
    for name in ["ann", "bob", "cat"] {
        tenants.push(app.tenant(name).await);
    }
    let (of_jobs, frozen) = (app.tenant("jobs").await, app.tenant("zoe").await);
    let mut linked = Vec::new();
    for n in 0..6 {
        linked.push(app.tenant(&format!("linked{n}")).await.id);
    }
    let cookie = Browser::login(&app).await.cookie_header();
    app.running.take().unwrap().stop().await;

    let (place, url) = watch::channel(None);
    let shared = Arc::new(Shared {
        http: client(),
        sandbox: app.sandbox.url(),
        url,
        ended: AtomicBool::new(false),
        ws: app.ws.clone(),
        cookie,
        time: AtomicI64::new(app.clock.now() / 1_000 * 1_000 + DAY),
        acknowledged: Mutex::default(),
        frozen: Mutex::default(),
        jobs: Mutex::default(),
        answers: Mutex::default(),
        wrong: Mutex::default(),
    });
    let users = start_users(&shared, &tenants, &of_jobs, &frozen, linked, &mut chance);

    let mut ledger = Ledger::default();
    let (mut starts, mut recoveries, mut unrecovered) = (Vec::new(), Vec::new(), 0);
    let (mut killed_at, mut signed) = (0, 0);
    for kill in 1..=kills {
        let mut process = Process::launch(&app.config, &app.config.data, &[], FLAGS, Stdio::inherit()).await;
        starts.push(process.started_in);
        let up = Instant::now();
        place.send(Some(process.url.clone())).unwrap();
        if kill % RECOVER_EVERY == 0 {
            match recovered(&app, killed_at).await {
                Some(()) => recoveries.push(up.elapsed()),
                None => unrecovered += 1,
            }
        }
        let life = if chance.percent(20) { chance.millis(0, 50) } else { chance.millis(50, 700) };
        tokio::time::sleep(life).await;
        process.kill();
        killed_at = app.clock.now();
        place.send(None).unwrap();
        let db = Db::connect(&app.config.database_url).await.unwrap();
        if kill % CHECK_EVERY == 0 || kill == kills {
            app.sandbox_idle().await;
        }
        // After each: dense, linked, the tree's root right, and what was signed of it as it was.
        ledger.read(&app, &db).await;
        signed += ledger.check_signed(&app, &db).await;
        if kill % CHECK_EVERY == 0 || kill == kills {
            ledger.check();
            let health = integrity(&db).await;
            if health != "ok" {
                ledger.violation("integrity", health);
            }
        }
        db.close().await;
    }

    // Nobody asks for anything any more. What was under way is settled; leases of the dead run out.
    shared.ended.store(true, Ordering::Relaxed);
    app.sandbox_idle().await;
    app.clock.advance(2 * MINUTE);
    let running = Running::start(app.config.clone(), app.clock.clone()).await.unwrap();
    place.send(Some(running.url.clone())).unwrap();
    app.running = Some(running);
    for user in users {
        user.await.unwrap();
    }
    let jobs = std::mem::take(&mut *shared.jobs.lock().unwrap());
    settle(&app, &jobs).await;
    let db = app.app().db.clone();
    ledger.read(&app, &db).await;
    ledger.check_settled();
    signed += ledger.check_signed(&app, &db).await;
    let acknowledged = std::mem::take(&mut *shared.acknowledged.lock().unwrap());
    ledger.check_acknowledged(&acknowledged);
    for reason in shared.frozen.lock().unwrap().iter() {
        let times = ledger.reasons.get(&("tenant.freeze".to_owned(), reason.clone()));
        if times != Some(&1) {
            ledger.violation("a form once", format!("{reason}: {times:?}"));
        }
    }
    for job in &jobs {
        let stored = app.app().db.job(&app.ws, &job.id).await.unwrap().unwrap();
        let effects = i64::from(ledger.effects_on(job.verb, job.posts.iter()));
        let counts = stored.counts;
        let sums = counts.total() == job.posts.len() as i64
            && counts.ended() == counts.total()
            && counts.succeeded == effects;
        if !sums || stored.state != JobState::Completed {
            ledger.violation("job sums", format!("{:?} {counts:?}, {effects} effects", stored.state));
        }
    }
    for wrong in std::mem::take(&mut *shared.wrong.lock().unwrap()) {
        ledger.violation("answers", wrong);
    }
    let slowest = *starts.iter().max().unwrap();
    if slowest > Duration::from_secs(5) {
        ledger.violation("start under 5 s", format!("{slowest:?}"));
    }
    let (violations, text) = ledger.violations();
    println!("{:?}\n{:?}", shared.answers.lock().unwrap(), ledger.ends());
    println!(
        "figure: kill -9, {engine_name} | kills = {kills}, violations = {violations}, acknowledged = {}, effects = {}, \
         entries = {}, checkpoints held = {signed}, jobs = {}, start p50 = {} ms, start max = {} ms, recovery p50 = {} ms, recovery max = {} ms, \
         recoveries = {} of {}, seed = {seed}",
        acknowledged.len(),
        ledger.effects,
        ledger.entries(),
        jobs.len(),
        percentile(&mut starts, 50),
        slowest.as_millis(),
        percentile(&mut recoveries, 50),
        percentile(&mut recoveries, 100),
        recoveries.len(),
        recoveries.len() + unrecovered,
    );
    assert!(violations == 0, "seed {seed}: {violations} violations\n{text}");
    let enough = acknowledged.len() > kills && (!jobs.is_empty() || kills < 10);
    assert!(enough, "the load was too small to mean anything");
}

fn start_users(
    shared: &Arc<Shared>,
    tenants: &[Tenant],
    of_jobs: &Tenant,
    frozen: &Tenant,
    linked: Vec<String>,
    chance: &mut Chance,
) -> Vec<tokio::task::JoinHandle<()>> {
    let mut users = Vec::new();
    for tenant in tenants.iter().chain(tenants) {
        users.push(tokio::spawn(door::run(shared.clone(), tenant.clone(), chance.fork())));
    }
    users.push(tokio::spawn(operator::look(shared.clone(), chance.fork())));
    users.push(tokio::spawn(operator::forms(shared.clone(), frozen.id.clone(), linked, chance.fork())));
    users.push(tokio::spawn(operator::jobs(shared.clone(), of_jobs.id.clone(), chance.fork())));
    users
}

/// Waits until no operation begun before the kill is open; `None` if that takes too long.
async fn recovered(app: &TestApp, killed_at: i64) -> Option<()> {
    let db = Db::connect(&app.config.database_url).await.unwrap();
    let wait = async {
        while open_since_before(&db, killed_at).await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let result = tokio::time::timeout(RECOVERY, wait).await.ok();
    db.close().await;
    result
}

/// Waits until every operation has an end, and every job.
async fn settle(app: &TestApp, jobs: &[Confirmed]) {
    let begun = Instant::now();
    let db = &app.app().db;
    loop {
        let mut open = open_since_before(db, i64::MAX).await;
        for job in jobs.iter().rev().take(3) {
            let state = db.job(&app.ws, &job.id).await.unwrap().unwrap().state;
            open += i64::from(state != JobState::Completed);
        }
        if open == 0 {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{open} operations or jobs do not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// In whole milliseconds; 0 if there is none.
fn percentile(times: &mut [Duration], percent: usize) -> u128 {
    times.sort_unstable();
    let place = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(place).map_or(0, Duration::as_millis)
}
