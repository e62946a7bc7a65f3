//! A mapping's names looked up in a file's header.

use crate::config::{
    EngagementColumns, FeedbackColumns, Mapping, MoneyUnit, NegativeQuantity, PurchaseColumns, SelectedRows,
    TimeUnit, parse_time,
};
use crate::event::{Currency, EngagementKind};
use crate::measure::rows::{
    Constants, EngagementLayout, FeedbackLayout, LabelLayout, Layout, PurchaseLayout, Selector, TimeLayout,
};

/// A column that the file does not have, or several of its name.
struct Missing(String);

struct Header<'a>(&'a [String]);

impl Header<'_> {
    fn need(&self, name: &str) -> Result<usize, Missing> {
        let mut found = self.0.iter().enumerate().filter(|(_, column)| *column == name);
        match (found.next(), found.next()) {
            (Some((at, _)), None) => Ok(at),
            _ => Err(Missing(name.to_owned())),
        }
    }

    fn find(&self, name: &Option<String>) -> Result<Option<usize>, Missing> {
        name.as_deref().map(|name| self.need(name)).transpose()
    }

    fn rows(&self, rows: &Option<SelectedRows>) -> Result<Option<Selector>, Missing> {
        rows.as_ref()
            .map(|rows| Ok(Selector { column: self.need(&rows.column)?, values: rows.values.clone() }))
            .transpose()
    }

    fn purchase(&self, columns: &PurchaseColumns) -> Result<PurchaseLayout, Missing> {
        Ok(PurchaseLayout {
            rows: self.rows(&columns.rows)?,
            event_id: self.find(&columns.event_id)?,
            customer: self.find(&columns.customer)?,
            order: self.find(&columns.order)?,
            item: self.find(&columns.item)?,
            category: self.find(&columns.category)?,
            quantity: self.find(&columns.quantity)?,
            price: self.need(&columns.price)?,
            currency: self.find(&columns.currency)?,
            instrument: self.find(&columns.instrument)?,
            channel: self.find(&columns.channel)?,
            terminal: self.find(&columns.terminal)?,
            device: self.find(&columns.device)?,
            country: self.find(&columns.country)?,
            negative_is_refund: columns.negative_quantity == NegativeQuantity::Refund,
        })
    }

    fn engagement(&self, columns: &EngagementColumns) -> Result<EngagementLayout, Missing> {
        Ok(EngagementLayout {
            rows: self.rows(&columns.rows)?,
            event_id: self.find(&columns.event_id)?,
            customer: self.need(&columns.customer)?,
            kind: self.find(&columns.kind)?,
            kinds: columns.kinds.clone(),
            session: self.find(&columns.session)?,
            item: self.find(&columns.item)?,
            category: self.find(&columns.category)?,
            duration_seconds: self.find(&columns.duration_seconds)?,
            query: self.find(&columns.query)?,
        })
    }

    fn feedback(&self, columns: &FeedbackColumns) -> Result<FeedbackLayout, Missing> {
        Ok(FeedbackLayout {
            rows: self.rows(&columns.rows)?,
            customer: self.need(&columns.customer)?,
            event_id: self.need(&columns.event_id)?,
            verdict: self.need(&columns.verdict)?,
            fraud: columns.fraud.clone(),
            source: self.find(&columns.source)?,
        })
    }
}

/// What a file has of what a mapping names.
pub struct Resolved {
    pub layout: Layout,
    /// The kinds of event that the mapping has and this file has not, as their tables are called, and why not.
    pub absent: Vec<(&'static str, String)>,
}

/// The layout of a file with these columns.
///
/// # Errors
/// When it has no column of time, or a kind of event lacks a column and no other kind is there.
pub fn resolve(mapping: &Mapping, names: &[String]) -> Result<Resolved, String> {
    let header = Header(names);
    let has = if names.iter().all(String::is_empty) { "none".to_owned() } else { names.join(", ") };
    let missing = |Missing(name): Missing| match names.contains(&name) {
        true => format!("several columns are named {name:?}; the file has {has}"),
        false => format!("there is no column {name:?}; the file has {has}"),
    };
    let mut absent = Vec::new();
    let mut keep = |kind, error: Missing| absent.push((kind, missing(error)));
    let purchase = mapping.purchase.as_ref().map(|columns| header.purchase(columns));
    let purchase = purchase.and_then(|layout| layout.map_err(|error| keep("purchase", error)).ok());
    let engagement = mapping.engagement.as_ref().map(|columns| header.engagement(columns));
    let engagement = engagement.and_then(|layout| layout.map_err(|error| keep("engagement", error)).ok());
    let feedback = mapping.feedback.as_ref().map(|columns| header.feedback(columns));
    let feedback = feedback.and_then(|layout| layout.map_err(|error| keep("feedback", error)).ok());
    if let Some((_, why)) =
        absent.first().filter(|_| purchase.is_none() && engagement.is_none() && feedback.is_none())
    {
        return Err(why.clone());
    }
    let label = match &mapping.label {
        Some(label) if purchase.is_some() => {
            let column = header.need(&label.column).map_err(missing)?;
            Some(LabelLayout { column, fraud: label.fraud.clone() })
        }
        _ => None,
    };
    let constants = &mapping.constants;
    let kind = constants.kind.as_deref();
    let layout = Layout {
        time: TimeLayout {
            column: header.need(&mapping.time.column).map_err(missing)?,
            unit_us: unit_us(mapping.time.unit),
            epoch_ms: mapping.time.epoch,
            moment: parse_time,
        },
        decimals: if mapping.money.unit == MoneyUnit::Minor { 0 } else { mapping.money.decimals },
        guests: mapping.guests.clone().unwrap_or_default(),
        constants: Constants {
            currency: constants.currency.as_deref().and_then(Currency::parse),
            country: constants.country.clone(),
            channel: constants.channel.clone(),
            item: constants.item.clone(),
            quantity: constants.quantity.unwrap_or(1),
            kind: EngagementKind::ALL.into_iter().find(|known| Some(known.symbol()) == kind),
        },
        purchase,
        engagement,
        feedback,
        label,
    };
    Ok(Resolved { layout, absent })
}

fn unit_us(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Microseconds => 1,
        TimeUnit::Milliseconds => 1_000,
        TimeUnit::Seconds => 1_000_000,
        TimeUnit::Minutes => 60_000_000,
        TimeUnit::Hours => 3_600_000_000,
        TimeUnit::Days => 86_400_000_000,
    }
}
