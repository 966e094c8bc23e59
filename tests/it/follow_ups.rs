//! What is made of a job that has ended: another try of exactly what failed and may go through, and the way back.

use crate::{
    support::{
        databases::{Engine, gateway_on_both_engines},
        jobs::{delete_job, delete_plan, deletions, ended, ticked},
    },
    testapp::{Answer, Browser, Tenant, TestApp, hidden},
};
use gatehouse::{
    clock::DAY,
    domain::{
        jobs::{Counts, ItemState},
        plans::PlanOptions,
        times,
    },
    jobs::planning,
};
use reqwest::Method;
use serde_json::{Value, json};

gateway_on_both_engines!(
    a_retry_makes_exactly_what_failed_and_may_go_through,
    what_a_job_has_paused_is_resumed_and_nothing_else,
    a_pause_is_taken_back_at_once,
    earlier_times_are_restored,
    a_resume_is_taken_back,
    there_is_nothing_to_follow_a_job_that_runs_or_is_clean,
    a_freeze_offers_to_pause_what_would_still_go_out,
);

fn last_id(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.text);
    answer.header("location").split('?').next().unwrap().rsplit('/').next().unwrap().to_owned()
}

/// Confirms the plan a form led to, and waits for its job: the job's id and counts.
async fn confirmed(app: &TestApp, browser: &mut Browser, answer: Answer) -> (String, Counts) {
    assert_eq!(answer.status, 303, "{}", answer.text);
    // A small pause needs no preview.
    if answer.header("location").contains("/jobs/") {
        let job = last_id(&answer);
        let counts = ended(app, &job).await;
        return (job, counts);
    }
    let plan = answer.header("location").to_owned();
    let page = browser.get(&plan).await;
    assert!(page.text.contains("name=\"digest\""), "{}", page.text);
    let digest = hidden(&page.text, "digest");
    let fields = [("digest", digest.as_str()), ("reason", "because")];
    let job = last_id(&browser.submit(&plan, &format!("{plan}/confirm"), &fields).await);
    let counts = ended(app, &job).await;
    (job, counts)
}

/// Presses a button of a job's page.
async fn follow(app: &TestApp, browser: &mut Browser, job: &str, purpose: &str) -> Answer {
    let page = format!("/w/{}/jobs/{job}", app.ws);
    browser.submit(&page, &format!("{page}/follow"), &[("purpose", purpose)]).await
}

/// A bulk action on ticked posts, through the pages.
async fn act(
    app: &TestApp,
    browser: &mut Browser,
    action: &str,
    tenant: &Tenant,
    posts: &[String],
) -> (String, Counts) {
    let ticked: Vec<String> = posts.iter().map(|id| format!("{}:{id}", tenant.id)).collect();
    let mut fields = vec![("action", action), ("scope", "ticked")];
    fields.extend(ticked.iter().map(|t| ("post", t.as_str())));
    let answer =
        browser.submit(&format!("/w/{}/posts", app.ws), &format!("/w/{}/plans", app.ws), &fields).await;
    let done = confirmed(app, browser, answer).await;
    // What we changed is in the mirror as PostPost has it.
    app.sweep(&app.ws, &tenant.id).await;
    done
}

/// Scheduled posts of a tenant, in so many days.
async fn scheduled(app: &TestApp, tenant: &Tenant, days: &[i64]) -> Vec<String> {
    let now = app.clock.now();
    let post =
        |days: &i64| json!({ "status": "scheduled", "scheduledTime": times::to_iso(now + days * DAY) });
    let ids = app.posts(&tenant.id, days.iter().map(post).collect()).await;
    app.sweep(&app.ws, &tenant.id).await;
    ids
}

async fn status(app: &TestApp, id: &str) -> String {
    app.control(Method::GET, &format!("posts/{id}"), Value::Null).await["status"].as_str().unwrap().to_owned()
}

async fn time(app: &TestApp, id: &str) -> i64 {
    let post = app.control(Method::GET, &format!("posts/{id}"), Value::Null).await;
    times::from_iso(post["scheduledTime"].as_str().unwrap()).unwrap()
}

