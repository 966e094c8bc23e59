//! How fast a key, a tenant and a stranger may call, and what is turned away when too much comes at once.

use crate::{
    support::databases::{Engine, gateway_on_both_engines},
    testapp::{Answer, Browser, Tenant, TestApp},
};
use gatehouse::domain::keys::{KeyKind, Scope};
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

gateway_on_both_engines!(
    a_key_that_calls_too_fast_is_told_to_wait,
    a_tenant_is_limited_over_all_its_keys,
    refusals_of_one_key_do_not_fill_the_log,
    strangers_are_limited_by_address,
    a_tenant_whose_calls_hang_holds_up_nobody_else,
);

const LIST: &str = "/api/v1/list-posts?limit=1";

/// `r` of one limit in a `RateLimit` header.
fn remaining(answer: &Answer, limit: &str) -> Option<u32> {
    let stated = answer.header("ratelimit").split(", ").find(|l| l.starts_with(&format!("\"{limit}\"")))?;
    stated.split(';').find_map(|p| p.strip_prefix("r="))?.parse().ok()
}

async fn a_key_that_calls_too_fast_is_told_to_wait(engine: Engine) {
    let app = TestApp::spawn_with(engine, |config| config.key_rate = 1).await;
    let tenant = app.tenant("ann").await;
    let post = app.posts(&tenant.id, vec![json!({ "status": "draft" })]).await.remove(0);
    app.quiet().await;
    for left in (0..5).rev() {
        let answer = app.api(Method::GET, LIST, &tenant.key, None).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("ratelimit-policy"), r#""key";q=5;w=5"#);
        // A slow machine may give one back meanwhile.
        assert!(remaining(&answer, "key").is_some_and(|r| r == left || r == left + 1), "{answer:?}");
    }
    // By now one may have come back; of the next three, at least one is refused: neither sent, nor in the log.
    let mut refused = None;
    for _ in 0..3 {
        let before = (app.entries().await.len(), app.calls().await);
        let answer = app.api(Method::DELETE, &format!("/api/v1/delete-post/{post}"), &tenant.key, None).await;
        if answer.status == 429 {
            assert_eq!((app.entries().await.len(), app.calls().await), before);
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a refusal");
    assert_eq!(refused.json()["code"], "rate_limited", "{}", refused.text);
    assert_eq!(refused.json()["requestId"], refused.header("x-request-id"));
    assert_eq!((refused.header("retry-after"), remaining(&refused, "key")), ("1", Some(0)));
    assert!(app.app().metrics.encode().contains("gatehouse_rate_limited_total{limit=\"key\"}"));
    // A wait later it goes on; another key was never held up.
    let other = app.tenant("bob").await;
    assert_eq!(app.api(Method::GET, LIST, &other.key, None).await.status, 200);
    app.until("a token comes back", || async {
        app.api(Method::GET, LIST, &tenant.key, None).await.status == 200
    })
    .await;
    // The order: a call over the limit is not told what its key lacks.
    let weak = app.key(&app.ws, KeyKind::Tenant, Some(&other.id), &[Scope::ConnectionsRead]).await;
    let mut statuses = Vec::new();
    for _ in 0..8 {
        let answer = app.api(Method::GET, LIST, &weak, None).await;
        assert!(remaining(&answer, "key").is_some(), "refusals state it too: {answer:?}");
        statuses.push(answer.status);
    }
    assert!(statuses.starts_with(&[403, 403, 403, 403, 403]) && statuses.contains(&429), "{statuses:?}");
}

/// A client that goes on with a tenant that was frozen, or with an id nobody has.
async fn refusals_of_one_key_do_not_fill_the_log(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let (ann, bob) = (app.tenant("ann").await, app.tenant("bob").await);
    let unknown = "/api/v1/operations/018f0000-0000-7000-8000-000000000000";
    let mut owner = Browser::login(&app).await;
    let page = format!("/w/{}/tenants/{}", app.ws, ann.id);
    owner.submit(&page, &format!("{page}/freeze"), &[("reason", "Not paid")]).await;
    for _ in 0..600 {
        assert_eq!(app.api(Method::GET, LIST, &ann.key, None).await.status, 423);
        assert_eq!(app.api(Method::GET, unknown, &bob.key, None).await.status, 404);
    }
    for (tenant, code) in [(&ann, "frozen"), (&bob, "not_found")] {
        let entries = refused(&app, tenant, code).await;
        assert!((500..520).contains(&entries.len()), "{code}: {} entries", entries.len());
    }
    // What was counted is written down, at the latest when the process stops.
    app.restart().await;
    for (tenant, code) in [(&ann, "frozen"), (&bob, "not_found")] {
        let own = refused(&app, tenant, code).await.len();
        let [summary] = &refused(&app, tenant, "repeated").await[..] else { panic!("one summary") };
        assert!(summary.contains(&format!("\"refusals\":{}", 600 - own)), "{summary}");
    }
}

/// What the newest refusals of a tenant's calls say.
async fn refused(app: &TestApp, tenant: &Tenant, code: &str) -> Vec<String> {
    let entries = app.app().db.audit_page(&Default::default(), None, None, 2_000).await.unwrap();
    let own =
        entries.iter().filter(|e| e.action == "access.refuse" && e.tenant_id.as_ref() == Some(&tenant.id));
    let changes = own.filter_map(|e| e.detail("change")).filter(|change| change.contains(code));
    changes.map(str::to_owned).collect()
}

async fn a_tenant_is_limited_over_all_its_keys(engine: Engine) {
    let app = TestApp::spawn_with(engine, |config| (config.key_rate, config.tenant_rate) = (100, 1)).await;
    let tenant = app.tenant("ann").await;
    let other = app.tenant("bob").await;
    let workspace_key = app.key(&app.ws, KeyKind::Workspace, None, &[Scope::PostsRead]).await;
    let acting = |user: String| {
        let request = app.request(Method::GET, LIST).header("x-api-key", &workspace_key);
        async move { Answer::read(request.header("x-postpost-user-id", user).send().await.unwrap()).await }
    };
    let mut statuses = Vec::new();
    for n in 0..10 {
        let answer = if n % 2 == 0 {
            app.api(Method::GET, LIST, &tenant.key, None).await
        } else {
            acting(tenant.id.clone()).await
        };
        assert!(answer.header("ratelimit").contains("\"tenant\";r="), "{answer:?}");
        statuses.push(answer.status);
    }
    assert!(statuses.starts_with(&[200, 200, 200, 200, 200]) && statuses.contains(&429), "{statuses:?}");
    // For another tenant, and for the owner, the same key goes on.
    assert_eq!(acting(other.id.clone()).await.status, 200);
    let own = app.api(Method::GET, LIST, &workspace_key, None).await;
    assert_eq!(own.status, 200, "{}", own.text);
    assert!(!own.header("ratelimit").contains("tenant") && remaining(&own, "key").is_some(), "{own:?}");
    // A user who is no tenant of ours is no bucket either: names cannot be made up to fill the memory.
    let before = app.app().limits.len();
    for n in 0..20 {
        assert_eq!(acting(format!("507f1f77bcf86cd7994390{n:02}")).await.status, 403);
    }
    assert_eq!(app.app().limits.len(), before);
}

async fn strangers_are_limited_by_address(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let keys: Vec<String> = (0..200).map(|n| format!("sk_ght_nobody{n}")).collect();
    let calls = keys.iter().map(|key| app.api(Method::GET, LIST, key, None));
    let answers = futures_util::future::join_all(calls).await;
    let refused = answers.iter().filter(|a| a.status == 429).count();
    assert!(answers.iter().all(|a| matches!(a.status, 401 | 429)));
    assert!(answers.iter().all(|a| a.header("ratelimit").is_empty()), "nothing is stated to strangers");
    assert!((60..=100).contains(&refused), "{refused} of 200");
    // Who has a key is not held up by them, even from the same address.
    assert_eq!(app.api(Method::GET, LIST, &tenant.key, None).await.status, 200);
    println!("{refused} of 200 unknown keys from one address answered 429");
}

async fn a_tenant_whose_calls_hang_holds_up_nobody_else(engine: Engine) {
    let app = TestApp::spawn_with(engine, |config| {
        config.tuning.upstream_timeouts = (Duration::from_secs(5), Duration::from_secs(5));
    })
    .await;
    let (slow, quick) = (app.tenant("ann").await, app.tenant("bob").await);
    app.quiet().await;
    app.faults(json!([{ "match": { "userId": slow.id }, "delayMs": 700 }])).await;
    let flood = futures_util::future::join_all((0..200).map(|_| app.api(Method::GET, LIST, &slow.key, None)));
    let others = async {
        let (mut calls, mut slowest) = (0, Duration::ZERO);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(900) {
            let called = Instant::now();
            assert_eq!(app.api(Method::GET, LIST, &quick.key, None).await.status, 200);
            slowest = slowest.max(called.elapsed());
            calls += 1;
        }
        let mut browser = Browser::login(&app).await;
        assert_eq!(browser.get("/").await.status, 200, "the operator gets in");
        (calls, slowest)
    };
    let (answers, (calls, slowest)) = futures_util::future::join(flood, others).await;
    let done = answers.iter().filter(|a| a.status == 200).count();
    for answer in answers.iter().filter(|a| a.status != 200) {
        assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("overloaded")), "{answer:?}");
        assert_eq!(answer.header("retry-after"), "1");
    }
    println!(
        "of 200 hanging calls {done} done, the rest refused; meanwhile {calls} of another tenant, the slowest {slowest:?}"
    );
    // Sixteen at a time, and nobody waits for longer than a second to begin.
    assert!((16..=48).contains(&done), "{done}");
    assert_eq!(app.calls().await, (done + calls) as i64, "what was refused was not sent");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let shed = format!("gatehouse_shed_total{{reason=\"tenant_share\"}} {}", 200 - done);
    assert!(app.app().metrics.encode().contains(&shed), "{}", app.app().metrics.encode());
}
