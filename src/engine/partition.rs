//! The customer stage's partition: one event in, state moved, signals and facts out.

mod due;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::Xxh3;

use super::Config;
use super::dedupe::Dedupe;
use super::snapshot::{Identity, Opened, Snapshot, SnapshotError};
use super::timers::Timers;
use super::watermark::Watermark;
use crate::analysis::{CustomerSide, Opinion, Output, REGISTRY, View};
use crate::customer::table::Table;
use crate::customer::{Customer, CustomerKey, customer_key};
use crate::event::{Event, Input, Reject, Rejected, TimeMs, item_hash};
use crate::math::hash::IdSet;
use crate::signal::journal::Decision;
use crate::signal::{DeadLetter, Signal, Source};

/// Live makes decisions, speaks and remembers; Follow takes decisions from the journal and is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Live,
    Follow,
}

/// Bytes of a record's key that its dead letter keeps: with the raw value it must fit into a record of the
/// default size, and a key may be as long as a record.
const DEAD_LETTER_KEY_BYTES_MAX: usize = 1024;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    Event,
    Duplicate,
    Rejected(Reject),
}

/// A record as it came, for the case that it must be kept as a dead letter.
#[derive(Debug, Clone, Copy)]
pub struct RawRecord<'a> {
    pub source: Source,
    /// The log's own timestamp.
    pub timestamp_ms: TimeMs,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

/// Counts since the partition's first step; part of state, so that two replays can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Events folded in, by input.
    pub applied: [u64; Input::ALL.len()],
    pub duplicates: u64,
    /// Dead letters by [`Reject`].
    pub dead: [u64; Reject::ALL.len()],
    pub guests: u64,
    /// Customers forgotten because of silence, lack of room, or on request.
    pub expired: u64,
    pub evicted: u64,
    pub erased: u64,
    /// Visitors that turned out to be a customer; their history stays where it is.
    pub identified: u64,
}

/// State of one partition of the customer stage.
pub struct Partition {
    number: u32,
    config: Arc<Config>,
    fold_version: u64,
    table: Table,
    timers: Timers,
    dedupe: Dedupe,
    watermark: Watermark,
    totals: Totals,
    /// Of the record applied last: what a timer says is named after it.
    newest: Option<Source>,
    analyses: Vec<Box<dyn CustomerSide>>,
    chain: u64,
    touched: Vec<CustomerKey>,
    touched_set: IdSet<CustomerKey>,
    scratch: Vec<u8>,
}

impl Partition {
    pub fn new(number: u32, config: Arc<Config>) -> Partition {
        Partition {
            number,
            fold_version: config.fold_version(),
            table: Table::default(),
            timers: Timers::default(),
            dedupe: Dedupe::new(config.dedupe_ids as usize),
            watermark: Watermark::default(),
            totals: Totals::default(),
            newest: None,
            analyses: REGISTRY.iter().map(|d| (d.customer)(&config.analysis)).collect(),
            chain: 0,
            touched: Vec::new(),
            touched_set: IdSet::default(),
            scratch: Vec::new(),
            config,
        }
    }

    /// Applies one record: dead letter, duplicate, or event. Follow mode must be given `Err` for a
    /// record that the journal calls undecodable.
    pub fn record(
        &mut self,
        raw: RawRecord<'_>,
        event: Result<Event<'_>, Rejected>,
        mode: Mode,
        view: View<'_>,
        output: &mut Output,
    ) -> Applied {
        let event = match event {
            Ok(event) => event,
            Err(rejected) => {
                output.decisions.push(Decision::Undecodable { reason: rejected.reason });
                self.reject(raw, rejected.reason, rejected.detail, mode, output);
                return Applied::Rejected(rejected.reason);
            }
        };
        let dedupe_hash = event.dedupe_hash();
        let slot = event.customer().and_then(|id| self.table.slot(customer_key(id)));
        let seen = slot.and_then(|slot| self.table.get(slot)).is_some_and(|c| c.has_seen(dedupe_hash));
        if seen || self.dedupe.contains(dedupe_hash) {
            self.totals.duplicates += 1;
            return Applied::Duplicate;
        }
        if let Some((reason, detail)) = self.untimely(&event, raw.timestamp_ms) {
            self.reject(raw, reason, detail, mode, output);
            return Applied::Rejected(reason);
        }
        self.dedupe.insert(dedupe_hash);
        self.apply(raw.source, &event, slot, dedupe_hash, mode, view, output);
        let input = raw.source.input;
        self.totals.applied[input.index()] += 1;
        self.watermark.observe(input, event.time_ms(), raw.timestamp_ms, self.config.lateness_ms);
        self.newest = Some(raw.source);
        self.fire(mode, view, output);
        Applied::Event
    }

