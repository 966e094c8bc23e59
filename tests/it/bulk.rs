//! Bulk work as an operator does it, without JavaScript: select, preview, confirm, watch.

use crate::{
    support::{
        databases::{Engine, gateway_on_both_engines},
        jobs::{delete_job, delete_job_at, deletions, ended},
    },
    testapp::{Browser, TestApp, hidden},
};
use gatehouse::{
    clock::DAY,
    domain::{
        jobs::{Counts, ItemState, JobState, retryable},
        times,
    },
    store::jobs::JobFilter,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

gateway_on_both_engines!(
    a_job_does_exactly_what_its_plan_showed,
    a_double_click_makes_one_job,
    pausing_and_resuming_never_publishes_unasked,
    faults_leave_every_item_counted_once,
    a_restart_in_the_middle_loses_and_doubles_nothing,
    a_limit_error_stops_that_tenants_part_only,
    background_calls_keep_their_pace,
    a_frozen_workspace_does_not_hold_up_another,
    a_tenant_detached_at_postpost_is_left_out,
    failures_in_a_row_stop_the_job,
    a_success_between_failures_lets_the_job_go_on,
    what_postpost_keeps_putting_off_fails_in_the_end,
    a_tenant_that_cannot_be_read_does_not_hold_the_job_up,
    nothing_is_sent_before_a_jobs_time,
);

/// The id at the end of a location such as `/w/…/jobs/{id}?done=…`.
pub fn last_id(location: &str) -> String {
    location.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned()
}

pub async fn finished(app: &TestApp, job: &str) -> Counts {
    app.until("the job ends", || async {
        app.app().db.job(&app.ws, job).await.unwrap().unwrap().state == JobState::Completed
    })
    .await;
    app.app().db.job(&app.ws, job).await.unwrap().unwrap().counts
}

/// Makes a plan from a form of the posts list and returns its page's address.
pub async fn plan(browser: &mut Browser, ws: &str, fields: &[(&str, &str)]) -> String {
    let answer = browser.submit(&format!("/w/{ws}/posts"), &format!("/w/{ws}/plans"), fields).await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    answer.header("location").to_owned()
}

pub async fn confirm(browser: &mut Browser, plan: &str, fields: &[(&str, &str)]) -> crate::testapp::Answer {
    let page = browser.get(plan).await;
    let digest = hidden(&page.text, "digest");
    let mut all = vec![("digest", digest.as_str())];
    all.extend_from_slice(fields);
    browser.submit(plan, &format!("{plan}/confirm"), &all).await
}

async fn a_job_does_exactly_what_its_plan_showed(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let (ann, bob) = (app.tenant("ann").await, app.tenant("bob").await);
    let mut failed = Vec::new();
    for tenant in [&ann, &bob] {
        let posts = (0..10).map(|n| json!({ "status": "failed", "content": format!("old {n}") })).collect();
        failed.extend(app.posts(&tenant.id, posts).await.into_iter().map(|id| (tenant.id.clone(), id)));
        let posts = (0..10).map(|n| json!({ "status": "draft", "content": format!("keep {n}") })).collect();
        app.posts(&tenant.id, posts).await;
        app.sweep(&app.ws, &tenant.id).await;
    }
    let mut browser = Browser::login(&app).await;
    let fields = [("action", "delete"), ("scope", "matching"), ("filter", "status=failed")];
    let plan = plan(&mut browser, &app.ws, &fields).await;
    let page = browser.get(&plan).await;
    assert!(page.text.contains("Delete 20 posts of 2 tenants."), "{}", page.text);

    // Behind its back: one more that matches, one changed, one gone.
    let late = app.posts(&ann.id, vec![json!({ "status": "failed", "content": "late" })]).await.remove(0);
    app.control(Method::PATCH, &format!("posts/{}", failed[3].1), json!({ "content": "edited" })).await;
    app.control(Method::DELETE, &format!("posts/{}", failed[4].1), Value::Null).await;
    for tenant in [&ann, &bob] {
        app.sweep(&app.ws, &tenant.id).await;
    }

    let wrong = confirm(&mut browser, &plan, &[("confirm", "delete 19"), ("reason", "spring")]).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.text.contains("There is a problem"));
    let none = confirm(&mut browser, &plan, &[("confirm", "delete 20"), ("reason", "")]).await;
    assert_eq!(none.status, 422, "a reason is required");
    let answer = confirm(&mut browser, &plan, &[("confirm", " Delete 20 "), ("reason", "spring")]).await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    let job = last_id(answer.header("location"));
    let counts = finished(&app, &job).await;
    assert_eq!(counts, Counts { succeeded: 18, gone: 1, skipped: 1, ..Counts::default() });

    let effects = app.journal(0).await;
    let deleted: BTreeSet<&str> = effects
        .iter()
        .filter(|e| e["action"] == "post.delete" && e["origin"] == "api")
        .map(|e| e["postGroupId"].as_str().unwrap())
        .collect();
    let planned: BTreeSet<&str> = failed.iter().map(|(_, id)| id.as_str()).collect();
    assert!(deleted.is_subset(&planned) && deleted.len() == 18);
    assert!(!deleted.contains(late.as_str()) && !deleted.contains(failed[3].1.as_str()));

    let shown = browser.get(&format!("/w/{}/jobs/{job}", app.ws)).await;
    assert!(shown.text.contains("18 done, 1 already gone, 1 skipped."), "{}", shown.text);
    let csv = browser.get(&format!("/w/{}/jobs/{job}/results.csv", app.ws)).await;
    assert_eq!(csv.text.lines().count(), 21);
    assert!(csv.header("content-disposition").starts_with("attachment"));
    let entries = app.entries().await;
    let of_job = |outcome: &str| {
        entries
            .iter()
            .filter(|e| e["jobId"] == job.as_str() && e["outcome"] == outcome && e["action"] == "post.delete")
            .count()
    };
    assert_eq!((of_job("intent"), of_job("succeeded"), of_job("gone")), (18, 18, 1));
}

