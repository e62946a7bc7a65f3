//! Rows of event files to events: which cell is what, and which lines are one order.

mod cell;
mod layout;

use std::collections::{BTreeMap, VecDeque};

use crate::event::{Currency, Engagement, EngagementKind, Event, Feedback, Line, Purchase, TimeMs, Verdict};
pub use layout::{
    Constants, EngagementLayout, FeedbackLayout, LabelLayout, Layout, PurchaseLayout, Selector, TimeLayout,
};

/// The cells of a row by column.
pub trait Cells {
    /// Empty beyond the last.
    fn cell(&self, column: usize) -> &str;

    /// A hash of all cells.
    fn hash(&self) -> u64;
}

/// An event of a file, and what its row says of its outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapped {
    pub event: Event<'static>,
    /// Whether the purchase was fraud, where the row has a label.
    pub fraud: Option<bool>,
}

/// Why a row is no part of any event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOut {
    /// No kind of event takes it.
    NoKind,
    /// Its time cannot be read; and so on.
    Time,
    Price,
    Quantity,
    Currency,
    EngagementKind,
    Verdict,
    /// An engagement or a verdict of nobody.
    Customer,
    /// The row is not UTF-8.
    Text,
    /// The row has more cells than there are columns.
    Ragged,
    /// A session without an item.
    Empty,
}

impl LeftOut {
    pub fn name(self) -> &'static str {
        match self {
            LeftOut::NoKind => "no_kind",
            LeftOut::Time => "unreadable_time",
            LeftOut::Price => "unreadable_price",
            LeftOut::Quantity => "unreadable_quantity",
            LeftOut::Currency => "unknown_currency",
            LeftOut::EngagementKind => "unknown_engagement_kind",
            LeftOut::Verdict => "no_verdict",
            LeftOut::Customer => "no_customer",
            LeftOut::Text => "invalid_text",
            LeftOut::Ragged => "too_many_cells",
            LeftOut::Empty => "empty_line",
        }
    }
}

/// Turns the rows of one file into events, in their order.
#[derive(Debug)]
pub struct Rows {
    layout: Layout,
    made_up: MadeUp,
    /// Orders whose next line may come, in the order of their first lines. Refunds stand apart.
    open: VecDeque<Open>,
}

/// Lines of several orders may lie mixed: an order is whole when none of its lines has come for so long.
const LINES_APART_MS: TimeMs = 120_000;
/// Equal rows that lie further apart in a file are taken for one.
const APART_MS: TimeMs = 3_600_000;
/// Orders that are open at most; a file in which more lie mixed gives some in parts.
const OPEN_MAX: usize = 256;

/// Ids of events that have none in their file: the hash of the row, and of equal rows of one time which it is. So the rows of
/// one file are told from those of another, and those of a file that is read again are the same.
#[derive(Debug, Default)]
struct MadeUp {
    /// Rows so far by time and hash; what is so old that it would be late is forgotten.
    rows: BTreeMap<(TimeMs, u64), u32>,
}

/// An order whose next line may come.
#[derive(Debug)]
struct Open {
    order: String,
    purchase: Purchase<'static>,
    fraud: Option<bool>,
    /// Time of its last line.
    last_ms: TimeMs,
}

impl From<Open> for Mapped {
    fn from(open: Open) -> Mapped {
        Mapped { event: Event::Purchase(open.purchase), fraud: open.fraud }
    }
}

impl Rows {
    pub fn new(layout: Layout) -> Rows {
        Rows { layout, made_up: MadeUp::default(), open: VecDeque::new() }
    }

    /// Takes a row; pushes what it completes to `out`.
    ///
    /// # Errors
    /// When the row is left out; what came before is unharmed.
    pub fn push(&mut self, cells: &dyn Cells, out: &mut Vec<Mapped>) -> Result<(), LeftOut> {
        if self.layout.purchase.as_ref().is_some_and(|layout| takes(&layout.rows, cells)) {
            return self.line(cells, out);
        }
        self.finish(out);
        let Layout { engagement, feedback, .. } = &self.layout;
        if let Some(layout) = engagement.as_ref().filter(|layout| takes(&layout.rows, cells)) {
            let mut event = self.engagement(layout, cells)?;
            if event.event_id.is_empty() {
                event.event_id = self.made_up.id(event.time_ms, cells).into();
            }
            out.push(Mapped { event: Event::Engagement(event), fraud: None });
            return Ok(());
        }
        if let Some(layout) = feedback.as_ref().filter(|layout| takes(&layout.rows, cells)) {
            let event = self.feedback(layout, cells)?;
            out.push(Mapped { event: Event::Feedback(event), fraud: None });
            return Ok(());
        }
        Err(LeftOut::NoKind)
    }

