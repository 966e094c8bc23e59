//! The program as a process: an orderly stop, start-up time and memory. What kill -9 does to it is in `kills`.

use crate::{
    support::{
        databases::{Engine, gateway_on_both_engines},
        process::Process,
    },
    testapp::TestApp,
};
use reqwest::Client;
use serde_json::json;
use std::{
    process::Command,
    time::{Duration, Instant},
};

gateway_on_both_engines!(
    sigterm_finishes_what_was_begun_and_exits_0,
    it_listens_within_a_second_and_idles_small,
);

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
