//! Questions about customers of another instance, put to it.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, StatusCode, header, request, response};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use ureq::typestate::WithoutBody;
use ureq::{Agent, Body, RequestBuilder};

use super::Refusal;
use crate::edge::log::Group;
use crate::edge::owners::{Claim, Owners};

/// Longer than the other waits for its shard.
const PATIENCE: Duration = Duration::from_secs(5);
/// Questions that wait for other instances at once.
const WAITING_MAX: usize = 64;
/// Names who passed the question on; it is passed on once.
const FROM: HeaderName = HeaderName::from_static("x-habitue-forwarded-by");

/// Asks other instances.
pub struct Forward {
    agent: Agent,
    waiting: Arc<Semaphore>,
}

impl Default for Forward {
    fn default() -> Forward {
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        Forward { agent: config.build().into(), waiting: Arc::new(Semaphore::new(WAITING_MAX)) }
    }
}

impl Forward {
    /// The answer of the instance that has the customer partition.
    ///
    /// # Errors
    /// 429 where too many wait; 503 where nobody is known to have it, nobody answers, or the question was passed on
    /// before; 502 where the other instance does not take this one's token.
    pub async fn ask(
        &self,
        owners: &Owners,
        partition: u32,
        parts: &request::Parts,
    ) -> Result<Response, Refusal> {
        let own = owners.instance();
        let unavailable = |words: String| Refusal::later(StatusCode::SERVICE_UNAVAILABLE, words);
        if let Some(from) = parts.headers.get(FROM) {
            if from.as_bytes() == own.as_bytes() {
                let owner = owners.owner(Group::Customer, partition).map(|owner| owner.instance);
                let owner = owner.unwrap_or_else(|| "another instance".to_owned());
                let words = "its service.advertised_http leads to this one, as does every question about it";
                return Err(unavailable(format!("partition {partition} is with {owner}: {words}")));
            }
            return Err(unavailable(format!("partition {partition} is not with {own} any more")));
        }
        let owner = owners.owner(Group::Customer, partition).filter(|owner| owner.instance != own);
        let Some(Claim { instance, address, .. }) = owner else {
            return Err(unavailable(format!(
                "no instance says that it has partition {partition}: it is on its way to one"
            )));
        };
        let address = address.ok_or_else(|| {
            let words = "which does not say where: set service.advertised_http there";
            unavailable(format!("partition {partition} is with {instance}, {words}"))
        })?;
        let waiting = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| {
            Refusal::later(StatusCode::TOO_MANY_REQUESTS, "too many questions wait for other instances")
        })?;
        let request = request(&self.agent, &address, parts, own);
        let answered = tokio::task::spawn_blocking(move || {
            let answer = request.call().and_then(whole);
            drop(waiting);
            answer
        });
        let failed = |error: &dyn std::fmt::Display| {
            unavailable(format!("partition {partition} is with {instance}, which does not answer: {error}"))
        };
        let (head, body) = answered.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        if matches!(head.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let words = "give all instances the same service.http_token";
            let refused = format!("{instance} does not take the token of {own}: {words}");
            return Err(Refusal::new(StatusCode::BAD_GATEWAY, refused));
        }
        let mut response = (head.status, body).into_response();
        for name in [header::CONTENT_TYPE, header::RETRY_AFTER] {
            if let Some(value) = head.headers.get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        Ok(response)
    }
}

fn request(agent: &Agent, address: &str, parts: &request::Parts, from: &str) -> RequestBuilder<WithoutBody> {
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let request = agent.get(format!("{}{path}", address.trim_end_matches('/'))).header(FROM, from);
    match parts.headers.get(header::AUTHORIZATION) {
        Some(token) => request.header(header::AUTHORIZATION, token),
        None => request,
    }
}