async fn a_double_click_makes_one_job(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let id = app.posts(&ann.id, vec![json!({ "status": "draft" })]).await.remove(0);
    app.sweep(&app.ws, &ann.id).await;
    let mut browser = Browser::login(&app).await;
    let ticked = format!("{}:{id}", ann.id);
    let plan =
        plan(&mut browser, &app.ws, &[("action", "delete"), ("scope", "ticked"), ("post", &ticked)]).await;
    let page = browser.get(&plan).await;
    let (csrf, once, digest) =
        (hidden(&page.text, "_csrf"), hidden(&page.text, "_once"), hidden(&page.text, "digest"));
    let fields =
        [("_csrf", csrf.as_str()), ("_once", once.as_str()), ("digest", digest.as_str()), ("reason", "x")];
    let first = browser.post(&format!("{plan}/confirm"), &fields).await;
    let second = browser.post(&format!("{plan}/confirm"), &fields).await;
    assert_eq!((first.status, second.status), (303, 303));
    assert_eq!(last_id(first.header("location")), last_id(second.header("location")));
    // The same plan from another rendering of the page: still the one job.
    let third = browser
        .submit(
            &format!("/w/{}/posts", app.ws),
            &format!("{plan}/confirm"),
            &[("digest", &digest), ("reason", "x")],
        )
        .await;
    assert_eq!(last_id(first.header("location")), last_id(third.header("location")));
    assert_eq!(app.app().db.jobs(&app.ws, &JobFilter::default(), None, 10).await.unwrap().len(), 1);
}

