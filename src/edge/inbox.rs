//! Questions about one customer, answered by the shard that owns the record, between events.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::oneshot;

use crate::analysis::{Opinion, recommend};
use crate::customer::Customer;
use crate::customer::repurchase::Bought;
use crate::edge::shard::shared::Epoch;
use crate::engine::Partition;
use crate::event::TimeMs;

/// Questions of one partition that may wait.
const QUESTIONS_MAX: usize = 256;
const DAY_MS: TimeMs = 86_400_000;

/// Share it in an `Arc`.
#[derive(Debug, Default)]
pub struct Inbox {
    questions: Mutex<BTreeMap<u32, Vec<Question>>>,
    /// What each partition here takes nothing below any more.
    watermarks: Mutex<BTreeMap<u32, TimeMs>>,
}

#[derive(Debug)]
struct Question {
    customer: String,
    answer: oneshot::Sender<Option<Record>>,
}

impl Inbox {
    /// Asks the owner of the partition. None where too many wait already; what is received is None where there
    /// is no such customer.
    pub fn ask(&self, partition: u32, customer: &str) -> Option<oneshot::Receiver<Option<Record>>> {
        let mut questions = self.lock();
        let waiting = questions.entry(partition).or_default();
        // Those whose asker has gone take no place.
        waiting.retain(|question| !question.answer.is_closed());
        if waiting.len() == QUESTIONS_MAX {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        waiting.push(Question { customer: customer.to_owned(), answer });
        Some(answered)
    }

    /// Answers all that wait for this partition.
    pub fn answer(&self, partition: &Partition, epoch: &Epoch) {
        let questions = self.lock().remove(&partition.number()).unwrap_or_default();
        for question in questions {
            let slot = partition.customers().slot(crate::customer::customer_key(&question.customer));
            let customer = slot.and_then(|slot| partition.customers().get(slot));
            // The asker may have gone.
            let _ = question.answer.send(customer.map(|customer| Record::of(customer, partition, epoch)));
        }
    }

    /// Whether something waits for the partition.
    pub fn is_asked(&self, partition: u32) -> bool {
        self.lock().contains_key(&partition)
    }

    /// The partition is given up: who waits hears at once that nobody answers here.
    pub fn forget(&self, partition: u32) {
        self.lock().remove(&partition);
        self.watermarks.lock().unwrap_or_else(PoisonError::into_inner).remove(&partition);
    }

    /// A partition's watermark as it is now.
    pub fn passed(&self, partition: &Partition) {
        // Before every active input was heard there is none.
        if partition.watermark().mark_ms() > TimeMs::MIN {
            let mut watermarks = self.watermarks.lock().unwrap_or_else(PoisonError::into_inner);
            watermarks.insert(partition.number(), partition.watermark().mark_ms());
        }
    }

    /// The largest watermark of the partitions that are here; None while none has seen an event.
    pub fn watermark_ms(&self) -> Option<TimeMs> {
        let watermarks = self.watermarks.lock().unwrap_or_else(PoisonError::into_inner);
        watermarks.values().max().copied()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Vec<Question>>> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A customer's record for people. Money is in minor units, times are event time in ms since 1970, UTC.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    pub customer: String,
    pub partition: u32,
    /// The newest event time that the partition has applied.
    pub as_of_ms: Option<TimeMs>,
    pub profile: ProfileView,
    pub orders: OrdersView,
    pub session: SessionView,
    /// The last 16, newest first.
    pub payments: Vec<PaymentView>,
    /// What is bought again and again, most expected first.
    pub repurchases: Vec<RepurchaseView>,
    /// What each analysis would say now, without an event.
    pub opinions: Vec<OpinionView>,
    /// What would be recommended now.
    pub recommendations: Vec<RecommendedView>,
    pub bytes: usize,
}

#[derive(Debug, Clone, Serialize)]
pub struct ProfileView {
    /// None, as the next, of who is known by verdicts alone.
    pub first_ms: Option<TimeMs>,
    pub last_ms: Option<TimeMs>,
    pub purchases: u32,
    pub refunds: u32,
    pub engagements: u32,
    pub verdicts: u32,
    pub frauds: u32,
    pub units: i64,
    pub amount_minor: i64,
    pub refunded_minor: i64,
    pub currency: Option<String>,
    pub unsubscribed: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct OrdersView {
    /// Days with an order after the first.
    pub repeats: u32,
    pub mean_gap_days: Option<f64>,
    /// Days since the last order, as of the newest event.
    pub silence_days: Option<i64>,
    /// A payment as it is usual for the customer.
    pub usual_minor: Option<f64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct SessionView {
    pub sessions: u32,
    pub events: u32,
    pub views: u32,
    pub carts: u32,
    pub searches: u32,
    pub last_ms: Option<TimeMs>,
}

#[derive(Debug, Clone, Serialize)]
pub struct PaymentView {
    pub time_ms: TimeMs,
    pub amount_minor: f64,
}

#[derive(Debug, Clone, Serialize)]
pub struct RepurchaseView {
    /// The item's name where it is known, else its hash.
    pub item: String,
    pub count: u16,
    pub interval_days: Option<f64>,
    pub last_ms: TimeMs,
}

#[derive(Debug, Clone, Serialize)]
pub struct OpinionView {
    pub analysis: &'static str,
    #[serde(flatten)]
    pub opinion: Opinion,
}

#[derive(Debug, Clone, Serialize)]
pub struct RecommendedView {
    pub item: String,
    pub score: f64,
    pub source: String,
    pub reason: String,
}

impl Record {
    fn of(customer: &Customer, partition: &Partition, epoch: &Epoch) -> Record {
        let as_of_ms = partition.watermark().newest_ms();
        let now_ms = as_of_ms.unwrap_or(customer.profile.last_ms);
        let payments = customer.velocity.payments();
        let mut payments: Vec<PaymentView> =
            payments.map(|(time_ms, amount_minor)| PaymentView { time_ms, amount_minor }).collect();
        payments.reverse();
        let ranked = customer.repurchases.ranked(now_ms);
        let items = usize::from(epoch.published.recommend.items);
        Record {
            customer: customer.id.to_string(),
            partition: partition.number(),
            as_of_ms,
            profile: profile(customer),
            orders: orders(customer, now_ms),
            session: session(customer),
            payments,
            repurchases: ranked.into_iter().map(|(bought, _)| repurchase(bought, epoch)).collect(),
            opinions: partition
                .opinions(customer, now_ms, epoch.view())
                .into_iter()
                .map(|(analysis, opinion)| OpinionView { analysis, opinion })
                .collect(),
            recommendations: recommendations(customer, epoch, items, now_ms),
            bytes: customer.bytes(),
        }
    }
}

fn profile(customer: &Customer) -> ProfileView {
    let profile = &customer.profile;
    ProfileView {
        first_ms: (profile.first_ms <= profile.last_ms).then_some(profile.first_ms),
        last_ms: (profile.first_ms <= profile.last_ms).then_some(profile.last_ms),
        purchases: profile.purchases,
        refunds: profile.refunds,
        engagements: profile.engagements,
        verdicts: profile.feedbacks,
        frauds: profile.frauds,
        units: profile.units,
        amount_minor: profile.amount_minor,
        refunded_minor: profile.refunded_minor,
        currency: profile.currency.map(|currency| currency.as_str().to_owned()),
        unsubscribed: profile.unsubscribed,
    }
}

fn orders(customer: &Customer, now_ms: TimeMs) -> OrdersView {
    let last_day = customer.orders.last_day();
    OrdersView {
        repeats: customer.orders.repeats(),
        mean_gap_days: customer.orders.mean_gap_days(),
        silence_days: last_day.map(|day| now_ms.div_euclid(DAY_MS) - i64::from(day)),
        usual_minor: customer.velocity.baseline.usual_minor(),
    }
}

fn session(customer: &Customer) -> SessionView {
    let session = &customer.session;
    SessionView {
        sessions: session.sessions,
        events: session.events,
        views: session.views,
        carts: session.carts,
        searches: session.searches,
        last_ms: (session.sessions > 0).then_some(session.last_ms),
    }
}

fn repurchase(bought: Bought, epoch: &Epoch) -> RepurchaseView {
    let row = epoch.tables.row(recommend::ITEMS, recommend::item_key(bought.item));
    let item = row.map(|row| row.text.to_string());
    let span_days = f64::from(bought.last_day - bought.first_day);
    RepurchaseView {
        item: item.unwrap_or_else(|| format!("#{:08x}", bought.item)),
        count: bought.count,
        interval_days: (bought.count > 1).then(|| span_days / f64::from(bought.count - 1)),
        last_ms: i64::from(bought.last_day) * DAY_MS,
    }
}

fn recommendations(customer: &Customer, epoch: &Epoch, n: usize, now_ms: TimeMs) -> Vec<RecommendedView> {
    let items = recommend::list_now(customer, &epoch.tables, n, now_ms);
    let one = |item: crate::signal::RecommendedItem<'_>| RecommendedView {
        item: item.item.to_owned(),
        score: item.score,
        source: item.source.to_owned(),
        reason: item.reason.to_owned(),
    };
    items.iter().map(one).collect()
}