/// B8: upstream fails on one of ten.
async fn a_retry_makes_exactly_what_failed_and_may_go_through(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let ids = app.posts(&ann.id, (0..40).map(|_| json!({ "status": "draft" })).collect()).await;
    app.sweep(&app.ws, &ann.id).await;
    let failing: Vec<&String> = ids.iter().step_by(10).collect();
    let mut rules: Vec<Value> = failing
        .iter()
        .map(|id| {
            let body = json!({ "error": "Failed to delete post group" });
            json!({ "match": { "path": format!("/api/v1/delete-post/{id}") }, "status": 500, "body": body })
        })
        .collect();
    // One that PostPost refuses for what it is: trying again would be refused again.
    let refused = &ids[5];
    let body = json!({ "error": "No" });
    rules.push(
        json!({ "match": { "path": format!("/api/v1/delete-post/{refused}") }, "status": 400, "body": body }),
    );
    app.faults(json!(rules)).await;
    let parent = delete_job(&app, &ann, &ids).await;
    let counts = ended(&app, &parent).await;
    assert_eq!(counts, Counts { succeeded: 35, failed: 5, ..Counts::default() });

    app.control(Method::DELETE, "faults", Value::Null).await;
    let mut browser = Browser::login(&app).await;
    let page = browser.get(&format!("/w/{}/jobs/{parent}", app.ws)).await.text;
    assert!(page.contains("Retry 4 retryable"), "{page}");
    assert!(page.contains("would most likely fail the same way"), "what is not tried again says why: {page}");
    let answer = follow(&app, &mut browser, &parent, "retry").await;
    let (child, counts) = confirmed(&app, &mut browser, answer).await;
    assert_eq!(counts, Counts { succeeded: 4, ..Counts::default() });
    let items = app.app().db.job_items(&child, None, 0, 100).await.unwrap();
    let mut tried: Vec<&String> = items.iter().map(|item| &item.post_id).collect();
    tried.sort();
    let mut expected = failing.clone();
    expected.sort();
    assert_eq!(tried, expected);
    let deleted = deletions(&app).await;
    assert!(deleted.len() == 39 && deleted.values().all(|n| *n == 1) && !deleted.contains_key(refused));
    let page = browser.get(&format!("/w/{}/jobs/{parent}", app.ws)).await.text;
    assert!(page.contains(&format!("/jobs/{child}")) && page.contains("another try"), "{page}");
    let page = browser.get(&format!("/w/{}/jobs/{child}", app.ws)).await.text;
    assert!(page.contains(&format!("/jobs/{parent}")), "{page}");
    // A second time there is nothing left to try.
    let again = follow(&app, &mut browser, &parent, "retry").await;
    assert!(again.header("location").contains("done=nothing_left"), "{again:?}");
}

async fn what_a_job_has_paused_is_resumed_and_nothing_else(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let ids = scheduled(&app, &ann, &[1, 2, 3, 4]).await;
    let mut browser = Browser::login(&app).await;
    act(&app, &mut browser, "pause", &ann, &ids[3..]).await;
    let (job, counts) = act(&app, &mut browser, "pause", &ann, &ids).await;
    assert_eq!((counts.succeeded, counts.skipped), (3, 1), "the fourth was paused already");
    // One is resumed by its tenant, and one's time passes meanwhile.
    let path = format!("/api/v1/update-post/{}", ids[0]);
    let resumed = app.api(Method::PUT, &path, &ann.key, Some(json!({ "status": "scheduled" }))).await;
    assert_eq!(resumed.status, 200, "{}", resumed.text);
    let past = times::to_iso(app.clock.now() - 1_000);
    app.control(Method::PATCH, &format!("posts/{}", ids[1]), json!({ "scheduledTime": past })).await;
    app.sweep(&app.ws, &ann.id).await;

    let page = browser.get(&format!("/w/{}/jobs/{job}", app.ws)).await.text;
    assert!(page.contains("Resume these 2"), "{page}");
    let answer = follow(&app, &mut browser, &job, "undo").await;
    let preview = browser.get(answer.header("location")).await.text;
    assert!(preview.contains("Resume 1 post") && preview.contains("1 will be skipped"), "{preview}");
    let (_, counts) = confirmed(&app, &mut browser, answer).await;
    assert_eq!(counts, Counts { succeeded: 1, skipped: 1, ..Counts::default() });
    assert_eq!(status(&app, &ids[1]).await, "draft", "its time has passed: nothing is published unasked");
    assert_eq!(status(&app, &ids[2]).await, "scheduled");
    assert_eq!(status(&app, &ids[3]).await, "draft", "another job has paused it");
}

