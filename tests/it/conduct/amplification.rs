//! An outage is not met with more calls than there were before, and service returns soon after it. Four workspaces of one
//! gateway, each with its own kind of outage at the same time, under a steady mixed load at the tenant door.
//!
//! A sample in the normal run; `GATEHOUSE_OUTAGE_SECONDS=300` is the outage of the promise.

use super::counted;
use crate::{
    support::databases::{Engine, execute, gateway_on_both_engines},
    testapp::{Tenant, TestApp},
};
use futures_util::future::join_all;
use gatehouse::clock::SECOND;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

gateway_on_both_engines!(an_outage_is_not_amplified);

const SAMPLE: Duration = Duration::from_secs(8);
/// Between two calls of a workspace's tenants.
const EVERY: Duration = Duration::from_millis(50);
const TENANTS: usize = 4;
/// In a sample the clock is moved on by this at the end of the outage; it counts as waited.
const SKIPPED: Duration = Duration::from_secs(10);

/// One workspace and what happens to its upstream.
struct Case {
    kind: &'static str,
    /// The sandbox's rule; none: nobody listens.
    rule: Option<Value>,
    ws: String,
    tenants: Vec<Tenant>,
    posts: Vec<Vec<String>>,
}

#[derive(Default, Clone, Copy)]
struct Counts {
    attempts: u64,
    repeats: u64,
}

impl Case {
    async fn new(app: &TestApp, kind: &'static str, rule: Option<Value>) -> Self {
        let (ws, key) = app.add_workspace(kind).await;
        let (mut tenants, mut posts) = (Vec::new(), Vec::new());
        for n in 0..TENANTS {
            let tenant = app.tenant_of(&ws, &key, &format!("{}-{n}", kind.replace(' ', "-"))).await;
            posts.push(app.posts(&tenant.id, vec![json!({ "status": "draft" }); 50]).await);
            app.sweep(&ws, &tenant.id).await;
            tenants.push(tenant);
        }
        Self { kind, rule, ws, tenants, posts }
    }

    fn counts(&self, app: &TestApp) -> Counts {
        let (metrics, with) = (&app.app().metrics, format!("workspace=\"{}\"", self.ws));
        Counts {
            attempts: counted(metrics, "upstream_calls", &with),
            repeats: counted(metrics, "upstream_retries", &with),
        }
    }

