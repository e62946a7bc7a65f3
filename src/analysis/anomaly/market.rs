//! Entity risk: which terminals and instruments confirmed fraud went through, decayed in event time.
//!
//! A payment waits here for its verdict, spread by event; the verdict that finds it goes on as a fact to
//! the partition of each of its entities, which publishes the entity's row of [`super::ENTITY_RISK`]:
//! share, base rate, decayed frauds, decayed verdicts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{Config, ENTITY_RISK};
use crate::analysis::tally::ranked;
use crate::analysis::waiting::Waiting;
use crate::analysis::{Frozen, MarketOutput, MarketSide, Quality};
use crate::event::TimeMs;
use crate::signal::fact::Fact;
use crate::signal::model::Row;

const PAGES: usize = 256;
/// Rows published at one tick at most, about 64 KiB.
const ROWS_A_TICK: usize = 600;
/// A row goes out again when its share has moved by this part of itself.
const MOVED: f64 = 0.05;
const RISKS: usize = 1001;

/// A payment without a verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Unlabelled {
    risk: u16,
    entities: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Entity {
    /// Decayed to `time_ms`.
    frauds: f64,
    verdicts: f64,
    time_ms: TimeMs,
    published: Option<f64>,
    version: u64,
}

type Page = BTreeMap<String, Entity>;

/// What a snapshot holds beside the waiting payments.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Folded {
    /// Verdicts and frauds of this partition's entities, decayed, for the base rate.
    all: Entity,
    moved: BTreeSet<String>,
    evicted: u64,
    /// Labelled payments by risk: legitimate, fraud.
    labelled: Vec<[u64; 2]>,
}

pub(super) struct EntityRisk {
    half_life_ms: TimeMs,
    page_max: usize,
    waiting: Waiting<Unlabelled>,
    /// Verdicts read before their payments, which happens while history is loaded.
    early: Waiting<(TimeMs, bool)>,
    pages: Vec<Arc<Page>>,
    folded: Folded,
}

impl EntityRisk {
    pub fn new(config: &Config) -> EntityRisk {
        EntityRisk {
            half_life_ms: config.entity_half_life_ms.max(1),
            page_max: (config.entities_max as usize / PAGES).max(1),
            waiting: Waiting::new(config.waiting_max as usize),
            early: Waiting::new(config.waiting_max as usize / 4),
            pages: vec![Arc::default(); PAGES],
            folded: Folded { labelled: vec![[0; 2]; RISKS], ..Folded::default() },
        }
    }

    fn verdict(&mut self, event: u64, time_ms: TimeMs, fraud: bool, output: &mut MarketOutput) {
        match self.waiting.take(event) {
            Some(payment) => self.label(payment, time_ms, fraud, output),
            None => self.early.insert(event, (time_ms, fraud)),
        }
    }

    fn label(&mut self, payment: Unlabelled, time_ms: TimeMs, fraud: bool, output: &mut MarketOutput) {
        self.folded.labelled[usize::from(payment.risk).min(RISKS - 1)][usize::from(fraud)] += 1;
        let entities = payment.entities.into_iter();
        output.facts.extend(entities.map(|entity| Fact::EntityVerdict { entity, time_ms, fraud }));
    }

    fn entity_verdict(&mut self, name: &str, time_ms: TimeMs, fraud: bool) {
        let half_life_ms = self.half_life_ms;
        self.folded.all.add(time_ms, fraud, half_life_ms);
        let page = Arc::make_mut(&mut self.pages[page_of(name)]);
        if !page.contains_key(name) && page.len() >= self.page_max {
            // The entity without a verdict for the longest goes; ties by name.
            let oldest = page.iter().min_by_key(|(_, entity)| entity.time_ms).map(|(name, _)| name.clone());
            if let Some(oldest) = oldest {
                page.remove(&oldest);
                self.folded.moved.remove(&oldest);
                self.folded.evicted += 1;
            }
        }
        page.entry(name.to_owned()).or_default().add(time_ms, fraud, half_life_ms);
        self.folded.moved.insert(name.to_owned());
    }

