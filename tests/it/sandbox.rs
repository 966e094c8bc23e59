//! The sandbox against the documented examples of the PostPost contract: tables of cases, over HTTP.
//!
//! Here the bench they run on, and authentication and workspace users; the rest by subject below. Each test has
//! a sandbox, a folder and a port of its own, and nothing waits for a clock.

mod engagement;
mod failures;
mod media;
mod plans;
mod posts;
mod publishing;
mod webhooks;
mod world;

use std::time::Duration;

use gatehouse::sandbox::{Error, Options, Sandbox};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A sandbox with one workspace, and a client for it.
pub struct Bench {
    pub sandbox: Sandbox,
    pub http: Client,
    pub url: String,
    pub owner: String,
    pub key: String,
    pub folder: TempDir,
}

impl Bench {
    /// A sandbox whose scheduler moves only when told to.
    pub async fn start() -> Bench {
        Bench::start_with(Duration::ZERO).await
    }

    pub async fn start_with(publish_every: Duration) -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let options =
            Options { listen: ([127, 0, 0, 1], 0).into(), data: folder.path().to_owned(), publish_every };
        let sandbox = Sandbox::start(options).await.expect("a sandbox");
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(20))
            .build()
            .expect("a client");
        let url = sandbox.url();
        let mut bench = Bench { sandbox, http, url, owner: String::new(), key: String::new(), folder };
        let made = bench.control("POST", "workspaces", json!({ "name": "Acme" })).await;
        bench.owner = made["ownerId"].as_str().expect("an owner").to_owned();
        bench.key = made["key"].as_str().expect("a key").to_owned();
        bench
    }

    /// A managed user, by the API.
    pub async fn user(&self, name: &str) -> String {
        let body = json!({ "username": format!("{name}@example.com") });
        let (status, body) = self.api("POST", "workspace/users", None, Some(body)).await;
        assert_eq!(status, 201, "{body}");
        body["user"]["_id"].as_str().expect("an id").to_owned()
    }

    /// A post by the API: scheduled for far ahead, or a draft.
    pub async fn post(&self, user: &str, time: Option<&str>) -> String {
        let mut body = json!({ "content": "Hello", "platforms": ["twitter-1", "telegram--100"] });
        if let Some(time) = time {
            body["scheduledTime"] = json!(time);
        }
        let (status, body) = self.api("POST", "create-post", Some(user), Some(body)).await;
        assert_eq!(status, 200, "{body}");
        body["postGroupId"].as_str().expect("an id").to_owned()
    }

    /// Seeded posts.
    pub async fn seed(&self, posts: Value) -> Vec<String> {
        let made = self.control("POST", "posts", json!({ "posts": posts })).await;
        made["ids"].as_array().expect("ids").iter().map(|id| id.as_str().unwrap_or("").to_owned()).collect()
    }

    /// A call on `/api/v1` with the workspace key.
    pub async fn api(
        &self,
        method: &str,
        path: &str,
        user: Option<&str>,
        body: Option<Value>,
    ) -> (u16, Value) {
        read(self.try_api(method, path, user, body).await.expect("an answer")).await
    }

    pub async fn try_api(
        &self,
        method: &str,
        path: &str,
        user: Option<&str>,
        body: Option<Value>,
    ) -> reqwest::Result<Response> {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let url = format!("{}/api/v1/{path}", self.url);
        let mut request = self.http.request(method, url).header("x-api-key", &self.key);
        if let Some(user) = user {
            request = request.header("x-postpost-user-id", user);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        request.send().await
    }

    /// A control call that must succeed.
    pub async fn control(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, body) = self.try_control(method, path, body).await;
        assert!(status < 300, "{method} {path}: {status} {body}");
        body
    }

    pub async fn try_control(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let request = self.http.request(method, format!("{}/_sandbox/{path}", self.url));
        let request = if body.is_null() { request } else { request.body(body.to_string()) };
        read(request.send().await.expect("an answer")).await
    }

    pub async fn faults(&self, rules: Value) {
        self.control("PUT", "faults", json!({ "rules": rules })).await;
    }

    /// The actions of the journal on one post, oldest first.
    pub async fn journal(&self, post: &str) -> Vec<String> {
        let all = self.control("GET", "journal", Value::Null).await;
        let entries = all["entries"].as_array().expect("entries");
        let of_post = entries.iter().filter(|entry| entry["postGroupId"] == post);
        of_post.map(|entry| entry["action"].as_str().unwrap_or("").to_owned()).collect()
    }
}

pub async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

