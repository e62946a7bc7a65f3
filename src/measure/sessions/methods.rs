//! The methods by name.

use super::LIST;
use crate::learn::item_to_item::{Candidates, Config, Context, Item, ItemToItem, Neighbours, Repeats};
use crate::learn::{Learner, Popularity, popularity};
use crate::math::decay::HalfLife;
use crate::math::hash::IdMap;

/// Every method; the last is what the product does.
pub const METHODS: [&str; 4] = ["popularity", "last_item", "item_to_item", "default"];

/// Makes lists from what it has learned of whole sessions.
pub trait Method {
    /// A finished session. Times do not go back.
    fn learn(&mut self, session: &[Item], time_ms: i64);
    /// The list for a session that stands at `context`, best first and without the items of `skip`, at most [`LIST`] of
    /// them. It replaces what is in `list`.
    fn list(&mut self, context: &Context, skip: &[Item], list: &mut Vec<Item>);
    /// Of learners, and of rows that are published.
    fn bytes(&self) -> usize;
}

/// The method of that name, which has learned nothing yet.
pub fn method(name: &str) -> Option<Box<dyn Method>> {
    match name {
        "popularity" => Some(Box::new(Popular::default())),
        "last_item" => Some(Box::new(Rows::new(1))),
        "item_to_item" => Some(Box::new(Rows::new(Context::LENGTH))),
        "default" => Some(Box::new(Blend { rows: Rows::new(Context::LENGTH), popular: Popular::default() })),
        _ => None,
    }
}

/// Neighbours published of an item.
const PUBLISHED: usize = 50;
/// The whole market stage is one table here; the service splits as many items over its partitions.
const ITEMS_MAX: usize = 1_000_000;

/// Rows of the nearest `last` items, in their published form; more than one row with repeats.
struct Rows {
    last: usize,
    half_life: HalfLife,
    table: ItemToItem,
    repeats: Repeats,
    /// Rows as they stand; one that has changed is published again when it is next read.
    published: IdMap<Item, Neighbours>,
    published_bytes: usize,
    candidates: Candidates<1>,
    now_ms: i64,
}

impl Rows {
    fn new(last: usize) -> Rows {
        let config = Config { items_max: ITEMS_MAX, ..Config::default() };
        Rows {
            last,
            half_life: config.half_life,
            table: ItemToItem::new(&config),
            repeats: Repeats::default(),
            published: IdMap::new(),
            published_bytes: 0,
            candidates: Candidates::default(),
            now_ms: 0,
        }
    }

    fn publish(&mut self, item: Item) {
        if self.published.contains(&item) {
            return;
        }
        if let Some(row) = self.table.neighbours(item, PUBLISHED, self.now_ms) {
            self.published_bytes += heap_bytes(&row);
            self.published.insert(item, row);
        }
    }
}

impl Method for Rows {
    fn learn(&mut self, session: &[Item], time_ms: i64) {
        self.now_ms = time_ms;
        let mut context = Context::default();
        for item in session {
            if !context.items().is_empty() {
                self.repeats.learn_one(self.half_life, context.place_of(*item), time_ms);
            }
            for pair in context.pairs(*item) {
                self.table.add(pair, time_ms);
                if let Some(row) = self.published.remove(&pair.left) {
                    self.published_bytes -= heap_bytes(&row);
                }
            }
            context.push(*item);
        }
    }

    fn list(&mut self, context: &Context, skip: &[Item], list: &mut Vec<Item>) {
        for item in context.items().iter().take(self.last) {
            self.publish(*item);
        }
        let repeats = (self.last > 1).then(|| self.repeats.shares(self.half_life, self.now_ms));
        self.candidates.clear();
        let row = |item: Item| self.published.get(&item);
        self.candidates.add_context(LIST, context, self.last, row, repeats.as_ref());
        let best = self.candidates.top(LIST, |item| !skip.contains(&item));
        list.clear();
        list.extend(best.iter().map(|scored| scored.item));
    }

    fn bytes(&self) -> usize {
        self.table.bytes() + size_of::<Repeats>() + self.published.bytes() + self.published_bytes
    }
}

fn heap_bytes(row: &Neighbours) -> usize {
    row.shares.capacity() * size_of::<(Item, f32)>()
}

/// What everybody takes lately, whatever the session.
struct Popular {
    popularity: Popularity,
    now_ms: i64,
}

impl Default for Popular {
    fn default() -> Popular {
        Popular { popularity: Popularity::new(&popularity::Config::default()), now_ms: 0 }
    }
}

impl Popular {
    /// Adds the most popular items that are not in the list yet, until it is full.
    fn fill(&self, skip: &[Item], list: &mut Vec<Item>) {
        let items = self.popularity.top(LIST + list.len() + skip.len(), self.now_ms);
        for (item, _) in items {
            if list.len() == LIST {
                return;
            }
            if !list.contains(&item) && !skip.contains(&item) {
                list.push(item);
            }
        }
    }
}

impl Method for Popular {
    fn learn(&mut self, session: &[Item], time_ms: i64) {
        self.now_ms = time_ms;
        session.iter().for_each(|item| {
            self.popularity.add(*item, 1.0, time_ms);
        });
    }

    fn list(&mut self, _: &Context, skip: &[Item], list: &mut Vec<Item>) {
        list.clear();
        self.fill(skip, list);
    }

    fn bytes(&self) -> usize {
        self.popularity.bytes()
    }
}

/// Rows, and popular items where they leave room.
struct Blend {
    rows: Rows,
    popular: Popular,
}

impl Method for Blend {
    fn learn(&mut self, session: &[Item], time_ms: i64) {
        self.rows.learn(session, time_ms);
        self.popular.learn(session, time_ms);
    }

    fn list(&mut self, context: &Context, skip: &[Item], list: &mut Vec<Item>) {
        self.rows.list(context, skip, list);
        if list.len() < LIST {
            self.popular.fill(skip, list);
        }
    }

    fn bytes(&self) -> usize {
        self.rows.bytes() + self.popular.bytes()
    }
}
