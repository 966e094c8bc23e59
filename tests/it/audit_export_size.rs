//! The log taken away at size: rows per second beside what SQLite's own shell makes of the same table in the same run, and
//! how much memory the gateway needs for it. The normal run takes a small log and looks at what comes out; the figures
//! worth quoting come from `GATEHOUSE_AUDIT_ENTRIES=1000000 GATEHOUSE_BIN=target/release/gatehouse`, with the thresholds.

use crate::{
    support::{
        databases::{Engine, gateway_on_both_engines},
        process::Process,
    },
    testapp::TestApp,
};
use gatehouse::domain::{
    audit::{Action, Actor, ActorType, Draft, Outcome, UpstreamResult},
    keys::{KeyKind, Scope},
};
use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

gateway_on_both_engines!(a_million_entries);

/// Entries of the log, unless the environment says otherwise.
const SIZE: usize = 4_000;
/// One entry in so many is of the tenant whose bundle is timed.
const TENANT_SHARE: usize = 100;
/// Of what SQLite's shell does (issue 6): the floor.
const FLOOR: f64 = 0.5;
/// More than the process had before, at its peak, in MiB (performance.md H 9).
const MEMORY: u64 = 32;
/// A bundle of a tenant's 10,000 entries.
const BUNDLE: Duration = Duration::from_secs(2);
/// Times of each measurement; the best counts, for whatever else the machine does only ever slows it down.
const ROUNDS: usize = 3;

async fn a_million_entries(engine: Engine) {
    let name = engine.name();
    let asked = std::env::var("GATEHOUSE_AUDIT_ENTRIES").ok().and_then(|n| n.parse().ok());
    let size: usize = asked.unwrap_or(SIZE);
    let mut app = TestApp::spawn(engine).await;
    let begun = Instant::now();
    fill(&app, size).await;
    println!("figure: audit log of {size}, {name} | entries = {size}, filled in = {:?}", begun.elapsed());
    let token = app.key(&app.ws, KeyKind::Audit, None, &[Scope::AuditRead]).await;
    // As it is read most of the time: with all checkpoints made.
    app.app().audit_log.checkpoint_now(i64::MAX).await.ok();
    app.running.take().unwrap().stop().await;
    let process = Process::start(&app).await;
    let fetch = async |path: &str| -> (Duration, u64) {
        let url = format!("{}/manage/v1/{path}", process.url);
        let mut command = Command::new("curl");
        let command =
            command.args(["-sS", "--fail", "-H", &format!("x-api-key: {token}"), "-o", "-"]).arg(url);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let begun = Instant::now();
        let bytes = tokio::task::spawn_blocking(move || {
            let mut out = out;
            std::io::copy(&mut out, &mut std::io::sink()).unwrap()
        });
        let bytes = bytes.await.unwrap();
        let took = begun.elapsed();
        assert!(child.wait().unwrap().success(), "{path}");
        (took, bytes)
    };
    let rate = |took: Duration| size as f64 / took.as_secs_f64();
    let shell = app.config.database_url.strip_prefix("sqlite:").and_then(|file| {
        let queries = ["SELECT * FROM audit_entries", "SELECT * FROM audit_entries JOIN audit_details USING (seq)"];
        let best = queries.map(|query| (0..ROUNDS).filter_map(|_| csv_of_the_shell(file, query)).min());
        let [Some(table), Some(joined)] = best else { return None };
        println!(
            "figure: sqlite3 -csv of {size} | entries = {size}, the table = {:.0} rows/s, with its details = {:.0} rows/s",
            rate(table),
            rate(joined)
        );
        Some(table)
    });
    let resting = memory(&process, "VmRSS");
    let mut slow = Vec::new();
    for path in ["audit.ndjson", "audit.csv", "audit.ndjson.gz", "audit.tar"] {
        let mut best: Option<(Duration, u64)> = None;
        for _ in 0..if asked.is_some() { ROUNDS } else { 1 } {
            let made = fetch(path).await;
            best = Some(best.map_or(made, |best| best.min(made)));
        }
        let (took, bytes) = best.unwrap();
        let ratio = shell.map(|shell| shell.as_secs_f64() / took.as_secs_f64());
        let shown = ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"));
        println!(
            "figure: {path} of {size}, {name} | entries = {size}, {:.0} rows/s, to sqlite3 -csv = {shown}, MiB = {}, peak = {} MiB",
            rate(took),
            bytes >> 20,
            memory(&process, "VmHWM")
        );
        if ratio.is_some_and(|ratio| ratio < FLOOR) && matches!(path, "audit.ndjson" | "audit.csv") {
            slow.push(format!("{path}: {shown} of sqlite3 -csv"));
        }
    }
    let grown = memory(&process, "VmHWM").saturating_sub(resting);
    println!(
        "figure: memory of exports of {size}, {name} | entries = {size}, at rest = {resting} MiB, more at peak = {grown} MiB"
    );
    let tenant = fetch(&format!("audit.tar?tenant={}", tenant(0))).await;
    println!(
        "figure: tenant bundle, {name} | entries = {}, took = {:?}, bytes = {}",
        size / TENANT_SHARE,
        tenant.0,
        tenant.1
    );
    if tenant.0 > BUNDLE {
        slow.push(format!("tenant bundle: {:?}", tenant.0));
    }
    if grown > MEMORY {
        slow.push(format!("{grown} MiB more"));
    }
    // A busy machine and a debug build show that it works, not how fast.
    assert!(asked.is_none() || slow.is_empty(), "{slow:#?}");
}

