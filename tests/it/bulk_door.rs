//! Bulk work by program, on the machine door: what is planned is what is done, and only for a key that may.

use crate::{
    support::{
        databases::{Engine, gateway_on_both_engines},
        jobs::{changing_calls, deletions, ended},
    },
    testapp::{Answer, Browser, TestApp},
};
use gatehouse::domain::{keys::KeyKind, keys::Scope, times};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

gateway_on_both_engines!(
    a_plan_is_made_read_and_applied,
    only_what_the_key_may_is_planned_and_applied,
    mistakes_are_named_and_change_nothing,
    times_are_moved_as_asked,
    what_a_program_has_paused_is_resumed,
    what_would_be_published_at_once_is_named_post_by_post,
    what_waits_for_its_turn_is_not_sent_after_a_pause,
    a_pause_that_comes_too_late_holds_nothing_up,
    a_job_can_be_paused_and_cancelled_and_ends_with_its_key,
);

const PLANS: &str = "/manage/v1/bulk/plans";

async fn call(app: &TestApp, method: Method, path: &str, key: &str, body: Value) -> Answer {
    app.api(method, path, key, Some(body).filter(|b| !b.is_null())).await
}

async fn get(app: &TestApp, path: &str, key: &str) -> Value {
    let answer = call(app, Method::GET, path, key, Value::Null).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

async fn plan(app: &TestApp, key: &str, body: Value) -> Value {
    let answer = call(app, Method::POST, PLANS, key, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let plan = answer.json();
    assert_eq!(answer.header("location"), format!("{PLANS}/{}", plan["planId"].as_str().unwrap()));
    plan
}

async fn apply(app: &TestApp, key: &str, plan: &Value, body: Value) -> Answer {
    let path = format!("{PLANS}/{}/apply", plan["planId"].as_str().unwrap());
    call(app, Method::POST, &path, key, body).await
}

async fn bulk_key(app: &TestApp) -> String {
    app.key(&app.ws, KeyKind::Workspace, None, &[Scope::PostsRead, Scope::PostsUpdate, Scope::PostsDelete])
        .await
}

fn drafts(count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({ "status": "draft", "content": format!("post {n}") })).collect()
}

async fn a_plan_is_made_read_and_applied(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let (ann, bob) = (app.tenant("ann").await, app.tenant("bob").await);
    let own = app.posts(&ann.id, drafts(12)).await;
    let other =
        app.posts(&bob.id, vec![json!({ "status": "published" }), json!({ "status": "draft" })]).await;
    for tenant in [&ann, &bob] {
        app.sweep(&app.ws, &tenant.id).await;
    }
    let key = bulk_key(&app).await;
    let filter = json!({ "except": [{ "tenant": ann.id, "postGroupId": own[0] }] });
    let plan = plan(&app, &key, json!({ "action": "delete", "filter": filter })).await;
    assert_eq!((&plan["toChange"], &plan["skipped"], &plan["tenants"]), (&json!(12), &json!(1), &json!(2)));
    assert_eq!((&plan["confirm"], &plan["state"]), (&json!("delete 12"), &json!("open")));
    assert_eq!(plan["skipReasons"], json!({ "published": 1 }));
    let path = format!("{PLANS}/{}", plan["planId"].as_str().unwrap());
    assert_eq!(get(&app, &path, &key).await, plan);
    let items = get(&app, &format!("{path}/items?show=changed"), &key).await;
    let planned: BTreeSet<String> = items["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["postGroupId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(planned.len(), 12);
    let left_out = get(&app, &format!("{path}/items?skipped=published"), &key).await;
    assert_eq!(left_out["items"][0]["postGroupId"], other[0]);

    let asked = json!({ "digest": plan["digest"], "confirm": "delete 12", "reason": "Spring" });
    let first = apply(&app, &key, &plan, asked.clone()).await;
    assert_eq!(first.status, 202, "{}", first.text);
    let job_path = first.header("location").to_owned();
    let job = first.json()["jobId"].as_str().unwrap().to_owned();
    assert_eq!(job_path, format!("/manage/v1/bulk/jobs/{job}"));
    // Sent again, it is the same job.
    assert_eq!(apply(&app, &key, &plan, asked).await.json()["jobId"], job);
    let counts = ended(&app, &job).await;
    assert_eq!((counts.succeeded, counts.skipped, counts.total()), (12, 1, 13));
    let shown = get(&app, &job_path, &key).await;
    assert_eq!(
        (&shown["state"], &shown["total"], &shown["counts"]["succeeded"]),
        (&json!("completed"), &json!(13), &json!(12))
    );
    let failed = get(&app, &format!("{job_path}/items?state=skipped"), &key).await;
    assert_eq!(failed["items"].as_array().unwrap().len(), 1);
    assert_eq!(failed["items"][0]["code"], "published");
    let deleted = deletions(&app).await;
    assert!(deleted.values().all(|n| *n == 1));
    assert_eq!(deleted.into_keys().collect::<BTreeSet<_>>(), planned);
    // In the log under the key's name.
    let entries = app.entries().await;
    let made = entries.iter().find(|e| e["action"] == "job.create").unwrap();
    assert_eq!(made["actor"]["type"], "key");
}

async fn only_what_the_key_may_is_planned_and_applied(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let posts = app.posts(&ann.id, drafts(1)).await;
    app.sweep(&app.ws, &ann.id).await;
    let (other_ws, _) = app.add_workspace("Other").await;
    let foreign = app.key(&other_ws, KeyKind::Workspace, None, &[Scope::PostsRead, Scope::PostsDelete]).await;
    let reader = app.key(&app.ws, KeyKind::Workspace, None, &[Scope::PostsRead]).await;
    let updater = app.key(&app.ws, KeyKind::Workspace, None, &[Scope::PostsRead, Scope::PostsUpdate]).await;
    let auditor = app.key(&app.ws, KeyKind::Audit, None, &[Scope::AuditRead]).await;
    let key = bulk_key(&app).await;
    let delete = json!({ "action": "delete", "posts": [{ "tenant": ann.id, "postGroupId": posts[0] }] });
    let made = plan(&app, &key, delete.clone()).await;
    app.quiet().await;
    for (who, key, status, code) in [
        ("nobody", "", 401, "api_key_required"),
        ("a stranger", "sk_ght_0123456789abcdef", 401, "invalid_api_key"),
        ("a tenant", ann.key.as_str(), 403, "key_kind"),
        ("an auditor", auditor.as_str(), 403, "key_kind"),
        ("a reader", reader.as_str(), 403, "scope_missing"),
        ("one for updates", updater.as_str(), 403, "scope_missing"),
    ] {
        let answer = call(&app, Method::POST, PLANS, key, delete.clone()).await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (status, Some(code)),
            "{who}: {}",
            answer.text
        );
    }
    // A post of another workspace is as unknown as one that is not there.
    let answer = call(&app, Method::POST, PLANS, &foreign, delete).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    let path = format!("{PLANS}/{}", made["planId"].as_str().unwrap());
    for (method, path, key) in [
        (Method::GET, path.clone(), &foreign),
        (Method::GET, path.clone(), &updater),
        (Method::POST, format!("{path}/apply"), &foreign),
        (Method::POST, format!("{path}/apply"), &updater),
        (Method::GET, format!("{PLANS}/nonsense"), &key),
    ] {
        let body = if method == Method::POST {
            json!({ "digest": made["digest"], "reason": "x" })
        } else {
            Value::Null
        };
        let answer = call(&app, method, &path, key, body).await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (404, Some("not_found")),
            "{path}: {}",
            answer.text
        );
    }
    let job = apply(&app, &key, &made, json!({ "digest": made["digest"], "reason": "x" })).await;
    let job_path = job.header("location").to_owned();
    ended(&app, job.json()["jobId"].as_str().unwrap()).await;
    for ask in ["", "/items"] {
        let answer = call(&app, Method::GET, &format!("{job_path}{ask}"), &foreign, Value::Null).await;
        assert_eq!(answer.status, 404, "{}", answer.text);
    }
    let late = call(&app, Method::POST, &format!("{job_path}/cancel"), &key, Value::Null).await;
    assert_eq!((late.status, late.json()["code"].as_str()), (409, Some("conflict")));
    assert_eq!(changing_calls(&app).await.len(), 1, "only the one delete");
}

