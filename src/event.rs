//! The input language: what a shop tells us, already decoded and checked for shape.
//!
//! An event borrows from the record it was decoded from and lives for one `apply`. Times are event
//! time in milliseconds since the Unix epoch (UTC); money is an integer in minor units of its currency.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Milliseconds since the Unix epoch, UTC, from the record and never from a clock.
pub type TimeMs = i64;

/// One decoded record of an input topic.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    Purchase(Purchase<'a>),
    Engagement(Engagement<'a>),
    Feedback(Feedback<'a>),
}

/// The input topics, in the order in which positions are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Input {
    Purchases,
    Engagements,
    Feedback,
}

impl Input {
    pub const ALL: [Input; 3] = [Input::Purchases, Input::Engagements, Input::Feedback];

    /// Position in [`Input::ALL`], 0..3.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The topic's name where the configuration gives no other, also its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Input::Purchases => "purchases",
            Input::Engagements => "engagements",
            Input::Feedback => "feedback",
        }
    }
}

/// An order or its refund: what was bought, for how much, and by which means of payment.
#[derive(Debug, Clone, PartialEq)]
pub struct Purchase<'a> {
    /// Unique per event; a retry carries the same id and is dropped.
    pub event_id: Cow<'a, str>,
    /// None for a guest: item and sales facts are kept, no customer record is.
    pub customer: Option<Cow<'a, str>>,
    pub order: Cow<'a, str>,
    pub time_ms: TimeMs,
    pub lines: Vec<Line<'a>>,
    pub currency: Currency,
    /// Token of the card or account paid with.
    pub instrument: Option<Cow<'a, str>>,
    pub channel: Option<Cow<'a, str>>,
    /// Terminal or merchant.
    pub terminal: Option<Cow<'a, str>>,
    pub device: Option<Cow<'a, str>>,
    /// ISO 3166 alpha-2 or the shop's own name.
    pub country: Option<Cow<'a, str>>,
    /// True: the lines came back. Their quantities count against the customer whatever their sign.
    pub refund: bool,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq)]
pub struct Line<'a> {
    pub item: Cow<'a, str>,
    pub category: Option<Cow<'a, str>>,
    /// At least 1 in a purchase; any sign but 0 in a refund, where the amount of its value counts.
    pub quantity: i64,
    /// At least 0.
    pub unit_price_minor: i64,
}

impl Purchase<'_> {
    /// Sum over lines of |quantity| times unit price, in minor units; saturating.
    pub fn amount_minor(&self) -> i64 {
        self.lines.iter().fold(0_i64, |sum, line| {
            sum.saturating_add(line.quantity.saturating_abs().saturating_mul(line.unit_price_minor))
        })
    }

    /// What the record is keyed by: the customer, for a guest the order.
    pub fn key(&self) -> &str {
        self.customer.as_deref().unwrap_or(&self.order)
    }
}

/// ISO 4217 letters of a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Currency(pub [u8; 3]);

impl Currency {
    /// None unless `code` is three ASCII letters; lower case is raised.
    pub fn parse(code: &str) -> Option<Currency> {
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_alphabetic).then(|| Currency(bytes.map(|b| b.to_ascii_uppercase())))
    }

    pub fn as_str(&self) -> &str {
        // Only ASCII letters get in through `parse`.
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}

/// Anything a visitor does short of paying.
#[derive(Debug, Clone, PartialEq)]
pub struct Engagement<'a> {
    pub event_id: Cow<'a, str>,
    /// The customer's id, or the visitor's where nobody has logged in.
    pub customer: Cow<'a, str>,
    pub time_ms: TimeMs,
    pub kind: EngagementKind,
    pub session: Option<Cow<'a, str>>,
    pub item: Option<Cow<'a, str>>,
    pub category: Option<Cow<'a, str>>,
    /// Time spent, finite and at least 0.
    pub duration_seconds: Option<f64>,
    /// Search: the words.
    pub query: Option<Cow<'a, str>>,
    /// Experiment exposure: which experiment and which arm.
    pub experiment: Option<Cow<'a, str>>,
    pub variant: Option<Cow<'a, str>>,
    /// Identify: the visitor's id until now. Its history stays where it is.
    pub anonymous_id: Option<Cow<'a, str>>,
}

