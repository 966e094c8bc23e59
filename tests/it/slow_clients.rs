//! Clients that take their time: heads and bodies that never end, answers nobody reads. Each is given up in time, nothing
//! of it reaches PostPost, and nobody else waits for it.

use crate::{
    support::databases::{Engine, gateway_on_both_engines},
    testapp::TestApp,
};
use gatehouse::config::ClientTimes;
use reqwest::Method;
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

gateway_on_both_engines!(slow_clients_are_given_up_and_hold_up_nobody);

const TIMES: ClientTimes = ClientTimes {
    head: Duration::from_millis(1_500),
    body: Duration::from_millis(1_500),
    stall: Duration::from_millis(1_500),
};
/// The slowest of them has its head, its body and a linger of a second.
const GIVEN_UP: Duration = Duration::from_secs(6);

/// One way of being slow. Each ends when the gateway closes.
#[derive(Debug, Clone, Copy)]
enum Way {
    Silent,
    Head,
    SecondHead,
    Body,
    StrangersBody,
    UnwantedBody,
    Unread,
}

const WAYS: [Way; 7] =
    [Way::Silent, Way::Head, Way::SecondHead, Way::Body, Way::StrangersBody, Way::UnwantedBody, Way::Unread];

async fn connect(address: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    // So that an answer nobody reads does not fit into the kernel.
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(address.parse().unwrap()).await.unwrap()
}

/// Is slow until the gateway closes, and answers after how long.
async fn be_slow(address: String, key: String, large: String, way: Way) -> Duration {
    let mut socket = connect(&address).await;
    let begun = Instant::now();
    let list = format!("GET /healthz HTTP/1.1\r\nhost: g\r\nx-api-key: {key}\r\n\r\n");
    let put = |key: &str| {
        format!(
            "PUT /api/v1/update-post/507f191e810c19729de860ea HTTP/1.1\r\nhost: g\r\nx-api-key: {key}\r\n\
                 content-type: application/json\r\ncontent-length: 100000\r\n\r\n"
        )
    };
    let first = match way {
        Way::Silent => String::new(),
        Way::Head => "GET /healthz HTTP/1.1\r\n".into(),
        Way::SecondHead => format!("{list}GET /healthz HTTP/1.1\r\n"),
        Way::Body => put(&key),
        Way::StrangersBody => put("sk_ght_nobody"),
        Way::UnwantedBody => "POST /nowhere HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n".into(),
        Way::Unread => format!("GET {large} HTTP/1.1\r\nhost: g\r\n\r\n").repeat(150),
    };
    if timeout(GIVEN_UP * 2, socket.write_all(first.as_bytes())).await.is_ok_and(|sent| sent.is_err()) {
        return begun.elapsed();
    }
    let drip: &[u8] = if matches!(way, Way::UnwantedBody) { b"1\r\nx\r\n" } else { b"x: 1\r\n" };
    let mut chunk = [0; 1_024];
    while begun.elapsed() < GIVEN_UP * 2 {
        let reads = !matches!(way, Way::Unread);
        if reads && let Ok(Ok(0) | Err(_)) = timeout(Duration::from_millis(1), socket.read(&mut chunk)).await
        {
            break;
        }
        if !matches!(way, Way::Silent) && socket.write_all(drip).await.is_err() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    begun.elapsed()
}

async fn slow_clients_are_given_up_and_hold_up_nobody(engine: Engine) {
    let app = TestApp::spawn_with(engine, |config| config.tuning.clients = TIMES).await;
    let tenant = app.tenant("ann").await;
    app.quiet().await;
    let fast = app.api(Method::GET, "/api/v1/list-posts?limit=1", &tenant.key, None).await;
    assert_eq!(fast.status, 200);
    app.reset_calls().await;
    let page = app.request(Method::GET, "/login").send().await.unwrap().text().await.unwrap();
    let large = page.split('"').find(|part| part.ends_with("/app.css")).unwrap();
    let address = app.url().trim_start_matches("http://").to_owned();
    let slow: Vec<_> = (0..210)
        .map(|n| {
            let way = WAYS[n % WAYS.len()];
            (way, tokio::spawn(be_slow(address.clone(), tenant.key.clone(), large.to_owned(), way)))
        })
        .collect();
    // Meanwhile.
    let (mut calls, mut slowest) = (0, Duration::ZERO);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        let called = Instant::now();
        let answer = app.api(Method::GET, "/api/v1/list-posts?limit=1", &tenant.key, None).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        slowest = slowest.max(called.elapsed());
        calls += 1;
    }
    let mut longest = std::collections::BTreeMap::<String, Duration>::new();
    for (way, client) in slow {
        let took = client.await.unwrap();
        let entry = longest.entry(format!("{way:?}")).or_default();
        *entry = (*entry).max(took);
    }
    println!(
        "210 slow clients, closed after at most {longest:?}; meanwhile {calls} calls, the slowest {slowest:?}"
    );
    assert!(longest.values().all(|took| *took < GIVEN_UP), "{longest:?}");
    assert_eq!(app.calls().await, calls, "nothing of the slow ones was sent");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    app.app().gate.drained().await;
}