async fn mistakes_are_named_and_change_nothing(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let posts = app.posts(&ann.id, drafts(11)).await;
    app.sweep(&app.ws, &ann.id).await;
    let key = bulk_key(&app).await;
    app.quiet().await;
    let post = json!({ "tenant": ann.id, "postGroupId": posts[0] });
    for (body, status, says) in [
        (json!({}), 400, "action"),
        (json!({ "action": "publish", "filter": {} }), 422, "action"),
        (json!({ "action": "delete" }), 422, "posts or filter"),
        (json!({ "action": "delete", "posts": [post], "filter": {} }), 422, "posts or filter"),
        (json!({ "action": "delete", "posts": [] }), 422, "at least one"),
        (json!({ "action": "delete", "posts": [{ "tenant": ann.id, "postGroupId": "1" }] }), 422, "ids"),
        (
            json!({ "action": "delete", "posts": [{ "tenant": posts[0], "postGroupId": posts[0] }] }),
            422,
            "not there",
        ),
        (json!({ "action": "delete", "filter": { "state": ["draft"] } }), 400, "state"),
        (
            json!({ "action": "delete", "filter": "" }),
            400,
            "filter: invalid type: string \"\", expected an object",
        ),
        (json!({ "action": "delete", "filter": { "tenant": ann.id } }), 400, "filter.tenant: "),
        (json!({ "action": "delete", "posts": [post, "x"] }), 400, "posts[1]: "),
        (json!({ "action": "delete", "posts": [post, { "tenant": 5 }] }), 400, "posts[1].tenant: "),
        (
            json!({ "action": "reschedule", "filter": {}, "move": "days" }),
            400,
            "expected an object with a mode",
        ),
        (json!({ "action": "delete", "filter": { "status": ["nope"] } }), 422, "nope"),
        (json!({ "action": "delete", "filter": { "platform": ["myspace"] } }), 422, "myspace"),
        (
            json!({ "action": "reschedule", "filter": {}, "move": { "mode": "set", "at": "2020-01-01T00:00:00Z" } }),
            422,
            "future",
        ),
        (
            json!({ "action": "reschedule", "filter": {}, "move": { "mode": "set", "at": "soon" } }),
            422,
            "time",
        ),
        (json!({ "action": "reschedule", "filter": {}, "move": { "mode": "jump" } }), 400, "jump"),
        (json!({ "action": "reschedule", "filter": {} }), 422, "move is missing"),
        (
            json!({ "action": "pause", "filter": {}, "move": { "mode": "days", "days": 1 } }),
            422,
            "for reschedule",
        ),
        (json!({ "action": "delete", "filter": {}, "pastDue": { "choice": "leave" } }), 422, "for resume"),
        (json!({ "action": "delete", "filter": {}, "startsAt": "2020-01-01T00:00:00Z" }), 422, "future"),
        (json!({ "action": "delete", "filter": {}, "zone": "Nowhere" }), 422, "time zone"),
        (json!({ "action": "delete", "filter": {}, "rate": 0 }), 422, "calls a second"),
        (json!({ "action": "delete", "filter": {}, "force": true }), 400, "force"),
    ] {
        let answer = call(&app, Method::POST, PLANS, &key, body.clone()).await;
        let told = answer.json()["error"].as_str().unwrap_or_default().contains(says);
        assert!(answer.status == status && told, "{body}: {} {}", answer.status, answer.text);
    }
    let made = plan(&app, &key, json!({ "action": "delete", "filter": {} })).await;
    let digest = &made["digest"];
    for (body, field) in [
        (json!({ "digest": "0", "confirm": "delete 11", "reason": "x" }), "digest"),
        (json!({ "digest": digest, "confirm": "delete 12", "reason": "x" }), "confirm"),
        (json!({ "digest": digest, "reason": "x" }), "confirm"),
        (json!({ "digest": digest, "confirm": "delete 11" }), "reason"),
    ] {
        let answer = apply(&app, &key, &made, body).await;
        assert!(answer.status == 422 && answer.text.contains(field), "{}", answer.text);
    }
    app.clock.advance(16 * gatehouse::clock::MINUTE);
    let asked = json!({ "digest": digest, "confirm": "delete 11", "reason": "x" });
    let late = apply(&app, &key, &made, asked).await;
    assert!(late.status == 422 && late.text.contains("expired"), "{}", late.text);
    assert_eq!(changing_calls(&app).await, Vec::<String>::new());
}

