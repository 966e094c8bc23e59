//! The server: actix requests become [`Call`]s and [`Answer`]s become responses. Limits on size and time are held here,
//! for all doors alike; what a call means is decided elsewhere.

use super::{Answer, Body, Call, Door, Error, Route, health, routes};
use crate::app::App;
use actix_web::{
    App as Site, HttpRequest, HttpResponse, HttpServer, Resource,
    body::BodyStream,
    dev::ServerHandle,
    http::{StatusCode, header::HeaderMap},
    middleware::Compress,
    web,
};
use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, TcpListener},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// A body that takes longer than this to arrive is given up (security.md §6, slowloris).
const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// Longest path and query in bytes.
const URI_MAX: usize = 8_192;

/// A running server.
pub struct Server {
    handle: ServerHandle,
    thread: JoinHandle<()>,
}

impl Server {
    /// Serves the listener on threads of its own, as many as there are cores.
    pub async fn start(app: Arc<App>, listener: TcpListener) -> io::Result<Self> {
        let (ready, started) = oneshot::channel();
        let thread = std::thread::Builder::new().name("http".into()).spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(move || {
                    let mut site = Site::new().wrap(Compress::default());
                    for resource in resources(&app) {
                        site = site.service(resource);
                    }
                    let app = app.clone();
                    site.default_service(web::to(move |request, payload| {
                        let app = app.clone();
                        async move { serve(app, None, request, payload).await }
                    }))
                })
                .workers(std::thread::available_parallelism().map_or(2, usize::from))
                .disable_signals()
                .keep_alive(Duration::from_secs(60))
                .client_request_timeout(Duration::from_secs(5))
                .shutdown_timeout(25)
                .listen(listener)
                .map(HttpServer::run);
                match server {
                    Err(error) => drop(ready.send(Err(error))),
                    Ok(server) => {
                        let _ = ready.send(Ok(server.handle()));
                        if let Err(error) = server.await {
                            tracing::error!(%error, "the HTTP server ended");
                        }
                    }
                }
            });
        })?;
        let handle = started.await.map_err(|_| io::Error::other("the server's thread ended"))??;
        Ok(Self { handle, thread })
    }

    /// Takes no new connections and waits for the requests under way.
    pub async fn stop(self) {
        self.handle.stop(true).await;
        let _ = tokio::task::spawn_blocking(move || self.thread.join()).await;
    }
}

/// One resource per path, with the methods its routes name; any other method is a 405 that lists them.
fn resources(app: &Arc<App>) -> Vec<Resource> {
    let mut paths: BTreeMap<&'static str, Vec<Route>> = BTreeMap::new();
    for route in routes() {
        paths.entry(route.path).or_default().push(route);
    }
    // Fixed paths before those with parameters, so that `/w/{ws}/keys/new` is not read as a key's id.
    let mut paths: Vec<_> = paths.into_iter().collect();
    paths.sort_by_key(|(path, _)| path.replace('{', "\u{7f}"));
    paths
        .into_iter()
        .map(|(path, routes)| {
            let mut resource = web::resource(path);
            let methods: Vec<&str> = routes.iter().map(|r| r.method).collect();
            let allowed = methods.join(", ");
            for route in routes {
                let app = app.clone();
                let Ok(method) = route.method.parse() else { continue };
                resource = resource.route(web::method(method).to(move |request, payload| {
                    let (app, route) = (app.clone(), route.clone());
                    async move { serve(app, Some(Ok(route)), request, payload).await }
                }));
            }
            let app = app.clone();
            resource.default_service(web::to(move |request, payload| {
                let (app, allowed) = (app.clone(), allowed.clone());
                async move { serve(app, Some(Err(allowed)), request, payload).await }
            }))
        })
        .collect()
}

/// What the router found: a route, a path with other methods, or nothing.
type Found = Option<Result<Route, String>>;

async fn serve(app: Arc<App>, found: Found, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let begun = Instant::now();
    let mut call = read_head(&app, &request);
    let door = Door::of(&call.path);
    let result = work(&app, door, found, &request, payload, &mut call).await;
    let answer = match result {
        Ok(answer) => answer,
        Err(error) => {
            let described = error.describe();
            if described.status >= 500 {
                let detail = error.detail().unwrap_or_default();
                tracing::error!(
                    request_id = call.request_id,
                    status = described.status,
                    code = described.code,
                    detail,
                    "request failed"
                );
            }
            door.render(&app, &call, &error)
        }
    };
    // The route, never the path: a path may hold a secret, such as the set-up link's token.
    tracing::debug!(
        request_id = call.request_id,
        method = call.method,
        route = request.match_pattern().unwrap_or_else(|| "unknown".into()),
        status = answer.status
    );
    let word = if health::is_probe(&call.path) { health::DOOR } else { door.as_str() };
    app.metrics.request(word, answer.status, begun.elapsed());
    write(&app, door, &call, answer)
}

