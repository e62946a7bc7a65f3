//! From fields to an event: the checks of content, once for Avro and JSON alike.

use std::borrow::Cow;

use super::Rejected;
use super::reader::Field;
use crate::event::{
    Currency, Engagement, EngagementKind, Event, Feedback, Input, Line, Purchase, Reject, Verdict,
};

/// The most lines of one order.
pub(super) const LINES_MAX: usize = 10_000;
/// The longest id, in bytes.
const ID_BYTES_MAX: usize = 256;

/// What was read for one of our fields. Small and without a destructor: there are two dozen to a
/// purchase. What does not fit is put [`Aside`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Slot<'a> {
    /// Null, or not there.
    #[default]
    Missing,
    Text(&'a str),
    /// A text that had to be unescaped, by its place in [`Aside::unescaped`].
    Unescaped(usize),
    Long(i64),
    Double(f64),
    Boolean(bool),
    /// The symbol's place in our enum.
    Symbol(u8),
    /// They are in [`Aside::lines`].
    Lines,
}

/// What belongs to a record's slots and takes memory of its own.
#[derive(Debug, Default)]
pub(super) struct Aside<'a> {
    pub lines: Vec<Line<'a>>,
    pub unescaped: Vec<String>,
}

/// The event in the slots of `fields`.
pub(super) fn build_event<'a>(
    input: Input,
    fields: &[Field],
    slots: &[Slot<'a>],
    aside: &mut Aside<'a>,
) -> Result<Event<'a>, Rejected> {
    let taker = Taker { fields, slots, aside, next: 0 };
    match input {
        Input::Purchases => build_purchase(taker).map(Event::Purchase),
        Input::Engagements => build_engagement(taker).map(Event::Engagement),
        Input::Feedback => build_feedback(taker).map(Event::Feedback),
    }
}

// In each of these the fields are taken in the order of the schema, which is that of the struct.

/// Of a purchase: more is a slip, which would spoil every sum for good. Below it each amount is exact as a double.
const AMOUNT_MINOR_MAX: i64 = 1_000_000_000_000_000;

fn build_purchase<'a>(mut taker: Taker<'_, 'a>) -> Result<Purchase<'a>, Rejected> {
    let purchase = Purchase {
        event_id: taker.id()?,
        customer: taker.optional_given_id()?,
        order: taker.id()?,
        time_ms: taker.long()?,
        lines: taker.lines()?,
        currency: taker.currency()?,
        instrument: taker.optional_id()?,
        channel: taker.optional_id()?,
        terminal: taker.optional_id()?,
        device: taker.optional_id()?,
        country: taker.optional_id()?,
        refund: taker.flag(),
    };
    let least = if purchase.refund { i64::MIN } else { 1 };
    let wrong = purchase.lines.iter().position(|line| line.quantity < least || line.quantity == 0);
    if let Some(index) = wrong {
        return Err(bad_quantity(index, purchase.lines[index].quantity));
    }
    let amount_minor = purchase.amount_minor();
    if amount_minor > AMOUNT_MINOR_MAX {
        let detail = format!("lines: {amount_minor} together, at most {AMOUNT_MINOR_MAX}, in minor units");
        return Err(Rejected::new(Reject::InvalidValue, detail));
    }
    Ok(purchase)
}

/// The line in the slots of its fields.
pub(super) fn build_line<'a>(
    fields: &[Field],
    slots: &[Slot<'a>],
    aside: &mut Aside<'a>,
) -> Result<Line<'a>, Rejected> {
    let mut taker = Taker { fields, slots, aside, next: 0 };
    let line = Line {
        item: taker.id()?,
        category: taker.optional_id()?,
        quantity: taker.long()?,
        unit_price_minor: taker.long()?,
    };
    if line.unit_price_minor < 0 {
        let detail = format!("unit_price_minor: {} is below 0", line.unit_price_minor);
        return Err(Rejected::new(Reject::InvalidValue, detail));
    }
    Ok(line)
}

fn build_engagement<'a>(mut taker: Taker<'_, 'a>) -> Result<Engagement<'a>, Rejected> {
    Ok(Engagement {
        event_id: taker.id()?,
        customer: taker.id()?,
        time_ms: taker.long()?,
        kind: taker.symbol(&EngagementKind::ALL)?,
        session: taker.optional_id()?,
        item: taker.optional_id()?,
        category: taker.optional_id()?,
        duration_seconds: taker.optional_amount()?,
        query: taker.optional_text(),
        experiment: taker.optional_id()?,
        variant: taker.optional_id()?,
        anonymous_id: taker.optional_id()?,
    })
}

