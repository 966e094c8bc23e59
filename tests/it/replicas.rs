//! Two gateways on one PostgreSQL share jobs and keys. The one that works stands still past its lease, or is killed: the
//! other goes on, nothing is done twice, and what the first writes late is refused. `GATEHOUSE_TEST_LEASE` is the lease
//! in seconds; `default` is the program's own.

mod rotation;

use crate::{
    support::{
        chance::Chance,
        databases::{Engine, open_since_before},
        jobs::{delete_job, deletions},
        ledger::Ledger,
        process::{Process, replica_folder},
    },
    testapp::{TestApp, client},
};
use gatehouse::{
    domain::{
        jobs::{Counts, JobState},
        keys::{KeyKind, Scope},
    },
    store::Db,
};
use serde_json::json;
use std::{
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

macro_rules! gateway_on_postgres {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn postgres() {
                crate::support::databases::gateway_on_postgres(super::$name);
            }
        }
    )+};
}

gateway_on_postgres!(
    a_worker_that_stood_still_does_nothing_twice,
    a_killed_workers_job_is_taken_over,
    a_revoked_key_is_refused_on_the_other_replica,
    a_fleet_that_switches_at_random_is_never_refused,
    without_an_overlap_one_client_is_never_refused,
);

use rotation::{
    a_fleet_that_switches_at_random_is_never_refused, without_an_overlap_one_client_is_never_refused,
};

/// Upstream's delay per delete.
const DELAY: u64 = 60;

/// The lease of the processes, and the flags that set it.
fn lease() -> (Duration, Vec<String>) {
    match std::env::var("GATEHOUSE_TEST_LEASE").as_deref() {
        Ok("default") => (Duration::from_secs(60), Vec::new()),
        given => {
            let seconds: u64 = given.ok().and_then(|text| text.parse().ok()).unwrap_or(3);
            (Duration::from_secs(seconds), vec!["--lease-seconds".into(), seconds.to_string()])
        }
    }
}

async fn launch(app: &TestApp, folder: &Path) -> Process {
    let lease = lease().1;
    let mut flags = vec!["--log", "error", "--tuning", "pace=0,settle-after=1500,start-delay=0,tick=100"];
    flags.extend(lease.iter().map(String::as_str));
    Process::launch(&app.config, folder, &[], &flags, Stdio::inherit()).await
}

/// Two replicas, a job that the first works on, and an eye on the database.
struct Pair {
    app: TestApp,
    db: Db,
    job: String,
    posts: usize,
    first: Process,
    second: Process,
}

impl Pair {
    async fn working(engine: Engine, posts: usize) -> Self {
        let mut app = TestApp::spawn(engine).await;
        let tenant = app.tenant("ann").await;
        app.faults(json!([{ "match": { "method": "DELETE" }, "delayMs": DELAY }])).await;
        let drafts = (0..posts).map(|n| json!({ "status": "draft", "content": format!("p{n}") })).collect();
        let ids = app.posts(&tenant.id, drafts).await;
        app.sweep(&app.ws, &tenant.id).await;
        let job = delete_job(&app, &tenant, &ids).await;
        app.running.take().unwrap().stop().await;
        let db = Db::connect(&app.config.database_url).await.unwrap();
        // Alone at first, so that the job is the first one's.
        let first = launch(&app, &app.config.data).await;
        let second_folder = replica_folder(&app);
        let pair =
            Self { second: launch_after(&app, &db, &job, &second_folder).await, app, db, job, posts, first };
        assert!(pair.counts().await.succeeded < posts as i64 / 2, "the job is too short for this test");
        pair
    }

    async fn counts(&self) -> Counts {
        self.db.job(&self.app.ws, &self.job).await.unwrap().unwrap().counts
    }