async fn pausing_and_resuming_never_publishes_unasked(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let now = app.clock.now();
    let at = |millis: i64| times::to_iso(millis);
    let scheduled = |at: String| json!({ "status": "scheduled", "scheduledTime": at });
    let ids = app
        .posts(
            &ann.id,
            vec![scheduled(at(now + DAY)), scheduled(at(now + 2 * DAY)), json!({ "status": "draft" })],
        )
        .await;
    app.sweep(&app.ws, &ann.id).await;
    let mut browser = Browser::login(&app).await;
    let ticked: Vec<String> = ids.iter().map(|id| format!("{}:{id}", ann.id)).collect();
    let mut run = async |action: &str, options: &[(&str, &str)]| {
        let mut fields = vec![("action", action), ("scope", "ticked")];
        fields.extend(ticked.iter().map(|t| ("post", t.as_str())));
        let plan = plan(&mut browser, &app.ws, &fields).await;
        if !options.is_empty() {
            let answer = browser.submit(&plan, &format!("{plan}/options"), options).await;
            assert_eq!(answer.status, 303, "{}", answer.text);
        }
        // A pause of a few posts of one tenant needs no preview: that was its job.
        if action == "pause" {
            return finished(&app, &last_id(&plan)).await;
        }
        let answer = confirm(&mut browser, &plan, &[("reason", "")]).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        finished(&app, &last_id(answer.header("location"))).await
    };
    let paused = run("pause", &[]).await;
    assert_eq!(paused, Counts { succeeded: 2, skipped: 1, ..Counts::default() });
    // While it was paused its time has passed.
    app.control(Method::PATCH, &format!("posts/{}", ids[0]), json!({ "scheduledTime": at(now - 1000) }))
        .await;
    app.sweep(&app.ws, &ann.id).await;
    let resumed = run("resume", &[]).await;
    assert_eq!(resumed, Counts { succeeded: 1, skipped: 2, ..Counts::default() });
    let first = app.control(Method::GET, &format!("posts/{}", ids[0]), Value::Null).await;
    assert_eq!(
        (first["status"].as_str(), first["scheduledTime"].as_str()),
        (Some("draft"), Some(at(now - 1000).as_str()))
    );
    app.sweep(&app.ws, &ann.id).await;
    let moved =
        run("reschedule", &[("mode", "shift"), ("amount", "3"), ("unit", "days"), ("sign", "later")]).await;
    assert_eq!(moved.succeeded, 2, "{moved:?}");
    let second = app.control(Method::GET, &format!("posts/{}", ids[1]), Value::Null).await;
    assert_eq!(second["scheduledTime"].as_str(), Some(at(now + 5 * DAY).as_str()));
}

async fn faults_leave_every_item_counted_once(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let posts = (0..60).map(|n| json!({ "status": "draft", "content": format!("p{n}") })).collect();
    let ids = app.posts(&ann.id, posts).await;
    app.sweep(&app.ws, &ann.id).await;
    let delete = json!({ "method": "DELETE" });
    app.faults(json!([
        { "match": delete, "probability": 0.15, "resetAfter": true },
        { "match": delete, "probability": 0.15, "resetBefore": true },
        { "match": delete, "probability": 0.15, "status": 500, "body": { "error": "Failed to delete post group" } },
        { "match": delete, "probability": 0.15, "retryAfter": 0 },
        { "match": delete, "probability": 0.1, "statusAfter": 502 },
    ]))
    .await;
    let mut browser = Browser::login(&app).await;
    let plan =
        plan(&mut browser, &app.ws, &[("action", "delete"), ("scope", "matching"), ("filter", "")]).await;
    let answer = confirm(&mut browser, &plan, &[("confirm", "delete 60"), ("reason", "x")]).await;
    let job = last_id(answer.header("location"));
    finished(&app, &job).await;
    app.until_settled().await;
    let counts = app.app().db.job(&app.ws, &job).await.unwrap().unwrap().counts;
    assert_eq!((counts.total(), counts.unknown, counts.pending, counts.running), (60, 0, 0, 0), "{counts:?}");
    let journal = app.journal(0).await;
    let mut deleted: Vec<&str> = journal
        .iter()
        .filter(|e| e["action"] == "post.delete")
        .map(|e| e["postGroupId"].as_str().unwrap())
        .collect();
    let effects = deleted.len();
    deleted.sort_unstable();
    deleted.dedup();
    assert_eq!(deleted.len(), effects, "nothing was deleted twice");
    assert_eq!(effects as i64, counts.succeeded + counts.gone, "{counts:?}");
    assert!(deleted.iter().all(|d| ids.iter().any(|id| id == d)));
}

async fn a_restart_in_the_middle_loses_and_doubles_nothing(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    app.posts(&ann.id, (0..80).map(|n| json!({ "status": "draft", "content": format!("p{n}") })).collect())
        .await;
    app.sweep(&app.ws, &ann.id).await;
    app.faults(json!([{ "match": { "method": "DELETE" }, "delayMs": 30 }])).await;
    let job = {
        let mut browser = Browser::login(&app).await;
        let plan =
            plan(&mut browser, &app.ws, &[("action", "delete"), ("scope", "matching"), ("filter", "")]).await;
        let answer = confirm(&mut browser, &plan, &[("confirm", "delete 80"), ("reason", "x")]).await;
        last_id(answer.header("location"))
    };
    app.until("some items are done", || async {
        app.app().db.job(&app.ws, &job).await.unwrap().unwrap().counts.succeeded > 10
    })
    .await;
    app.restart().await;
    let counts = finished(&app, &job).await;
    assert_eq!(counts, Counts { succeeded: 80, ..Counts::default() });
    let deletes = app.journal(0).await.iter().filter(|e| e["action"] == "post.delete").count();
    assert_eq!(deletes, 80);
}

