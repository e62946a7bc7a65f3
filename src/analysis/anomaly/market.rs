//! Entity risk: which terminals and instruments confirmed fraud went through, decayed in event time.
//!
//! A payment waits here for its verdict, spread by event; the verdict that finds it goes on as a fact to
//! the partition of each of its entities, which publishes the entity's row of [`super::ENTITY_RISK`]:
//! share, base rate, decayed frauds, decayed verdicts.
//!
//! A share is of payments, not of verdicts: where mostly frauds are reported, nearly all verdicts say fraud. So the
//! payments of an entity are counted from its first verdict on. Of those without a verdict as many are taken for
//! legitimate as never get one; the others may only wait for theirs.

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
    /// Decayed to `time_ms`. Payments since the first verdict.
    frauds: f64,
    verdicts: f64,
    payments: f64,
    time_ms: TimeMs,
    published: Option<f64>,
    version: u64,
}

type Page = BTreeMap<String, Entity>;

/// What a snapshot holds beside the waiting payments.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Folded {
    /// Verdicts, frauds and payments of this partition's entities, decayed, for the base rate.
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

    /// A payment through one that has a verdict; of others nothing is counted.
    fn entity_payment(&mut self, name: &str, time_ms: TimeMs) {
        let half_life_ms = self.half_life_ms;
        let page = &mut self.pages[page_of(name)];
        if !page.contains_key(name) {
            return;
        }
        if let Some(entity) = Arc::make_mut(page).get_mut(name) {
            entity.payments += entity.weight_at(time_ms, half_life_ms);
            self.folded.moved.insert(name.to_owned());
        }
        let all = &mut self.folded.all;
        all.payments += all.weight_at(time_ms, half_life_ms);
    }

    /// Share of the payments that never get a verdict, 0 to 1.
    fn silent(&self) -> f64 {
        let all = &self.folded.all;
        1.0 - (all.verdicts / all.payments.max(1e-9)).min(1.0)
    }

    /// Fraud share of all, at most 5 %: before payments are counted it would be 1 where only frauds are reported.
    fn base(&self, silent: f64) -> f64 {
        let all = &self.folded.all;
        ((all.frauds + 1.0) / (all.known(silent) + 100.0)).min(0.05)
    }
}

impl Entity {
    /// What something at this time weighs, once what is there has faded to it: less where it is older than the
    /// newest, so that order does not matter.
    fn weight_at(&mut self, time_ms: TimeMs, half_life_ms: TimeMs) -> f64 {
        let gap = libm::fabs((time_ms - self.time_ms) as f64) / half_life_ms as f64;
        let is_new = self.verdicts == 0.0;
        let fade = if is_new { 1.0 } else { libm::exp2(-gap) };
        if time_ms < self.time_ms && !is_new {
            return fade;
        }
        self.frauds *= fade;
        self.verdicts *= fade;
        self.payments *= fade;
        self.time_ms = time_ms;
        1.0
    }

    fn add(&mut self, time_ms: TimeMs, fraud: bool, half_life_ms: TimeMs) {
        let weight = self.weight_at(time_ms, half_life_ms);
        self.verdicts += weight;
        self.frauds += if fraud { weight } else { 0.0 };
    }

    /// Payments of which it is known what they were: those with a verdict, and of the rest those that get none.
    fn known(&self, silent: f64) -> f64 {
        self.verdicts + silent * (self.payments - self.verdicts).max(0.0)
    }

    /// Of fraud among payments, shrunk towards the base rate by two payments' worth.
    fn share(&self, base: f64, silent: f64) -> f64 {
        (self.frauds + 2.0 * base) / (self.known(silent) + 2.0)
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
            Fact::EntityPayment { entity, time_ms } => self.entity_payment(entity, *time_ms),
            _ => {}
        }
    }

    fn tick(&mut self, time_ms: TimeMs, output: &mut MarketOutput) {
        if self.folded.moved.is_empty() {
            return;
        }
        let silent = self.silent();
        let base = self.base(silent);
        let mut moves: Vec<(f64, String)> = Vec::new();
        for name in &self.folded.moved {
            let Some(entity) = self.pages[page_of(name)].get(name) else { continue };
            let share = entity.share(base, silent);
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
            let share = entity.share(base, silent);
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

    /// Every fifth payment at a till is fraud. Where only frauds are reported the share is about the same as where
    /// every payment gets its verdict; of verdicts alone it would be 1.
    #[test]
    fn shares_are_of_payments_however_many_are_judged() {
        let share = |all_judged: bool| {
            let mut risk = EntityRisk::new(&Config::default());
            let mut output = MarketOutput::default();
            for number in 0..2_000_i64 {
                let entity = format!("terminal:{}", number % 20);
                let (time_ms, fraud) = (number * 3_600_000, number % 100 == 0);
                risk.fold(&Fact::EntityPayment { entity: entity.clone(), time_ms }, &mut output);
                if all_judged || fraud {
                    risk.fold(&Fact::EntityVerdict { entity, time_ms, fraud }, &mut output);
                }
            }
            let (silent, name) = (risk.silent(), "terminal:0");
            risk.pages[page_of(name)][name].share(risk.base(silent), silent)
        };
        let (judged, reported) = (share(true), share(false));
        assert!((0.1..0.25).contains(&judged), "{judged}");
        assert!((reported - judged).abs() < 0.1, "{reported} where it is {judged}");
    }

    #[test]
    fn order_of_verdicts_does_not_matter() {
        let half_life_ms = 1_000;
        let verdicts = [(500, true), (9_000, false), (4_000, true), (8_999, false)];
        let fold = |order: &[usize]| {
            let mut entity = Entity::default();
            order.iter().for_each(|i| entity.add(verdicts[*i].0, verdicts[*i].1, half_life_ms));
            entity.share(0.01, 0.5)
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