async fn times_are_moved_as_asked(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let first = app.clock.now() / 60_000 * 60_000 + 3 * gatehouse::clock::DAY;
    let scheduled = |at: i64| json!({ "status": "scheduled", "scheduledTime": times::to_iso(at) });
    let posts = app.posts(&ann.id, vec![scheduled(first), scheduled(first + 60_000)]).await;
    app.sweep(&app.ws, &ann.id).await;
    let key = bulk_key(&app).await;
    let run = async |body: Value| {
        let made = plan(&app, &key, body).await;
        let asked = json!({ "digest": made["digest"], "confirm": made["confirm"] });
        let answer = apply(&app, &key, &made, asked).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        ended(&app, answer.json()["jobId"].as_str().unwrap()).await
    };
    let time = async |post: &str| {
        app.app().db.post(&app.ws, &ann.id, post).await.unwrap().unwrap().post.scheduled_at
    };
    let listed = json!([
        { "tenant": ann.id, "postGroupId": posts[0], "scheduledTime": times::to_iso(first + 7_200_000) },
        { "tenant": ann.id, "postGroupId": posts[1], "scheduledTime": times::to_iso(first + 3_600_000) },
    ]);
    let counts = run(json!({ "action": "reschedule", "posts": listed })).await;
    assert_eq!(counts.succeeded, 2);
    assert_eq!(
        (time(&posts[0]).await, time(&posts[1]).await),
        (Some(first + 7_200_000), Some(first + 3_600_000))
    );
    // In the order of their times: the second post is the first now.
    let from = first + gatehouse::clock::DAY;
    let spread = json!({ "mode": "spread", "from": times::to_iso(from), "everyMinutes": 30 });
    let counts =
        run(json!({ "action": "reschedule", "filter": { "tenant": [ann.id] }, "move": spread })).await;
    assert_eq!(counts.succeeded, 2);
    assert_eq!((time(&posts[1]).await, time(&posts[0]).await), (Some(from), Some(from + 30 * 60_000)));
}

