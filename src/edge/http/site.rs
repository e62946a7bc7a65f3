//! What other web sites may not do with a service that asks for no token.
//!
//! A browser sends what any page tells it to, also to this machine: a form of another site could post events here,
//! and a name of that site that leads to a loopback address could read them. Programs other than browsers send no
//! `Origin` and are not concerned.

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Refuses with 403 what comes from a page of another site.
pub async fn refuse_others(request: Request, next: Next) -> Response {
    if is_own(request.headers()) {
        return next.run(request).await;
    }
    (StatusCode::FORBIDDEN, "refused: this comes from a page of another site\n").into_response()
}

fn is_own(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let Some(host) = text(header::HOST) else { return true };
    let origin = text(header::ORIGIN);
    let is_same = origin.is_none_or(|origin| origin.split_once("://").is_some_and(|(_, site)| site == host));
    is_same && is_local(host)
}

/// An address, or a name that nobody can register: one without a dot, or below localhost.
fn is_local(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_address = host.parse::<SocketAddr>().is_ok()
        || name.parse::<IpAddr>().is_ok()
        || (host.starts_with('[') && host.ends_with(']'));
    is_address || !name.contains('.') || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_sites_are_told_from_our_own() {
        let cases = [
            ("127.0.0.1:9464", None, true),
            ("127.0.0.1:9464", Some("http://127.0.0.1:9464"), true),
            ("127.0.0.1:9464", Some("http://127.0.0.1:8000"), false),
            ("127.0.0.1:9464", Some("https://shop.example"), false),
            ("127.0.0.1:9464", Some("null"), false),
            ("[::1]:9464", Some("http://[::1]:9464"), true),
            ("[::1]", None, true),
            ("localhost:9464", Some("http://localhost:9464"), true),
            ("habitue:9464", None, true),
            ("shop.localhost:9464", None, true),
            ("rebound.example:9464", Some("http://rebound.example:9464"), false),
            ("rebound.example", None, false),
            ("127.0.0.1.rebound.example:9464", None, false),
        ];
        for (host, origin, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().expect("a header"));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().expect("a header"));
            }
            assert_eq!(is_own(&headers), expected, "{host} {origin:?}");
        }
    }
}
