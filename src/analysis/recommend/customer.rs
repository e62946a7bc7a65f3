//! The customer side: tells what was taken after what, and makes lists.

use super::list::{Evidence, Made, Room};
use super::{DESCRIPTOR, ITEMS_MAX, SOURCES};
use crate::analysis::{CustomerSide, Hit, Output, View};
use crate::customer::Customer;
use crate::event::{EngagementKind, Event, TimeMs, item_hash};
use crate::learn::item_to_item::Context;
use crate::signal::fact::{Before, Fact};
use crate::signal::journal::Decision;
use crate::signal::{Recommendation, Signal, SignalId, Source};

/// Learns nothing in the partition: what crosses customers is the market stage's.
#[derive(Debug, Default)]
pub(super) struct Recommend {
    room: Room,
}

/// What is remembered of the last list: when it went out, its items, and the source of each.
#[derive(Debug, Clone, PartialEq)]
struct LastList {
    time_ms: TimeMs,
    items: Vec<(u32, usize)>,
}

impl LastList {
    /// Seconds, two bits for each item's source, and the items, as words of 4 bytes.
    fn encode(&self) -> Vec<u8> {
        let seconds = u32::try_from(self.time_ms.div_euclid(1000)).unwrap_or(0);
        let mut sources = 0_u32;
        for (at, (_, source)) in self.items.iter().enumerate() {
            sources |= (*source as u32) << (2 * at);
        }
        let mut encoded = Vec::with_capacity(4 * (2 + self.items.len()));
        let words = [seconds, sources].into_iter().chain(self.items.iter().map(|(item, _)| *item));
        words.for_each(|word| encoded.extend_from_slice(&word.to_le_bytes()));
        encoded
    }

    fn of(customer: Option<&Customer>) -> Option<LastList> {
        let (words, []) = customer?.memory.get(DESCRIPTOR.id)?.as_chunks::<4>() else { return None };
        let mut words = words.iter().map(|word| u32::from_le_bytes(*word));
        let (seconds, sources) = (words.next()?, words.next()?);
        let items = words.enumerate().map(|(at, item)| (item, ((sources >> (2 * at)) & 3) as usize));
        Some(LastList { time_ms: i64::from(seconds) * 1000, items: items.collect() })
    }

    /// Whether the list had one of the items: over all, and for each source that it had items of.
    fn hits(&self, taken: &[u32], hits: &mut Vec<Hit>) {
        let is_hit = |(item, _): &(u32, usize)| taken.contains(item);
        hits.push(Hit { source: "all", hit: self.items.iter().any(is_hit) });
        for (number, source) in SOURCES.iter().enumerate() {
            let of_source = || self.items.iter().filter(|(_, of)| *of == number);
            if of_source().next().is_some() {
                hits.push(Hit { source, hit: of_source().any(is_hit) });
            }
        }
    }
}

impl CustomerSide for Recommend {
    fn judge(
        &mut self,
        source: Source,
        event: &Event<'_>,
        customer: Option<&Customer>,
        view: View<'_>,
        output: &mut Output,
    ) {
        let settings = &view.published.recommend;
        if !settings.enabled {
            return;
        }
        let time_ms = event.time_ms();
        let names = event.taken();
        let taken: Vec<u32> = names.iter().map(|name| item_hash(name)).collect();
        let last = LastList::of(customer);
        if let (Some(last), false) = (&last, taken.is_empty()) {
            last.hits(&taken, &mut output.hits);
        }
        let mut context: Context = customer.map(|customer| customer.taken).unwrap_or_default().into();
        for (name, item) in names.iter().zip(&taken) {
            tell(name, *item, &context, time_ms, output);
            context.push(*item);
        }
        let is_due = last.is_none_or(|last| (time_ms - last.time_ms).abs() >= settings.interval_ms);
        if is_asked_for(event) || is_due && is_visit(event) {
            let bought = customer.map(|customer| &customer.repurchases);
            let is_bought = matches!(event, Event::Purchase(_));
            // The nearest of what the event is about; that of a long order may come back.
            let nearest = context.items().iter().filter(|item| taken.contains(item));
            let at_hand: Vec<u32> = nearest.copied().collect();
            let evidence = Evidence {
                tables: view.tables,
                context: &context,
                bought,
                at_hand: &at_hand,
                is_bought,
                now_ms: time_ms,
            };
            let list = evidence.list(usize::from(settings.items).clamp(1, ITEMS_MAX), &mut self.room);
            publish(source, event, list, customer, output);
        }
    }
}

