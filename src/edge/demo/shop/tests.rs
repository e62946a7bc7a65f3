//! What the shop promises.

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::Xxh3;

use super::season::weekday;
use super::*;
use crate::event::{EngagementKind, Purchase, Verdict};

const START_MS: TimeMs = 1_767_225_600_000;

fn small() -> Config {
    Config {
        customers_at_start: 300,
        customers_a_day: 3.0,
        guests_a_day: 3.0,
        tills: 8,
        items_in_category: 20,
        ..Config::default()
    }
}

/// Everything of so many days.
fn days(seed: u64, config: &Config, days: i64) -> Vec<Occurrence> {
    let mut shop = Shop::new(seed, config);
    let end_ms = config.start_ms + days * DAY_MS;
    let mut all = Vec::new();
    while shop.next_time_ms() < end_ms {
        all.push(shop.next_occurrence());
    }
    all
}

fn payments(all: &[Occurrence]) -> impl Iterator<Item = (&Purchase<'static>, Truth)> {
    all.iter().filter_map(|o| match &o.event {
        Event::Purchase(purchase) if !purchase.refund => Some((purchase, o.truth)),
        _ => None,
    })
}

fn hash(seed: u64, n: usize) -> u64 {
    let mut hash = Xxh3::new();
    Shop::new(seed, &small()).take(n).for_each(|o| hash.update(format!("{o:?}").as_bytes()));
    hash.digest()
}

#[test]
fn the_same_seed_gives_the_same_stream_on_every_machine() {
    assert_eq!(hash(1, 5_000), hash(1, 5_000));
    assert_ne!(hash(1, 5_000), hash(2, 5_000));
    // It changes with the shop, and with nothing else.
    assert_eq!(hash(1, 5_000), 12_496_377_057_549_310_718);
}

#[test]
fn a_shop_goes_on_from_where_it_stands_however_it_was_asked() {
    let mut shop = Shop::new(3, &small());
    let whole: Vec<Occurrence> = Shop::new(3, &small()).take(4_000).collect();
    for expected in &whole[..2_000] {
        assert_eq!(shop.next_time_ms(), expected.event.time_ms());
        assert_eq!(shop.next_time_ms(), expected.event.time_ms(), "to ask is not to take");
        assert_eq!(shop.next_occurrence(), *expected);
    }
    let copy: Vec<Occurrence> = shop.clone().take(2_000).collect();
    assert!(copy == whole[2_000..] && shop.take(2_000).eq(copy));
}

#[test]
fn time_never_goes_back_and_ids_are_used_once() {
    let (mut last_ms, mut ids) = (START_MS, BTreeSet::new());
    for occurrence in days(4, &small(), 90) {
        let time_ms = occurrence.event.time_ms();
        assert!(time_ms >= last_ms);
        last_ms = time_ms;
        let id = match &occurrence.event {
            Event::Purchase(purchase) => purchase.event_id.to_string(),
            Event::Engagement(engagement) => engagement.event_id.to_string(),
            Event::Feedback(feedback) => format!("f-{}", feedback.event_id),
        };
        assert!(ids.insert(id), "an id twice, or a payment with two verdicts");
    }
}