    /// The orders that were still open.
    pub fn finish(&mut self, out: &mut Vec<Mapped>) {
        out.extend(self.open.drain(..).map(Mapped::from));
    }

    fn line(&mut self, cells: &dyn Cells, out: &mut Vec<Mapped>) -> Result<(), LeftOut> {
        let Some(layout) = &self.layout.purchase else { return Err(LeftOut::NoKind) };
        let time_ms = self.layout.time.read(cells).ok_or(LeftOut::Time)?;
        let constants = &self.layout.constants;
        let line = self.item(layout, cells)?;
        let currency = match layout.currency {
            Some(column) => Currency::parse(cells.cell(column).trim()),
            None => constants.currency,
        };
        let currency = currency.ok_or(LeftOut::Currency)?;
        let text = |column: Option<usize>| text(cells, column);
        let order = text(layout.order);
        let customer = text(layout.customer).filter(|name| !self.layout.guests.contains(name));
        let refund = line.quantity < 0 && layout.negative_is_refund;
        let fraud = self.layout.label.as_ref().and_then(|label| label.read(cells));
        let is_of = |open: &Open| {
            order.as_deref() == Some(&*open.order)
                && open.purchase.customer.as_deref() == customer.as_deref()
                && open.purchase.refund == refund
                && open.purchase.currency == currency
        };
        // The last one first: mostly it is this one.
        if let Some(open) = self.open.iter_mut().rev().find(|open| is_of(open)) {
            open.purchase.lines.push(line);
            open.last_ms = open.last_ms.max(time_ms);
            // One line that is fraud makes it the order.
            open.fraud = open.fraud.max(fraud);
            return Ok(());
        }
        // The returned lines of an order are an event of their own, though its number is the id of both.
        let is_of_another = |id: &String| {
            let mut of_order = self.open.iter().filter(|open| order.as_deref() == Some(&*open.order));
            of_order.any(|open| open.purchase.event_id == *id)
        };
        let named = text(layout.event_id).filter(|id| !is_of_another(id));
        let order = order.unwrap_or_default();
        let event_id = named.unwrap_or_else(|| self.made_up.id(time_ms, cells));
        let purchase = Purchase {
            order: if order.is_empty() { event_id.clone().into() } else { order.clone().into() },
            event_id: event_id.into(),
            customer: customer.map(Into::into),
            time_ms,
            lines: vec![line],
            currency,
            instrument: text(layout.instrument).map(Into::into),
            channel: text(layout.channel).or_else(|| constants.channel.clone()).map(Into::into),
            terminal: text(layout.terminal).map(Into::into),
            device: text(layout.device).map(Into::into),
            country: text(layout.country).or_else(|| constants.country.clone()).map(Into::into),
            refund,
        };
        // One without an order's number waits for nothing but those before it.
        let last_ms = if order.is_empty() { TimeMs::MIN } else { time_ms };
        self.open.push_back(Open { order, purchase, fraud, last_ms });
        self.close(time_ms, out);
        Ok(())
    }

