//! Corpora of hostile bytes on raw sockets, where no client library tidies them up: paths, methods, header twins, repeated
//! parameters, bare line feeds. Each attempt is refused, or read as what it literally says; PostPost sees nothing but the
//! documented call. Every test prints how many were tried, refused, taken literally, and escaped.

use crate::{
    raw_http::{send, statuses},
    support::databases::{Engine, gateway_on_both_engines},
    testapp::{Browser, Tenant, TestApp, hidden},
};
use gatehouse::{
    domain::keys::{KeyKind, Scope},
    http::routes,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

gateway_on_both_engines!(
    hostile_paths_reach_nothing_else,
    other_methods_change_nothing,
    twins_of_headers_are_not_believed,
    addresses_come_from_the_peer_or_a_trusted_proxy,
    repeated_and_long_parameters_are_refused,
    bare_line_feeds_make_one_request_at_most,
);

const PATIENCE: Duration = Duration::from_millis(700);

/// Two tenants of one workspace and a post of each, in a quiet gateway.
struct Scene {
    app: TestApp,
    ann: Tenant,
    bob: Tenant,
    own: String,
    other: String,
}

async fn scene(engine: Engine) -> Scene {
    let app = TestApp::spawn(engine).await;
    let (ann, bob) = (app.tenant("ann").await, app.tenant("bob").await);
    let own = app.posts(&ann.id, vec![json!({ "status": "draft" })]).await.remove(0);
    let other = app.posts(&bob.id, vec![json!({ "status": "draft" })]).await.remove(0);
    app.quiet().await;
    Scene { app, ann, bob, own, other }
}

/// What became of the attempts.
#[derive(Default)]
struct Tally {
    tried: usize,
    refused: usize,
    literal: usize,
    escapes: Vec<String>,
    statuses: BTreeMap<u16, usize>,
}

impl Tally {
    /// Sends one attempt and looks at what reached PostPost because of it.
    async fn attempt(&mut self, scene: &Scene, name: &str, bytes: &[u8]) -> String {
        let app = &scene.app;
        app.reset_calls().await;
        let read = send(app, bytes, PATIENCE).await;
        let answered = statuses(&read);
        self.tried += 1;
        *self.statuses.entry(answered.first().copied().unwrap_or_default()).or_default() += 1;
        let mut wrong = Vec::new();
        if answered.len() > 1 {
            wrong.push(format!("{} answers", answered.len()));
        }
        if answered.iter().any(|status| *status >= 500) {
            wrong.push(format!("{answered:?}"));
        }
        let calls = app.control(Method::GET, "calls?last=100", Value::Null).await;
        let mut reached = 0;
        for call in calls["calls"].as_array().unwrap() {
            let (method, path) = (call["method"].as_str().unwrap(), call["path"].as_str().unwrap());
            // The mirror looks again at a tenant of whom something was asked.
            if (method, path) == ("GET", "/api/v1/list-posts") && call["userId"] != Value::Null {
                continue;
            }
            reached += 1;
            let own = [
                "GET /api/v1/get-post",
                "GET /api/v1/post-logs",
                "PUT /api/v1/update-post",
                "DELETE /api/v1/delete-post",
            ]
            .iter()
            .any(|call| format!("{call}/{}", scene.own) == format!("{method} {path}"));
            if !own || call["query"] != "" || call["userId"] != scene.ann.id.as_str() {
                wrong.push(format!("{method} {path}?{} for {}", call["query"], call["userId"]));
            }
        }
        let ok = answered.iter().all(|status| *status < 400) && !answered.is_empty();
        if ok && reached == 0 {
            wrong.push(format!("{answered:?} without a call"));
        }
        if !wrong.is_empty() {
            self.escapes.push(format!("{name}: {}", wrong.join(", ")));
        } else if reached > 0 {
            self.literal += 1;
        } else {
            self.refused += 1;
        }
        read
    }

    fn report(&self, what: &str) {
        println!(
            "{what}: tried {}, refused {}, literal {}, escapes {} (answers, 0: closed: {:?})",
            self.tried,
            self.refused,
            self.literal,
            self.escapes.len(),
            self.statuses
        );
        assert!(self.escapes.is_empty(), "{}", self.escapes.join("\n"));
    }
}

fn percent(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02x}")).collect()
}

