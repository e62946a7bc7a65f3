//! The learners that can be measured on a table, and the baselines that they must beat.

use super::Task;
use crate::learn::{
    AnomalyDetector, Classifier, Learner, Regressor, Scaler, StandardScaler, Visitor, registry,
};
use crate::math::rng::Rng;

/// A learner as the loop sees it, whatever its task.
pub trait Candidate {
    /// Higher for more anomalous, a probability, or a number, by task.
    fn score_one(&mut self, x: &[f64]) -> f64;
    /// `y` is 0 or 1 but for regression. A detector of anomalies does not look at it.
    fn learn_one(&mut self, x: &[f64], y: f64);
    fn bytes(&self) -> usize;
}

/// Makes a candidate for a number of features and a seed.
type Make = Box<dyn Fn(usize, u64) -> Box<dyn Candidate>>;

/// A kind of candidate under the name it is asked for by.
pub struct Named {
    pub name: &'static str,
    pub make: Make,
}

impl Task {
    /// The learner that the product uses for such a question; it is listed as `default`.
    pub fn default_learner(self) -> Option<&'static str> {
        match self {
            Task::Anomaly => Some("isolation_forest"),
            Task::Classification => Some("logistic_regression"),
            Task::Regression => None,
        }
    }
}

/// All registered learners of a task.
pub fn learners(task: Task) -> Vec<Named> {
    let mut collector = OfTask { task, found: Vec::new() };
    registry(&mut collector);
    collector.found
}

/// What a task's learners are compared with.
pub fn baselines(task: Task) -> Vec<Named> {
    fn named<C: Candidate + 'static>(name: &'static str, make: fn(usize, u64) -> C) -> Named {
        Named { name, make: Box::new(move |n_features, seed| Box::new(make(n_features, seed))) }
    }
    match task {
        Task::Anomaly => vec![
            named("random", |_, seed| Random(Rng::seeded(&[seed]))),
            named("largest_z", |n_features, _| LargestZ(StandardScaler::new(n_features))),
        ],
        Task::Classification => {
            vec![
                named("prior", |_, _| Mean { n: 1.0, sum: 0.5 }),
                named("no_change", |_, _| NoChange { last: 0.5 }),
            ]
        }
        Task::Regression => vec![
            named("mean", |_, _| Mean { n: 0.0, sum: 0.0 }),
            named("no_change", |_, _| NoChange { last: 0.0 }),
        ],
    }
}

struct OfTask {
    task: Task,
    found: Vec<Named>,
}

impl OfTask {
    fn add<L, C>(&mut self, task: Task, name: &'static str, make: fn(usize, u64) -> L, wrap: fn(L) -> C)
    where
        L: 'static,
        C: Candidate + 'static,
    {
        if task == self.task {
            let make: Make = Box::new(move |n_features, seed| Box::new(wrap(make(n_features, seed))));
            self.found.push(Named { name, make });
        }
    }
}

impl Visitor for OfTask {
    fn anomaly_detector<D: AnomalyDetector>(&mut self, name: &'static str, make: fn(usize, u64) -> D) {
        self.add(Task::Anomaly, name, make, Detects);
    }

    fn classifier<C: Classifier>(&mut self, name: &'static str, make: fn(usize, u64) -> C) {
        self.add(Task::Classification, name, make, Classifies);
    }

    fn regressor<R: Regressor>(&mut self, name: &'static str, make: fn(usize, u64) -> R) {
        self.add(Task::Regression, name, make, Regresses);
    }

    fn scaler<S: Scaler>(&mut self, _name: &'static str, _make: fn(usize, u64) -> S) {}
}

struct Detects<D>(D);

impl<D: AnomalyDetector> Candidate for Detects<D> {
    fn score_one(&mut self, x: &[f64]) -> f64 {
        self.0.score_one(x)
    }

    fn learn_one(&mut self, x: &[f64], _y: f64) {
        self.0.learn_one(x);
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

struct Classifies<C>(C);

impl<C: Classifier> Candidate for Classifies<C> {
    fn score_one(&mut self, x: &[f64]) -> f64 {
        self.0.predict_one(x)
    }

    fn learn_one(&mut self, x: &[f64], y: f64) {
        self.0.learn_one(x, y > 0.5);
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

struct Regresses<R>(R);

impl<R: Regressor> Candidate for Regresses<R> {
    fn score_one(&mut self, x: &[f64]) -> f64 {
        self.0.predict_one(x)
    }

    fn learn_one(&mut self, x: &[f64], y: f64) {
        self.0.learn_one(x, y);
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

/// The mean of the targets so far: of 0 and 1 their share. A class starts with half a row of each
/// (Krichevsky and Trofimov, 1981), so that it is never certain.
struct Mean {
    n: f64,
    sum: f64,
}

impl Candidate for Mean {
    fn score_one(&mut self, _x: &[f64]) -> f64 {
        if self.n > 0.0 { self.sum / self.n } else { 0.0 }
    }

    fn learn_one(&mut self, _x: &[f64], y: f64) {
        self.n += 1.0;
        self.sum += y;
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
    }
}

/// The last target that is known.
struct NoChange {
    last: f64,
}

impl Candidate for NoChange {
    fn score_one(&mut self, _x: &[f64]) -> f64 {
        self.last
    }

    fn learn_one(&mut self, _x: &[f64], y: f64) {
        self.last = y;
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
    }
}

/// Knows nothing.
struct Random(Rng);

impl Candidate for Random {
    fn score_one(&mut self, _x: &[f64]) -> f64 {
        self.0.uniform()
    }

    fn learn_one(&mut self, _x: &[f64], _y: f64) {}

    fn bytes(&self) -> usize {
        size_of::<Self>()
    }
}

/// How many standard deviations the most unusual feature lies from its mean so far.
struct LargestZ(StandardScaler);

impl Candidate for LargestZ {
    fn score_one(&mut self, x: &[f64]) -> f64 {
        let mut z = Vec::with_capacity(x.len());
        self.0.scale_one(x, &mut z);
        // The float's own max passes a missing value by.
        z.iter().fold(0.0, |largest, z| libm::fabs(*z).max(largest))
    }

    fn learn_one(&mut self, x: &[f64], _y: f64) {
        self.0.learn_one(x);
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}
