//! Bulk jobs under everything at once, drawn by chance: answers that are late, lost, wrong or put off, posts changed
//! behind our back, operators who change their mind, processes that are killed or stand still. Several schedules run side
//! by side, each in a workspace of its own. Afterwards PostPost's journal says whether the jobs' accounts are true.
//! `GATEHOUSE_SCHEDULES` and `GATEHOUSE_SEED` choose how many and which.

mod judge;
mod schedule;

use crate::{
    bulk::{confirm, finished, last_id, plan},
    support::{
        chance::Chance,
        databases::{Engine, gateway_on_both_engines, open_since_before},
        process::{Process, replica_folder},
    },
    testapp::{Browser, TestApp},
};
use futures_util::future::join_all;
use gatehouse::{
    app::Running,
    clock::DAY,
    domain::{jobs::Wanted, times},
    store::Db,
};
use judge::Judge;
use reqwest::Method;
use schedule::{Schedule, Seat};
use serde_json::{Value, json};
use std::{
    process::Stdio,
    time::{Duration, Instant},
};

gateway_on_both_engines!(
    no_schedule_loses_doubles_or_publishes_anything,
    a_post_that_becomes_late_on_the_way_is_not_published,
);

/// Schedules side by side.
const SEATS: usize = 6;
/// A job and its doubts end within this time, or never: an outcome that could not be stored is looked up after a minute,
/// and a workspace that was slowed down to a call in 5 s takes its time.
const BOUND: Duration = Duration::from_secs(150);
/// Effects that `schedule` delays come well before `settle-after`.
const FLAGS: &[&str] = &["--log", "error", "--lease-seconds", "3", "--tuning"];
const TUNING: &str = "pace=0,mirror-age=1500,sweep-age=5000,start-delay=0,tick=50,read-timeout=2000,change-timeout=800,settle-after=";
/// As the test's own gateway has it.
const SETTLE_AFTER: &str = "2500";
/// Where a process stands still, an intent may be acted on for 5 s, its own or that of a replica which the database kept
/// waiting for what the sleeper has locked. What is settled must not be sent any more.
const SETTLE_AFTER_STOP: &str = "7000";

/// What happens to the processes in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// Nothing; the operators pause, resume and cancel.
    Operators,
    /// kill -9, and another process on the same data; up to three times.
    Kill,
    /// The worker stands still past its lease, beside a second replica. PostgreSQL only.
    Stop,
}

#[derive(Debug, Default)]
struct Tally {
    schedules: usize,
    kills: usize,
    stops: usize,
    jobs: usize,
    faults: u64,
    behind: usize,
}