/// What stands where an id should.
fn pieces(own: &str, other: &str) -> Vec<Vec<u8>> {
    let fixed = [
        "",
        ".",
        "..",
        "...",
        "../",
        "./",
        "/",
        "//",
        "%2e",
        "%2e%2e",
        "%2E%2E",
        "%2e%2e%2f",
        "%2e%2e/",
        "..%2f",
        ".%2e",
        "%252e%252e",
        "%252e%252e%252f",
        "%25252e",
        "..;",
        "..;/",
        "..;/..;/",
        ";/",
        "..%3b/",
        "..%00",
        "%00",
        "%00.json",
        "%0d%0a",
        "%0d%0ax-api-key:%20x",
        "%0a",
        "%0d",
        "%09",
        "%20",
        "%7f",
        "..\\",
        "..\\..\\",
        "%5c",
        "..%5c..%5c",
        "%5c%5chost",
        "..%2f..%2fworkspace%2fusers",
        "../../workspace/users",
        "..%2f..%2f..%2f_sandbox%2fposts",
        "%2f",
        "%2f%2f",
        "%2fetc%2fpasswd",
        "%3f",
        "%3fx=1",
        "%23",
        "#",
        "%26",
        "%c0%ae%c0%ae",
        "%c0%af",
        "%e0%80%ae",
        "%u002e",
        "%uff0e%uff0e",
        "%ff",
        "%fe%ff",
        "%",
        "%2",
        "%zz",
        "%%32%65",
        "%2%65",
        "0",
        "-1",
        "1e9",
        "null",
        "undefined",
        "NaN",
        "true",
        "{}",
        "[]",
        "%7b%22$ne%22:1%7d",
        "$ne",
        "[$ne]",
        "__proto__",
        "constructor",
        "*",
        "~",
        "%2a",
        "{id}",
        "%7bid%7d",
        "%27%20OR%201=1--",
        "%22",
        "%3cscript%3e",
        "%ef%bc%8e%ef%bc%8e",
        "%e2%80%a8",
        "%f0%9f%92%a9",
        "%cc%81",
    ];
    let mut all: Vec<Vec<u8>> = fixed.iter().map(|text| text.as_bytes().to_vec()).collect();
    for form in [
        "{own}/",
        "{own}//",
        "{own}/.",
        "{own}/..",
        "{own}/../{other}",
        "{own}%2f",
        "{own}%2f..%2f{other}",
        "{own}/{other}",
        "{own},{other}",
        "{own}%2c{other}",
        "{own};{other}",
        "{own};v=1",
        "{own}%00",
        "{own}%00{other}",
        "{own}%0a",
        "{own}%0d%0ax: y",
        "{own}%20",
        "{own}%09",
        "%20{own}",
        "{own}.json",
        "{own}.",
        "{own}%2e",
        "{own}\\",
        "{own}%5c..",
        "{own}%23",
        "{own}%3f",
        "{own}%26userId={other}",
        "/{own}",
        "./{own}",
        "../delete-post/{own}",
        "%2e/{own}",
        "..;/delete-post/{own}",
        "{other}%2f..%2f{own}",
        "{own}{other}",
        "{own}0",
        "+{own}",
        "'{own}'",
        "%7b{own}%7d",
        "{own}?userId={other}",
        "{own}?x-postpost-user-id={other}",
        "{own}?{own}",
        "{own}#{other}",
        "{own}%E2%80%8B",
        "\u{feff}{own}",
    ] {
        all.push(form.replace("{own}", own).replace("{other}", other).into_bytes());
    }
    let fullwidth: String = own
        .chars()
        .map(|c| char::from_u32(c as u32 - 0x20 + 0xff00).filter(|_| c.is_ascii_graphic()).unwrap_or(c))
        .collect();
    all.extend([
        own.to_uppercase().into_bytes(),
        // Decoded once it is the id, and that is what it literally says.
        percent(own).into_bytes(),
        percent(&percent(own)).into_bytes(),
        percent(&fullwidth).into_bytes(),
        fullwidth.into_bytes(),
        "a".repeat(25).into_bytes(),
        "a".repeat(2_000).into_bytes(),
        "a".repeat(9_000).into_bytes(),
        own.repeat(300).into_bytes(),
        "../".repeat(2_000).into_bytes(),
        [own.as_bytes(), b"\xff"].concat(),
        [own.as_bytes(), b"\0"].concat(),
        [own.as_bytes(), b" HTTP/1.1 x"].concat(),
        own.as_bytes()[..23].to_vec(),
        b"\xc0\xae\xc0\xae".to_vec(),
    ]);
    all
}

