//! Events and verdicts in.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Late, Refusal, started};
use crate::codec::Decoder;
use crate::edge::clock::{self, Clock};
use crate::edge::ingest::IngestError;
use crate::edge::log::{Outgoing, Place};
use crate::edge::shard::wire::{Wire, partition_of};
use crate::event::{Event, Input, TimeMs};
use crate::signal::Topic;

/// As the engine has it: what lies further ahead is refused.
const AHEAD_MAX_MS: TimeMs = 3_600_000;
/// Events of one request at most.
const EVENTS_MAX: usize = 5_000;

/// What the engine would refuse.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub record_bytes_max: usize,
    pub time_min_ms: TimeMs,
    /// How far an event may lie before a later one that came first.
    pub lateness_ms: TimeMs,
}

/// From JSON to records of the input topics.
pub struct Intake {
    wire: Arc<Wire>,
    partitions: u32,
    pub limits: Limits,
    /// By [`Input::index`].
    decoders: Mutex<Vec<Decoder>>,
    clock: Arc<dyn Clock>,
}

/// What became of one event, in the order of the request.
#[derive(Debug, Serialize)]
pub struct ItemResult {
    /// As far as it could be read.
    event_id: Option<String>,
    /// "accepted" or "rejected".
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Taken {
    accepted: usize,
    rejected: usize,
    results: Vec<ItemResult>,
}

impl Taken {
    pub fn new(accepted: usize, results: Vec<ItemResult>) -> Taken {
        Taken { accepted, rejected: results.len() - accepted, results }
    }
}

/// What is looked at before the input is known.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    time_ms: Option<IgnoredAny>,
    #[serde(borrow)]
    event_id: Option<&'a RawValue>,
}

impl Intake {
    /// `clock` says what "now" is to an event without a time, and what lies in the future.
    pub fn new(wire: Arc<Wire>, partitions: u32, limits: Limits, clock: Arc<dyn Clock>) -> Intake {
        let decoders = Input::ALL.map(|input| wire.json_decoder(input)).into();
        Intake { wire, partitions, limits, decoders: Mutex::new(decoders), clock }
    }

    /// What "now" is to events.
    fn now_ms(&self) -> TimeMs {
        self.clock.now_ms()
    }

    /// Reads each event; those that can be read become records, in their order.
    pub fn read(&self, events: &[&RawValue], all: Option<Input>) -> (Vec<Outgoing>, Vec<ItemResult>) {
        let mut decoders = self.decoders.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut records, mut results) = (Vec::with_capacity(events.len()), Vec::with_capacity(events.len()));
        for event in events {
            let head = serde_json::from_str::<Head<'_>>(event.get());
            let filled = head.as_ref().is_ok_and(|head| head.time_ms.is_none());
            let filled = filled.then(|| with_time(event.get(), self.now_ms()));
            let text = filled.as_deref().unwrap_or(event.get()).as_bytes();
            let given = head.as_ref().ok().and_then(|head| head.event_id);
            let given = given.and_then(|id| serde_json::from_str::<String>(id.get()).ok());
            let is_object = event.get().starts_with('{');
            let input = head.map_err(|error| match is_object {
                true => format!("malformed: {error}"),
                false => "malformed: an event is an object".to_owned(),
            });
            let input = input.and_then(|head| all.map_or_else(|| head.input(), Ok));
            let outcome = input.and_then(|input| {
                let event = decoders[input.index()].decode(text);
                event.map_err(|rejected| format!("{}: {}", rejected.reason.name(), rejected.detail))
            });
            let taken = outcome.and_then(|event| Ok((id_of(&event), self.record(&event, text)?)));
            results.push(match taken {
                Ok((event_id, record)) => {
                    records.push(record);
                    ItemResult { event_id: Some(event_id), status: "accepted", reason: None }
                }
                Err(reason) => ItemResult { event_id: given, status: "rejected", reason: Some(reason) },
            });
        }
        (records, results)
    }

    fn record(&self, event: &Event<'_>, text: &[u8]) -> Result<Outgoing, String> {
        let Limits { record_bytes_max, time_min_ms, .. } = self.limits;
        let now_ms = self.now_ms();
        if event.time_ms() > now_ms + AHEAD_MAX_MS {
            return Err(format!("implausible_time: more than an hour after {now_ms}, which is now"));
        }
        if event.time_ms() < time_min_ms {
            let words = "is before engine.event_time_min; times are in milliseconds since 1970";
            return Err(format!("implausible_time: {} {words}", event.time_ms()));
        }
        let value = self.wire.event(event, text);
        if value.len() > record_bytes_max {
            return Err(format!("too_large: {} bytes, {record_bytes_max} are allowed", value.len()));
        }
        let place = Place::new(Topic::from(event.input()), partition_of(event.key(), self.partitions));
        Ok(Outgoing {
            place,
            key: event.key().as_bytes().to_vec(),
            value: Some(value),
            timestamp_ms: clock::wall_ms(),
        })
    }
}