async fn no_schedule_loses_doubles_or_publishes_anything(engine: Engine) {
    let name = engine.name();
    let wanted = std::env::var("GATEHOUSE_SCHEDULES").ok().and_then(|n| n.parse().ok()).unwrap_or(18);
    let rounds = usize::max(wanted, 1).div_ceil(SEATS);
    let seed = Chance::seed();
    println!("seed {seed}");
    let mut chance = Chance::new(seed);
    let mut app = TestApp::spawn_with(engine, |config| {
        config.tuning.lease = Duration::from_secs(3);
        config.tuning.mirror_age = Duration::from_millis(1_500);
        config.tuning.sweep_age = Duration::from_secs(5);
        config.tuning.settle_after = Duration::from_millis(2_500);
        config.tuning.upstream_timeouts = (Duration::from_secs(2), Duration::from_millis(800));
    })
    .await;
    let mut seats = Vec::new();
    for n in 0..SEATS {
        seats.push(Seat::new(&app, n).await);
    }
    let mut judge = Judge::default();
    let mut tally = Tally::default();
    for round in 0..rounds {
        let event = match round % 3 {
            0 => Event::Operators,
            1 => Event::Kill,
            _ if name == "PostgreSQL" => Event::Stop,
            _ => *chance.one(&[Event::Operators, Event::Kill]),
        };
        let begun = Instant::now();
        let mut forks: Vec<Chance> = seats.iter().map(|_| chance.fork()).collect();
        let made = seats.iter().zip(&mut forks).map(|(seat, chance)| Schedule::make(&app, seat, chance));
        let schedules: Vec<Schedule> = join_all(made).await;
        let rules = schedules.iter().flat_map(|s| &s.faults).filter(|r| event != Event::Stop || !repeats(r));
        app.faults(rules.cloned().collect()).await;
        run(&mut app, event, &schedules, &mut chance, &mut tally).await;
        println!("round {round}, {event:?}: {:.1} s", begun.elapsed().as_secs_f64());
        let rules = app.control(Method::GET, "faults", Value::Null).await;
        tally.faults +=
            rules["rules"].as_array().unwrap().iter().filter_map(|r| r["fired"].as_u64()).sum::<u64>();
        app.faults(Value::Array(Vec::new())).await;
        for schedule in &schedules {
            tally.schedules += 1;
            tally.jobs += schedule.jobs.len();
            tally.behind += schedule.meddling.len();
            judge.check(&app, &format!("round {round}, {event:?}"), schedule).await;
        }
        // What did not end would be in the way of the next round.
        if !judge.violations.is_empty() {
            break;
        }
    }
    println!("{:?}\n{:?}", judge.items, judge.undecidable);
    println!(
        "figure: bulk schedules, {name} | schedules = {}, violations = {}, jobs = {}, posts = {}, effects = {}, \
         in doubt = {}, late when resumed = {}, faults = {}, changes behind our back = {}, undecidable = {}, kills = {}, stops = {}, seed = {seed}",
        tally.schedules,
        judge.violations.len(),
        tally.jobs,
        judge.posts,
        judge.effects,
        judge.doubts,
        judge.late,
        tally.faults,
        tally.behind,
        judge.undecidable.len(),
        tally.kills,
        tally.stops,
    );
    assert!(judge.violations.is_empty(), "seed {seed}: {:#?}", judge.violations);
    assert!(judge.effects > rounds * SEATS, "the load was too small to mean anything");
}

/// Confirms the jobs and lets everything happen, until nothing is open any more. The test's own gateway runs afterwards.
async fn run(
    app: &mut TestApp,
    event: Event,
    schedules: &[Schedule],
    chance: &mut Chance,
    tally: &mut Tally,
) {
    if event == Event::Operators {
        let db = app.app().db.clone();
        for schedule in schedules {
            schedule.confirm(app, &db).await;
        }
        app.app().jobs.ring();
        let mut forks: Vec<Chance> = schedules.iter().map(|_| chance.fork()).collect();
        let operators = schedules.iter().zip(&mut forks).map(|(s, chance)| change_ones_mind(app, s, chance));
        tokio::join!(join_all(schedules.iter().map(|s| s.meddle(app))), join_all(operators));
        ended(app, &db, schedules).await;
        return;
    }
    app.running.take().unwrap().stop().await;
    let db = Db::connect(&app.config.database_url).await.unwrap();
    for schedule in schedules {
        schedule.confirm(app, &db).await;
    }
    let mut first = launch(app, &app.config.data, event).await;
    let mut second = None;
    let events = async {
        if event == Event::Stop {
            second = Some(launch(app, &replica_folder(app), event).await);
            tokio::time::sleep(chance.millis(0, 400)).await;
            first.signal("-STOP");
            tally.stops += 1;
            // Past the lease, and past the time in which an intent may still be acted on.
            tokio::time::sleep(chance.millis(5_500, 9_000)).await;
            first.signal("-CONT");
            return;
        }
        for _ in 0..chance.between(1, 4) {
            tokio::time::sleep(chance.millis(20, 900)).await;
            first.kill();
            tally.kills += 1;
            first = launch(app, &app.config.data, event).await;
        }
    };
    tokio::join!(join_all(schedules.iter().map(|s| s.meddle(app))), events);
    ended(app, &db, schedules).await;
    db.close().await;
    for mut process in [Some(first), second].into_iter().flatten() {
        process.signal("-TERM");
        process.child.wait().unwrap();
    }
    app.running = Some(Running::start(app.config.clone(), app.clock.clone()).await.unwrap());
}

