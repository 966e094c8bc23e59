//! Deleted posts made again as drafts from the backups of their job: said before what is lost, once per backup, and never
//! twice, whatever happens to the answers and to the process.

use crate::{
    support::{
        databases::{Engine, gateway_on_both_engines},
        jobs::{delete_job, ended, ticked},
        process::Process,
    },
    testapp::{Answer, Browser, Tenant, TestApp, hidden},
};
use gatehouse::{
    app::Running,
    clock::DAY,
    domain::{
        ids,
        jobs::{Counts, ItemState, JobState, Purpose},
        keys::{KeyKind, Scope},
        plans::{BulkAction, Plan, PlanOptions},
        times,
    },
    jobs::{follow_ups, planning},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

gateway_on_both_engines!(
    what_a_job_deleted_comes_back_as_drafts,
    a_backup_is_used_once,
    answers_that_are_lost_make_no_second_post,
    by_program_with_the_scope_to_create,
    a_kill_makes_no_second_post,
);

/// The posts that the API has made at PostPost: content and how often.
async fn made(app: &TestApp) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    let mut after = 0;
    loop {
        let page = app.journal(after).await;
        let Some(last) = page.last() else { return found };
        after = last["seq"].as_i64().unwrap();
        for entry in page.iter().filter(|e| e["action"] == "post.create" && e["origin"] == "api") {
            let path = format!("posts/{}", entry["postGroupId"].as_str().unwrap());
            let post = app.control(Method::GET, &path, Value::Null).await;
            *found.entry(post["content"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
}

/// Posts of a tenant that a job has deleted: the job.
async fn deleted(app: &TestApp, tenant: &Tenant, posts: Vec<Value>) -> String {
    let count = posts.len() as i64;
    let ids = app.posts(&tenant.id, posts).await;
    app.sweep(&app.ws, &tenant.id).await;
    let job = delete_job(app, tenant, &ids).await;
    assert_eq!(ended(app, &job).await, Counts { succeeded: count, ..Counts::default() });
    job
}

fn drafts(count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({ "status": "draft", "content": format!("Draft {n}") })).collect()
}

async fn follow(app: &TestApp, browser: &mut Browser, job: &str, purpose: &str) -> Answer {
    let page = format!("/w/{}/jobs/{job}", app.ws);
    browser.submit(&page, &format!("{page}/follow"), &[("purpose", purpose)]).await
}

/// Confirms the plan that an answer led to, and waits for its job.
async fn confirmed(app: &TestApp, browser: &mut Browser, answer: &Answer) -> (String, Counts) {
    assert_eq!(answer.status, 303, "{}", answer.text);
    let plan = answer.header("location").to_owned();
    let page = browser.get(&plan).await;
    let digest = hidden(&page.text, "digest");
    let done =
        browser.submit(&plan, &format!("{plan}/confirm"), &[("digest", &digest), ("reason", "")]).await;
    assert_eq!(done.status, 303, "{}", done.text);
    let job = done.header("location").split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
    let counts = ended(app, &job).await;
    (job, counts)
}

/// A plan to make again what a job has deleted.
async fn plan(app: &TestApp, job: &str) -> Plan {
    let job = app.app().db.job(&app.ws, job).await.unwrap().unwrap();
    let account = app.app().access.account(&app.ws).unwrap();
    follow_ups::make(app.app(), &account.workspace, &job, Purpose::Undo, &app.owner).await.unwrap()
}

async fn confirm(app: &TestApp, plan: &Plan) -> String {
    let job = ids::new_id();
    app.app().db.confirm_plan(&app.owner, plan, &job, "", None, app.clock.now()).await.unwrap().unwrap();
    app.app().jobs.ring();
    job
}

async fn what_a_job_deleted_comes_back_as_drafts(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let later = times::to_iso(app.clock.now() + DAY);
    let past = times::to_iso(app.clock.now() - DAY);
    let posts = vec![
        json!({ "content": "Plain", "status": "draft" }),
        json!({ "content": "To come", "status": "scheduled", "scheduledTime": later,
                "platforms": ["twitter-1", "bluesky-did:plc:abc"] }),
        json!({ "content": "Went wrong", "status": "failed", "scheduledTime": past,
                "media": ["https://cdn.example/a.jpg"] }),
        json!({ "content": "The same", "status": "draft" }),
        json!({ "content": "The same", "status": "draft" }),
        // PostPost makes no post without a text.
        json!({ "content": "", "status": "draft" }),
    ];
    let job = deleted(&app, &ann, posts).await;
    let mut browser = Browser::login(&app).await;
    let job_page = format!("/w/{}/jobs/{job}", app.ws);
    let page = browser.get(&job_page).await.text;
    assert!(page.contains("Recreate 6 as drafts…"), "{page}");

    let answer = follow(&app, &mut browser, &job, "undo").await;
    let plan_url = answer.header("location").to_owned();
    let page = browser.get(&plan_url).await.text;
    for said in [
        "Recreate 5 posts of 1 tenant as drafts.",
        "1 will be skipped.",
        "Incomplete backup",
        "with new IDs and without a time",
        "media files, and settings of platforms that PostPost does not tell",
        "1 of these posts had media",
        "Was scheduled",
        "Leave them deleted",
        ">Recreate 5 posts as drafts<",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    // Looked at again, with another pace: still the backups.
    let paced = browser.submit(&plan_url, &format!("{plan_url}/options"), &[("rate", "50")]).await;
    assert_eq!(paced.status, 303, "{}", paced.text);
    let again = browser.submit(&plan_url, &format!("{plan_url}/again"), &[]).await;
    assert_eq!(again.status, 303, "{}", again.text);
    assert!(browser.get(&plan_url).await.text.contains("Nothing has changed since the last preview"));
    let csv = browser.get(&format!("{plan_url}/plan.csv")).await.text;
    assert!(csv.contains("To come") && csv.contains("recreate") && csv.contains(&later), "{csv}");

    let (child, counts) = confirmed(&app, &mut browser, &answer).await;
    assert_eq!(counts, Counts { succeeded: 5, skipped: 1, ..Counts::default() });
    let expected = [("Plain", 1), ("The same", 2), ("To come", 1), ("Went wrong", 1)];
    assert_eq!(made(&app).await, expected.map(|(text, n)| (text.to_owned(), n)).into());
    let mut new_ids = Vec::new();
    for item in app.app().db.job_items(&child, Some(ItemState::Succeeded), 0, 9).await.unwrap() {
        let id = item.created_id.unwrap();
        assert_ne!(id, item.post_id);
        let post = app.control(Method::GET, &format!("posts/{id}"), Value::Null).await;
        assert_eq!((&post["status"], &post["scheduledTime"]), (&json!("draft"), &Value::Null), "{post}");
        assert_eq!(post["userId"], ann.id.as_str());
        if post["content"] == "To come" {
            let platforms: Vec<&str> = post["platforms"]
                .as_array()
                .unwrap()
                .iter()
                .map(|p| p["platformId"].as_str().unwrap())
                .collect();
            assert_eq!(platforms, ["twitter-1", "bluesky-did:plc:abc"]);
        }
        new_ids.push(id);
    }
    // The results name the new posts, and so do the page and the log.
    let results = format!("/w/{}/jobs/{child}/results", app.ws);
    let lines = browser.get(&format!("{results}.ndjson")).await.text;
    let told: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let mut told: Vec<&str> =
        told.iter().map(|l| l["new_post_id"].as_str().unwrap()).filter(|id| !id.is_empty()).collect();
    told.sort_unstable();
    new_ids.sort_unstable();
    assert_eq!(told, new_ids);
    let csv = browser.get(&format!("{results}.csv")).await.text;
    assert!(csv.lines().next().unwrap().contains("new_post_id") && csv.contains(&new_ids[0]), "{csv}");
    let page = browser.get(&format!("/w/{}/jobs/{child}", app.ws)).await.text;
    assert!(page.contains(&format!("/posts/{}/{}", ann.id, new_ids[0])), "{page}");
    assert!(page.contains("Made again as a draft") && page.contains("was scheduled for"), "{page}");
    let entries = app.entries().await;
    let of_job = entries.iter().filter(|e| e["jobId"] == child.as_str() && e["action"] == "post.create");
    let outcomes: Vec<&str> = of_job.map(|e| e["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes.iter().filter(|o| **o == "intent").count(), 5);
    assert_eq!(outcomes.iter().filter(|o| **o == "succeeded").count(), 5);
    // Made from, and followed by.
    assert!(browser.get(&job_page).await.text.contains(&format!("/jobs/{child}")));
}

async fn a_backup_is_used_once(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let job = deleted(&app, &ann, drafts(4)).await;
    // Two previews of the same, confirmed one after the other and at once.
    let (first, second, third) = (plan(&app, &job).await, plan(&app, &job).await, plan(&app, &job).await);
    app.faults(json!([{ "match": { "path": "/api/v1/create-post" }, "delayMs": 300 }])).await;
    let first = confirm(&app, &first).await;
    let second = confirm(&app, &second).await;
    assert_eq!(ended(&app, &first).await, Counts { succeeded: 4, ..Counts::default() });
    assert_eq!(ended(&app, &second).await, Counts { skipped: 4, ..Counts::default() }, "locked");
    let third = confirm(&app, &third).await;
    assert_eq!(ended(&app, &third).await, Counts { skipped: 4, ..Counts::default() });
    let codes: Vec<_> = app.app().db.job_codes(&third).await.unwrap();
    assert_eq!(codes, [("skipped".to_owned(), Some("already_recreated".to_owned()), 4)]);
    assert!(made(&app).await.values().all(|n| *n == 1));
    // Nothing is left to offer; who asks all the same is told why.
    let mut browser = Browser::login(&app).await;
    let page = browser.get(&format!("/w/{}/jobs/{job}", app.ws)).await.text;
    assert!(!page.contains("as drafts…"), "{page}");
    let token = format!("/w/{}/posts", app.ws);
    let asked =
        browser.submit(&token, &format!("/w/{}/jobs/{job}/follow", app.ws), &[("purpose", "undo")]).await;
    let page = browser.get(asked.header("location")).await.text;
    assert!(page.contains("Already recreated") && page.contains("nothing to confirm"), "{page}");

    // A draft that was made again and deleted again has a backup of its own.
    let items = app.app().db.job_items(&first, None, 0, 9).await.unwrap();
    let drafts: Vec<String> = items.into_iter().filter_map(|item| item.created_id).collect();
    app.faults(json!([])).await;
    app.sweep(&app.ws, &ann.id).await;
    let twice = delete_job(&app, &ann, &drafts).await;
    ended(&app, &twice).await;
    let again = plan(&app, &twice).await;
    assert_eq!((again.action, again.summary.acted), (BulkAction::Recreate, 4));

    // Without copies there is nothing to offer, and a frozen tenant's posts stay as they are.
    let posts = app.posts(&ann.id, vec![json!({ "status": "draft" })]).await;
    app.sweep(&app.ws, &ann.id).await;
    let account = app.app().access.account(&app.ws).unwrap();
    let request = planning::Request {
        workspace: &account.workspace,
        action: BulkAction::Delete,
        options: PlanOptions { keep_backup: false, ..PlanOptions::default() },
        filter_text: String::new(),
        actor: &app.owner,
    };
    let bare = planning::make(app.app(), request, ticked(&ann, &posts)).await.unwrap();
    let bare = confirm(&app, &bare).await;
    ended(&app, &bare).await;
    let nothing = follow(&app, &mut browser, &twice, "retry").await;
    assert!(nothing.header("location").contains("done=nothing_left"));
    let page = browser.get(&format!("/w/{}/jobs/{bare}", app.ws)).await.text;
    assert!(!page.contains("/follow\""), "{page}");
    app.app().db.freeze_tenant(&app.owner, &app.ws, &ann.id, Some("x"), app.clock.now()).await.unwrap();
    app.app().access.reload().await.unwrap();
    let frozen = confirm(&app, &again).await;
    assert_eq!(ended(&app, &frozen).await, Counts { skipped: 4, ..Counts::default() });
}

async fn answers_that_are_lost_make_no_second_post(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    // Among them two that cannot be told apart.
    let mut posts = drafts(6);
    posts.push(posts[5].clone());
    let job = deleted(&app, &ann, posts).await;
    let fault = |n: usize, what: Value| {
        let mut rule = what;
        rule["match"] = json!({ "path": "/api/v1/create-post", "bodyHas": format!("Draft {n}\"") });
        rule
    };
    app.faults(json!([
        fault(0, json!({ "resetAfter": true })),
        fault(1, json!({ "resetBefore": true })),
        fault(2, json!({ "statusAfter": 503 })),
        fault(3, json!({ "status": 500, "body": { "error": "Failed to create post group" } })),
        fault(4, json!({ "status": 400, "body": { "error": "No" } })),
        // Of the twins one arrives.
        fault(5, json!({ "times": 1, "resetAfter": true })),
        fault(5, json!({ "times": 1, "resetBefore": true })),
    ]))
    .await;
    let mut browser = Browser::login(&app).await;
    let answer = follow(&app, &mut browser, &job, "undo").await;
    let (child, counts) = confirmed(&app, &mut browser, &answer).await;
    app.until_settled().await;
    assert_eq!(counts, Counts { succeeded: 3, failed: 4, ..Counts::default() });
    let before = [("Draft 0", 1), ("Draft 2", 1), ("Draft 5", 1)];
    assert_eq!(made(&app).await, before.map(|(text, n)| (text.to_owned(), n)).into());
    let done = app.app().db.job_items(&child, Some(ItemState::Succeeded), 0, 9).await.unwrap();
    assert!(done.iter().all(|item| item.created_id.is_some()));
    app.faults(json!([])).await;

    // Another try of what may go through: from the same backups.
    let answer = follow(&app, &mut browser, &child, "retry").await;
    let page = browser.get(answer.header("location")).await.text;
    assert!(page.contains("Recreate 3 posts of 1 tenant as drafts."), "{page}");
    let (_, counts) = confirmed(&app, &mut browser, &answer).await;
    assert_eq!(counts, Counts { succeeded: 3, ..Counts::default() });
    let after = [("Draft 0", 1), ("Draft 1", 1), ("Draft 2", 1), ("Draft 3", 1), ("Draft 5", 2)];
    assert_eq!(made(&app).await, after.map(|(text, n)| (text.to_owned(), n)).into());
    let page = browser.get(&format!("/w/{}/jobs/{job}", app.ws)).await.text;
    assert!(page.contains("Recreate 1 as drafts…"), "the one that was refused: {page}");

    // A limit of the plan ends the tenant's part.
    let job = deleted(&app, &ann, drafts(5)).await;
    let limit = json!({ "error": "Limit", "code": "POST_LIMIT_REACHED" });
    app.faults(json!([{ "match": { "path": "/api/v1/create-post" }, "status": 403, "body": limit,
        "delayMs": 100 }]))
        .await;
    let limited = confirm(&app, &plan(&app, &job).await).await;
    let counts = ended(&app, &limited).await;
    assert!(counts.succeeded == 0 && counts.failed + counts.skipped == 5 && counts.failed > 0, "{counts:?}");
}

async fn by_program_with_the_scope_to_create(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let job = deleted(&app, &ann, drafts(2)).await;
    let scopes = [Scope::PostsRead, Scope::PostsUpdate, Scope::PostsDelete];
    let deleter = app.key(&app.ws, KeyKind::Workspace, None, &scopes).await;
    let key = app.key(&app.ws, KeyKind::Workspace, None, &[Scope::PostsRead, Scope::PostsCreate]).await;
    let undo = format!("/manage/v1/bulk/jobs/{job}/undo");
    let refused = app.api(Method::POST, &undo, &deleter, None).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (403, Some("scope_missing")));
    assert!(refused.text.contains("posts:create"), "{}", refused.text);
    let plan = app.api(Method::POST, &undo, &key, None).await;
    assert_eq!(plan.status, 201, "{}", plan.text);
    let plan = plan.json();
    assert_eq!((&plan["action"], &plan["toChange"]), (&json!("recreate"), &json!(2)));
    let lost = json!(["postGroupId", "scheduledTime", "mediaUrls", "platformSettings"]);
    assert_eq!((&plan["notRestored"], &plan["hadMedia"]), (&lost, &json!(0)));
    let path = format!("/manage/v1/bulk/plans/{}/apply", plan["planId"].as_str().unwrap());
    let applied = app.api(Method::POST, &path, &key, Some(json!({ "digest": plan["digest"] }))).await;
    assert_eq!(applied.status, 202, "{}", applied.text);
    let child = applied.json()["jobId"].as_str().unwrap().to_owned();
    ended(&app, &child).await;
    let items = app.api(Method::GET, &format!("/manage/v1/bulk/jobs/{child}/items"), &key, None).await.json();
    for item in items["items"].as_array().unwrap() {
        assert!(ids::is_object_id(item["newPostGroupId"].as_str().unwrap()), "{item}");
    }
    assert_eq!(made(&app).await.len(), 2);
    // Only from a job's backups: posts that are there cannot be named.
    let named = json!({ "action": "recreate", "filter": {} });
    let answer = app.api(Method::POST, "/manage/v1/bulk/plans", &key, Some(named)).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    let mut browser = Browser::login(&app).await;
    let page = format!("/w/{}/posts", app.ws);
    let fields = [("action", "recreate"), ("scope", "matching"), ("filter", "")];
    let answer = browser.submit(&page, &format!("/w/{}/plans", app.ws), &fields).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    let nothing = app.api(Method::POST, &format!("/manage/v1/bulk/jobs/{child}/undo"), &key, None).await;
    assert_eq!(nothing.status, 422, "there is no way back from it: {}", nothing.text);
}

async fn a_kill_makes_no_second_post(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let job = deleted(&app, &ann, drafts(40)).await;
    let plan = plan(&app, &job).await;
    let child = ids::new_id();
    app.faults(json!([{ "match": { "path": "/api/v1/create-post" }, "delayMs": 60, "delayAfterMs": 60 }]))
        .await;
    app.app().db.confirm_plan(&app.owner, &plan, &child, "", None, app.clock.now()).await.unwrap().unwrap();
    app.running.take().unwrap().stop().await;
    let more = ["--lease-seconds", "3", "--tuning", "settle-after=1500,pace=0,tick=50"];
    for wait in [150, 260, 370] {
        let mut process = Process::start_with(&app, &more).await;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        process.kill();
        app.sandbox_idle().await;
    }
    app.faults(json!([])).await;
    app.running = Some(Running::start(app.config.clone(), app.clock.clone()).await.unwrap());
    app.until("the job ends", || async {
        let job = app.app().db.job(&app.ws, &child).await.unwrap().unwrap();
        job.state == JobState::Completed && job.counts.unknown == 0
    })
    .await;
    let counts = app.app().db.job(&app.ws, &child).await.unwrap().unwrap().counts;
    let found = made(&app).await;
    assert!(found.values().all(|n| *n == 1), "{found:?}");
    assert_eq!((counts.succeeded as usize, counts.total()), (found.len(), 40), "{counts:?}");
    println!("killed three times: {counts:?}, made {}", found.len());
    // What did not happen is tried again.
    let rest = counts.failed;
    if rest > 0 {
        let job = app.app().db.job(&app.ws, &child).await.unwrap().unwrap();
        let account = app.app().access.account(&app.ws).unwrap();
        let again =
            follow_ups::make(app.app(), &account.workspace, &job, Purpose::Retry, &app.owner).await.unwrap();
        let again = confirm(&app, &again).await;
        assert_eq!(ended(&app, &again).await.succeeded, rest);
    }
    let found = made(&app).await;
    assert!(found.len() == 40 && found.values().all(|n| *n == 1), "{found:?}");
}
