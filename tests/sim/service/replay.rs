//! The oracle: follows what lies committed in the log, from above, and checks that it is one story.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use habitue::analysis::Output;
use habitue::analysis::models::Models;
use habitue::codec::{self, Decoder};
use habitue::edge::log::sim::SimLog;
use habitue::edge::log::{OwnedRecord, Place, Record};
use habitue::edge::shard::contents::Contents;
use habitue::edge::shard::shared::Epoch;
use habitue::edge::shard::wire::Wire;
use habitue::engine::snapshot::Opened;
use habitue::engine::{self, Mode, Partition, RawRecord};
use habitue::event::{Control, Event, Input, Reject, Rejected};
use habitue::signal::fact::Fact;
use habitue::signal::journal::{Decision, Entry, Step};
use habitue::signal::{Signal, Source, Topic};

/// A partition's journal with all that it names.
pub struct Story<'a> {
    pub log: &'a SimLog,
    pub wire: &'a Wire,
    pub contents: &'a dyn Contents,
    pub engine: &'a Arc<engine::Config>,
    pub number: u32,
    pub record_bytes_max: usize,
    pub entries: Vec<(u64, Entry)>,
    /// Models that every instance began with.
    pub given: Models,
    inputs: [BTreeMap<u64, OwnedRecord>; 3],
    control: BTreeMap<u64, OwnedRecord>,
    models: Vec<Vec<OwnedRecord>>,
}

/// What a live replay says.
#[derive(Default)]
pub struct Told {
    pub signals: Vec<Signal>,
    pub facts: Vec<Fact>,
}

fn by_offset(log: &SimLog, topic: Topic, partition: u32) -> BTreeMap<u64, OwnedRecord> {
    let records = log.all_committed(Place::new(topic, partition)).unwrap();
    records.into_iter().map(|record| (record.offset, record)).collect()
}

impl<'a> Story<'a> {
    /// With the models whose contents are inline, or in `contents`.
    pub fn read(
        (log, wire, contents): (&'a SimLog, &'a Wire, &'a dyn Contents),
        engine: &'a Arc<engine::Config>,
        number: u32,
        record_bytes_max: usize,
    ) -> Story<'a> {
        let journal = log.all_committed(Place::new(Topic::Journal, number)).unwrap();
        let entry =
            |record: OwnedRecord| (record.offset, codec::decode_journal(&record.value.unwrap()).unwrap());
        Story {
            log,
            wire,
            contents,
            engine,
            number,
            record_bytes_max,
            entries: journal.into_iter().map(entry).collect(),
            given: Models::default(),
            inputs: Input::ALL.map(|input| by_offset(log, input.into(), number)),
            control: by_offset(log, Topic::Control, 0),
            models: (0..super::world::MODELS)
                .map(|partition| log.all_committed(Place::new(Topic::Models, partition)).unwrap())
                .collect(),
        }
    }

    /// Every input record is in exactly one run, in order.
    pub fn covers_every_record_once(&self) {
        for input in Input::ALL {
            let mut covered = Vec::new();
            for (_, entry) in &self.entries {
                for step in &entry.steps {
                    if let Step::Run { input: of, from, to } = step
                        && *of == input
                    {
                        covered
                            .extend(self.inputs[input.index()].range(*from..*to).map(|(offset, _)| *offset));
                    }
                }
            }
            let all: Vec<u64> = self.inputs[input.index()].keys().copied().collect();
            assert_eq!(
                covered,
                all,
                "{} of partition {}: runs and records differ",
                input.name(),
                self.number
            );
        }
    }

    /// Applies entries `from..to` to the partition. Live: with the models of each entry, collecting what is
    /// said; the decisions made must be the journalled ones.
    pub fn apply(&self, partition: &mut Partition, entries: std::ops::Range<usize>, mode: Mode) -> Told {
        let mut told = Told::default();
        let mut epoch = Epoch::new(habitue::analysis::Published::default(), super::world::MODELS, 10_000);
        epoch.whole = self.given.clone();
        let mut decoders = Input::ALL.map(|input| self.wire.decoder(input));
        for (_, entry) in &self.entries[entries] {
            if mode == Mode::Live {
                self.advance(&mut epoch, entry);
            }
            self.entry(partition, entry, mode, &epoch, &mut decoders, &mut told);
            assert_eq!(partition.close_batch(), entry.chain, "the chained hash differs");
        }
        told
    }