/// How long SQLite's shell takes; `None` where there is none.
fn csv_of_the_shell(file: &str, query: &str) -> Option<Duration> {
    let begun = Instant::now();
    let status = Command::new("sqlite3")
        .args(["-readonly", "-csv", file, query])
        .stdout(Stdio::null())
        .status()
        .ok()?;
    status.success().then(|| begun.elapsed())
}

/// In MiB.
fn memory(process: &Process, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

fn tenant(n: usize) -> String {
    format!("{n:024x}")
}

/// Changes of posts by tenants' keys: an intent and an outcome each, as the gateway writes them.
async fn fill(app: &TestApp, size: usize) {
    let mut n = 0;
    while n < size {
        let drafts: Vec<Draft> = (n..size.min(n + 256)).map(|n| draft(app, n)).collect();
        n += drafts.len();
        app.app().db.append(app.clock.now(), &drafts.iter().collect::<Vec<_>>()).await.unwrap();
    }
}

fn draft(app: &TestApp, n: usize) -> Draft {
    let key = n % TENANT_SHARE;
    let mut actor =
        Actor::new(ActorType::Key, format!("0197c2b4-aaaa-7000-8000-{key:012}"), format!("Key {key}"));
    actor.key_prefix = Some("sk_ght_abcde".into());
    actor.context.ip = Some(format!("203.0.113.{}", n % 250));
    actor.context.user_agent = Some("python-requests/2.32.3".into());
    actor.context.request_id = Some(format!("0197c2b4-6f1e-7000-8000-{n:012}"));
    let outcome = if n.is_multiple_of(2) { Outcome::Intent } else { Outcome::Succeeded };
    let draft = Draft::new(&actor, Action::PostUpdate, outcome)
        .workspace(&app.ws)
        .tenant(Some(&tenant(key)))
        .target("post", &format!("{:024x}", n / 2));
    let mut draft = match outcome {
        Outcome::Intent => draft.was("status", "draft").set("status", "scheduled"),
        _ => draft,
    };
    draft.op_id = Some(format!("0197c2b4-6f1e-7000-9000-{:012}", n / 2));
    if outcome == Outcome::Succeeded {
        draft.upstream = Some(UpstreamResult { status: Some(200), latency_ms: (n % 300) as i64, code: None });
    }
    draft
}
