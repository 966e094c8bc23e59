//! A job's page and its list: what is shown while it runs, to how many tabs, and what can be downloaded.

use crate::{
    bulk::{confirm, last_id, plan},
    support::{
        databases::{Engine, gateway_on_both_engines},
        jobs::{delete_job, ended},
    },
    testapp::{Browser, TestApp},
};
use gatehouse::domain::jobs::JobState;
use reqwest::{Method, Response};
use serde_json::json;

gateway_on_both_engines!(
    the_fifth_live_view_of_a_session_takes_the_place_of_the_first,
    a_job_that_is_held_up_says_why,
    jobs_are_found_by_state_action_and_person,
    failures_are_explained_and_in_the_files,
    a_copy_is_kept_of_what_a_job_deletes,
    a_job_is_called_after_what_was_confirmed_and_who_started_it,
    whoever_started_a_job_is_told_on_the_posts_list,
);

/// A job of `posts` deletes that does not go on, because its workspace is frozen.
async fn held_up(app: &TestApp, posts: usize) -> String {
    let ann = app.tenant("ann").await;
    let ids = app.posts(&ann.id, (0..posts).map(|_| json!({ "status": "draft" })).collect()).await;
    app.sweep(&app.ws, &ann.id).await;
    freeze(app, Some("audit")).await;
    let job = delete_job(app, &ann, &ids).await;
    app.until("the job has begun", || async {
        app.app().db.job(&app.ws, &job).await.unwrap().unwrap().state == JobState::Running
    })
    .await;
    job
}

async fn freeze(app: &TestApp, reason: Option<&str>) {
    app.app().db.freeze_workspace(&app.owner, &app.ws, reason, app.clock.now()).await.unwrap();
    app.app().access.reload().await.unwrap();
}

/// Reads a stream of events until one of this name.
async fn until_event(stream: &mut Response, name: &str) -> String {
    let mark = format!("event: {name}\n");
    let mut text = String::new();
    let reading = async {
        while !text.contains(&mark) {
            let chunk = stream.chunk().await.unwrap().unwrap_or_else(|| panic!("no {name} in {text}"));
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), reading).await.unwrap();
    text
}

async fn the_fifth_live_view_of_a_session_takes_the_place_of_the_first(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let job = held_up(&app, 3).await;
    let (browser, other) = (Browser::login(&app).await, Browser::login(&app).await);
    let open = async |browser: &Browser| {
        let path = format!("/w/{}/jobs/{job}/events", app.ws);
        let mut stream =
            app.request(Method::GET, &path).header("cookie", browser.cookie_header()).send().await.unwrap();
        let first = until_event(&mut stream, "progress").await;
        assert!(first.starts_with("retry: 3000\n"), "{first}");
        stream
    };
    let another = open(&other).await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(open(&browser).await);
    }
    let mut fifth = open(&browser).await;
    until_event(&mut streams[0], "bye").await;
    assert!(streams[0].chunk().await.unwrap().is_none(), "the stream ends");
    // The others go on, and so does another person's.
    streams.push(another);
    freeze(&app, None).await;
    ended(&app, &job).await;
    for stream in streams[1..].iter_mut().chain([&mut fifth]) {
        until_event(stream, "done").await;
    }
}

async fn a_job_that_is_held_up_says_why(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let job = held_up(&app, 3).await;
    let mut browser = Browser::login(&app).await;
    let path = format!("/w/{}/jobs/{job}", app.ws);
    let page = browser.get(&path).await;
    assert!(page.text.contains("Waiting: the workspace is frozen."), "{}", page.text);
    let progress = browser.get(&format!("{path}/progress.json")).await.json();
    assert_eq!((&progress["state"], &progress["pending"]), (&json!("running"), &json!(3)));
    assert!(progress["summary"].as_str().unwrap().starts_with("Waiting"), "{progress}");
    // Without JavaScript: only where it was asked for, and never once the job has ended.
    assert!(!page.text.contains("http-equiv=\"refresh\""));
    let again = browser.get(&format!("{path}?refresh=5")).await;
    assert!(again.text.contains("<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>"));
    freeze(&app, None).await;
    ended(&app, &job).await;
    let over = browser.get(&format!("{path}?refresh=5")).await;
    assert!(!over.text.contains("http-equiv=\"refresh\"") && !over.text.contains("data-events"));
}

