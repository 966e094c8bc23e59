//! The mirror follows whatever happens at PostPost: any sequence of changes behind our back, in any moment of a listing; and
//! it is fair, so that no tenant and no workspace keeps the others waiting.

use crate::{
    support::{
        chance::Chance,
        databases::{Engine, gateway_on_both_engines, hold_writes},
    },
    testapp::{Browser, Tenant, TestApp},
};
use gatehouse::{
    clock::{HOUR, Millis, SECOND},
    domain::posts::Post,
    store::posts::{PostFilter, PostSort},
    upstream::Patience,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

gateway_on_both_engines!(
    a_tenant_that_changes_all_the_time_is_swept_too,
    a_deletion_elsewhere_is_found_by_counting,
    a_post_deleted_while_a_listing_is_stored_does_not_come_back,
    equals_upstream_whatever_happened,
    a_failing_tenant_does_not_stop_the_others,
    a_slow_workspace_does_not_stop_the_others,
    what_people_look_at_comes_first,
    a_post_whose_time_has_come_is_looked_up,
);

/// All of a tenant's posts as PostPost has them, by id.
async fn upstream(app: &TestApp, tenant: &str) -> BTreeMap<String, Post> {
    let account = app.app().access.account(&app.ws).unwrap();
    let mut posts = BTreeMap::new();
    for page in 1.. {
        let sort = ("createdAt", "asc");
        let from = &app.app().upstream;
        let listed = from
            .list_posts(&account.endpoint, Some(tenant), page, sort, "test", Patience::DOOR)
            .await
            .unwrap();
        posts.extend(listed.posts.into_iter().map(|p| (p.id.clone(), p)));
        if !listed.has_next {
            break;
        }
    }
    posts
}

async fn mirrored(app: &TestApp, tenant: &str) -> BTreeMap<String, Post> {
    let filter = PostFilter { tenants: vec![tenant.to_owned()], ..PostFilter::default() };
    let posts =
        app.app().db.posts(&app.ws, &filter, PostSort::CreatedDesc, None, false, 10_000).await.unwrap();
    posts.into_iter().map(|p| (p.post.id.clone(), p.post)).collect()
}

async fn synced(app: &TestApp, ws: &str, tenant: &str) -> Millis {
    app.app().db.tenant(ws, tenant).await.unwrap().unwrap().sync.synced_at.unwrap_or(0)
}

async fn change(app: &TestApp, id: &str, what: Value) {
    app.control(Method::PATCH, &format!("posts/{id}"), what).await;
}

async fn delete(app: &TestApp, id: &str) {
    app.control(Method::DELETE, &format!("posts/{id}"), Value::Null).await;
}

/// Refreshed by its own changes alone, its age is never a reason to look at all of it.
async fn a_tenant_that_changes_all_the_time_is_swept_too(engine: Engine) {
    let app = TestApp::spawn_with(engine, |config| {
        config.tuning.mirror_age = Duration::from_secs(3_600);
        config.tuning.sweep_age = Duration::from_secs(600);
    })
    .await;
    let tenant = app.tenant("busy").await;
    app.posts(&tenant.id, vec![json!({})]).await;
    app.sweep(&app.ws, &tenant.id).await;
    let sync = async || app.app().db.tenant(&app.ws, &tenant.id).await.unwrap().unwrap().sync;
    let first = sync().await.swept_at.unwrap();
    for n in 1..=7 {
        app.clock.advance(100 * SECOND);
        let before = app.clock.now();
        app.app().mirror.note_change(&app.ws, &tenant.id);
        app.until("the change was read", || async { sync().await.synced_at >= Some(before) }).await;
        let swept = sync().await.swept_at.unwrap();
        assert_eq!(swept > first, n >= 6, "after {n} changes");
    }
}

async fn a_deletion_elsewhere_is_found_by_counting(engine: Engine) {
    let app = TestApp::spawn_with(engine, |config| {
        config.tuning.mirror_age = Duration::from_secs(3_600);
        config.tuning.sweep_age = Duration::from_secs(24 * 3_600);
    })
    .await;
    let tenant = app.tenant("tidy").await;
    let ids = app.posts(&tenant.id, vec![json!({}), json!({}), json!({})]).await;
    app.sweep(&app.ws, &tenant.id).await;
    delete(&app, &ids[1]).await;
    app.clock.advance(2 * HOUR + SECOND);
    app.until("the deletion was found", || async { mirrored(&app, &tenant.id).await.len() == 2 }).await;
    assert_eq!(mirrored(&app, &tenant.id).await, upstream(&app, &tenant.id).await);
}

async fn a_post_deleted_while_a_listing_is_stored_does_not_come_back(engine: Engine) {
    let app = TestApp::spawn_with(engine, |config| {
        config.tuning.mirror_age = Duration::from_secs(3_600);
        config.tuning.sweep_age = Duration::from_secs(3_600);
    })
    .await;
    let tenant = app.tenant("ann").await;
    let ids = app.posts(&tenant.id, vec![json!({}), json!({}), json!({})]).await;
    app.quiet().await;
    // The list has been read, and looked through for what went meanwhile, but cannot be stored yet.
    let held = hold_writes(&app.app().db).await;
    let sweep = app.sweep(&app.ws, &tenant.id);
    let delete = async {
        app.until("the list was asked for", || async { app.calls().await > 0 }).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        app.app().mirror.note_deleted(&tenant.id, &ids[1]);
        drop(held);
    };
    futures_util::future::join(Box::pin(sweep), delete).await;
    let left: Vec<String> = mirrored(&app, &tenant.id).await.into_keys().collect();
    assert_eq!(left, [ids[0].clone(), ids[2].clone()]);
}

/// After any sequence of changes: one round for changes leaves nothing wrong but silent deletions, one sweep nothing.
async fn equals_upstream_whatever_happened(engine: Engine) {
    let name = engine.name();
    let app = TestApp::spawn_with(engine, |config| {
        // What comes in between is only what the test asks for.
        config.tuning.mirror_age = Duration::from_secs(3_600);
        config.tuning.upstream_timeouts = (Duration::from_secs(10), Duration::from_secs(10));
    })
    .await;
    let cases: u64 = std::env::var("GATEHOUSE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(24);
    let seed = Chance::seed();
    let mut chance = Chance::new(seed);
    let (mut changes, mut during, mut wrong) = (0, 0, Vec::new());
    // Each listing takes a moment, so that changes fall between its pages.
    app.faults(json!([{ "match": { "path": "/api/v1/list-posts" }, "delayMs": 5 }])).await;
    for case in 0..cases {
        let tenant = app.tenant(&format!("case{case}")).await;
        let first = *chance.one(&[0, 1, 7, 101, 230]);
        let old = (0..first).map(|n| json!({ "content": format!("Post {n}") })).collect::<Vec<_>>();
        if !old.is_empty() {
            app.posts(&tenant.id, old).await;
        }
        let account = app.app().access.account(&app.ws).unwrap();
        if chance.percent(80) {
            app.sweep(&app.ws, &tenant.id).await;
        }
        for _ in 0..chance.between(1, 5) {
            let (mut ours, full) = (chance.fork(), chance.percent(30));
            let meddle = meddle(&app, &tenant, &mut ours, &mut changes);
            // One that the list moves under may give up; the next one has to make up for it.
            match (chance.percent(60), full) {
                (false, _) => meddle.await,
                (true, false) => {
                    during += 1;
                    let refresh = app.app().mirror.ensure_fresh(&account, &tenant.id, 0, Patience::DOOR);
                    let _ = tokio::join!(meddle, refresh);
                }
                (true, true) => {
                    during += 1;
                    let _ =
                        tokio::join!(meddle, app.app().mirror.sweep(&account, &tenant.id, Patience::DOOR));
                }
            }
        }
        app.sandbox_idle().await;
        let truth = upstream(&app, &tenant.id).await;
        app.app().mirror.ensure_fresh(&account, &tenant.id, 0, Patience::DOOR).await.unwrap();
        let held = mirrored(&app, &tenant.id).await;
        if let Some((id, post)) = truth.iter().find(|(id, post)| held.get(*id) != Some(*post)) {
            wrong.push(format!("case {case}: after a round {id} is {:?}, not {post:?}", held.get(id)));
        }
        app.sweep(&app.ws, &tenant.id).await;
        let held = mirrored(&app, &tenant.id).await;
        if held != truth {
            wrong.push(format!("case {case}: after a sweep {} posts, not {}", held.len(), truth.len()));
        }
    }
    println!(
        "figure: mirror against upstream, {name} | cases = {cases}, violations = {}, changes = {changes}, listings meanwhile = {during}, seed = {seed}",
        wrong.len()
    );
    assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}");
}

/// Some changes one after the other, behind our back or through the door.
async fn meddle(app: &TestApp, tenant: &Tenant, chance: &mut Chance, changes: &mut u64) {
    for _ in 0..chance.between(1, 6) {
        *changes += 1;
        let ids: Vec<String> = upstream(app, &tenant.id).await.into_keys().collect();
        if ids.is_empty() || chance.percent(25) {
            let status = *chance.one(&["draft", "scheduled"]);
            let many = chance.between(1, 4);
            let posts = (0..many).map(|n| json!({ "content": format!("New {n}"), "status": status, "scheduledTime": later(chance) }));
            app.posts(&tenant.id, posts.collect()).await;
            continue;
        }
        let id = chance.one(&ids).clone();
        match chance.between(0, 6) {
            0 => {
                let text = format!("Changed {}", chance.between(0, 1_000));
                change(app, &id, json!({ "content": text })).await;
            }
            1 => change(app, &id, json!({ "status": "scheduled", "scheduledTime": later(chance) })).await,
            2 => change(app, &id, json!({ "status": "published", "platformStatus": "published" })).await,
            3 => delete(app, &id).await,
            4 => {
                let path = format!("/api/v1/delete-post/{id}");
                app.api(Method::DELETE, &path, &tenant.key, None).await;
            }
            _ => {
                let path = format!("/api/v1/update-post/{id}");
                app.api(Method::PUT, &path, &tenant.key, Some(json!({ "status": "draft" }))).await;
            }
        }
    }
}

fn later(chance: &mut Chance) -> String {
    format!("2031-{:02}-{:02}T10:00:00.000Z", chance.between(1, 13), chance.between(1, 29))
}

async fn a_failing_tenant_does_not_stop_the_others(engine: Engine) {
    let app =
        TestApp::spawn_with(engine, |config| config.tuning.mirror_age = Duration::from_millis(200)).await;
    let [ill, well] = [app.tenant("ill").await, app.tenant("well").await];
    for tenant in [&ill, &well] {
        app.posts(&tenant.id, vec![json!({})]).await;
    }
    app.until("both are mirrored", || async {
        mirrored(&app, &ill.id).await.len() == 1 && mirrored(&app, &well.id).await.len() == 1
    })
    .await;
    let list = json!({ "path": "/api/v1/list-posts", "userId": ill.id });
    app.faults(json!([{ "match": list, "status": 500, "body": { "error": "Failed to fetch posts" } }])).await;
    let sync = async || app.app().db.tenant(&app.ws, &ill.id).await.unwrap().unwrap().sync;
    app.until("the failure is noted", || async { sync().await.error.is_some() }).await;
    for n in 2..5 {
        app.posts(&well.id, vec![json!({})]).await;
        app.until("the other is read again", || async { mirrored(&app, &well.id).await.len() == n }).await;
    }
    assert!(sync().await.error.is_some_and(|error| error.contains("500")));
    assert_eq!(mirrored(&app, &ill.id).await.len(), 1, "the copy there was stays");
    let mut browser = Browser::login(&app).await;
    let shown = browser.get(&format!("/w/{}/posts", app.ws)).await;
    assert!(shown.text.contains("1 of 2 tenants failed to sync"), "{}", shown.text);
    app.faults(json!([])).await;
    app.clock.advance(31 * SECOND);
    app.until("it is read again", || async { sync().await.error.is_none() }).await;
}

async fn a_slow_workspace_does_not_stop_the_others(engine: Engine) {
    let app =
        TestApp::spawn_with(engine, |config| config.tuning.mirror_age = Duration::from_millis(200)).await;
    for n in 0..12 {
        app.tenant(&format!("slow{n}")).await;
    }
    let (ws, ws_key) = app.add_workspace("Second").await;
    let quick = app.tenant_of(&ws, &ws_key, "quick").await;
    app.quiet().await;
    let slow = app.app().db.tenants(&app.ws, &Default::default(), None, 100).await.unwrap();
    let rules: Vec<Value> = slow
        .iter()
        .map(|t| json!({ "match": { "path": "/api/v1/list-posts", "userId": t.id }, "delayMs": 700 }))
        .collect();
    app.faults(json!(rules)).await;
    let begun = Instant::now();
    for _ in 0..5 {
        let before = synced(&app, &ws, &quick.id).await;
        app.until("it is read again", || async { synced(&app, &ws, &quick.id).await > before }).await;
    }
    // A round of the slow one alone takes three times 0.7 s.
    assert!(begun.elapsed() < Duration::from_secs(6), "five rounds took {:?}", begun.elapsed());
}

async fn what_people_look_at_comes_first(engine: Engine) {
    let app =
        TestApp::spawn_with(engine, |config| config.tuning.mirror_age = Duration::from_secs(3_600)).await;
    let tenant = app.tenant("seen").await;
    let ids = app.posts(&tenant.id, vec![json!({})]).await;
    app.sweep(&app.ws, &tenant.id).await;
    // The round that a new tenant is due for must not be the one that sees the change.
    app.quiet().await;
    change(&app, &ids[0], json!({ "content": "Changed elsewhere" })).await;
    let mut browser = Browser::login(&app).await;
    let list = format!("/w/{}/posts", app.ws);
    assert!(browser.get(&list).await.text.contains("Hello"));
    app.clock.advance(40 * SECOND);
    assert!(browser.get(&list).await.text.contains("Hello"));
    app.until("it was read again", || async {
        mirrored(&app, &tenant.id).await[&ids[0]].content == "Changed elsewhere"
    })
    .await;
    assert!(browser.get(&list).await.text.contains("Changed elsewhere"));
}

async fn a_post_whose_time_has_come_is_looked_up(engine: Engine) {
    let app =
        TestApp::spawn_with(engine, |config| config.tuning.mirror_age = Duration::from_secs(3_600)).await;
    let tenant = app.tenant("due").await;
    let at = jiff::Timestamp::from_millisecond(app.clock.now() + 60 * SECOND).unwrap().to_string();
    let ids = app.posts(&tenant.id, vec![json!({ "status": "scheduled", "scheduledTime": at })]).await;
    app.sweep(&app.ws, &tenant.id).await;
    change(&app, &ids[0], json!({ "status": "published" })).await;
    app.reset_calls().await;
    app.clock.advance(100 * SECOND);
    app.until("its end is known", || async {
        mirrored(&app, &tenant.id).await[&ids[0]].status.as_str() == "published"
    })
    .await;
}