    /// Fraud share of all, at most 5 %: where only frauds are reported it would be 1.
    fn base(&self) -> f64 {
        let all = &self.folded.all;
        ((all.frauds + 1.0) / (all.verdicts + 100.0)).min(0.05)
    }
}

impl Entity {
    /// Adds a verdict; one that is older than the newest weighs less, so that order does not matter.
    fn add(&mut self, time_ms: TimeMs, fraud: bool, half_life_ms: TimeMs) {
        let gap = libm::fabs((time_ms - self.time_ms) as f64) / half_life_ms as f64;
        let fade = if self.verdicts == 0.0 { 1.0 } else { libm::exp2(-gap) };
        let weight = if time_ms >= self.time_ms || self.verdicts == 0.0 {
            self.frauds *= fade;
            self.verdicts *= fade;
            self.time_ms = time_ms;
            1.0
        } else {
            fade
        };
        self.verdicts += weight;
        self.frauds += if fraud { weight } else { 0.0 };
    }

    /// Shrunk towards the base rate by two verdicts' worth.
    fn share(&self, base: f64) -> f64 {
        (self.frauds + 2.0 * base) / (self.verdicts + 2.0)
    }
}

impl MarketSide for EntityRisk {
    fn fold(&mut self, fact: &Fact, output: &mut MarketOutput) {
        match fact {
            Fact::Payment { event, risk, entities, .. } => {
                let payment = Unlabelled { risk: *risk, entities: entities.clone() };
                match self.early.take(*event) {
                    Some((time_ms, fraud)) => self.label(payment, time_ms, fraud, output),
                    None => self.waiting.insert(*event, payment),
                }
            }
            Fact::Verdict { event, time_ms, fraud } => self.verdict(*event, *time_ms, *fraud, output),
            Fact::EntityVerdict { entity, time_ms, fraud } => self.entity_verdict(entity, *time_ms, *fraud),
            _ => {}
        }
    }

    fn tick(&mut self, time_ms: TimeMs, output: &mut MarketOutput) {
        if self.folded.moved.is_empty() {
            return;
        }
        let base = self.base();
        let mut moves: Vec<(f64, String)> = Vec::new();
        for name in &self.folded.moved {
            let Some(entity) = self.pages[page_of(name)].get(name) else { continue };
            let share = entity.share(base);
            let change =
                entity.published.map_or(f64::INFINITY, |old| libm::fabs(share - old) / old.max(1e-6));
            if change >= MOVED {
                moves.push((change, name.clone()));
            }
        }
        // Largest change first, names in order where equal.
        moves.sort_by(|a, b| b.0.total_cmp(&a.0));
        let rest: BTreeSet<String> =
            moves.split_off(moves.len().min(ROWS_A_TICK)).into_iter().map(|(_, name)| name).collect();
        for (_, name) in moves {
            let Some(entity) = Arc::make_mut(&mut self.pages[page_of(&name)]).get_mut(&name) else {
                continue;
            };
            let share = entity.share(base);
            entity.published = Some(share);
            entity.version += 1;
            output.rows.push(Row {
                table: ENTITY_RISK.into(),
                key: name,
                version: entity.version,
                time_ms,
                numbers: vec![share, base, entity.frauds, entity.verdicts],
                shares: Vec::new(),
                text: String::new(),
            });
        }
        self.folded.moved = rest;
    }

    fn freeze(&self) -> Frozen {
        let (waiting, early) = (self.waiting.freeze(), self.early.freeze());
        let (pages, folded) = (self.pages.clone(), self.folded.clone());
        Box::new(move || {
            let pages: Vec<&Page> = pages.iter().map(|page| &**page).collect();
            postcard::to_allocvec(&(waiting(), early(), pages, folded)).expect("plain data always serialises")
        })
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (waiting, early, pages, folded): (Vec<u8>, Vec<u8>, Vec<Page>, Folded) =
            postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
        if pages.len() != PAGES || folded.labelled.len() != RISKS {
            return Err(format!("{} pages and {} risks", pages.len(), folded.labelled.len()));
        }
        self.waiting.restore(&waiting)?;
        self.early.restore(&early)?;
        self.pages = pages.into_iter().map(Arc::new).collect();
        self.folded = folded;
        Ok(())
    }

