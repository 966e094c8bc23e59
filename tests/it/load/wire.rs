//! A caller and an upstream that cost next to nothing, so that what is measured is the gateway: prepared bytes on plain
//! sockets. Only for answers with a length.

use serde_json::{Value, json};
use std::{io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

/// One connection of a caller, opened anew when it was closed.
pub struct Wire {
    address: String,
    socket: Option<TcpStream>,
}

impl Wire {
    /// To an origin, such as `http://127.0.0.1:8080`.
    pub fn to(origin: &str) -> Self {
        Self { address: origin.trim_start_matches("http://").to_owned(), socket: None }
    }

    /// Sends a request and answers the status; `None` if there was no answer within ten seconds.
    pub async fn call(&mut self, request: &str) -> Option<u16> {
        match timeout(Duration::from_secs(10), self.exchange(request)).await {
            Ok(Ok(status)) => Some(status),
            _ => {
                self.socket = None;
                None
            }
        }
    }

    async fn exchange(&mut self, request: &str) -> io::Result<u16> {
        if self.socket.is_none() {
            let socket = TcpStream::connect(&self.address).await?;
            socket.set_nodelay(true)?;
            self.socket = Some(socket);
        }
        let socket = self.socket.as_mut().expect("just opened");
        socket.write_all(request.as_bytes()).await?;
        let (head, _) = message(socket, &mut Vec::new()).await?;
        if head.contains("\r\nconnection: close\r\n") {
            self.socket = None;
        }
        head.get(9..12).and_then(|s| s.parse().ok()).ok_or(io::ErrorKind::InvalidData.into())
    }
}

/// A head in lower case and its body, taken from what has been read.
async fn message(socket: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<(String, usize)> {
    loop {
        if let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end + 4]).to_lowercase();
            let length = head.split("\r\n").find_map(|l| l.strip_prefix("content-length: "));
            let length = length.map_or(0, |l| l.trim().parse().unwrap_or(0));
            while read.len() < end + 4 + length {
                fill(socket, read).await?;
            }
            read.drain(..end + 4 + length);
            return Ok((head, length));
        }
        fill(socket, read).await?;
    }
}

async fn fill(socket: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<()> {
    if socket.read_buf(read).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// An upstream that knows any post, deletes it at once, and has the given managed users.
pub struct Instant {
    pub url: String,
    accepting: JoinHandle<()>,
}

impl Instant {
    pub async fn start(users: &[String]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let users: Vec<Value> =
            users.iter().map(|id| json!({ "_id": id, "username": format!("{id}@test.example") })).collect();
        let body = json!({
            "success": true, "users": users,
            "posts": [], "pagination": { "totalItems": 0, "hasNextPage": false },
        });
        let answer = answer(&body);
        let found = json!({ "platform": "twitter", "platformId": "twitter-1", "status": "draft" });
        let post = self::answer(&json!({ "success": true, "posts": [found] }));
        let accepting = tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (answer, post) = (answer.clone(), post.clone());
                tokio::spawn(async move {
                    let _ = socket.set_nodelay(true);
                    let mut read = Vec::new();
                    while let Ok((head, _)) = message(&mut socket, &mut read).await {
                        let about_one = head.starts_with("get /api/v1/get-post/");
                        let sent = if about_one { &post } else { &answer };
                        if socket.write_all(sent.as_bytes()).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { url, accepting }
    }
}

impl Drop for Instant {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn answer(body: &Value) -> String {
    let body = body.to_string();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
