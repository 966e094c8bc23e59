//! The reference of the tenant door: the OpenAPI document has every route, its examples work as they stand, and the page
//! is readable without anything from elsewhere.

use crate::{
    support::databases::{Engine, gateway_on_both_engines},
    testapp::{Answer, TestApp},
};
use gatehouse::{
    domain::{
        audit::Action,
        keys::{KeyKind, Scope},
    },
    http::api::{
        differences::DIFFERENCES,
        table::{Body, rows},
    },
};
use reqwest::Method;
use serde_json::{Value, json};

gateway_on_both_engines!(the_document_has_every_route, every_example_works, the_page_stands_alone);

const USER: &str = "65f0a1b2c3d4e5f601020304";
const POST: &str = "65f0a1b2c3d4e5f601020305";
const HOOK: &str = "65f0a1b2c3d4e5f601020306";
const COMMENT: &str = "urn:li:comment:(urn:li:activity:7123456789012345678,6543210987654321)";
const OPERATION: &str = "01a220b6-656c-70e1-bd2e-4ff260f875a7";

async fn document(app: &TestApp) -> Value {
    let answer = Answer::read(app.request(Method::GET, "/openapi.json").send().await.unwrap()).await;
    assert_eq!(answer.status, 200);
    answer.json()
}

async fn the_document_has_every_route(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let document = document(&app).await;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"][0]["url"], app.url());
    let mut described = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let row = rows().iter().find(|r| r.path == path && r.method.eq_ignore_ascii_case(method));
            let row = row.unwrap_or_else(|| panic!("{method} {path} is not served"));
            assert!(!row.summary.is_empty(), "{method} {path}");
            assert_eq!(operation["x-needs"], row.needs_words(), "{method} {path}");
            assert_eq!(operation["requestBody"].is_object(), matches!(row.body, Body::Object(_)), "{path}");
            described += 1;
        }
    }
    assert_eq!(described, rows().len());
    let routes = gatehouse::http::routes();
    let served = routes.iter().filter(|r| r.path.starts_with("/api/v1/")).count();
    assert_eq!(served, described, "every route of the tenant door stands in the table");
    // References lead somewhere.
    let text = document.to_string();
    for (at, _) in text.match_indices("\"#/") {
        let pointer: String = text[at + 2..].chars().take_while(|c| *c != '"').collect();
        assert!(document.pointer(&pointer).is_some(), "{pointer}");
    }
    let mut ids: Vec<&str> =
        text.split("\"operationId\":\"").skip(1).map(|s| s.split('"').next().unwrap()).collect();
    ids.sort_unstable();
    let all = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), all, "operation ids are unique");
}

