//! The demo world: everything a gateway must show is in it, and none of it contradicts itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gatehouse::sandbox::world::{self, SeedError, Workspace, World};
use gatehouse::sandbox::{Options, Sandbox};
use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;

use super::read;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// A fresh sandbox with the world in it.
async fn seeded(now: i64) -> (Sandbox, TempDir, World) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options {
        listen: ([127, 0, 0, 1], 0).into(),
        data: folder.path().to_owned(),
        publish_every: Duration::ZERO,
    };
    let sandbox = Sandbox::start(options).await.expect("a sandbox");
    let world = world::seed(&sandbox.url(), now).await.expect("the world");
    (sandbox, folder, world)
}

async fn get(sandbox: &Sandbox, workspace: &Workspace, user: &str, path: &str) -> Value {
    let request = Client::builder().no_proxy().build().expect("a client");
    let request = request.get(format!("{}/api/v1/{path}", sandbox.url())).header("x-api-key", &workspace.key);
    let (status, body) =
        read(request.header("x-postpost-user-id", user).send().await.expect("an answer")).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

/// All posts of a tenant.
async fn posts(sandbox: &Sandbox, workspace: &Workspace, user: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for page in 1.. {
        let path = format!("list-posts?limit=100&page={page}");
        let mut body = get(sandbox, workspace, user, &path).await;
        all.append(body["posts"].as_array_mut().expect("posts"));
        if body["pagination"]["hasNextPage"] != true {
            break;
        }
    }
    all
}

fn millis(value: &Value) -> i64 {
    let time: jiff::Timestamp = value.as_str().expect("a time").parse().expect("a time");
    time.as_millisecond()
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_state_is_in_the_world() {
    let now = now();
    let (sandbox, _folder, world) = seeded(now).await;
    let environments: Vec<&str> = world.workspaces.iter().map(|workspace| workspace.environment).collect();
    assert_eq!(environments, ["production", "staging"]);
    let tenants: Vec<usize> = world.workspaces.iter().map(|workspace| workspace.tenants.len()).collect();
    assert_eq!(tenants, [8, 4]);

    let mut groups: BTreeMap<String, usize> = BTreeMap::new();
    let mut members: BTreeMap<String, usize> = BTreeMap::new();
    let mut tokens: BTreeMap<String, usize> = BTreeMap::new();
    let mut codes: BTreeMap<String, usize> = BTreeMap::new();
    let mut texts: HashMap<String, usize> = HashMap::new();
    let mut empty = 0;
    let (mut total, mut soon, mut overdue, mut undated, mut pictures) = (0, 0, 0, 0, 0);
    for workspace in &world.workspaces {
        let key_opens = get(&sandbox, workspace, &workspace.owner_id, "workspace/users").await;
        assert_eq!(key_opens["users"].as_array().map(Vec::len), Some(workspace.tenants.len()));
        for tenant in &workspace.tenants {
            let connections = get(&sandbox, workspace, &tenant.id, "platform-connections").await;
            let connections = connections["connections"].as_array().expect("connections").clone();
            assert!((1..=5).contains(&connections.len()), "{}", tenant.name);
            for connection in &connections {
                let status = connection["tokenStatus"].as_str().unwrap_or("");
                assert!(status != "expired" || connection["lastError"].is_object(), "{connection}");
                *tokens.entry(status.to_owned()).or_default() += 1;
            }
            let known: BTreeSet<&str> =
                connections.iter().filter_map(|connection| connection["platformId"].as_str()).collect();
            let list = posts(&sandbox, workspace, &tenant.id).await;
            empty += usize::from(list.is_empty());
            total += list.len();
            for post in &list {
                let status = post["status"].as_str().unwrap_or("");
                *groups.entry(status.to_owned()).or_default() += 1;
                *texts.entry(post["content"].as_str().unwrap_or("").to_owned()).or_default() += 1;
                pictures += usize::from(post["mediaUrls"].as_array().is_some_and(|urls| !urls.is_empty()));
                let (created, updated) = (millis(&post["createdAt"]), millis(&post["updatedAt"]));
                assert!(created <= updated && updated <= now, "{post}");
                let platforms = post["platforms"].as_array().expect("platforms");
                assert!(!platforms.is_empty(), "{post}");
                for platform in platforms {
                    assert!(known.contains(platform["platformId"].as_str().unwrap_or("")), "{platform}");
                    *members.entry(platform["status"].as_str().unwrap_or("").to_owned()).or_default() += 1;
                }
                let time = post.get("scheduledTime").map(millis);
                match (status, time) {
                    ("scheduled", at) => {
                        let left = at.expect("a time") - now;
                        assert!(left > 10 * MINUTE, "due at once: {post}");
                        soon += usize::from(left < 24 * HOUR);
                    }
                    ("draft", at) => {
                        undated += usize::from(at.is_none());
                        overdue += usize::from(at.is_some_and(|at| at < now));
                    }
                    (_, at) => assert!(at.is_some_and(|at| at <= updated), "{post}"),
                }
                if matches!(status, "failed" | "partially_published") {
                    let id = post["postGroupId"].as_str().unwrap_or("");
                    let whole = get(&sandbox, workspace, &tenant.id, &format!("get-post/{id}")).await;
                    let logs = get(&sandbox, workspace, &tenant.id, &format!("post-logs/{id}")).await;
                    let events = logs["logs"].as_array().expect("logs");
                    assert!(events.iter().any(|event| event["event"] == "publish_failed"), "{logs}");
                    for part in whole["posts"].as_array().expect("posts") {
                        assert_eq!(part["status"] == "failed", part["error"].is_object(), "{part}");
                        if let Some(code) = part["error"]["code"].as_str() {
                            assert!(part["error"]["retryable"].is_boolean(), "{part}");
                            *codes.entry(code.to_owned()).or_default() += 1;
                        }
                    }
                }
            }
        }
    }
    println!("{total} posts {groups:?}\nplatform posts {members:?}\ntokens {tokens:?}\ncodes {codes:?}");
    println!("{soon} within a day, {overdue} overdue drafts, {undated} undated, {pictures} with media");
    println!("{} different texts", texts.len());

    assert!(total >= 600, "{total}");
    assert_eq!(empty, 1, "one tenant has no posts");
    let names = |map: &BTreeMap<String, usize>| map.keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(names(&groups), "draft failed partially_published published scheduled");
    assert_eq!(names(&members), "draft failed pending processing published scheduled");
    assert_eq!(names(&tokens), "expired expiring_soon unknown valid");
    assert_eq!(
        names(&codes),
        "CONTENT_TOO_LARGE INVALID_CONTENT NETWORK_ERROR PLATFORM_AUTH_EXPIRED PLATFORM_SERVER_ERROR RATE_LIMITED"
    );
    assert!(soon >= 5 && overdue >= 5 && undated >= 5 && pictures >= 50);
    assert!(texts.len() * 100 >= total * 95, "texts repeat: {} of {total}", texts.len());
    let longest = texts.keys().map(|text| text.chars().count()).max();
    assert!(longest.is_some_and(|length| (1700..2000).contains(&length)), "{longest:?}");
    assert!(texts.keys().all(|text| !text.contains(['{', '}'])), "a place left open");
    sandbox.stop().await;
}

/// At any time of the day, and the same each time but for ids and keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_world_is_the_same_every_time() {
    let evening: jiff::Timestamp = "2030-03-15T23:58:00Z".parse().expect("a time");
    let now = evening.as_millisecond();
    let mut told = Vec::new();
    for _ in 0..2 {
        let (sandbox, _folder, world) = seeded(now).await;
        let mut texts = BTreeSet::new();
        for workspace in &world.workspaces {
            for tenant in &workspace.tenants {
                for post in posts(&sandbox, workspace, &tenant.id).await {
                    assert!(millis(&post["updatedAt"]) <= now && post["updatedAt"] != post["createdAt"]);
                    let at = post.get("scheduledTime").map(millis);
                    assert!(post["status"] != "scheduled" || at > Some(now + 10 * MINUTE), "{post}");
                    let of = |name: &str| post[name].to_string();
                    texts.insert([of("content"), of("status"), of("createdAt"), of("scheduledTime")]);
                }
            }
        }
        let again = world::seed(&sandbox.url(), now).await;
        assert!(matches!(again, Err(SeedError::Refused { status: 409, .. })), "{again:?}");
        assert!(!format!("{world:?}").contains("sk_"), "a key in the debug text");
        told.push(texts);
        sandbox.stop().await;
    }
    assert!(told[0] == told[1] && told[0].len() >= 600);
}