async fn jobs_are_found_by_state_action_and_person(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let running = held_up(&app, 2).await;
    let mut browser = Browser::login(&app).await;
    let list = format!("/w/{}/jobs", app.ws);
    let mut has = async |query: String| {
        let page = browser.get(&format!("{list}?{query}")).await;
        assert_eq!(page.status, 200, "{}", page.text);
        page.text.contains(&running)
    };
    assert!(has(String::new()).await);
    assert!(has(format!("state=unfinished&action=delete&actor={}", app.owner.id)).await);
    assert!(!has("state=completed".into()).await);
    assert!(!has("action=pause".into()).await);
    freeze(&app, None).await;
    ended(&app, &running).await;
    assert!(has("state=completed".into()).await && !has("state=unfinished".into()).await);
    for query in ["state=nonsense", "action=nonsense", "actor=nonsense"] {
        let page = browser.get(&format!("{list}?{query}")).await;
        assert_eq!(page.status, 400, "a mistake is not an empty list: {}", page.text);
    }
}

/// What the plan left out is counted, but not in the heading: the number that was typed stands there.
async fn a_job_is_called_after_what_was_confirmed_and_who_started_it(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let post = |status: &str| json!({ "status": status, "content": "Spring" });
    let mut posts: Vec<_> = (0..12).map(|_| post("draft")).collect();
    posts.extend([post("published"), post("published")]);
    app.posts(&ann.id, posts).await;
    app.sweep(&app.ws, &ann.id).await;
    let mut browser = Browser::login(&app).await;
    let fields = [("action", "delete"), ("scope", "matching"), ("filter", "q=Spring")];
    let page = plan(&mut browser, &app.ws, &fields).await;
    let shown = browser.get(&page).await.text;
    assert!(shown.contains("inputmode=\"numeric\"") && shown.contains("delete 12"), "{shown}");
    // The number alone is enough: keys of digits have no letters.
    let wrong = confirm(&mut browser, &page, &[("confirm", "14"), ("reason", "over")]).await;
    assert_eq!(wrong.status, 422, "{}", wrong.text);
    let done = confirm(&mut browser, &page, &[("confirm", "12"), ("reason", "over")]).await;
    assert_eq!(done.status, 303, "{}", done.text);
    let job = last_id(done.header("location"));
    assert_eq!(ended(&app, &job).await.total(), 14);
    let shown = browser.get(&format!("/w/{}/jobs/{job}", app.ws)).await.text;
    for said in ["<h1>Delete 12 posts</h1>", "<b>14</b>", "<dt>Started by</dt><dd>Owner, "] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    let list = browser.get(&format!("/w/{}/jobs", app.ws)).await.text;
    assert!(list.contains("Delete 12 posts</a><small class=\"clip\">Owner</small>"), "{list}");
    assert!(list.contains(">Owner</option>"), "{list}");
}

async fn whoever_started_a_job_is_told_on_the_posts_list(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let ids = app.posts(&ann.id, (0..4).map(|_| json!({ "status": "draft" })).collect()).await;
    app.sweep(&app.ws, &ann.id).await;
    let path = json!({ "path": format!("/api/v1/delete-post/{}", ids[1]) });
    app.faults(json!([{ "match": path, "status": 400, "body": { "error": "No, because" } }])).await;
    let mut browser = Browser::login(&app).await;
    let list = format!("/w/{}/posts?status=draft&per=25", app.ws);
    let first = delete_job(&app, &ann, &ids[..2]).await;
    ended(&app, &first).await;
    let second = delete_job(&app, &ann, &ids[2..3]).await;
    ended(&app, &second).await;
    let both = browser.get(&list).await.text;
    for said in [
        "Job “Delete 2 posts” finished: 1 deleted, 1 failed.",
        "Job “Delete 1 post” finished: 1 deleted.",
        "aria-label=\"View the job Delete 2 posts\"",
    ] {
        assert!(both.contains(said), "{said}: {both}");
    }
    // It stays until it is looked at …
    assert!(browser.get(&list).await.text.contains("Delete 2 posts"));
    let seen = browser.get(&format!("/w/{}/jobs/{first}", app.ws)).await;
    assert_eq!(seen.status, 200);
    let rest = browser.get(&list).await.text;
    assert!(!rest.contains("Delete 2 posts") && rest.contains("Delete 1 post"), "{rest}");
    // … or dismissed, which leads back to the list as it was.
    let filter = [("filter", "status=draft&per=25")];
    let gone = browser.submit(&list, &format!("/w/{}/jobs/{second}/seen", app.ws), &filter).await;
    assert_eq!(gone.header("location"), list);
    assert!(!browser.get(&list).await.text.contains("class=\"banner"));
}