async fn work(
    app: &Arc<App>,
    door: Door,
    found: Found,
    request: &HttpRequest,
    payload: web::Payload,
    call: &mut Call,
) -> Result<Answer, Error> {
    if request.uri().path_and_query().map_or(0, |p| p.as_str().len()) > URI_MAX {
        return Err(Error::TooLong);
    }
    let route = match found {
        None => return Err(Error::NotFound),
        Some(Err(methods)) => return Err(Error::MethodNotAllowed(methods)),
        Some(Ok(route)) => route,
    };
    // Refused before it is waited for.
    let announced = call.header("content-length").and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > door.body_max() as u64) {
        return Err(Error::TooLarge(door.body_max()));
    }
    // What asks whether we are well must not wait behind those who make us busy.
    let permit = match health::is_probe(route.path) {
        true => None,
        false => Some(app.requests.clone().try_acquire_owned().map_err(|_| Error::Overloaded)?),
    };
    call.body = match tokio::time::timeout(BODY_DEADLINE, payload.to_bytes_limited(door.body_max())).await {
        Err(_) => return Err(Error::SlowBody),
        Ok(Err(_)) => return Err(Error::TooLarge(door.body_max())),
        Ok(Ok(Err(_))) => return Err(Error::bad("invalid_body", "The body could not be read")),
        Ok(Ok(Ok(body))) => body,
    };
    // A task of its own on the shared runtime: it runs to its end even if the client hangs up.
    let task = app.runtime.spawn({
        let (app, call) = (app.clone(), call.clone());
        async move {
            let _permit = permit;
            (route.handler)(app, call).await
        }
    });
    task.await.unwrap_or_else(|ended| match ended.is_panic() {
        true => Err(Error::Internal(format!("the handler ended: {ended}"))),
        false => Err(Error::CutOff),
    })
}

fn read_head(app: &App, request: &HttpRequest) -> Call {
    let mut headers = std::collections::HashMap::new();
    for (name, value) in request.headers() {
        if let (false, Ok(value)) = (name.as_str().contains('_'), value.to_str()) {
            // Lines of one name are one list (RFC 9110 §5.3); a list is no key and no id, so none of it is picked.
            headers
                .entry(name.as_str().to_owned())
                .and_modify(|line: &mut String| {
                    line.push_str(", ");
                    line.push_str(value);
                })
                .or_insert_with(|| value.to_owned());
        }
    }
    Call {
        method: request.method().as_str().to_owned(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        params: request.match_info().iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        body: bytes::Bytes::new(),
        ip: client_ip(app, request.peer_addr().map(|a| a.ip()), request.headers()),
        request_id: Call::request_id_from(headers.get("x-request-id").map(String::as_str)),
        headers,
    }
}

/// The peer's address; behind a trusted proxy, the last address in `X-Forwarded-For` that is not itself trusted.
fn client_ip(app: &App, peer: Option<IpAddr>, headers: &HeaderMap) -> IpAddr {
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let trusted = |ip: &IpAddr| app.config.trusted_proxies.contains(ip);
    if !trusted(&peer) {
        return peer;
    }
    // A proxy may append to the line it was sent, or add a line of its own: all of them count as one list.
    let lines: Vec<&str> = headers.get_all("x-forwarded-for").filter_map(|v| v.to_str().ok()).collect();
    lines.join(",").rsplit(',').map_while(|a| a.trim().parse().ok()).find(|ip| !trusted(ip)).unwrap_or(peer)
}

/// Headers of every answer, errors included (security.md items 21–24, 55).
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'";

fn write(app: &App, door: Door, call: &Call, answer: Answer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    let cached = answer.headers.iter().any(|(name, _)| *name == "cache-control");
    for (name, value) in &answer.headers {
        response.append_header((*name, value.as_str()));
    }
    response.insert_header(("x-request-id", call.request_id.as_str()));
    response.insert_header(("x-content-type-options", "nosniff"));
    response.insert_header(("referrer-policy", "same-origin"));
    response.insert_header(("cross-origin-opener-policy", "same-origin"));
    response.insert_header(("cross-origin-resource-policy", "same-origin"));
    response.insert_header(("x-frame-options", "DENY"));
    let policy = if door == Door::Admin { PAGE_POLICY } else { "default-src 'none'; frame-ancestors 'none'" };
    response.insert_header(("content-security-policy", policy));
    if !cached {
        response.insert_header(("cache-control", "no-store"));
    }
    if app.public_url.starts_with("https://") {
        response.insert_header(("strict-transport-security", "max-age=31536000; includeSubDomains"));
    }
    // A body that was not read would be taken for the next request.
    if answer.status == 413 || answer.status == 408 {
        response.force_close();
    }
    match answer.body {
        Body::Bytes(bytes) => response.body(bytes),
        Body::Stream(stream) => response.body(BodyStream::new(stream)),
    }
}
