//! Webhooks: the five routes with their refusals, and what a receiver gets.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use gatehouse::sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Bench, read};

const AHEAD: &str = "2099-03-15T14:00:00.000Z";
const EVENTS: [&str; 4] = ["post.scheduled", "post.published", "post.failed", "token.expiring"];

/// What came in: the head in lower case, and the body's bytes.
type Received = (String, Vec<u8>);

/// A receiver of webhooks that keeps what it gets.
struct Receiver {
    url: String,
    /// What is answered; 0 for no answer at all.
    status: Arc<AtomicU16>,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    async fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/in", listener.local_addr().expect("an address"));
        let (status, received) = (Arc::new(AtomicU16::new(204)), Arc::new(Mutex::new(Vec::new())));
        let (shared_status, kept) = (Arc::clone(&status), Arc::clone(&received));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared_status), Arc::clone(&kept)));
            }
        });
        Receiver { url, status, received }
    }

    fn take(&self) -> Vec<Received> {
        std::mem::take(&mut self.received.lock().expect("the list"))
    }

    /// The bodies received since last asked, each checked against the secret.
    fn signed(&self, secret: &str) -> Vec<Value> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let check = |(head, body): &Received| {
            let line = |name: &str| {
                let line = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
                line.unwrap_or_else(|| panic!("no {name} in {head}")).to_owned()
            };
            assert!(head.starts_with("post /in http/1.1"), "{head}");
            assert_eq!(line("content-type"), "application/json");
            assert_eq!(line("x-postpost-signature"), hex::encode(hmac::sign(&key, body)));
            let value: Value = serde_json::from_slice(body).expect("JSON");
            assert_eq!(value["event"], line("x-postpost-event").as_str());
            assert!(value["timestamp"].is_string(), "{value}");
            value
        };
        self.take().iter().map(check).collect()
    }
}

async fn serve(mut stream: TcpStream, status: Arc<AtomicU16>, kept: Arc<Mutex<Vec<Received>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.and_then(|text| text.parse().ok()).unwrap_or(0)];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    kept.lock().expect("the list").push((head, body));
    match status.load(Ordering::SeqCst) {
        // Held open until the sender gives up.
        0 => _ = stream.read_u8().await,
        status => {
            let text = format!(
                "HTTP/1.1 {status} X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            _ = stream.write_all(text.as_bytes()).await;
        }
    }
}

impl Bench {
    /// A webhook; answers its id and secret.
    async fn webhook(&self, user: &str, url: &str, events: &[&str]) -> (String, String) {
        let body = json!({ "name": "In", "url": url, "events": events });
        let (status, body) = self.api("POST", "webhooks", Some(user), Some(body)).await;
        assert_eq!(status, 201, "{body}");
        let text = |name: &str| body["webhook"][name].as_str().expect("text").to_owned();
        (text("_id"), text("secret"))
    }

    async fn shown(&self, user: &str) -> Vec<Value> {
        let (status, body) = self.api("GET", "webhooks", Some(user), None).await;
        assert_eq!((status, &body["success"]), (200, &json!(true)));
        body["webhooks"].as_array().expect("webhooks").clone()
    }

    /// The states of all deliveries, once everything queued has been tried.
    async fn delivered(&self) -> Vec<String> {
        let all = self.control("POST", "deliveries", Value::Null).await;
        let all = all["deliveries"].as_array().expect("deliveries").clone();
        all.iter().map(|one| one["state"].as_str().unwrap_or("").to_owned()).collect()
    }

