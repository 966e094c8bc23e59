//! What no client sends by mistake, on a raw socket: a request that two readers could read differently gets at most one
//! answer, a refusal, and nothing of it reaches PostPost.

use crate::{
    support::databases::{Engine, gateway_on_both_engines},
    testapp::TestApp,
};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

gateway_on_both_engines!(
    malformed_requests_get_one_refusal,
    a_body_that_never_comes_is_given_up,
    an_upgrade_is_refused_at_once,
);

/// Sends the bytes and reads until the other side closes or has said nothing for a while.
pub async fn send(app: &TestApp, bytes: &[u8], patience: Duration) -> String {
    let address = app.url().trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await.unwrap();
    // It may close before it has read everything.
    let _ = socket.write_all(bytes).await;
    let mut read = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(Ok(n)) = timeout(patience, socket.read(&mut chunk)).await {
        if n == 0 {
            break;
        }
        read.extend_from_slice(&chunk[..n]);
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// The statuses of all answers in what was read.
pub fn statuses(read: &str) -> Vec<u16> {
    read.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect()
}

async fn malformed_requests_get_one_refusal(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let id = app.posts(&tenant.id, vec![json!({ "status": "draft" })]).await.remove(0);
    app.sweep(&app.ws, &tenant.id).await;
    app.quiet().await;
    let key = &tenant.key;
    let delete = format!("DELETE /api/v1/delete-post/{id} HTTP/1.1\r\nHost: g\r\nx-api-key: {key}\r\n");
    let put = format!(
        "PUT /api/v1/update-post/{id} HTTP/1.1\r\nHost: g\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n"
    );
    let json = r#"{"status":"draft"}"#;
    let length = json.len();
    // What a reader that believes the other header would take for a request of its own.
    let smuggled = format!("{delete}\r\n");
    let cases: Vec<(&str, Vec<u8>)> = vec![
        (
            "both lengths",
            format!("{put}content-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}")
                .into(),
        ),
        (
            "both lengths, the other way round",
            format!("{put}transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n{smuggled}").into(),
        ),
        (
            "a body after all",
            format!("{put}content-length: 0\r\ncontent-length: {}\r\n\r\n{smuggled}", smuggled.len()).into(),
        ),
        (
            "two lengths",
            format!(
                "{put}content-length: {length}\r\ncontent-length: {}\r\n\r\n{json}{smuggled}",
                length + 1
            )
            .into(),
        ),
        ("a list of lengths", format!("{put}content-length: {length}, {length}\r\n\r\n{json}").into()),
        ("a signed length", format!("{put}content-length: +{length}\r\n\r\n{json}").into()),
        ("a negative length", format!("{put}content-length: -1\r\n\r\n{json}").into()),
        (
            "a length beyond 64 bits",
            format!("{put}content-length: 99999999999999999999\r\n\r\n{json}").into(),
        ),
        (
            "no chunk size",
            format!("{put}transfer-encoding: chunked\r\n\r\nzz\r\n{json}\r\n0\r\n\r\n{smuggled}").into(),
        ),
        (
            "a chunk longer than it says",
            format!("{put}transfer-encoding: chunked\r\n\r\n3\r\n{json}\r\n0\r\n\r\n{smuggled}").into(),
        ),
        (
            "a chunk size beyond 64 bits",
            format!("{put}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n{json}\r\n0\r\n\r\n").into(),
        ),
        (
            "an encoding nobody has",
            format!("{put}transfer-encoding: xchunked\r\n\r\n{json}{smuggled}").into(),
        ),
        (
            "chunked but not last",
            format!("{put}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n{smuggled}").into(),
        ),
        ("a folded header", format!("{delete}x-fold: a\r\n b\r\n\r\n").into()),
        ("a space before the colon", format!("{delete}content-length : 0\r\n\r\n").into()),
        ("a header without a name", format!("{delete}: x\r\n\r\n").into()),
        ("a NUL in a header", format!("{delete}x-nul: a\0b\r\n\r\n").into()),
        ("a lone CR in a header", format!("{delete}x-cr: a\rx-api-key: b\r\n\r\n").into()),
        ("200 headers", format!("{delete}{}\r\n", "x-many: 1\r\n".repeat(200)).into()),
        ("a long header", format!("{delete}x-long: {}\r\n\r\n", "a".repeat(200 << 10)).into()),
        (
            "a long address",
            format!(
                "DELETE /api/v1/delete-post/{id}?{} HTTP/1.1\r\nHost: g\r\nx-api-key: {key}\r\n\r\n",
                "a".repeat(10_000)
            )
            .into(),
        ),
        ("no version", format!("DELETE /api/v1/delete-post/{id}\r\nx-api-key: {key}\r\n\r\n").into()),
        ("a version of the future", delete.replace("HTTP/1.1", "HTTP/9.9").into_bytes()),
        ("bytes that are no text", [b"\xff\xfe\x00".as_slice(), delete.as_bytes(), b"\r\n"].concat()),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
    ];
    let mut answered = std::collections::BTreeMap::<u16, usize>::new();
    for (name, bytes) in &cases {
        let read = send(&app, bytes, Duration::from_millis(700)).await;
        let statuses = statuses(&read);
        assert!(statuses.len() <= 1, "{name}: {read}");
        assert!(statuses.iter().all(|s| (400..500).contains(s)), "{name}: {read}");
        // Those the framework makes by itself, too.
        let said = read.split("\r\n\r\n").nth(1).unwrap_or_default();
        assert!(statuses.is_empty() || said.contains("\"code\":"), "{name}: {read}");
        *answered.entry(statuses.first().copied().unwrap_or_default()).or_default() += 1;
    }
    let calls = app.control(reqwest::Method::GET, "calls", serde_json::Value::Null).await;
    assert_eq!(calls["total"], 0, "nothing was sent upstream: {calls}");
    println!("{} malformed requests; answers (0: closed): {answered:?}", cases.len());
    // The same without the fault is let through: the cases failed for what is wrong with them.
    let good =
        send(&app, format!("{delete}connection: close\r\n\r\n").as_bytes(), Duration::from_secs(3)).await;
    assert_eq!(statuses(&good), [200], "{good}");
}

async fn a_body_that_never_comes_is_given_up(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    app.quiet().await;
    let request = format!(
        "PUT /api/v1/update-post/507f191e810c19729de860ea HTTP/1.1\r\nHost: g\r\nx-api-key: {}\r\n\
         content-type: application/json\r\ncontent-length: 20\r\n\r\n{{\"st",
        tenant.key
    );
    let begun = Instant::now();
    let read = send(&app, request.as_bytes(), Duration::from_secs(14)).await;
    assert!(matches!(statuses(&read)[..], [] | [400..500]), "{read}");
    let took = begun.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(13)).contains(&took), "{took:?}");
    assert_eq!(app.calls().await, 0);
}