/// At a slow pace many posts wait for their turn: a pause, and a freeze, hold for them.
async fn what_waits_for_its_turn_is_not_sent_after_a_pause(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    app.posts(&ann.id, drafts(40)).await;
    app.sweep(&app.ws, &ann.id).await;
    let key = bulk_key(&app).await;
    let made = plan(&app, &key, json!({ "action": "delete", "filter": {}, "rate": 4 })).await;
    let asked = json!({ "digest": made["digest"], "confirm": "delete 40", "reason": "x" });
    let job = apply(&app, &key, &made, asked).await.header("location").to_owned();
    let done = async || get(&app, &job, &key).await["counts"]["succeeded"].as_i64().unwrap();
    app.until("it has begun", || async { done().await > 0 }).await;
    call(&app, Method::POST, &format!("{job}/pause"), &key, Value::Null).await;
    let before = done().await;
    app.until("it is paused", || async { get(&app, &job, &key).await["state"] == "paused" }).await;
    // One may have had its turn already.
    let paused = done().await;
    assert!(paused <= before + 2, "{before} when it was asked, {paused} when it was done");
    assert_eq!(deletions(&app).await.len() as i64, paused);

    call(&app, Method::POST, &format!("{job}/resume"), &key, Value::Null).await;
    app.until("it goes on", || async { done().await > paused }).await;
    let mut owner = Browser::login(&app).await;
    let workspace = format!("/w/{}", app.ws);
    owner.submit(&workspace, &format!("{workspace}/freeze"), &[("reason", "Not paid")]).await;
    let before = done().await;
    app.until("it waits", || async {
        let seen = done().await;
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        done().await == seen
    })
    .await;
    assert!(done().await <= before + 2, "{before} when it was frozen, {} later", done().await);
    call(&app, Method::POST, &format!("{job}/cancel"), &key, Value::Null).await;
}