    async fn actions(&self, user: &str) -> Vec<String> {
        let all = self.control("GET", "journal", Value::Null).await;
        let entries = all["entries"].as_array().expect("entries").iter();
        let of_user = entries.filter(|entry| entry["userId"] == user && entry["postGroupId"].is_null());
        of_user.map(|entry| entry["action"].as_str().unwrap_or("").to_owned()).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_five_routes() {
    let bench = Bench::start().await;
    let (ann, bob) = (bench.user("ann").await, bench.user("bob").await);
    let new = json!({
        "name": " Mine ", "url": "https://hooks.example.com/in",
        "events": ["post.failed", "post.published", "post.failed"],
    });
    let (status, mut body) = bench.api("POST", "webhooks", Some(&ann), Some(new)).await;
    let made = &mut body["webhook"];
    let (id, secret, created) = (made["_id"].take(), made["secret"].take(), made["createdAt"].take());
    let (id, secret) =
        (id.as_str().expect("an id").to_owned(), secret.as_str().expect("a secret").to_owned());
    assert_eq!((status, id.len(), &made["updatedAt"]), (201, 24, &created));
    made["updatedAt"] = Value::Null;
    let fields = json!({
        "_id": null, "secret": null, "name": "Mine", "url": "https://hooks.example.com/in",
        "events": ["post.failed", "post.published"], "isActive": true, "failureCount": 0,
        "lastTriggeredAt": null, "createdAt": null, "updatedAt": null,
    });
    assert_eq!(body, json!({ "success": true, "webhook": fields }));
    assert!(secret.len() >= 40);

    let listed = bench.shown(&ann).await;
    assert_eq!((listed.len(), listed[0].get("secret"), &listed[0]["_id"]), (1, None, &json!(id)));
    assert_eq!(bench.shown(&bob).await, Vec::<Value>::new());

    // Only what is given, not empty and of its type.
    let path = format!("webhooks/{id}");
    let change = |body: Value| async { bench.api("PATCH", &path, Some(&ann), Some(body)).await };
    for (sent, name, events, active) in [
        (json!({ "name": "Yours" }), "Yours", 2, true),
        (json!({ "name": "", "url": "", "events": [], "isActive": "no" }), "Yours", 2, true),
        (json!({ "isActive": false, "events": ["token.expiring"] }), "Yours", 1, false),
        (json!({ "isActive": null, "name": 7 }), "Yours", 1, false),
        (json!({ "isActive": true, "url": "https://hooks.example.org/" }), "Yours", 1, true),
    ] {
        let (status, answer) = change(sent.clone()).await;
        let webhook = &answer["webhook"];
        let got = (&webhook["name"], webhook["events"].as_array().map(Vec::len), &webhook["isActive"]);
        assert_eq!((status, got), (200, (&json!(name), Some(events), &json!(active))), "{sent}");
        assert_eq!((webhook.get("secret"), &answer["success"]), (None, &json!(true)));
    }
    assert_eq!(bench.shown(&ann).await[0]["url"], "https://hooks.example.org/");

    let (status, again) = bench.api("POST", &format!("{path}/regenerate-secret"), Some(&ann), None).await;
    assert_eq!((status, &again["success"], &again["webhook"]["_id"]), (200, &json!(true), &json!(id)));
    assert_ne!(again["webhook"]["secret"], secret.as_str());

    let missing = json!({ "error": "Webhook not found" });
    let unknown = format!("webhooks/{}", "0".repeat(24));
    for (method, user, path) in [
        ("PATCH", &bob, path.clone()),
        ("DELETE", &bob, path.clone()),
        ("POST", &bob, format!("{path}/regenerate-secret")),
        ("PATCH", &ann, unknown.clone()),
        ("DELETE", &ann, unknown.clone()),
        ("POST", &ann, format!("{unknown}/regenerate-secret")),
        ("DELETE", &ann, "webhooks/nonsense".to_owned()),
    ] {
        let (status, answer) = bench.api(method, &path, Some(user), Some(json!({ "name": "x" }))).await;
        assert_eq!((status, answer), (404, missing.clone()), "{method} {path}");
    }
    assert_eq!(bench.api("DELETE", &path, Some(&ann), None).await, (200, json!({ "success": true })));
    assert_eq!(bench.api("DELETE", &path, Some(&ann), None).await, (404, missing));
    let updates = std::iter::repeat_n("webhook.update", 5);
    let expected: Vec<&str> = ["user.create", "webhook.create"]
        .into_iter()
        .chain(updates)
        .chain(["webhook.secret", "webhook.delete"])
        .collect();
    assert_eq!(bench.actions(&ann).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_in_upstreams_words() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let with = |name: &str, value: Value| {
        let mut body =
            json!({ "name": "In", "url": "https://hooks.example.com/", "events": ["post.failed"] });
        body[name] = value;
        body
    };
    let required = "Name, URL, and at least one event are required";
    let valid = EVENTS.join(", ");
    let invalid = |names: &str| format!("Invalid events: {names}. Valid events: {valid}");
    let url = |url: &str| with("url", json!(url));
    let cases = [
        (json!({}), required.to_owned()),
        (with("name", json!(" ")), required.to_owned()),
        (with("url", Value::Null), required.to_owned()),
        (with("events", json!([])), required.to_owned()),
        (with("events", json!("post.failed")), required.to_owned()),
        (with("events", json!(["post.failed", "post.liked", 5])), invalid("post.liked, 5")),
        (url("hooks.example.com"), "Invalid URL format".to_owned()),
        (url("http://hooks.example.com"), "URL must use HTTPS".to_owned()),
        (url("https://localhost:8443/"), "Localhost URLs are not allowed".to_owned()),
        (url("https://127.0.0.1/"), "Localhost URLs are not allowed".to_owned()),
        (url("https://192.168.0.10/"), "Private IP addresses are not allowed".to_owned()),
        (url("https://169.254.7.7/"), "Link-local addresses are not allowed".to_owned()),
        (url("https://169.254.169.254/"), "Cloud metadata endpoints are not allowed".to_owned()),
    ];
    for (body, error) in &cases {
        let (status, answer) = bench.api("POST", "webhooks", Some(&user), Some(body.clone())).await;
        assert_eq!((status, answer), (400, json!({ "error": error })), "{body}");
    }
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(bench.webhook(&user, "https://hooks.example.com/", &["post.failed"]).await.0);
    }
    let (status, answer) = bench.api("POST", "webhooks", Some(&user), Some(url("https://a.example/"))).await;
    assert_eq!((status, answer), (400, json!({ "error": "Maximum of 10 webhooks per user" })));
    // An update is checked likewise, and leaves everything as it was.
    let before = bench.shown(&user).await;
    for (body, error) in cases.iter().filter(|(_, error)| error != required) {
        let path = format!("webhooks/{}", ids[0]);
        let (status, answer) = bench.api("PATCH", &path, Some(&user), Some(body.clone())).await;
        assert_eq!((status, answer), (400, json!({ "error": error })), "{body}");
    }
    assert_eq!(bench.shown(&user).await, before);
    // Another user has ten of his own, and a deleted one makes room.
    let bob = bench.user("bob").await;
    bench.webhook(&bob, "https://hooks.example.com/", &["post.failed"]).await;
    bench.api("DELETE", &format!("webhooks/{}", ids[3]), Some(&user), None).await;
    bench.webhook(&user, "https://hooks.example.com/", &["post.failed"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_delivered_signed() {
    let bench = Bench::start().await;
    bench.control("PUT", "webhooks", json!({ "loopback": true })).await;
    let (ann, bob) = (bench.user("ann").await, bench.user("bob").await);
    let receiver = Receiver::start().await;
    let (id, secret) = bench.webhook(&ann, &receiver.url, &EVENTS).await;
    // Others hear nothing: another user, one that listens to something else, one that is switched off.
    bench.webhook(&bob, &receiver.url, &EVENTS).await;
    bench.webhook(&ann, &receiver.url, &["token.expiring"]).await;
    let (off, _) = bench.webhook(&ann, &receiver.url, &EVENTS).await;
    bench.api("PATCH", &format!("webhooks/{off}"), Some(&ann), Some(json!({ "isActive": false }))).await;
    let soon = "2099-03-20T00:00:00.000Z";
    let connections = json!([
        { "userId": ann, "platformId": "linkedin-1", "accessTokenExpiresAt": "2099-01-01T00:00:00Z" },
    ]);
    bench.control("POST", "connections", connections).await;

    let body = json!({ "content": "Hi", "platforms": ["twitter-1", "linkedin-1"], "scheduledTime": AHEAD });
    let (_, made) = bench.api("POST", "create-post", Some(&ann), Some(body)).await;
    let post = made["postGroupId"].as_str().expect("an id").to_owned();
    let (_, shown) = bench.api("GET", &format!("get-post/{post}"), Some(&ann), None).await;
    let (twitter, linkedin) = (&shown["posts"][0]["_id"], &shown["posts"][1]["_id"]);
    assert_eq!(bench.delivered().await, ["delivered", "delivered"]);
    let data = |bodies: Vec<Value>| -> Vec<Value> {
        bodies.into_iter().map(|mut body| json!([body["event"].take(), body["data"].take()])).collect()
    };
    let of = |id: &Value, platform: &str, rest: Value| {
        let mut data = json!({ "postId": id, "postGroupId": post, "platform": platform });
        data.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
        data
    };
    let expected = [
        json!(["post.scheduled", of(twitter, "twitter", json!({ "scheduledAt": AHEAD }))]),
        json!(["post.scheduled", of(linkedin, "linkedin", json!({ "scheduledAt": AHEAD }))]),
    ];
    assert_eq!(data(receiver.signed(&secret)), expected);

    // Nothing for a pause, again for a resume and a move.
    let path = format!("update-post/{post}");
    bench.api("PUT", &path, Some(&ann), Some(json!({ "status": "draft" }))).await;
    assert_eq!(bench.delivered().await.len(), 2);
    bench.api("PUT", &path, Some(&ann), Some(json!({ "status": "scheduled" }))).await;
    assert_eq!(bench.delivered().await.len(), 4);
    assert_eq!(data(receiver.signed(&secret)), expected);

    // Published here, failed there; two connections of which one is about to expire.
    bench.control("POST", "tick", json!({ "now": AHEAD, "steps": 3 })).await;
    bench.delivered().await;
    let message = "The connection to the platform has expired. Please reconnect the account.";
    let failed = json!({ "error": message, "failedAt": AHEAD });
    let expected = [
        json!(["post.published", of(twitter, "twitter", json!({ "publishedAt": AHEAD }))]),
        json!(["post.failed", of(linkedin, "linkedin", failed)]),
    ];
    assert_eq!(data(receiver.signed(&secret)), expected);
    let put = |name: &str, at: &str| json!([{ "userId": ann, "platformId": name, "username": "ann", "accessTokenExpiresAt": at }]);
    bench.control("POST", "connections", put("threads-1", soon)).await;
    bench.control("POST", "connections", put("threads-2", "2099-03-23T00:00:00Z")).await;
    for _ in 0..3 {
        bench.control("POST", "tick", json!({ "now": AHEAD })).await;
    }
    bench.delivered().await;
    let told: Vec<Value> =
        receiver.take().iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect();
    let expiring =
        json!({ "platform": "threads", "platformId": "threads-1", "username": "ann", "expiresAt": soon });
    assert_eq!(data(told), [json!(["token.expiring", expiring]), json!(["token.expiring", expiring])]);
    // Reconnected, it is told of again when it comes to that.
    bench.control("POST", "connections", put("threads-1", "2099-03-21T00:00:00Z")).await;
    bench.control("POST", "tick", json!({ "now": AHEAD })).await;
    bench.delivered().await;
    assert_eq!(receiver.take().len(), 2);

    let listed = bench.shown(&ann).await;
    let mine = listed.iter().find(|one| one["_id"] == id.as_str()).expect("the webhook");
    assert!(mine["lastTriggeredAt"].is_string() && mine["failureCount"] == 0, "{mine}");
    let silent = listed.iter().find(|one| one["_id"] == off.as_str()).expect("the webhook");
    assert_eq!(silent["lastTriggeredAt"], Value::Null);
    let delivered = bench.actions(&ann).await.iter().filter(|action| *action == "webhook.deliver").count();
    assert_eq!(delivered, 2 + 2 + 2 + 2 + 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_failures_in_a_row_switch_a_webhook_off() {
    let bench = Bench::start().await;
    bench.control("PUT", "webhooks", json!({ "loopback": true, "timeoutMs": 200 })).await;
    let user = bench.user("ann").await;
    let receiver = Receiver::start().await;
    let (id, secret) = bench.webhook(&user, &receiver.url, &["post.scheduled"]).await;
    let create = json!({ "content": "Hi", "platforms": ["twitter-1"], "scheduledTime": AHEAD });
    let post = || async {
        bench.api("POST", "create-post", Some(&user), Some(create.clone())).await;
        bench.delivered().await;
        let webhook = bench.shown(&user).await.remove(0);
        (webhook["failureCount"].as_i64(), webhook["isActive"].as_bool())
    };
    // A success in between begins the count anew; a redirect is not followed; no answer in time is a failure.
    for (status, count) in
        [(500, 1), (404, 2), (302, 3), (410, 4), (200, 0), (503, 1), (0, 2), (500, 3), (500, 4)]
    {
        receiver.status.store(status, Ordering::SeqCst);
        assert_eq!(post().await, (Some(count), Some(true)), "{status}");
    }
    assert_eq!(receiver.signed(&secret).len(), 9);
    assert_eq!(post().await, (Some(5), Some(false)));
    receiver.status.store(200, Ordering::SeqCst);
    receiver.take();
    assert_eq!(post().await, (Some(5), Some(false)));
    assert_eq!(receiver.take().len(), 0, "off is off");
    let actions = bench.actions(&user).await;
    assert_eq!(actions.iter().filter(|action| *action == "webhook.fail").count(), 9);
    assert_eq!(actions.last().map(String::as_str), Some("webhook.disable"));

    // Switched on again it starts anew, under a new secret; what was not sent stays unsent.
    let path = format!("webhooks/{id}");
    let (_, on) = bench.api("PATCH", &path, Some(&user), Some(json!({ "isActive": true }))).await;
    assert_eq!((&on["webhook"]["isActive"], &on["webhook"]["failureCount"]), (&json!(true), &json!(0)));
    let (_, again) = bench.api("POST", &format!("{path}/regenerate-secret"), Some(&user), None).await;
    assert_eq!(post().await, (Some(0), Some(true)));
    assert_eq!(receiver.signed(again["webhook"]["secret"].as_str().expect("a secret")).len(), 1);

    // Where nobody listens.
    let nowhere = json!({ "url": "http://127.0.0.1:1/" });
    bench.api("PATCH", &path, Some(&user), Some(nowhere)).await;
    assert_eq!(post().await, (Some(1), Some(true)));
    let all = bench.control("GET", "deliveries", Value::Null).await;
    let last = all["deliveries"].as_array().and_then(|all| all.last()).expect("a delivery");
    let refused = last["error"].as_str().is_some_and(|text| text.contains("refused"));
    assert!(refused && last["httpStatus"].is_null(), "{last}");

    // Where loopback is no longer allowed, nothing leaves.
    bench.control("PUT", "webhooks", json!({ "loopback": false })).await;
    assert_eq!(post().await, (Some(2), Some(true)));
    assert_eq!(receiver.take().len(), 0);
    let all = bench.control("GET", "deliveries?after=0", Value::Null).await;
    let last = all["deliveries"].as_array().and_then(|all| all.last()).expect("a delivery");
    assert_eq!((&last["state"], &last["error"]), (&json!("failed"), &json!("URL must use HTTPS")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_switch_lets_this_machine_pass_and_no_other() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let receiver = Receiver::start().await;
    let local = receiver.url.replace("127.0.0.1", "localhost");
    for (url, error) in
        [(local.as_str(), "URL must use HTTPS"), ("https://127.0.0.1:1/", "Localhost URLs are not allowed")]
    {
        let body = json!({ "name": "In", "url": url, "events": ["post.scheduled"] });
        let (status, answer) = bench.api("POST", "webhooks", Some(&user), Some(body)).await;
        assert_eq!((status, answer), (400, json!({ "error": error })), "{url}");
    }
    let switches = bench.control("PUT", "webhooks", json!({})).await;
    assert_eq!(switches, json!({ "loopback": false, "timeoutMs": 10_000 }));
    bench.control("PUT", "webhooks", json!({ "loopback": true })).await;
    let (_, secret) = bench.webhook(&user, &local, &["post.scheduled"]).await;
    let (status, _) = bench
        .api(
            "POST",
            "webhooks",
            Some(&user),
            Some(json!({ "name": "In", "url": "http://10.0.0.1/", "events": ["post.failed"] })),
        )
        .await;
    assert_eq!(status, 400, "this machine only");
    bench.post(&user, Some(AHEAD)).await;
    assert_eq!(bench.delivered().await, ["delivered", "delivered"]);
    assert_eq!(receiver.signed(&secret).len(), 2);
    for bad in [json!({ "timeoutMs": 0 }), json!({ "lopback": true })] {
        assert_eq!(bench.try_control("PUT", "webhooks", bad).await.0, 400);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_worker_sends_by_itself_and_what_waited_through_a_stop() {
    let bench = Bench::start().await;
    bench.control("PUT", "webhooks", json!({ "loopback": true })).await;
    let user = bench.user("ann").await;
    let receiver = Receiver::start().await;
    let (_, secret) = bench.webhook(&user, &receiver.url, &["post.scheduled"]).await;
    bench.post(&user, Some(AHEAD)).await;
    // Each look is a round trip; the bound only keeps a broken worker from hanging the run.
    let mut states = Vec::new();
    for _ in 0..10_000 {
        let all = bench.control("GET", "deliveries", Value::Null).await;
        states = all["deliveries"].as_array().expect("deliveries").clone();
        if states.iter().all(|one| one["state"] == "delivered") {
            break;
        }
    }
    assert_eq!((states.len(), receiver.signed(&secret).len()), (2, 2), "{states:?}");

    // A receiver that does not answer, and a stop in the middle: sent again by the next start.
    receiver.status.store(0, Ordering::SeqCst);
    bench.post(&user, Some(AHEAD)).await;
    for _ in 0..10_000 {
        if !receiver.received.lock().expect("the list").is_empty() {
            break;
        }
        tokio::task::yield_now().await;
        bench.control("GET", "deliveries", Value::Null).await;
    }
    let Bench { sandbox, folder, .. } = bench;
    sandbox.stop().await;
    let data = folder.path().to_owned();
    let options = Options { listen: ([127, 0, 0, 1], 0).into(), data, publish_every: Duration::ZERO };
    assert_eq!(receiver.take().len(), 1);
    receiver.status.store(200, Ordering::SeqCst);
    let again = Sandbox::start_with_loopback_webhooks(options).await.expect("a sandbox");
    let url = format!("{}/_sandbox/deliveries", again.url());
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let (status, all) = read(client.post(url).send().await.expect("an answer")).await;
    let states = all["deliveries"].as_array().expect("deliveries").iter().map(|one| one["state"].as_str());
    assert_eq!((status, states.collect::<Vec<_>>()), (200, vec![Some("delivered"); 4]));
    assert_eq!(receiver.signed(&secret).len(), 2);
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_reach_webhooks_too() {
    let bench = Bench::start().await;
    let user = bench.user("ann").await;
    let body =
        || Some(json!({ "name": "In", "url": "https://hooks.example.com/", "events": ["post.failed"] }));
    let on_webhooks = |rule: Value| {
        let mut rule = rule;
        rule["match"] = json!({ "path": "/api/v1/webhooks", "method": "POST" });
        json!([rule])
    };
    for (rule, status, made) in [
        (json!({ "status": 503 }), Some(503), 0),
        (json!({ "retryAfter": 3 }), Some(429), 0),
        (json!({ "resetBefore": true }), None, 0),
        (json!({ "failTransaction": true }), Some(500), 0),
        (json!({ "statusAfter": 502, "delayMs": 1 }), Some(502), 1),
        (json!({ "resetAfter": true }), None, 2),
    ] {
        bench.faults(on_webhooks(rule.clone())).await;
        let answer = bench.try_api("POST", "webhooks", Some(&user), body()).await;
        assert_eq!(answer.ok().map(|answer| answer.status().as_u16()), status, "{rule}");
        assert_eq!(bench.shown(&user).await.len(), made, "{rule}");
        let created = bench.actions(&user).await.iter().filter(|action| *action == "webhook.create").count();
        assert_eq!(created, made, "{rule}");
    }
}
