//! Every row of the tenant door's table, called with a tenant's and a workspace's key, each change a second time with the
//! same idempotency key, and everything once more while PostPost fails. What an answer gives away once is a secret from
//! then on; the repeated answer must not have it.

use super::{Places, Secret};
use crate::testapp::{Answer, TestApp, client};
use gatehouse::http::api::table::{Effect, rows};
use reqwest::Method;
use serde_json::{Value, json};

/// Where an answer may hold a secret: once, in its body, for the caller.
const GIVEN_ONCE: [&str; 4] = ["/webhook/secret", "/apiKey", "/url", "/user/connectionsPageUrl"];

pub async fn call_every_row(
    app: &TestApp,
    url: &str,
    tenant: &str,
    keys: [&str; 2],
    places: &mut Places,
    secrets: &mut Vec<Secret>,
) {
    let http = client();
    let document =
        http.get(format!("{url}/openapi.json")).send().await.unwrap().json::<Value>().await.unwrap();
    let mut given = 0;
    for failing in [false, true] {
        let rules = if failing { json!([{ "status": 500, "body": { "error": "no" } }]) } else { json!([]) };
        app.faults(rules).await;
        for row in rows() {
            let operation = &document["paths"][row.path][row.method.to_lowercase()];
            let name = format!("{} {}, failing {failing}", row.method, row.path);
            // The tenant has to stay.
            if name.starts_with("DELETE /api/v1/workspace/users") {
                continue;
            }
            for (n, key) in keys.iter().enumerate() {
                let post = app.posts(tenant, vec![json!({ "status": "draft" })]).await.remove(0);
                let hook =
                    json!({ "name": "x", "url": "https://cms.example.com/x", "events": ["post.failed"] });
                let hook = match failing {
                    false => {
                        ask(
                            &http,
                            Method::POST,
                            &format!("{url}/api/v1/webhooks"),
                            key,
                            tenant,
                            n,
                            None,
                            Some(hook),
                        )
                        .await
                    }
                    true => Answer::read(http.get(format!("{url}/healthz")).send().await.unwrap()).await,
                };
                let hook = serde_json::from_str::<Value>(&hook.text).ok();
                let hook = hook
                    .as_ref()
                    .and_then(|h| h.pointer("/webhook/_id")?.as_str())
                    .unwrap_or(tenant)
                    .to_owned();
                let path = row.path.replace("{postGroupId}", &post).replace("{webhookId}", &hook);
                let path = path.replace("{userId}", tenant).replace("{platformId}", "twitter-1");
                let path = path.replace("{operationId}", "01a220b6-656c-70e1-bd2e-4ff260f875a7");
                let path = format!("{url}{}", path.replace("{first}", "a").replace("{second}", "b"));
                let body = operation.pointer("/requestBody/content/application~1json/example").cloned();
                let mark =
                    format!("canary-{failing}-{}-{}-{n}", row.method, row.path).replace(['/', '{', '}'], "-");
                let method: Method = row.method.parse().unwrap();
                let answer =
                    ask(&http, method.clone(), &path, key, tenant, n, Some(&mark), body.clone()).await;
                let shown: Value = serde_json::from_str(&answer.text).unwrap_or_default();
                let once: Vec<&str> =
                    GIVEN_ONCE.iter().filter_map(|at| shown.pointer(at)?.as_str()).collect();
                // PostPost's list of users has their links, for those who may manage them.
                let belongs = name.starts_with("GET /api/v1/workspace/users");
                if once.is_empty() && !belongs {
                    places.answer(&name, &answer);
                } else {
                    places.headers(&name, &answer);
                }
                for text in once {
                    given += 1;
                    secrets.push(Secret::new(name.clone(), text.rsplit(['/', '=']).next().unwrap()));
                }
                if matches!(row.effect, Effect::Changes(_)) {
                    let again = ask(&http, method, &path, key, tenant, n, Some(&mark), body).await;
                    places.answer(&format!("{name}, repeated"), &again);
                }
                ask(
                    &http,
                    Method::DELETE,
                    &format!("{url}/api/v1/webhooks/{hook}"),
                    key,
                    tenant,
                    n,
                    None,
                    None,
                )
                .await;
            }
        }
    }
    app.control(Method::DELETE, "faults", Value::Null).await;
    assert!(given >= 4, "only {given} secrets were given");
}

#[expect(clippy::too_many_arguments, reason = "a call, spelt out")]
async fn ask(
    http: &reqwest::Client,
    method: Method,
    url: &str,
    key: &str,
    tenant: &str,
    n: usize,
    mark: Option<&str>,
    body: Option<Value>,
) -> Answer {
    let mut request = http.request(method, url).header("x-api-key", key);
    // The second key is the workspace's, which names the tenant.
    if n == 1 {
        request = request.header("x-postpost-user-id", tenant);
    }
    if let Some(mark) = mark {
        request = request.header("idempotency-key", mark);
    }
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    Answer::read(request.send().await.unwrap()).await
}
