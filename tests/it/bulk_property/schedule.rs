//! One schedule: posts in every state, what is to be done to them, and what goes wrong meanwhile. Everything is drawn
//! before the first call, so that a seed gives the same schedule again.

use crate::{
    support::chance::Chance,
    testapp::{TestApp, client},
};
use futures_util::future::join_all;
use gatehouse::{
    clock::{DAY, HOUR, MINUTE, Millis},
    domain::{
        ids,
        plans::{BulkAction, Move, PastDue, Plan, PlanOptions, Weekday},
        times,
    },
    jobs::planning::{self, Selection},
    store::{Db, plans::Show, posts::PostFilter},
    upstream::Patience,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

/// A workspace and its tenants, used again in every round.
pub struct Seat {
    ws: String,
    tenants: Vec<String>,
}

impl Seat {
    pub async fn new(app: &TestApp, n: usize) -> Self {
        let (ws, key) = app.add_workspace(&format!("Seat {n}")).await;
        let mut tenants = Vec::new();
        for name in ["ann", "bob", "cat"].iter().take(2 + n % 2) {
            tenants.push(app.tenant_of(&ws, &key, &format!("{name}{n}")).await.id);
        }
        Self { ws, tenants }
    }
}

/// A change behind our back: when, from the start of the jobs, and what.
pub struct Meddling {
    after: Duration,
    method: Method,
    path: String,
    body: Value,
}

pub struct Schedule {
    pub ws: String,
    pub tenants: Vec<String>,
    /// The jobs' ids and plans, in the order in which they are confirmed.
    pub jobs: Vec<(String, Plan)>,
    pub faults: Vec<Value>,
    pub meddling: Vec<Meddling>,
    /// The journal's last number before the jobs.
    pub journal: i64,
}

impl Schedule {
    pub async fn make(app: &TestApp, seat: &Seat, chance: &mut Chance) -> Self {
        clear(app, seat).await;
        let now = app.clock.now();
        let (mut all, mut paused) = (Vec::new(), Vec::new());
        for tenant in &seat.tenants {
            let posts: Vec<Value> = (0..chance.between(4, 12)).map(|n| post(chance, now, n)).collect();
            let to_pause: Vec<bool> = posts.iter().map(|p| p["content"] == "to pause").collect();
            let made = app.posts(tenant, posts).await.into_iter().map(|id| (tenant.clone(), id));
            for (post, to_pause) in made.zip(to_pause) {
                if to_pause {
                    paused.push(post.clone());
                }
                all.push(post);
            }
        }
        sweep(app, seat).await;
        pause(app, seat, &paused).await;
        for (_, id) in &paused {
            let at = match chance.between(0, 5) {
                0 => Value::Null,
                1 => json!(times::to_iso(now + MINUTE)),
                2 | 3 => json!(times::to_iso(now - chance.between(1, 100) as i64 * MINUTE)),
                _ => continue,
            };
            app.control(Method::PATCH, &format!("posts/{id}"), json!({ "scheduledTime": at })).await;
        }
        sweep(app, seat).await;
        let mut jobs = Vec::new();
        for _ in 0..chance.between(1, 3) {
            jobs.push((ids::new_id(), plan(app, seat, &all, chance).await));
        }
        let mut faults = Vec::new();
        for (_, id) in &all {
            if chance.percent(55) {
                faults.extend(fault(chance, id));
            }
        }
        for tenant in &seat.tenants {
            if chance.percent(30) {
                faults.push(of_reads(chance, tenant));
            }
        }
        let mut meddling = meddling(chance, seat, &all, now);
        for (_, plan) in jobs.iter().filter(|(_, plan)| plan.action == BulkAction::Resume) {
            let acted = app.app().db.plan_items(&plan.id, Show::Acted, 0, 100).await.unwrap();
            if !acted.is_empty() && chance.percent(70) {
                let (rule, late) = late_on_the_way(chance, &chance.clone().one(&acted).post_id, now);
                faults.insert(0, rule);
                meddling.push(late);
            }
        }
        let journal = journal_end(app).await;
        Self { ws: seat.ws.clone(), tenants: seat.tenants.clone(), jobs, faults, meddling, journal }
    }

    pub async fn confirm(&self, app: &TestApp, db: &Db) {
        for (id, plan) in &self.jobs {
            db.confirm_plan(&app.owner, plan, id, "by chance", None, app.clock.now()).await.unwrap().unwrap();
        }
    }

    pub async fn meddle(&self, app: &TestApp) {
        let http = client();
        join_all(self.meddling.iter().map(async |one| {
            tokio::time::sleep(one.after).await;
            let url = format!("{}/_sandbox/{}", app.sandbox.url(), one.path);
            let request = http.request(one.method.clone(), url).header("content-type", "application/json");
            let status = request.body(one.body.to_string()).send().await.unwrap().status();
            // A job, or another change, may have been first.
            assert!(status.is_success() || status == 404, "{} {}: {status}", one.method, one.path);
        }))
        .await;
    }
}

/// What earlier rounds left.
async fn clear(app: &TestApp, seat: &Seat) {
    let account = app.app().access.account(&seat.ws).unwrap();
    for tenant in &seat.tenants {
        loop {
            let sort = ("createdAt", "asc");
            let from = &app.app().upstream;
            let listed = from
                .list_posts(&account.endpoint, Some(tenant), 1, sort, "test", Patience::DOOR)
                .await
                .unwrap();
            for post in &listed.posts {
                app.control(Method::DELETE, &format!("posts/{}", post.id), Value::Null).await;
            }
            if !listed.has_next {
                break;
            }
        }
    }
}

async fn sweep(app: &TestApp, seat: &Seat) {
    let account = app.app().access.account(&seat.ws).unwrap();
    for tenant in &seat.tenants {
        // Others are being made beside this one: an answer may take too long.
        app.until("the tenant is swept", || async {
            app.app().mirror.sweep(&account, tenant, Patience::DOOR).await.is_ok()
        })
        .await;
    }
}

fn post(chance: &mut Chance, now: Millis, n: u64) -> Value {
    let later = times::to_iso(now + HOUR + chance.between(0, 5 * DAY as u64) as i64);
    match chance.between(0, 12) {
        0..5 => json!({ "content": "to pause", "status": "scheduled", "scheduledTime": later }),
        5 | 6 => json!({ "content": format!("draft {n}"), "status": "draft", "scheduledTime": later }),
        7 => json!({ "content": format!("bare {n}"), "status": "draft" }),
        8 | 9 => json!({ "content": format!("later {n}"), "status": "scheduled", "scheduledTime": later }),
        10 => {
            let soon = times::to_iso(now + chance.between(30, 170) as i64 * 1_000);
            json!({ "content": format!("soon {n}"), "status": "scheduled", "scheduledTime": soon })
        }
        _ => {
            let status = *chance.one(&["published", "failed"]);
            json!({ "content": format!("{status} {n}"), "status": status, "scheduledTime": times::to_iso(now - DAY) })
        }
    }
}

/// Pauses posts by a job, in peace, as an operator would.
async fn pause(app: &TestApp, seat: &Seat, posts: &[(String, String)]) {
    if posts.is_empty() {
        return;
    }
    let plan =
        make(app, seat, BulkAction::Pause, PlanOptions::default(), Selection::Ticked(posts.to_vec())).await;
    let (job, db) = (ids::new_id(), &app.app().db);
    db.confirm_plan(&app.owner, &plan, &job, "", None, app.clock.now()).await.unwrap().unwrap();
    app.app().jobs.ring();
    app.until("the posts are paused", || async {
        db.job(&seat.ws, &job).await.unwrap().unwrap().counts.succeeded == posts.len() as i64
    })
    .await;
    app.until("the job has ended", || async {
        db.job(&seat.ws, &job).await.unwrap().unwrap().state.is_final()
    })
    .await;
}

async fn make(
    app: &TestApp,
    seat: &Seat,
    action: BulkAction,
    options: PlanOptions,
    selection: Selection,
) -> Plan {
    let account = app.app().access.account(&seat.ws).unwrap();
    let request = planning::Request {
        workspace: &account.workspace,
        action,
        options,
        filter_text: String::new(),
        actor: &app.owner,
    };
    planning::make(app.app(), request, selection).await.unwrap()
}

async fn plan(app: &TestApp, seat: &Seat, all: &[(String, String)], chance: &mut Chance) -> Plan {
    use BulkAction::{Delete, Pause, Reschedule, Resume};
    let action = *chance.one(&[Delete, Pause, Resume, Resume, Reschedule]);
    let from = app.clock.now() + HOUR;
    let past_due = match chance.between(0, 4) {
        0 => PastDue::Leave,
        1 => PastDue::Shift,
        2 => PastDue::Spread { from, every: 10 * MINUTE },
        _ => PastDue::PublishNow,
    };
    let moved = match chance.between(0, 5) {
        0 => Move::Shift { by: -30 * MINUTE },
        1 => Move::Days { days: *chance.one(&[-1, 1, 7]) },
        2 => Move::Set { at: from + DAY },
        3 => Move::Spread { from, every: 5 * MINUTE },
        _ => Move::Weekday { day: Weekday::Monday, minute: 570 },
    };
    let stop_after = *chance.one(&[2, 20, 1_000]);
    // Slow enough for something to happen meanwhile.
    let rate = *chance.one(&[None, Some(8), Some(20)]);
    let keep_backup = chance.percent(50);
    let options = PlanOptions { moved, past_due, stop_after, rate, keep_backup, ..PlanOptions::default() };
    let some: BTreeSet<_> = all.iter().filter(|_| chance.percent(70)).cloned().collect();
    let selection = if some.is_empty() || chance.percent(30) {
        let filter = PostFilter { tenants: seat.tenants.clone(), ..PostFilter::default() };
        Selection::Matching { filter: Box::new(filter), except: Default::default() }
    } else {
        Selection::Ticked(some.into_iter().collect())
    };
    make(app, seat, action, options, selection).await
}

/// What goes wrong with the changes of one post. No answer lies: what is said not to have happened has not, and what is
/// delayed comes before `settle-after`.
fn fault(chance: &mut Chance, post: &str) -> Vec<Value> {
    let mut rules = Vec::new();
    for method in ["DELETE", "PUT"] {
        let matching = json!({ "method": method, "postGroupId": post });
        let documented = match method {
            "DELETE" => "Failed to delete post group",
            _ => "Failed to update post",
        };
        if chance.percent(40) {
            rules.push(json!({ "match": matching, "times": 1, "delayMs": chance.between(10, 1_100) }));
        }
        let what = match chance.between(0, 16) {
            0 => json!({ "resetBefore": true }),
            1 | 2 => json!({ "resetAfter": true }),
            3 => json!({ "status": 429 }),
            4 => json!({ "retryAfter": chance.between(0, 2) }),
            5 => json!({ "status": 500, "body": { "error": documented } }),
            6 => json!({ "status": 500 }),
            7 => json!({ "statusAfter": 500 }),
            8 => json!({ "status": 502 }),
            9 => json!({ "statusAfter": 502 }),
            10 => json!({ "status": 503 }),
            11 => json!({ "statusAfter": 503 }),
            12 => json!({ "garbageAfter": true }),
            13 => json!({ "delayAfterMs": chance.between(500, 1_200) }),
            14 if method == "PUT" => json!({ "moveTimesByMs": 7 * MINUTE }),
            14 => json!({ "garbage": true }),
            _ => json!({ "status": 403, "body": { "error": "limit", "code": "POST_LIMIT_REACHED" } }),
        };
        let mut rule = what;
        rule["match"] = matching;
        rule["times"] = json!(chance.between(1, 3));
        rules.push(rule);
    }
    rules
}

/// What goes wrong with reads for one tenant: by the mirror, by the check before a call, by the reconciler.
fn of_reads(chance: &mut Chance, tenant: &str) -> Value {
    let mut rule = match chance.between(0, 5) {
        0 => json!({ "resetBefore": true }),
        1 => json!({ "status": 503 }),
        2 => json!({ "retryAfter": 1 }),
        3 => json!({ "status": 500, "body": { "error": "Failed to fetch posts" } }),
        _ => json!({ "delayMs": chance.between(50, 1_000) }),
    };
    rule["match"] = json!({ "method": "GET", "userId": tenant });
    rule["times"] = json!(chance.between(1, 5));
    rule
}

fn meddling(chance: &mut Chance, seat: &Seat, all: &[(String, String)], now: Millis) -> Vec<Meddling> {
    let mut some = Vec::new();
    for _ in 0..chance.between(0, 9) {
        let id = &chance.one(all).1;
        let past = times::to_iso(now - chance.between(1, 60) as i64 * MINUTE);
        let later = times::to_iso(now + 2 * DAY + chance.between(0, 1_000) as i64 * MINUTE);
        let (method, path, body) = match chance.between(0, 9) {
            0 => (Method::DELETE, format!("posts/{id}"), Value::Null),
            1 => (
                Method::PATCH,
                format!("posts/{id}"),
                json!({ "status": "published", "platformStatus": "published" }),
            ),
            // The dangerous one: a post that is being resumed is suddenly late.
            2 | 3 => (Method::PATCH, format!("posts/{id}"), json!({ "scheduledTime": past })),
            4 => (Method::PATCH, format!("posts/{id}"), json!({ "scheduledTime": later })),
            5 | 6 => (Method::PATCH, format!("posts/{id}"), json!({ "content": "edited elsewhere" })),
            7 => (Method::PATCH, format!("posts/{id}"), json!({ "status": "draft" })),
            _ => {
                let post = json!({ "userId": chance.one(&seat.tenants), "content": "new", "platforms": ["twitter-1"],
                    "status": "scheduled", "scheduledTime": later });
                (Method::POST, "posts".to_owned(), json!({ "posts": [post] }))
            }
        };
        some.push(Meddling { after: chance.millis(0, 2_500), method, path, body });
    }
    some
}

/// The most dangerous moment: a post's time is moved to the past while its resume is on the way.
fn late_on_the_way(chance: &mut Chance, post: &str, now: Millis) -> (Value, Meddling) {
    let matching = json!({ "method": "PUT", "postGroupId": post });
    let rule = json!({ "match": matching, "times": 1, "delayMs": chance.between(500, 1_100) });
    let body = json!({ "scheduledTime": times::to_iso(now - HOUR) });
    let path = format!("posts/{post}");
    (rule, Meddling { after: chance.millis(100, 1_500), method: Method::PATCH, path, body })
}

async fn journal_end(app: &TestApp) -> i64 {
    let mut after = 0;
    loop {
        match app.journal(after).await.last() {
            Some(last) => after = last["seq"].as_i64().unwrap(),
            None => return after,
        }
    }
}
