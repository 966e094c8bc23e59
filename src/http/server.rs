//! The server: actix requests become [`Call`]s and [`Answer`]s become responses. Limits on size and time are held here,
//! for all doors alike; what a call means is decided elsewhere.

use super::{
    Answer, Body, Call, Door, Error, Route, api,
    call::Header,
    credentials,
    gate::{Lane, Pass},
    health,
    limits::{Exceeded, Who},
    routes,
    transport::{Busy, Crowd, Link, Transport},
};
use crate::app::App;
use actix_http::{HttpService, Protocol};
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::{
    App as Site, HttpRequest, HttpResponse, Resource,
    body::{BodyStream, MessageBody, SizedStream},
    dev::{self, AppConfig, Extensions, ServerHandle, ServiceFactory, ServiceRequest, ServiceResponse},
    http::{StatusCode, header::HeaderMap},
    middleware::Compress,
    rt::net::TcpStream,
    web,
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, TcpListener},
    rc::Rc,
    sync::{Arc, atomic::AtomicUsize},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// How long an idle connection is kept: longer than proxies keep theirs, so that it is they who close it.
const KEEP_ALIVE: Duration = Duration::from_secs(65);
/// Connections at once; an idle one takes some 20 KiB.
const CONNECTIONS: usize = 8_192;
/// A body larger than this, in bytes, is handed to the connection in pieces of this size.
const PIECE: usize = 128 << 10;
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
                match listen(app, listener) {
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

/// The framework's server, on a transport of ours: its own gives every connection for ever to read an answer.
fn listen(app: Arc<App>, listener: TcpListener) -> io::Result<dev::Server> {
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let connections = connections();
    let times = app.config.tuning.clients;
    let crowd = Arc::new(Crowd { now: AtomicUsize::new(0), crowded: connections / 4 * 3 });
    let builder = dev::Server::build()
        .workers(workers)
        .max_concurrent_connections(connections.div_ceil(workers))
        .disable_signals()
        .shutdown_timeout(25);
    let stopping = builder.graceful_shutdown_signal();
    let builder = builder.listen("http", listener, move || {
        let (crowd, stopping) = (crowd.clone(), stopping.clone());
        let http = HttpService::build()
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(times.head)
            .on_connect_ext(|transport: &Transport, data: &mut Extensions| {
                data.insert(transport.link.clone());
            })
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .finish(map_config(site(app.clone()).into_factory(), |()| AppConfig::default()));
        fn_service(move |io: TcpStream| {
            // Answers are written whole; holding their last bytes back would only delay them.
            let _ = io.set_nodelay(true);
            let transport = Transport::new(io, times, crowd.clone());
            let peer = transport.peer();
            async move { Ok((transport, Protocol::Http1, peer)) }
        })
        .and_then(http)
    })?;
    Ok(builder.run())
}

fn site(
    app: Arc<App>,
) -> Site<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    let mut site = Site::new().wrap(Compress::default());
    for resource in resources(&app) {
        site = site.service(resource);
    }
    site.default_service(web::to(move |request, payload| {
        let app = app.clone();
        async move { serve(app, None, request, payload).await }
    }))
}

/// Most connections at once: as many as memory allows for, and no more than half of the files the process may open, which
/// is raised as far as it goes. The other half is for calls upstream and the database.
fn connections() -> usize {
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1_024);
    CONNECTIONS.min(usize::try_from(files / 2).unwrap_or(CONNECTIONS))
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
    let busy = request.conn_data::<Rc<Link>>().map(Busy::begin);
    let mut call = read_head(&app, &request);
    let door = Door::of(&call.path);
    let mut limits = Vec::new();
    let result = work(&app, door, found, &request, payload, &mut call, &mut limits).await;
    if matches!(result, Err(Error::TooMany(_) | Error::Overloaded)) {
        app.gate.hold_back().await;
    }
    let mut answer = match result {
        Ok(answer) => answer,
        Err(error) => {
            error.log(&call.request_id);
            door.render(&app, &call, &error)
        }
    };
    answer.headers.extend(limits);
    // The route, never the path: a path may hold a secret, such as the set-up link's token.
    tracing::debug!(
        request_id = call.request_id,
        method = call.method,
        route = request.match_pattern().unwrap_or_else(|| "unknown".into()),
        status = answer.status
    );
    let word = if health::is_probe(&call.path) { health::DOOR } else { door.as_str() };
    app.metrics.request(word, answer.status, begun.elapsed());
    write(&app, door, &call, answer, busy)
}