impl<'a> Engagement<'a> {
    /// One of which nothing else is known.
    pub fn new(
        event_id: impl Into<Cow<'a, str>>,
        customer: impl Into<Cow<'a, str>>,
        time_ms: TimeMs,
        kind: EngagementKind,
    ) -> Engagement<'a> {
        Engagement {
            event_id: event_id.into(),
            customer: customer.into(),
            time_ms,
            kind,
            session: None,
            item: None,
            category: None,
            duration_seconds: None,
            query: None,
            experiment: None,
            variant: None,
            anonymous_id: None,
        }
    }
}

/// What kind of engagement. The order is that of the Avro enum and must not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EngagementKind {
    View,
    Click,
    AddToCart,
    RemoveFromCart,
    Wishlist,
    Search,
    EmailOpen,
    EmailClick,
    Login,
    SupportContact,
    Unsubscribe,
    ExperimentExposure,
    Identify,
}

impl EngagementKind {
    pub const ALL: [EngagementKind; 13] = [
        EngagementKind::View,
        EngagementKind::Click,
        EngagementKind::AddToCart,
        EngagementKind::RemoveFromCart,
        EngagementKind::Wishlist,
        EngagementKind::Search,
        EngagementKind::EmailOpen,
        EngagementKind::EmailClick,
        EngagementKind::Login,
        EngagementKind::SupportContact,
        EngagementKind::Unsubscribe,
        EngagementKind::ExperimentExposure,
        EngagementKind::Identify,
    ];

    /// The symbol in Avro and JSON.
    pub fn symbol(self) -> &'static str {
        match self {
            EngagementKind::View => "view",
            EngagementKind::Click => "click",
            EngagementKind::AddToCart => "add_to_cart",
            EngagementKind::RemoveFromCart => "remove_from_cart",
            EngagementKind::Wishlist => "wishlist",
            EngagementKind::Search => "search",
            EngagementKind::EmailOpen => "email_open",
            EngagementKind::EmailClick => "email_click",
            EngagementKind::Login => "login",
            EngagementKind::SupportContact => "support_contact",
            EngagementKind::Unsubscribe => "unsubscribe",
            EngagementKind::ExperimentExposure => "experiment_exposure",
            EngagementKind::Identify => "identify",
        }
    }
}

/// A verdict on an earlier purchase: an analyst's, a chargeback's, the customer's own.
#[derive(Debug, Clone, PartialEq)]
pub struct Feedback<'a> {
    pub customer: Cow<'a, str>,
    /// The id of the purchase that is judged.
    pub event_id: Cow<'a, str>,
    pub verdict: Verdict,
    /// When the verdict was given.
    pub time_ms: TimeMs,
    /// Who said so: "analyst:7", "chargeback".
    pub source: Cow<'a, str>,
}

/// The order is that of the Avro enum and must not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    Fraud,
    Legitimate,
}

impl Verdict {
    /// As the schema has it.
    pub fn symbol(self) -> &'static str {
        match self {
            Verdict::Fraud => "fraud",
            Verdict::Legitimate => "legitimate",
        }
    }
}

