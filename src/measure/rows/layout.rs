//! Which column of a file is what: a mapping with its names looked up in a header.

use std::collections::BTreeMap;

use super::{Cells, cell};
use crate::event::{Currency, EngagementKind, TimeMs};

#[derive(Debug, Clone)]
pub struct Layout {
    pub time: TimeLayout,
    /// Places by which a price's point moves to the right to give minor units.
    pub decimals: u32,
    /// Customers' cells that mean nobody; the empty one always does.
    pub guests: Vec<String>,
    pub constants: Constants,
    pub purchase: Option<PurchaseLayout>,
    pub engagement: Option<EngagementLayout>,
    pub feedback: Option<FeedbackLayout>,
    pub label: Option<LabelLayout>,
}

#[derive(Debug, Clone)]
pub struct TimeLayout {
    pub column: usize,
    /// Microseconds in the unit of a number.
    pub unit_us: i64,
    pub epoch_ms: TimeMs,
    /// Reads a date.
    pub moment: fn(&str) -> Option<TimeMs>,
}

/// The year 10000: a number beyond it is of another unit.
const TIME_END_MS: TimeMs = 253_402_300_800_000;

impl TimeLayout {
    pub(super) fn read(&self, cells: &dyn Cells) -> Option<TimeMs> {
        let text = cells.cell(self.column).trim();
        let time_ms = match cell::thousandths(text, self.unit_us) {
            Some(offset_ms) => self.epoch_ms.checked_add(offset_ms),
            None => (self.moment)(text),
        };
        time_ms.filter(|time_ms| *time_ms < TIME_END_MS)
    }
}

#[derive(Debug, Clone, Default)]
pub struct Constants {
    pub currency: Option<Currency>,
    pub country: Option<String>,
    pub channel: Option<String>,
    pub item: Option<String>,
    pub quantity: i64,
    pub kind: Option<EngagementKind>,
}

/// Takes the rows whose cell is one of the values.
#[derive(Debug, Clone)]
pub struct Selector {
    pub column: usize,
    pub values: Vec<String>,
}

#[derive(Debug, Clone, Default)]
pub struct PurchaseLayout {
    pub rows: Option<Selector>,
    pub event_id: Option<usize>,
    pub customer: Option<usize>,
    pub order: Option<usize>,
    pub item: Option<usize>,
    pub category: Option<usize>,
    pub quantity: Option<usize>,
    pub price: usize,
    pub currency: Option<usize>,
    pub instrument: Option<usize>,
    pub channel: Option<usize>,
    pub terminal: Option<usize>,
    pub device: Option<usize>,
    pub country: Option<usize>,
    pub negative_is_refund: bool,
}

#[derive(Debug, Clone, Default)]
pub struct EngagementLayout {
    pub rows: Option<Selector>,
    pub event_id: Option<usize>,
    pub customer: usize,
    pub kind: Option<usize>,
    /// Cells of `kind` by what they mean.
    pub kinds: BTreeMap<String, String>,
    pub session: Option<usize>,
    pub item: Option<usize>,
    pub category: Option<usize>,
    pub duration_seconds: Option<usize>,
    pub query: Option<usize>,
}

#[derive(Debug, Clone, Default)]
pub struct FeedbackLayout {
    pub rows: Option<Selector>,
    pub customer: usize,
    pub event_id: usize,
    pub verdict: usize,
    pub fraud: String,
    pub source: Option<usize>,
}

#[derive(Debug, Clone)]
pub struct LabelLayout {
    pub column: usize,
    pub fraud: String,
}

impl LabelLayout {
    /// None where the cell is empty.
    pub(super) fn read(&self, cells: &dyn Cells) -> Option<bool> {
        let text = cells.cell(self.column).trim();
        (!text.is_empty()).then(|| text == self.fraud)
    }
}