/// Whether a change is sent again after this answer. It may be for 20 s, which the program's own `settle-after` allows for
/// and the test's does not: a process that stood still would do what has been closed as not done.
fn repeats(rule: &Value) -> bool {
    rule["match"]["method"] != "GET" && (rule["status"] == 429 || rule["retryAfter"].is_u64())
}

async fn launch(app: &TestApp, data: &std::path::Path, event: Event) -> Process {
    let settle_after = if event == Event::Stop { SETTLE_AFTER_STOP } else { SETTLE_AFTER };
    let tuning = format!("{TUNING}{settle_after}");
    Process::launch(&app.config, data, &[], &[FLAGS, &[tuning.as_str()]].concat(), Stdio::inherit()).await
}

/// The operator of a workspace pauses its jobs and lets them go on, or calls them off.
async fn change_ones_mind(app: &TestApp, schedule: &Schedule, chance: &mut Chance) {
    let db = &app.app().db;
    for (id, _) in &schedule.jobs {
        let asks: &[Wanted] = match chance.between(0, 10) {
            0..6 => &[],
            6..9 => &[Wanted::Pause, Wanted::Run],
            _ => &[Wanted::Cancel],
        };
        for wanted in asks {
            tokio::time::sleep(chance.millis(20, 500)).await;
            let job = db.job(&schedule.ws, id).await.unwrap().unwrap();
            db.ask_job(&app.owner, &job, *wanted, app.clock.now()).await.unwrap();
            app.app().jobs.ring();
        }
    }
}

/// Waits until the jobs have ended and every operation has. What does not end in time is left for the judge to find.
async fn ended(app: &TestApp, db: &Db, schedules: &[Schedule]) {
    let begun = Instant::now();
    loop {
        let mut waits = open_since_before(db, i64::MAX).await;
        for schedule in schedules {
            for (id, _) in &schedule.jobs {
                let job = db.job(&schedule.ws, id).await.unwrap().unwrap();
                waits += i64::from(!job.state.is_final() || job.counts.unknown + job.counts.running > 0);
            }
        }
        if waits == 0 || begun.elapsed() > BOUND {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    app.sandbox_idle().await;
}

/// Found by the schedules: what PostPost shows just before a resume need not be what its call meets.
async fn a_post_that_becomes_late_on_the_way_is_not_published(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let at = times::to_iso(app.clock.now() + DAY);
    let post =
        app.posts(&ann.id, vec![json!({ "status": "scheduled", "scheduledTime": at })]).await.remove(0);
    let mut browser = Browser::login(&app).await;
    let ticked = format!("{}:{post}", ann.id);
    for action in ["pause", "resume"] {
        app.sweep(&app.ws, &ann.id).await;
        let fields = [("action", action), ("scope", "ticked"), ("post", ticked.as_str())];
        let made = plan(&mut browser, &app.ws, &fields).await;
        if action == "pause" {
            // So small a pause needs no preview: that was its job.
            finished(&app, &last_id(&made)).await;
            continue;
        }
        app.faults(json!([{ "match": { "method": "PUT" }, "delayMs": 400 }])).await;
        app.reset_calls().await;
        let job = last_id(confirm(&mut browser, &made, &[("reason", "")]).await.header("location"));
        app.until("the resume is on its way", || async {
            let calls = app.control(Method::GET, "calls", Value::Null).await;
            calls["inFlight"] == 1
                && app.app().db.job(&app.ws, &job).await.unwrap().unwrap().counts.running == 1
        })
        .await;
        let past = times::to_iso(app.clock.now() - DAY);
        app.control(Method::PATCH, &format!("posts/{post}"), json!({ "scheduledTime": past })).await;
        assert_eq!(finished(&app, &job).await.succeeded, 1);
    }
    let shown = app.control(Method::GET, &format!("posts/{post}"), Value::Null).await;
    assert_eq!(
        (shown["status"].as_str(), shown["scheduledTime"].as_str()),
        (Some("scheduled"), Some(at.as_str()))
    );
}
