//! No secret leaves the place it belongs to. A real process that logs everything is used as people and programs use it,
//! with mistakes and failures; then each secret is looked for in the log, the database, the exports, the pages and the
//! headers.

mod rows;

use crate::{
    support::{
        databases::{Engine, dump, gateway_on_both_engines},
        process::Process,
    },
    testapp::{Answer, Browser, TestApp, client, hidden},
};
use gatehouse::{envelope::token_hash, http};
use reqwest::Method;
use serde_json::{Value, json};
use std::{fs, io::BufRead, process::Stdio};

gateway_on_both_engines!(no_secret_is_anywhere_else);

const FIRST_PASSWORD: &str = "seventeen herons cross the weir";
const PASSWORD: &str = "an otter counts the bridges twice";

const METRICS_TOKEN: &str = "heron-weir-otter-bridge-metrics-0123456789";

/// Where a secret must not be: a name and the bytes.
#[derive(Default)]
struct Places(Vec<(String, Vec<u8>)>);

impl Places {
    /// An answer: its body, and its headers but for the cookies it sets.
    fn answer(&mut self, name: &str, answer: &Answer) {
        self.0.push((format!("{name} (body)"), answer.text.clone().into_bytes()));
        self.headers(name, answer);
    }

    fn headers(&mut self, name: &str, answer: &Answer) {
        let shown: Vec<String> = answer
            .headers
            .iter()
            .filter(|(name, _)| *name != "set-cookie")
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        self.0.push((format!("{name} (headers)"), shown.join("\n").into_bytes()));
    }

    /// Every file below a folder except the key files, which are where the keys belong.
    fn folder(&mut self, when: &str, folder: &std::path::Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_file() && !name.ends_with(".key") {
                self.0.push((format!("{name} {when}"), fs::read(&path).unwrap()));
            }
        }
    }
}

/// A secret in the forms it could be found in.
struct Secret {
    name: String,
    forms: Vec<Vec<u8>>,
}