fn id_of(event: &Event<'_>) -> String {
    match event {
        Event::Purchase(purchase) => purchase.event_id.to_string(),
        Event::Engagement(engagement) => engagement.event_id.to_string(),
        Event::Feedback(feedback) => feedback.event_id.to_string(),
    }
}

impl Head<'_> {
    fn input(&self) -> Result<Input, String> {
        match self.kind.as_deref() {
            Some("purchase") => Ok(Input::Purchases),
            Some("engagement") => Ok(Input::Engagements),
            Some("feedback") => Ok(Input::Feedback),
            Some(other) => {
                let known = ["purchase", "engagement", "feedback"];
                let meant =
                    crate::config::nearest(other, &known).map(|near| format!("; did you mean {near}?"));
                let (known, meant) = (known.join(", "), meant.unwrap_or_default());
                Err(format!("malformed: type {other:?} is none of {known}{meant}"))
            }
            None => Err("missing_field: type: one of purchase, engagement, feedback".to_owned()),
        }
    }
}

/// The object with a time; what is none stays as it is.
fn with_time(text: &str, time_ms: TimeMs) -> String {
    let Ok(mut fields) = serde_json::from_str::<serde_json::Map<String, Value>>(text) else {
        return text.to_owned();
    };
    fields.insert("time_ms".to_owned(), json!(time_ms));
    Value::Object(fields).to_string()
}

pub async fn events(state: State<Late>, body: Bytes) -> Result<Response, Refusal> {
    take(&state, &split(&body)?, None).await
}

/// A verdict may leave out its source.
pub async fn feedback(state: State<Late>, body: Bytes) -> Result<Response, Refusal> {
    let mut verdict: Value = serde_json::from_slice(&body).map_err(|error| bad(&error.to_string()))?;
    let Some(fields) = verdict.as_object_mut() else { return Err(bad("a verdict is one object")) };
    fields.entry("source").or_insert_with(|| json!("http"));
    let text = verdict.to_string();
    let raw: &RawValue = serde_json::from_str(&text).map_err(|error| bad(&error.to_string()))?;
    take(&state, &[raw], Some(Input::Feedback)).await
}

async fn take(state: &State<Late>, events: &[&RawValue], all: Option<Input>) -> Result<Response, Refusal> {
    let api = started(state)?;
    let (records, results) = api.events.read(events, all);
    let accepted = records.len();
    if accepted > 0 {
        api.ingest.append(records, None).await?;
    }
    let taken = Taken::new(accepted, results);
    let status =
        if accepted == 0 && !taken.results.is_empty() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    Ok((status, Json(taken)).into_response())
}

/// One event, a list of them, or an object with the list as `events`; at most [`EVENTS_MAX`].
pub fn split(body: &[u8]) -> Result<Vec<&RawValue>, Refusal> {
    let events = events_of(body).map_err(|error| bad(&error.to_string()))?;
    if events.len() > EVENTS_MAX {
        let words = format!("{} events, at most {EVENTS_MAX} are taken at once", events.len());
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, words));
    }
    Ok(events)
}

fn events_of(body: &[u8]) -> Result<Vec<&RawValue>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Wrapped<'a> {
        #[serde(borrow)]
        events: Vec<&'a RawValue>,
    }
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'[') {
        return serde_json::from_slice(body);
    }
    if let Ok(wrapped) = serde_json::from_slice::<Wrapped<'_>>(body) {
        return Ok(wrapped.events);
    }
    serde_json::from_slice(body).map(|event| vec![event])
}

fn bad(error: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, format!("the body is not JSON that is taken here: {error}"))
}

impl From<IngestError> for Refusal {
    fn from(error: IngestError) -> Refusal {
        let status = match error {
            IngestError::Full => StatusCode::TOO_MANY_REQUESTS,
            IngestError::Elsewhere { .. } => return Refusal::new(StatusCode::CONFLICT, error.to_string()),
            IngestError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Refusal::later(status, error.to_string())
    }
}
