//! The output language: what the engine says to the shop, and to itself through its internal topics.
//!
//! Published to the shop: [`Alert`], [`Score`], [`Recommendation`], [`DeadLetter`]. Internal: [`journal`], [`fact`], [`model`].

pub mod fact;
mod items;
pub mod journal;
pub mod model;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::event::{Currency, Input, Reject, TimeMs};
pub use items::{Items, RecommendedItem};

/// Every topic the service reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Topic {
    Purchases,
    Engagements,
    Feedback,
    Journal,
    Facts,
    Models,
    Control,
    Alerts,
    AlertsFast,
    Scores,
    DeadLetters,
    Recommendations,
    Owners,
}

impl Topic {
    pub const ALL: [Topic; 13] = [
        Topic::Purchases,
        Topic::Engagements,
        Topic::Feedback,
        Topic::Journal,
        Topic::Facts,
        Topic::Models,
        Topic::Control,
        Topic::Alerts,
        Topic::AlertsFast,
        Topic::Scores,
        Topic::DeadLetters,
        Topic::Recommendations,
        Topic::Owners,
    ];

    /// The name without the configured prefix.
    pub fn name(self) -> &'static str {
        match self {
            Topic::Purchases => "purchases",
            Topic::Engagements => "engagements",
            Topic::Feedback => "feedback",
            Topic::Journal => "journal",
            Topic::Facts => "facts",
            Topic::Models => "models",
            Topic::Control => "control",
            Topic::Alerts => "alerts",
            Topic::AlertsFast => "alerts-fast",
            Topic::Scores => "scores",
            Topic::DeadLetters => "dead-letters",
            Topic::Recommendations => "recommendations",
            Topic::Owners => "owners",
        }
    }
}

impl From<Input> for Topic {
    fn from(input: Input) -> Topic {
        match input {
            Input::Purchases => Topic::Purchases,
            Input::Engagements => Topic::Engagements,
            Input::Feedback => Topic::Feedback,
        }
    }
}

/// One message to the shop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Signal {
    Alert(Alert),
    Score(Score),
    DeadLetter(DeadLetter),
    Recommendation(Recommendation),
}

impl Signal {
    /// Every topic that a signal goes to.
    pub const TOPICS: [Topic; 4] = [Topic::Alerts, Topic::Scores, Topic::DeadLetters, Topic::Recommendations];

    pub fn topic(&self) -> Topic {
        match self {
            Signal::Alert(_) => Topic::Alerts,
            Signal::Score(_) => Topic::Scores,
            Signal::DeadLetter(_) => Topic::DeadLetters,
            Signal::Recommendation(_) => Topic::Recommendations,
        }
    }

    /// The record's key: the customer, for a dead letter the key of the record it holds.
    pub fn key(&self) -> &[u8] {
        match self {
            Signal::Alert(alert) => alert.customer.as_bytes(),
            Signal::Score(score) => score.customer.as_bytes(),
            Signal::DeadLetter(letter) => &letter.key,
            Signal::Recommendation(list) => list.customer.as_bytes(),
        }
    }
}

/// Where a record stands in its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub input: Input,
    pub partition: u32,
    pub offset: u64,
}

/// Identity of a signal: the same cause gives the same id on every run, so a repeat can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SignalId(pub u128);

impl SignalId {
    /// Hash of cause (topic, partition, offset), analysis, entity, and which of its signals this is:
    /// `discriminator` is a rule's number or a timer's due time, `ordinal` counts within one cause.
    pub fn new(source: Source, analysis: &str, entity: &str, discriminator: i64, ordinal: u32) -> SignalId {
        let mut hash = Xxh3::new();
        hash.update(&[source.input as u8]);
        hash.update(&source.partition.to_le_bytes());
        hash.update(&source.offset.to_le_bytes());
        hash.update(analysis.as_bytes());
        hash.update(&[0xff]);
        hash.update(entity.as_bytes());
        hash.update(&[0xff]);
        hash.update(&discriminator.to_le_bytes());
        hash.update(&ordinal.to_le_bytes());
        SignalId(hash.digest128())
    }
}

/// A payment that a fraud desk should look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub id: SignalId,
    pub customer: String,
    pub event_id: String,
    pub order: String,
    /// Event time of the payment.
    pub time_ms: TimeMs,
    pub source: Source,
    /// 0 (usual) to 1000 (certain).
    pub risk: u16,
    pub amount_minor: i64,
    pub currency: Currency,
    pub terminal: Option<String>,
    pub instrument: Option<String>,
    /// Strongest first, at most 3.
    pub reasons: Vec<Reason>,
}

/// Why a score is what it is: a value that stands out beside the value that was usual.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable, for machines: "amount_ratio", "velocity_1h", "entity_risk_terminal", "isolation".
    pub code: String,
    /// One sentence for people.
    pub text: String,
    pub value: f64,
    pub usual: f64,
    /// How much this reason added, 0 to 1000.
    pub weight: u16,
}

/// What an analysis thinks of one customer or one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    pub id: SignalId,
    pub analysis: String,
    pub customer: String,
    /// The event scored; None where silence was.
    pub event_id: Option<String>,
    pub time_ms: TimeMs,
    /// Where silence was scored, of the record that its partition had applied last.
    pub source: Source,
    /// In the analysis' own range: anomaly 0 to 1000, churn 0 to 1.
    pub value: f64,
    pub band: String,
    /// Of the model or fold that scored.
    pub version: u64,
    pub reasons: Vec<Reason>,
}

/// A list of items for one customer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    pub id: SignalId,
    pub customer: String,
    pub time_ms: TimeMs,
    pub source: Source,
    /// Of the analysis that made the list.
    pub version: u64,
    /// Best first.
    pub items: Items,
}

/// A record that could not be applied, kept whole (up to 256 KiB) with its reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub source: Source,
    pub reason: Reject,
    /// For people: which field, which value.
    pub detail: String,
    pub timestamp_ms: TimeMs,
    /// The first 1 KiB of the record's key, empty where it had none.
    pub key: Vec<u8>,
    /// The first 256 KiB of the value.
    pub raw: Vec<u8>,
    /// Length of the whole value in bytes.
    pub length: u64,
    /// SHA-256 of the whole value.
    pub sha256: [u8; 32],
}
