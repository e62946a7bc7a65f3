//! What the service has said lately, as it stands in the log: the newest alerts with the verdicts on them, and the last
//! signals of each customer. Read by HTTP, never by the engine; whatever is not here any more is in the topics.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use serde_json::Value;
use tokio::sync::broadcast;

use crate::codec::Decoder;
use crate::edge::log::{Log, LogError, Place, Reader, Record};
use crate::edge::shard::threads::Stop;
use crate::edge::shard::wire::Wire;
use crate::event::{Event, Feedback, Input, TimeMs, Verdict};
use crate::signal::Topic;

/// Alerts kept.
const ALERTS_MAX: usize = 10_000;
/// Verdicts kept, and those read back of each partition: a shop may send one for each payment.
const VERDICTS_MAX: usize = 50_000;
/// Customers with signals kept; those longest without one go first.
const CUSTOMERS_MAX: usize = 20_000;
/// Signals kept of a customer, of each topic but lists, of which only the last is asked for: they are long.
const OF_CUSTOMER_MAX: usize = 5;
/// At the start, so many scores, lists and dead letters of each partition are read back.
const READ_BACK: u64 = 2_000;
/// Signals that a slow listener may be behind before it misses some.
const LISTENER_BEHIND_MAX: usize = 1_024;

/// What is followed: the topics of signals, and verdicts.
pub const FOLLOWED: [Topic; 5] =
    [Topic::Alerts, Topic::Scores, Topic::DeadLetters, Topic::Recommendations, Topic::Feedback];

/// A signal or a verdict as it lies in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub topic: Topic,
    pub partition: u32,
    pub offset: u64,
    /// Wall time at which it was written.
    pub timestamp_ms: TimeMs,
    /// The record's key.
    pub customer: String,
    /// The record's value.
    pub bytes: Vec<u8>,
}

/// Share it in an `Arc`.
pub struct Recent {
    wire: Arc<Wire>,
    alerts: Mutex<VecDeque<Arc<Told>>>,
    verdicts: Mutex<Verdicts>,
    customers: DashMap<String, OfCustomer>,
    /// Customers by their last signal, oldest first; some stand here more than once.
    order: Mutex<VecDeque<(String, u64)>>,
    listeners: broadcast::Sender<Arc<Told>>,
    /// Signals heard.
    heard: AtomicU64,
}

/// The last verdict on each of the newest payments that got one.
struct Verdicts {
    decoder: Decoder,
    /// By customer and event, with the number under which it was heard.
    by_event: BTreeMap<(String, String), (u64, Judged)>,
    /// Customer and event by that, the oldest first; some stand here more than once.
    order: VecDeque<((String, String), u64)>,
}

struct Judged {
    verdict: Verdict,
    source: String,
    time_ms: TimeMs,
}

#[derive(Default)]
struct OfCustomer {
    /// Newest last.
    by_topic: BTreeMap<Topic, VecDeque<Arc<Told>>>,
    /// Number of the last signal.
    number: u64,
}

impl Recent {
    pub fn new(wire: Arc<Wire>) -> Recent {
        let decoder = wire.decoder(Input::Feedback);
        Recent {
            wire,
            alerts: Mutex::default(),
            verdicts: Mutex::new(Verdicts { decoder, by_event: BTreeMap::new(), order: VecDeque::new() }),
            customers: DashMap::new(),
            order: Mutex::default(),
            listeners: broadcast::Sender::new(LISTENER_BEHIND_MAX),
            heard: AtomicU64::new(0),
        }
    }

    /// A signal as JSON, with where it lies, and an alert with the last verdict on its payment, or null; `unreadable` says
    /// why where it cannot be read.
    pub fn show(&self, told: &Told) -> Value {
        let mut shown = match self.wire.show(told.topic, &told.bytes) {
            Ok(shown @ Value::Object(_)) => shown,
            Ok(other) => serde_json::json!({ "value": other }),
            Err(error) => serde_json::json!({ "unreadable": error }),
        };
        if told.topic == Topic::Alerts {
            let event = shown["event_id"].as_str().unwrap_or_default();
            shown["verdict"] = lock(&self.verdicts).on(event, &told.customer);
        }
        shown["at"] = serde_json::json!({
            "topic": told.topic.name(),
            "partition": told.partition,
            "offset": told.offset,
            "written_ms": told.timestamp_ms,
        });
        shown
    }