impl Secret {
    fn new(name: impl Into<String>, text: &str) -> Self {
        assert!(text.len() >= 16, "too short to be looked for");
        let encoded: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let mut forms = vec![
            text.as_bytes().to_vec(),
            encoded.clone().into_bytes(),
            encoded.replace('+', "%20").into_bytes(),
            hex::encode(text).into_bytes(),
        ];
        // Hex digits stand for bytes, which might be written as such.
        forms.extend(hex::decode(text).ok());
        forms.dedup();
        Self { name: name.into(), forms }
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms.iter().any(|form| contains(bytes, form))
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|b| *b == part[0]) {
        if rest[at..].starts_with(part) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

fn cookie(browser: &Browser, name: &str) -> String {
    let cookies = browser.cookie_header();
    let found = cookies.split("; ").find_map(|c| c.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default();
    assert!(!found.is_empty(), "no cookie {name} in {cookies}");
    found.to_owned()
}

/// The path of a location, without what is said on the page it leads to.
fn path(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.text);
    answer.header("location").split('?').next().unwrap().to_owned()
}

/// Sends a form that makes a secret, opens the page that shows it once, and that page again.
async fn reveal(
    browser: &mut Browser,
    places: &mut Places,
    page: &str,
    action: &str,
    fields: &[(&str, &str)],
) -> String {
    let made = browser.submit(page, action, fields).await;
    places.answer(action, &made);
    let location = path(&made);
    let once = browser.get(&location).await;
    assert_eq!(once.status, 200, "{}", once.text);
    let mark = "readonly value=\"";
    let start = once.text.find(mark).unwrap_or_else(|| panic!("no secret in {}", once.text)) + mark.len();
    let secret = once.text[start..].split('"').next().unwrap().to_owned();
    places.headers("the page shown once", &once);
    let again = browser.get(&location).await;
    assert!(again.text.contains("already shown"), "{}", again.text);
    places.answer("the page shown once, again", &again);
    secret
}

async fn no_secret_is_anywhere_else(engine: Engine) {
    let app = TestApp::prepare(engine, |_| {}).await;
    let log = app.config.data.parent().unwrap().join("stderr.log");
    let file = fs::File::create(&log).unwrap();
    let token = format!("GATEHOUSE_METRICS_TOKEN={METRICS_TOKEN}");
    let mut process = Process::start_through(&app, &["env", &token], "trace", Stdio::from(file)).await;
    let mut lines = [String::new(), String::new()];
    for line in &mut lines {
        process.stdout.read_line(line).unwrap();
    }
    let mut secrets = Vec::new();
    let mut places = Places::default();
    secrets.push(Secret::new("metrics token", METRICS_TOKEN));
    for (sent, status) in [(METRICS_TOKEN.to_owned(), 200), (METRICS_TOKEN.to_uppercase(), 401)] {
        let request = client().get(format!("{}/metrics", process.url)).bearer_auth(sent);
        let answer = Answer::read(request.send().await.unwrap()).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        places.answer("/metrics", &answer);
    }

    // Set up, out, in with a wrong and the right password, another password.
    let setup = lines[1].trim().strip_prefix(&process.url).expect("a link of ours").to_owned();
    secrets.push(Secret::new("set-up token", setup.rsplit('/').next().unwrap()));
    let mut browser = Browser::at(&process.url);
    let person = [("name", "Ann"), ("email", "ann@test.example")];
    let short = [person[0], person[1], ("password", "too short, that")];
    places.answer("set-up, refused", &browser.submit(&setup, &setup, &short[..2]).await);
    let made = browser.submit(&setup, &setup, &[person[0], person[1], ("password", FIRST_PASSWORD)]).await;
    assert_eq!(path(&made), "/");
    places.answer("set-up", &made);
    places.answer("set-up again", &browser.get(&setup).await);
    secrets.push(Secret::new("first session", &cookie(&browser, "__Host-sid")));
    secrets.push(Secret::new("cookie before the session", &cookie(&browser, "gh_pre")));
    places.answer("log-out", &browser.submit("/settings", "/logout", &[]).await);
    let wrong = [("email", "ann@test.example"), ("password", "a wrong password, quite long")];
    places.answer("log-in, refused", &browser.submit("/login", "/login", &wrong).await);
    secrets.push(Secret::new("wrong password", wrong[1].1));
    let right = [("email", "ann@test.example"), ("password", FIRST_PASSWORD)];
    places.answer("log-in", &browser.submit("/login", "/login", &right).await);
    let change = [("current_password", FIRST_PASSWORD), ("new_password", PASSWORD)];
    let changed = browser.submit("/settings", "/settings/password", &change).await;
    assert_eq!(changed.status, 303, "{}", changed.text);
    places.answer("password", &changed);
    let session = cookie(&browser, "__Host-sid");
    secrets.push(Secret::new("session", &session));
    secrets.push(Secret::new("first password", FIRST_PASSWORD));
    secrets.push(Secret::new("password", PASSWORD));

    // A workspace: a key nobody knows, the right one, another one.
    let account = app.control(Method::POST, "workspaces", json!({ "name": "First" })).await;
    let upstream_key = account["key"].as_str().unwrap().to_owned();
    let unknown = format!("sk_{}", "qzvx".repeat(12));
    let sandbox = app.sandbox.url();
    let mut ws = String::new();
    for key in [&unknown, &upstream_key] {
        let fields = [
            ("name", "First"),
            ("environment", "staging"),
            ("base_url", sandbox.as_str()),
            ("upstream_key", key),
        ];
        let answer = browser.submit("/workspaces/new", "/workspaces", &fields).await;
        places.answer("/workspaces", &answer);
        if answer.status == 303 {
            ws = path(&answer);
        }
    }
    places.answer("its key", &browser.submit(&ws, &format!("{ws}/key"), &[("upstream_key", &unknown)]).await);
    let second = json!({ "userId": account["ownerId"], "workspace": true });
    let second = app.control(Method::POST, "keys", second).await["key"].as_str().unwrap().to_owned();
    let replaced = browser.submit(&ws, &format!("{ws}/key"), &[("upstream_key", &second)]).await;
    assert_eq!(replaced.status, 303, "{}", replaced.text);
    places.answer("its other key", &replaced);
    secrets.push(Secret::new("upstream key", &upstream_key));
    secrets.push(Secret::new("upstream key in use", &second));
    secrets.push(Secret::new("upstream key nobody knows", &unknown));

    // A tenant, its link twice, and a key of each kind.
    let (tenants, keys) = (format!("{ws}/tenants"), format!("{ws}/keys"));
    let fields = [("username", "hello@bakery.example"), ("display_name", "Blue Bakery")];
    let made = browser.submit(&format!("{tenants}/new"), &tenants, &fields).await;
    places.answer("a tenant", &made);
    let tenant = path(&made);
    let tenant_id = tenant.rsplit('/').next().unwrap().to_owned();
    let link_form = format!("{tenant}/link");
    for rotate in ["0", "1"] {
        let fields = [("days", "30"), ("rotate", rotate)];
        let link = reveal(&mut browser, &mut places, &tenant, &link_form, &fields).await;
        let token = link.rsplit(['/', '=']).next().unwrap().to_owned();
        secrets.push(Secret::new(format!("connection link, rotate {rotate}"), &token));
    }
    let mut minted = Vec::new();
    for (kind, scopes) in [
        (
            "tenant",
            vec![
                "posts:read",
                "posts:create",
                "posts:update",
                "posts:delete",
                "media:write",
                "connections:read",
                "analytics:read",
                "engagement:write",
                "webhooks:manage",
            ],
        ),
        (
            "workspace",
            vec!["posts:read", "posts:update", "posts:delete", "webhooks:manage", "workspace:manage"],
        ),
        ("audit", vec!["audit:read"]),
    ] {
        let mut fields = vec![("name", kind), ("kind", kind), ("expiry", "30")];
        if kind == "tenant" {
            fields.push(("tenant", &tenant_id));
        }
        fields.extend(scopes.into_iter().map(|scope| ("scopes", scope)));
        let key = reveal(&mut browser, &mut places, &format!("{keys}/new"), &keys, &fields).await;
        secrets.push(Secret::new(format!("{kind} key"), &key));
        // One letter off: still most of a secret, and what a caller mistypes.
        let mut wrong = key.clone();
        wrong.replace_range(20..21, if &key[20..21] == "a" { "b" } else { "a" });
        secrets.push(Secret::new(format!("{kind} key, mistyped"), &wrong));
        minted.extend([key, wrong]);
    }

    call_the_doors(&app, &process.url, &tenant_id, &minted, &mut places).await;
    let (tenants_key, workspaces_key) = (minted[0].as_str(), minted[2].as_str());
    let keys_of_both = [tenants_key, workspaces_key];
    rows::call_every_row(&app, &process.url, &tenant_id, keys_of_both, &mut places, &mut secrets).await;

    // Every page there is, and both exports of the pages.
    for format in ["csv", "ndjson"] {
        let action = format!("{ws}/audit/export");
        let export = browser.submit(&format!("{ws}/audit"), &action, &[("format", format)]).await;
        assert!(export.status == 200 && export.text.contains("key.create"), "{}", export.text);
        places.answer(&format!("export {format}"), &export);
        let all = browser.submit("/audit", "/audit/export", &[("format", format)]).await;
        assert!(all.text.contains("admin.login"), "{}", all.text);
        places.answer(&format!("export of everything {format}"), &all);
    }
    let list = browser.get(&keys).await;
    let key_page = list.text.split("href=\"").find(|l| l.starts_with(&format!("{keys}/0"))).unwrap();
    let key_id = key_page.split(['"', '?']).next().unwrap().rsplit('/').next().unwrap().to_owned();
    let posts = browser.get(&format!("{ws}/posts")).await.text;
    let post = posts.split(&format!("{ws}/posts/{tenant_id}/")).nth(1).unwrap()[..24].to_owned();
    let mut pages = 0;
    for route in http::routes().iter().filter(|r| r.method == "GET" && !r.path.starts_with("/api/")) {
        let id = if route.path.contains("/keys/") { &key_id } else { &tenant_id };
        let path =
            route.path.replace("/w/{ws}", &ws).replace("{tenant}", &tenant_id).replace("{post}", &post);
        for seq in 0..if path.contains("{seq}") { 40 } else { 1 } {
            let path = path.replace("{id}", id).replace("{seq}", &seq.to_string());
            if !path.contains('{') {
                let answer = browser.get(&path).await;
                assert!(answer.status < 500, "{path}: {}", answer.text);
                pages += usize::from(answer.status == 200);
                places.answer(&path, &answer);
            }
        }
    }
    assert!(pages > 40, "{pages} pages");
    let csrf = hidden(&browser.get("/settings").await.text, "_csrf");
    for name in ["master.key", "pepper.key", "audit.key"] {
        let content = fs::read_to_string(app.config.data.join(name)).unwrap();
        secrets.push(Secret::new(name, content.trim()));
    }

    // The files while it runs and after it has stopped, and the log.
    places.folder("running", &app.config.data);
    if let Some(dump) = dump(&app.config.database_url).await {
        places.0.push(("the database".into(), dump));
    }
    process.signal("-TERM");
    assert_eq!(process.child.wait().unwrap().code(), Some(0));
    places.folder("stopped", &app.config.data);
    let log = fs::read(&log).unwrap();
    for seen in ["TRACE", "sqlx::query", "hyper", "/api/v1/list-posts", "/setup/{token}"] {
        assert!(contains(&log, seen.as_bytes()), "{seen} is not in the log: does it log everything?");
    }
    assert!(!contains(&log, csrf.as_bytes()), "a form's token is in the log");
    places.0.push(("the log".into(), log));

    // What is stored of a session is found where it belongs, so a secret would be too.
    let control = Secret::new("the session's hash", &hex::encode(token_hash(&session)));
    assert!(places.0.iter().any(|(_, bytes)| control.is_in(bytes)), "the database was not read");
    let mut found = Vec::new();
    for secret in &secrets {
        for (place, bytes) in &places.0 {
            if secret.is_in(bytes) {
                found.push(format!("{} in {place}", secret.name));
            }
        }
    }
    let bytes: usize = places.0.iter().map(|(_, bytes)| bytes.len()).sum();
    println!(
        "{} secrets x {} places ({} kB): {} found",
        secrets.len(),
        places.0.len(),
        bytes / 1024,
        found.len()
    );
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Good and bad calls with each key, in each way a key can be sent, and with upstream failing.
async fn call_the_doors(app: &TestApp, url: &str, tenant: &str, keys: &[String], places: &mut Places) {
    let posts = (0..12).map(|n| json!({ "status": "draft", "content": format!("post {n}") })).collect();
    let ids = app.posts(tenant, posts).await;
    let mut next = ids.iter();
    let http = client();
    let unknown = "507f191e810c19729de860ea";
    let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
    let delete = json!({ "method": "DELETE" });
    let faults = [
        json!([]),
        json!([{ "match": delete, "resetAfter": true }]),
        json!([{ "status": 500, "body": { "error": "Internal server error" } }]),
        json!([{ "garbage": true }]),
        json!([{ "redirect": "http://127.0.0.1:1/" }]),
    ];
    for (round, rules) in faults.into_iter().enumerate() {
        app.faults(rules).await;
        for (n, key) in keys.iter().enumerate() {
            let id = if n == 0 { next.next().unwrap() } else { unknown };
            for (method, path, body) in [
                (Method::GET, "/api/v1/list-posts?limit=3".to_owned(), None),
                (Method::GET, format!("/api/v1/get-post/{id}"), None),
                (Method::GET, "/api/v1/platform-connections".into(), None),
                (Method::PUT, format!("/api/v1/update-post/{id}"), Some(json!({ "status": "draft" }))),
                (Method::PUT, format!("/api/v1/update-post/{id}"), Some(json!({ "status": "nonsense" }))),
                (Method::DELETE, format!("/api/v1/delete-post/{id}"), None),
                (Method::GET, "/api/v1/nothing".into(), None),
                (Method::POST, "/api/v1/list-posts".into(), None),
                (Method::GET, "/manage/v1/audit.csv".into(), None),
                (Method::GET, "/manage/v1/audit.ndjson".into(), None),
            ] {
                let mut request = http.request(method, format!("{url}{path}"));
                request = match (round + n) % 3 {
                    0 => request.header("x-api-key", key),
                    1 => request.header("authorization", format!("Bearer {key}")),
                    _ => request.header("x-publora-key", key),
                };
                if n / 2 == 1 {
                    request = request.header("x-postpost-user-id", tenant);
                }
                if let Some(body) = body {
                    request = request.header("content-type", "application/json").body(body.to_string());
                }
                let answer = Answer::read(request.send().await.unwrap()).await;
                *statuses.entry(answer.status).or_default() += 1;
                places.answer(&format!("{path} round {round} key {n}"), &answer);
            }
        }
    }
    app.control(Method::DELETE, "faults", Value::Null).await;
    println!("calls by status: {statuses:?}");
    for status in [200, 400, 401, 403, 404, 405, 502, 504] {
        assert!(statuses.contains_key(&status), "no call was answered {status}: {statuses:?}");
    }
}
