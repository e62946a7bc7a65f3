//! Sliding windows over event time that fit in a customer's record: whole buckets, or the last few payments exactly.

use serde::{Deserialize, Serialize};

/// Which bucket of `width_ms` holds `time_ms`, counted from 1970; times before that go into bucket 0.
/// The width must be at least 1 (0 counts as 1).
pub fn bucket_of(time_ms: i64, width_ms: i64) -> u32 {
    u32::try_from((time_ms.max(0)) / width_ms.max(1)).unwrap_or(u32::MAX)
}

/// What a bucket holds: a saturating number. Unsigned cells add up alike in any order, to the bit.
pub trait Cell: Copy + Default + PartialEq {
    /// Adds, and stays at the largest value that the cell can hold.
    fn add(self, amount: f64) -> Self;
    fn as_f64(self) -> f64;
    /// True when the cell may have lost something.
    fn is_full(self) -> bool;
}

macro_rules! unsigned_cell {
    ($($kind:ty),*) => {$(
        impl Cell for $kind {
            /// Rounds to the nearest whole number first; negative amounts and NaN add nothing.
            fn add(self, amount: f64) -> Self {
                self.saturating_add(libm::round(amount) as $kind)
            }

            fn as_f64(self) -> f64 {
                f64::from(self)
            }

            fn is_full(self) -> bool {
                self == Self::MAX
            }
        }
    )*};
}
unsigned_cell!(u8, u16, u32);

impl Cell for f32 {
    /// NaN adds nothing.
    fn add(self, amount: f64) -> Self {
        if amount.is_nan() {
            return self;
        }
        ((f64::from(self) + amount) as f32).clamp(f32::MIN, f32::MAX)
    }

    fn as_f64(self) -> f64 {
        f64::from(self)
    }

    fn is_full(self) -> bool {
        self.abs() == f32::MAX
    }
}

/// The last N buckets of event time as a ring: `BucketWindow<u8, 24>` is 24 hourly counts in 28 bytes.
///
/// The newest bucket ever seen is the end of the ring. A late event falls in its own bucket; one older than the
/// ring is dropped. Up to 32 buckets can be stored with serde.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(bound(serialize = "[C; N]: Serialize", deserialize = "[C; N]: Deserialize<'de>"))]
pub struct BucketWindow<C, const N: usize> {
    newest: u32,
    /// Bucket b stands at b modulo N.
    cells: [C; N],
}

impl<C: Cell, const N: usize> Default for BucketWindow<C, N> {
    fn default() -> Self {
        Self { newest: 0, cells: [C::default(); N] }
    }
}

impl<C: Cell, const N: usize> BucketWindow<C, N> {
    /// Adds `amount` to a bucket (see [`bucket_of`]). False when it is older than the ring and was dropped.
    pub fn add(&mut self, bucket: u32, amount: f64) -> bool {
        if bucket > self.newest {
            let n_new = ((bucket - self.newest) as usize).min(N);
            for back in 0..n_new {
                self.cells[(bucket as usize - back) % N] = C::default();
            }
            self.newest = bucket;
        } else if (self.newest - bucket) as usize >= N {
            return false;
        }
        let cell = &mut self.cells[bucket as usize % N];
        *cell = cell.add(amount);
        true
    }

    /// The sum of the `n_buckets` buckets that end with `last`, oldest first. Buckets newer than `last` are left
    /// out, those older than the ring count as empty.
    pub fn sum(&self, last: u32, n_buckets: u32) -> f64 {
        let last_kept = last.min(self.newest);
        let first = u64::from(last) + 1 - u64::from(n_buckets).min(u64::from(last) + 1);
        let first_kept = (u64::from(self.newest) + 1).saturating_sub(N as u64);
        let mut sum = 0.0;
        for bucket in first.max(first_kept)..=u64::from(last_kept) {
            sum += self.cells[(bucket % N as u64) as usize].as_f64();
        }
        sum
    }

    /// True when a cell is at its limit, so that sums over it are lower bounds.
    pub fn is_saturated(&self) -> bool {
        self.cells.iter().any(|cell| cell.is_full())
    }
}

/// A payment as the exact window keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Payment {
    /// Seconds since 1970; 0 marks a free place.
    pub time_s: u32,
    pub amount: f32,
}

/// The last 16 payments in order of event time, exactly: 128 bytes.
///
/// Whatever the order of arrival, it holds the 16 newest by (time, amount).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct RecentPayments {
    /// Ascending; free places come first.
    entries: [Payment; 16],
}

impl RecentPayments {
    pub const CAPACITY: usize = 16;

    /// Puts a payment in its place; the oldest leaves when there is no room. What left comes back, which is the
    /// new one when it is older than all the others. A time of 0 or a NaN amount is refused and comes back too.
    pub fn add(&mut self, time_s: u32, amount: f32) -> Option<Payment> {
        let new = Payment { time_s, amount };
        if time_s == 0 || amount.is_nan() {
            return Some(new);
        }
        let n_before = self.entries.partition_point(|e| {
            e.time_s < time_s || (e.time_s == time_s && e.amount.total_cmp(&amount).is_le())
        });
        if n_before == 0 {
            return Some(new);
        }
        let oldest = self.entries[0];
        self.entries.copy_within(1..n_before, 0);
        self.entries[n_before - 1] = new;
        (oldest.time_s != 0).then_some(oldest)
    }

