//! The customer stage on a log: decode, apply, write down.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::{Due, Part};
use super::shared::Epoch;
use super::{Environment, INPUT_TOPICS, Stage};
use crate::analysis::{Output, REGISTRY, anomaly};
use crate::codec::Decoder;
use crate::edge::log::{Appender, Group, Log, Outgoing, Place, Record};
use crate::edge::metrics::ShardStats;
use crate::engine::journal::EntryBuilder;
use crate::engine::snapshot::Snapshot;
use crate::engine::{Applied, Mode, Partition, RawRecord};
use crate::event::{Event, Input, Reject, Rejected, TimeMs};
use crate::signal::journal::{Positions, Step};
use crate::signal::{Signal, Source, Topic};

mod follow;
mod restore;
pub mod verify;
pub use restore::CustomerRestore;

/// A live partition, its positions, and its journal entry under construction.
pub struct CustomerState {
    pub partition: Partition,
    pub positions: Positions,
    entry: EntryBuilder,
    /// Wall time at which each input last gave a record, the newest of all events was applied, and the
    /// last tick was added.
    heard_ms: [TimeMs; Input::ALL.len()],
    newest_heard_ms: TimeMs,
    ticked_ms: TimeMs,
}

impl CustomerState {
    pub fn new(partition: Partition, positions: Positions, now_ms: TimeMs) -> CustomerState {
        CustomerState {
            partition,
            positions,
            entry: EntryBuilder::default(),
            heard_ms: [now_ms; Input::ALL.len()],
            newest_heard_ms: now_ms,
            ticked_ms: now_ms,
        }
    }
}

/// The customer stage of one shard.
pub struct CustomerStage<L: Log> {
    environment: Environment<L>,
    decoders: [Decoder; Input::ALL.len()],
    output: Output,
    /// The lane for alerts that may repeat.
    fast: Option<L::Appender>,
}

impl<L: Log> CustomerStage<L> {
    /// `fast`: where alerts go at once, before they are committed; None for no such lane.
    pub fn new(environment: Environment<L>, fast: Option<L::Appender>) -> CustomerStage<L> {
        let decoders = Input::ALL.map(|input| environment.wire.decoder(input));
        CustomerStage { environment, decoders, output: Output::default(), fast }
    }

    /// An empty output, to be given back to `said`.
    fn cleared(&mut self) -> Output {
        let mut output = std::mem::take(&mut self.output);
        output.clear();
        output
    }

    /// Writes down what the step said that the entry was given last.
    fn said(
        &mut self,
        mut output: Output,
        state: &mut CustomerState,
        now_ms: TimeMs,
        part: &mut Part,
        stats: &mut ShardStats,
    ) {
        state.entry.decisions(output.decisions.drain(..));
        for signal in output.signals.drain(..) {
            self.emit(&signal, state.partition.number(), now_ms, part, stats);
        }
        output.facts.drain(..).for_each(|fact| part.fact(fact));
        for hit in output.hits.drain(..) {
            let counts = stats.hits.entry(hit.source).or_default();
            counts[usize::from(hit.hit)] += 1;
        }
        self.output = output;
        part.full = state.entry.bytes() + (32 << 10) > self.environment.config.entry_bytes_max;
    }

    fn emit(
        &mut self,
        signal: &Signal,
        partition: u32,
        now_ms: TimeMs,
        part: &mut Part,
        stats: &mut ShardStats,
    ) {
        let wire = &self.environment.wire;
        let outgoing = Outgoing {
            place: Place::new(signal.topic(), partition),
            key: signal.key().to_vec(),
            value: Some(wire.signal(signal)),
            timestamp_ms: now_ms,
        };
        match signal {
            Signal::Alert(_) => *stats.alerts.entry(anomaly::DESCRIPTOR.name).or_default() += 1,
            Signal::Score(score) => {
                if let Some(analysis) = REGISTRY.iter().find(|d| d.name == score.analysis) {
                    *stats.scores.entry(analysis.name).or_default() += 1;
                }
            }
            Signal::Recommendation(_) => stats.recommendations += 1,
            Signal::DeadLetter(_) => {}
        }
        if let (Signal::Alert(_), Some(fast)) = (signal, &mut self.fast) {
            let place = Place::new(Topic::AlertsFast, partition);
            let sent = fast.append(&Outgoing { place, ..outgoing.clone() });
            match sent.and_then(|()| fast.flush(Duration::ZERO)) {
                Ok(_) => *stats.alerts_fast.entry(anomaly::DESCRIPTOR.name).or_default() += 1,
                Err(error) => tracing::warn!(%error, "the fast lane missed an alert; the exact lane has it"),
            }
        }
        part.push(outgoing);
    }
}

