//! The HTTP side: the page at `/`, `/api/v1`, `/metrics`, `/livez`, `/readyz`, `/version`.
//!
//! It runs on a thread of its own, so that a shard that is busy never makes a probe wait, and nothing
//! in it can block a shard for longer than a lock is held.

pub mod api;
mod health;
mod page;
mod site;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

pub use health::{Health, STALL};

use crate::edge::metrics::Metrics;
use crate::edge::version::Version;

/// How long connections may take to end once the server is told to stop.
const DRAIN: Duration = Duration::from_secs(2);
/// Connections at once. A stream of signals keeps its own; each other gives it up when it says nothing for [`HEAD`].
const CONNECTIONS_MAX: usize = 512;
/// Longest time for the head of a request, the wait for it included.
const HEAD: Duration = Duration::from_secs(30);
/// Longest time until a request's body is there and it is answered. A stream goes on as long as it likes.
const REQUEST: Duration = Duration::from_secs(30);
/// Of the words of a refusal.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// What the server shows.
#[derive(Clone)]
pub struct Shown {
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    /// Asked of everything but the probes and the page's files as a bearer token.
    pub token: Option<Arc<str>>,
    /// Set when the service has started; empty for ever where there is none.
    pub api: api::Late,
}

/// A server that runs until it is stopped or dropped.
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Binds and serves. Port 0 takes any free one. Fails when the address cannot be bound.
    pub fn start(address: SocketAddr, shown: Shown) -> io::Result<Server> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = watch::channel(false);
        let thread = std::thread::Builder::new().name("http".to_string()).spawn(move || {
            runtime.block_on(serve(listener, router(shown), (CONNECTIONS_MAX, HEAD), stopped))
        })?;
        Ok(Server { address, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Finishes what is being answered, at most 2 s of it, and frees the address.
    pub fn stop(mut self) {
        self.stop_and_join();
    }

    fn stop_and_join(&mut self) {
        // Nobody listens only when the thread has ended already.
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the http thread had panicked");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_and_join();
    }
}

async fn serve(
    listener: std::net::TcpListener,
    router: Router,
    (connections_max, head): (usize, Duration),
    mut stopped: watch::Receiver<bool>,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "http cannot listen"),
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head);
    let (places, open) = (Arc::new(Semaphore::new(connections_max)), GracefulShutdown::new());
    loop {
        let next = async {
            // It is never closed. Who comes while all are taken waits to be accepted.
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let accepted = tokio::select! {
            accepted = next => accepted,
            // An error means that the sender is gone: the same thing.
            _ = stopped.wait_for(|stop| *stop) => break,
        };
        match accepted {
            (Ok((stream, _)), place) => {
                // Without it an answer of several parts waits for the client's acknowledgement. It is no more than a wish.
                let _ = stream.set_nodelay(true);
                let service = TowerToHyperService::new(router.clone());
                let connection = open.watch(http.serve_connection(TokioIo::new(stream), service));
                tokio::spawn(async move {
                    // What breaks a connection off is its client's affair.
                    let _ = connection.await;
                    drop(place);
                });
            }
            // Without a file descriptor to spare nobody can be accepted until somebody has gone.
            (Err(error), _) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    tokio::select! {
        () = open.shutdown() => {}
        () = tokio::time::sleep(DRAIN) => tracing::debug!("http connections cut"),
    }
}

/// The routes; the server's, and what other parts of the edge add theirs to.
pub fn router(shown: Shown) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .route("/version", get(version))
        .merge(api::router(Arc::clone(&shown.api)))
        .route_layer(middleware::from_fn_with_state(shown.clone(), require_token))
        .layer(middleware::map_response(in_json));
    let open = Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).merge(page::router());
    let all = open.merge(guarded).fallback(nothing_here).with_state(shown);
    all.layer(middleware::from_fn_with_state(REQUEST, in_time))
}