/// Before the mirror has read what the job changed: its own change is not taken for somebody else's.
async fn a_pause_is_taken_back_at_once(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let ids = scheduled(&app, &ann, &[1, 2, 3, 4, 5]).await;
    let mut browser = Browser::login(&app).await;
    for _ in 0..3 {
        let ticked: Vec<String> = ids.iter().map(|id| format!("{}:{id}", ann.id)).collect();
        let mut fields = vec![("action", "pause"), ("scope", "ticked")];
        fields.extend(ticked.iter().map(|t| ("post", t.as_str())));
        app.sweep(&app.ws, &ann.id).await;
        let answer =
            browser.submit(&format!("/w/{}/posts", app.ws), &format!("/w/{}/plans", app.ws), &fields).await;
        let (job, counts) = confirmed(&app, &mut browser, answer).await;
        assert_eq!(counts.succeeded, 5, "{counts:?}");
        let answer = follow(&app, &mut browser, &job, "undo").await;
        let (_, counts) = confirmed(&app, &mut browser, answer).await;
        assert_eq!(counts, Counts { succeeded: 5, ..Counts::default() });
    }
}

async fn earlier_times_are_restored(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let ids = scheduled(&app, &ann, &[1, 2, 3]).await;
    let mut before = Vec::new();
    for id in &ids {
        before.push(time(&app, id).await);
    }
    let mut browser = Browser::login(&app).await;
    // A day later, as a new plan begins.
    let (job, counts) = act(&app, &mut browser, "reschedule", &ann, &ids).await;
    assert_eq!(counts.succeeded, 3);
    assert_eq!(time(&app, &ids[0]).await, before[0] + DAY);
    // Somebody else moves one since, and of one the earlier time passes.
    let moved = app.clock.now() + 9 * DAY;
    app.control(
        Method::PATCH,
        &format!("posts/{}", ids[1]),
        json!({ "scheduledTime": times::to_iso(moved) }),
    )
    .await;
    app.sweep(&app.ws, &ann.id).await;
    app.clock.advance(DAY);
    // The session did not last that long.
    let mut browser = Browser::login(&app).await;
    let answer = follow(&app, &mut browser, &job, "undo").await;
    let (_, counts) = confirmed(&app, &mut browser, answer).await;
    assert_eq!(counts, Counts { succeeded: 1, skipped: 1, ..Counts::default() });
    assert_eq!(time(&app, &ids[0]).await, before[0] + DAY, "a past time is not restored");
    assert_eq!(time(&app, &ids[1]).await, moved, "what somebody else has set since is theirs");
    assert_eq!(time(&app, &ids[2]).await, before[2]);
}

async fn a_resume_is_taken_back(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let ids = scheduled(&app, &ann, &[1, 2]).await;
    let mut browser = Browser::login(&app).await;
    act(&app, &mut browser, "pause", &ann, &ids).await;
    let (job, counts) = act(&app, &mut browser, "resume", &ann, &ids).await;
    assert_eq!(counts.succeeded, 2);
    app.control(Method::PATCH, &format!("posts/{}", ids[0]), json!({ "status": "published" })).await;
    app.sweep(&app.ws, &ann.id).await;
    let answer = follow(&app, &mut browser, &job, "undo").await;
    let (child, counts) = confirmed(&app, &mut browser, answer).await;
    assert_eq!(counts, Counts { succeeded: 1, skipped: 1, ..Counts::default() });
    let skipped = app.app().db.job_items(&child, Some(ItemState::Skipped), 0, 9).await.unwrap().remove(0);
    assert_eq!((skipped.post_id.as_str(), skipped.code.as_deref()), (ids[0].as_str(), Some("not_updatable")));
    assert_eq!(status(&app, &ids[1]).await, "draft");
}