/// The last post is under way when the pause is asked for: there is nothing to come back to.
async fn a_pause_that_comes_too_late_holds_nothing_up(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    app.posts(&ann.id, drafts(1)).await;
    app.sweep(&app.ws, &ann.id).await;
    let key = bulk_key(&app).await;
    app.faults(json!([{ "match": { "method": "DELETE" }, "delayMs": 500 }])).await;
    let made = plan(&app, &key, json!({ "action": "delete", "filter": {} })).await;
    let asked = json!({ "digest": made["digest"], "confirm": made["confirm"], "reason": "x" });
    let job = apply(&app, &key, &made, asked).await.header("location").to_owned();
    app.until("it is under way", || async { get(&app, &job, &key).await["counts"]["running"] == 1 }).await;
    let asked = call(&app, Method::POST, &format!("{job}/pause"), &key, Value::Null).await;
    assert_eq!((asked.status, &asked.json()["wanted"]), (202, &json!("pause")), "{}", asked.text);
    app.until("it has ended", || async { get(&app, &job, &key).await["ended"] == true }).await;
    assert_eq!(get(&app, &job, &key).await["state"], "completed");
}

async fn what_a_program_has_paused_is_resumed(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let scheduled = json!({ "status": "scheduled", "scheduledTime": "2031-01-01T09:00:00Z" });
    app.posts(&ann.id, vec![scheduled; 3]).await;
    app.sweep(&app.ws, &ann.id).await;
    let key = bulk_key(&app).await;
    // One of them is in doubt and found to have been paused.
    app.faults(json!([{ "match": { "method": "PUT" }, "times": 1, "resetAfter": true }])).await;
    let made = plan(&app, &key, json!({ "action": "pause", "filter": {} })).await;
    let job = apply(&app, &key, &made, json!({ "digest": made["digest"], "reason": "x" })).await;
    let job = job.json()["jobId"].as_str().unwrap().to_owned();
    assert_eq!(ended(&app, &job).await.succeeded, 3);
    let undo = format!("/manage/v1/bulk/jobs/{job}/undo");
    let back = call(&app, Method::POST, &undo, &key, Value::Null).await;
    assert_eq!((back.status, &back.json()["toChange"]), (201, &json!(3)), "{}", back.text);
    let asked = json!({ "digest": back.json()["digest"] });
    let job = apply(&app, &key, &back.json(), asked).await.json()["jobId"].as_str().unwrap().to_owned();
    assert_eq!(ended(&app, &job).await.succeeded, 3);
}

