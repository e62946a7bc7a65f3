//! Signals to JSON: the field names of the schemas, bytes as base64, digests in hexadecimal.
//! A number that is not finite has no JSON and becomes null.

use serde::Serialize;

use super::hexadecimal;
use crate::event::TimeMs;
use crate::signal::{Alert, DeadLetter, Reason, Recommendation, Score, Signal, Source};

/// Appends the signal to `out` as one JSON object without a line end.
pub fn encode_signal_json(signal: &Signal, out: &mut Vec<u8>) {
    let written = match signal {
        Signal::Alert(alert) => serde_json::to_writer(out, &AlertJson::from(alert)),
        Signal::Score(score) => serde_json::to_writer(out, &ScoreJson::from(score)),
        Signal::DeadLetter(letter) => serde_json::to_writer(out, &DeadLetterJson::from(letter)),
        Signal::Recommendation(list) => serde_json::to_writer(out, &RecommendationJson::from(list)),
    };
    written.expect("plain fields into memory cannot fail");
}

#[derive(Serialize)]
struct SourceJson {
    input: &'static str,
    partition: u32,
    offset: u64,
}

impl From<Source> for SourceJson {
    fn from(source: Source) -> SourceJson {
        SourceJson { input: source.input.name(), partition: source.partition, offset: source.offset }
    }
}

#[derive(Serialize)]
struct AlertJson<'a> {
    id: String,
    customer: &'a str,
    event_id: &'a str,
    order: &'a str,
    time_ms: TimeMs,
    source: SourceJson,
    risk: u16,
    amount_minor: i64,
    currency: &'a str,
    terminal: Option<&'a str>,
    instrument: Option<&'a str>,
    reasons: &'a [Reason],
}

impl<'a> From<&'a Alert> for AlertJson<'a> {
    fn from(alert: &'a Alert) -> AlertJson<'a> {
        AlertJson {
            id: format!("{:032x}", alert.id.0),
            customer: &alert.customer,
            event_id: &alert.event_id,
            order: &alert.order,
            time_ms: alert.time_ms,
            source: alert.source.into(),
            risk: alert.risk,
            amount_minor: alert.amount_minor,
            currency: alert.currency.as_str(),
            terminal: alert.terminal.as_deref(),
            instrument: alert.instrument.as_deref(),
            reasons: &alert.reasons,
        }
    }
}

#[derive(Serialize)]
struct ScoreJson<'a> {
    id: String,
    analysis: &'a str,
    customer: &'a str,
    event_id: Option<&'a str>,
    time_ms: TimeMs,
    source: SourceJson,
    value: f64,
    band: &'a str,
    version: u64,
    reasons: &'a [Reason],
}

impl<'a> From<&'a Score> for ScoreJson<'a> {
    fn from(score: &'a Score) -> ScoreJson<'a> {
        ScoreJson {
            id: format!("{:032x}", score.id.0),
            analysis: &score.analysis,
            customer: &score.customer,
            event_id: score.event_id.as_deref(),
            time_ms: score.time_ms,
            source: score.source.into(),
            value: score.value,
            band: &score.band,
            version: score.version,
            reasons: &score.reasons,
        }
    }
}

#[derive(Serialize)]
struct RecommendationJson<'a> {
    id: String,
    customer: &'a str,
    time_ms: TimeMs,
    source: SourceJson,
    version: u64,
    items: Vec<ItemJson<'a>>,
}

#[derive(Serialize)]
struct ItemJson<'a> {
    item: &'a str,
    rank: usize,
    score: f64,
    source: &'a str,
    reason: &'a str,
}

impl<'a> From<&'a Recommendation> for RecommendationJson<'a> {
    fn from(list: &'a Recommendation) -> RecommendationJson<'a> {
        let items = (1..).zip(list.items.iter()).map(|(rank, item)| ItemJson {
            item: item.item,
            rank,
            score: item.score,
            source: item.source,
            reason: item.reason,
        });
        RecommendationJson {
            id: format!("{:032x}", list.id.0),
            customer: &list.customer,
            time_ms: list.time_ms,
            source: list.source.into(),
            version: list.version,
            items: items.collect(),
        }
    }
}

#[derive(Serialize)]
struct DeadLetterJson<'a> {
    source: SourceJson,
    reason: &'static str,
    detail: &'a str,
    timestamp_ms: TimeMs,
    key: String,
    raw: String,
    length: u64,
    sha256: String,
}

impl<'a> From<&'a DeadLetter> for DeadLetterJson<'a> {
    fn from(letter: &'a DeadLetter) -> DeadLetterJson<'a> {
        DeadLetterJson {
            source: letter.source.into(),
            reason: letter.reason.name(),
            detail: &letter.detail,
            timestamp_ms: letter.timestamp_ms,
            key: base64(&letter.key),
            raw: base64(&letter.raw),
            length: letter.length,
            sha256: hexadecimal(&letter.sha256),
        }
    }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            text.push(if digit <= chunk.len() { char::from(DIGITS[value as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_is_that_of_the_standard() {
        // RFC 4648, section 10.
        let known = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (length, expected) in known.iter().enumerate() {
            assert_eq!(super::base64(&b"foobar"[..length]), *expected);
        }
    }
}
