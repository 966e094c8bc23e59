//! The HTTP server: turns actix requests into `Call`s and `Reply`s back into answers, or cuts the connection.
//!
//! Runs on a thread of its own, because actix needs a single-threaded system, while everything behind runs on
//! the runtime that started the sandbox. Must not decide anything about a call.

use std::any::Any;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::{Extensions, ServerHandle};
use actix_web::http::StatusCode;
use actix_web::{App as Site, HttpRequest, HttpResponse, HttpServer, web};
use futures_util::stream;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::App;
use super::routes;
use super::wire::{Answer, Call, Reply};

/// The largest body taken for a file, in bytes, and for everything else.
const FILE_LIMIT: usize = 64 << 20;
const BODY_LIMIT: usize = 16 << 20;

/// A second handle on a connection's socket, to cut it from inside a handler.
struct Socket(TcpStream);

/// What the server runs with.
struct Shared {
    app: Arc<App>,
    runtime: Handle,
}

/// A running server.
pub(super) struct Server {
    handle: ServerHandle,
    thread: JoinHandle<()>,
}

impl Server {
    /// Serves the listener until stopped; answers once the workers are up.
    pub(super) async fn start(app: Arc<App>, listener: TcpListener) -> io::Result<Server> {
        let (ready, started) = oneshot::channel();
        let shared = web::Data::new(Shared { app, runtime: Handle::current() });
        let thread = std::thread::Builder::new().name("sandbox-http".to_owned()).spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(move || {
                    Site::new().app_data(shared.clone()).default_service(web::to(entry))
                })
                .workers(2)
                .disable_signals()
                // Longer than clients keep idle connections, so that no drop happens that no switch asked for.
                .keep_alive(Duration::from_secs(120))
                .shutdown_timeout(5)
                .on_connect(remember_socket)
                .listen(listener);
                match server.map(HttpServer::run) {
                    Err(error) => _ = ready.send(Err(error)),
                    Ok(server) => {
                        // Nobody waiting means that the start was given up: then there is nothing to serve.
                        if ready.send(Ok(server.handle())).is_ok()
                            && let Err(error) = server.await
                        {
                            tracing::error!(%error, "sandbox: the server ended");
                        }
                    }
                }
            });
        })?;
        let handle = started.await.map_err(|_| io::Error::other("the server thread ended"))??;
        Ok(Server { handle, thread })
    }

    /// Lets running calls end (for at most five seconds), then stops.
    pub(super) async fn stop(self) {
        self.handle.stop(true).await;
        // The thread has nothing left to do; joining it off the runtime makes sure that the port is free.
        _ = tokio::task::spawn_blocking(move || self.thread.join()).await;
    }

    /// Asks the server to end, waiting for nothing.
    pub(super) fn abandon(self) {
        drop(self.handle.stop(false));
    }
}

async fn entry(req: HttpRequest, payload: web::Payload, shared: web::Data<Shared>) -> HttpResponse {
    let limit = if req.path().starts_with("/_storage/") { FILE_LIMIT } else { BODY_LIMIT };
    let body = match payload.to_bytes_limited(limit).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return HttpResponse::BadRequest().force_close().finish(),
        Err(_) => {
            let mut response = written(Answer::error(413, "Request entity too large"));
            response.head_mut().set_connection_type(actix_web::http::ConnectionType::Close);
            return response;
        }
    };
    let headers = req.headers().iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let call = Call {
        method: req.method().as_str().to_owned(),
        path: req.uri().path().to_owned(),
        query: req.uri().query().unwrap_or_default().to_owned(),
        headers: headers.collect(),
        body,
    };
    // A task of its own: actix drops the handler when the client hangs up, the effect must run to its end.
    match shared.runtime.spawn(routes::handle(Arc::clone(&shared.app), call)).await {
        Ok(Reply::Answer(answer)) => written(answer),
        Ok(Reply::Dropped) => {
            if let Some(Socket(socket)) = req.conn_data::<Socket>() {
                // An error means that the connection is gone already, which was the aim.
                _ = socket.shutdown(Shutdown::Both);
            }
            torn()
        }
        Err(error) => {
            tracing::error!(%error, "sandbox: a call did not come back");
            written(Answer::error(500, "Internal server error"))
        }
    }
}

fn written(answer: Answer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    for (name, value) in answer.headers {
        response.insert_header((name, value));
    }
    response.body(answer.body)
}

/// An answer that can never be complete: should any of it still leave, the client sees a broken body.
fn torn() -> HttpResponse {
    let broken =
        stream::once(async { Err::<web::Bytes, _>(io::Error::from(io::ErrorKind::ConnectionReset)) });
    HttpResponse::BadGateway().no_chunking(1 << 20).force_close().streaming(broken)
}

fn remember_socket(connection: &dyn Any, data: &mut Extensions) {
    #[cfg(unix)]
    if let Some(stream) = connection.downcast_ref::<actix_web::rt::net::TcpStream>() {
        use std::os::fd::AsFd;
        // Without the handle (out of descriptors) a drop falls back to the torn answer alone.
        if let Ok(descriptor) = stream.as_fd().try_clone_to_owned() {
            data.insert(Socket(TcpStream::from(descriptor)));
        }
    }
}
