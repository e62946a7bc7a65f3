//! Records of any topic as they lie in the log, decoded.

use std::convert::Infallible;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream as streams};
use serde::Deserialize;

use super::{Late, Refusal, started};
use crate::edge::tap::{Begin, Wanted};
use crate::signal::Topic;

#[derive(Debug, Deserialize)]
pub struct Ask {
    /// Only records with this key.
    key: Option<String>,
    /// "start", or "end", which is the default.
    from: Option<String>,
    /// Whether key and value are as they lie there, in hexadecimal; by default not.
    raw: Option<bool>,
    /// Whether to go on after what is there now; by default so.
    follow: Option<bool>,
}

/// One server-sent event a record; an event called `error` where it goes no further, and one called `end` where all that
/// was there is sent and nothing is followed.
pub async fn records(
    state: State<Late>,
    Path(name): Path<String>,
    Query(ask): Query<Ask>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let api = started(&state)?;
    let topic = Topic::ALL.into_iter().find(|topic| topic.name() == name).ok_or_else(|| {
        let known = Topic::ALL.map(Topic::name);
        let meant = crate::config::nearest(&name, &known).map(|near| format!("; did you mean {near}?"));
        Refusal::new(StatusCode::NOT_FOUND, format!("no topic {name}{}", meant.unwrap_or_default()))
    })?;
    let from = match ask.from.as_deref() {
        None | Some("end") => Begin::End,
        Some("start") => Begin::Start,
        Some(_) => return Err(Refusal::new(StatusCode::BAD_REQUEST, "from: start or end")),
    };
    let wanted = Wanted {
        topic,
        key: ask.key.map(String::into_bytes),
        from,
        follow: ask.follow.unwrap_or(true),
        raw: ask.raw.unwrap_or(false),
    };
    let too_many = || Refusal::later(StatusCode::TOO_MANY_REQUESTS, "too many read records at once");
    let records = (api.tap)(wanted).ok_or_else(too_many)?;
    let stream = streams::unfold((records, false), async |(mut records, ended)| {
        if ended {
            return None;
        }
        let (event, ended) = match records.recv().await {
            Some(Ok(record)) => (Event::default().event("record").data(record.to_string()), false),
            Some(Err(error)) => {
                let data = serde_json::json!({ "error": error }).to_string();
                (Event::default().event("error").data(data), true)
            }
            None => (Event::default().event("end").data("{}"), true),
        };
        Some((Ok(event), (records, ended)))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}
