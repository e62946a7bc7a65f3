//! Alerts by the page, and everything that is said as it is said.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream as streams};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{Late, Refusal, started};
use crate::edge::recent::{FOLLOWED, Recent, Told};
use crate::signal::Topic;

/// Alerts of a page.
const PAGE: usize = 50;
const PAGE_MAX: usize = 500;
/// Proxies cut a silent connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[derive(Debug, Deserialize)]
pub struct Page {
    limit: Option<usize>,
    /// `next` of the page before.
    before: Option<String>,
    customer: Option<String>,
    /// 0 to 1000.
    risk_min: Option<u64>,
}

/// Newest first.
#[derive(Debug, Serialize)]
pub struct AlertsAnswer {
    alerts: Vec<Value>,
    /// For `before` of the next page; null at the end of what is kept in memory.
    next: Option<String>,
}

pub async fn alerts(state: State<Late>, Query(page): Query<Page>) -> Result<Json<AlertsAnswer>, Refusal> {
    let api = started(&state)?;
    let limit = page.limit.unwrap_or(PAGE);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, format!("limit: from 1 to {PAGE_MAX}")));
    }
    if page.risk_min.is_some_and(|min| min > 1_000) {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "risk_min: from 0 to 1000"));
    }
    let before = page.before.as_deref().map(place).transpose()?;
    let mut is_past = before.is_none();
    let found = api.recent.alerts(limit, |told| {
        let (was_past, at) = (is_past, (told.partition, told.offset));
        is_past |= before == Some(at);
        was_past && wanted(&api.recent, told, &page)
    });
    if !is_past {
        let words = "before: that alert is not among the newest any more; begin anew without it";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, words));
    }
    let next = found.last().filter(|_| found.len() == limit);
    let next = next.map(|told| format!("{}-{}", told.partition, told.offset));
    Ok(Json(AlertsAnswer { alerts: found.iter().map(|told| api.recent.show(told)).collect(), next }))
}

/// The alert is read only where its risk is asked for.
fn wanted(recent: &Recent, told: &Told, page: &Page) -> bool {
    let is_risky = |min: u64| recent.show(told)["risk"].as_u64().is_some_and(|risk| risk >= min);
    page.customer.as_ref().is_none_or(|customer| *customer == told.customer)
        && page.risk_min.is_none_or(is_risky)
}

fn place(text: &str) -> Result<(u32, u64), Refusal> {
    let parts = text.split_once('-').and_then(|(p, o)| Some((p.parse().ok()?, o.parse().ok()?)));
    parts.ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, "before: it is `next` of the page before"))
}

#[derive(Debug, Deserialize)]
pub struct Wanted {
    /// Comma between; by default alerts alone.
    topics: Option<String>,
    customer: Option<String>,
}

pub async fn stream(
    state: State<Late>,
    Query(wanted): Query<Wanted>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let api = started(&state)?;
    let topics = topics(wanted.topics.as_deref().unwrap_or(Topic::Alerts.name()))?;
    let listening = Listening {
        listener: api.recent.listen(),
        recent: Arc::clone(&api.recent),
        topics,
        customer: wanted.customer,
    };
    let stream = streams::unfold(listening, Listening::next);
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

struct Listening {
    listener: Receiver<Arc<Told>>,
    recent: Arc<Recent>,
    topics: Vec<Topic>,
    customer: Option<String>,
}

impl Listening {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Listening)> {
        let event = loop {
            match self.listener.recv().await {
                Ok(told) if self.wants(&told) => {
                    break Event::default()
                        .event(told.topic.name())
                        .data(self.recent.show(&told).to_string());
                }
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => {
                    break Event::default().event("missed").data(json!({ "signals": missed }).to_string());
                }
                Err(RecvError::Closed) => return None,
            }
        };
        Some((Ok(event), self))
    }

    fn wants(&self, told: &Told) -> bool {
        self.topics.contains(&told.topic)
            && self.customer.as_ref().is_none_or(|customer| *customer == told.customer)
    }
}

fn topics(names: &str) -> Result<Vec<Topic>, Refusal> {
    let one = |name: &str| {
        let known = FOLLOWED.into_iter().find(|topic| topic.name() == name);
        known.ok_or_else(|| {
            let all = FOLLOWED.map(Topic::name).join(", ");
            Refusal::new(StatusCode::BAD_REQUEST, format!("topics: {name:?} is none of {all}"))
        })
    };
    names.split(',').map(str::trim).map(one).collect()
}