async fn hostile_paths_reach_nothing_else(engine: Engine) {
    let scene = scene(engine).await;
    let (own, other, key) = (&scene.own, &scene.other, &scene.ann.key);
    let head =
        format!("Host: g\r\nx-api-key: {key}\r\nconnection: close\r\ncontent-type: application/json\r\n");
    let body = |method: &str| match method {
        "PUT" => "content-length: 18\r\n\r\n{\"status\":\"draft\"}",
        _ => "\r\n",
    };
    let mut tally = Tally::default();
    let with_id: Vec<_> = routes().into_iter().filter(|r| r.path.starts_with("/api/v1/")).collect();
    let with_id: Vec<_> =
        with_id.iter().filter_map(|r| Some((r, r.path.strip_suffix("{postGroupId}")?))).collect();
    assert!(with_id.len() >= 4, "the tenant door's routes with a post's id");
    for (route, prefix) in with_id {
        for piece in pieces(own, other) {
            let line = [route.method.as_bytes(), b" ", prefix.as_bytes(), &piece, b" HTTP/1.1\r\n"].concat();
            let bytes = [&line, head.as_bytes(), body(route.method).as_bytes()].concat();
            let name = format!("{} {prefix}{}", route.method, String::from_utf8_lossy(&piece));
            tally.attempt(&scene, &name.chars().take(120).collect::<String>(), &bytes).await;
        }
        // The same about what stands before the id, and other forms of a target.
        let name = prefix.trim_start_matches("/api/v1/").trim_end_matches('/');
        let (first, rest) = name.split_at(1);
        for target in [
            format!("http://evil.example{prefix}{own}"),
            format!("http://evil.example:1{prefix}{own}"),
            format!("https://user:pass@evil.example{prefix}{own}"),
            format!("http://evil.example/../api/v1/{name}/{other}"),
            format!("//evil.example{prefix}{own}"),
            format!("/api/v1/../v1/{name}/{own}"),
            format!("/api/v1/./{name}/{own}"),
            format!("/api//v1/{name}/{own}"),
            format!("//api/v1/{name}/{own}"),
            format!("/api/v1/{}{rest}/{own}", percent(first)),
            format!("/api%2fv1%2f{name}%2f{own}"),
            format!("/api/v1/{name}%2f{own}"),
            format!("/api/v1;x/{name}/{own}"),
            format!("/API/v1/{name}/{own}"),
            format!("/api/v1/{}/{own}", name.to_uppercase()),
            format!("/api/v2/{name}/{own}"),
            format!("/manage/v1/../../api/v1/{name}/{own}"),
            format!("/static/..%2f..%2fapi/v1/{name}/{own}"),
            format!("\\api\\v1\\{name}\\{own}"),
            format!("api/v1/{name}/{own}"),
            "*".into(),
            "evil.example:443".into(),
            "?".into(),
            "/api/v1/workspace/users".into(),
            "/_sandbox/journal".into(),
        ] {
            let bytes = format!("{} {target} HTTP/1.1\r\n{head}{}", route.method, body(route.method));
            tally.attempt(&scene, &format!("{} {target}", route.method), bytes.as_bytes()).await;
        }
    }
    tally.report("paths");
    assert!(tally.literal > 0, "the plain id in another spelling is the same call");
    // The other tenant's post is untouched.
    let theirs = scene.app.api(Method::GET, &format!("/api/v1/get-post/{other}"), &scene.bob.key, None).await;
    assert_eq!(theirs.status, 200, "{}", theirs.text);
}

