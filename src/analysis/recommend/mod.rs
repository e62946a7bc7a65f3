//! Recommendation: what a customer may want next.
//!
//! Three sources in one list: what others took after what the customer took last (item-to-item weights of all
//! customers), what the customer buys again and again, and what is popular. The customer side tells the market
//! stage what was taken after what, and makes lists of the rows that come back.

mod customer;
mod list;
mod market;

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use super::shared::Tables;
use super::{Descriptor, parsed};
use crate::customer::Customer;
use crate::event::{TimeMs, item_hash};
use crate::signal::Items;

pub const DESCRIPTOR: Descriptor = Descriptor {
    id: 2,
    name: "recommend",
    purpose: "lists what a customer may want next, with the reason for each item",
    memory_bytes_max: 8 + 4 * ITEMS_MAX,
    version: 2,
    customer: |_| Box::new(customer::Recommend::default()),
    market: |config, partition| Box::new(market::ItemTables::new(&config.recommend, partition)),
    models: &[],
    job: None,
};

/// The shared table of items, by [`item_key`]: the item's name as text; as shares first the item itself with its
/// prior, then each neighbour.
pub const ITEMS: &str = "items";
/// The shared table of what is popular: one row, [`POPULAR_KEY`], with the share of each item; and as numbers how often
/// the next item is the one that stands at each place of a customer's last, nearest first.
pub const POPULAR: &str = "popular";
pub const POPULAR_KEY: &str = "all";

/// Where a list's items come from; the order stands in customers' memory.
pub const SOURCES: [&str; 4] = ["session", "repurchase", "popular", "seen"];

/// Items of a list at most: so many fit into what is remembered of it.
pub const ITEMS_MAX: usize = 10;

/// The key of an item's row: its hash in hexadecimal.
pub fn item_key(hash: u32) -> ItemKey {
    let digit = |at: usize| b"0123456789abcdef"[(hash >> (28 - 4 * at)) as usize & 15];
    ItemKey(std::array::from_fn(digit))
}

/// See [`item_key`]. No key is longer, so that none is put on the heap to ask for a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemKey([u8; 8]);

impl AsRef<[u8]> for ItemKey {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for ItemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|digit| f.write_char(char::from(*digit)))
    }
}

/// The list that a customer would get now without an event: for who asks, remembered by nobody.
pub fn list_now(customer: &Customer, tables: &Tables, n: usize, now_ms: TimeMs) -> Items {
    let context = customer.taken.into();
    let evidence = list::Evidence {
        tables,
        context: &context,
        bought: Some(&customer.repurchases),
        at_hand: &[],
        is_bought: false,
        now_ms,
    };
    evidence.list(n.clamp(1, ITEMS_MAX), &mut list::Room::default()).shown
}

/// The items taken most after this one, with their shares of what was taken next, best first, at most `n`; those
/// whose name is known. None where the item has no row.
pub fn similar<'a>(tables: &'a Tables, item: &str, n: usize) -> Option<Vec<(&'a str, f32)>> {
    let row = |hash| tables.row(ITEMS, item_key(hash));
    let own = item_hash(item);
    let (_prior, neighbours) = row(own)?.shares.split_first()?;
    let others = neighbours.iter().filter(|(other, _)| *other != own);
    let named = others.filter_map(|(other, share)| Some((row(*other)?.text.as_str(), *share)));
    Some(named.take(n).collect())
}

/// Settings that shape state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Half-life of what was taken after what.
    pub half_life_ms: TimeMs,
    /// Half-life of an item's popularity.
    pub popular_half_life_ms: TimeMs,
    /// Items kept by a market partition at most; the one that is taken least goes first.
    pub items_max: u32,
    /// Neighbours kept of each item, twice as many as are published.
    pub neighbours_max: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            half_life_ms: 60 * 86_400_000,
            popular_half_life_ms: 7 * 86_400_000,
            items_max: 100_000,
            neighbours_max: 100,
        }
    }
}

/// Settings that change what is published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Published {
    /// Whether what was taken after what is told and lists are made.
    pub enabled: bool,
    /// Items of a list, 1 to [`ITEMS_MAX`].
    pub items: u16,
    /// Between two lists of a customer, where neither a purchase nor a cart asks for one.
    pub interval_ms: TimeMs,
}

impl Default for Published {
    fn default() -> Published {
        Published { enabled: true, items: 10, interval_ms: 30_000 }
    }
}

impl Published {
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "enabled" => self.enabled = parsed("recommend", name, value)?,
            "items" => self.items = parsed("recommend", name, value)?,
            "interval_ms" => self.interval_ms = parsed("recommend", name, value)?,
            _ => return Err(format!("there is no setting recommend.{name}")),
        }
        Ok(())
    }

    pub(super) fn entries(&self) -> Vec<(&'static str, String)> {
        vec![
            ("enabled", self.enabled.to_string()),
            ("items", self.items.to_string()),
            ("interval_ms", self.interval_ms.to_string()),
        ]
    }
}