async fn a_limit_error_stops_that_tenants_part_only(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let (ann, bob) = (app.tenant("ann").await, app.tenant("bob").await);
    for tenant in [&ann, &bob] {
        let posts = (0..30).map(|_| json!({ "status": "draft" })).collect();
        app.posts(&tenant.id, posts).await;
        app.sweep(&app.ws, &tenant.id).await;
    }
    let body = json!({ "error": "limit", "code": "POST_LIMIT_REACHED" });
    app.faults(json!([{ "match": { "method": "DELETE", "userId": ann.id }, "status": 403, "body": body }]))
        .await;
    let mut browser = Browser::login(&app).await;
    let plan =
        plan(&mut browser, &app.ws, &[("action", "delete"), ("scope", "matching"), ("filter", "")]).await;
    let answer = confirm(&mut browser, &plan, &[("confirm", "delete 60"), ("reason", "x")]).await;
    let counts = finished(&app, &last_id(answer.header("location"))).await;
    assert_eq!((counts.succeeded, counts.total()), (30, 60), "{counts:?}");
    // Those in flight when the first came back may have failed as well; the rest was not tried.
    assert!(counts.failed >= 1 && counts.failed <= 8 && counts.skipped == 30 - counts.failed, "{counts:?}");
}

async fn background_calls_keep_their_pace(engine: Engine) {
    let interval = Duration::from_millis(25);
    let app = TestApp::spawn_with(engine, |config| config.tuning.pace = interval).await;
    let ann = app.tenant("ann").await;
    app.posts(&ann.id, (0..20).map(|_| json!({ "status": "draft" })).collect()).await;
    app.sweep(&app.ws, &ann.id).await;
    app.quiet().await;
    let mut browser = Browser::login(&app).await;
    let plan =
        plan(&mut browser, &app.ws, &[("action", "delete"), ("scope", "matching"), ("filter", "")]).await;
    let begun = std::time::Instant::now();
    let answer = confirm(&mut browser, &plan, &[("confirm", "delete 20"), ("reason", "x")]).await;
    finished(&app, &last_id(answer.header("location"))).await;
    let (elapsed, calls) = (begun.elapsed(), app.calls().await);
    println!("{calls} calls in {elapsed:?}, one per {interval:?} allowed");
    assert!(calls >= 40 && elapsed >= interval * (calls as u32 - 2), "{calls} calls in {elapsed:?}");
}

/// A job that deletes all there is, and its state when it has ended.
async fn delete_all(app: &TestApp, posts: usize) -> (String, JobState, Counts) {
    let mut browser = Browser::login(app).await;
    let plan =
        plan(&mut browser, &app.ws, &[("action", "delete"), ("scope", "matching"), ("filter", "")]).await;
    let typed = format!("delete {posts}");
    let answer = confirm(&mut browser, &plan, &[("confirm", &typed), ("reason", "x")]).await;
    let id = last_id(answer.header("location"));
    let job = async || app.app().db.job(&app.ws, &id).await.unwrap().unwrap();
    app.until("the job ends", || async { job().await.state.is_final() }).await;
    let job = job().await;
    (id, job.state, job.counts)
}

async fn failures_in_a_row_stop_the_job(engine: Engine) {
    let app = TestApp::spawn_with(engine, |config| config.tuning.pace = Duration::from_millis(1)).await;
    let tenants = [app.tenant("ann").await, app.tenant("bob").await];
    for tenant in &tenants {
        app.posts(&tenant.id, (0..60).map(|_| json!({ "status": "draft" })).collect()).await;
        app.sweep(&app.ws, &tenant.id).await;
    }
    let failed = json!({ "error": "Failed to delete post group" });
    app.faults(json!([{ "match": { "method": "DELETE" }, "status": 500, "body": failed }])).await;
    let (id, state, counts) = delete_all(&app, 120).await;
    assert_eq!((state, counts.total()), (JobState::Stopped, 120), "{counts:?}");
    // Those under way with the twentieth may have failed as well: eight of each tenant.
    assert!((20..=20 + 16).contains(&counts.failed), "{counts:?}");
    assert_eq!(counts.cancelled, 120 - counts.failed, "{counts:?}");
    let cancelled = app.app().db.job_items(&id, Some(ItemState::Cancelled), 0, 200).await.unwrap();
    assert!(cancelled.iter().all(|item| item.code.as_deref() == Some("stopped")));
    let mut browser = Browser::login(&app).await;
    let page = browser.get(&format!("/w/{}/jobs/{id}", app.ws)).await;
    assert!(page.text.contains("Stopped after 20 failures in a row."), "{}", page.text);
    let end = app.entries().await.into_iter().find(|e| e["action"] == "job.end").unwrap();
    assert_eq!(end["jobId"], id.as_str(), "{end}");
}