/// What a record says, or why it cannot be read.
pub fn decode<'a>(
    decoder: &mut Decoder,
    key: Option<&[u8]>,
    value: Option<&'a [u8]>,
    bytes_max: usize,
) -> Result<Event<'a>, Rejected> {
    let reject = |reason, detail: String| Err(Rejected { reason, detail });
    let Some(value) = value else { return reject(Reject::MissingKey, "the record has no value".into()) };
    if key.is_none_or(<[u8]>::is_empty) {
        return reject(Reject::MissingKey, "the record has no key".into());
    }
    if value.len() > bytes_max {
        return reject(Reject::TooLarge, format!("{} bytes, at most {bytes_max} are taken", value.len()));
    }
    decoder.decode(value)
}

pub(super) fn input_of(topic: Topic) -> Option<Input> {
    Input::ALL.into_iter().find(|input| Topic::from(*input) == topic)
}

impl<L: Log> Stage<L> for CustomerStage<L> {
    type State = CustomerState;
    type Restore = CustomerRestore<L>;

    const GROUP: Group = Group::Customer;

    fn environment(&self) -> &Environment<L> {
        &self.environment
    }

    fn restore(&self, partition: u32, committed: Option<u64>) -> CustomerRestore<L> {
        CustomerRestore::new(self.environment.clone(), partition, committed)
    }

    fn positions(&self, state: &CustomerState) -> Vec<(Place, u64)> {
        let places = INPUT_TOPICS.map(|topic| Place::new(topic, state.partition.number()));
        places.into_iter().zip(state.positions.inputs).collect()
    }

    fn open(&mut self, state: &mut CustomerState, epoch: &Epoch, part: &mut Part) {
        let from = epoch.erasures.partition_point(|(offset, _)| *offset < state.positions.control);
        for (offset, customer) in &epoch.erasures[from..] {
            state.partition.erase(customer);
            state.entry.step(Step::Control { offset: *offset });
            part.applied += 1;
        }
        state.positions.control = state.positions.control.max(epoch.control);
        state.positions.models.clone_from(&epoch.models);
    }

    fn record(
        &mut self,
        state: &mut CustomerState,
        record: Record<'_>,
        epoch: &Epoch,
        part: &mut Part,
        stats: &mut ShardStats,
    ) {
        let Some(input) = input_of(record.place.topic) else { return };
        let partition = record.place.partition;
        let now_ms = self.environment.clock.now_ms();
        state.positions.inputs[input.index()] = record.offset + 1;
        if !state.partition.watermark().is_active(input) {
            let mut output = self.cleared();
            state.partition.set_active(input, true, Mode::Live, epoch.view(), &mut output);
            state.entry.step(Step::Active { input });
            self.said(output, state, now_ms, part, stats);
        }
        let bytes_max = self.environment.config.record_bytes_max;
        let decoder = &mut self.decoders[input.index()];
        let began = Instant::now();
        let event = decode(decoder, record.key, record.value, bytes_max);
        let decoded = Instant::now();
        stats.decode[input.index()].observe(decoded - began);
        if let Ok(event) = &event {
            let belongs = super::wire::partition_of(event.key(), self.environment.config.partitions);
            stats.misplaced_keys[input.index()] += u64::from(belongs != partition);
            state.heard_ms[input.index()] = now_ms;
            if state.partition.watermark().newest_ms().is_none_or(|newest| event.time_ms() >= newest) {
                state.newest_heard_ms = now_ms;
            }
        }
        let source = Source { input, partition, offset: record.offset };
        let raw =
            RawRecord { source, timestamp_ms: record.timestamp_ms, key: record.key, value: record.value };
        let mut output = self.cleared();
        match state.partition.record(raw, event, Mode::Live, epoch.view(), &mut output) {
            Applied::Event => stats.events[input.index()] += 1,
            Applied::Duplicate => stats.duplicates[input.index()] += 1,
            Applied::Rejected(reason) => stats.dead_letter(input, reason),
        }
        stats.apply.observe(decoded.elapsed());
        state.entry.record(input, record.offset);
        self.said(output, state, now_ms, part, stats);
        part.applied += 1;
        part.written_ms.push(record.timestamp_ms);
    }

