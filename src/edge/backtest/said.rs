//! What a backtested service says, as far as it is measured.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::analysis::anomaly;
use crate::edge::log::Record;
use crate::edge::shard::wire::Wire;
use crate::event::{Input, item_hash};
use crate::signal::Topic;
use crate::signal::fact::{ChurnMoment, Fact, FactRecord};

/// Input, partition and offset of a record.
pub type RecordPlace = (usize, u32, u64);

/// What the service says, as far as it is measured.
pub enum Said<'a> {
    /// An anomaly score.
    Scored { event_id: &'a str, value: f64 },
    /// An alert, with the code of its strongest reason.
    Alerted { event_id: &'a str, reason: &'a str },
    /// A moment of churn.
    Moment(ChurnMoment),
}

/// A published list: hash and source of each item.
pub struct Made {
    pub customer: String,
    pub items: Vec<(u32, String)>,
}

/// Takes a record of the outputs or of the facts: lists by their cause, all else to `said`.
pub(super) fn hear(
    wire: &Wire,
    record: Record<'_>,
    made: &mut BTreeMap<RecordPlace, Made>,
    said: &mut dyn FnMut(Said<'_>),
) {
    let value = record.value.unwrap_or_default();
    match record.place.topic {
        Topic::Recommendations => made.extend(read_list(value)),
        Topic::Facts => read_moments(wire, value).for_each(|moment| said(Said::Moment(moment))),
        Topic::Alerts => {
            let alert: Option<Alerted> = serde_json::from_slice(value).ok();
            if let Some(Alerted { event_id, reasons }) = &alert {
                let reason = reasons.first().map_or("", |reason| &reason.code);
                said(Said::Alerted { event_id, reason });
            }
        }
        _ => {
            let score: Option<Scored<'_>> = serde_json::from_slice(value).ok();
            if let Some(Scored { analysis, event_id: Some(event_id), value }) = score
                && analysis == anomaly::DESCRIPTOR.name
            {
                said(Said::Scored { event_id: &event_id, value });
            }
        }
    }
}

#[derive(Deserialize)]
struct ListJson {
    customer: String,
    source: SourceJson,
    items: Vec<ItemJson>,
}

#[derive(Deserialize)]
struct SourceJson {
    input: String,
    partition: u32,
    offset: u64,
}

#[derive(Deserialize)]
struct ItemJson {
    item: String,
    source: String,
}

/// As much of an alert as is looked at.
#[derive(Deserialize)]
struct Alerted {
    event_id: String,
    reasons: Vec<ReasonJson>,
}

#[derive(Deserialize)]
struct ReasonJson {
    code: String,
}

/// As much of a score as is looked at.
#[derive(Deserialize)]
struct Scored<'a> {
    analysis: &'a str,
    event_id: Option<String>,
    value: f64,
}

fn read_moments(wire: &Wire, value: &[u8]) -> impl Iterator<Item = ChurnMoment> {
    let facts = match wire.read_fact(value) {
        Ok(FactRecord::Packed(facts)) => facts,
        _ => Vec::new(),
    };
    facts.into_iter().filter_map(|fact| if let Fact::Churn(moment) = fact { Some(moment) } else { None })
}

fn read_list(value: &[u8]) -> Option<(RecordPlace, Made)> {
    let ListJson { customer, source, items } = serde_json::from_slice(value).ok()?;
    let input = Input::ALL.into_iter().find(|input| input.name() == source.input)?;
    let items = items.into_iter().map(|item| (item_hash(&item.item), item.source)).collect();
    Some(((input.index(), source.partition, source.offset), Made { customer, items }))
}