async fn a_success_between_failures_lets_the_job_go_on(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    app.posts(&ann.id, (0..80).map(|_| json!({ "status": "draft" })).collect()).await;
    app.sweep(&app.ws, &ann.id).await;
    let delete = json!({ "method": "DELETE" });
    let body = json!({ "error": "Failed to delete post group" });
    // Half of them, so that twenty in a row are one chance in tens of thousands.
    app.faults(json!([{ "match": delete, "probability": 0.4, "status": 500, "body": body }])).await;
    let (_, state, counts) = delete_all(&app, 80).await;
    assert_eq!((state, counts.total(), counts.cancelled), (JobState::Completed, 80, 0), "{counts:?}");
    assert!(counts.failed > 10 && counts.succeeded > 10, "{counts:?}");
}

async fn what_postpost_keeps_putting_off_fails_in_the_end(engine: Engine) {
    let app = TestApp::spawn_with(engine, |config| config.tuning.tick = Duration::from_millis(5)).await;
    let ann = app.tenant("ann").await;
    let ids = app.posts(&ann.id, (0..4).map(|_| json!({ "status": "draft" })).collect()).await;
    app.sweep(&app.ws, &ann.id).await;
    // One at its look-up, one at its delete; the other two go through.
    app.faults(json!([
        { "match": { "path": format!("/api/v1/get-post/{}", ids[0]) }, "retryAfter": 0 },
        { "match": { "path": format!("/api/v1/delete-post/{}", ids[1]) }, "retryAfter": 0 },
    ]))
    .await;
    let (id, state, counts) = delete_all(&app, 4).await;
    assert_eq!(state, JobState::Completed);
    assert_eq!(counts, Counts { succeeded: 2, failed: 2, ..Counts::default() });
    let failed = app.app().db.job_items(&id, Some(ItemState::Failed), 0, 10).await.unwrap();
    for item in failed {
        assert_eq!(item.code.as_deref(), Some("rate_limited"));
        assert!(retryable(item.code.as_deref().unwrap()) && item.attempts >= 7, "{item:?}");
    }
}

async fn a_tenant_that_cannot_be_read_does_not_hold_the_job_up(engine: Engine) {
    let app = TestApp::spawn_with(engine, |config| config.tuning.tick = Duration::from_millis(5)).await;
    let (ann, bob) = (app.tenant("ann").await, app.tenant("bob").await);
    for tenant in [&ann, &bob] {
        app.posts(&tenant.id, (0..30).map(|_| json!({ "status": "draft" })).collect()).await;
        app.sweep(&app.ws, &tenant.id).await;
    }
    app.clock.advance(2 * 60_000);
    let body = json!({ "error": "Failed to list posts" });
    app.faults(
        json!([{ "match": { "path": "/api/v1/list-posts", "userId": ann.id }, "status": 400, "body": body }]),
    )
    .await;
    let (id, state, counts) = delete_all(&app, 60).await;
    assert_eq!(state, JobState::Completed, "one tenant does not stop the others");
    assert_eq!(counts, Counts { succeeded: 30, failed: 30, ..Counts::default() });
    let failed = app.app().db.job_items(&id, Some(ItemState::Failed), 0, 100).await.unwrap();
    assert!(failed.iter().all(|i| i.code.as_deref() == Some("tenant_unreadable") && i.tenant_id == ann.id));
    assert!(failed[0].message.as_ref().unwrap().contains("Failed to list posts"), "{:?}", failed[0]);
}