async fn work(
    app: &Arc<App>,
    door: Door,
    found: Found,
    request: &HttpRequest,
    payload: web::Payload,
    call: &mut Call,
    limits: &mut Vec<Header>,
) -> Result<Answer, Error> {
    if asks_for_websocket(request.headers()) {
        return Err(Error::bad(
            "malformed_request",
            "Nothing is upgraded here. Leave the Upgrade header out",
        ));
    }
    if request.uri().path_and_query().map_or(0, |p| p.as_str().len()) > URI_MAX {
        return Err(Error::TooLong);
    }
    let route = match found {
        None => return Err(Error::NotFound),
        // The router decodes first. A path without parts of the caller's has one spelling, so that a rule for it in a proxy
        // cannot be gone round.
        Some(Ok(route)) if !route.path.contains('{') && route.path != call.path => {
            return Err(Error::NotFound);
        }
        Some(Err(methods)) => return Err(Error::MethodNotAllowed(methods)),
        Some(Ok(route)) => route,
    };
    let lane = Lane::of(&call.method, &call.path);
    let most = lane.body_max(door);
    // Refused before it is waited for.
    let announced = call.header("content-length").and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most as u64) {
        return Err(Error::TooLarge(most));
    }
    let who = if lane == Lane::Door { recognise(app, door, call, limits).await? } else { None };
    let mut pass = Pass::default();
    // The body of a stranger is not read: the door refuses them by their headers.
    if lane != Lane::Door || who.is_some() {
        let body = read_body(app, most, lane, payload, &mut pass);
        call.body = tokio::time::timeout(app.config.tuning.clients.body, body)
            .await
            .unwrap_or(Err(Error::SlowBody))?;
    }
    // After the body: somebody who sends it slowly must not hold a place meanwhile.
    let pass = app.gate.enter(lane, who.as_ref(), pass).await?;
    // A task of its own on the shared runtime: it runs to its end even if the client hangs up.
    let task = app.runtime.spawn({
        let (app, call) = (app.clone(), call.clone());
        async move {
            let _pass = pass;
            (route.handler)(app, call).await
        }
    });
    task.await.unwrap_or_else(|ended| Err(Error::of_ended_task(ended)))
}

/// The framework takes everything after such a head for the new protocol, without an end: there is no body to wait for.
fn asks_for_websocket(headers: &HeaderMap) -> bool {
    headers.get_all("upgrade").any(|to| to.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket"))
}

/// Whose call it is, counted. A key that is not known here is looked for once more, at a stranger's pace.
async fn recognise(
    app: &App,
    door: Door,
    call: &Call,
    limits: &mut Vec<Header>,
) -> Result<Option<Who>, Error> {
    let who = api::who(app, door, call);
    count(app, call, who.as_ref(), limits)?;
    if who.is_some() || !credentials::is_unknown(app, call) {
        return Ok(who);
    }
    app.access.look_again().await?;
    let who = api::who(app, door, call);
    if who.is_some() {
        count(app, call, who.as_ref(), limits)?;
    }
    Ok(who)
}

/// Takes the call from its caller's buckets, and states how they stand to a caller who has a key.
fn count(app: &App, call: &Call, who: Option<&Who>, stated: &mut Vec<Header>) -> Result<(), Error> {
    let result = match who {
        Some(who) => app.limits.take(who).map(|standing| stated.extend(standing.headers())),
        None => app.limits.take_stranger(call.ip),
    };
    result.map_err(|Exceeded { limit, retry_after, standing }| {
        app.metrics.rate_limited(limit);
        if who.is_some() {
            stated.extend(standing.headers());
        }
        Error::TooMany(retry_after)
    })
}

async fn read_body(
    app: &App,
    most: usize,
    lane: Lane,
    mut payload: web::Payload,
    pass: &mut Pass,
) -> Result<Bytes, Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Error::bad("invalid_body", "The body could not be read"))?;
        if body.len() + chunk.len() > most {
            return Err(Error::TooLarge(most));
        }
        body.extend_from_slice(&chunk);
        app.gate.hold_body(lane, pass, body.len())?;
    }
    Ok(body.freeze())
}

fn read_head(app: &App, request: &HttpRequest) -> Call {
    let mut headers = std::collections::HashMap::new();
    for (name, value) in request.headers() {
        // What is no text is kept as text that fits nothing: a header that was sent must not read as one that was not.
        let value = String::from_utf8_lossy(value.as_bytes());
        if !name.as_str().contains('_') {
            // Lines of one name are one list (RFC 9110 §5.3); a list is no key and no id, so none of it is picked.
            headers
                .entry(name.as_str().to_owned())
                .and_modify(|line: &mut String| {
                    line.push_str(", ");
                    line.push_str(&value);
                })
                .or_insert_with(|| value.to_string());
        }
    }
    // A request for an absolute address has its host there (RFC 9112 §3.2.2).
    if let Some(authority) = request.uri().authority() {
        headers.insert("host".to_owned(), authority.to_string());
    }
    Call {
        method: request.method().as_str().to_owned(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        params: request.match_info().iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        body: Bytes::new(),
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

/// A large body in pieces: the server would copy it whole and let go of its place among the large ones, however slowly the
/// client reads.
fn pieces(mut body: Bytes) -> impl Stream<Item = io::Result<Bytes>> {
    let next = move || (!body.is_empty()).then(|| Ok(body.split_to(PIECE.min(body.len()))));
    stream::iter(std::iter::from_fn(next))
}

/// Headers of every answer, errors included (security.md items 21–24, 55).
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'";

fn write(app: &App, door: Door, call: &Call, answer: Answer, busy: Option<Busy>) -> HttpResponse {
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
    if answer.status == 413 || answer.status == 408 || call.header("upgrade").is_some() {
        response.force_close();
    }
    match answer.body {
        Body::Bytes(bytes) if bytes.len() > PIECE => {
            response.body(SizedStream::new(bytes.len() as u64, pieces(bytes)))
        }
        Body::Bytes(bytes) => response.body(bytes),
        Body::Stream(stream) => response.body(BodyStream::new(stream.inspect(move |_| {
            let _until_it_ends = &busy;
        }))),
    }
}