#[test]
fn shares_are_those_of_a_shop() {
    let all = days(1, &Config::default(), 300);
    let share = |count: usize, of: usize| count as f64 / of as f64;
    let sold: Vec<(&Purchase<'_>, Truth)> = payments(&all).collect();
    let count = |is: &dyn Fn(&Purchase<'_>, Truth) -> bool| sold.iter().filter(|(p, t)| is(p, *t)).count();
    let frauds = share(count(&|_, truth| truth.fraud.is_some()), sold.len());
    let stores = share(count(&|p, _| p.terminal.is_some()), sold.len());
    let guests = share(count(&|p, _| p.customer.is_none()), sold.len());
    let mut orders: BTreeMap<&str, u32> = BTreeMap::new();
    let own = sold.iter().filter_map(|(p, _)| p.customer.as_deref());
    own.for_each(|customer| *orders.entry(customer).or_default() += 1);
    let once = share(orders.values().filter(|orders| **orders == 1).count(), orders.len());
    let refunds = all.iter().filter(|o| matches!(&o.event, Event::Purchase(p) if p.refund)).count();
    let refunds = share(refunds, sold.len());
    let mut amounts: Vec<i64> = sold.iter().map(|(p, _)| p.amount_minor()).collect();
    amounts.sort_unstable();
    let middle = amounts[amounts.len() / 2];
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for occurrence in &all {
        let kind = if let Event::Engagement(e) = &occurrence.event { e.kind.symbol() } else { "other" };
        *kinds.entry(kind).or_default() += 1;
    }
    let told = format!(
        "{} events, {} payments, {} customers; fraud {frauds:.4}, stores {stores:.3}, guests {guests:.3}, one order \
         {once:.3}, refunds {refunds:.3}, middle amount {middle}, 99 %: {}; {kinds:?}",
        all.len(),
        sold.len(),
        orders.len(),
        amounts[amounts.len() * 99 / 100]
    );
    assert!((150_000..250_000).contains(&all.len()), "{told}");
    assert!((0.005..0.01).contains(&frauds), "{told}");
    assert!((0.2..0.45).contains(&stores) && (0.04..0.12).contains(&guests), "{told}");
    assert!((0.25..0.5).contains(&once) && (0.03..0.08).contains(&refunds), "{told}");
    assert!((2_500..6_000).contains(&middle), "{told}");
    assert_eq!(kinds.len(), EngagementKind::ALL.len() + 1, "every kind is there: {told}");
    for kind in FraudKind::ALL {
        let of_kind = count(&|_, truth| truth.fraud == Some(kind));
        assert!(of_kind > 20, "{kind:?} {of_kind}");
    }
}

#[test]
fn hours_weekdays_and_december_stand_out() {
    let all = days(5, &small(), 365);
    let mut hours = [0_u32; 24];
    let mut stores = [0_u32; 7];
    let mut months = [0_u32; 13];
    for (purchase, truth) in payments(&all).filter(|(_, truth)| truth.fraud.is_none()) {
        let time_ms = purchase.time_ms;
        assert!(truth.fraud.is_none());
        if purchase.terminal.is_some() {
            stores[weekday(time_ms)] += 1;
        } else {
            hours[time_ms.div_euclid(HOUR_MS).rem_euclid(24) as usize] += 1;
        }
        months[((time_ms - START_MS) / DAY_MS / 30) as usize] += 1;
    }
    assert!(hours[20] > 5 * hours[4].max(1), "{hours:?}");
    assert!(stores[6] == 0 && stores[5] > stores[1], "{stores:?}");
    // The eleventh of 30 days is December's first half and the end of November; the eighth is August.
    assert!(f64::from(months[11]) > 1.3 * f64::from(months[7]), "{months:?}");
}

#[test]
fn nobody_does_anything_after_leaving() {
    let all = days(6, &small(), 200);
    let mut left: BTreeMap<String, TimeMs> = BTreeMap::new();
    let mut is_over = 0;
    for Occurrence { event, truth } in &all {
        let Some(left_at_ms) = truth.left_at_ms else { continue };
        let customer = event.customer().expect("only customers leave").to_owned();
        assert_eq!(*left.entry(customer).or_insert(left_at_ms), left_at_ms, "it is decided from the start");
        let is_own = match event {
            Event::Purchase(purchase) => !purchase.refund && truth.fraud.is_none_or(|kind| !kind.is_thief()),
            Event::Engagement(_) => true,
            Event::Feedback(_) => false,
        };
        let is_after = event.time_ms() > left_at_ms;
        is_over += u32::from(is_after);
        assert!(!(is_own && is_after), "{event:?}");
    }
    assert!(is_over > 0, "refunds and verdicts still come");
    let end_ms = START_MS + 200 * DAY_MS;
    let gone = left.values().filter(|left_ms| **left_ms < end_ms).count() as f64 / left.len() as f64;
    assert!((0.3..0.9).contains(&gone), "{gone}");
}

#[test]
fn verdicts_come_after_their_payments_and_mostly_say_what_is_true() {
    let all = days(7, &Config { fraud_share: 0.02, ..small() }, 200);
    let mut sold: BTreeMap<String, (TimeMs, String, Truth)> = BTreeMap::new();
    let (mut right, mut wrong, mut delays) = (0, 0, Vec::new());
    for Occurrence { event, truth } in &all {
        match event {
            Event::Purchase(p) if !p.refund => {
                sold.insert(p.event_id.to_string(), (p.time_ms, p.key().to_owned(), *truth));
            }
            Event::Feedback(feedback) => {
                let (time_ms, key, of) = sold.get(&*feedback.event_id).expect("its payment was before");
                assert!(feedback.time_ms > *time_ms && feedback.customer == *key && *truth == *of);
                match (feedback.verdict, truth.fraud) {
                    (Verdict::Fraud, Some(_)) => {
                        right += 1;
                        delays.push(feedback.time_ms - time_ms);
                    }
                    (Verdict::Legitimate, None) => right += 1,
                    (Verdict::Fraud, None) => wrong += 1,
                    (Verdict::Legitimate, Some(kind)) => panic!("no fraud passes for legitimate: {kind:?}"),
                }
            }
            _ => {}
        }
    }
    let frauds = sold.values().filter(|(_, _, truth)| truth.fraud.is_some()).count();
    let noticed = delays.len() as f64 / frauds as f64;
    assert!((0.7..0.95).contains(&noticed), "{noticed}");
    assert!(right > 20 * wrong, "{right} {wrong}");
    delays.sort_unstable();
    let middle = delays[delays.len() / 2] as f64 / DAY_MS as f64;
    assert!((1.5..4.0).contains(&middle) && delays[0] < DAY_MS, "{middle} days");
}

/// Each kind of fraud is what it is said to be.
#[test]
fn fraud_looks_like_its_kind() {
    let all = days(8, &Config { fraud_share: 0.02, ..small() }, 250);
    let mut own: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (purchase, truth) in payments(&all).filter(|(_, truth)| truth.fraud.is_none()) {
        let Some(customer) = purchase.customer.as_deref() else { continue };
        assert!(truth.left_at_ms.is_some());
        own.entry(customer).or_default().push(purchase.amount_minor() as f64);
    }
    let mut times: BTreeMap<FraudKind, Vec<f64>> = BTreeMap::new();
    let mut cards: BTreeMap<&str, Vec<TimeMs>> = BTreeMap::new();
    for (purchase, truth) in payments(&all) {
        let Some(kind) = truth.fraud else { continue };
        if kind == FraudKind::LeakedCard {
            cards.entry(purchase.instrument.as_deref().expect("a card")).or_default().push(purchase.time_ms);
        }
        assert!(kind != FraudKind::CompromisedTerminal || purchase.terminal.is_some());
        let Some(usual) = purchase.customer.as_deref().and_then(|customer| own.get(customer)) else {
            continue;
        };
        let usual = usual.iter().sum::<f64>() / usual.len() as f64;
        times.entry(kind).or_default().push(purchase.amount_minor() as f64 / usual);
    }
    let middle = |kind: FraudKind| {
        let mut times = times[&kind].clone();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let middles = FraudKind::ALL.map(middle);
    assert!(middles[0] > 3.0 && middles[1] < 1.4 && middles[2] > 1.2, "{middles:?}");
    let payments = cards.values().map(Vec::len).sum::<usize>() as f64 / cards.len() as f64;
    assert!((3.5..6.5).contains(&payments), "{payments} a card");
    let longest = cards.values().map(|times| times[times.len() - 1] - times[0]).max();
    assert!(longest.is_some_and(|ms| ms < 30 * DAY_MS), "{longest:?}");
}

#[test]
fn what_goes_together_is_bought_together_and_what_is_used_up_again() {
    let config = small();
    let all = days(9, &config, 250);
    let catalogue = Shop::new(9, &config).catalogue;
    let items = config.items_in_category * Catalogue::CATEGORIES as u32;
    let numbers: BTreeMap<&str, u32> = (0..items).map(|item| (catalogue.name(item), item)).collect();
    let (mut pairs, mut together) = (0_u32, 0_u32);
    let mut last: BTreeMap<(&str, u32), TimeMs> = BTreeMap::new();
    let mut beside = Vec::new();
    for (purchase, truth) in payments(&all).filter(|(_, truth)| truth.fraud.is_none()) {
        let bought: Vec<u32> = purchase.lines.iter().map(|line| numbers[&*line.item]).collect();
        for (at, a) in bought.iter().enumerate() {
            for b in &bought[..at] {
                pairs += 1;
                together += u32::from(catalogue.is_together(*a, *b));
            }
        }
        let Some(customer) = purchase.customer.as_deref() else { continue };
        assert!(truth.fraud.is_none());
        for item in bought {
            let before = last.insert((customer, item), purchase.time_ms);
            if let (Some(before_ms), Some(days)) = (before, catalogue.interval_days(item)) {
                beside.push((purchase.time_ms - before_ms) as f64 / DAY_MS as f64 / days);
            }
        }
    }
    let share = f64::from(together) / f64::from(pairs);
    // Of any pair 3 in 479 would be.
    assert!(share > 0.05, "{share}");
    beside.sort_by(f64::total_cmp);
    let middle = beside[beside.len() / 2];
    let near = beside.iter().filter(|x| (0.6..1.6).contains(*x)).count() as f64 / beside.len() as f64;
    assert!(beside.len() > 300 && (0.7..1.4).contains(&middle) && near > 0.5, "{middle} {near}");
}

#[test]
fn nothing_grows_beyond_its_limit() {
    let config = Config { customers_max: 200, waiting_max: 100, customers_a_day: 20.0, ..small() };
    let mut shop = Shop::new(10, &config);
    let end_ms = START_MS + 300 * DAY_MS;
    let (mut events, mut due_max) = (0_u64, 0);
    while shop.next_time_ms() < end_ms {
        shop.next_occurrence();
        events += 1;
        due_max = due_max.max(shop.agenda.len());
    }
    assert!(events > 5_000, "it goes on: {events}");
    assert!(shop.people.slots() <= 200);
    // A plan each, the shop's own four, visits and newsletters under way.
    assert!(due_max < 500, "{due_max}");
}
