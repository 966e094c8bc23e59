//! What a load balancer and a monitoring system see: `/healthz`, `/readyz`, `/metrics`.

use crate::{
    support::databases::{Engine, gateway_on_both_engines},
    testapp::TestApp,
};
use reqwest::{Method, header::HOST};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};

gateway_on_both_engines!(
    ready_says_how_each_workspace_stands,
    figures_are_for_whoever_runs_it,
    what_happens_is_counted,
    probes_answer_while_everything_is_busy,
);

const TOKEN: &str = "a-token-of-more-than-32-characters-0";

async fn get(app: &TestApp, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut request = app.request(Method::GET, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn ready(app: &TestApp) -> (u16, Value) {
    let (status, text) = get(app, "/readyz", &[]).await;
    (status, serde_json::from_str(&text).unwrap())
}

async fn ready_says_how_each_workspace_stands(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let (second, second_key) = app.add_workspace("Second").await;
    let ann = app.tenant("ann").await;
    let bob = app.tenant_of(&second, &second_key, "bob").await;
    let (status, body) = ready(&app).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!((&body["database"], &body["auditWriter"]), (&json!("ok"), &json!("ok")));
    let mut ids = [app.ws.as_str(), second.as_str()];
    ids.sort_unstable();
    let listed: Vec<&str> =
        body["workspaces"].as_array().unwrap().iter().map(|w| w["id"].as_str().unwrap()).collect();
    assert_eq!(listed, ids);
    assert!(!body.to_string().contains("Second"), "ids, no names: {body}");

    // One workspace's key is refused, the other's upstream does not answer: the node is as ready as before.
    let stands = async |id: &str, word: &str| {
        let (status, body) = ready(&app).await;
        let found = body["workspaces"].as_array().unwrap().iter().find(|w| w["id"] == id).unwrap();
        status == 200 && found["upstream"] == word && found["since"].is_string()
    };
    app.faults(json!([{ "match": { "userId": ann.id }, "status": 401 }, { "match": { "userId": bob.id }, "delayMs": 3_000 }]))
        .await;
    assert_eq!(app.api(Method::GET, "/api/v1/list-posts", &ann.key, None).await.status, 503);
    app.until("suspended", || stands(&app.ws, "suspended")).await;
    assert_eq!(app.api(Method::GET, "/api/v1/list-posts", &bob.key, None).await.status, 504);
    app.until("unreachable", || stands(&second, "unreachable")).await;
}

async fn figures_are_for_whoever_runs_it(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let tried = [
        (vec![], 200, "a program on this machine"),
        (vec![("x-forwarded-for", "203.0.113.9")], 404, "through a proxy nobody told us of"),
        (vec![("x-forwarded-for", "127.0.0.1")], 404, "that claims to be here"),
        (vec![("via", "1.1 cache")], 404, "through another"),
        (vec![("host", "rebound.example")], 404, "a name of a stranger's that points here"),
        (vec![("host", "127.0.0.1.rebound.example:80")], 404, "one that looks like it"),
        (vec![("x-forwarded-host", "gate.example")], 404, "a proxy that names only the host"),
        (vec![("x-forwarded-proto", "https")], 404, "one that names only the protocol"),
        (vec![("cf-connecting-ip", "203.0.113.9")], 404, "another kind of proxy"),
        (vec![("true-client-ip", "203.0.113.9")], 404, "and another"),
        (vec![("host", "localhost:1")], 200, "this machine's own name"),
        (vec![("host", "[::1]:1")], 200, "its other one"),
    ];
    for (headers, expected, why) in &tried {
        let (status, text) = get(&app, "/metrics", headers).await;
        assert_eq!(status, *expected, "{why}: {text}");
        assert_eq!(text.contains("gatehouse_"), status == 200, "{why}");
        let (status, text) = get(&app, "/readyz", headers).await;
        assert_eq!((status, text.contains(&app.ws)), (200, *expected == 200), "{why}: {text}");
    }
    assert_eq!(get(&app, "/%6detrics", &[]).await.0, 404, "a fixed path has one spelling");
    for path in ["/healthz", "/readyz"] {
        let head = app.request(Method::HEAD, path).send().await.unwrap();
        assert_eq!(head.status(), 200);
        assert_eq!(head.bytes().await.unwrap().len(), 0);
    }
    // Served to others, and no token: as if it did not exist.
    app.config.public_url = Some("https://gate.example".into());
    app.restart().await;
    assert_eq!(get(&app, "/metrics", &[]).await.0, 404);
    assert!(!get(&app, "/readyz", &[]).await.1.contains(&app.ws));
    // With a token, it is the one way, from wherever.
    app.config.metrics_token = Some(TOKEN.into());
    app.restart().await;
    let bearer = format!("Bearer {TOKEN}");
    let cut = bearer.trim_end_matches('0');
    for (headers, expected) in [
        (vec![], 401),
        (vec![("authorization", "Bearer")], 401),
        (vec![("authorization", cut)], 401),
        (vec![("authorization", TOKEN)], 401),
        (vec![("authorization", bearer.as_str())], 200),
        (vec![("authorization", bearer.as_str()), ("x-forwarded-for", "203.0.113.9")], 200),
    ] {
        let (status, text) = get(&app, "/metrics", &headers).await;
        assert_eq!((status, text.contains("gatehouse_")), (expected, expected == 200), "{headers:?}: {text}");
        assert_eq!(get(&app, "/readyz", &headers).await.1.contains(&app.ws), expected == 200, "{headers:?}");
    }
    let refused = app.request(Method::GET, "/metrics").send().await.unwrap();
    assert_eq!(refused.headers()["www-authenticate"], "Bearer");
    let posted = app.request(Method::POST, "/metrics").header(HOST, "127.0.0.1").send().await.unwrap();
    assert_eq!(posted.status(), 405);
}

async fn what_happens_is_counted(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let ids = app.posts(&ann.id, vec![json!({ "status": "draft" }), json!({ "status": "draft" })]).await;
    let path = |n: usize| format!("/api/v1/delete-post/{}", ids[n]);
    assert_eq!(app.api(Method::DELETE, &path(0), &ann.key, None).await.status, 200);
    // Done, and the answer lost: in doubt first, then found out.
    app.faults(json!([{ "match": { "method": "DELETE" }, "resetAfter": true }])).await;
    assert_eq!(app.api(Method::DELETE, &path(1), &ann.key, None).await.status, 504);
    app.until_settled().await;
    get(&app, "/login", &[]).await;
    let lines = [
        "gatehouse_requests_total{door=\"api\",status=\"200\"} 1".to_owned(),
        "gatehouse_requests_total{door=\"api\",status=\"504\"} 1".into(),
        "gatehouse_requests_total{door=\"pages\",status=\"200\"} 1".into(),
        "gatehouse_request_seconds_count{door=\"api\"} 2".into(),
        "gatehouse_operations_total{state=\"succeeded\"} 1".into(),
        "gatehouse_operations_total{state=\"in_doubt\"} 1".into(),
        "gatehouse_operations_total{state=\"applied\"} 1".into(),
        "gatehouse_audit_waiting 0".into(),
        "gatehouse_ready 1".into(),
        "gatehouse_operations_open 0".into(),
        "gatehouse_workspaces{state=\"ok\"} 1".into(),
        "gatehouse_workspaces{state=\"suspended\"} 0".into(),
        "gatehouse_jobs{state=\"running\"} 0".into(),
        format!("gatehouse_mirror_age_seconds{{workspace=\"{}\"}} 0", app.ws),
        format!("gatehouse_mirror_failing_tenants{{workspace=\"{}\"}} 0", app.ws),
        format!("gatehouse_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
    ];
    app.until("all of it is counted", || async {
        let text = get(&app, "/metrics", &[]).await.1;
        let missing: Vec<_> = lines.iter().filter(|line| !text.lines().any(|l| l == **line)).collect();
        if !missing.is_empty() {
            println!("not yet: {missing:?}");
        }
        missing.is_empty()
    })
    .await;
    let text = get(&app, "/metrics", &[]).await.1;
    assert!(text.ends_with("# EOF\n") && !text.contains("test.example") && !text.contains("First"), "{text}");
}

async fn probes_answer_while_everything_is_busy(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    app.faults(json!([{ "match": { "path": "/api/v1/list-posts" }, "delayMs": 700 }])).await;
    let (calls, probes) = tokio::join!(
        futures_util::future::join_all((0..250).map(|_| app.api(
            Method::GET,
            "/api/v1/list-posts",
            &ann.key,
            None
        ))),
        async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let mut slowest = Duration::ZERO;
            for path in ["/healthz", "/readyz", "/metrics"] {
                let begun = Instant::now();
                assert_eq!(get(&app, path, &[]).await.0, 200, "{path}");
                slowest = slowest.max(begun.elapsed());
            }
            slowest
        }
    );
    let refused = calls.iter().filter(|answer| answer.status == 503).count();
    assert!((1..250).contains(&refused), "{refused}");
    assert!(probes < Duration::from_secs(1), "{probes:?}");
}

/// Every counter is explained to the person who reads it, and nothing is explained that is not there.
#[test]
fn the_list_of_figures_is_the_list_in_the_manual() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = fs::read_to_string(root.join("src/metrics.rs")).unwrap();
    let one_line = source.split_whitespace().collect::<Vec<_>>().join(" ").replace("( r,", "(r,");
    let registered: BTreeSet<String> = one_line
        .split("(r, \"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .chain(["build".to_owned()])
        .collect();
    let manual = fs::read_to_string(root.join("docs/operations.md")).unwrap();
    let explained: BTreeSet<String> = manual
        .lines()
        .filter_map(|line| line.strip_prefix("| `gatehouse_"))
        .map(|rest| rest.split(['`', '{']).next().unwrap())
        .map(|name| name.trim_end_matches("_total").trim_end_matches("_info").to_owned())
        .collect();
    assert!(registered.len() > 15, "{registered:?}");
    assert_eq!(registered, explained);
    println!("{} figures explained", explained.len());
}