    fn advance(&self, epoch: &mut Epoch, entry: &Entry) {
        for (at, records) in self.models.iter().enumerate() {
            let until = entry.positions.models.get(at).copied().unwrap_or(0);
            let from = epoch.models[at];
            assert!(from <= until, "an entry has seen less of models than the one before");
            for record in records.iter().filter(|r| (from..until).contains(&r.offset)) {
                let (offset, timestamp_ms) = (record.offset, record.timestamp_ms);
                let (key, value) = (record.key.as_deref(), record.value.as_deref());
                let record = Record { place: record.place, offset, timestamp_ms, key, value };
                epoch.record(self.wire, self.contents, record).unwrap();
            }
            assert_eq!((epoch.unreadable, epoch.refused_rows), (0, 0));
            epoch.models[at] = epoch.models[at].max(until);
        }
    }

    fn entry(
        &self,
        partition: &mut Partition,
        entry: &Entry,
        mode: Mode,
        epoch: &Epoch,
        decoders: &mut [Decoder; 3],
        told: &mut Told,
    ) {
        let mut output = Output::default();
        let mut made: Vec<Decision> = Vec::new();
        let mut steps = entry.steps.iter().peekable();
        while let Some(step) = steps.next() {
            output.clear();
            match step {
                Step::Run { input, from, to } => {
                    for (offset, record) in self.inputs[input.index()].range(*from..*to) {
                        let undecodable = match steps.peek() {
                            Some(Step::Decision(Decision::Undecodable { reason })) if offset + 1 == *to => {
                                Some(*reason)
                            }
                            _ => None,
                        };
                        let undecodable = undecodable.filter(|_| mode == Mode::Follow);
                        self.record(
                            partition,
                            *input,
                            record,
                            undecodable,
                            mode,
                            epoch,
                            decoders,
                            &mut output,
                        );
                        made.append(&mut output.decisions);
                        told.signals.append(&mut output.signals);
                        told.facts.append(&mut output.facts);
                        output.clear();
                    }
                }
                Step::Tick { time_ms } => partition.tick(*time_ms, mode, epoch.view(), &mut output),
                Step::Idle { input } => {
                    partition.set_active(*input, false, mode, epoch.view(), &mut output);
                }
                Step::Active { input } => {
                    partition.set_active(*input, true, mode, epoch.view(), &mut output);
                }
                Step::Control { offset } => {
                    let value = self.control[offset].value.as_ref().unwrap();
                    let Control::Erase { customer } = codec::decode_control(value).unwrap() else {
                        panic!("control record {offset} erases nobody");
                    };
                    partition.erase(&customer);
                }
                Step::Decision(decision) => {
                    if mode == Mode::Live {
                        assert!(!made.is_empty(), "the journal has a decision that verify does not make");
                        assert_eq!(made.remove(0), *decision, "a decision is made otherwise");
                    } else {
                        partition.decide(decision);
                    }
                }
            }
            made.append(&mut output.decisions);
            told.signals.append(&mut output.signals);
            told.facts.append(&mut output.facts);
        }
        assert!(
            mode == Mode::Follow || made.is_empty(),
            "verify makes decisions that the journal lacks: {made:?}"
        );
    }

    #[allow(clippy::too_many_arguments)]
    fn record(
        &self,
        partition: &mut Partition,
        input: Input,
        record: &OwnedRecord,
        undecodable: Option<Reject>,
        mode: Mode,
        epoch: &Epoch,
        decoders: &mut [Decoder; 3],
        output: &mut Output,
    ) {
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let event = match undecodable {
            Some(reason) => Err(Rejected { reason, detail: String::new() }),
            None => self.decode(&mut decoders[input.index()], key, value),
        };
        let source = Source { input, partition: self.number, offset: record.offset };
        let raw = RawRecord { source, timestamp_ms: record.timestamp_ms, key, value };
        let view = epoch.view();
        partition.record(raw, event, mode, view, output);
    }

