//! The page at `/`: its files are in the binary and ask for nothing but this server.
//!
//! They are served without a token, for they hold no data; the page asks for the token and sends it along.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use xxhash_rust::xxh3::xxh3_64;

/// Nothing from elsewhere, nothing inline, and no other page around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Path, content type, content.
const FILES: [(&str, &str, &str); 10] = [
    ("/", HTML, include_str!("index.html")),
    ("/page/page.css", CSS, include_str!("page.css")),
    ("/page/icon.svg", SVG, include_str!("icon.svg")),
    ("/page/page.js", SCRIPT, include_str!("page.js")),
    ("/page/server.js", SCRIPT, include_str!("server.js")),
    ("/page/words.js", SCRIPT, include_str!("words.js")),
    ("/page/element.js", SCRIPT, include_str!("element.js")),
    ("/page/pulse.js", SCRIPT, include_str!("pulse.js")),
    ("/page/alerts.js", SCRIPT, include_str!("alerts.js")),
    ("/page/customer.js", SCRIPT, include_str!("customer.js")),
];

/// The routes of its files.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.into_iter().fold(Router::new(), |router, (path, kind, content)| {
        let tag = format!("\"{:016x}\"", xxh3_64(content.as_bytes()));
        router.route(path, get(async move |request: Request| serve(&request, kind, content, &tag)))
    })
}

/// Browsers ask each time whether they still have the newest: after an upgrade nobody sees old files with new ones.
fn serve(request: &Request, kind: &str, content: &'static str, tag: &str) -> Response {
    let headers: [(HeaderName, &str); 6] = [
        (header::CONTENT_TYPE, kind),
        (header::ETAG, tag),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let known = request.headers().get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|known| known.trim() == tag)) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, content).into_response()
}
