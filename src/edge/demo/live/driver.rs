//! The shop's people, by the clock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::ShopClock;
use crate::edge::clock::{Clock, wall_ms};
use crate::edge::demo::past::Past;
use crate::edge::demo::shop::{Occurrence, Shop};
use crate::edge::log::embedded::{EmbeddedAppender, EmbeddedLog};
use crate::edge::log::{Appender, Log, LogError, Outgoing, Place};
use crate::edge::shard::threads::Stop;
use crate::edge::shard::wire::{Wire, partition_of};
use crate::event::Event;

const PAUSE: Duration = Duration::from_millis(20);
/// Payments whose truth is kept: an alert comes within a second.
const PAYMENTS_MAX: usize = 10_000;

/// What is true of the payments of late.
#[derive(Debug)]
pub struct Truths {
    /// Event id, and whether it is fraud; oldest first. Of the past, those with an alert.
    payments: VecDeque<(String, bool)>,
    pub events: u64,
    pub frauds: u64,
    pub paid: u64,
}

impl Truths {
    /// Counts nothing of the past.
    pub fn after(past: &Past) -> Truths {
        Truths { payments: past.alerted.iter().cloned().collect(), events: 0, frauds: 0, paid: 0 }
    }

    /// None of a payment that is not the shop's, or is forgotten.
    pub fn is_fraud(&self, event_id: &str) -> Option<bool> {
        self.payments.iter().rev().find(|(id, _)| id == event_id).map(|(_, fraud)| *fraud)
    }

    fn occur(&mut self, occurrence: &Occurrence) {
        self.events += 1;
        let Event::Purchase(purchase) = &occurrence.event else { return };
        if purchase.refund {
            return;
        }
        let is_fraud = occurrence.truth.fraud.is_some();
        self.paid += 1;
        self.frauds += u64::from(is_fraud);
        if self.payments.len() >= PAYMENTS_MAX {
            self.payments.pop_front();
        }
        self.payments.push_back((purchase.event_id.to_string(), is_fraud));
    }
}

pub(super) struct Driver {
    shop: Shop,
    appender: EmbeddedAppender,
    wire: Arc<Wire>,
    clock: Arc<ShopClock>,
    truths: Arc<Mutex<Truths>>,
}

impl Driver {
    pub fn new(
        shop: Shop,
        log: &EmbeddedLog,
        wire: Arc<Wire>,
        clock: Arc<ShopClock>,
        truths: Arc<Mutex<Truths>>,
    ) -> Result<Driver, LogError> {
        Ok(Driver { shop, appender: log.appender()?, wire, clock, truths })
    }

    /// Until the service stops.
    pub fn run(mut self, stop: &Stop, ended: &AtomicBool) {
        while !(stop.is_set() || ended.load(Ordering::Relaxed)) {
            if let Err(error) = self.turn(stop) {
                tracing::error!(%error, "the shop's events are not taken");
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn turn(&mut self, stop: &Stop) -> Result<(), LogError> {
        let now_ms = self.clock.now_ms();
        while self.shop.next_time_ms() <= now_ms {
            let occurrence = self.shop.next_occurrence();
            let event = &occurrence.event;
            let record = Outgoing {
                place: Place::new(event.input().into(), partition_of(event.key(), 1)),
                key: event.key().as_bytes().to_vec(),
                value: Some(self.wire.event(event, &[])),
                timestamp_ms: wall_ms(),
            };
            self.truths.lock().unwrap_or_else(PoisonError::into_inner).occur(&occurrence);
            self.appender.append(&record)?;
        }
        // A full disk must not keep the demo from ending.
        while !self.appender.flush(Duration::from_millis(200))? && !stop.is_set() {}
        Ok(())
    }
}
