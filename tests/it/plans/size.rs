//! How long a large plan takes: to make, and to look at. `GATEHOUSE_PLAN=50000` is the full size.

use super::{Engine, TestApp, confirm, last_id, plan};
use crate::testapp::Browser;
use gatehouse::{
    clock::DAY,
    domain::{
        posts::{PlatformPost, Post, PostStatus},
        tenants::ManagedUser,
    },
    store::posts::Listing,
};
use std::time::{Duration, Instant};

const TENANTS: usize = 50;

pub async fn a_large_plan_is_made_and_shown_quickly(engine: Engine) {
    let size = std::env::var("GATEHOUSE_PLAN").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000usize);
    let app =
        TestApp::spawn_with(engine, |config| config.tuning.start_delay = Duration::from_secs(600)).await;
    let oid = |n: usize| format!("{n:024x}");
    let user = |n| ManagedUser {
        id: oid(n),
        username: format!("user{n}@test.example"),
        display_name: format!("Tenant {n}"),
        link_expires_at: None,
    };
    let users: Vec<_> = (1..=TENANTS).map(user).collect();
    let (db, now) = (&app.app().db, app.clock.now());
    db.import_tenants(&app.owner, &app.ws, &users, now).await.unwrap();
    app.app().access.reload().await.unwrap();
    for tenant in 1..=TENANTS {
        let post = |n: usize| Post {
            tenant_id: oid(tenant),
            id: oid(tenant * 100_000 + n),
            content: "A post of some eighty characters, as most of them are, with a link at its end.".into(),
            status: PostStatus::Scheduled,
            scheduled_at: Some(now + DAY + n as i64),
            created_at: now,
            updated_at: now,
            platforms: vec![PlatformPost {
                id: "twitter-1".into(),
                platform: "twitter".into(),
                status: "scheduled".into(),
            }],
            media: vec![],
        };
        let posts: Vec<Post> = (0..size / TENANTS).map(post).collect();
        let listing =
            Listing { posts: &posts, started: now, complete: false, read_to: Some(now), due_at: now + DAY };
        db.mirror_listing(&app.ws, &oid(tenant), &listing, None, now).await.unwrap();
    }
    let mut browser = Browser::login(&app).await;
    let fields = [("action", "delete"), ("scope", "matching"), ("filter", "status=scheduled")];
    let began = Instant::now();
    let plan = plan(&mut browser, &app.ws, &fields).await;
    let made = began.elapsed();
    let mut slowest = Duration::ZERO;
    for query in ["", "?show=todo&from=1000", "?platform=twitter", "/tenants"] {
        let began = Instant::now();
        assert_eq!(browser.get(&format!("{plan}{query}")).await.status, 200);
        slowest = slowest.max(began.elapsed());
    }
    let typed = format!("delete {}", size / TENANTS * TENANTS);
    let began = Instant::now();
    let done = confirm(&mut browser, &plan, &[("confirm", &typed), ("reason", "size")]).await;
    let confirmed = began.elapsed();
    let job = app.app().db.job(&app.ws, &last_id(done.header("location"))).await.unwrap().unwrap();
    assert_eq!(job.counts.total() as usize, size / TENANTS * TENANTS);
    println!(
        "figure: plan | posts = {size}, made ms = {}, slowest page ms = {}, confirmed ms = {}, violations = 0",
        made.as_millis(),
        slowest.as_millis(),
        confirmed.as_millis()
    );
    assert!(made < Duration::from_secs(30) && slowest < Duration::from_secs(5), "{made:?} {slowest:?}");
}