async fn other_methods_change_nothing(engine: Engine) {
    let scene = scene(engine).await;
    let (own, key) = (&scene.own, &scene.ann.key);
    let mut tally = Tally::default();
    let mut known: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for route in routes() {
        known.entry(route.path).or_default().push(route.method);
    }
    for (path, methods) in &known {
        let target = path
            .replace("{id}", own)
            .replace("{postGroupId}", own)
            .replace("{operationId}", own)
            .replace("{webhookId}", own)
            .replace("{userId}", own)
            .replace("{platformId}", "twitter-1")
            .replace("{first}", "x")
            .replace("{second}", "x")
            .replace("{ws}", &scene.app.ws)
            .replace("{tenant}", &scene.ann.id)
            .replace("{post}", own)
            .replace("{seq}", "0")
            .replace("{token}", "x")
            .replace("{hash}", "x")
            .replace("{file}", "x");
        // The pages by the hundred need not be asked everything.
        let few = !path.starts_with("/api/") && !path.starts_with("/manage/") && path.contains("{");
        for method in [
            "TRACE", "CONNECT", "OPTIONS", "PATCH", "HEAD", "PROPFIND", "DEBUG", "delete", "Get", "PUTX",
            "M-SEARCH", "DELETE", "PUT", "POST",
        ] {
            if methods.contains(&method) || few && !matches!(method, "TRACE" | "DELETE") {
                continue;
            }
            let bytes = format!(
                "{method} {target} HTTP/1.1\r\nHost: g\r\nx-api-key: {key}\r\nconnection: close\r\n\r\n"
            );
            let read = tally.attempt(&scene, &format!("{method} {target}"), bytes.as_bytes()).await;
            assert!(!read.contains(key.as_str()), "{method} {target} gives the headers back: {read}");
            assert!(
                statuses(&read).iter().all(|status| (400..500).contains(status)),
                "{method} {target}: {read}"
            );
        }
    }
    // A method said in another place is not one.
    let overrides = ["x-http-method-override: DELETE", "x-http-method: DELETE", "x-method-override: DELETE"];
    for (method, query) in
        [("GET", ""), ("POST", ""), ("GET", "?_method=DELETE"), ("POST", "?_method=DELETE")]
    {
        for line in overrides {
            for path in ["get-post", "delete-post"] {
                let bytes = format!(
                    "{method} /api/v1/{path}/{own}{query} HTTP/1.1\r\nHost: g\r\nx-api-key: {key}\r\n{line}\r\nconnection: close\r\n\r\n"
                );
                tally.attempt(&scene, &format!("{method} {path}{query} {line}"), bytes.as_bytes()).await;
            }
        }
    }
    tally.report("methods");
    assert_eq!(scene.app.journal(0).await.iter().filter(|e| e["action"] == "post.delete").count(), 0);
}

