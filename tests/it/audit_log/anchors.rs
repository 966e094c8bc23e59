//! Where signed checkpoints are told of beyond the database. An anchor that fails holds nothing up.

use super::{SOON, signed_in};
use crate::{
    support::{
        databases::Engine,
        recorder::{Recorder, Script},
    },
    testapp::TestApp,
};
use serde_json::json;
use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_gets_the_newest_until_it_takes_it() {
    let tries = AtomicUsize::new(0);
    let recorder = Recorder::start(move |_| match tries.fetch_add(1, Ordering::Relaxed) {
        0 => Script::Answer(500, String::new(), String::new()),
        // A redirect is not followed, and is no taking.
        1 => Script::Answer(302, "location: /elsewhere\r\n".into(), String::new()),
        _ => Script::json(200, &json!({})),
    })
    .await;
    let url = format!("{}/hook/s3cret", recorder.url);
    let app = TestApp::spawn_with(Engine::Sqlite, |config| {
        config.tuning.checkpoint = SOON;
        config.audit_anchor_url = Some(url.into());
    })
    .await;
    let metric = |result: &str| {
        let text = app.app().metrics.encode();
        let name = format!(r#"gatehouse_audit_anchors_total{{anchor="webhook",result="{result}"}} "#);
        text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
    };
    app.until("it is taken", || async { metric("delivered") > 0 }).await;
    assert_eq!(metric("failed"), 2);
    let log = &app.app().audit_log;
    let size = log.checkpoint_now(i64::MAX).await.unwrap().checkpoint.size;
    let mut received = recorder.take();
    let is_newest = |posts: &[crate::support::recorder::Received]| {
        posts.last().is_some_and(|post| post.json()["size"].as_u64().is_some_and(|got| got >= size))
    };
    for _ in 0..400 {
        if is_newest(&received) {
            break;
        }
        tokio::time::sleep(SOON).await;
        received.extend(recorder.take());
    }
    assert!(is_newest(&received), "{received:?}");
    for post in &received {
        let (body, path) = (post.json(), (post.method.as_str(), post.path.as_str()));
        assert_eq!((path, &body["type"]), (("POST", "/hook/s3cret"), &json!("audit.checkpoint")));
        let checkpoint = log.public().checkpoint(body["note"].as_str().unwrap()).unwrap();
        assert_eq!((&body["origin"], &body["size"]), (&json!(checkpoint.origin), &json!(checkpoint.size)));
    }
}

/// A folder stands where the file should: changes and checkpoints go on, and once it is gone the newest is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_written_holds_nothing_up() {
    let app = TestApp::spawn_with(Engine::Sqlite, |config| {
        let path = config.data.with_file_name("anchors");
        fs::create_dir(&path).unwrap();
        config.tuning.checkpoint = SOON;
        config.audit_anchor_file = Some(path);
    })
    .await;
    let log = app.app().audit_log.clone();
    let path = app.config.audit_anchor_file.clone().unwrap();
    app.until("it is counted", || async {
        app.app().metrics.encode().contains(r#"gatehouse_audit_anchors_total{anchor="file",result="failed"}"#)
    })
    .await;
    app.tenant("ann").await;
    let size = log.checkpoint_now(i64::MAX).await.unwrap().checkpoint.size;
    fs::remove_dir(&path).unwrap();
    app.until("it is told", || async { path.exists() }).await;
    let told = signed_in(&path, log.public());
    assert!(told[0].size >= size, "{told:?}");
}