fn build_feedback<'a>(mut taker: Taker<'_, 'a>) -> Result<Feedback<'a>, Rejected> {
    Ok(Feedback {
        customer: taker.id()?,
        event_id: taker.id()?,
        verdict: taker.symbol(&[Verdict::Fraud, Verdict::Legitimate])?,
        time_ms: taker.long()?,
        source: taker.id()?,
    })
}

#[cold]
pub(super) fn too_many_lines() -> Rejected {
    Rejected::new(Reject::InvalidValue, format!("more than {LINES_MAX}"))
}

#[cold]
fn bad_quantity(index: usize, quantity: i64) -> Rejected {
    Rejected::new(Reject::InvalidValue, format!("lines: [{index}]: quantity: {quantity} is not allowed"))
}

/// Takes the slots one after the other, checked as their place demands.
struct Taker<'s, 'a> {
    fields: &'s [Field],
    slots: &'s [Slot<'a>],
    aside: &'s mut Aside<'a>,
    next: usize,
}

impl<'a> Taker<'_, 'a> {
    #[inline]
    fn take(&mut self) -> Slot<'a> {
        let slot = self.slots[self.next];
        self.next += 1;
        slot
    }

    /// Of the slot taken last.
    fn name(&self) -> &str {
        &self.fields[self.next - 1].name
    }

    #[cold]
    fn reject(&self, reason: Reject, detail: &str) -> Rejected {
        Rejected::new(reason, detail).at(self.name())
    }

    #[cold]
    fn missing(&self) -> Rejected {
        self.reject(Reject::MissingField, "missing")
    }

    /// An empty text counts as absent.
    #[inline]
    fn optional_text(&mut self) -> Option<Cow<'a, str>> {
        match self.take() {
            Slot::Text("") => None,
            Slot::Text(text) => Some(Cow::Borrowed(text)),
            Slot::Unescaped(place) => self.unescaped(place),
            _ => None,
        }
    }

    #[cold]
    fn unescaped(&mut self, place: usize) -> Option<Cow<'a, str>> {
        let text = self.aside.unescaped.get_mut(place).map(std::mem::take);
        text.filter(|text| !text.is_empty()).map(Cow::Owned)
    }

    #[inline]
    fn optional_id(&mut self) -> Result<Option<Cow<'a, str>>, Rejected> {
        match self.optional_text() {
            Some(id) if id.len() > ID_BYTES_MAX => {
                Err(self.reject(Reject::MissingField, "longer than 256 bytes"))
            }
            id => Ok(id),
        }
    }

    /// An id that may be absent, but not there and empty: a guest is not a customer without a name.
    #[inline]
    fn optional_given_id(&mut self) -> Result<Option<Cow<'a, str>>, Rejected> {
        match self.slots[self.next] {
            Slot::Missing => {
                self.next += 1;
                Ok(None)
            }
            _ => self.id().map(Some),
        }
    }

    #[inline]
    fn id(&mut self) -> Result<Cow<'a, str>, Rejected> {
        match self.optional_id()? {
            Some(id) => Ok(id),
            None => Err(self.reject(Reject::MissingField, "missing or empty")),
        }
    }

    #[inline]
    fn long(&mut self) -> Result<i64, Rejected> {
        match self.take() {
            Slot::Long(value) => Ok(value),
            _ => Err(self.missing()),
        }
    }

    /// False where it is missing.
    fn flag(&mut self) -> bool {
        matches!(self.take(), Slot::Boolean(true))
    }

    fn symbol<T: Copy>(&mut self, all: &[T]) -> Result<T, Rejected> {
        match self.take() {
            Slot::Symbol(place) => all.get(usize::from(place)).copied().ok_or_else(|| self.missing()),
            _ => Err(self.missing()),
        }
    }

    /// Finite and at least 0.
    fn optional_amount(&mut self) -> Result<Option<f64>, Rejected> {
        match self.take() {
            Slot::Double(value) if !value.is_finite() => {
                Err(self.reject(Reject::NotFinite, &format!("{value}")))
            }
            Slot::Double(value) if value < 0.0 => {
                Err(self.reject(Reject::InvalidValue, &format!("{value} is below 0")))
            }
            Slot::Double(value) => Ok(Some(value)),
            _ => Ok(None),
        }
    }

    fn currency(&mut self) -> Result<Currency, Rejected> {
        let Some(code) = self.optional_text() else { return Err(self.missing()) };
        Currency::parse(&code)
            .ok_or_else(|| self.reject(Reject::InvalidValue, &format!("{code:.16?} is not three letters")))
    }

    fn lines(&mut self) -> Result<Vec<Line<'a>>, Rejected> {
        match self.take() {
            Slot::Lines if self.aside.lines.is_empty() => Err(self.reject(Reject::InvalidValue, "none")),
            Slot::Lines => Ok(std::mem::take(&mut self.aside.lines)),
            _ => Err(self.missing()),
        }
    }
}