async fn twins_of_headers_are_not_believed(engine: Engine) {
    let scene = scene(engine).await;
    let (ann, bob, own, other) = (&scene.ann, &scene.bob, &scene.own, &scene.other);
    let workspace =
        scene.app.key(&scene.app.ws, KeyKind::Workspace, None, &[Scope::PostsRead, Scope::PostsDelete]).await;
    let mut tally = Tally::default();
    let get = |headers: &str| {
        format!("GET /api/v1/get-post/{own} HTTP/1.1\r\nHost: g\r\n{headers}connection: close\r\n\r\n")
    };
    for (name, headers, status) in [
        ("the plain one", format!("x-api-key: {}\r\n", ann.key), 200),
        ("underscores alone", format!("x_api_key: {}\r\n", ann.key), 401),
        ("an underscore twin before", format!("x_api_key: {}\r\nx-api-key: {}\r\n", bob.key, ann.key), 200),
        ("an underscore twin behind", format!("x-api-key: {}\r\nx_api_key: {}\r\n", ann.key, bob.key), 200),
        ("two lines", format!("x-api-key: {}\r\nx-api-key: {}\r\n", ann.key, bob.key), 401),
        ("two equal lines", format!("x-api-key: {0}\r\nx-api-key: {0}\r\n", ann.key), 401),
        ("a list", format!("x-api-key: {}, {}\r\n", ann.key, bob.key), 401),
        ("other letters", format!("X-API-KEY: {}\r\n", ann.key), 200),
        ("a space in the name", format!("x-api-key : {}\r\n", ann.key), 400),
        ("a tab in the name", format!("x-api-key\t: {}\r\n", ann.key), 400),
        ("a dot for the dash", format!("x.api.key: {}\r\n", ann.key), 401),
        ("the name twice in one", format!("x-api-key: x-api-key: {}\r\n", ann.key), 401),
        ("marked hop by hop", format!("x-api-key: {}\r\nconnection: x-api-key\r\n", ann.key), 200),
        ("a twin of the user", format!("x-api-key: {}\r\nx_postpost_user_id: {}\r\n", ann.key, bob.id), 200),
        ("another user", format!("x-api-key: {}\r\nx-postpost-user-id: {}\r\n", ann.key, bob.id), 403),
        (
            "two users",
            format!(
                "x-api-key: {workspace}\r\nx-postpost-user-id: {}\r\nx-postpost-user-id: {}\r\n",
                ann.id, bob.id
            ),
            400,
        ),
        (
            "old and new user",
            format!(
                "x-api-key: {workspace}\r\nx-postpost-user-id: {}\r\nx-publora-user-id: {}\r\n",
                ann.id, bob.id
            ),
            400,
        ),
        ("one user", format!("x-api-key: {workspace}\r\nx-postpost-user-id: {}\r\n", ann.id), 200),
        (
            "a path in the user",
            format!("x-api-key: {workspace}\r\nx-postpost-user-id: ../{}\r\n", ann.id),
            400,
        ),
        (
            "a rewritten address",
            format!("x-api-key: {}\r\nx-original-url: /api/v1/delete-post/{own}\r\n", ann.key),
            200,
        ),
        ("another", format!("x-api-key: {}\r\nx-rewrite-url: /api/v1/get-post/{other}\r\n", ann.key), 200),
        ("another host", format!("x-api-key: {}\r\nx-forwarded-host: evil.example\r\n", ann.key), 200),
        ("two hosts", format!("x-api-key: {}\r\nhost: evil.example\r\n", ann.key), 400),
    ] {
        let read = tally.attempt(&scene, name, get(&headers).as_bytes()).await;
        assert_eq!(statuses(&read), [status], "{name}: {read}");
        assert!(!read.contains("evil.example"), "{name}: {read}");
    }
    let none =
        format!("GET /api/v1/get-post/{own} HTTP/1.1\r\nx-api-key: {}\r\nconnection: close\r\n\r\n", ann.key);
    let read = tally.attempt(&scene, "no host", none.as_bytes()).await;
    assert_eq!(statuses(&read), [400], "{read}");
    tally.report("header twins");
}

async fn addresses_come_from_the_peer_or_a_trusted_proxy(engine: Engine) {
    let mut scene = scene(engine).await;
    let other = scene.other.clone();
    let key = scene.ann.key.clone();
    // Asked for an operation that is not there: refused, and written down with the address.
    let noted = async |scene: &Scene, headers: &str| {
        let bytes = format!(
            "GET /api/v1/operations/{other} HTTP/1.1\r\nHost: g\r\nx-api-key: {key}\r\n{headers}connection: close\r\n\r\n"
        );
        let read = send(&scene.app, bytes.as_bytes(), PATIENCE).await;
        assert_eq!(statuses(&read), [404], "{read}");
        let newest =
            scene.app.app().db.audit_page(&Default::default(), None, None, 1).await.unwrap().remove(0);
        let context: Value = serde_json::from_str(newest.detail("context").unwrap()).unwrap();
        context["ip"].as_str().unwrap().to_owned()
    };
    let spoofs = [
        "x-forwarded-for: 203.0.113.9\r\n",
        "x-forwarded-for: 127.0.0.2, 203.0.113.9\r\n",
        "x_forwarded_for: 203.0.113.9\r\n",
        "x-real-ip: 203.0.113.9\r\n",
        "x-client-ip: 203.0.113.9\r\n",
        "true-client-ip: 203.0.113.9\r\n",
        "cf-connecting-ip: 203.0.113.9\r\n",
        "forwarded: for=203.0.113.9\r\n",
        "x-forwarded-for: 203.0.113.9\r\nx-forwarded-for: 203.0.113.8\r\n",
    ];
    let mut tried = 0;
    for headers in spoofs {
        assert_eq!(noted(&scene, headers).await, "127.0.0.1", "{headers}");
        tried += 1;
    }
    scene.app.config.trusted_proxies = vec!["127.0.0.1".parse().unwrap(), "10.0.0.1".parse().unwrap()];
    scene.app.restart().await;
    for (headers, expected) in [
        ("", "127.0.0.1"),
        ("x-forwarded-for: 203.0.113.9\r\n", "203.0.113.9"),
        ("x-forwarded-for: 198.51.100.1, 203.0.113.9\r\n", "203.0.113.9"),
        ("x-forwarded-for: 203.0.113.9, 10.0.0.1\r\n", "203.0.113.9"),
        ("x-forwarded-for: 198.51.100.1\r\nx-forwarded-for: 203.0.113.9\r\n", "203.0.113.9"),
        ("x-forwarded-for: 203.0.113.9, nonsense\r\n", "127.0.0.1"),
        ("x-forwarded-for: ::ffff:203.0.113.9\r\n", "::ffff:203.0.113.9"),
        ("x_forwarded_for: 203.0.113.9\r\n", "127.0.0.1"),
        ("x_forwarded_for: 198.51.100.1\r\nx-forwarded-for: 203.0.113.9\r\n", "203.0.113.9"),
        ("x-real-ip: 203.0.113.9\r\n", "127.0.0.1"),
        ("forwarded: for=203.0.113.9\r\n", "127.0.0.1"),
    ] {
        assert_eq!(noted(&scene, headers).await, expected, "{headers}");
        tried += 1;
    }
    println!("addresses: tried {tried}, believed wrongly 0");
}