    /// Calls for so long: three of four read, one changes. Gives how many were made and how many were answered 2xx.
    async fn load(&self, app: &TestApp, length: Duration) -> (u64, u64) {
        let begun = Instant::now();
        let mut beat = tokio::time::interval(EVERY);
        let mut calls = Vec::new();
        let http = crate::testapp::client();
        while begun.elapsed() < length {
            beat.tick().await;
            let n = calls.len();
            let (tenant, posts) = (&self.tenants[n % TENANTS], &self.posts[n % TENANTS]);
            let post = &posts[n / TENANTS % posts.len()];
            let (method, path) = match n / TENANTS % 8 {
                0 => (Method::PUT, format!("update-post/{post}")),
                4 => (Method::DELETE, format!("delete-post/{post}")),
                1 | 5 => (Method::GET, format!("get-post/{post}")),
                2 | 6 => (Method::GET, "platform-connections".into()),
                _ => (Method::GET, "list-posts".into()),
            };
            let changes = method == Method::PUT;
            let mut request =
                http.request(method, format!("{}/api/v1/{path}", app.url())).header("x-api-key", &tenant.key);
            if changes {
                request = request.header("content-type", "application/json").body(r#"{"status":"draft"}"#);
            }
            calls.push(tokio::spawn(async move { request.send().await.unwrap().status().is_success() }));
        }
        let answers = join_all(calls).await;
        (answers.len() as u64, answers.iter().filter(|fine| *fine.as_ref().unwrap()).count() as u64)
    }

    /// How long until twenty calls in a row are answered again.
    async fn recovery(&self, app: &TestApp) -> Duration {
        let begun = Instant::now();
        let (mut in_a_row, mut since) = (0, begun.elapsed());
        while in_a_row < 20 {
            let answer = app.api(Method::GET, "/api/v1/list-posts", &self.tenants[0].key, None).await;
            if answer.status == 200 {
                in_a_row += 1;
            } else {
                (in_a_row, since) = (0, begun.elapsed());
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{}: {}", self.kind, answer.text);
            tokio::time::sleep(EVERY).await;
        }
        since
    }
}

/// Sends the workspace without a rule elsewhere, or back.
async fn point(app: &TestApp, case: &Case, url: &str) {
    let text = "UPDATE workspaces SET base_url = $2 WHERE id = $1";
    execute(&app.app().db, text, &[&case.ws, url]).await.unwrap();
    app.app().access.reload().await.unwrap();
}

async fn an_outage_is_not_amplified(engine: Engine) {
    let asked = std::env::var("GATEHOUSE_OUTAGE_SECONDS").ok().and_then(|n| n.parse().ok());
    let length = asked.map_or(SAMPLE, Duration::from_secs);
    // Background calls at the pace they have outside of tests.
    let app = TestApp::spawn_with(engine, |config| {
        config.tuning.pace = Duration::from_millis(100);
        config.tuning.tick = Duration::from_secs(1);
    })
    .await;
    let mut cases = Vec::new();
    for (kind, rule) in [
        ("connection refused", None),
        ("status 503", Some(json!({ "status": 503 }))),
        ("no answer", Some(json!({ "delayMs": 1_500 }))),
        ("status 429", Some(json!({ "retryAfter": 1 }))),
    ] {
        cases.push(Case::new(&app, kind, rule).await);
    }
    app.quiet().await;
    let healthy = join_all(cases.iter().map(|case| case.load(&app, Duration::from_secs(2)))).await;
    assert!(healthy.iter().all(|(calls, fine)| calls == fine), "{healthy:?}");

    let mut rules = Vec::new();
    for case in &cases {
        match &case.rule {
            None => point(&app, case, "http://127.0.0.1:1").await,
            Some(rule) => rules.extend(case.tenants.iter().map(|tenant| {
                let mut rule = rule.clone();
                rule["match"] = json!({ "userId": tenant.id });
                rule
            })),
        }
    }
    app.faults(json!(rules)).await;
    let before: Vec<Counts> = cases.iter().map(|case| case.counts(&app)).collect();
    let made = join_all(cases.iter().map(|case| case.load(&app, length))).await;
    let after: Vec<Counts> = cases.iter().map(|case| case.counts(&app)).collect();

    app.control(Method::DELETE, "faults", Value::Null).await;
    point(&app, &cases[0], &app.sandbox.url()).await;
    let skipped = if asked.is_some() { Duration::ZERO } else { SKIPPED };
    app.clock.advance(skipped.as_secs() as i64 * SECOND);
    let recovery = join_all(cases.iter().map(|case| case.recovery(&app))).await;

    for (n, case) in cases.iter().enumerate() {
        let attempts = after[n].attempts - before[n].attempts;
        let repeats = after[n].repeats - before[n].repeats;
        let calls = made[n].0;
        let ratio = attempts as f64 / (attempts - repeats) as f64;
        let arrived = attempts as f64 / calls as f64;
        let returned = recovery[n] + skipped;
        println!(
            "{}: {} s, {calls} calls of tenants, {attempts} attempts, {repeats} of them repeats: {ratio:.3} per first \
             attempt, {arrived:.3} per call; back within {returned:.1?}",
            case.kind,
            length.as_secs(),
        );
        assert!(attempts >= 20 && calls >= 100, "{}: the load was too small to mean anything", case.kind);
        assert!(ratio <= 1.1, "{}: {ratio}", case.kind);
        assert!(arrived <= 1.1, "{}: {arrived}", case.kind);
        assert!(returned < Duration::from_secs(20), "{}: {returned:?}", case.kind);
    }
}