async fn a_copy_is_kept_of_what_a_job_deletes(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let posts = vec![
        json!({ "status": "scheduled", "scheduledTime": "2030-01-01T09:00:00Z", "content": "Secret sauce" }),
        json!({ "status": "draft", "content": "Second" }),
    ];
    let ids = app.posts(&ann.id, posts).await;
    app.sweep(&app.ws, &ann.id).await;
    let job = delete_job(&app, &ann, &ids).await;
    assert_eq!(ended(&app, &job).await.succeeded, 2);
    let stored = app.app().db.backups(&job, 0, 9).await.unwrap();
    assert_eq!(stored.len(), 2);
    for (_, sealed, _) in &stored {
        assert!(!String::from_utf8_lossy(sealed).contains("sauce"), "it is encrypted");
    }
    // Bound to its row: another item's copy does not open as this one's.
    assert!(app.app().road.open_backup(&job, stored[0].0, &stored[1].1).is_err());
    let mut browser = Browser::login(&app).await;
    let page = browser.get(&format!("/w/{}/jobs/{job}", app.ws)).await.text;
    assert!(page.contains("backup.ndjson") && page.contains("Media files are not kept"), "{page}");
    let lines = browser.get(&format!("/w/{}/jobs/{job}/backup.ndjson", app.ws)).await.text;
    let lines: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let first = lines.iter().find(|l| l["postGroupId"] == ids[0].as_str()).unwrap();
    assert_eq!(first["listed"]["scheduledTime"], "2030-01-01T09:00:00.000Z");
    assert_eq!((&first["listed"]["content"], &first["state"]), (&json!("Secret sauce"), &json!("succeeded")));
    assert_eq!(first["post"]["posts"][0]["content"], "Secret sauce", "{first}");
}

async fn failures_are_explained_and_in_the_files(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let ids = app.posts(&ann.id, (0..3).map(|_| json!({ "status": "draft" })).collect()).await;
    app.sweep(&app.ws, &ann.id).await;
    let path = |id: &str| json!({ "path": format!("/api/v1/delete-post/{id}") });
    app.faults(json!([
        { "match": path(&ids[0]), "status": 500, "body": { "error": "Failed to delete post group" } },
        { "match": path(&ids[1]), "status": 400, "body": { "error": "No, because" } },
    ]))
    .await;
    let job = delete_job(&app, &ann, &ids).await;
    assert_eq!(ended(&app, &job).await.failed, 2);
    let failed = app.app().db.latest_failures(&job, 9).await.unwrap();
    let mut browser = Browser::login(&app).await;
    let base = format!("/w/{}/jobs/{job}", app.ws);
    let page = browser.get(&base).await.text;
    for said in
        ["http_500", "Can be tried again.", "http_400", "No, because", "would most likely fail the same way"]
    {
        assert!(page.contains(said), "{said}: {page}");
    }
    // The operation is the request's id at PostPost.
    let operation = failed[0].op_id.clone().unwrap();
    assert!(page.contains(&format!("/operations/{operation}")), "{page}");
    let lines = browser.get(&format!("{base}/results.ndjson")).await.text;
    let lines: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    let of = |id: &String| lines.iter().find(|l| l["post_id"] == id.as_str()).unwrap();
    let told = |id| (of(id)["code"].as_str().unwrap(), of(id)["can_be_tried_again"].as_str().unwrap());
    assert_eq!(
        (told(&ids[0]), told(&ids[1]), told(&ids[2])),
        (("http_500", "true"), ("http_400", "false"), ("", ""))
    );
    assert_eq!((&of(&ids[0])["attempts"], &of(&ids[2])["state"]), (&json!("1"), &json!("succeeded")));
    let csv = browser.get(&format!("{base}/results.csv")).await.text;
    let head = csv.lines().next().unwrap();
    for column in [
        "n",
        "tenant_id",
        "status_before",
        "time_asked",
        "time_granted",
        "state",
        "code",
        "attempts",
        "ended",
    ] {
        assert!(head.split(',').any(|c| c.trim_matches(['"', '\u{feff}']) == column), "{column}: {head}");
    }
}