type Headers<'a> = Vec<(&'a str, &'a str)>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authentication_errors() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let made = bench.control("POST", "workspaces", json!({ "name": "Other" })).await;
    let other_key = made["key"].as_str().expect("a key").to_owned();
    let (_, own) = bench.api("POST", &format!("workspace/users/{user}/api-key"), None, None).await;
    let own = own["apiKey"].as_str().expect("a key").to_owned();
    let limited = |body: Value| async { bench.control("POST", "workspaces", body).await["key"].clone() };
    let no_api = limited(json!({ "apiEnabled": false })).await;
    let no_mcp = limited(json!({ "mcpEnabled": false })).await;
    let expired = limited(json!({ "keyExpiresAt": "2020-01-01T00:00:00Z" })).await;
    let orphan = bench.control("POST", "workspaces", json!({})).await;
    let gone = orphan["ownerId"].as_str().expect("an id");
    bench.control("DELETE", &format!("users/{gone}"), Value::Null).await;
    let text = |value: &Value| value.as_str().expect("a key").to_owned();
    let orphan = text(&orphan["key"]);
    let (no_api, no_mcp, expired) = (text(&no_api), text(&no_mcp), text(&expired));
    let bearer = format!("Bearer {}", bench.key);
    let owner = bench.owner.clone();
    let unknown = "0".repeat(24);

    let (key, user_id) = ("x-api-key", "x-postpost-user-id");
    let workspace = "workspace/users";
    #[rustfmt::skip]
    let cases: Vec<(Headers, &str, u16, &str)> = vec![
        (vec![], "list-posts", 401, "API key is required"),
        (vec![(key, " ")], "list-posts", 401, "API key is required"),
        (vec![("authorization", "Basic c2tf")], "list-posts", 401, "API key is required"),
        (vec![(key, "sk_nobody_knows_this_key")], "list-posts", 401, "Invalid API key"),
        (vec![(key, &expired)], "list-posts", 401, "Invalid API key"),
        (vec![(key, &orphan)], "list-posts", 401, "Invalid API key owner"),
        (vec![(key, &no_api)], "list-posts", 403, "API access is not enabled for this account"),
        (vec![(key, &no_mcp), ("x-postpost-client", "mcp")], "list-posts", 403, "MCP access is not enabled for this account"),
        (vec![(key, &no_mcp), ("x-publora-client", "mcp")], "list-posts", 403, "MCP access is not enabled for this account"),
        (vec![(key, &no_mcp)], "list-posts", 200, ""),
        (vec![(key, &bench.key), (user_id, "bob")], "list-posts", 400, "Invalid x-postpost-user-id"),
        (vec![(key, &bench.key), (user_id, &unknown)], "list-posts", 403, "User is not managed by key"),
        (vec![(key, &other_key), (user_id, &user)], "list-posts", 403, "User is not managed by key"),
        (vec![(key, &own), (user_id, &owner)], "list-posts", 403, "Workspace access is not enabled for this key"),
        (vec![(key, &own)], workspace, 403, "Workspace access is not enabled for this key"),
        (vec![(key, &own)], "list-posts", 200, ""),
        (vec![(key, &own), (user_id, &user)], "list-posts", 200, ""),
        // The owner's own id is a no-op.
        (vec![(key, &bench.key), (user_id, &owner)], "list-posts", 200, ""),
        (vec![(key, &bench.key), (user_id, &user)], "list-posts", 200, ""),
        // Older names, and the third way to pass a key.
        (vec![("x-publora-key", &bench.key), ("x-publora-user-id", &user)], "list-posts", 200, ""),
        (vec![("authorization", &bearer)], workspace, 200, ""),
        // The present name wins.
        (vec![(key, &bench.key), ("x-publora-key", "sk_wrong_wrong_wrong_wrong")], "list-posts", 200, ""),
        (vec![(key, &bench.key), (user_id, &user), ("x-publora-user-id", "bob")], "list-posts", 200, ""),
        (vec![(key, "sk_wrong_wrong_wrong_wrong"), ("authorization", &bearer)], "list-posts", 401, "Invalid API key"),
        // Paths that are none do not ask for a key.
        (vec![], "no-such-path", 404, "Not found"),
    ];
    for (headers, path, status, error) in cases {
        let mut request = bench.http.get(format!("{}/api/v1/{path}", bench.url));
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let (got, body) = read(request.send().await.expect("an answer")).await;
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        assert_eq!((got, body["error"].as_str().unwrap_or("")), (status, error), "{names:?} {path}: {body}");
    }

    // Revoked by control, and replaced by the endpoint.
    bench.control("DELETE", "keys", json!({ "key": other_key })).await;
    bench.api("POST", &format!("workspace/users/{user}/api-key"), None, None).await;
    for key in [other_key, own] {
        let request = bench.http.get(format!("{}/api/v1/list-posts", bench.url)).header("x-api-key", key);
        assert_eq!(read(request.send().await.expect("an answer")).await.0, 401);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workspace_users() {
    let bench = Bench::start().await;
    let new = json!({ "username": "ann@example.com", "displayName": "Ann" });
    let (status, body) = bench.api("POST", "workspace/users", None, Some(new.clone())).await;
    let id = body["user"]["_id"].as_str().expect("an id").to_owned();
    let ann = json!({
        "_id": id, "username": "ann@example.com", "displayName": "Ann", "role": "managed", "dailyPostsLeft": 100,
    });
    assert_eq!((status, &body), (201, &json!({ "user": ann })));
    assert!(id.len() == 24 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{id}");
    let (_, body) =
        bench.api("POST", "workspace/users", None, Some(json!({ "username": "bob@example.com" }))).await;
    assert_eq!(body["user"]["displayName"], "bob@example.com");
    let bob = body["user"].clone();
    let (status, body) = bench.api("GET", "workspace/users", None, None).await;
    assert_eq!((status, body), (200, json!({ "users": [ann, bob] })));

    let users = "workspace/users";
    let unknown = format!("{users}/{}", "0".repeat(24));
    let missing = "User not found or not managed by this key";
    for (method, path, body, status, error) in [
        ("POST", users, json!({}), 400, "Email is required"),
        ("POST", users, json!({ "username": " " }), 400, "Email is required"),
        ("POST", users, new, 409, "User with this email already exists"),
        ("DELETE", "workspace/users/bob", Value::Null, 400, "Invalid user ID"),
        ("DELETE", &unknown, Value::Null, 404, missing),
        ("POST", &format!("{unknown}/connection-url"), json!({}), 404, missing),
        ("POST", &format!("{unknown}/api-key"), json!({}), 404, missing),
    ] {
        let (got, answer) = bench.api(method, path, None, Some(body)).await;
        assert_eq!((got, answer), (status, json!({ "error": error })), "{method} {path}");
    }

    // The connection URL is kept until it is rotated, and shows on the user.
    let path = format!("{users}/{id}/connection-url");
    let (status, first) = bench.api("POST", &path, None, None).await;
    assert_eq!(status, 200);
    let (_, again) = bench.api("POST", &path, None, Some(json!({ "expiresInDays": 5 }))).await;
    assert_eq!(again, first);
    let (_, list) = bench.api("GET", users, None, None).await;
    assert_eq!(list["users"][0]["connectionsPageUrl"], first["url"]);
    assert_eq!(list["users"][0]["connectionsPageTokenExpiresAt"], first["tokenExpiresAt"]);
    let (_, rotated) =
        bench.api("POST", &path, None, Some(json!({ "rotate": true, "expiresInDays": 5 }))).await;
    assert_ne!(rotated["url"], first["url"]);
    assert!(rotated["tokenExpiresAt"].as_str() < first["tokenExpiresAt"].as_str());
    for (url, status) in [(&first["url"], 404), (&rotated["url"], 200)] {
        let answer = bench.http.get(url.as_str().expect("a URL")).send().await.expect("an answer");
        assert_eq!(answer.status(), status);
    }

    // Detached: out of reach, but the record and the posts stay.
    let post = bench.post(&id, None).await;
    let path = format!("{users}/{id}");
    assert_eq!(bench.api("DELETE", &path, None, None).await, (200, json!({ "success": true })));
    assert_eq!(bench.api("DELETE", &path, None, None).await.0, 404);
    let (status, body) = bench.api("GET", &format!("get-post/{post}"), Some(&id), None).await;
    assert_eq!((status, body), (403, json!({ "error": "User is not managed by key" })));
    assert_eq!(bench.control("GET", &format!("posts/{post}"), Value::Null).await["userId"], id);
    let (_, list) = bench.api("GET", users, None, None).await;
    assert_eq!(list["users"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starts_on_loopback_only_and_keeps_its_data() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options {
        listen: ([0, 0, 0, 0], 0).into(),
        data: folder.path().to_owned(),
        publish_every: Duration::ZERO,
    };
    assert!(matches!(Sandbox::start(options).await, Err(Error::NotLoopback(_))));

    let Bench { sandbox, http, url, key, folder, .. } = Bench::start().await;
    // An idle connection of the client must not hold the stop up.
    http.get(&url).send().await.expect("an answer");
    sandbox.stop().await;
    assert!(http.get(&url).send().await.is_err());
    let options = Options {
        listen: ([127, 0, 0, 1], 0).into(),
        data: folder.path().to_owned(),
        publish_every: Duration::ZERO,
    };
    let again = Sandbox::start(options).await.expect("a sandbox");
    let request = http.get(format!("{}/api/v1/workspace/users", again.url())).header("x-api-key", key);
    assert_eq!(read(request.send().await.expect("an answer")).await, (200, json!({ "users": [] })));
    again.stop().await;
}

/// The sandbox stands apart: a wrong name shared with the gateway would pass every test.
#[test]
fn imports_nothing_else_of_the_crate() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sandbox");
    let mut folders = vec![std::path::PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("the text");
            let foreign: Vec<&str> = text
                .lines()
                .filter(|line| line.contains("crate::") && !line.contains("crate::sandbox"))
                .chain(
                    text.lines().filter(|line| line.contains("super::super") || line.contains("gatehouse::")),
                )
                .collect();
            assert_eq!(foreign, Vec::<&str>::new(), "{}", path.display());
        }
    }
}