async fn an_upgrade_is_refused_at_once(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    app.quiet().await;
    let post = "507f191e810c19729de860ea";
    for (head, body) in [
        ("GET /healthz".to_owned(), ""),
        ("GET /login".into(), ""),
        ("GET /api/v1/list-posts".into(), ""),
        ("GET /no/such/page".into(), ""),
        (format!("PUT /api/v1/update-post/{post}"), r#"{"status":"draft"}"#),
        (format!("DELETE /api/v1/delete-post/{post}"), ""),
    ] {
        let request = format!(
            "{head} HTTP/1.1\r\nHost: g\r\nx-api-key: {}\r\nconnection: upgrade\r\nupgrade: WebSocket\r\n\
             content-length: {}\r\n\r\n{body}",
            tenant.key,
            body.len()
        );
        let begun = Instant::now();
        let read = send(&app, request.as_bytes(), Duration::from_secs(8)).await;
        assert_eq!(statuses(&read), [400], "{head}: {read}");
        assert!(
            read.contains("malformed_request") || read.contains("Leave the Upgrade header out"),
            "{read}"
        );
        assert!(begun.elapsed() < Duration::from_secs(4), "{head}: {:?}", begun.elapsed());
    }
    assert_eq!(app.calls().await, 0, "nothing was sent");
    // Another protocol that is offered is left alone, and the request answered.
    let other = "GET /healthz HTTP/1.1\r\nHost: g\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n";
    let begun = Instant::now();
    let read = send(&app, other.as_bytes(), Duration::from_secs(2)).await;
    assert_eq!(statuses(&read), [200], "{read}");
    assert!(begun.elapsed() < Duration::from_secs(4));
}
