//! Without PostPost the gateway starts, shows what it has, says so, and answers every call in time.

use crate::{
    support::databases::{Engine, gateway_on_both_engines},
    testapp::{Browser, TestApp},
};
use reqwest::Method;
use serde_json::json;
use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

gateway_on_both_engines!(it_starts_and_answers_without_upstream);

async fn it_starts_and_answers_without_upstream(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let tenant = app.tenant("Blue Bakery").await;
    let id =
        app.posts(&tenant.id, vec![json!({ "status": "draft", "content": "Fresh bread" })]).await.remove(0);
    app.sweep(&app.ws, &tenant.id).await;
    // A port nobody listens on, then one where nobody ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = (format!("http://{}", silent.local_addr().unwrap()), silent);
    let mut at = app.sandbox.url();
    for (there, statuses) in [("http://127.0.0.1:1".to_owned(), [502, 502]), (silent.0, [504, 504])] {
        app.app().db.move_workspaces(&at, &there).await.unwrap();
        at = there;
        app.restart().await;
        let update = Some(json!({ "status": "scheduled", "scheduledTime": "2030-01-01T09:00:00Z" }));
        let mut slowest = Duration::ZERO;
        for (method, path, body, status) in [
            (Method::GET, "/api/v1/list-posts".to_owned(), None, statuses[0]),
            (Method::GET, format!("/api/v1/get-post/{id}"), None, statuses[0]),
            (Method::GET, "/api/v1/platform-connections".into(), None, statuses[0]),
            (Method::PUT, format!("/api/v1/update-post/{id}"), update, statuses[1]),
            (Method::DELETE, format!("/api/v1/delete-post/{id}"), None, statuses[1]),
        ] {
            let begun = Instant::now();
            let answer = app.api(method, &path, &tenant.key, body).await;
            slowest = slowest.max(begun.elapsed());
            assert_eq!(answer.status, status, "{at}{path}: {}", answer.text);
            assert!(answer.json()["code"].is_string() && answer.json()["requestId"].is_string());
        }
        // Three seconds of patience for repeats, and the last attempt.
        assert!(slowest < Duration::from_secs(5), "{slowest:?}");
        println!("{at}: slowest answer {slowest:?}");

        let mut browser = Browser::login(&app).await;
        let (ws, id) = (&app.ws, &tenant.id);
        for (path, words) in [
            ("/".to_owned(), "PostPost unreachable since"),
            (format!("/w/{ws}"), "PostPost unreachable since"),
            (format!("/w/{ws}/tenants"), "Blue Bakery"),
            (format!("/w/{ws}/tenants/{id}"), "PostPost unreachable since"),
            (format!("/w/{ws}/posts"), "Fresh bread"),
            (format!("/w/{ws}/keys"), "PostPost unreachable since"),
            (format!("/w/{ws}/jobs"), "PostPost unreachable since"),
            (format!("/w/{ws}/audit"), "PostPost unreachable since"),
            ("/workspaces".into(), "First"),
            ("/healthz".into(), ""),
        ] {
            let begun = Instant::now();
            let page = browser.get(&path).await;
            assert!(page.status == 200 && page.text.contains(words), "{path}: {} {}", page.status, page.text);
            assert!(begun.elapsed() < Duration::from_secs(5), "{path}: {:?}", begun.elapsed());
        }
        let page = format!("/w/{ws}/tenants/{id}");
        let link = browser.submit(&page, &format!("{page}/link"), &[("days", "30")]).await;
        // Without a connection nothing happened and the form says so; without an answer its operation will tell.
        let told =
            link.status == 422 || link.status == 303 && link.header("location").contains("/operations/");
        assert!(told, "{}: {}", link.status, link.text);
    }
}
