//! The market side: learns from moments whose horizon is over, and publishes what it has learned.

use serde::{Deserialize, Serialize};

use super::model::{Model, mean, row, summary};
use super::refit::Refit;
use super::sample::{Moment, Sample};
use super::{Config, FEATURES, MODEL};
use crate::analysis::tally::{Tally, log_loss};
use crate::analysis::{Frozen, Job, MarketOutput, MarketSide, Quality};
use crate::event::TimeMs;
use crate::learn::bg_nbd::Parameters;
use crate::learn::{Classifier, Learner, LogisticRegression};
use crate::signal::fact::{ChurnMoment, Fact};
use crate::signal::model::{Content, Whole};

/// Times whose moments are learned with a moment that comes, and at a tick, at most: 3 µs each.
const LEARNED_A_MOMENT: usize = 2;
const LEARNED_A_TICK: usize = 128;
/// A model goes out this often at most.
const PUBLISHED_EVERY_MS: TimeMs = 2_000;
/// Mean age of CDNOW's customers.
const TYPICAL_AGE_DAYS: f64 = 229.0;
/// Labels before logistic regression is believed.
const LABELS_MIN: u64 = 200;
/// Labels after which a log loss weighs half in the comparison of the two.
const COMPARED_HALF_LIFE: f64 = 1_000.0;

/// What a snapshot holds beside sample and fit.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Learned {
    logistic: LogisticRegression,
    /// Labels learned: returned, churned.
    labels: [u64; 2],
    /// Decayed sums of the log losses of what would have been said just before the label was learned: by BG/NBD, and by
    /// both together.
    losses: [f64; 2],
    /// What was said when the moment came, against its label; after these three, the baselines.
    published: Tally,
    bg_nbd: Tally,
    by_logistic: Tally,
    recency: Tally,
    frequency: Tally,
    no_skill: Tally,
    version: u64,
    published_ms: TimeMs,
    /// Something that is published has changed since.
    is_changed: bool,
}

pub(super) struct Learning {
    config: Config,
    sample: Sample,
    refit: Refit,
    learned: Learned,
}

impl Learning {
    pub fn new(config: &Config) -> Learning {
        let learned = Learned {
            logistic: LogisticRegression::new(FEATURES + 1),
            labels: [0; 2],
            losses: [0.0; 2],
            published: Tally::default(),
            bg_nbd: Tally::default(),
            by_logistic: Tally::default(),
            recency: Tally::default(),
            frequency: Tally::default(),
            no_skill: Tally::default(),
            version: 0,
            published_ms: 0,
            is_changed: false,
        };
        Learning {
            config: config.clone(),
            sample: Sample::new(config),
            refit: Refit::new(config.refit_interval_ms),
            learned,
        }
    }

    fn moment(&mut self, told: &ChurnMoment) {
        if self.sample.hear(told) {
            let mut moment = Moment::of(told);
            if let Some(parameters) = self.refit.parameters() {
                let said = Said::of(&moment, parameters, &self.config, &self.learned.logistic);
                moment.bg_nbd = said.bg_nbd as f32;
                moment.logistic = if self.learned.is_taught() { said.logistic as f32 } else { f32::NAN };
            }
            self.sample.add(told.customer, moment);
            self.refit.heard();
        }
        self.learn(LEARNED_A_MOMENT);
    }

    /// Learns what is over, oldest first, customers in order where times are equal.
    fn learn(&mut self, times_max: usize) {
        // Before there is a fit the feature of BG/NBD is that of a typical shop.
        let parameters = self.refit.parameters().copied().unwrap_or(Parameters::typical(TYPICAL_AGE_DAYS));
        for _ in 0..times_max {
            let over = self.sample.take_over();
            if over.is_empty() {
                return;
            }
            for (moment, churned) in over {
                let said = Said::of(&moment, &parameters, &self.config, &self.learned.logistic);
                self.learned.learn(&moment, &said, churned);
            }
        }
    }

    fn publish(&mut self, time_ms: TimeMs, output: &mut MarketOutput) {
        let Some(parameters) = self.refit.parameters() else { return };
        let learned = &mut self.learned;
        if !learned.is_changed || (learned.version > 0 && time_ms - learned.published_ms < PUBLISHED_EVERY_MS)
        {
            return;
        }
        let model = Model {
            horizon_days: self.config.horizon_days,
            bg_nbd: *parameters,
            logistic: learned.is_better().then(|| learned.logistic.clone()),
        };
        learned.is_changed = false;
        learned.version += 1;
        learned.published_ms = time_ms;
        let content = postcard::to_allocvec(&model).expect("plain data always serialises");
        let (version, content) = (learned.version, Content::Inline(content));
        output.models.push(Whole { name: MODEL.into(), version, time_ms, content });
    }
}

/// What both sides of the model say of a moment now.
struct Said {
    row: Vec<f64>,
    bg_nbd: f64,
    logistic: f64,
}

impl Said {
    fn of(moment: &Moment, parameters: &Parameters, config: &Config, logistic: &LogisticRegression) -> Said {
        let summary = summary(moment.repeats, moment.first_day, moment.last_day, moment.time_ms);
        let row = row(parameters, config.horizon_days, &summary, &moment.features);
        let bg_nbd = parameters.probability_of_no_order(&summary, f64::from(config.horizon_days));
        Said { bg_nbd, logistic: logistic.predict_one(&row), row }
    }
}