fn whole(response: ureq::http::Response<Body>) -> Result<(response::Parts, Vec<u8>), ureq::Error> {
    let (head, mut body) = response.into_parts();
    Ok((head, body.read_to_vec()?))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::thread::JoinHandle;

    use serde_json::json;

    use super::*;
    use crate::edge::log::{Place, Record};
    use crate::signal::Topic;

    /// What instance a knows of: b at `address`, which has partitions 0 and 1, c without an address with 2.
    fn owners(address: &str) -> Owners {
        let owners = Owners::new("a".into(), None, false);
        let says = |offset, instance: &str, address: Option<&str>, customer: &[u32]| {
            let claim = json!({ "instance": instance, "address": address, "customer": customer, "market": [], "lag": 0, "watermark_ms": null, "time_ms": 0 });
            let value = claim.to_string().into_bytes();
            let place = Place::new(Topic::Owners, 0);
            let key = Some(instance.as_bytes());
            owners.hear(Record { place, offset, timestamp_ms: 0, key, value: Some(&value) });
        };
        says(0, "b", Some(address), &[0, 1]);
        says(1, "c", None, &[2]);
        // What this instance itself had before it died and came back.
        says(2, "a", None, &[3]);
        owners
    }

    /// Another instance that answers one question; gives what it was asked.
    fn other(answer: &'static str) -> (SocketAddr, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a question");
            let lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
            let asked = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            stream.write_all(answer.as_bytes()).expect("written");
            asked
        });
        (address, thread)
    }

    fn parts(headers: &[(&str, &str)]) -> request::Parts {
        let request = axum::http::Request::get("/api/v1/customers/ada%20b?x=1");
        let with = |request: request::Builder, (name, value): &(&str, &str)| request.header(*name, *value);
        headers.iter().fold(request, with).body(()).expect("a request").into_parts().0
    }

    fn ask(owners: &Owners, partition: u32, headers: &[(&str, &str)]) -> Result<Response, Refusal> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(Forward::default().ask(owners, partition, &parts(headers)))
    }

    #[test]
    fn the_question_is_put_as_it_came_and_the_answer_given_as_it_is() {
        let text = "HTTP/1.1 503 x\r\nretry-after: 1\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        let (address, asked) = other(text);
        let answer = ask(&owners(&format!("http://{address}")), 1, &[("authorization", "Bearer t")]);
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 503);
        assert_eq!(
            (&answer.headers()["retry-after"], &answer.headers()["content-type"]),
            (&header::HeaderValue::from(1), &header::HeaderValue::from_static("application/json"))
        );
        let asked = asked.join().expect("no panic");
        assert_eq!(asked[0], "GET /api/v1/customers/ada%20b?x=1 HTTP/1.1");
        for line in ["authorization: Bearer t", "x-habitue-forwarded-by: a"] {
            assert!(asked.iter().any(|asked| asked == line), "{line}: {asked:?}");
        }
    }

    #[test]
    fn what_cannot_be_passed_on_is_refused_in_words() {
        let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let nowhere = nobody.local_addr().expect("bound");
        drop(nobody);
        let (address, asked) = other("HTTP/1.1 401 x\r\ncontent-length: 0\r\n\r\n");
        let (gone, strict) = (owners(&format!("http://{nowhere}")), owners(&format!("http://{address}")));
        let once: &[(&str, &str)] = &[("x-habitue-forwarded-by", "b")];
        let none: &[(&str, &str)] = &[];
        let back: &[(&str, &str)] = &[("x-habitue-forwarded-by", "a")];
        let cases = [
            (&gone, 0, back, 503, "partition 0 is with b: its service.advertised_http leads to this one"),
            (&gone, 0, once, 503, "partition 0 is not with a any more"),
            (&gone, 0, none, 503, "partition 0 is with b, which does not answer"),
            (&gone, 2, none, 503, "partition 2 is with c, which does not say where"),
            (&gone, 3, none, 503, "no instance says that it has partition 3"),
            (&gone, 4, none, 503, "no instance says that it has partition 4"),
            (&strict, 0, none, 502, "b does not take the token of a"),
        ];
        for (owners, partition, headers, status, words) in cases {
            let refusal = ask(owners, partition, headers).expect_err("refused");
            assert!(refusal.error.starts_with(words), "{}", refusal.error);
            assert_eq!((refusal.status.as_u16(), refusal.retry_after_s.is_some()), (status, status == 503));
        }
        asked.join().expect("no panic");
    }
}
