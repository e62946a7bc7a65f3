//! The customer record: all that is kept of one customer, a fold of that customer's own events.
//!
//! The record never depends on a shared model, table or threshold, so that a replay of the customer's
//! events gives the same bytes. What must remember a publication lies apart, in [`Memory`].

mod days;
pub mod orders;
mod profile;
pub mod repurchase;
mod session;
pub mod table;
mod velocity;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

pub use profile::Profile;
pub use session::Session;
pub use velocity::{Baseline, Velocity};

use crate::event::{Engagement, Feedback, Purchase, TimeMs};
use crate::math::recent::Recent;
use orders::{Orders, day_of};
use repurchase::Repurchases;

/// Key of a customer in a partition's table: 128 bits of the id, so that two customers never meet.
pub type CustomerKey = u128;

/// The key of a customer's id.
pub fn customer_key(id: &str) -> CustomerKey {
    xxh3_128(id.as_bytes())
}

/// Kinds of timers a record may have armed; the numbers are part of the snapshot format.
pub const TIMER_KINDS: usize = 2;

/// The record has not been touched for the retention and may be dropped.
pub const TIMER_EXPIRE: usize = 0;

/// The customer has not ordered for so long that analyses look again.
pub const TIMER_SILENCE: usize = 1;

/// No timer of this kind is armed.
pub const NOT_ARMED: TimeMs = TimeMs::MAX;

/// One customer. Some 400 bytes, and more for what was bought and paid: at most 1 KiB, [`Customer::bytes`] tells; where
/// the id is longer than 40 bytes, so much more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Customer {
    pub id: Arc<str>,
    pub profile: Profile,
    pub orders: Orders,
    pub velocity: Velocity,
    pub session: Session,
    /// The items taken last, by hash.
    pub taken: Recent,
    pub repurchases: Repurchases,
    /// Hashes of the last 8 event ids; the next is written at `recent_next`.
    recent: [u64; 8],
    recent_next: u8,
    /// Due times by timer kind; [`NOT_ARMED`] where there is none. The engine's timer index is built
    /// from these.
    pub timers: [TimeMs; TIMER_KINDS],
    pub memory: Memory,
}

impl Customer {
    pub fn new(id: &str) -> Customer {
        Customer {
            id: id.into(),
            profile: Profile::new(),
            orders: Orders::default(),
            velocity: Velocity::default(),
            session: Session::default(),
            taken: Recent::default(),
            repurchases: Repurchases::default(),
            recent: [0; 8],
            recent_next: 0,
            timers: [NOT_ARMED; TIMER_KINDS],
            memory: Memory::default(),
        }
    }

    pub fn key(&self) -> CustomerKey {
        customer_key(&self.id)
    }

    /// Whether the event is among the customer's last 8.
    pub fn has_seen(&self, dedupe_hash: u64) -> bool {
        self.recent.contains(&dedupe_hash)
    }

    fn see(&mut self, dedupe_hash: u64) {
        self.recent[usize::from(self.recent_next)] = dedupe_hash;
        self.recent_next = (self.recent_next + 1) % 8;
    }

    pub fn purchase(&mut self, purchase: &Purchase<'_>, dedupe_hash: u64) {
        self.see(dedupe_hash);
        let amount_minor = purchase.amount_minor();
        self.profile.purchase(purchase, amount_minor);
        if !purchase.refund {
            self.orders.add(day_of(purchase.time_ms));
            self.velocity.payment(purchase.time_ms, amount_minor, purchase.terminal.as_deref());
        }
    }

    /// `session_gap_ms`: a pause longer than this starts a new session.
    pub fn engagement(&mut self, engagement: &Engagement<'_>, dedupe_hash: u64, session_gap_ms: TimeMs) {
        self.see(dedupe_hash);
        self.profile.engagement(engagement);
        self.session.engagement(engagement, session_gap_ms);
    }

    pub fn feedback(&mut self, feedback: &Feedback<'_>, dedupe_hash: u64) {
        self.see(dedupe_hash);
        self.profile.feedback(feedback);
    }

    /// Items were bought, viewed or picked.
    pub fn take(&mut self, items: &[u32], time_ms: TimeMs, bought: bool) {
        for item in items {
            self.taken.push(*item);
            if bought {
                self.repurchases.purchase(*item, time_ms);
            }
        }
    }