    fn bytes(&self) -> usize {
        // A name of 24 bytes, a node's slack.
        let entities: usize = self.pages.iter().map(|page| page.len()).sum();
        let entity = size_of::<(String, Entity)>() * 3 / 2 + 24;
        self.early.bytes() + self.waiting.bytes() + self.waiting.len() * 96 + entities * entity + RISKS * 16
    }

    fn quality(&self) -> Quality {
        ranked(&self.folded.labelled)
    }
}

fn page_of(name: &str) -> usize {
    (xxh3_64(name.as_bytes()) >> 56) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_finds_its_payment_and_moves_its_entities() {
        let mut risk = EntityRisk::new(&Config::default());
        let mut output = MarketOutput::default();
        let entities = vec!["terminal:T".to_owned()];
        risk.fold(&Fact::Payment { event: 7, time_ms: 0, risk: 300, entities }, &mut output);
        risk.fold(&Fact::Verdict { event: 7, time_ms: 10, fraud: true }, &mut output);
        risk.fold(&Fact::Verdict { event: 7, time_ms: 11, fraud: true }, &mut output);
        assert_eq!(output.facts.len(), 1, "the second verdict finds nothing");
        let fact = output.facts.remove(0);
        risk.fold(&fact, &mut output);
        assert!(output.rows.is_empty(), "only a tick publishes");
        risk.tick(50, &mut output);
        assert_eq!(output.rows.len(), 1);
        assert!(output.rows[0].numbers[0] > 0.3, "{:?}", output.rows[0]);
        risk.tick(100, &mut output);
        assert_eq!(output.rows.len(), 1, "nothing moved since");
    }

    #[test]
    fn a_verdict_read_before_its_payment_waits_for_it() {
        let mut risk = EntityRisk::new(&Config::default());
        let mut output = MarketOutput::default();
        risk.fold(&Fact::Verdict { event: 7, time_ms: 10, fraud: true }, &mut output);
        assert!(output.facts.is_empty());
        let entities = vec!["terminal:T".to_owned()];
        risk.fold(&Fact::Payment { event: 7, time_ms: 0, risk: 300, entities }, &mut output);
        assert_eq!(
            output.facts,
            vec![Fact::EntityVerdict { entity: "terminal:T".into(), time_ms: 10, fraud: true }]
        );
    }

    #[test]
    fn order_of_verdicts_does_not_matter() {
        let half_life_ms = 1_000;
        let verdicts = [(500, true), (9_000, false), (4_000, true), (8_999, false)];
        let fold = |order: &[usize]| {
            let mut entity = Entity::default();
            order.iter().for_each(|i| entity.add(verdicts[*i].0, verdicts[*i].1, half_life_ms));
            entity.share(0.01)
        };
        assert!((fold(&[0, 1, 2, 3]) - fold(&[3, 2, 1, 0])).abs() < 1e-12);
    }

    #[test]
    fn quality_equals_its_definition_over_pairs() {
        let scores = [(900, true), (500, false), (500, true), (100, false), (100, false), (700, false)];
        let mut labelled = vec![[0; 2]; RISKS];
        scores.iter().for_each(|(risk, fraud)| labelled[*risk][usize::from(*fraud)] += 1);
        let wins: f64 = scores
            .iter()
            .filter(|(_, fraud)| *fraud)
            .flat_map(|(p, _)| scores.iter().filter(|(_, fraud)| !fraud).map(move |(n, _)| (p, n)))
            .map(|(p, n)| {
                if p > n {
                    1.0
                } else if p == n {
                    0.5
                } else {
                    0.0
                }
            })
            .sum();
        let auc = ranked(&labelled).auc.expect("both classes are there");
        assert!((auc - wins / 8.0).abs() < 1e-12);
    }
}