    /// The newest alerts that `wanted` takes, newest first by when they were written, equal ones by partition and offset.
    pub fn alerts(&self, limit: usize, mut wanted: impl FnMut(&Told) -> bool) -> Vec<Arc<Told>> {
        lock(&self.alerts).iter().rev().filter(|told| wanted(told)).take(limit).cloned().collect()
    }

    /// The last signals of a customer in a topic, newest first.
    pub fn of_customer(&self, customer: &str, topic: Topic) -> Vec<Arc<Told>> {
        let known = self.customers.get(customer);
        let told = known.as_ref().and_then(|known| known.by_topic.get(&topic));
        told.map(|told| told.iter().rev().cloned().collect()).unwrap_or_default()
    }

    /// All that is told from now on.
    pub fn listen(&self) -> broadcast::Receiver<Arc<Told>> {
        self.listeners.subscribe()
    }

    /// Reads back a little, then follows the topics of signals until `stop`.
    ///
    /// # Errors
    /// What the log says other than "not yet".
    pub fn follow<L: Log>(&self, log: &L, stop: &Stop) -> Result<(), LogError> {
        let mut reader = log.reader()?;
        let mut places = patiently(stop, || begin(log, &mut reader))?;
        assign(&mut reader, &places)?;
        while !stop.is_set() {
            self.turn(&mut reader, &mut places, Duration::from_millis(100))?;
        }
        Ok(())
    }

    /// Hears what has come, and tells what is new.
    fn turn<R: Reader>(&self, reader: &mut R, places: &mut Places, wait: Duration) -> Result<(), LogError> {
        let polled = reader.poll(wait, &mut |record| {
            let Record { place, offset, .. } = record;
            let told = self.hear(record);
            let at = places.entry(place).or_default();
            at.next = offset + 1;
            if offset >= at.new {
                // Nobody may be listening.
                let _ = self.listeners.send(told);
            }
        });
        match polled {
            Ok(_) | Err(LogError::Retry(_)) => Ok(()),
            // Deleted while we were behind: what is left of it is enough here, and the other places go on.
            Err(LogError::OutOfRange { place, low, .. }) => {
                places.entry(place).or_default().next = low;
                assign(reader, places)
            }
            Err(error) => Err(error),
        }
    }

    fn hear(&self, record: Record<'_>) -> Arc<Told> {
        let number = self.heard.fetch_add(1, Ordering::Relaxed);
        let Place { topic, partition } = record.place;
        let told = Arc::new(Told {
            topic,
            partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            customer: String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned(),
            bytes: record.value.unwrap_or_default().to_vec(),
        });
        match topic {
            Topic::Alerts => insert(&mut lock(&self.alerts), Arc::clone(&told)),
            Topic::Feedback => lock(&self.verdicts).hear(number, &told.bytes),
            _ => {}
        }
        if !matches!(topic, Topic::DeadLetters | Topic::Feedback) {
            self.remember(Arc::clone(&told), number);
        }
        told
    }

    fn remember(&self, told: Arc<Told>, number: u64) {
        let customer = told.customer.clone();
        let mut known = self.customers.entry(customer.clone()).or_default();
        known.number = number;
        let kept = if told.topic == Topic::Recommendations { 1 } else { OF_CUSTOMER_MAX };
        push(known.by_topic.entry(told.topic).or_default(), told, kept);
        drop(known);
        let mut order = lock(&self.order);
        order.push_back((customer, number));
        while order.len() > CUSTOMERS_MAX && self.customers.len() > CUSTOMERS_MAX {
            let Some((customer, number)) = order.pop_front() else { break };
            self.customers.remove_if(&customer, |_, known| known.number == number);
        }
        // Of few customers with many signals: only the last of each says who goes first.
        if order.len() > 4 * CUSTOMERS_MAX {
            let is_last = |customer: &String, number| {
                self.customers.get(customer).is_some_and(|known| known.number == number)
            };
            order.retain(|(customer, number)| is_last(customer, *number));
        }
    }
}