async fn in_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        // The rest of the body may still come, so the connection ends too.
        Err(_) => {
            let error = "the request was not there and answered in time; send again what was not answered";
            (StatusCode::REQUEST_TIMEOUT, [(header::CONNECTION, "close")], Json(json!({ "error": error })))
                .into_response()
        }
    }
}

async fn nothing_here() -> Response {
    let error = "there is nothing at this path; /api/v1/openapi.json lists what there is";
    (StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response()
}

/// What is no success and no JSON yet, such as a parameter that cannot be read, says the same as JSON.
async fn in_json(response: Response) -> Response {
    let is_json = |value: &HeaderValue| value.as_bytes().starts_with(b"application/json");
    let status = response.status();
    if status.as_u16() < 400 || response.headers().get(header::CONTENT_TYPE).is_some_and(is_json) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let words = axum::body::to_bytes(body, ERROR_BYTES_MAX).await.unwrap_or_default();
    let words = String::from_utf8_lossy(&words);
    let words = match words.trim() {
        "" => status.canonical_reason().unwrap_or("refused"),
        words => words,
    };
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.remove(header::CONTENT_TYPE);
    (head, Json(json!({ "error": words }))).into_response()
}

async fn metrics(State(shown): State<Shown>) -> Response {
    match shown.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn livez(State(shown): State<Shown>) -> Response {
    probe(shown.health.check_live())
}

async fn readyz(State(shown): State<Shown>) -> Response {
    probe(shown.health.check_ready())
}

fn probe(outcome: Result<(), String>) -> Response {
    match outcome {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn version() -> Json<Version> {
    Json(Version::of_this_build())
}

async fn require_token(State(shown): State<Shown>, request: Request, next: Next) -> Response {
    let Some(token) = &shown.token else { return site::refuse_others(request, next).await };
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    // The scheme's letters may be of either case (RFC 9110, 11.1).
    let given = given.and_then(|value| value.split_once(' '));
    let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"));
    let given = given.map_or("", |(_, token)| token.trim_start());
    if same(given.as_bytes(), token.as_bytes()) {
        return next.run(request).await;
    }
    let words =
        if given.is_empty() { "a bearer token is needed" } else { "this bearer token is not the service's" };
    let mut refusal = (StatusCode::UNAUTHORIZED, words).into_response();
    refusal.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    refusal
}

/// Compares in a time that does not tell how much of the secret was right.
fn same(given: &[u8], secret: &[u8]) -> bool {
    let difference = given.iter().zip(secret).fold(0, |difference, (a, b)| difference | (a ^ b));
    given.len() == secret.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpStream};
    use std::time::Instant;

    use super::*;

    const FEW: usize = 8;
    const SHORT: Duration = Duration::from_millis(500);

    #[test]
    fn who_says_nothing_gives_up_its_place() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("it can be set");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = watch::channel(false);
        let router = Router::new()
            .route("/", get(async || "here"))
            .route("/body", axum::routing::post(async |body: String| body))
            .layer(middleware::from_fn_with_state(SHORT, in_time));
        let server = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(serve(listener, router, (FEW, SHORT), stopped));
        });
        let connect = || TcpStream::connect(address).expect("it listens");
        let begun = Instant::now();
        let mut silent: Vec<TcpStream> = (0..FEW).map(|_| connect()).collect();
        silent[0].write_all(b"GET / HTTP/1.1\r\nHost: ").expect("it reads");
        let mut late = connect();
        late.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("it is queued");
        let mut answer = String::new();
        late.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
        assert!(begun.elapsed() >= SHORT, "there was a place before anybody had given up his");
        let mut rest = String::new();
        silent[0].read_to_string(&mut rest).expect("it is closed in order");
        let mut half = connect();
        half.set_read_timeout(Some(20 * SHORT)).expect("it can be set");
        half.write_all(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf").expect("it reads");
        let mut answer = String::new();
        half.read_to_string(&mut answer).expect("it is closed in order");
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        stop.send(true).expect("it listens");
        server.join().expect("no panic");
    }
}
