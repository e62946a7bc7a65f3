//! Seeded traffic: purchases, engagements, verdicts; repeated, late, out of order, and unreadable ones.

use habitue::codec;
use habitue::edge::log::Place;
use habitue::edge::log::sim::SimLog;
use habitue::edge::shard::wire::partition_of;
use habitue::event::{
    Control, Currency, Engagement, EngagementKind, Event, Feedback, Line, Purchase, TimeMs, Verdict,
};
use habitue::math::rng::Rng;
use habitue::signal::Topic;

pub struct Traffic {
    dice: Rng,
    partitions: u32,
    next_id: u64,
    /// Encoded events that may come again: topic, partition, key, value.
    sent: Vec<(Topic, u32, String, Vec<u8>)>,
    /// Payments that may be judged: customer, event id, time.
    payments: Vec<(String, String, TimeMs)>,
    pub lateness_ms: TimeMs,
    pub erase: bool,
}

impl Traffic {
    pub fn new(seed: u64, partitions: u32, lateness_ms: TimeMs) -> Traffic {
        Traffic {
            dice: Rng::seeded(&[seed, 2]),
            partitions,
            next_id: 0,
            sent: Vec::new(),
            payments: Vec::new(),
            lateness_ms,
            erase: false,
        }
    }

    /// Writes one record of some kind.
    pub fn write(&mut self, log: &SimLog) {
        let now_ms = log.now_ms();
        match self.dice.below(100) {
            0..40 => self.purchase(log, now_ms),
            40..72 => self.engagement(log, now_ms),
            72..84 => self.feedback(log, now_ms),
            84..92 => self.repeat(log, now_ms),
            92..98 => self.garbage(log, now_ms),
            98 if self.erase => {
                let customer = format!("c{}", self.dice.below(40));
                let mut value = Vec::new();
                codec::encode_control(&Control::Erase { customer }, &mut value);
                log.append_record(Place::new(Topic::Control, 0), None, Some(&value), now_ms).unwrap();
            }
            _ => {}
        }
    }

    fn event_time(&mut self, now_ms: TimeMs) -> TimeMs {
        match self.dice.below(50) {
            // Far out of order: late where the watermark has passed.
            0 => now_ms - 5 * self.lateness_ms,
            1 => now_ms + 2 * 3_600_000,
            2 => 0,
            3..20 => now_ms - self.dice.below(self.lateness_ms as u64 / 2) as i64,
            _ => now_ms,
        }
    }

    fn id(&mut self) -> String {
        self.next_id += 1;
        format!("e{}", self.next_id)
    }

    fn send(&mut self, log: &SimLog, topic: Topic, event: &Event<'_>, now_ms: TimeMs) {
        let mut value = Vec::new();
        let id = match event {
            Event::Purchase(_) => codec::built_in::PURCHASE,
            Event::Engagement(_) => codec::built_in::ENGAGEMENT,
            Event::Feedback(_) => codec::built_in::FEEDBACK,
        };
        codec::encode_event(event, Some(id), &mut value);
        let key = event.key().to_owned();
        let partition = partition_of(&key, self.partitions);
        log.append_record(Place::new(topic, partition), Some(key.as_bytes()), Some(&value), now_ms).unwrap();
        self.sent.push((topic, partition, key, value));
    }

    pub fn purchase(&mut self, log: &SimLog, now_ms: TimeMs) {
        let event_id = self.id();
        let time_ms = self.event_time(now_ms);
        let customer = (self.dice.below(10) > 0).then(|| format!("c{}", self.dice.below(40)));
        let refund = self.dice.below(12) == 0;
        let wild = if self.dice.below(30) == 0 { 80 } else { 1 };
        let price = 100 + self.dice.below(4_000) as i64 * wild;
        let lines = (0..1 + self.dice.below(3))
            .map(|_| Line {
                item: format!("i{}", self.dice.below(50)).into(),
                category: None,
                quantity: 1 + self.dice.below(3) as i64,
                unit_price_minor: price,
            })
            .collect();
        let terminal = format!("t{}", self.dice.below(8));
        let purchase = Purchase {
            order: format!("o-{event_id}").into(),
            customer: customer.clone().map(Into::into),
            event_id: event_id.clone().into(),
            time_ms,
            lines,
            currency: Currency::parse("EUR").unwrap(),
            instrument: Some(format!("card{}", self.dice.below(60)).into()),
            channel: None,
            terminal: Some(terminal.into()),
            device: None,
            country: None,
            refund,
        };
        self.payments.push((customer.unwrap_or_else(|| format!("o-{event_id}")), event_id, time_ms));
        self.send(log, Topic::Purchases, &Event::Purchase(purchase), now_ms);
    }

    pub fn engagement(&mut self, log: &SimLog, now_ms: TimeMs) {
        let event_id = self.id();
        let time_ms = self.event_time(now_ms);
        let kind = EngagementKind::ALL[self.dice.below(13) as usize];
        let engagement = Engagement {
            event_id: event_id.into(),
            customer: format!("c{}", self.dice.below(40)).into(),
            time_ms,
            kind,
            session: None,
            item: Some(format!("i{}", self.dice.below(50)).into()),
            category: None,
            duration_seconds: Some(1.5),
            query: None,
            experiment: None,
            variant: None,
            anonymous_id: (kind == EngagementKind::Identify).then(|| "visitor".into()),
        };
        self.send(log, Topic::Engagements, &Event::Engagement(engagement), now_ms);
    }

    pub fn feedback(&mut self, log: &SimLog, now_ms: TimeMs) {
        if self.payments.is_empty() {
            return;
        }
        let chosen = self.dice.below(self.payments.len() as u64) as usize;
        let (customer, event_id, _) = self.payments.swap_remove(chosen);
        let fraud = self.dice.below(3) == 0;
        let feedback = Feedback {
            customer: customer.into(),
            event_id: event_id.into(),
            verdict: if fraud { Verdict::Fraud } else { Verdict::Legitimate },
            time_ms: now_ms,
            source: "analyst".into(),
        };
        self.send(log, Topic::Feedback, &Event::Feedback(feedback), now_ms);
    }

    fn repeat(&mut self, log: &SimLog, now_ms: TimeMs) {
        if self.sent.is_empty() {
            return;
        }
        // A retry follows soon.
        let from = self.sent.len().saturating_sub(30);
        let chosen = from + self.dice.below((self.sent.len() - from) as u64) as usize;
        let (topic, partition, key, value) = &self.sent[chosen];
        log.append_record(Place::new(*topic, *partition), Some(key.as_bytes()), Some(value), now_ms).unwrap();
    }

    fn garbage(&mut self, log: &SimLog, now_ms: TimeMs) {
        let topics = [Topic::Purchases, Topic::Engagements, Topic::Feedback];
        let topic = topics[self.dice.below(3) as usize];
        let partition = self.dice.below(u64::from(self.partitions)) as u32;
        let value: Vec<u8> = match self.dice.below(4) {
            0 => vec![0, 0, 0, 0, 99, 1, 2, 3],
            1 => b"not avro at all".to_vec(),
            2 => self.sent.last().map_or(Vec::new(), |(_, _, _, value)| value[..value.len() / 2].to_vec()),
            _ => vec![7; self.dice.below(3_000) as usize],
        };
        let key = (self.dice.below(4) > 0).then(|| format!("c{}", self.dice.below(40)));
        let key = key.as_ref().map(String::as_bytes);
        log.append_record(Place::new(topic, partition), key, Some(&value), now_ms).unwrap();
    }
}