    fn quiet(
        &mut self,
        state: &mut CustomerState,
        at_end: &dyn Fn(Place) -> bool,
        epoch: &Epoch,
        part: &mut Part,
        stats: &mut ShardStats,
    ) {
        if self.environment.shared.epoch().causes > epoch.causes {
            // Only the next batch will see them.
            part.due = Due::AtOnce;
        }
        let config = Arc::clone(&self.environment.config);
        let now_ms = self.environment.clock.now_ms();
        let number = state.partition.number();
        let ended = Input::ALL.map(|input| at_end(Place::new(input.into(), number)));
        for input in Input::ALL {
            let silent_ms = now_ms - state.heard_ms[input.index()];
            let is_active = state.partition.watermark().is_active(input);
            if ended[input.index()] && is_active && silent_ms >= config.idle_after_ms {
                let mut output = self.cleared();
                state.partition.set_active(input, false, Mode::Live, epoch.view(), &mut output);
                state.entry.step(Step::Idle { input });
                self.said(output, state, now_ms, part, stats);
                part.applied += 1;
            }
        }
        let all_ended = ended.iter().all(|ended| *ended);
        let is_time = now_ms - state.ticked_ms >= config.tick_interval_ms || state.partition.is_behind();
        if !all_ended || !is_time || part.full {
            return;
        }
        let Some(newest_ms) = state.partition.watermark().newest_ms() else { return };
        let time_ms = newest_ms.saturating_add(now_ms - state.newest_heard_ms);
        if state.partition.has_due(time_ms) {
            state.ticked_ms = now_ms;
            let mut output = self.cleared();
            state.partition.tick(time_ms, Mode::Live, epoch.view(), &mut output);
            state.entry.step(Step::Tick { time_ms });
            self.said(output, state, now_ms, part, stats);
            part.applied += 1;
        }
    }

    fn close(&mut self, state: &mut CustomerState, _epoch: &Epoch, part: &mut Part) {
        let partition = &mut state.partition;
        let chain = partition.close_batch();
        let (number, fold_version) = (partition.number(), partition.fold_version());
        let entry = std::mem::take(&mut state.entry);
        let entry = entry.finish(number, fold_version, state.positions.clone(), chain);
        part.entries.push(Outgoing {
            place: Place::new(Topic::Journal, number),
            key: number.to_string().into_bytes(),
            value: Some(self.environment.wire.entry(&entry)),
            timestamp_ms: self.environment.clock.now_ms(),
        });
        part.offsets.extend(self.positions(state));
    }

    fn freeze(&self, state: &CustomerState) -> Snapshot {
        let positions = state.positions.clone();
        let mut snapshot = state.partition.freeze(0);
        snapshot.section(
            "positions",
            1,
            Box::new(move || postcard::to_allocvec(&positions).expect("plain data always serialises")),
        );
        snapshot
    }
}

impl<L: Log> Drop for CustomerStage<L> {
    fn drop(&mut self) {
        if let Some(fast) = &mut self.fast {
            let _ = fast.flush(Duration::from_secs(1));
        }
    }
}