    /// Score, then learn: this is the one place where an event meets the analyses.
    #[allow(clippy::too_many_arguments, reason = "one caller; a struct would only rename the locals")]
    fn apply(
        &mut self,
        source: Source,
        event: &Event<'_>,
        slot: Option<u32>,
        dedupe_hash: u64,
        mode: Mode,
        view: View<'_>,
        output: &mut Output,
    ) {
        let decided = output.decisions.len();
        for analysis in &mut self.analyses {
            let customer = slot.and_then(|slot| self.table.get(slot));
            analysis.assess(event, customer);
            if mode == Mode::Live {
                analysis.judge(source, event, customer, view, output);
            }
            analysis.learn(event);
        }
        self.fold(event, slot, dedupe_hash);
        if mode == Mode::Live {
            self.decide_all(output, decided);
        }
    }

    fn fold(&mut self, event: &Event<'_>, slot: Option<u32>, dedupe_hash: u64) {
        let Some(id) = event.customer() else {
            self.totals.guests += 1;
            return;
        };
        // A verdict may be read before its purchase, on another topic: it makes its customer known too,
        // so that totals do not depend on the order.
        let slot = slot.unwrap_or_else(|| self.admit(id, event.time_ms()));
        let session_gap_ms = self.config.session_gap_ms;
        let taken: Vec<u32> = event.taken().into_iter().map(item_hash).collect();
        let (key, ordered_before, ordered) = self.table.change(slot, |customer| {
            let ordered_before = customer.orders.last_day();
            match event {
                Event::Purchase(purchase) => customer.purchase(purchase, dedupe_hash),
                Event::Engagement(engagement) => {
                    customer.engagement(engagement, dedupe_hash, session_gap_ms);
                }
                Event::Feedback(feedback) => customer.feedback(feedback, dedupe_hash),
            }
            customer.take(&taken, event.time_ms(), matches!(event, Event::Purchase(_)));
            (customer.key(), ordered_before, customer.orders.last_day())
        });
        if let Event::Engagement(engagement) = event {
            self.totals.identified += u64::from(engagement.anonymous_id.is_some());
        }
        if let Some(day) = ordered.filter(|_| ordered != ordered_before) {
            self.arm_silence(slot, day);
        }
        self.touch(key);
    }

    /// Makes a decision of this or an earlier run take effect.
    pub fn decide(&mut self, decision: &Decision) {
        if let Decision::Remember { analysis, customer, memory } = decision
            && let Some(slot) = self.table.slot(*customer)
        {
            self.table.change(slot, |record| record.memory.set(*analysis, memory));
            self.touch(*customer);
        }
    }

    /// A live decision takes effect the way a replayed one does: those of the output from `from` on.
    fn decide_all(&mut self, output: &Output, from: usize) {
        output.decisions[from..].iter().for_each(|decision| self.decide(decision));
    }

    /// Time passed while nothing came. Decisions of timers are appended to the output, as those of a record.
    pub fn tick(&mut self, time_ms: TimeMs, mode: Mode, view: View<'_>, output: &mut Output) {
        self.watermark.tick(time_ms, self.config.lateness_ms);
        self.fire(mode, view, output);
    }

    /// An input no longer holds back the watermark, or does again.
    pub fn set_active(
        &mut self,
        input: Input,
        active: bool,
        mode: Mode,
        view: View<'_>,
        output: &mut Output,
    ) {
        self.watermark.set_active(input, active, self.config.lateness_ms);
        self.fire(mode, view, output);
    }

    /// Forgets a customer on request.
    pub fn erase(&mut self, id: &str) {
        let key = customer_key(id);
        if let Some(slot) = self.table.slot(key) {
            self.drop_customer(slot);
            self.totals.erased += 1;
        }
    }

    /// Ends a batch: the chained hash of every record touched since the last call, in first-touch order.
    pub fn close_batch(&mut self) -> u64 {
        let mut hash = Xxh3::new();
        hash.update(&self.chain.to_le_bytes());
        let touched = std::mem::take(&mut self.touched);
        for key in &touched {
            hash.update(&key.to_le_bytes());
            if let Some(customer) = self.table.slot(*key).and_then(|slot| self.table.get(slot)) {
                self.scratch.clear();
                let scratch = std::mem::take(&mut self.scratch);
                self.scratch = postcard::to_extend(customer, scratch).expect("plain data always serialises");
                hash.update(&self.scratch);
            }
        }
        self.scratch.clear();
        self.scratch = postcard::to_extend(
            &(&self.watermark, &self.totals, &self.newest),
            std::mem::take(&mut self.scratch),
        )
        .expect("plain data always serialises");
        hash.update(&self.scratch);
        self.touched = touched;
        self.touched.clear();
        self.touched_set.clear();
        self.chain = hash.digest();
        self.chain
    }

    /// A snapshot as of now, which is journal offset `position`. Cheap: pages are shared, not copied.
    pub fn freeze(&self, position: u64) -> Snapshot {
        assert!(self.touched.is_empty(), "a snapshot is cut between batches");
        let mut snapshot = Snapshot::new(self.identity(position));
        let table = self.table.freeze();
        let clock = (self.watermark.clone(), self.totals.clone(), self.newest, self.chain);
        snapshot.section("customers", 3, Box::new(move || table.encode()));
        snapshot.section("dedupe", 1, Box::new(self.dedupe.freeze()));
        snapshot.section(
            "clock",
            2,
            Box::new(move || postcard::to_allocvec(&clock).expect("plain data always serialises")),
        );
        for (descriptor, analysis) in REGISTRY.iter().zip(&self.analyses) {
            snapshot.section(descriptor.name, descriptor.version, analysis.freeze());
        }
        snapshot
    }