async fn a_freeze_offers_to_pause_what_would_still_go_out(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let (ann, bob) = (app.tenant("ann").await, app.tenant("bob").await);
    let (of_ann, of_bob) = (scheduled(&app, &ann, &[1, 2]).await, scheduled(&app, &bob, &[1]).await);
    let mut browser = Browser::login(&app).await;
    let tenant = format!("/w/{}/tenants/{}", app.ws, ann.id);
    let frozen = browser.submit(&tenant, &format!("{tenant}/freeze"), &[("reason", "left us")]).await;
    let page = browser.follow(frozen).await.text;
    assert!(page.contains("Pause its scheduled posts") && page.contains("still go out"), "{page}");
    let path = format!("/api/v1/update-post/{}", of_ann[0]);
    let refused = app.api(Method::PUT, &path, &ann.key, Some(json!({ "status": "draft" }))).await;
    assert_eq!(refused.status, 423, "the tenant itself stays out");
    // As the page's form has it.
    let filter = format!("tenant={}&status=scheduled", ann.id);
    assert!(page.contains(&filter.replace('&', "&amp;")), "{page}");
    let plans = format!("/w/{}/plans", app.ws);
    let fields = [("action", "pause"), ("scope", "matching"), ("filter", filter.as_str())];
    let answer = browser.submit(&tenant, &plans, &fields).await;
    let (_, counts) = confirmed(&app, &mut browser, answer).await;
    assert_eq!(counts, Counts { succeeded: 2, ..Counts::default() });
    assert_eq!(status(&app, &of_ann[1]).await, "draft");
    assert_eq!(status(&app, &of_bob[0]).await, "scheduled");
    // A resume does not pass.
    app.sweep(&app.ws, &ann.id).await;
    let ticked = format!("{}:{}", ann.id, of_ann[0]);
    let fields = [("action", "resume"), ("scope", "ticked"), ("post", ticked.as_str())];
    let answer = browser.submit(&format!("/w/{}/posts", app.ws), &plans, &fields).await;
    let preview = browser.get(answer.header("location")).await.text;
    assert!(preview.contains("Tenant frozen") && preview.contains("nothing to confirm"), "{preview}");
    // The whole workspace.
    let workspace = format!("/w/{}", app.ws);
    let frozen =
        browser.submit(&workspace, &format!("{workspace}/freeze"), &[("reason", "an incident")]).await;
    let page = browser.follow(frozen).await.text;
    assert!(page.contains("Pause all scheduled posts"), "{page}");
    let fields = [("action", "pause"), ("scope", "matching"), ("filter", "status=scheduled")];
    let answer = browser.submit(&workspace, &plans, &fields).await;
    let (_, counts) = confirmed(&app, &mut browser, answer).await;
    assert_eq!(counts, Counts { succeeded: 1, ..Counts::default() });
    assert_eq!(status(&app, &of_bob[0]).await, "draft");
}

async fn there_is_nothing_to_follow_a_job_that_runs_or_is_clean(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let ids = app.posts(&ann.id, (0..3).map(|_| json!({ "status": "draft" })).collect()).await;
    app.sweep(&app.ws, &ann.id).await;
    let mut browser = Browser::login(&app).await;
    // A delete that kept no copies: there is no way back.
    let plan = delete_plan(&app, &app.ws, ticked(&ann, &ids[..2])).await;
    let account = app.app().access.account(&app.ws).unwrap();
    let bare = PlanOptions { keep_backup: false, ..PlanOptions::default() };
    let plan =
        planning::remake(app.app(), &app.owner, &account.workspace, &plan, bare).await.unwrap().unwrap();
    let clean = gatehouse::domain::ids::new_id();
    app.app().db.confirm_plan(&app.owner, &plan, &clean, "", None, app.clock.now()).await.unwrap();
    app.app().jobs.ring();
    ended(&app, &clean).await;
    app.app().db.freeze_workspace(&app.owner, &app.ws, Some("audit"), app.clock.now()).await.unwrap();
    app.app().access.reload().await.unwrap();
    let waiting = delete_job(&app, &ann, &ids[2..]).await;
    for job in [&clean, &waiting] {
        let page = browser.get(&format!("/w/{}/jobs/{job}", app.ws)).await.text;
        assert!(!page.contains("/follow\""), "{page}");
        for purpose in ["retry", "undo"] {
            let token = format!("/w/{}/posts", app.ws);
            let action = format!("/w/{}/jobs/{job}/follow", app.ws);
            let answer = browser.submit(&token, &action, &[("purpose", purpose)]).await;
            assert_eq!(answer.status, 303, "{}", answer.text);
            assert!(answer.header("location").contains("done=nothing_left"), "{answer:?}");
        }
    }
    let bad = browser
        .submit(
            &format!("/w/{}/posts", app.ws),
            &format!("/w/{}/jobs/{clean}/follow", app.ws),
            &[("purpose", "x")],
        )
        .await;
    assert_eq!(bad.status, 400);
}