impl Learned {
    fn learn(&mut self, moment: &Moment, said: &Said, churned: bool) {
        self.tally(moment, churned);
        let fade = libm::exp2(-1.0 / COMPARED_HALF_LIFE);
        for (sum, p) in self.losses.iter_mut().zip([said.bg_nbd, mean(said.bg_nbd, said.logistic)]) {
            *sum = *sum * fade + log_loss(p, churned);
        }
        let was_better = self.is_better();
        self.labels[usize::from(churned)] += 1;
        self.logistic.learn_one(&said.row, churned);
        self.is_changed |= was_better || self.is_better();
    }

    fn tally(&mut self, moment: &Moment, churned: bool) {
        for (tally, p) in [
            (&mut self.published, moment.published),
            (&mut self.bg_nbd, moment.bg_nbd),
            (&mut self.by_logistic, moment.logistic),
        ] {
            tally.add(p.into(), churned);
        }
        let day = moment.time_ms.div_euclid(super::DAY_MS);
        let silent_days = (day - i64::from(moment.last_day)).clamp(0, 1_000);
        self.recency.add(silent_days as f64 / 1e3, churned);
        self.frequency.add(1.0 - f64::from(moment.repeats.min(1_000)) / 1e3, churned);
        let [returned, gone] = self.labels.map(|labels| labels as f64);
        self.no_skill.add((gone + 0.5) / (returned + gone + 1.0), churned);
    }

    fn is_taught(&self) -> bool {
        let [returned, churned] = self.labels;
        returned + churned >= LABELS_MIN && returned.min(churned) > 0
    }

    /// Whether logistic regression is published too.
    fn is_better(&self) -> bool {
        self.is_taught() && self.losses[1] < self.losses[0]
    }
}

impl MarketSide for Learning {
    fn fold(&mut self, fact: &Fact, _output: &mut MarketOutput) {
        if let Fact::Churn(told) = fact {
            self.moment(told);
        }
    }

    fn tick(&mut self, time_ms: TimeMs, output: &mut MarketOutput) {
        self.learn(LEARNED_A_TICK);
        self.refit.tick(time_ms, &self.sample);
        self.publish(time_ms, output);
    }

    fn jobs(&self) -> Vec<Job> {
        self.refit.jobs()
    }

    fn answer(&mut self, job: u64, result: &[u8]) -> bool {
        let before = self.refit.parameters().copied();
        let is_awaited = self.refit.answer(job, result);
        self.learned.is_changed |= self.refit.parameters().copied() != before;
        is_awaited
    }

    fn freeze(&self) -> Frozen {
        let (sample, refit, learned) = (self.sample.freeze(), self.refit.freeze(), self.learned.clone());
        Box::new(move || {
            postcard::to_allocvec(&(sample(), refit(), learned)).expect("plain data always serialises")
        })
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (sample, refit, learned): (Vec<u8>, Vec<u8>, Learned) =
            postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
        self.sample.restore(&sample, &self.config)?;
        self.refit.restore(&refit)?;
        self.learned = learned;
        Ok(())
    }

    fn bytes(&self) -> usize {
        let tallies = 6 * (size_of::<Tally>() + self.learned.published.bytes());
        self.sample.bytes() + self.refit.bytes(&self.sample) + tallies + self.learned.logistic.bytes()
    }

    fn quality(&self) -> Quality {
        self.learned.published.quality()
    }

    fn learners(&self) -> Vec<(&'static str, Quality)> {
        let learned = &self.learned;
        vec![
            ("bg_nbd", learned.bg_nbd.quality()),
            ("logistic_regression", learned.by_logistic.quality()),
            ("recency", learned.recency.ranking()),
            ("frequency", learned.frequency.ranking()),
            ("no_skill", learned.no_skill.quality()),
        ]
    }

    fn evicted(&self) -> Vec<(&'static str, u64)> {
        let [room, overdue] = self.sample.evicted();
        vec![("churn_moments", room), ("churn_moments_overdue", overdue)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many labels of a moment of which BG/NBD knows nothing, and logistic regression what is given here.
    fn learn(learned: &mut Learned, n: usize, knows: impl Fn(bool) -> f64) {
        let told = ChurnMoment {
            customer: 1,
            partition: 0,
            time_ms: 0,
            is_order: true,
            repeats: 0,
            first_day: 0,
            last_day: 0,
            features: vec![0.0; FEATURES],
            probability: f32::NAN,
        };
        for at in 0..n {
            let churned = at % 2 == 0;
            let said = Said { row: vec![0.0; FEATURES + 1], bg_nbd: 0.5, logistic: knows(churned) };
            learned.learn(&Moment::of(&told), &said, churned);
        }
    }

    #[test]
    fn logistic_regression_is_out_while_both_together_are_worse() {
        let right = |churned: bool| if churned { 0.9 } else { 0.1 };
        let mut learned = Learning::new(&Config::default()).learned;
        learn(&mut learned, 199, right);
        assert!(!learned.is_better(), "too few labels");
        learn(&mut learned, 301, right);
        assert!(learned.is_better());
        learn(&mut learned, 2_000, |churned| right(!churned));
        assert!(!learned.is_better());
        learn(&mut learned, 5_000, right);
        assert!(learned.is_better());
    }
}
