//! Stopping the program as a process, while it is busy: readiness off, work under way finished, exit 0, in time; and a
//! second signal that does not wait.

use crate::{
    support::{
        databases::{Engine, gateway_on_both_engines},
        jobs::{delete_job, deletions, ended},
        process::Process,
    },
    testapp::{Browser, EMAIL, PASSWORD, TestApp, client},
};
use gatehouse::{app::Running, clock::MINUTE};
use serde_json::json;
use std::{
    collections::BTreeMap,
    process::ExitStatus,
    time::{Duration, Instant},
};

gateway_on_both_engines!(
    a_busy_process_finishes_what_it_began,
    an_idle_process_stops_at_once,
    a_call_that_does_not_end_is_not_waited_for_for_ever,
    a_second_signal_stops_at_once_and_nothing_is_lost,
);

/// Waits for the end without holding up the runtime.
async fn exit(process: &mut Process, at_most: Duration) -> (ExitStatus, Duration) {
    let begun = Instant::now();
    loop {
        if let Some(status) = process.child.try_wait().unwrap() {
            return (status, begun.elapsed());
        }
        assert!(begun.elapsed() < at_most, "still running after {at_most:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Starts the gateway again, in this process, when every call of the dead one has ended.
async fn start_again(app: &mut TestApp) {
    app.sandbox_idle().await;
    // On PostgreSQL another node's call counts as orphaned only when it is older than any call can be.
    app.clock.advance(2 * MINUTE);
    app.running = Some(Running::start(app.config.clone(), app.clock.clone()).await.unwrap());
    app.until_settled().await;
}

async fn a_busy_process_finishes_what_it_began(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let (ann, bob) = (app.tenant("ann").await, app.tenant("bob").await);
    let drafts =
        |n: usize| (0..n).map(|n| json!({ "status": "draft", "content": format!("p{n}") })).collect();
    let many = app.posts(&ann.id, drafts(60)).await;
    let slow = app.posts(&bob.id, drafts(1)).await.remove(0);
    app.sweep(&app.ws, &ann.id).await;
    let job = delete_job(&app, &ann, &many).await;
    app.running.take().unwrap().stop().await;
    app.faults(json!([
        { "match": { "method": "DELETE", "postGroupId": slow }, "delayMs": 2_500 },
        { "match": { "method": "DELETE" }, "delayMs": 100 },
    ]))
    .await;
    let mut process = Process::start(&app).await;
    let url = process.url.clone();
    let mut browser = Browser::at(&url);
    let login = browser.submit("/login", "/login", &[("email", EMAIL), ("password", PASSWORD)]).await;
    assert_eq!(login.status, 303, "{}", login.text);

    // A page that follows the job; it must end of itself, as a stream that is cut would look like a failure.
    let events = client()
        .get(format!("{url}/w/{}/jobs/{job}/events", app.ws))
        .header("cookie", browser.cookie_header())
        .send()
        .await
        .unwrap();
    assert_eq!(events.status(), 200);
    let events = tokio::spawn(async move { events.text().await.map(|text| text.len()) });
    // A tenant's call that takes long.
    let call = client().delete(format!("{url}/api/v1/delete-post/{slow}")).header("x-api-key", &bob.key);
    let call = tokio::spawn(async move { call.send().await.map(|answer| answer.status().as_u16()) });
    // Tenants that go on calling, each time on a connection of their own.
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (url, key) = (url.clone(), bob.key.clone());
            tokio::spawn(async move {
                let mut answers: BTreeMap<&'static str, usize> = BTreeMap::new();
                loop {
                    let call =
                        client().get(format!("{url}/api/v1/list-posts?limit=1")).header("x-api-key", &key);
                    let word = match call.send().await {
                        Ok(answer) if answer.status() == 200 => match answer.bytes().await {
                            Ok(_) => "answered",
                            Err(_) => "cut off",
                        },
                        Ok(answer) => panic!("{}", answer.status()),
                        Err(error) if error.is_connect() => {
                            *answers.entry("refused").or_default() += 1;
                            return answers;
                        }
                        Err(_) => "no answer",
                    };
                    *answers.entry(word).or_default() += 1;
                }
            })
        })
        .collect();
    // A load balancer, which asks on a new connection each time.
    let balancer = tokio::spawn({
        let url = url.clone();
        async move {
            let mut seen = Vec::new();
            loop {
                match client().get(format!("{url}/readyz")).send().await {
                    Ok(answer) => seen.push((Instant::now(), answer.status().as_u16())),
                    Err(_) => return seen,
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let signalled = Instant::now();
    process.signal("-TERM");
    assert_eq!(call.await.unwrap().unwrap(), 200, "a call under way is finished");
    assert!(events.await.unwrap().unwrap() > 0, "the stream ended in order");
    let (status, _) = exit(&mut process, Duration::from_secs(25)).await;
    let took = signalled.elapsed();
    assert_eq!(status.code(), Some(0));
    let seen = balancer.await.unwrap();
    let told = seen
        .iter()
        .find(|(at, status)| *at > signalled && *status == 503)
        .unwrap_or_else(|| panic!("{seen:?}"));
    assert!(told.0 - signalled < Duration::from_secs(1), "readiness is off at once");
    assert!(seen.iter().filter(|(at, _)| *at < signalled).all(|(_, status)| *status == 200), "{seen:?}");
    let mut answers = BTreeMap::new();
    for caller in callers {
        for (word, n) in caller.await.unwrap() {
            *answers.entry(word).or_insert(0) += n;
        }
    }
    println!("stopped in {took:?}, 503 after {:?}, calls {answers:?}", told.0 - signalled);
    assert_eq!(answers.get("cut off"), None, "{answers:?}");
    // One per caller may have connected just before the port closed.
    assert!(answers.get("no answer").is_none_or(|n| *n <= 4), "{answers:?}");

    app.faults(json!([])).await;
    start_again(&mut app).await;
    let counts = ended(&app, &job).await;
    let deleted = deletions(&app).await;
    assert!(deleted.values().all(|times| *times == 1), "{deleted:?}");
    assert_eq!((counts.total(), counts.succeeded + counts.gone), (60, 60), "{counts:?}");
}

async fn an_idle_process_stops_at_once(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    app.running.take().unwrap().stop().await;
    let mut process = Process::start(&app).await;
    // Kept open, and idle.
    let kept = client();
    assert_eq!(kept.get(format!("{}/healthz", process.url)).send().await.unwrap().status(), 200);
    process.signal("-INT");
    let (status, took) = exit(&mut process, Duration::from_secs(5)).await;
    println!("idle: stopped in {took:?}");
    assert_eq!(status.code(), Some(0));
    drop(kept);
}

async fn a_call_that_does_not_end_is_not_waited_for_for_ever(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let post = app.posts(&ann.id, vec![json!({ "status": "draft" })]).await.remove(0);
    app.running.take().unwrap().stop().await;
    app.faults(json!([{ "match": { "method": "DELETE" }, "delayMs": 28_000 }])).await;
    let mut process = Process::start(&app).await;
    let call =
        client().delete(format!("{}/api/v1/delete-post/{post}", process.url)).header("x-api-key", &ann.key);
    let call = tokio::spawn(async move { call.send().await.map(|answer| answer.status().as_u16()) });
    tokio::time::sleep(Duration::from_millis(700)).await;
    process.signal("-TERM");
    let (status, took) = exit(&mut process, Duration::from_secs(26)).await;
    println!("a call that hangs: stopped in {took:?}");
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(25), "{took:?}");
    assert!(matches!(call.await.unwrap(), Err(_) | Ok(500)), "nobody is told how it ended");
    start_again(&mut app).await;
    assert_eq!(deletions(&app).await.get(&post), Some(&1));
    let ends: Vec<_> = app.entries().await.into_iter().filter(|e| e["action"] == "post.delete").collect();
    let outcomes: Vec<_> = ends.iter().map(|e| e["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["applied", "intent"], "newest first");
}

async fn a_second_signal_stops_at_once_and_nothing_is_lost(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let posts = app.posts(&ann.id, (0..6).map(|_| json!({ "status": "draft" })).collect()).await;
    app.running.take().unwrap().stop().await;
    app.faults(json!([{ "match": { "method": "DELETE" }, "delayMs": 3_000 }])).await;
    let mut process = Process::start(&app).await;
    let calls: Vec<_> = posts
        .iter()
        .map(|post| {
            let call = client()
                .delete(format!("{}/api/v1/delete-post/{post}", process.url))
                .header("x-api-key", &ann.key);
            tokio::spawn(async move { call.send().await.map(|answer| answer.status().as_u16()) })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(900)).await;
    process.signal("-TERM");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(process.child.try_wait().unwrap().is_none(), "the first signal waits for the calls");
    process.signal("-TERM");
    let (status, took) = exit(&mut process, Duration::from_secs(5)).await;
    println!("second signal: stopped in {took:?}, code {:?}", status.code());
    assert_eq!(status.code(), Some(1));
    assert!(took < Duration::from_secs(1), "{took:?}");
    for call in calls {
        assert!(matches!(call.await.unwrap(), Err(_) | Ok(500)), "nobody is told how it ended");
    }
    start_again(&mut app).await;
    let deleted = deletions(&app).await;
    let entries = app.entries().await;
    for post in &posts {
        let ends: Vec<_> = entries
            .iter()
            .filter(|e| e["action"] == "post.delete" && e["targets"][0]["id"] == post.as_str())
            .map(|e| e["outcome"].as_str().unwrap())
            .collect();
        match deleted.get(post) {
            Some(1) => assert_eq!(ends, ["applied", "intent"], "{post}"),
            None => assert_eq!(ends, ["not_applied", "intent"], "{post}"),
            more => panic!("{post}: {more:?}"),
        }
    }
}