impl Verdicts {
    /// Null where there is none on this customer's payment.
    fn on(&self, event: &str, customer: &str) -> Value {
        let known = self.by_event.get(&(customer.to_owned(), event.to_owned()));
        known.map_or(Value::Null, |(_, Judged { verdict, source, time_ms })| {
            serde_json::json!({ "verdict": verdict.symbol(), "source": source, "time_ms": time_ms })
        })
    }

    fn hear(&mut self, number: u64, bytes: &[u8]) {
        // What cannot be read is in the dead letters.
        let Ok(Event::Feedback(feedback)) = self.decoder.decode(bytes) else { return };
        let Feedback { customer, event_id, verdict, source, time_ms } = feedback;
        let key = (customer.into_owned(), event_id.into_owned());
        // One of long ago takes nothing back.
        if self.by_event.get(&key).is_some_and(|(_, last)| last.time_ms > time_ms) {
            return;
        }
        self.by_event.insert(key.clone(), (number, Judged { verdict, source: source.into_owned(), time_ms }));
        self.order.push_back((key, number));
        while self.order.len() > VERDICTS_MAX {
            let Some((key, number)) = self.order.pop_front() else { break };
            if self.by_event.get(&key).is_some_and(|(newest, _)| *newest == number) {
                self.by_event.remove(&key);
            }
        }
    }
}

/// By the time at which they were written, then by their place: partitions are heard one after the other, at the start
/// and in every poll.
fn insert(alerts: &mut VecDeque<Arc<Told>>, new: Arc<Told>) {
    let written = |told: &Told| (told.timestamp_ms, told.partition, told.offset);
    let later = alerts.iter().rev().take_while(|told| written(told) > written(&new)).count();
    alerts.insert(alerts.len() - later, new);
    if alerts.len() > ALERTS_MAX {
        alerts.pop_front();
    }
}

