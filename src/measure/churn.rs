//! Published churn probabilities against who came back, and simple baselines that saw no more.
//!
//! A moment is labelled at the end, from all order days: churned, when none of its customer's comes within the
//! horizon after it. One whose horizon is not over has no label. Orders and looks in silence are rated apart: they
//! are other questions, with other shares of churn.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::table::{Quality, Task};
use crate::analysis::churn::features::summary;
use crate::customer::orders::{DAY_MS, day_of};
use crate::event::TimeMs;
use crate::learn::bg_nbd::Parameters;
use crate::signal::fact::ChurnMoment;

/// Moments told so far; a few dozen bytes each.
#[derive(Debug, Clone, Default)]
pub struct Moments(Vec<ChurnMoment>);

/// How well the moments of one kind were told.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Rated {
    /// Moments told.
    pub moments: usize,
    /// Of these, with a label, whose horizon is over.
    pub labelled: usize,
    /// `default` is the probability that was published, of labelled moments that had one; empty where none had.
    pub learners: BTreeMap<&'static str, Quality>,
    /// On the same moments. `recency`: who ordered last longest ago churns first; it tells nothing of those who are
    /// ordering. `frequency`: who has the fewest order days. `bg_nbd_typical`: BG/NBD as it is believed before a fit.
    /// `no_skill`: the share of churn among the labels that were known at the moment, the same for everybody.
    pub baselines: BTreeMap<&'static str, Quality>,
}

/// Moments by kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Ratings {
    #[serde(flatten)]
    pub order_days: Rated,
    pub in_silence: Rated,
}

/// Labels of one kind that are known by now, in the order of time.
#[derive(Default)]
struct Known {
    /// Time and label of moments so far.
    labels: Vec<(TimeMs, bool)>,
    known: usize,
    churned: usize,
}

impl Known {
    /// The share of churn among moments whose horizon was over by then; one of each class is there before all.
    fn share(&mut self, time_ms: TimeMs, horizon_ms: TimeMs) -> f64 {
        while let Some((_, churned)) =
            self.labels.get(self.known).filter(|(at, _)| at + horizon_ms <= time_ms)
        {
            self.known += 1;
            self.churned += usize::from(*churned);
        }
        (self.churned as f64 + 1.0) / (self.known as f64 + 2.0)
    }
}

impl Moments {
    pub fn push(&mut self, moment: ChurnMoment) {
        self.0.push(ChurnMoment { features: Vec::new(), ..moment });
    }

    /// What is known of the moments when events up to `end_ms` are.
    pub fn rated(mut self, horizon_days: u16, end_ms: TimeMs) -> Ratings {
        self.sort();
        let labels = self.labels(TimeMs::from(horizon_days) * DAY_MS);
        self.rated_by(&labels, horizon_days, end_ms)
    }

    /// The same where somebody knows of each moment whether it is followed by churn.
    pub fn rated_against(
        mut self,
        churned: impl Fn(&ChurnMoment) -> bool,
        horizon_days: u16,
        end_ms: TimeMs,
    ) -> Ratings {
        self.sort();
        let labels: Vec<bool> = self.0.iter().map(churned).collect();
        self.rated_by(&labels, horizon_days, end_ms)
    }

    fn sort(&mut self) {
        self.0.sort_by_key(|moment| (moment.time_ms, moment.customer));
    }

    fn rated_by(&self, labels: &[bool], horizon_days: u16, end_ms: TimeMs) -> Ratings {
        let horizon_ms = TimeMs::from(horizon_days) * DAY_MS;
        let mut ages = Ages::default();
        let mut known = [Known::default(), Known::default()];
        // Published, then the baselines in the order of their names below.
        let mut scores: [[Vec<(f64, f64)>; 5]; 2] = Default::default();
        let mut ratings = [Rated::default(), Rated::default()];
        for (moment, churned) in self.0.iter().zip(labels.iter().copied()) {
            let kind = usize::from(!moment.is_order);
            let typical = Parameters::typical(ages.mean(moment));
            let share = known[kind].share(moment.time_ms, horizon_ms);
            known[kind].labels.push((moment.time_ms, churned));
            ratings[kind].moments += 1;
            if moment.time_ms > end_ms - horizon_ms {
                continue;
            }
            ratings[kind].labelled += 1;
            if moment.probability.is_nan() {
                continue;
            }
            let summary = summary(moment);
            let told = [
                f64::from(moment.probability),
                summary.age() - summary.recency(),
                -f64::from(moment.repeats),
                typical.probability_of_no_order(&summary, f64::from(horizon_days)),
                share,
            ];
            scores[kind].iter_mut().zip(told).for_each(|(of, told)| of.push((told, f64::from(churned))));
        }
        for (rated, scores) in ratings.iter_mut().zip(&scores).filter(|(_, scores)| !scores[0].is_empty()) {
            let [published, recency, frequency, typical, no_skill] = scores;
            rated.learners.insert("default", Quality::of(Task::Classification, published));
            rated.baselines.insert("recency", Quality::of(Task::Anomaly, recency));
            rated.baselines.insert("frequency", Quality::of(Task::Anomaly, frequency));
            rated.baselines.insert("bg_nbd_typical", Quality::of(Task::Classification, typical));
            rated.baselines.insert("no_skill", Quality::of(Task::Classification, no_skill));
        }
        let [order_days, in_silence] = ratings;
        Ratings { order_days, in_silence }
    }

