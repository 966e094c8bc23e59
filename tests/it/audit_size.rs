//! Searches of a large audit log: every kind of term, at the top, deep inside and without a match. The normal run takes a small
//! one and looks at what is shown; the figures worth quoting come from
//! `GATEHOUSE_AUDIT_SIZE=1000000 GATEHOUSE_BIN=target/release/gatehouse`, with the threshold of the issue.

use crate::{
    support::{
        databases::{Engine, execute, gateway_on_both_engines},
        process::Process,
    },
    testapp::{Browser, EMAIL, PASSWORD, TestApp},
};
use gatehouse::{
    clock::DAY,
    domain::audit::{Action, Actor, ActorType, Context, Draft, Outcome},
    store::Db,
};
use std::time::{Duration, Instant};

gateway_on_both_engines!(searches_of_a_large_log);

/// What a page may take, 95 of 100 times (performance.md).
const PAGE_MAX: Duration = Duration::from_millis(200);
/// Entries of one transaction while the log is filled.
const PART: usize = 2_000;

/// Searches by kind. `MIDDLE` is the number of the entry in the middle.
const SEARCHES: &[(&str, &str)] = &[
    ("nothing asked", ""),
    ("action", "action:post.delete"),
    ("noun", "action:key"),
    ("outcome, frequent", "outcome:succeeded"),
    ("outcome, rare", "outcome:unknown"),
    ("actor by part of the name", "actor:tenant-17"),
    ("actor nobody is", "actor:zzzz"),
    ("key by ID", "key:key-171"),
    ("key by prefix", "key:sk_ght_17*"),
    ("tenant", "tenant:tenant-00017"),
    ("address", "ip:10.0.7.7"),
    ("network", "ip:10.0.7.*"),
    ("request", "request:req-MIDDLE"),
    ("requests by prefix", "request:req-MID*"),
    ("all requests", "request:req-*"),
    ("target", "target:post-MIDDLE"),
    ("operation", "operation:op-MIDDLE"),
    ("session", "session:session-17"),
    ("frequent word", "firefox"),
    ("rare word", "needle"),
    ("word nobody wrote", "zzzz"),
    ("ID as a word", "req-MIDDLE"),
    ("begun word", "ne*"),
    ("begun ID", "req-*"),
    ("all but the frequent", "-outcome:succeeded -outcome:intent"),
    ("all but requests", "-request:req-*"),
    ("frequent together", "firefox outcome:succeeded action:post"),
    ("frequent that never meet", "firefox curl"),
    ("frequent and rare", "firefox needle"),
    ("days", "created:FROM..TO"),
    ("days and words", "created:FROM..TO spring -outcome:denied tenant:tenant-00017"),
    (
        "many terms",
        "action:post -action:post.create outcome:succeeded -ip:10.0.7.* actor:tenant -tenant:tenant-00017 spring clean -needle",
    ),
];

async fn searches_of_a_large_log(engine: Engine) {
    let name = engine.name();
    let asked = std::env::var("GATEHOUSE_AUDIT_SIZE").ok().and_then(|n| n.parse::<usize>().ok());
    let size = asked.unwrap_or(1_500);
    let mut app = TestApp::spawn(engine).await;
    let now = app.clock.now();
    let db = app.app().db.clone();
    let begun = Instant::now();
    let appended = fill(&db, &app.ws, size, now).await;
    let filled = begun.elapsed();
    while db.index_audit(4_000).await.unwrap() > 0 {}
    let indexed = begun.elapsed() - filled;
    if matches!(db, Db::Postgres(..)) {
        // What the server does by itself some time after such a change.
        for table in
            ["VACUUM ANALYZE audit_entries", "VACUUM ANALYZE audit_details", "VACUUM ANALYZE audit_words"]
        {
            execute(&db, table, &[]).await.unwrap();
        }
    }
    println!(
        "figure: {size} entries, {name} | appended in {filled:?}, {appended:?} the slowest {PART}, indexed in {indexed:?}"
    );
    drop(db);
    app.running.take().unwrap().stop().await;
    let process = Process::start(&app).await;
    let mut browser = Browser::at(&process.url);
    let answer = browser.submit("/login", "/login", &[("email", EMAIL), ("password", PASSWORD)]).await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    let day = |days: i64| gatehouse::domain::times::to_iso(now + days * DAY)[..10].to_owned();
    let middle = format!("{:07}", size / 2);
    let (mut all, mut slow) = (Vec::new(), Vec::new());
    for (kind, search) in SEARCHES {
        let search = search.replace("MIDDLE", &middle).replace("MID", &middle[..5]);
        let search = search.replace("FROM", &day(10)).replace("TO", &day(30));
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("q", &search).finish();
        let mut times = Vec::new();
        for log in ["/audit".to_owned(), format!("/w/{}/audit", app.ws)] {
            for place in [
                "".to_owned(),
                format!("&before={}", size / 2),
                "&before=30".into(),
                format!("&after={}", size / 3),
                "&fold=no".into(),
            ] {
                let path = format!("{log}?{query}{place}");
                for _ in 0..if asked.is_some() { 4 } else { 1 } {
                    let begun = Instant::now();
                    let shown = browser.get(&path).await;
                    times.push(begun.elapsed());
                    assert_eq!(shown.status, 200, "{path}: {}", shown.text);
                    let known =
                        shown.text.contains("newest first") || shown.text.contains("No entry matches");
                    assert!(known, "{path}: {}", shown.text);
                }
            }
        }
        let (p50, p95) = (at(&mut times, 50), at(&mut times, 95));
        println!(
            "figure: {kind} in {size} entries, {name} | pages = {}, p50 = {p50:?}, p95 = {p95:?}",
            times.len()
        );
        if p95 > PAGE_MAX {
            slow.push(format!("{kind}: {p95:?}"));
        }
        all.append(&mut times);
    }
    println!(
        "figure: all searches of {size} entries, {name} | pages = {}, violations = {}, p50 = {:?}, p95 = {:?}",
        all.len(),
        slow.len(),
        at(&mut all, 50),
        at(&mut all, 95),
    );
    // A busy machine and a debug build show that the pages work, not how fast they are.
    assert!(asked.is_none() || slow.is_empty(), "{slow:#?}");
}