impl Event<'_> {
    pub fn input(&self) -> Input {
        match self {
            Event::Purchase(_) => Input::Purchases,
            Event::Engagement(_) => Input::Engagements,
            Event::Feedback(_) => Input::Feedback,
        }
    }

    pub fn time_ms(&self) -> TimeMs {
        match self {
            Event::Purchase(p) => p.time_ms,
            Event::Engagement(e) => e.time_ms,
            Event::Feedback(f) => f.time_ms,
        }
    }

    /// None for a guest's purchase.
    pub fn customer(&self) -> Option<&str> {
        match self {
            Event::Purchase(p) => p.customer.as_deref(),
            Event::Engagement(e) => Some(&e.customer),
            Event::Feedback(f) => Some(&f.customer),
        }
    }

    /// What the event is keyed by in its topic.
    pub fn key(&self) -> &str {
        match self {
            Event::Purchase(p) => p.key(),
            Event::Engagement(e) => &e.customer,
            Event::Feedback(f) => &f.customer,
        }
    }

    /// The different items that the customer bought, viewed or picked, in their order, at most [`TAKEN_MAX`].
    pub fn taken(&self) -> Vec<&str> {
        use EngagementKind::{AddToCart, Click, View, Wishlist};
        match self {
            Event::Purchase(purchase) if !purchase.refund => {
                let mut items: Vec<&str> = Vec::with_capacity(purchase.lines.len().min(TAKEN_MAX));
                for line in &purchase.lines {
                    if items.len() < TAKEN_MAX && !items.contains(&&*line.item) {
                        items.push(&line.item);
                    }
                }
                items
            }
            Event::Engagement(engagement)
                if matches!(engagement.kind, View | Click | AddToCart | Wishlist) =>
            {
                engagement.item.as_deref().into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// The identity by which a repeat is recognised, 64 bits. Purchases and engagements have ids of
    /// their own; a verdict is the same when event, verdict, time and source are.
    pub fn dedupe_hash(&self) -> u64 {
        match self {
            Event::Purchase(p) => event_hash(&p.event_id),
            Event::Engagement(e) => xxh3_64_with_seed(e.event_id.as_bytes(), SEED_ENGAGEMENT),
            Event::Feedback(f) => {
                let id = xxh3_64_with_seed(f.event_id.as_bytes(), SEED_FEEDBACK);
                let said = xxh3_64_with_seed(f.source.as_bytes(), id ^ f.time_ms.cast_unsigned());
                said.wrapping_add(f.verdict as u64)
            }
        }
    }
}

/// Items of an order that are looked at; an order may have ten thousand lines.
pub const TAKEN_MAX: usize = 64;

/// Seeds that keep the kinds apart. On texts of up to 8 bytes the seed of xxh3 acts like one more exclusive
/// or, so that with seeds 0 and 1 "e77" and "e76" would be one; no two texts differ by these.
const SEED_ENGAGEMENT: u64 = 0xd6e8_feb8_6659_fd93;
const SEED_FEEDBACK: u64 = 0xa5a3_5625_8e9c_f1b7;

/// The 64 bits under which a purchase waits for its verdict.
pub fn event_hash(event_id: &str) -> u64 {
    xxh3_64_with_seed(event_id.as_bytes(), 0)
}

/// The 32 bits under which an item is known in a customer's record and in tables of items. Of 100 000 items about
/// one pair shares its bits; the two then pass for one.
pub fn item_hash(item: &str) -> u32 {
    // The upper half.
    (xxh3_64_with_seed(item.as_bytes(), 0) >> 32) as u32
}

/// Why a record cannot be applied; the name is the dead letter's reason and a metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reject {
    /// The bytes end too early, run on, or are no record of their schema.
    Malformed,
    /// The schema id in the header is not known.
    UnknownSchema,
    /// Text that is not UTF-8.
    InvalidText,
    /// A required field is missing, empty or too long.
    MissingField,
    /// NaN or infinite.
    NotFinite,
    /// Quantity below 1 outside a refund, 0 in one, a negative price, an unknown currency, no lines.
    InvalidValue,
    /// The record has no key or no value.
    MissingKey,
    /// Larger than the configured limit.
    TooLarge,
    /// Event time below the minimum or more than an hour after the record's own timestamp.
    ImplausibleTime,
    /// Older than the watermark.
    Late,
}

impl Reject {
    pub const ALL: [Reject; 10] = [
        Reject::Malformed,
        Reject::UnknownSchema,
        Reject::InvalidText,
        Reject::MissingField,
        Reject::NotFinite,
        Reject::InvalidValue,
        Reject::MissingKey,
        Reject::TooLarge,
        Reject::ImplausibleTime,
        Reject::Late,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Reject::Malformed => "malformed",
            Reject::UnknownSchema => "unknown_schema",
            Reject::InvalidText => "invalid_text",
            Reject::MissingField => "missing_field",
            Reject::NotFinite => "not_finite",
            Reject::InvalidValue => "invalid_value",
            Reject::MissingKey => "missing_key",
            Reject::TooLarge => "too_large",
            Reject::ImplausibleTime => "implausible_time",
            Reject::Late => "late",
        }
    }
}

/// Why a value is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    pub reason: Reject,
    /// For people: which field, which value. At most 256 bytes.
    pub detail: String,
}

/// A record of the control topic: what the operators decide while the service runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Control {
    /// A setting that changes what is published, never what state is. Takes effect at a batch boundary.
    Setting { name: String, value: String },
    /// Forget the customer. Changes state, so it is a step of every partition's journal.
    Erase { customer: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engagement(id: &str) -> Event<'_> {
        Event::Engagement(Engagement::new(id, "c", 0, EngagementKind::View))
    }

    /// Short ids that differ in a bit, of events of different kinds, are different events.
    #[test]
    fn short_ids_of_two_kinds_never_meet() {
        let ids: Vec<String> = (0..20_000).map(|n| format!("e{n}")).collect();
        let purchases: std::collections::BTreeSet<u64> = ids.iter().map(|id| event_hash(id)).collect();
        assert_eq!(purchases.len(), ids.len());
        assert!(ids.iter().all(|id| !purchases.contains(&engagement(id).dedupe_hash())));
    }
}