    /// Until the other replica has done something of the job, after what was on its way has arrived.
    async fn taken_over(&self, since: Instant) -> Duration {
        self.app.sandbox_idle().await;
        let before = deletions(&self.app).await.len();
        let bound = lease().0 + Duration::from_secs(15);
        while deletions(&self.app).await.len() == before {
            assert!(since.elapsed() < bound, "nobody took the job over in {:?}", since.elapsed());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        since.elapsed()
    }

    /// Waits until the job and every operation have ended, and holds the log against the journal.
    async fn settled(&self) -> Ledger {
        let begun = Instant::now();
        loop {
            let job = self.db.job(&self.app.ws, &self.job).await.unwrap().unwrap();
            let open = open_since_before(&self.db, i64::MAX).await;
            if job.state == JobState::Completed && open == 0 {
                break;
            }
            let bound = lease().0 + Duration::from_secs(60);
            assert!(begun.elapsed() < bound, "{:?} {:?}, {open} open", job.state, job.counts);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut ledger = Ledger::default();
        ledger.read(&self.app, &self.db).await;
        ledger.check_settled();
        let counts = self.counts().await;
        let effects = deletions(&self.app).await.len();
        if counts.total() != self.posts as i64
            || counts.ended() != counts.total()
            || counts.succeeded != effects as i64
        {
            ledger.violation("job sums", format!("{counts:?}, {effects} effects"));
        }
        ledger
    }
}

/// The second replica, once the first has done some of the job.
async fn launch_after(app: &TestApp, db: &Db, job: &str, folder: &Path) -> Process {
    app.until("the first replica works on the job", || async {
        db.job(&app.ws, job).await.unwrap().unwrap().counts.succeeded > 5
    })
    .await;
    launch(app, folder).await
}

/// The sum of a counter on a replica's /metrics.
async fn counter(process: &Process, name: &str) -> u64 {
    let answer = client().get(format!("{}/metrics", process.url)).send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert_eq!(status, 200, "{text}");
    let of_it = text.lines().filter(|line| line.starts_with(name));
    of_it.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

async fn a_worker_that_stood_still_does_nothing_twice(engine: Engine) {
    let pair = Pair::working(engine, 300).await;
    // With calls under way: what only waits for its turn is dropped when the job is found to be another's.
    while pair.counts().await.running == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    pair.first.signal("-STOP");
    let stopped = Instant::now();
    let stopped_at = pair.app.clock.now();
    let took = pair.taken_over(stopped).await;
    // What the first had under way is closed by the second: then the first wakes and believes it still has the job.
    let begun = Instant::now();
    while open_since_before(&pair.db, stopped_at).await > 0 {
        let counts = pair.counts().await;
        assert!(begun.elapsed() < lease().0 + Duration::from_secs(30), "not settled: {counts:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let left = pair.counts().await.pending;
    pair.first.signal("-CONT");
    let ledger = pair.settled().await;
    let refused = counter(&pair.first, "gatehouse_stale_writes_total").await;
    let (violations, text) = ledger.violations();
    println!(
        "figure: SIGSTOP, two replicas | items = {}, violations = {violations}, effects = {}, late writes refused = \
         {refused}, lease = {} s, taken over after = {:.1} s, items left at SIGCONT = {left}",
        pair.posts,
        ledger.effects,
        lease().0.as_secs(),
        took.as_secs_f64(),
    );
    assert!(violations == 0, "{text}");
    assert!(refused > 0, "the first had calls under way, whose outcomes came too late");
}

async fn a_killed_workers_job_is_taken_over(engine: Engine) {
    let mut pair = Pair::working(engine, 200).await;
    pair.first.kill();
    let killed = Instant::now();
    let took = pair.taken_over(killed).await;
    let ledger = pair.settled().await;
    let (violations, text) = ledger.violations();
    println!(
        "figure: kill -9 of one of two replicas | items = {}, violations = {violations}, effects = {}, lease = {} s, \
         taken over after = {:.1} s, all settled after = {:.1} s",
        pair.posts,
        ledger.effects,
        lease().0.as_secs(),
        took.as_secs_f64(),
        killed.elapsed().as_secs_f64(),
    );
    assert!(violations == 0, "{text}");
    assert!(pair.second.child.try_wait().unwrap().is_none(), "the second is alive");
}

/// Keys revoked at random moments, on a quiet other replica and on a busy one.
async fn a_revoked_key_is_refused_on_the_other_replica(engine: Engine) {
    const KEYS: usize = 20;
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let busy = app.tenant("bob").await;
    app.posts(&busy.id, (0..50).map(|n| json!({ "content": format!("p{n}") })).collect()).await;
    let folder = replica_folder(&app);
    let other = launch(&app, &folder).await;
    let mut chance = Chance::new(Chance::seed());
    for load in [0, 32] {
        let mut keys = Vec::new();
        for _ in 0..KEYS {
            keys.push(app.key(&app.ws, KeyKind::Tenant, Some(&tenant.id), &[Scope::PostsRead]).await);
        }
        let ids: Vec<_> = app.app().db.keys(&app.ws, &Default::default(), None, 100).await.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let calls = Arc::new(AtomicUsize::new(0));
        let noise: Vec<_> = (0..load)
            .map(|_| {
                let (stop, calls, key) = (stop.clone(), calls.clone(), busy.key.clone());
                let url = format!("{}/api/v1/list-posts", other.url);
                tokio::spawn(async move {
                    let http = client();
                    while !stop.load(Ordering::Relaxed) {
                        http.get(&url).header("x-api-key", &key).send().await.unwrap();
                        calls.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let tries = keys.iter().map(|secret| {
            let key = ids.iter().find(|k| app.app().access.key(secret).unwrap().id == k.id).unwrap();
            let wait = chance.millis(0, 4_000);
            refused_after(&app, &other, secret, key, wait)
        });
        let mut took = futures_util::future::join_all(tries).await;
        stop.store(true, Ordering::Relaxed);
        for one in noise {
            one.await.unwrap();
        }
        took.sort_unstable();
        let (p50, max) = (took[KEYS / 2], took[KEYS - 1]);
        println!(
            "figure: revoked on A, refused on B | keys = {KEYS}, clients on B = {load}, p50 = {:.1} s, max = {:.1} s, \
             calls meanwhile = {}",
            p50.as_secs_f64(),
            max.as_secs_f64(),
            calls.load(Ordering::Relaxed),
        );
        assert!(max < Duration::from_secs(5), "{max:?}");
    }
}

/// How long the other replica lets the key in after it was revoked on this one.
async fn refused_after(
    app: &TestApp,
    other: &Process,
    secret: &str,
    key: &gatehouse::domain::keys::Key,
    wait: Duration,
) -> Duration {
    let http = client();
    let status = async || {
        let call = http.get(format!("{}/api/v1/list-posts?limit=1", other.url)).header("x-api-key", secret);
        call.send().await.unwrap().status().as_u16()
    };
    app.until("the other replica knows the key", || async { status().await == 200 }).await;
    tokio::time::sleep(wait).await;
    app.app().db.revoke_key(&app.owner, key, app.clock.now()).await.unwrap();
    app.app().access.reload().await.unwrap();
    let revoked = Instant::now();
    while status().await != 401 {
        assert!(revoked.elapsed() < Duration::from_secs(10), "it is still let in");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    revoked.elapsed()
}
