//! `/api/v1`: events in, what is known of a customer, signals out.
//!
//! Every answer is JSON; one that is no success is `{"error": …}` in words. While the service starts, or while the
//! partition of a customer is restored, the answer is 503 with `Retry-After`. A customer of another instance is asked of
//! it.

mod customers;
mod events;
mod forward;
mod loads;
mod records;
mod signals;
mod status;

use std::sync::{Arc, OnceLock};

use axum::Json;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Health;
use crate::edge::inbox::Inbox;
use crate::edge::ingest::Ingest;
use crate::edge::log::LogError;
use crate::edge::metrics::Metrics;
use crate::edge::owners::Owners;
use crate::edge::recent::Recent;
use crate::edge::shard::shared::Shared;
use crate::edge::shard::store::ObjectSnapshots;
use crate::edge::tap::Wanted;

/// Bytes of a request at most.
const BODY_BYTES_MAX: usize = 8 << 20;

/// What stands behind the interface, once the service has started.
pub struct Api {
    pub instance: String,
    pub log: &'static str,
    pub ingest: Ingest,
    pub events: Intake,
    /// Positions of loads, asked of the log; may block.
    pub cursor: Cursor,
    /// Reads a topic on a thread of its own.
    pub tap: Tap,
    pub recent: Arc<Recent>,
    pub inbox: Arc<Inbox>,
    pub owners: Arc<Owners>,
    pub forward: Forward,
    pub metrics: Arc<Metrics>,
    pub shared: Arc<Shared>,
    pub health: Arc<Health>,
    pub snapshots: Arc<ObjectSnapshots>,
    /// Of the inputs.
    pub partitions: u32,
}

pub use events::{Intake, Limits};
pub use forward::Forward;

/// Position of a load by its name.
pub type Cursor = Arc<dyn Fn(&str) -> Result<Option<u64>, LogError> + Send + Sync>;
/// Records as JSON, as they are read, and last why it went no further. None where too many read already.
pub type Tap = Box<dyn Fn(Wanted) -> Option<mpsc::Receiver<Result<Value, String>>> + Send + Sync>;

/// Set when the service has started.
pub type Late = Arc<OnceLock<Api>>;

/// Paths with their handlers; the document at `openapi.json` lists the same, and a test holds them together.
pub fn routes() -> Vec<(&'static str, MethodRouter<Late>)> {
    vec![
        ("/api/v1/events", post(events::events)),
        ("/api/v1/feedback", post(events::feedback)),
        ("/api/v1/loads/{name}", get(loads::position).post(loads::part)),
        ("/api/v1/records/{topic}", get(records::records)),
        ("/api/v1/customers/{id}", get(customers::customer)),
        ("/api/v1/customers/{id}/recommendations", get(customers::recommendations)),
        ("/api/v1/items/{id}/similar", get(customers::similar)),
        ("/api/v1/alerts", get(signals::alerts)),
        ("/api/v1/stream", get(signals::stream)),
        ("/api/v1/status", get(status::status)),
        ("/api/v1/openapi.json", get(openapi)),
    ]
}

/// The routes; `late` is filled when the service has started.
pub fn router<S: Clone + Send + Sync + 'static>(late: Late) -> Router<S> {
    let routed = routes().into_iter().fold(Router::new(), |router, (path, route)| router.route(path, route));
    routed.layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(late)
}

/// The interface as an OpenAPI document.
pub const OPENAPI: &str = include_str!("openapi.json");

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// An answer that is no success.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    error: String,
    /// Seconds after which it may be tried again.
    retry_after_s: Option<u32>,
}

impl Refusal {
    fn new(status: StatusCode, error: impl Into<String>) -> Refusal {
        Refusal { status, error: error.into(), retry_after_s: None }
    }

    /// To be tried again a little later.
    fn later(status: StatusCode, error: impl Into<String>) -> Refusal {
        Refusal { retry_after_s: Some(1), ..Refusal::new(status, error) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "error": self.error }))).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The interface, or 503 while the service starts.
fn started(State(late): &State<Late>) -> Result<&Api, Refusal> {
    let starting = || Refusal::later(StatusCode::SERVICE_UNAVAILABLE, "the service is starting");
    late.get().ok_or_else(starting)
}