/// The item to its own market partition, with what was there before; and to that of each item before.
fn tell(name: &str, item: u32, context: &Context, time_ms: TimeMs, output: &mut Output) {
    let paired = context.paired().iter().copied().zip(0..);
    // Beyond what makes pairs only the item itself counts: it is taken again.
    let place = context.place_of(item).filter(|place| *place >= Context::PAIRED);
    let before: Before = paired.chain(place.map(|place| (item, place as u8))).collect();
    let lefts: Before = before.items().iter().copied().filter(|(left, _)| *left != item).collect();
    if !lefts.items().is_empty() {
        output.facts.push(Fact::Pairs { right: item, time_ms, lefts });
    }
    output.facts.push(Fact::Item { item: name.to_owned(), time_ms, before });
}

/// An empty list is none. A guest's is remembered by nobody.
fn publish(
    source: Source,
    event: &Event<'_>,
    Made { shown, items }: Made,
    customer: Option<&Customer>,
    output: &mut Output,
) {
    let (Some(id), false) = (event.customer(), items.is_empty()) else { return };
    if let Some(customer) = customer {
        output.decisions.push(Decision::Remember {
            analysis: DESCRIPTOR.id,
            customer: customer.key(),
            memory: LastList { time_ms: event.time_ms(), items }.encode(),
        });
    }
    output.signals.push(Signal::Recommendation(Recommendation {
        id: SignalId::new(source, DESCRIPTOR.name, id, 0, 0),
        customer: id.to_owned(),
        time_ms: event.time_ms(),
        source,
        version: u64::from(DESCRIPTOR.version),
        items: shown,
    }));
}

/// A list goes out at once.
fn is_asked_for(event: &Event<'_>) -> bool {
    match event {
        Event::Purchase(purchase) => !purchase.refund,
        Event::Engagement(engagement) => engagement.kind == EngagementKind::AddToCart,
        Event::Feedback(_) => false,
    }
}

/// The customer is there, and sees a list if there is one. The first event of a session comes long after the last
/// list, and so gets one.
fn is_visit(event: &Event<'_>) -> bool {
    use EngagementKind::{Click, EmailClick, Login, RemoveFromCart, Search, View, Wishlist};
    let Event::Engagement(engagement) = event else { return false };
    matches!(engagement.kind, View | Click | RemoveFromCart | Wishlist | Search | Login | EmailClick)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_list_fits_into_memory_and_comes_back() {
        let items = (0..ITEMS_MAX as u32).map(|at| (at * 1_000_003, at as usize % 3)).collect();
        let last = LastList { time_ms: 1_600_000_000_000, items };
        assert!(last.encode().len() <= crate::customer::Memory::BYTES_MAX);
        let mut customer = Customer::new("c");
        assert_eq!(LastList::of(Some(&customer)), None);
        customer.memory.set(DESCRIPTOR.id, &last.encode());
        assert_eq!(LastList::of(Some(&customer)), Some(last));
    }

    #[test]
    fn the_nearest_five_make_pairs_and_a_far_item_tells_that_it_is_taken_again() {
        let mut context = Context::default();
        (1..=8).for_each(|item| context.push(item));
        let told = |item| {
            let mut output = Output::default();
            tell("name", item, &context, 5, &mut output);
            output.facts
        };
        let before = |items: &[(u32, u8)]| items.iter().copied().collect::<Before>();
        let nearest = [(8, 0), (7, 1), (6, 2), (5, 3), (4, 4)];
        let item = |before| Fact::Item { item: "name".into(), time_ms: 5, before };
        let pairs = |right, lefts| Fact::Pairs { right, time_ms: 5, lefts };
        assert_eq!(told(9), [pairs(9, before(&nearest)), item(before(&nearest))]);
        // The second of eight stands at the place 6.
        let with_itself = [&nearest[..], &[(2, 6)]].concat();
        assert_eq!(told(2), [pairs(2, before(&nearest)), item(before(&with_itself))]);
        // Of a near one the others make pairs.
        assert_eq!(told(7), [pairs(7, before(&[(8, 0), (6, 2), (5, 3), (4, 4)])), item(before(&nearest))]);
    }

    #[test]
    fn hits_are_counted_over_all_and_by_source() {
        let last = LastList { time_ms: 0, items: vec![(7, 0), (8, 2)] };
        let mut hits = Vec::new();
        last.hits(&[8, 9], &mut hits);
        let told: Vec<(&str, bool)> = hits.iter().map(|hit| (hit.source, hit.hit)).collect();
        assert_eq!(told, [("all", true), ("session", false), ("popular", true)]);
    }
}
