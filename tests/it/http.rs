//! The HTTP side over a real socket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use habitue::edge::http::{Health, Server, Shown};
use habitue::edge::log::Group;
use habitue::edge::metrics::Metrics;
use habitue::edge::version::Version;

fn shown(token: Option<&str>) -> Shown {
    Shown {
        metrics: Arc::new(Metrics::new(Version::of_this_build())),
        health: Arc::new(Health::new()),
        token: token.map(Arc::from),
        api: Default::default(),
    }
}

fn start(shown: &Shown) -> Server {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    Server::start(loopback, shown.clone()).expect("a free port on loopback")
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

fn get(server: &Server, path: &str, headers: &str) -> Answer {
    let mut stream = TcpStream::connect(server.address()).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n")
        .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_string() }
}

#[test]
fn probes_follow_health() {
    let shown = shown(None);
    let server = start(&shown);
    assert_eq!(get(&server, "/livez", "").status, 200);
    let answer = get(&server, "/readyz", "");
    assert_eq!((answer.status, answer.body.as_str()), (503, "starting\n"));
    shown.health.started();
    assert_eq!(get(&server, "/readyz", "").status, 200);
    shown.health.restoring(Group::Customer, 2, 0.5);
    let answer = get(&server, "/readyz", "");
    assert_eq!((answer.status, answer.body.as_str()), (503, "restoring 50 % (1 of 1 partitions)\n"));
    shown.health.live(Group::Customer, 2, 0, 0);
    shown.health.draining();
    let answer = get(&server, "/readyz", "");
    assert_eq!((answer.status, answer.body.as_str()), (503, "draining\n"));
    assert_eq!(get(&server, "/livez", "").status, 200);
    shown.health.failed("hash mismatch in partition 2");
    let answer = get(&server, "/livez", "");
    assert_eq!((answer.status, answer.body.as_str()), (503, "failed: hash mismatch in partition 2\n"));
}

#[test]
fn metrics_and_version_are_served() {
    let shown = shown(None);
    let server = start(&shown);
    let metrics = get(&server, "/metrics", "");
    assert_eq!(metrics.status, 200);
    assert!(metrics.head.contains("content-type: text/plain; version=0.0.4"), "{}", metrics.head);
    let build = format!("habitue_build_info{{version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(metrics.body.contains(&build), "{}", metrics.body);
    let version = get(&server, "/version", "");
    let version: serde_json::Value = serde_json::from_str(&version.body).expect("a JSON document");
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(version["librdkafka"].as_str().is_some_and(|text| text.starts_with("2.")), "{version}");
    assert_eq!(get(&server, "/nothing", "").status, 404);
}

#[test]
fn the_page_needs_no_token_and_asks_for_nothing_from_elsewhere() {
    let shown = shown(Some("geheim"));
    let server = start(&shown);
    let page = get(&server, "/", "");
    assert_eq!(page.status, 200);
    assert!(page.head.contains("content-type: text/html; charset=utf-8"), "{}", page.head);
    for rule in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'none'"] {
        assert!(page.head.contains(rule), "{rule}: {}", page.head);
    }
    assert!(page.head.contains("x-content-type-options: nosniff"), "{}", page.head);
    let mut files = vec!["/page/server.js".to_owned()];
    files.extend(page.body.split('"').filter(|text| text.starts_with("/page/")).map(str::to_owned));
    assert!(files.len() > 3, "{files:?}");
    for file in files {
        let answer = get(&server, &file, "");
        assert_eq!(answer.status, 200, "{file}");
        let kinds = ["text/css", "text/javascript", "image/svg+xml"];
        assert!(kinds.iter().any(|kind| answer.head.contains(kind)), "{}", answer.head);
        let tag = answer.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag");
        let again = get(&server, &file, &format!("If-None-Match: {tag}\r\n"));
        assert_eq!((again.status, again.body.as_str()), (304, ""), "{file}");
        assert_eq!(get(&server, &file, "If-None-Match: \"0\"\r\n").status, 200, "{file}");
        // A name space is no request; anything else with a scheme would be.
        let elsewhere = answer.body.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"), "{file}");
        assert!(!elsewhere.contains("innerHTML"), "{file}: data becomes markup");
    }
    assert_eq!(get(&server, "/page/", "").status, 404);
}

#[test]
fn pages_of_other_sites_are_refused_where_there_is_no_token() {
    let origin = "Origin: https://shop.example\r\n";
    let open = start(&shown(None));
    for path in ["/metrics", "/version", "/api/v1/status"] {
        assert_eq!(get(&open, path, origin).status, 403, "{path}");
    }
    assert_eq!(get(&open, "/version", "Origin: http://test\r\n").status, 200);
    assert_eq!(get(&open, "/livez", origin).status, 200);
    let guarded = start(&shown(Some("geheim")));
    let allowed = format!("{origin}Authorization: Bearer geheim\r\n");
    assert_eq!(get(&guarded, "/version", &allowed).status, 200);
}

#[test]
fn a_token_guards_everything_but_the_probes() {
    let shown = shown(Some("geheim"));
    let server = start(&shown);
    assert_eq!(get(&server, "/livez", "").status, 200);
    assert_eq!(get(&server, "/readyz", "").status, 503);
    for path in ["/metrics", "/version"] {
        for headers in [
            "",
            "Authorization: Bearer geheiM\r\n",
            "Authorization: Bearer \r\n",
            "Authorization: Bearer geheim2\r\n",
            "Authorization: geheim\r\n",
        ] {
            let answer = get(&server, path, headers);
            assert_eq!(answer.status, 401, "{path} {headers}");
            assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
        }
        assert_eq!(get(&server, path, "Authorization: Bearer geheim\r\n").status, 200);
    }
}

/// Whoever asks by a command hears how to give the token, and exit code 5.
#[test]
fn a_command_without_the_token_is_told_how_to_give_it() {
    let server = start(&shown(Some("secret")));
    for (token, words) in
        [("", "a bearer token is needed"), ("wrong", "this bearer token is not the service's")]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_habitue"))
            .args(["status", "--url", &format!("http://{}", server.address())])
            .env("HABITUE_HTTP_TOKEN", token)
            .output()
            .expect("the binary runs");
        let err = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(5), "{err}");
        assert!(err.contains(words) && err.contains("--token or HABITUE_HTTP_TOKEN"), "{err}");
    }
}

#[test]
fn stopping_frees_the_address_even_with_a_connection_open() {
    let shown = shown(None);
    let server = start(&shown);
    let address = server.address();
    // Half a request: it would keep a patient server for ever.
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(b"GET /metrics HTTP/1.1\r\n").expect("it reads");
    assert_eq!(get(&server, "/livez", "").status, 200);
    let before = Instant::now();
    server.stop();
    assert!(before.elapsed() < Duration::from_secs(10), "{:?}", before.elapsed());
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_taken_address_is_an_error() {
    let shown = shown(None);
    let server = start(&shown);
    let taken = Server::start(server.address(), shown);
    assert_eq!(taken.err().map(|error| error.kind()), Some(std::io::ErrorKind::AddrInUse));
}