fn push<T>(queue: &mut VecDeque<T>, new: T, len_max: usize) {
    if queue.len() == len_max {
        queue.pop_front();
    }
    queue.push_back(new);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where each place is followed.
type Places = BTreeMap<Place, At>;

#[derive(Debug, Default)]
struct At {
    /// Read next.
    next: u64,
    /// What lies before was said before we listened, and is told to nobody.
    new: u64,
}

fn begin<L: Log>(log: &L, reader: &mut L::Reader) -> Result<Places, LogError> {
    let mut places = Places::new();
    for topic in FOLLOWED {
        for partition in 0..log.partitions(topic)?.unwrap_or(0) {
            let place = Place::new(topic, partition);
            let ends = reader.ends(place)?;
            let read_back = match topic {
                Topic::Feedback => VERDICTS_MAX as u64,
                // All of them may lie in one partition.
                Topic::Alerts => ALERTS_MAX as u64,
                _ => READ_BACK,
            };
            let next = ends.low.max(ends.stable.saturating_sub(read_back));
            places.insert(place, At { next, new: ends.stable });
        }
    }
    Ok(places)
}

fn assign<R: Reader>(reader: &mut R, places: &Places) -> Result<(), LogError> {
    reader.assign(&places.iter().map(|(place, at)| (*place, at.next)).collect::<Vec<_>>())
}

fn patiently<T>(stop: &Stop, mut ask: impl FnMut() -> Result<T, LogError>) -> Result<T, LogError> {
    loop {
        match ask() {
            Err(LogError::Retry(_)) if !stop.is_set() => std::thread::sleep(Duration::from_millis(100)),
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::log::sim::{SimConfig, SimLog};
    use crate::event::Currency;
    use crate::signal::{Alert, Signal, SignalId, Source};

    fn recent() -> Recent {
        let schemas = crate::codec::SchemaSet::new(Vec::<(u32, &str)>::new()).expect("built in");
        let wire = Wire::new(schemas, Default::default(), Default::default());
        Recent::new(Arc::new(wire.expect("built-in schemas fit")))
    }

    #[test]
    fn every_place_is_followed_on_when_one_was_deleted_under_the_reader() {
        let (log, recent) = (SimLog::new(SimConfig::new(1, 2)), recent());
        let tell = |topic, key: &str| {
            log.append_record(Place::new(topic, 0), Some(key.as_bytes()), Some(b"x"), 0).expect("written");
        };
        for _ in 0..3 {
            tell(Topic::Scores, "ada");
        }
        let mut reader = log.reader().expect("a reader");
        let mut next = begin(&log, &mut reader).expect("ends");
        assign(&mut reader, &next).expect("assigned");
        log.delete_before(Place::new(Topic::Scores, 0), 2).expect("deleted");
        tell(Topic::Alerts, "bob");
        for _ in 0..20 {
            recent.turn(&mut reader, &mut next, Duration::ZERO).expect("read");
        }
        let offsets: Vec<u64> =
            recent.of_customer("ada", Topic::Scores).iter().map(|told| told.offset).collect();
        assert_eq!(offsets, [2], "what is left of the place");
        assert_eq!(recent.of_customer("bob", Topic::Alerts).len(), 1, "the other places");
    }

    #[test]
    fn alerts_stand_in_the_order_in_which_they_were_written() {
        let recent = recent();
        // As they are read back: one place after the other.
        for (partition, offset, timestamp_ms) in
            [(0, 0, 10), (0, 1, 40), (2, 0, 5), (2, 1, 40), (1, 0, 20), (1, 1, 40), (1, 2, 50)]
        {
            let place = Place::new(Topic::Alerts, partition);
            recent.hear(Record { place, offset, timestamp_ms, key: Some(b"ada"), value: Some(b"x") });
        }
        let told = recent.alerts(9, |_| true);
        let times: Vec<_> = told.iter().map(|told| (told.timestamp_ms, told.partition)).collect();
        assert_eq!(times, [(50, 1), (40, 2), (40, 1), (40, 0), (20, 1), (10, 0), (5, 2)], "newest first");
    }

    #[test]
    fn an_alert_shows_the_last_verdict_on_its_payment() {
        let recent = recent();
        let hear = |topic, offset, value: &[u8]| {
            let place = Place::new(topic, 0);
            recent.hear(Record { place, offset, timestamp_ms: 0, key: Some(b"ada"), value: Some(value) });
        };
        let judge_as = |offset, customer: &'static str, event_id: &str, verdict, source: &str, time_ms| {
            let feedback = Feedback {
                customer: customer.into(),
                event_id: event_id.into(),
                verdict,
                time_ms,
                source: source.into(),
            };
            hear(Topic::Feedback, offset, &recent.wire.event(&Event::Feedback(feedback), b""));
        };
        let judge =
            |offset, event: &str, verdict, source: &str| judge_as(offset, "ada", event, verdict, source, 7);
        let source = Source { input: Input::Purchases, partition: 0, offset: 0 };
        let alert = Alert {
            id: SignalId(1),
            customer: "ada".into(),
            event_id: "p1".into(),
            order: "o1".into(),
            time_ms: 5,
            source,
            risk: 900,
            amount_minor: 100,
            currency: Currency::parse("EUR").expect("a currency"),
            terminal: None,
            instrument: None,
            reasons: Vec::new(),
        };
        hear(Topic::Alerts, 0, &recent.wire.signal(&Signal::Alert(alert)));
        let verdict = || recent.show(&recent.alerts(1, |_| true)[0])["verdict"].clone();
        assert_eq!(verdict(), Value::Null);
        hear(Topic::Feedback, 0, b"unreadable");
        judge(1, "p2", Verdict::Fraud, "analyst:1");
        assert_eq!(verdict(), Value::Null);
        judge(2, "p1", Verdict::Fraud, "analyst:1");
        judge(3, "p1", Verdict::Legitimate, "analyst:2");
        let last = serde_json::json!({ "verdict": "legitimate", "source": "analyst:2", "time_ms": 7 });
        assert_eq!(verdict(), last);
        judge_as(4, "ada", "p1", Verdict::Fraud, "of long ago", 6);
        judge_as(5, "eve", "p1", Verdict::Fraud, "of another's payment", 8);
        assert_eq!(verdict(), last);
        // One that is said again and again takes the place of others, never its own newest.
        (0..VERDICTS_MAX as u64).for_each(|more| judge(6 + more, "p1", Verdict::Legitimate, "analyst:2"));
        assert_eq!(verdict(), last);
        let verdicts = lock(&recent.verdicts);
        assert_eq!((verdicts.by_event.len(), verdicts.order.len()), (1, VERDICTS_MAX));
    }

    #[test]
    fn the_last_signals_are_kept_and_the_rest_forgotten() {
        let (log, recent) = (SimLog::new(SimConfig::new(1, 2)), recent());
        let mut listener = recent.listen();
        let tell = |topic, key: &str, number: u8| {
            let place = Place::new(topic, 0);
            log.append_record(place, Some(key.as_bytes()), Some(&[number]), 0).expect("written");
        };
        for number in 0..8 {
            tell(Topic::Scores, "ada", number);
        }
        tell(Topic::Alerts, "bob", 9);
        tell(Topic::Recommendations, "ada", 1);
        tell(Topic::Recommendations, "ada", 2);
        let mut reader = log.reader().expect("a reader");
        let mut places = begin(&log, &mut reader).expect("ends");
        assign(&mut reader, &places).expect("assigned");
        let mut read = || {
            for _ in 0..20 {
                recent.turn(&mut reader, &mut places, Duration::ZERO).expect("read");
            }
        };
        read();
        assert!(listener.try_recv().is_err(), "what was said before is told to nobody");
        tell(Topic::DeadLetters, "bob", 3);
        read();
        assert_eq!(listener.try_recv().expect("what is new is").topic, Topic::DeadLetters);
        let of_ada: Vec<u8> =
            recent.of_customer("ada", Topic::Scores).iter().map(|told| told.bytes[0]).collect();
        assert_eq!(of_ada, [7, 6, 5, 4, 3], "newest first");
        let lists = recent.of_customer("ada", Topic::Recommendations);
        assert_eq!(lists.iter().map(|told| told.bytes[0]).collect::<Vec<_>>(), [2], "the last one alone");
        assert_eq!(recent.alerts(10, |_| true).len(), 1);
        assert_eq!(recent.alerts(10, |told| told.customer == "ada").len(), 0);
        assert!(recent.show(&recent.alerts(1, |_| true)[0])["unreadable"].is_string());
        assert!(recent.show(&recent.alerts(1, |_| true)[0])["verdict"].is_null());
        let hear = |number: u64, key: &str| {
            let place = Place::new(Topic::Scores, 1);
            recent.hear(Record {
                place,
                offset: number,
                timestamp_ms: 0,
                key: Some(key.as_bytes()),
                value: None,
            });
        };
        (0..5 * CUSTOMERS_MAX as u64).for_each(|number| hear(number, "eve"));
        assert_eq!(recent.of_customer("ada", Topic::Scores).len(), 5, "many signals are not many customers");
        assert!(lock(&recent.order).len() <= 4 * CUSTOMERS_MAX);
        (0..=CUSTOMERS_MAX as u64).for_each(|number| hear(number, &format!("c{number}")));
        assert!(recent.customers.len() <= CUSTOMERS_MAX);
        assert!(recent.of_customer("ada", Topic::Scores).is_empty(), "longest without a signal");
    }
}