fn at(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

/// A log as an agency has it, through the very same appending: changes of posts with their start and end, a job now and then,
/// keys, people, and refused calls. Returns how long the slowest transaction took.
async fn fill(db: &Db, ws: &str, size: usize, now: i64) -> Duration {
    // Five seconds apart: a million entries are two months.
    let mut slowest = Duration::ZERO;
    for from in (0..size).step_by(PART) {
        let drafts: Vec<Draft> = (from..size.min(from + PART)).map(|n| draft(ws, n)).collect();
        let begun = Instant::now();
        db.append(now + from as i64 * 5_000, &drafts.iter().collect::<Vec<_>>()).await.unwrap();
        slowest = slowest.max(begun.elapsed());
    }
    slowest
}

fn draft(ws: &str, n: usize) -> Draft {
    let (change, tenant) = (n / 2, n * 7_919 / 2 % 2_000);
    let person = n % 10 == 0;
    let mut actor = if person {
        Actor::new(ActorType::Admin, format!("admin-{}", n % 12), format!("person-{}@example.com", n % 12))
    } else {
        Actor::new(ActorType::Key, format!("key-{tenant}"), format!("tenant-{tenant} CI"))
    };
    actor.key_prefix = (!person).then(|| format!("sk_ght_{tenant}"));
    actor.context = Context {
        ip: Some(format!("10.0.{}.{}", n % 40, n % 251)),
        request_id: Some(format!("req-{n:07}")),
        session_id: person.then(|| format!("session-{}", n / 5_000)),
        user_agent: Some(
            if n % 3 == 0 { "Mozilla/5.0 (X11; Linux x86_64; rv:148.0) Firefox/148.0" } else { "curl/8.5.0" }
                .into(),
        ),
        client: None,
    };
    let action =
        [Action::PostCreate, Action::PostUpdate, Action::PostDelete, Action::PostDelete, Action::KeyCreate]
            [change % 5];
    let outcome = match (n % 2, change % 50) {
        (0, _) => Outcome::Intent,
        (_, 7) => Outcome::Denied,
        (_, 8) => Outcome::Refused,
        (_, 9) if change % 5_000 == 9 => Outcome::Unknown,
        _ => Outcome::Succeeded,
    };
    let mut draft = Draft::new(&actor, action, outcome)
        .workspace(ws)
        .tenant(Some(&format!("tenant-{tenant:05}")))
        .target("post", &format!("post-{change:07}"));
    draft.op_id = Some(format!("op-{change:07}"));
    // A job of some thousand items, every now and then.
    draft.job_id = (n % 50_000 < 8_000).then(|| format!("job-{}", n / 50_000));
    if n % 4 == 1 {
        draft = draft
            .was("label", "spring clean")
            .set("label", format!("summer {}", n % 97))
            .set("count", n as i64 % 13);
    }
    if n % 40_000 == 39_999 {
        draft = draft.reason("the needle in the stack");
    }
    draft
}
