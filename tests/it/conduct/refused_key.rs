//! A 401 from upstream: whichever call learns it, the workspace is asked nothing more until its key is replaced, and those
//! who can replace it are told.

use super::Client;
use crate::{
    support::{
        databases::{Engine, gateway_on_both_engines},
        process::Process,
        tiny::Tiny,
    },
    testapp::{Browser, TestApp, hidden},
};
use gatehouse::{
    clock::{MINUTE, SECOND},
    domain::{jobs::JobState, times},
    upstream::{Error, KeyStanding},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    fs::File,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

gateway_on_both_engines!(whoever_learns_it_all_calls_stop, a_storm_ends_with_the_first_answer_and_one_alert);

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_is_not_sent_again() {
    let tiny = Tiny::answering(|_| (401, String::new(), r#"{"error":"Invalid API key"}"#.into())).await;
    let mut client = Client::new(&tiny.url);
    assert_eq!(client.read().await.unwrap().status, 401);
    for _ in 0..5 {
        assert_eq!(client.read().await.unwrap_err(), Error::KeyRefused);
        assert_eq!(client.change().await.unwrap_err(), Error::KeyRefused);
    }
    assert_eq!(tiny.seen(), 1);
    let refused = client.upstream.refused_keys();
    assert_eq!((refused.len(), refused[0].since, refused[0].text.as_str()), (1, 1, "Invalid API key"));
    // A key on trial is asked about, and says nothing about the one in use.
    client.to.standing = KeyStanding::Trial;
    assert_eq!(client.read().await.unwrap().status, 401);
    assert_eq!(client.upstream.refused_keys(), refused);
    // One added later is another, also if it is the same again.
    client.to.standing = KeyStanding::InUse { since: 2 };
    assert_eq!(client.read().await.unwrap().status, 401);
    assert_eq!(client.read().await.unwrap_err(), Error::KeyRefused);
    client.to.standing = KeyStanding::Refused;
    assert_eq!(client.read().await.unwrap_err(), Error::KeyRefused);
    assert_eq!(tiny.seen(), 3);
}

/// What the sandbox's account of the first workspace is called, for further keys.
async fn owner(app: &TestApp) -> String {
    let journal = app.journal(0).await;
    let made = journal.iter().find(|e| e["action"] == "workspace.create").unwrap();
    made["userId"].as_str().unwrap().to_owned()
}

/// What may ask upstream, and so be the first to be refused.
const LEARNERS: [&str; 8] =
    ["read", "change", "look-up before a change", "sync", "job", "reconciler", "import", "connections"];

async fn whoever_learns_it_all_calls_stop(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let owner = owner(&app).await;
    let (ws, tenant_id) = (app.ws.clone(), tenant.id.clone());
    let mut browser = Browser::login(&app).await;
    for learner in LEARNERS {
        let later = times::to_iso(app.clock.now() + 3_600 * SECOND);
        let post = json!({ "status": "draft", "scheduledTime": later });
        let id = app.posts(&tenant.id, vec![post; 12]).await.remove(0);
        app.sweep(&ws, &tenant.id).await;
        let (update, page) = (format!("/api/v1/update-post/{id}"), format!("/w/{ws}/tenants/{tenant_id}"));
        let mut job = None;
        if learner == "job" {
            let fields = [("action", "delete"), ("scope", "matching"), ("filter", "")];
            let plan = browser.submit(&format!("/w/{ws}/posts"), &format!("/w/{ws}/plans"), &fields).await;
            job = Some(plan.header("location").to_owned());
        }
        if learner == "reconciler" {
            app.faults(json!([{ "match": { "method": "PUT" }, "resetBefore": true, "times": 1 }])).await;
            let body = json!({ "status": "draft" });
            let lost = app.api(Method::PUT, &update, &tenant.key, Some(body)).await;
            assert_eq!(lost.status, 504, "{}", lost.text);
        }
        app.control(Method::DELETE, "keys", json!({ "key": app.ws_key })).await;
        let door = match learner {
            "read" => Some(app.api(Method::GET, "/api/v1/list-posts", &tenant.key, None).await),
            "change" => {
                Some(app.api(Method::PUT, &update, &tenant.key, Some(json!({ "status": "draft" }))).await)
            }
            "look-up before a change" => {
                Some(app.api(Method::PUT, &update, &tenant.key, Some(json!({ "status": "scheduled" }))).await)
            }
            _ => None,
        };
        if let Some(answer) = door {
            assert_eq!(answer.status, 503, "{learner}: {}", answer.text);
            assert_eq!(answer.json()["code"], "workspace_suspended", "{learner}");
            assert_eq!(answer.header("retry-after"), "5");
        }
        match learner {
            "sync" => app.app().mirror.note_change(&ws, &tenant_id),
            "job" => {
                let plan = job.clone().unwrap();
                let shown = browser.get(&plan).await;
                let (digest, count) = (hidden(&shown.text, "digest"), 12 * (1 + 4));
                let fields =
                    [("digest", &*digest), ("confirm", &*format!("delete {count}")), ("reason", "x")];
                let answer = browser.submit(&plan, &format!("{plan}/confirm"), &fields).await;
                assert_eq!(answer.status, 303, "{}", answer.text);
                job = answer
                    .header("location")
                    .split('?')
                    .next()
                    .unwrap()
                    .rsplit('/')
                    .next()
                    .map(str::to_owned);
            }
            "import" => {
                let answer = browser.submit(&format!("/w/{ws}"), &format!("/w/{ws}/import"), &[]).await;
                assert_eq!(answer.status, 422);
            }
            "connections" => assert_eq!(browser.get(&page).await.status, 200),
            _ => {}
        }
        app.until(&format!("the {learner} has suspended the calls"), || async {
            app.app().access.account(&ws).unwrap().workspace.suspended_at.is_some()
        })
        .await;
        app.sandbox_idle().await;

        app.reset_calls().await;
        for (method, path, body) in [
            (Method::GET, "/api/v1/list-posts".to_owned(), None),
            (Method::PUT, update.clone(), Some(json!({ "status": "draft" }))),
            (Method::PUT, update, Some(json!({ "status": "scheduled" }))),
            (Method::DELETE, format!("/api/v1/delete-post/{id}"), None),
        ] {
            let answer = app.api(method, &path, &tenant.key, body).await;
            assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("workspace_suspended")));
        }
        app.app().mirror.note_change(&ws, &tenant_id);
        for (at, words) in [
            (&*format!("/?ws={ws}"), "PostPost key is refused: all calls are suspended until it is replaced"),
            (&format!("/w/{ws}"), "PostPost refuses the workspace key."),
            (&page, "Calls are suspended since"),
        ] {
            let shown = browser.get(at).await;
            assert!(shown.status == 200 && shown.text.contains(words), "{learner} {at}: {}", shown.text);
        }
        let import = browser.submit(&format!("/w/{ws}"), &format!("/w/{ws}/import"), &[]).await;
        assert!(import.text.contains("Nothing was imported"), "{}", import.text);
        // The same key again is tried, as an admin may know that it works again; and does not.
        let fields = [("upstream_key", app.ws_key.as_str())];
        let same = browser.submit(&format!("/w/{ws}"), &format!("/w/{ws}/key"), &fields).await;
        assert!(same.text.contains("PostPost does not know this key"), "{}", same.text);
        // Ten rounds of the workers.
        tokio::time::sleep(app.config.tuning.tick * 10).await;
        assert_eq!(app.calls().await, 1, "{learner}: only the key on trial");

        let body = json!({ "userId": owner, "workspace": true });
        let made = app.control(Method::POST, "keys", body).await;
        app.ws_key = made["key"].as_str().unwrap().to_owned();
        let fields = [("upstream_key", app.ws_key.as_str())];
        let replaced = browser.submit(&format!("/w/{ws}"), &format!("/w/{ws}/key"), &fields).await;
        assert_eq!(replaced.status, 303, "{}", replaced.text);
        let answer = app.api(Method::GET, "/api/v1/list-posts", &tenant.key, None).await;
        assert_eq!(answer.status, 200, "{learner}: {}", answer.text);
        if let Some(job) = job {
            let job = async || app.app().db.job(&ws, &job).await.unwrap().unwrap();
            app.until("the job goes on", || async { job().await.state == JobState::Completed }).await;
            let counts = job().await.counts;
            assert_eq!((counts.succeeded, counts.total()), (60, 60), "no item failed: {counts:?}");
        }
        app.clock.advance(MINUTE);
        app.until_settled().await;
    }
    let suspended = app.entries().await.iter().filter(|e| e["action"] == "workspace.suspend").count();
    assert_eq!(suspended, LEARNERS.len(), "one entry each time");
}

/// Callers at the door at once in the storm.
const CALLERS: usize = 16;

async fn a_storm_ends_with_the_first_answer_and_one_alert(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let owner = owner(&app).await;
    app.quiet().await;
    app.running.take().unwrap().stop().await;
    let log = app.config.data.join("log");
    let stderr = Stdio::from(File::create(&log).unwrap());
    let process = Process::start_logging(&app, "error", stderr).await;
    app.faults(json!([{ "delayMs": 20 }])).await;
    app.reset_calls().await;
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (url, key, stop) =
                (format!("{}/api/v1/list-posts", process.url), tenant.key.clone(), stop.clone());
            tokio::spawn(async move {
                let http = crate::testapp::client();
                let mut statuses = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let answer = http.get(&url).header("x-api-key", &key).send().await.unwrap();
                    statuses.push(answer.status().as_u16());
                }
                statuses
            })
        })
        .collect();
    app.until("the callers are at work", || async { app.calls().await > 100 }).await;
    app.control(Method::DELETE, "keys", json!({ "key": app.ws_key })).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.store(true, Ordering::SeqCst);
    let mut refused = 0;
    for caller in callers {
        let statuses = caller.await.unwrap();
        assert!(statuses.iter().all(|s| matches!(s, 200 | 503)), "{statuses:?}");
        refused += statuses.iter().filter(|s| **s == 503).count();
    }
    app.sandbox_idle().await;
    let calls = app.control(Method::GET, "calls", Value::Null).await;
    let asked = calls["byStatus"]["401"].as_u64().unwrap() as usize;
    let log = std::fs::read_to_string(log).unwrap();
    let alerts = log.lines().filter(|l| l.contains("suspended until its upstream key is replaced")).count();
    println!("{refused} calls answered 503, {asked} of them after asking, {CALLERS} at once; {alerts} alert");
    assert!(refused > 4 * CALLERS, "the storm was too small to mean anything");
    assert!((1..=CALLERS).contains(&asked), "{asked} asked: more than were in flight");
    assert_eq!(alerts, 1, "{log}");
    assert!(!log.contains(&app.ws_key) && !log.contains(&owner), "{log}");
}
