//! How upstream is treated when it misbehaves: time limits, sizes, repeats, the retry budget, the breaker. Against the
//! client alone where that is enough, else through the doors.

mod amplification;
mod refused_key;

use crate::{
    support::{
        databases::{Engine, gateway_on_both_engines},
        process::Process,
        tiny::Tiny,
    },
    testapp::{Browser, TestApp, hidden},
};
use futures_util::future::join_all;
use gatehouse::{
    clock::{Clock, SECOND},
    domain::{jobs::JobState, times},
    metrics::Metrics,
    upstream::{Call, Endpoint, Error, KeyStanding, Method, Patience, Reply, Timeouts, Upstream},
};
use serde_json::{Value, json};
use std::{
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

gateway_on_both_engines!(
    an_open_breaker_sends_nothing_and_says_when,
    a_job_waits_while_the_breaker_is_open,
    a_process_stopped_before_a_repeat_does_not_send_it,
);

/// The client alone, in front of one address.
struct Client {
    upstream: Upstream,
    clock: Clock,
    metrics: Arc<Metrics>,
    to: Endpoint,
}

impl Client {
    fn new(url: &str) -> Self {
        Self::with(url, Duration::from_secs(5), Duration::from_millis(200))
    }

    fn with(url: &str, total: Duration, idle: Duration) -> Self {
        let (clock, metrics) = (Clock::default(), Arc::new(Metrics::default()));
        let timeouts = Timeouts { total: (total, total), idle, guarded: true };
        let to = Endpoint {
            workspace_id: "w".into(),
            base_url: url.into(),
            key: "sk_test".to_owned().into(),
            standing: KeyStanding::InUse { since: 1 },
        };
        let upstream = Upstream::new(clock.clone(), metrics.clone(), timeouts).unwrap();
        Self { upstream, clock, metrics, to }
    }

    async fn read(&self) -> Result<Reply, Error> {
        self.upstream.send(&self.to, &Call::get(&["list-posts"], None, "r"), Patience::DOOR).await
    }

    async fn change(&self) -> Result<Reply, Error> {
        let call =
            Call::with(Method::Put, &["update-post", "1"], None, "r").json(&json!({ "status": "draft" }));
        self.upstream.send(&self.to, &call, Patience::DOOR).await
    }
}

/// The sum of a counter over all its labels that contain `with`.
fn counted(metrics: &Metrics, name: &str, with: &str) -> u64 {
    let start = format!("gatehouse_{name}_total{{");
    let of = |line: &str| line.rsplit(' ').next()?.parse::<u64>().ok();
    let text = metrics.encode();
    text.lines().filter(|l| l.starts_with(&start) && l.contains(with)).filter_map(of).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_never_comes_is_given_up() {
    // Nobody accepts: when the queue is full, the system answers no further connection.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(connected) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        queue.push(connected.unwrap());
    }
    let client = Client::with(&format!("http://{address}"), Duration::from_secs(30), Duration::from_secs(10));
    let begun = Instant::now();
    let error = client.change().await.unwrap_err();
    let took = begun.elapsed();
    assert!(matches!(error, Error::Unreachable(_)) && !error.may_have_happened(), "{error:?}");
    // Two seconds each, for as many attempts as begin within the door's three.
    assert!((3_900..5_500).contains(&took.as_millis()), "{took:?}");
    assert_eq!(counted(&client.metrics, "upstream_calls", "upstream_unreachable"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_an_answer_and_then_silence_is_given_up() {
    let closed = Arc::new(Mutex::new(None));
    let noted = closed.clone();
    let tiny = Tiny::serve(move |_, mut stream| {
        let noted = noted.clone();
        async move {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"a\":").await.unwrap();
            let end = stream.read(&mut [0; 1]).await;
            *noted.lock().unwrap() = Some(matches!(end, Ok(0) | Err(_)));
        }
    })
    .await;
    let client = Client::new(&tiny.url);
    let begun = Instant::now();
    assert_eq!(client.read().await.unwrap_err(), Error::Timeout);
    let took = begun.elapsed();
    assert!((200..1_500).contains(&took.as_millis()), "{took:?}");
    assert_eq!(client.change().await.unwrap_err(), Error::Timeout);
    assert_eq!(tiny.seen(), 2, "neither is repeated");
    let begun = Instant::now();
    while closed.lock().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(5), "the connection is still open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(*closed.lock().unwrap(), Some(true), "the connection is dropped");
    println!("half an answer: given up after {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_has_the_total_time_and_no_more() {
    // A byte every 50 ms never reaches the idle limit.
    let tiny = Tiny::serve(|n, mut stream| async move {
        let body = if n == 0 { r#"{"ok":true}"#.to_owned() } else { " ".repeat(1_000) };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        let _ = stream.write_all(head.as_bytes()).await;
        for byte in body.bytes() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if stream.write_all(&[byte]).await.is_err() {
                break;
            }
        }
    })
    .await;
    let client = Client::with(&tiny.url, Duration::from_secs(2), Duration::from_millis(500));
    assert_eq!(client.read().await.unwrap().json(), Some(json!({ "ok": true })));
    let begun = Instant::now();
    assert_eq!(client.read().await.unwrap_err(), Error::Timeout);
    let took = begun.elapsed();
    assert!((1_900..3_500).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_answer_is_let_go_of() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let tiny = Tiny::serve(move |n, mut stream| {
        let counter = counter.clone();
        async move {
            let head: &[u8] = match n {
                0 => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
                _ => b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
            };
            let _ = stream.write_all(head).await;
            let mut chunk = b"10000\r\n".to_vec();
            chunk.resize(7 + 0x1_0000, b' ');
            chunk.extend_from_slice(b"\r\n");
            while stream.write_all(&chunk).await.is_ok() {
                counter.fetch_add(chunk.len(), Ordering::SeqCst);
            }
        }
    })
    .await;
    let client = Client::with(&tiny.url, Duration::from_secs(30), Duration::from_secs(10));
    assert_eq!(client.read().await.unwrap_err(), Error::TooLarge);
    let first = sent.swap(0, Ordering::SeqCst);
    assert!((16 << 20..28 << 20).contains(&first), "{first} bytes: the cap and what the sockets hold");
    assert_eq!(client.change().await.unwrap_err(), Error::TooLarge);
    let second = sent.load(Ordering::SeqCst);
    assert!(second < 12 << 20, "{second} bytes: an announced size is enough");
    assert_eq!(tiny.seen(), 2);
    println!("endless: {first} bytes taken; announced: {second}");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_take_turns_in_memory() {
    let tiny = Tiny::answering(|_| (200, String::new(), " ".repeat(1 << 20))).await;
    let client = Client::with(&tiny.url, Duration::from_secs(20), Duration::from_millis(500));
    let held = join_all((0..20).map(|_| client.read())).await;
    let (fine, late): (Vec<_>, Vec<_>) = held.into_iter().partition(Result::is_ok);
    assert_eq!((fine.len(), late.len()), (16, 4), "whoever holds one keeps its place");
    assert!(late.iter().all(|result| *result.as_ref().unwrap_err() == Error::TooLarge));
    drop(fine);
    let client = Client::with(&tiny.url, Duration::from_secs(20), Duration::from_secs(10));
    let sizes = join_all((0..60).map(|_| async { client.read().await.unwrap().body.len() })).await;
    assert!(sizes.iter().all(|size| *size == 1 << 20), "and nobody is left out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_ten_thousand_users_is_read() {
    let users: Vec<Value> = (0..10_000)
        .map(|n| {
            json!({
                "_id": format!("{n:024x}"), "username": format!("customer-{n}@a-rather-long-domain.example"),
                "displayName": format!("Customer number {n} with a name of some length, Ltd."),
                "platforms": ["twitter", "linkedin", "instagram"], "createdAt": "2026-03-15T14:00:00.000Z",
                "connectionsPageTokenExpiresAt": "2026-04-15T14:00:00.000Z", "apiEnabled": true,
                "connections": { "twitter": { "connected": true }, "linkedin": { "connected": false } },
            })
        })
        .collect();
    let body = json!({ "users": users }).to_string();
    let size = body.len();
    assert!(size > 3 << 20, "{size} bytes");
    let tiny = Tiny::answering(move |_| (200, String::new(), body.clone())).await;
    let client = Client::with(&tiny.url, Duration::from_secs(15), Duration::from_secs(10));
    let begun = Instant::now();
    let users = client.upstream.list_users(&client.to, "r", Patience::DOOR).await.unwrap();
    assert_eq!(users.len(), 10_000);
    println!("10,000 users: {size} bytes in {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_obeyed_and_not_for_ever() {
    for (header, least) in [("1", 1_000), ("date", 1_000), ("0", 0)] {
        let tiny = Tiny::answering(move |n| {
            let at = Clock::default().now() + 2 * SECOND;
            let value = match header {
                // Whole seconds: at least one whole second from now.
                "date" => jiff::fmt::rfc2822::DateTimePrinter::new()
                    .timestamp_to_rfc9110_string(&jiff::Timestamp::from_millisecond(at).unwrap())
                    .unwrap(),
                seconds => seconds.to_owned(),
            };
            match n % 2 {
                0 => (429, format!("retry-after: {value}\r\n"), r#"{"error":"slow"}"#.into()),
                _ => (200, String::new(), "{}".into()),
            }
        })
        .await;
        let client = Client::new(&tiny.url);
        for changes in [false, true] {
            let begun = Instant::now();
            let reply = if changes { client.change().await } else { client.read().await };
            let took = begun.elapsed().as_millis();
            assert_eq!(reply.unwrap().status, 200);
            assert!((least..least + 1_900).contains(&took), "{header}: {took} ms");
        }
        assert_eq!(tiny.seen(), 4);
    }
    let tiny = Tiny::answering(|_| (429, "retry-after: 3600\r\n".into(), r#"{"error":"slow"}"#.into())).await;
    let client = Client::new(&tiny.url);
    let begun = Instant::now();
    let reply = client.read().await.unwrap();
    // Told to whoever asked as it was said; what is believed for ourselves is less.
    assert_eq!((reply.status, reply.retry_after, tiny.seen()), (429, Some(3_600), 1));
    assert_eq!(reply.asked_to_wait(), Some(Duration::from_secs(120)));
    assert!(begun.elapsed() < Duration::from_secs(1), "nobody waits for an hour");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_whose_time_has_passed_is_not_sent() {
    let tiny = Tiny::answering(|_| (429, "retry-after: 1\r\n".into(), r#"{"error":"slow"}"#.into())).await;
    for jump in [0, 60 * SECOND] {
        let client = Arc::new(Client::new(&tiny.url));
        let before = tiny.seen();
        let change = tokio::spawn({
            let client = client.clone();
            async move { client.change().await }
        });
        while tiny.seen() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.clock.advance(jump);
        assert_eq!(change.await.unwrap().unwrap().status, 429);
        // Two within the door's three seconds; none after a process has stood still for longer.
        assert_eq!(tiny.seen() - before, if jump == 0 { 3 } else { 1 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_three_attempts_and_one_call_in_ten_is_a_repeat() {
    // Of every ten attempts so many are pushed back.
    for (failing, least, most) in [(10, 1.0, 1.02), (5, 1.04, 1.1)] {
        let tiny = Tiny::answering(move |n| {
            (if n * 7 % 10 < failing { 429 } else { 200 }, String::new(), r#"{"error":"slow"}"#.into())
        })
        .await;
        let client = Client::new(&tiny.url);
        if failing == 10 {
            client.read().await.unwrap();
            assert_eq!(tiny.seen(), 3, "a single call has three attempts");
        }
        // Reads and changes draw on the same budget.
        let before = tiny.seen();
        for _ in 0..20 {
            join_all((0..20).map(|n| {
                let client = &client;
                async move { if n % 4 == 0 { client.change().await } else { client.read().await } }
            }))
            .await;
        }
        let ratio = (tiny.seen() - before) as f64 / 400.0;
        let refused = counted(&client.metrics, "upstream_retries_refused", "");
        println!("{failing} of 10 attempts fail: ratio {ratio:.3}, {refused} repeats refused");
        assert!((least..=most).contains(&ratio) && refused > 100, "{ratio}, {refused} refused");
        let repeats = counted(&client.metrics, "upstream_retries", "");
        assert_eq!(counted(&client.metrics, "upstream_calls", ""), tiny.seen() as u64);
        assert_eq!(tiny.seen() as u64, repeats + 400 + u64::from(failing == 10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_breaker_opens_and_one_probe_closes_it() {
    let broken = Arc::new(AtomicUsize::new(1));
    let state = broken.clone();
    let tiny = Tiny::serve(move |_, mut stream| {
        let state = state.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let status = if state.load(Ordering::SeqCst) == 1 { 503 } else { 200 };
            let answer = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let client = Client::new(&tiny.url);
    while client.upstream.ready(&client.to).is_ok() {
        assert_eq!(client.read().await.unwrap().status, 503);
    }
    let until_open = tiny.seen();
    assert_eq!(until_open, 20, "attempts, repeats among them");
    let refused = client.change().await.unwrap_err();
    assert!(matches!(refused, Error::BreakerOpen { retry_after: 14..=15 }), "{refused:?}");
    assert!(!refused.may_have_happened() && refused.code() == "breaker_open");
    assert!(client.upstream.unreachable_since("w").is_some());
    // Half-open: of twenty at once one goes through, and as it fails, nothing for another 15 s.
    for healthy in [false, true] {
        broken.store(usize::from(!healthy), Ordering::SeqCst);
        client.clock.advance(15 * SECOND);
        let before = tiny.seen();
        let results = join_all((0..20).map(|_| client.read())).await;
        assert_eq!((tiny.seen() - before, results.iter().filter(|r| r.is_ok()).count()), (1, 1));
        assert_eq!(client.read().await.is_ok(), healthy);
    }
    assert!(join_all((0..20).map(|_| client.read())).await.iter().all(Result::is_ok));
    assert_eq!(counted(&client.metrics, "breaker_opened", ""), 1);
    assert!(client.metrics.encode().contains("gatehouse_breaker_open{workspace=\"w\"} 0"));
    assert_eq!(client.upstream.unreachable_since("w"), None);
}

/// Opens the breaker with reads at the door, and leaves upstream failing.
async fn open_the_breaker(app: &TestApp, key: &str, rules: Value) {
    app.faults(rules).await;
    app.until("the breaker is open", || async {
        let answer = app.api(reqwest::Method::GET, "/api/v1/list-posts", key, None).await;
        answer.json()["code"] == "breaker_open"
    })
    .await;
    app.sandbox_idle().await;
}

async fn an_open_breaker_sends_nothing_and_says_when(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let id = app.posts(&tenant.id, vec![json!({ "status": "draft" })]).await.remove(0);
    app.sweep(&app.ws, &tenant.id).await;
    let (other, other_key) = app.add_workspace("Other").await;
    let eve = app.tenant_of(&other, &other_key, "eve").await;
    app.quiet().await;
    open_the_breaker(&app, &tenant.key, json!([{ "match": { "userId": tenant.id }, "status": 503 }])).await;
    app.reset_calls().await;
    let size = app.app().db.audit_head().await.unwrap().size;
    let body =
        json!({ "status": "scheduled", "scheduledTime": times::to_iso(app.clock.now() + 3_600 * SECOND) });
    for (method, path, body) in [
        (reqwest::Method::GET, "/api/v1/list-posts".to_owned(), None),
        (reqwest::Method::GET, format!("/api/v1/get-post/{id}"), None),
        (reqwest::Method::PUT, format!("/api/v1/update-post/{id}"), Some(body)),
        (reqwest::Method::DELETE, format!("/api/v1/delete-post/{id}"), None),
    ] {
        let answer = app.api(method, &path, &tenant.key, body).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("breaker_open")), "{path}");
        let seconds: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=15).contains(&seconds) && answer.json()["requestId"].is_string());
    }
    assert_eq!(app.calls().await, 0, "nothing is sent");
    assert_eq!(app.app().db.audit_head().await.unwrap().size, size, "what is not tried leaves no entry");
    let fine = app.api(reqwest::Method::GET, "/api/v1/list-posts", &eve.key, None).await;
    assert_eq!(fine.status, 200, "another workspace has its own breaker");
    let mut browser = Browser::login(&app).await;
    let page = browser.get(&format!("/w/{}", app.ws)).await;
    assert!(page.text.contains("PostPost unreachable since"), "{}", page.text);

    app.control(reqwest::Method::DELETE, "faults", Value::Null).await;
    app.clock.advance(15 * SECOND);
    let deleted =
        app.api(reqwest::Method::DELETE, &format!("/api/v1/delete-post/{id}"), &tenant.key, None).await;
    assert_eq!(deleted.status, 200, "{}", deleted.text);
}

async fn a_job_waits_while_the_breaker_is_open(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    app.posts(&tenant.id, (0..30).map(|_| json!({ "status": "draft" })).collect()).await;
    app.sweep(&app.ws, &tenant.id).await;
    app.quiet().await;
    let mut browser = Browser::login(&app).await;
    let fields = [("action", "delete"), ("scope", "matching"), ("filter", "")];
    let plan =
        browser.submit(&format!("/w/{}/posts", app.ws), &format!("/w/{}/plans", app.ws), &fields).await;
    let plan = plan.header("location").to_owned();
    open_the_breaker(&app, &tenant.key, json!([{ "match": { "method": "GET" }, "status": 503 }])).await;
    app.reset_calls().await;
    let digest = hidden(&browser.get(&plan).await.text, "digest");
    let fields = [("digest", digest.as_str()), ("confirm", "delete 30"), ("reason", "x")];
    let answer = browser.submit(&plan, &format!("{plan}/confirm"), &fields).await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    let job = answer.header("location").split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
    let job = async || app.app().db.job(&app.ws, &job).await.unwrap().unwrap();
    app.until("the job runs", || async { job().await.state == JobState::Running }).await;
    let entries = app.app().db.audit_head().await.unwrap().size;
    // Ten rounds of its workers, in which nothing may happen.
    tokio::time::sleep(app.config.tuning.tick * 10).await;
    assert_eq!((job().await.counts.pending, app.calls().await), (30, 0), "it waits");
    assert_eq!(app.app().db.audit_head().await.unwrap().size, entries, "and does not spin");
    app.control(reqwest::Method::DELETE, "faults", Value::Null).await;
    app.clock.advance(15 * SECOND);
    app.until("the job ends", || async { job().await.state == JobState::Completed }).await;
    let counts = job().await.counts;
    assert_eq!((counts.succeeded, counts.total()), (30, 30), "{counts:?}");
}

/// With the real times of a process: the door waits three seconds for repeats.
async fn a_process_stopped_before_a_repeat_does_not_send_it(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let ids = app.posts(&tenant.id, (0..2).map(|_| json!({ "status": "draft" })).collect()).await;
    app.running.take().unwrap().stop().await;
    let process = Process::start_logging(&app, "error", Stdio::inherit()).await;
    let delete = json!({ "method": "DELETE" });
    let deletes = async || {
        let calls = app.control(reqwest::Method::GET, "calls", Value::Null).await;
        calls["byEndpoint"]["DELETE delete-post"].as_i64().unwrap_or(0)
    };
    for (id, stopped) in ids.iter().zip([false, true]) {
        app.faults(json!([{ "match": delete, "times": 1, "retryAfter": 1 }])).await;
        app.reset_calls().await;
        let url = format!("{}/api/v1/delete-post/{id}", process.url);
        let call = crate::testapp::client().delete(url).header("x-api-key", &tenant.key);
        let call = tokio::spawn(async move { call.send().await.unwrap().status().as_u16() });
        app.until("the first attempt is answered", || async { deletes().await == 1 }).await;
        app.sandbox_idle().await;
        // Within its second of waiting.
        tokio::time::sleep(Duration::from_millis(200)).await;
        if stopped {
            process.signal("-STOP");
            tokio::time::sleep(Duration::from_millis(3_500)).await;
            process.signal("-CONT");
        }
        let status = call.await.unwrap();
        app.sandbox_idle().await;
        let expected = if stopped { (429, 1) } else { (200, 2) };
        assert_eq!((status, deletes().await), expected, "stopped: {stopped}");
    }
}