    fn item(&self, layout: &PurchaseLayout, cells: &dyn Cells) -> Result<Line<'static>, LeftOut> {
        let (price, decimals) = (cells.cell(layout.price), self.layout.decimals);
        let constants = &self.layout.constants;
        let item = text(cells, layout.item).or_else(|| constants.item.clone());
        Ok(Line {
            unit_price_minor: cell::minor_units(price, decimals).ok_or(LeftOut::Price)?,
            quantity: match layout.quantity {
                Some(column) => cell::whole(cells.cell(column)).ok_or(LeftOut::Quantity)?,
                None => constants.quantity,
            },
            item: item.unwrap_or_default().into(),
            category: text(cells, layout.category).map(Into::into),
        })
    }

    /// Hands over what is whole, in the order of first lines: a younger order waits for an older one.
    fn close(&mut self, now_ms: TimeMs, out: &mut Vec<Mapped>) {
        let is_whole = |open: &Open| open.last_ms < now_ms.saturating_sub(LINES_APART_MS);
        while self.open.len() > OPEN_MAX || self.open.front().is_some_and(is_whole) {
            out.extend(self.open.pop_front().map(Mapped::from));
        }
    }

    /// Its id is empty where the file has none.
    fn engagement(
        &self,
        layout: &EngagementLayout,
        cells: &dyn Cells,
    ) -> Result<Engagement<'static>, LeftOut> {
        let text = |column: Option<usize>| text(cells, column);
        let kind = match layout.kind {
            Some(column) => {
                let said = cells.cell(column).trim();
                let meant = layout.kinds.get(said).map_or(said, String::as_str);
                EngagementKind::ALL.into_iter().find(|kind| kind.symbol() == meant)
            }
            None => self.layout.constants.kind,
        };
        let duration = layout.duration_seconds.and_then(|column| cells.cell(column).trim().parse().ok());
        Ok(Engagement {
            event_id: text(layout.event_id).unwrap_or_default().into(),
            customer: text(Some(layout.customer)).ok_or(LeftOut::Customer)?.into(),
            time_ms: self.layout.time.read(cells).ok_or(LeftOut::Time)?,
            kind: kind.ok_or(LeftOut::EngagementKind)?,
            session: text(layout.session).map(Into::into),
            item: text(layout.item).map(Into::into),
            category: text(layout.category).map(Into::into),
            duration_seconds: duration,
            query: text(layout.query).map(Into::into),
            experiment: None,
            variant: None,
            anonymous_id: None,
        })
    }

    fn feedback(&self, layout: &FeedbackLayout, cells: &dyn Cells) -> Result<Feedback<'static>, LeftOut> {
        let said = text(cells, Some(layout.verdict)).ok_or(LeftOut::Verdict)?;
        let verdict = if said == layout.fraud { Verdict::Fraud } else { Verdict::Legitimate };
        Ok(Feedback {
            customer: text(cells, Some(layout.customer)).ok_or(LeftOut::Customer)?.into(),
            event_id: text(cells, Some(layout.event_id)).unwrap_or_default().into(),
            verdict,
            time_ms: self.layout.time.read(cells).ok_or(LeftOut::Time)?,
            source: text(cells, layout.source).unwrap_or_else(|| "file".into()).into(),
        })
    }
}

impl MadeUp {
    fn id(&mut self, time_ms: TimeMs, cells: &dyn Cells) -> String {
        while let Some(first) =
            self.rows.first_entry().filter(|row| row.key().0 < time_ms.saturating_sub(APART_MS))
        {
            first.remove();
        }
        let hash = cells.hash();
        let count = self.rows.entry((time_ms, hash)).or_default();
        *count += 1;
        if *count == 1 { format!("{hash:016x}") } else { format!("{hash:016x}-{count}") }
    }
}

/// The cell without blanks around it; None where nothing is in it.
fn text(cells: &dyn Cells, column: Option<usize>) -> Option<String> {
    let cell = cells.cell(column?).trim();
    (!cell.is_empty()).then(|| cell.to_owned())
}

fn takes(rows: &Option<Selector>, cells: &dyn Cells) -> bool {
    rows.as_ref().is_none_or(|rows| rows.values.iter().any(|value| value == cells.cell(rows.column).trim()))
}

/// The moment that a verdict on the purchase arrives.
pub fn verdict(purchase: &Purchase<'_>, fraud: bool, delay_ms: TimeMs) -> Feedback<'static> {
    Feedback {
        customer: purchase.key().to_owned().into(),
        event_id: purchase.event_id.clone().into_owned().into(),
        verdict: if fraud { Verdict::Fraud } else { Verdict::Legitimate },
        time_ms: purchase.time_ms.saturating_add(delay_ms),
        source: "label".into(),
    }
}

#[cfg(test)]
mod tests;