async fn every_example_works(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let everything: Vec<Scope> = Scope::ALL.iter().copied().filter(|s| *s != Scope::AuditRead).collect();
    let workspace_key = app.key(&app.ws, KeyKind::Workspace, None, &everything).await;
    for account in ["bluesky-did:plc:abc123", "linkedin-Tz9W5i6ZYG", "twitter-123456789"] {
        let connection = json!({ "userId": tenant.id, "platformId": account, "username": "ann" });
        app.control(Method::POST, "connections", connection).await;
    }
    let document = document(&app).await;
    let (mut tried, mut comment, mut wrong) = (0, String::new(), Vec::new());
    for row in rows() {
        // PostPost documents nothing of these; the sandbox has only some.
        let bookmarks = [
            "GET /api/v1/x-bookmarks/{first}",
            "POST /api/v1/x-bookmarks/{first}",
            "DELETE /api/v1/x-bookmarks/{first}/{second}",
        ];
        let name = format!("{} {}", row.method, row.path);
        if row.path.contains("x-bookmarks") && !bookmarks.contains(&name.as_str()) {
            continue;
        }
        // One of each that an example can name, as it is before the call.
        let post = json!({ "status": "scheduled", "scheduledTime": "2031-03-15T14:00:00.000Z",
            "platforms": ["bluesky-did:plc:abc123"] });
        let post = app.posts(&tenant.id, vec![post]).await.remove(0);
        let hook = json!({ "name": "x", "url": "https://cms.example.com/x", "events": ["post.failed"] });
        let hook = app.api(Method::POST, "/api/v1/webhooks", &tenant.key, Some(hook)).await.json();
        let hook = hook["webhook"]["_id"].as_str().unwrap_or_default().to_owned();
        let other = app.tenant(&format!("other-{tried}")).await;
        let operation =
            app.entries().await.iter().find_map(|e| Some(e["opId"].as_str()?.to_owned())).unwrap();
        let real = |text: &str| {
            let text = text.replace(POST, &post).replace(HOOK, &hook).replace(USER, &other.id);
            text.replace(OPERATION, &operation).replace(COMMENT, &comment)
        };
        let operation = &document["paths"][row.path][row.method.to_lowercase()];
        let mut path = row.path.to_owned();
        for parameter in operation["parameters"].as_array().unwrap().iter().filter(|p| p["in"] == "path") {
            let name = format!("{{{}}}", parameter["name"].as_str().unwrap());
            path = path.replace(&name, parameter["example"].as_str().unwrap());
        }
        let body = operation.pointer("/requestBody/content/application~1json/example").map(Value::to_string);
        let key = if row.tag() == "Workspace" { &workspace_key } else { &tenant.key };
        let mut request =
            app.request(row.method.parse().unwrap(), &real(&path)).header("x-api-key", key.as_str());
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(real(&body));
        }
        let answer = Answer::read(request.send().await.unwrap()).await;
        if answer.status != row.status {
            wrong.push(format!("{name}: {} {}", answer.status, answer.text));
        }
        if row.action() == Some(Action::LinkedinComment) {
            comment = answer.json()["comment"]["commentId"].as_str().unwrap_or_default().to_owned();
        }
        // Ten a user: the next row makes its own.
        app.api(Method::DELETE, &format!("/api/v1/webhooks/{hook}"), &tenant.key, None).await;
        tried += 1;
    }
    println!("examples tried: {tried}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn the_page_stands_alone(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let page = Answer::read(app.request(Method::GET, "/docs/api").send().await.unwrap()).await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    for row in rows() {
        assert!(page.text.contains(row.path), "{}", row.path);
    }
    for scope in Scope::ALL {
        assert!(page.text.contains(scope.as_str()), "{scope}");
    }
    for difference in DIFFERENCES {
        let plain = difference.gateway.split(['"', '\'', '<', '&']).next().unwrap();
        assert!(page.text.contains(plain), "{}", difference.id);
    }
    let elsewhere = |part: &&str| part.starts_with("http") || part.starts_with("//");
    let named: Vec<&str> = page.text.split(['"', '\'']).filter(elsewhere).collect();
    assert!(named.is_empty(), "the page names {named:?}");
    assert!(!page.text.contains('`'), "marks of code are for the document");
    // What the commands send.
    let sends = |call: &str| -> Value {
        let at = page.text.find(&format!("<code>{call}</code>")).unwrap();
        let example = &page.text[at + page.text[at..].find("<pre").unwrap()..];
        let example = example[..example.find("</pre>").unwrap()].replace("&#34;", "\"").replace("&#39;", "'");
        let body = example.split("-d '").nth(1).unwrap_or_else(|| panic!("{call}: {example}"));
        serde_json::from_str(body.split('\'').next().unwrap()).unwrap()
    };
    assert_eq!(sends("POST /api/v1/workspace/users")["username"], "social@example.com");
    let (said, deleted) =
        (sends("POST /api/v1/linkedin-comments"), sends("DELETE /api/v1/linkedin-comments"));
    assert!(said["message"].is_string() && said["commentId"].is_null(), "{said}");
    assert!(deleted["commentId"].is_string() && deleted["message"].is_null(), "{deleted}");
    assert!(page.text.len() < 160 * 1024, "{} bytes", page.text.len());
}