async fn repeated_and_long_parameters_are_refused(engine: Engine) {
    let scene = scene(engine).await;
    let (app, key) = (&scene.app, &scene.ann.key);
    app.reset_calls().await;
    let mut tried = 0;
    for query in [
        "status=draft&status=scheduled".to_owned(),
        "page=1&page=2".into(),
        "limit=1&limit=100".into(),
        "limit=1&%6cimit=100".into(),
        "sortBy=updatedAt&sortOrder=asc&sortBy=x".into(),
        "fromDate=1&toDate=2&fromDate=3".into(),
        format!("status={}", "a".repeat(3_000)),
        format!("x={}", "a".repeat(2_100)),
        format!("x={}", "a".repeat(9_000)),
    ] {
        let bytes = format!(
            "GET /api/v1/list-posts?{query} HTTP/1.1\r\nHost: g\r\nx-api-key: {key}\r\nconnection: close\r\n\r\n"
        );
        let read = send(app, bytes.as_bytes(), PATIENCE).await;
        assert!(matches!(statuses(&read)[..], [400 | 414]), "{query}: {read}");
        tried += 1;
    }
    assert_eq!(app.calls().await, 0, "nothing was sent");
    // Names nobody knows are dropped, however often and under whatever spelling they stand.
    let query = "userId=1&userId=2&Status=draft&status%5b%5d=x&status=draft&x-postpost-user-id=3";
    assert_eq!(app.api(Method::GET, &format!("/api/v1/list-posts?{query}"), key, None).await.status, 200);
    let calls = app.control(Method::GET, "calls?last=1", Value::Null).await;
    assert_eq!(calls["calls"][0]["query"], "status=draft");

    let big = format!("{{\"status\":\"draft\",\"x\":\"{}\"}}", "a".repeat(256 << 10));
    for (length, sent) in [(big.len(), big.as_str()), (1 << 40, "{}")] {
        let bytes = format!(
            "PUT /api/v1/update-post/{} HTTP/1.1\r\nHost: g\r\nx-api-key: {key}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{sent}",
            scene.own
        );
        let read = send(app, bytes.as_bytes(), PATIENCE).await;
        assert_eq!(statuses(&read), [413], "{read}");
        tried += 1;
    }
    // A form with a field twice: two readers could each take another.
    let mut browser = Browser::login(app).await;
    let page = format!("/w/{}/tenants/{}", app.ws, scene.ann.id);
    let shown = browser.get(&page).await;
    let (csrf, once) = (hidden(&shown.text, "_csrf"), hidden(&shown.text, "_once"));
    for twice in [("reason", "another"), ("_csrf", csrf.as_str()), ("_once", once.as_str())] {
        let fields = [("_csrf", csrf.as_str()), ("_once", once.as_str()), ("reason", "one"), twice];
        let answer = browser.post(&format!("{page}/freeze"), &fields).await;
        assert_eq!(answer.status, 400, "{twice:?}: {}", answer.text);
        tried += 1;
    }
    assert_eq!(app.app().db.tenant(&app.ws, &scene.ann.id).await.unwrap().unwrap().frozen, None);
    println!("parameters: tried {tried}, refused {tried}");
}