    /// The partition of a snapshot.
    ///
    /// # Errors
    /// When the snapshot is of another partition or fold, or one of its sections is refused.
    pub fn restore(opened: &Opened, number: u32, config: Arc<Config>) -> Result<Partition, SnapshotError> {
        let mut partition = Partition::new(number, config);
        opened.expect("customer", number, partition.fold_version)?;
        opened.restore("customers", 3, |bytes| {
            partition.table = Table::decode(bytes)?;
            Ok(())
        })?;
        opened.restore("dedupe", 1, |bytes| partition.dedupe.restore(bytes))?;
        opened.restore("clock", 2, |bytes| {
            (partition.watermark, partition.totals, partition.newest, partition.chain) =
                postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
            Ok(())
        })?;
        for (descriptor, analysis) in REGISTRY.iter().zip(&mut partition.analyses) {
            opened.restore(descriptor.name, descriptor.version, |bytes| analysis.restore(bytes))?;
        }
        partition.timers = Timers::of(&partition.table);
        Ok(partition)
    }

    /// Whether a tick of this time would fire a timer. A tick has no other effect.
    pub fn has_due(&self, time_ms: TimeMs) -> bool {
        let may = self.watermark.may_tick(self.config.lateness_ms);
        may && self.timers.next_due_ms().is_some_and(|due_ms| due_ms <= time_ms)
    }

    /// Whether timers are due that the steps so far had no room for.
    pub fn is_behind(&self) -> bool {
        self.timers.next_due_ms().is_some_and(|due_ms| due_ms <= self.watermark.clock_ms())
    }

    pub fn number(&self) -> u32 {
        self.number
    }

    pub fn fold_version(&self) -> u64 {
        self.fold_version
    }

    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    pub fn watermark(&self) -> &Watermark {
        &self.watermark
    }

    pub fn customers(&self) -> &Table {
        &self.table
    }

    /// What each analysis that has something to say without an event thinks of the customer at `now_ms`, by name.
    pub fn opinions(
        &self,
        customer: &Customer,
        now_ms: TimeMs,
        view: View<'_>,
    ) -> Vec<(&'static str, Opinion)> {
        let sides = REGISTRY.iter().zip(&self.analyses);
        let said =
            sides.map(|(of, side)| Some((of.name, side.opinion(customer, self.number, now_ms, view)?)));
        said.flatten().collect()
    }

    /// Bytes of state by section.
    pub fn bytes(&self) -> Vec<(&'static str, usize)> {
        let mut sections = vec![
            ("customers", self.table.bytes()),
            ("timers", self.timers.bytes()),
            ("dedupe", self.dedupe.bytes()),
        ];
        sections.extend(REGISTRY.iter().zip(&self.analyses).map(|(d, analysis)| (d.name, analysis.bytes())));
        sections
    }

    fn identity(&self, position: u64) -> Identity {
        let (partition, fold_version) = (self.number, self.fold_version);
        Identity { stage: "customer".into(), partition, fold_version, position }
    }

    fn untimely(&self, event: &Event<'_>, timestamp_ms: TimeMs) -> Option<(Reject, String)> {
        let time_ms = event.time_ms();
        let latest_ms = timestamp_ms.saturating_add(self.config.ahead_max_ms);
        if time_ms < self.config.time_min_ms || time_ms > latest_ms {
            let detail = format!("time_ms {time_ms} is not within {}..={latest_ms}", self.config.time_min_ms);
            return Some((Reject::ImplausibleTime, detail));
        }
        self.watermark.is_late(time_ms).then(|| {
            (Reject::Late, format!("time_ms {time_ms} is before the watermark {}", self.watermark.mark_ms()))
        })
    }

    fn reject(
        &mut self,
        raw: RawRecord<'_>,
        reason: Reject,
        detail: String,
        mode: Mode,
        output: &mut Output,
    ) {
        self.totals.dead[reason as usize] += 1;
        if mode == Mode::Follow {
            return;
        }
        let (key, value) = (raw.key.unwrap_or_default(), raw.value.unwrap_or_default());
        let kept = value.len().min(self.config.dead_letter_bytes_max as usize);
        output.signals.push(Signal::DeadLetter(DeadLetter {
            source: raw.source,
            reason,
            detail,
            timestamp_ms: raw.timestamp_ms,
            key: key[..key.len().min(DEAD_LETTER_KEY_BYTES_MAX)].to_vec(),
            raw: value[..kept].to_vec(),
            length: value.len() as u64,
            sha256: Sha256::digest(value).into(),
        }));
    }

    fn touch(&mut self, key: CustomerKey) {
        if self.touched_set.insert(key) {
            self.touched.push(key);
        }
    }
}