async fn nothing_is_sent_before_a_jobs_time(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let (ann, bob) = (app.tenant("ann").await, app.tenant("bob").await);
    let mut ids = Vec::new();
    for tenant in [&ann, &bob] {
        ids.push(app.posts(&tenant.id, (0..6).map(|_| json!({ "status": "draft" })).collect()).await);
        app.sweep(&app.ws, &tenant.id).await;
    }
    let at = Some(app.clock.now() + 30_000);
    let later = delete_job_at(&app, &ann, &ids[0][..3], at).await;
    let never = delete_job_at(&app, &ann, &ids[0][3..], at).await;
    // It does not keep others waiting.
    let now = delete_job(&app, &bob, &ids[1]).await;
    assert_eq!(ended(&app, &now).await.succeeded, 6);
    let mut browser = Browser::login(&app).await;
    let page = browser.get(&format!("/w/{}/jobs/{later}", app.ws)).await;
    assert!(page.text.contains("Starts in ") && page.text.contains("Cancel"), "{}", page.text);
    let path = format!("/w/{}/jobs/{never}/cancel", app.ws);
    assert_eq!(browser.submit(&path, &path, &[]).await.status, 303);
    app.until("the one is cancelled", || async {
        app.app().db.job(&app.ws, &never).await.unwrap().unwrap().state == JobState::Cancelled
    })
    .await;
    app.restart().await;
    let waiting = app.app().db.job(&app.ws, &later).await.unwrap().unwrap();
    assert_eq!((waiting.state, waiting.counts.pending), (JobState::Queued, 3));
    assert_eq!(deletions(&app).await.len(), 6);
    app.clock.advance(31_000);
    assert_eq!(ended(&app, &later).await.succeeded, 3);
    let deleted = deletions(&app).await;
    assert!(deleted.len() == 9 && ids[0][3..].iter().all(|id| !deleted.contains_key(id)));
}

async fn a_frozen_workspace_does_not_hold_up_another(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    app.posts(&ann.id, vec![json!({ "status": "draft" })]).await;
    app.sweep(&app.ws, &ann.id).await;
    let (other, other_key) = app.add_workspace("Other").await;
    let eve = app.tenant_of(&other, &other_key, "eve").await;
    app.posts(&eve.id, vec![json!({ "status": "draft" })]).await;
    app.sweep(&other, &eve.id).await;
    let db = &app.app().db;
    let mut browser = Browser::login(&app).await;
    let fields = [("action", "delete"), ("scope", "matching"), ("filter", "")];
    let first = plan(&mut browser, &app.ws, &fields).await;
    db.freeze_workspace(&app.owner, &app.ws, Some("audit"), app.clock.now()).await.unwrap();
    app.app().access.reload().await.unwrap();
    let stuck = confirm(&mut browser, &first, &[("confirm", "delete 1"), ("reason", "x")]).await;
    let stuck = last_id(stuck.header("location"));
    app.until("the frozen one has begun", || async {
        db.job(&app.ws, &stuck).await.unwrap().unwrap().state == JobState::Running
    })
    .await;
    let second = plan(&mut browser, &other, &fields).await;
    let answer = confirm(&mut browser, &second, &[("confirm", "delete 1"), ("reason", "x")]).await;
    let free = last_id(answer.header("location"));
    app.until("the other one ends", || async {
        db.job(&other, &free).await.unwrap().unwrap().state == JobState::Completed
    })
    .await;
    assert_eq!(db.job(&app.ws, &stuck).await.unwrap().unwrap().counts.pending, 1);
    db.freeze_workspace(&app.owner, &app.ws, None, app.clock.now()).await.unwrap();
    app.app().access.reload().await.unwrap();
    assert_eq!(finished(&app, &stuck).await.succeeded, 1);
}

async fn a_tenant_detached_at_postpost_is_left_out(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let (ann, bob) = (app.tenant("ann").await, app.tenant("bob").await);
    for tenant in [&ann, &bob] {
        app.posts(&tenant.id, (0..5).map(|_| json!({ "status": "draft" })).collect()).await;
        app.sweep(&app.ws, &tenant.id).await;
    }
    let mut browser = Browser::login(&app).await;
    let plan =
        plan(&mut browser, &app.ws, &[("action", "delete"), ("scope", "matching"), ("filter", "")]).await;
    app.control(Method::DELETE, &format!("users/{}", ann.id), Value::Null).await;
    app.clock.advance(2 * 60_000);
    let answer = confirm(&mut browser, &plan, &[("confirm", "delete 10"), ("reason", "x")]).await;
    let counts = finished(&app, &last_id(answer.header("location"))).await;
    assert_eq!(counts, Counts { succeeded: 5, skipped: 5, ..Counts::default() });
}