    /// All payments kept, oldest first.
    pub fn as_slice(&self) -> &[Payment] {
        let n_free = self.entries.partition_point(|e| e.time_s == 0);
        &self.entries[n_free..]
    }

    /// The payments with `after_s` < time <= `until_s`, oldest first.
    pub fn between(&self, after_s: u32, until_s: u32) -> &[Payment] {
        let first = self.entries.partition_point(|e| e.time_s <= after_s);
        let end = self.entries.partition_point(|e| e.time_s <= until_s).max(first);
        &self.entries[first..end]
    }

    /// True when nothing newer than `after_s` can have left: a window from there is exact.
    pub fn is_exact_after(&self, after_s: u32) -> bool {
        self.entries[0].time_s <= after_s
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bucket_sums_match_the_list(
            events in proptest::collection::vec((0_u32..60, 0_u32..300), 0..80),
            last in 0_u32..70,
            n_buckets in 0_u32..40,
        ) {
            let mut window = BucketWindow::<u16, 24>::default();
            let (mut kept, mut newest) = (Vec::new(), 0);
            for (bucket, amount) in &events {
                newest = newest.max(*bucket);
                prop_assert_eq!(window.add(*bucket, f64::from(*amount)), *bucket + 24 > newest);
                kept.push((*bucket, *amount));
            }
            kept.retain(|(b, _)| *b + 24 > newest && *b <= last && b + n_buckets > last);
            // An event within the ring at its arrival may have left since; one dropped would have left too.
            let expected: u32 = kept.iter().map(|(_, a)| a).sum();
            prop_assert_eq!(window.sum(last, n_buckets), f64::from(expected));
        }

        #[test]
        fn recent_payments_are_the_newest_in_any_order(
            events in proptest::collection::vec((1_u32..50, 0_u16..9), 0..50),
            turn in 0_usize..50,
            (after, until) in (0_u32..50, 0_u32..60),
        ) {
            let mut sorted: Vec<_> = events.iter().map(|(t, a)| (*t, *a)).collect();
            sorted.sort_unstable();
            let newest = &sorted[sorted.len().saturating_sub(16)..];
            let mut turned = events.clone();
            if !turned.is_empty() {
                turned.rotate_left(turn % events.len());
            }
            let mut recent = RecentPayments::default();
            let mut n_left = 0;
            for (t, a) in &turned {
                n_left += usize::from(recent.add(*t, f32::from(*a)).is_some());
            }
            let got: Vec<_> = recent.as_slice().iter().map(|e| (e.time_s, e.amount as u16)).collect();
            prop_assert_eq!(&got, newest);
            prop_assert_eq!(n_left + newest.len(), events.len());
            let in_window = |e: &&(u32, u16)| e.0 > after && e.0 <= until;
            prop_assert_eq!(recent.between(after, until).len(), newest.iter().filter(in_window).count());
            if recent.is_exact_after(after) {
                prop_assert_eq!(recent.between(after, 60).len(), sorted.iter().filter(|e| e.0 > after).count());
            }
        }
    }

    #[test]
    fn cells_saturate_and_windows_stay_small() {
        let mut window = BucketWindow::<u8, 24>::default();
        (0..300).for_each(|_| assert!(window.add(7, 1.0)));
        assert_eq!((window.sum(7, 1), window.is_saturated()), (255.0, true));
        assert_eq!((size_of::<BucketWindow<u8, 24>>(), size_of::<RecentPayments>()), (28, 128));
        let mut sums = BucketWindow::<f32, 4>::default();
        assert!(
            sums.add(u32::MAX, -2.5) && sums.add(u32::MAX, f64::NAN) && sums.add(u32::MAX, f64::INFINITY)
        );
        assert_eq!((sums.sum(u32::MAX, u32::MAX), sums.add(0, 1.0)), (f64::from(f32::MAX), false));
        assert_eq!((bucket_of(-5, 10), bucket_of(25, 10), bucket_of(i64::MAX, 0)), (0, 2, u32::MAX));
    }

    #[test]
    fn windows_are_stored_and_come_back() {
        let mut window = BucketWindow::<u16, 30>::default();
        window.add(12, 5.0);
        let mut recent = RecentPayments::default();
        recent.add(99, 1.5);
        let bytes = postcard::to_allocvec(&(window, recent)).unwrap();
        assert_eq!(
            postcard::from_bytes::<(BucketWindow<u16, 30>, RecentPayments)>(&bytes).unwrap(),
            (window, recent)
        );
        assert!(recent.add(0, 1.0).is_some() && recent.add(5, f32::NAN).is_some());
        assert_eq!(recent.as_slice().len(), 1);
    }
}