    /// By moment: whether no order of its customer came within the horizon after it. All moments of orders are there.
    fn labels(&self, horizon_ms: TimeMs) -> Vec<bool> {
        let mut next: BTreeMap<u64, TimeMs> = BTreeMap::new();
        let mut labels: Vec<bool> = Vec::with_capacity(self.0.len());
        // From the last to the first, with the next order of each customer; those of one time are not after each other.
        let mut at_once: Vec<(u64, TimeMs)> = Vec::new();
        for moment in self.0.iter().rev() {
            if at_once.first().is_some_and(|(_, time_ms)| *time_ms > moment.time_ms) {
                next.extend(at_once.drain(..));
            }
            let ordered_ms = next.get(&moment.customer);
            labels.push(ordered_ms.is_none_or(|ordered_ms| ordered_ms - moment.time_ms > horizon_ms));
            if moment.is_order {
                at_once.push((moment.customer, moment.time_ms));
            }
        }
        labels.reverse();
        labels
    }
}

/// The mean age of all customers so far.
#[derive(Default)]
struct Ages {
    customers: BTreeSet<u64>,
    first_days: f64,
}

impl Ages {
    /// In days, at the time of the moment, whose customer is one of them; at least 1.
    fn mean(&mut self, moment: &ChurnMoment) -> f64 {
        if self.customers.insert(moment.customer) {
            self.first_days += f64::from(moment.first_day);
        }
        let mean_first_day = self.first_days / self.customers.len() as f64;
        (f64::from(day_of(moment.time_ms)) - mean_first_day).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::rng::Rng;

    const HORIZON_DAYS: u16 = 10;

    fn moment(customer: u64, time_ms: TimeMs, is_order: bool, repeats: u32, probability: f32) -> ChurnMoment {
        let day = day_of(time_ms);
        let (first_day, last_day, features) = (day.saturating_sub(repeats as u16 * 3), day, Vec::new());
        let partition = 0;
        ChurnMoment {
            customer,
            partition,
            time_ms,
            is_order,
            repeats,
            first_day,
            last_day,
            features,
            probability,
        }
    }

    fn moments() -> Vec<ChurnMoment> {
        let mut dice = Rng::seeded(&[8]);
        let one = |_| {
            let time_ms = dice.below(60 * DAY_MS as u64) as TimeMs / (DAY_MS / 4) * (DAY_MS / 4);
            let probability = if time_ms < 5 * DAY_MS { f32::NAN } else { dice.uniform() as f32 };
            moment(dice.below(40), time_ms, dice.below(3) > 0, dice.below(5) as u32, probability)
        };
        (0..400).map(one).collect()
    }

    #[test]
    fn labels_and_shares_equal_their_slow_definitions() {
        let horizon_ms = TimeMs::from(HORIZON_DAYS) * DAY_MS;
        let end_ms = 60 * DAY_MS;
        let all = moments();
        let churned = |m: &ChurnMoment| {
            let mut orders = all.iter().filter(|o| o.is_order && o.customer == m.customer);
            !orders.any(|o| o.time_ms > m.time_ms && o.time_ms <= m.time_ms + horizon_ms)
        };
        let mut told = Moments::default();
        all.iter().for_each(|m| told.push(m.clone()));
        let ratings = told.rated(HORIZON_DAYS, end_ms);
        for (is_order, rated) in [(true, &ratings.order_days), (false, &ratings.in_silence)] {
            let kind: Vec<&ChurnMoment> = all.iter().filter(|m| m.is_order == is_order).collect();
            let over: Vec<&&ChurnMoment> = kind.iter().filter(|m| m.time_ms + horizon_ms <= end_ms).collect();
            assert_eq!((rated.moments, rated.labelled), (kind.len(), over.len()));
            let published: Vec<&&&ChurnMoment> = over.iter().filter(|m| !m.probability.is_nan()).collect();
            assert!(published.len() < over.len());
            let quality = |task, score: &dyn Fn(&ChurnMoment) -> f64| {
                let scored = published.iter().map(|m| (score(m), f64::from(churned(m))));
                Quality::of(task, &scored.collect::<Vec<_>>())
            };
            let default = quality(Task::Classification, &|m| f64::from(m.probability));
            let Quality::Classification { n, positives, auc: Some(auc), log_loss, .. } = default else {
                panic!("both classes: {default:?}")
            };
            assert!(n > 50 && positives > 5 && auc > 0.3 && log_loss > 0.5);
            let told = &rated.learners["default"];
            let Quality::Classification { n: of, positives: bad, auc: a, log_loss: loss, .. } = told else {
                panic!("{told:?}")
            };
            assert_eq!((*of, *bad), (n, positives));
            assert!((a.expect("both classes") - auc).abs() < 1e-12 && (loss - log_loss).abs() < 1e-12);
            let share = |m: &ChurnMoment| {
                let known: Vec<_> = kind.iter().filter(|k| k.time_ms + horizon_ms <= m.time_ms).collect();
                (known.iter().filter(|k| churned(k)).count() + 1) as f64 / (known.len() + 2) as f64
            };
            let slow = quality(Task::Classification, &share);
            let (Quality::Classification { log_loss: a, .. }, Quality::Classification { log_loss: b, .. }) =
                (&slow, &rated.baselines["no_skill"])
            else {
                panic!("{slow:?}")
            };
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
    }

    #[test]
    fn a_probability_that_was_never_published_is_not_rated() {
        let mut told = Moments::default();
        told.push(moment(1, 0, true, 0, f32::NAN));
        let ratings = told.rated(HORIZON_DAYS, 60 * DAY_MS);
        assert_eq!((ratings.order_days.labelled, ratings.order_days.learners.len()), (1, 0));
        assert_eq!(ratings.in_silence, Rated::default());
    }
}