async fn bare_line_feeds_make_one_request_at_most(engine: Engine) {
    let scene = scene(engine).await;
    let (own, key) = (&scene.own, &scene.ann.key);
    let mut tally = Tally::default();
    let put = format!(
        "PUT /api/v1/update-post/{own} HTTP/1.1\r\nHost: g\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n"
    );
    let second = format!(
        "DELETE /api/v1/delete-post/{own} HTTP/1.1\r\nHost: g\r\nx-api-key: {key}\r\nconnection: close\r\n\r\n"
    );
    let json = r#"{"status":"draft"}"#;
    let chunked = format!("{put}transfer-encoding: chunked\r\nconnection: close\r\n\r\n");
    let chunked_body = format!("{chunked}12\r\n{json}\r\n0\r\n");
    for (name, bytes) in [
        (
            "everywhere",
            format!("GET /api/v1/get-post/{own} HTTP/1.1\nHost: g\nx-api-key: {key}\nconnection: close\n\n"),
        ),
        (
            "in the request line",
            format!(
                "GET /api/v1/get-post/{own} HTTP/1.1\nHost: g\r\nx-api-key: {key}\r\nconnection: close\r\n\r\n"
            ),
        ),
        (
            "at the head's end",
            format!(
                "GET /api/v1/get-post/{own} HTTP/1.1\r\nHost: g\r\nx-api-key: {key}\r\nconnection: close\r\n\n"
            ),
        ),
        (
            "a lone CR in the line",
            format!("GET /api/v1/get-post/{own} HTTP/1.1\rHost: g\r\nx-api-key: {key}\r\n\r\n"),
        ),
        ("in a chunk's size", format!("{chunked}12\n{json}\r\n0\r\n\r\n{second}")),
        ("behind a chunk", format!("{chunked}12\r\n{json}\n0\r\n\r\n{second}")),
        ("in the last chunk", format!("{chunked}12\r\n{json}\r\n0\n\n{second}")),
        ("in a chunk's extension", format!("{chunked}12;x=\n{json}\r\n0\r\n\r\n{second}")),
        (
            "a chunk extension with a quoted line",
            format!("{chunked}12;x=\"\r\n0\r\n\r\n{second}\"\r\n{json}\r\n0\r\n\r\n"),
        ),
        ("a lone CR in a chunk's size", format!("{chunked}12\r{json}\r\n0\r\n\r\n{second}")),
        ("a size with a sign", format!("{chunked}+12\r\n{json}\r\n0\r\n\r\n{second}")),
        ("a size with a prefix", format!("{chunked}0x12\r\n{json}\r\n0\r\n\r\n{second}")),
        ("a size with a space", format!("{chunked} 12\r\n{json}\r\n0\r\n\r\n{second}")),
        ("a trailer that is a header", format!("{chunked_body}x-postpost-user-id: {}\r\n\r\n", scene.bob.id)),
        (
            "a key in a trailer",
            format!("{}x-api-key: {key}\r\n\r\n", chunked_body.replace(&format!("x-api-key: {key}\r\n"), "")),
        ),
        (
            "an empty line in front",
            format!(
                "\nGET /api/v1/get-post/{own} HTTP/1.1\r\nHost: g\r\nx-api-key: {key}\r\nconnection: close\r\n\r\n"
            ),
        ),
        ("a length with a line feed", format!("{put}content-length: 18\n\r\n{json}")),
        (
            "a header cut in two",
            format!(
                "{put}x-a: b\nx-postpost-user-id: {}\r\ncontent-length: 18\r\nconnection: close\r\n\r\n{json}",
                scene.bob.id
            ),
        ),
    ] {
        let read = tally.attempt(&scene, name, bytes.as_bytes()).await;
        println!("  {name}: {:?}", statuses(&read));
    }
    tally.report("line feeds");
    assert_eq!(
        scene.app.journal(0).await.iter().filter(|e| e["action"] == "post.delete").count(),
        0,
        "no second request"
    );
}