    /// Own size and heap, in bytes.
    pub fn bytes(&self) -> usize {
        size_of::<Customer>() + self.heap_bytes()
    }

    /// The id with the counts in front of it, and what else lies outside the record.
    fn heap_bytes(&self) -> usize {
        self.id.len() + 16 + self.velocity.bytes() + self.repurchases.bytes() + self.memory.bytes()
    }
}

/// What analyses must remember of what they published about the customer, a few bytes each. Written
/// only by decisions, which stand in the journal.
///
/// One piece: analysis, length and bytes of each in turn, in the order of the analyses.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory(Box<[u8]>);

impl Memory {
    /// Bytes of one analysis' memory at most; a longer one is a fault of the analysis.
    pub const BYTES_MAX: usize = 48;

    pub fn get(&self, analysis: u8) -> Option<&[u8]> {
        self.entries().find(|(id, _)| *id == analysis).map(|(_, bytes)| bytes)
    }

    pub fn set(&mut self, analysis: u8, bytes: &[u8]) {
        assert!(bytes.len() <= Memory::BYTES_MAX, "an analysis remembers {} bytes", bytes.len());
        if let Some(known) = self.get_mut(analysis).filter(|known| known.len() == bytes.len()) {
            return known.copy_from_slice(bytes);
        }
        let mut all: Vec<(u8, &[u8])> = self.entries().filter(|(id, _)| *id != analysis).collect();
        all.push((analysis, bytes));
        all.sort_by_key(|(id, _)| *id);
        let mut packed = Vec::with_capacity(all.iter().map(|(_, bytes)| 2 + bytes.len()).sum());
        for (id, bytes) in all {
            packed.extend([id, bytes.len() as u8]);
            packed.extend_from_slice(bytes);
        }
        self.0 = packed.into();
    }

    /// Of the heap.
    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    fn get_mut(&mut self, analysis: u8) -> Option<&mut [u8]> {
        let mut rest = &mut *self.0;
        loop {
            let (&mut [id, length], after) = rest.split_first_chunk_mut::<2>()?;
            let (bytes, after) = after.split_at_mut_checked(usize::from(length))?;
            if id == analysis {
                return Some(bytes);
            }
            rest = after;
        }
    }

    fn entries(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (&[id, length], after) = rest.split_first_chunk::<2>()?;
            let (bytes, after) = after.split_at_checked(usize::from(length))?;
            rest = after;
            Some((id, bytes))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_everything_has_less_than_a_kibibyte() {
        let new = Customer::new(&"c".repeat(40)).bytes();
        assert!(new < 450, "{new} bytes");
        let mut customer = Customer::new(&"c".repeat(40));
        for day in 0..40 {
            customer.velocity.payment(day * orders::DAY_MS, 100, Some("terminal"));
            customer.take(&[day as u32], day * orders::DAY_MS, true);
        }
        for descriptor in crate::analysis::REGISTRY {
            customer.memory.set(descriptor.id, &vec![7; descriptor.memory_bytes_max]);
        }
        assert_eq!(customer.velocity.bytes() + customer.repurchases.bytes(), 16 * 8 + 31 * 6 + 20 * 10);
        assert!(customer.bytes() <= 1_024, "{} bytes", customer.bytes());
    }

    #[test]
    fn memory_keeps_the_newest_of_each_analysis() {
        let mut memory = Memory::default();
        assert_eq!(memory.get(1), None);
        memory.set(7, &[9; Memory::BYTES_MAX]);
        memory.set(1, b"ab");
        memory.set(3, b"");
        memory.set(1, b"cde");
        assert_eq!(memory.get(1), Some(&b"cde"[..]));
        assert_eq!((memory.get(3), memory.get(2)), (Some(&b""[..]), None));
        assert_eq!(memory.get(7), Some(&[9; Memory::BYTES_MAX][..]));
        assert_eq!(memory.bytes(), 3 * 2 + 3 + Memory::BYTES_MAX);
        // As long as before, it is written in its place.
        memory.set(1, b"fgh");
        memory.set(3, b"");
        assert_eq!((memory.get(1), memory.get(3)), (Some(&b"fgh"[..]), Some(&b""[..])));
        assert_eq!(
            (memory.get(7), memory.bytes()),
            (Some(&[9; Memory::BYTES_MAX][..]), 9 + Memory::BYTES_MAX)
        );
    }
}
