//! A server of a few lines, for what the sandbox cannot do: half an answer, an endless one, a slow one, a scripted one.
//! One request per connection.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

pub struct Tiny {
    pub url: String,
    seen: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Tiny {
    /// `answer` gets the number of the request, from 0, and the connection; it closes when that returns.
    pub async fn serve<F, Fut>(answer: F) -> Self
    where
        F: Fn(usize, TcpStream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(AtomicUsize::new(0));
        let (counter, answer) = (seen.clone(), Arc::new(answer));
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (counter, answer) = (counter.clone(), answer.clone());
                tokio::spawn(async move {
                    if read_request(&mut stream).await {
                        let n = counter.fetch_add(1, Ordering::SeqCst);
                        answer(n, stream).await;
                    }
                });
            }
        });
        Self { url, seen, task }
    }

    /// Answers each request with what `answer` gives: status, further header lines, body.
    pub async fn answering(answer: impl Fn(usize) -> (u16, String, String) + Send + Sync + 'static) -> Self {
        Self::serve(move |n, mut stream| {
            let (status, headers, body) = answer(n);
            async move {
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
                );
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            }
        })
        .await
    }

    /// Requests that have arrived.
    pub fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Head and body, so that closing the connection does not reset it. False if the client closed it without a word.
async fn read_request(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return false,
        }
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.is_ok()
}
