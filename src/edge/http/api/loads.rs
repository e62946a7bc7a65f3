//! Files sent from beginning to end, each part with how far it comes, so that a sender goes on where it stopped.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::events::{self, Taken};
use super::{Api, Late, Refusal, started};
use crate::edge::ingest::Load;
use crate::edge::log::Group;
use crate::edge::owners::Claim;
use crate::event::TimeMs;

/// Records that may wait for the service: with more, a sender is told to slow down.
const LAG_MAX: u64 = 50_000;

#[derive(Debug, Serialize)]
pub struct LoadAnswer {
    name: String,
    /// Events taken so far; 0 for a new load.
    position: u64,
    /// The largest event time below which a partition takes nothing any more, whichever instance has it; null while none
    /// has seen an event.
    watermark_ms: Option<TimeMs>,
    /// How far an event may lie before a later one that was sent first: `engine.lateness`.
    lateness_ms: TimeMs,
}

pub async fn position(state: State<Late>, Path(name): Path<String>) -> Result<Json<LoadAnswer>, Refusal> {
    let api = started(&state)?;
    let claims = api.claims()?;
    let position = api.position(&name).await?;
    let others = claims.iter().filter_map(|claim| claim.watermark_ms);
    let watermark_ms = others.chain(api.inbox.watermark_ms()).max();
    Ok(Json(LoadAnswer { name, position, watermark_ms, lateness_ms: api.events.limits.lateness_ms }))
}

#[derive(Debug, Deserialize)]
pub struct Start {
    /// The position that the sender thinks the load is at.
    from: u64,
}

/// Takes the events after `from`, all of one request or none.
pub async fn part(
    state: State<Late>,
    Path(name): Path<String>,
    Query(Start { from }): Query<Start>,
    body: Bytes,
) -> Result<Json<Taken>, Refusal> {
    let api = started(&state)?;
    let lag = api.lag()?;
    if lag > LAG_MAX {
        let words = format!("{lag} records wait to be applied");
        return Err(Refusal::later(StatusCode::TOO_MANY_REQUESTS, words));
    }
    let parts = events::split(&body)?;
    let (records, results) = api.events.read(&parts, None);
    let load = Load { name, from, to: from + parts.len() as u64 };
    let accepted = records.len();
    api.ingest.append(records, Some(load)).await?;
    Ok(Json(Taken::new(accepted, results)))
}

impl Api {
    async fn position(&self, name: &str) -> Result<u64, Refusal> {
        let (cursor, name) = (self.cursor.clone(), name.to_owned());
        let asked = tokio::task::spawn_blocking(move || cursor(&name)).await;
        match asked {
            Ok(Ok(position)) => Ok(position.unwrap_or(0)),
            Ok(Err(error)) => Err(Refusal::later(StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
            Err(error) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
        }
    }

    /// Records of inputs that wait, as of the last seconds, here and with the other instances.
    fn lag(&self) -> Result<u64, Refusal> {
        let here: u64 = self.health.partitions().iter().map(|(_, _, _, lag, _)| *lag).sum();
        Ok(here + self.claims()?.iter().map(|claim| claim.lag).sum::<u64>())
    }

    /// What the other instances say.
    ///
    /// # Errors
    /// 503 where a partition is with nobody: how far it has come is not known then.
    fn claims(&self) -> Result<Vec<Claim>, Refusal> {
        let here = self.health.numbers(Group::Customer);
        let others: Vec<Claim> =
            self.owners.all().into_iter().filter(|claim| claim.instance != self.instance).collect();
        let nobody = (0..self.partitions).find(|number| {
            !here.contains(number) && others.iter().all(|claim| !claim.customer.contains(number))
        });
        match nobody {
            None => Ok(others),
            Some(number) => {
                let words =
                    format!("no instance says that it has partition {number}: it is on its way to one");
                Err(Refusal::later(StatusCode::SERVICE_UNAVAILABLE, words))
            }
        }
    }
}