async fn what_would_be_published_at_once_is_named_post_by_post(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let scheduled = json!({ "status": "scheduled", "scheduledTime": "2031-01-01T09:00:00Z" });
    let posts = app.posts(&ann.id, vec![scheduled; 2]).await;
    app.sweep(&app.ws, &ann.id).await;
    let key = bulk_key(&app).await;
    let made = plan(&app, &key, json!({ "action": "pause", "filter": {} })).await;
    let job = apply(&app, &key, &made, json!({ "digest": made["digest"], "reason": "x" })).await;
    assert_eq!(ended(&app, job.json()["jobId"].as_str().unwrap()).await.succeeded, 2);
    let passed = json!({ "scheduledTime": times::to_iso(app.clock.now() - 3_600_000) });
    app.control(Method::PATCH, &format!("posts/{}", posts[0]), passed).await;
    app.sweep(&app.ws, &ann.id).await;
    let body = json!({ "action": "resume", "filter": {}, "pastDue": { "choice": "publish_now" } });
    let made = plan(&app, &key, body).await;
    assert_eq!((&made["toChange"], &made["publishedAtOnce"]), (&json!(2), &json!(1)));
    let items = get(&app, &format!("{PLANS}/{}/items", made["planId"].as_str().unwrap()), &key).await;
    for item in items["items"].as_array().unwrap() {
        assert_eq!(item["publishedAtOnce"], json!(item["postGroupId"] == json!(posts[0])), "{item}");
    }
    assert_eq!(items["items"].as_array().unwrap().len(), 2);
}

async fn a_job_can_be_paused_and_cancelled_and_ends_with_its_key(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let posts = app.posts(&ann.id, drafts(240)).await;
    app.sweep(&app.ws, &ann.id).await;
    let key = bulk_key(&app).await;
    app.faults(json!([{ "match": { "method": "DELETE" }, "delayMs": 400 }])).await;
    let start = async |range: std::ops::Range<usize>| {
        let named: Vec<Value> =
            posts[range].iter().map(|id| json!({ "tenant": ann.id, "postGroupId": id })).collect();
        let made = plan(&app, &key, json!({ "action": "delete", "posts": named })).await;
        let asked = json!({ "digest": made["digest"], "confirm": made["confirm"], "reason": "x" });
        apply(&app, &key, &made, asked).await.header("location").to_owned()
    };
    let state = async |path: &str, wanted: &str| {
        app.until(wanted, || async { get(&app, path, &key).await["state"] == wanted }).await;
        get(&app, path, &key).await
    };
    let first = start(0..40).await;
    app.until("it has begun", || async { get(&app, &first, &key).await["counts"]["succeeded"] != 0 }).await;
    let asked = call(&app, Method::POST, &format!("{first}/pause"), &key, Value::Null).await;
    assert_eq!((asked.status, &asked.json()["wanted"]), (202, &json!("pause")), "{}", asked.text);
    let paused = state(&first, "paused").await;
    assert!(paused["counts"]["pending"].as_i64().unwrap() > 0, "{paused}");
    call(&app, Method::POST, &format!("{first}/resume"), &key, Value::Null).await;
    state(&first, "running").await;
    call(&app, Method::POST, &format!("{first}/cancel"), &key, Value::Null).await;
    let cancelled = state(&first, "cancelled").await;
    let counts = &cancelled["counts"];
    let sum = ["succeeded", "cancelled"].map(|n| counts[n].as_i64().unwrap()).iter().sum::<i64>();
    assert_eq!((sum, &counts["unknown"]), (40, &json!(0)), "{cancelled}");

    // Rights are looked at while it runs: a job does not outlive the key it was applied with.
    let second = start(40..240).await;
    app.until("it has begun", || async { get(&app, &second, &key).await["counts"]["succeeded"] != 0 }).await;
    let stored = app.app().access.key(&key).unwrap();
    assert!(app.app().db.revoke_key(&app.owner, &stored, app.clock.now()).await.unwrap());
    app.app().access.reload().await.unwrap();
    let id = second.rsplit('/').next().unwrap().to_owned();
    app.until("it ends", || async {
        let job = app.app().db.job(&app.ws, &id).await.unwrap().unwrap();
        job.state.is_final() && job.counts.cancelled > 0
    })
    .await;
    assert_eq!(call(&app, Method::GET, &second, &key, Value::Null).await.status, 401);
}
