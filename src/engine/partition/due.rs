//! What time does to a partition: customers are looked at in silence, and forgotten.

use super::{Mode, Partition};
use crate::analysis::{Output, View};
use crate::customer::orders::DAY_MS;
use crate::customer::{Customer, NOT_ARMED, TIMER_EXPIRE, TIMER_SILENCE};
use crate::engine::timers::{FIRE_MAX, Timer};
use crate::event::TimeMs;

impl Partition {
    /// Fires what is due, in (due, slot) order; beyond [`FIRE_MAX`] it stays due for the next step.
    pub(super) fn fire(&mut self, mode: Mode, view: View<'_>, output: &mut Output) {
        for _ in 0..FIRE_MAX {
            let clock_ms = self.watermark.clock_ms();
            let Some(timer) = self.timers.pop_due(clock_ms) else { return };
            if timer.kind == TIMER_SILENCE {
                self.look(timer, mode, view, output);
            } else if self.expire(timer, clock_ms) {
                self.totals.expired += 1;
            }
        }
    }

    /// A customer is silent: the analyses judge, unless this is a replay, and the next look is armed.
    fn look(&mut self, timer: Timer, mode: Mode, view: View<'_>, output: &mut Output) {
        let slot = timer.slot;
        let customer = self.table.get(slot).expect("a timer belongs to a record");
        let key = customer.key();
        if let (Mode::Live, Some(source)) = (mode, self.newest) {
            let decided = output.decisions.len();
            for analysis in &mut self.analyses {
                analysis.wake(source, timer.due_ms, customer, view, output);
            }
            self.decide_all(output, decided);
        }
        self.arm_silence(slot, crate::customer::orders::day_of(timer.due_ms));
        self.touch(key);
    }

    /// Arms the first look after this day in place of the one that is armed. Looks of a day are spread over it by
    /// the customer's key, so that midnight is like any other time.
    pub(super) fn arm_silence(&mut self, slot: u32, day: u16) {
        let timer = |due_ms| Timer { due_ms, slot, kind: TIMER_SILENCE };
        let (armed_ms, due_ms) = self.table.change(slot, |customer| {
            let armed_ms = customer.timers[TIMER_SILENCE];
            let Some(look_day) = customer.orders.next_look(day) else { return (armed_ms, armed_ms) };
            let within_day_ms = (customer.key() % DAY_MS.unsigned_abs() as u128) as TimeMs;
            let due_ms = TimeMs::from(look_day) * DAY_MS + within_day_ms;
            customer.timers[TIMER_SILENCE] = due_ms;
            (armed_ms, due_ms)
        });
        if armed_ms != NOT_ARMED {
            self.timers.disarm(timer(armed_ms));
        }
        if due_ms != NOT_ARMED {
            self.timers.arm(timer(due_ms));
        }
    }

    /// A slot for a new customer; makes room first where there is none.
    pub(super) fn admit(&mut self, id: &str, time_ms: TimeMs) -> u32 {
        while self.table.len() >= self.config.customers_max as usize {
            self.evict();
        }
        let mut customer = Customer::new(id);
        let due_ms = time_ms.saturating_add(self.config.customer_retention_ms);
        customer.timers[TIMER_EXPIRE] = due_ms;
        let slot = self.table.insert(customer);
        self.timers.arm(Timer { due_ms, slot, kind: TIMER_EXPIRE });
        slot
    }

    /// Drops the customer that has been silent longest.
    fn evict(&mut self) {
        while let Some(timer) = self.timers.pop_of(TIMER_EXPIRE) {
            if self.expire(timer, TimeMs::MAX) {
                self.totals.evicted += 1;
                return;
            }
        }
    }

    /// An expiry timer is armed once and looks at the last event only when it is due: it drops the
    /// customer (true), or is armed again for when that event will have been the last for long enough.
    fn expire(&mut self, timer: Timer, now_ms: TimeMs) -> bool {
        let slot = timer.slot;
        let retention_ms = self.config.customer_retention_ms;
        let again = self.table.change(slot, |customer| {
            let due_ms = customer.profile.last_ms.saturating_add(retention_ms);
            let is_again = due_ms > timer.due_ms && (due_ms > now_ms || now_ms == TimeMs::MAX);
            customer.timers[TIMER_EXPIRE] = if is_again { due_ms } else { NOT_ARMED };
            is_again.then(|| (due_ms, customer.key()))
        });
        let Some((due_ms, key)) = again else {
            self.drop_customer(slot);
            return true;
        };
        self.timers.arm(Timer { due_ms, ..timer });
        self.touch(key);
        false
    }

    pub(super) fn drop_customer(&mut self, slot: u32) {
        let Some(customer) = self.table.remove(slot) else { return };
        for (kind, due_ms) in customer.timers.into_iter().enumerate() {
            self.timers.disarm(Timer { due_ms, slot, kind });
        }
        self.touch(customer.key());
    }
}