    fn decode<'r>(
        &self,
        decoder: &mut Decoder,
        key: Option<&[u8]>,
        value: Option<&'r [u8]>,
    ) -> Result<Event<'r>, Rejected> {
        habitue::edge::shard::customer::decode(decoder, key, value, self.record_bytes_max)
    }

    /// What the partition published must be what a live replay says, in order and to the byte.
    pub fn outputs_are(&self, told: &Told) {
        for topic in Signal::TOPICS {
            let published = self.log.all_committed(Place::new(topic, self.number)).unwrap();
            let said: Vec<&Signal> = told.signals.iter().filter(|signal| signal.topic() == topic).collect();
            assert_eq!(published.len(), said.len(), "{topic:?} of partition {}", self.number);
            for (record, signal) in published.iter().zip(said) {
                assert_eq!(record.value.as_ref().unwrap(), &self.wire.signal(signal), "{topic:?}");
                assert_eq!(record.key.as_deref(), Some(signal.key()));
            }
        }
    }

    /// Totals per customer, recounted from the inputs without the engine: what is not a dead letter and
    /// not a repeat counts once.
    pub fn recount(&self) -> BTreeMap<String, [i64; 6]> {
        let dead: BTreeSet<(usize, u64)> = self
            .log
            .all_committed(Place::new(Topic::DeadLetters, self.number))
            .unwrap()
            .iter()
            .map(|record| source_of(record.value.as_ref().unwrap()))
            .collect();
        let mut seen = BTreeSet::new();
        let mut totals: BTreeMap<String, [i64; 6]> = BTreeMap::new();
        let mut decoders = Input::ALL.map(|input| self.wire.decoder(input));
        for input in Input::ALL {
            for (offset, record) in &self.inputs[input.index()] {
                if dead.contains(&(input.index(), *offset)) {
                    continue;
                }
                let value = record.value.as_deref();
                let event = self.decode(&mut decoders[input.index()], record.key.as_deref(), value).unwrap();
                let id = match &event {
                    Event::Purchase(p) => format!("p{}", p.event_id),
                    Event::Engagement(e) => format!("e{}", e.event_id),
                    Event::Feedback(f) => format!("f{}-{}", f.event_id, f.time_ms),
                };
                let Some(customer) = event.customer() else { continue };
                if seen.insert(id) {
                    count(totals.entry(customer.to_owned()).or_default(), &event);
                }
            }
        }
        totals
    }
}

fn count(totals: &mut [i64; 6], event: &Event<'_>) {
    match event {
        Event::Purchase(p) => {
            let amount: i64 = p.lines.iter().map(|line| line.quantity.abs() * line.unit_price_minor).sum();
            let at = if p.refund { 1 } else { 0 };
            totals[at] += 1;
            totals[2 + at] += amount;
        }
        Event::Engagement(_) => totals[4] += 1,
        Event::Feedback(_) => totals[5] += 1,
    }
}

/// Input and offset of a dead letter.
fn source_of(value: &[u8]) -> (usize, u64) {
    let letter = super::letter::decode(value);
    (letter.0, letter.1)
}

/// The totals of a partition's table, as [`Story::recount`] gives them.
pub fn totals_of(partition: &Partition) -> BTreeMap<String, [i64; 6]> {
    let profiles =
        partition.customers().iter().map(|(_, customer)| (customer.id.to_string(), &customer.profile));
    profiles
        .map(|(id, p)| {
            let counts = [p.purchases, p.refunds].map(i64::from);
            let money = [p.amount_minor, p.refunded_minor];
            let rest = [p.engagements, p.feedbacks].map(i64::from);
            (id, [counts[0], counts[1], money[0], money[1], rest[0], rest[1]])
        })
        .collect()
}

/// Invariant 2: a snapshot at any entry, restored and continued, is the uninterrupted run to the byte.
pub fn replay_is_equality(story: &Story<'_>, cut: usize) -> Vec<u8> {
    let all = story.entries.len();
    let position = story.entries.last().map_or(0, |(offset, _)| offset + 1);
    let mut whole = Partition::new(story.number, Arc::clone(story.engine));
    story.apply(&mut whole, 0..all, Mode::Follow);
    let (whole, _) = whole.freeze(position).encode();

    let mut first = Partition::new(story.number, Arc::clone(story.engine));
    story.apply(&mut first, 0..cut, Mode::Follow);
    let (bytes, _) = first.freeze(1).encode();
    let opened = Opened::read(&bytes).unwrap();
    let mut second = Partition::restore(&opened, story.number, Arc::clone(story.engine)).unwrap();
    story.apply(&mut second, cut..all, Mode::Follow);
    let (second, _) = second.freeze(position).encode();
    assert!(
        whole == second,
        "partition {}: restored at entry {cut} of {all}, the state differs",
        story.number
    );
    whole
}
