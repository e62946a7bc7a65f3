//! What is known of a customer and of an item.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Api, Late, Refusal, started};
use crate::analysis::recommend;
use crate::edge::inbox::{RecommendedView, Record};
use crate::edge::log::Group;
use crate::edge::shard::wire::partition_of;
use crate::signal::Topic;

/// A shard answers between two events.
const PATIENCE: Duration = Duration::from_secs(3);
const SIMILAR: usize = 10;

/// The record, and what was said of the customer last, newest first.
#[derive(Debug, Serialize)]
pub struct CustomerAnswer {
    #[serde(flatten)]
    record: Record,
    scores: Vec<Value>,
    alerts: Vec<Value>,
}

#[derive(Debug, Serialize)]
pub struct ListAnswer {
    customer: String,
    items: Vec<RecommendedView>,
    /// The last list that went out, with its event; null where none is remembered.
    published: Value,
}

#[derive(Debug, Serialize)]
pub struct SimilarAnswer {
    item: String,
    items: Vec<SimilarItem>,
}

#[derive(Debug, Serialize)]
struct SimilarItem {
    item: String,
    /// Of what was taken next, 0 to 1.
    share: f32,
}

#[derive(Debug, Deserialize)]
pub struct Limit {
    limit: Option<usize>,
}

pub async fn customer(state: State<Late>, Path(id): Path<String>, parts: Parts) -> Result<Response, Refusal> {
    let api = started(&state)?;
    let record = match ask(api, &id, &parts).await? {
        Asked::Here(record) => *record,
        Asked::Elsewhere(answer) => return Ok(answer),
    };
    let last = |topic| {
        let told = api.recent.of_customer(&id, topic);
        told.iter().map(|told| api.recent.show(told)).collect()
    };
    let answer = CustomerAnswer { record, scores: last(Topic::Scores), alerts: last(Topic::Alerts) };
    Ok(Json(answer).into_response())
}

pub async fn recommendations(
    state: State<Late>,
    Path(id): Path<String>,
    parts: Parts,
) -> Result<Response, Refusal> {
    let api = started(&state)?;
    let Record { customer, recommendations, .. } = match ask(api, &id, &parts).await? {
        Asked::Here(record) => *record,
        Asked::Elsewhere(answer) => return Ok(answer),
    };
    let told = api.recent.of_customer(&id, Topic::Recommendations);
    let published = told.first().map_or(Value::Null, |told| api.recent.show(told));
    Ok(Json(ListAnswer { customer, items: recommendations, published }).into_response())
}

pub async fn similar(
    state: State<Late>,
    Path(item): Path<String>,
    Query(Limit { limit }): Query<Limit>,
) -> Result<Json<SimilarAnswer>, Refusal> {
    let api = started(&state)?;
    let epoch = api.shared.epoch();
    let found = recommend::similar(&epoch.tables, &item, limit.unwrap_or(SIMILAR));
    let unknown = || Refusal::new(StatusCode::NOT_FOUND, format!("nothing is known of item {item}"));
    let items = found.ok_or_else(unknown)?;
    let items = items.into_iter().map(|(item, share)| SimilarItem { item: item.to_owned(), share }).collect();
    Ok(Json(SimilarAnswer { item, items }))
}

enum Asked {
    Here(Box<Record>),
    /// What the instance says that has the partition.
    Elsewhere(Response),
}

async fn ask(api: &Api, id: &str, parts: &Parts) -> Result<Asked, Refusal> {
    let unavailable = |words: String| Refusal::later(StatusCode::SERVICE_UNAVAILABLE, words);
    if let Some(why) = api.health.why_closed() {
        return Err(unavailable(why));
    }
    let partition = partition_of(id, api.partitions);
    let here = api
        .health
        .partitions()
        .into_iter()
        .find(|(group, number, ..)| *group == Group::Customer && *number == partition);
    match here {
        None => return api.forward.ask(&api.owners, partition, parts).await.map(Asked::Elsewhere),
        Some((_, _, restored, ..)) if restored < 1.0 => {
            return Err(unavailable(format!(
                "partition {partition} is restored to {:.0} %",
                100.0 * restored
            )));
        }
        Some(_) => {}
    }
    let busy = || Refusal::later(StatusCode::TOO_MANY_REQUESTS, "too many questions wait for this partition");
    let answered = api.inbox.ask(partition, id).ok_or_else(busy)?;
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(Ok(Some(record))) => Ok(Asked::Here(Box::new(record))),
        Ok(Ok(None)) => Err(Refusal::new(StatusCode::NOT_FOUND, format!("no customer {id}"))),
        Ok(Err(_)) => Err(unavailable(format!("partition {partition} was given up just now"))),
        Err(_) => Err(unavailable(format!("partition {partition} does not answer"))),
    }
}
