//! A connection that does not wait for ever. The framework holds the first request's head to a time, and nothing else: a
//! later head may come byte by byte, and an answer may never be read. Here every head has its time and every answer has to
//! be read at some pace, and the bare refusals the framework writes by itself get the body all refusals have. Knows
//! nothing of what requests mean.

use crate::{config::ClientTimes, domain::ids};
use actix_web::rt::net::TcpStream;
use std::{
    cell::Cell,
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// Least a client takes of an answer in [`ClientTimes::stall`].
const STALL_BYTES: usize = 16 << 10;

/// How many connections there are, and from how many on idle ones are closed to make room.
pub struct Crowd {
    pub now: AtomicUsize,
    pub crowded: usize,
}

/// What a connection's requests tell its transport.
#[derive(Default)]
pub struct Link {
    busy: Cell<bool>,
}

/// A request is being worked on, or its answer made: time limits of their own hold.
pub struct Busy(Rc<Link>);

impl Busy {
    pub fn begin(link: &Rc<Link>) -> Self {
        link.busy.set(true);
        Self(link.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(false);
    }
}

/// A client's connection.
pub struct Transport {
    io: TcpStream,
    pub link: Rc<Link>,
    crowd: Arc<Crowd>,
    times: ClientTimes,
    /// Runs while no request is worked on.
    waiting: Option<Pin<Box<Sleep>>>,
    /// Whether something of the next head has come.
    head_begun: bool,
    /// Runs while the client takes nothing.
    stall: Option<Pin<Box<Sleep>>>,
    /// Bytes taken since it was set.
    taken: usize,
    /// Nothing has been written since the last flush: what comes next begins an answer or a part of one.
    fresh: bool,
    /// What stands in for a bare refusal, and how much of it is written.
    refusal: Option<(Vec<u8>, usize)>,
}

impl Transport {
    pub fn new(io: TcpStream, times: ClientTimes, crowd: Arc<Crowd>) -> Self {
        crowd.now.fetch_add(1, Ordering::Relaxed);
        Self {
            io,
            link: Rc::default(),
            crowd,
            times,
            waiting: None,
            head_begun: false,
            stall: None,
            taken: 0,
            fresh: true,
            refusal: None,
        }
    }

    pub fn peer(&self) -> Option<SocketAddr> {
        self.io.peer_addr().ok()
    }

    /// Ends a wait for a request that has lasted too long.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let patience = self.times.head;
        let timer = self.waiting.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(timer.as_mut().poll(cx));
        // An idle connection is the framework's to close, unless its place is needed.
        if self.head_begun || self.crowd.now.load(Ordering::Relaxed) > self.crowd.crowded {
            return Poll::Ready(timed_out());
        }
        timer.as_mut().reset(Instant::now() + patience);
        let _ = timer.as_mut().poll(cx);
        Poll::Pending
    }

    /// Ends a wait for a client that does not read.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let patience = self.times.stall;
        let timer = self.stall.get_or_insert_with(|| {
            self.taken = 0;
            Box::pin(sleep(patience))
        });
        ready!(timer.as_mut().poll(cx));
        if self.taken < STALL_BYTES {
            return Poll::Ready(timed_out());
        }
        self.taken = 0;
        timer.as_mut().reset(Instant::now() + patience);
        let _ = timer.as_mut().poll(cx);
        Poll::Pending
    }

    /// Writes, and ends a wait that lasts too long.
    fn poll_io_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.io).poll_write(cx, bytes) {
            Poll::Ready(result) => {
                self.taken += result.as_ref().map_or(0, |n| *n);
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_stall(cx).map(Err),
        }
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.crowd.now.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = Pin::new(&mut this.io).poll_read(cx, buf);
        if this.link.busy.get() {
            this.waiting = None;
            this.head_begun = false;
        } else if result.is_pending() {
            return this.poll_waiting(cx).map(Err);
        } else if !this.head_begun && buf.filled().len() > before {
            this.head_begun = true;
            this.waiting = None;
        }
        result
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.fresh && !this.link.busy.get() {
            this.refusal = bare_refusal(buf).map(|status| (refusal(status), 0));
        }
        this.fresh = false;
        while let Some((bytes, written)) = this.refusal.take() {
            if written == bytes.len() {
                return Poll::Ready(Ok(buf.len()));
            }
            match this.poll_io_write(cx, &bytes[written..]) {
                Poll::Ready(Ok(n)) => this.refusal = Some((bytes, written + n)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    this.refusal = Some((bytes, written));
                    return Poll::Pending;
                }
            }
        }
        this.poll_io_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.stall = None;
        this.fresh = true;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client is too slow")
}

/// The status, if this is a refusal the framework wrote by itself: no body, and none of the headers every answer of ours
/// has. It cannot be told from outside whose request it was, so the rest of the connection is closed after it.
fn bare_refusal(bytes: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(bytes).ok()?;
    let status = text.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let bare = text.ends_with("\r\n\r\n")
        && text.find("\r\n\r\n")? + 4 == text.len()
        && text.contains("\r\ncontent-length: 0\r\n")
        && !text.contains("\r\nx-request-id: ");
    (bare && matches!(status, 400 | 408 | 431)).then_some(status)
}

/// The same refusal in the words of `contract.md`.
fn refusal(status: u16) -> Vec<u8> {
    let (reason, code, text) = match status {
        408 => ("Request Timeout", "head_too_slow", "The request did not arrive in time"),
        431 => ("Request Header Fields Too Large", "headers_too_large", "The headers are too large"),
        _ => ("Bad Request", "malformed_request", "The request cannot be read"),
    };
    let id = ids::new_id();
    let body = serde_json::json!({ "error": text, "code": code, "requestId": id }).to_string();
    format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: {}\r\n\
         connection: close\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\nx-request-id: {id}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::{io::AsyncReadExt, net::TcpListener, time::timeout};

    #[tokio::test]
    async fn idle_connections_make_room_in_a_crowd() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let short = Duration::from_millis(20);
        let times = ClientTimes { head: short, body: short, stall: short };
        for (crowded, ends) in [(0, true), (1, false)] {
            let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let crowd = Arc::new(Crowd { now: AtomicUsize::new(0), crowded });
            let mut transport = Transport::new(listener.accept().await.unwrap().0, times, crowd.clone());
            let read = timeout(short * 5, transport.read(&mut [0; 8])).await;
            assert_eq!(read.is_ok_and(|r| r.is_err()), ends, "{crowded}");
            let busy = Busy::begin(&transport.link);
            assert!(
                timeout(short * 5, transport.read(&mut [0; 8])).await.is_err(),
                "one that works is left alone"
            );
            drop((busy, transport));
            assert_eq!(crowd.now.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn only_bare_refusals_are_replaced() {
        let bare = "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        assert_eq!(bare_refusal(bare.as_bytes()), Some(431));
        for other in [
            &bare.replace("431", "200"),
            &bare.replace("date: x", "x-request-id: 1"),
            &bare.replace("length: 0", "length: 1"),
            &format!("{bare}{bare}"),
            &format!("{bare}x"),
            &bare[..40],
            "5\r\nhello\r\n",
            "",
        ] {
            assert_eq!(bare_refusal(other.as_bytes()), None, "{other}");
        }
        let ours = String::from_utf8(refusal(431)).unwrap();
        let (head, body) = ours.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["code"], "headers_too_large");
        assert!(head.ends_with(body["requestId"].as_str().unwrap()));
        assert_eq!(bare_refusal(ours.as_bytes()), None);
    }
}
