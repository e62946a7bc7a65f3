//! The customer table of one partition: pages of records, copied on write, capped.
//!
//! A snapshot takes a [`Frozen`] view, which costs one reference per page; a page that is written
//! while a view lives is copied then. Slots are handed out in a fixed order, so that a restored table
//! goes on exactly as the one it was taken from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Customer, CustomerKey};
use crate::math::hash::SlotIndex;

/// Records in a page: small enough that copying one is microseconds, large enough that a view of a
/// million customers is 31 thousand references.
const PAGE: usize = 32;

type Page = Vec<Option<Customer>>;

/// Customers by slot and by key.
#[derive(Debug, Clone, Default)]
pub struct Table {
    pages: Vec<Arc<Page>>,
    /// Slots that were given back, reused last first.
    free: Vec<u32>,
    index: SlotIndex,
    /// Of what records hold outside their pages.
    heap_bytes: usize,
}

/// The table at one moment, cheap to take and to send to another thread.
#[derive(Debug, Clone)]
pub struct Frozen {
    pages: Vec<Arc<Page>>,
    free: Vec<u32>,
}

/// What a snapshot holds.
#[derive(Serialize, Deserialize)]
struct Stored<C> {
    slots: u32,
    records: Vec<(u32, C)>,
    free: Vec<u32>,
}

impl Table {
    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    pub fn slot(&self, key: CustomerKey) -> Option<u32> {
        self.index.find(key, |slot| self.get(slot).is_some_and(|customer| customer.key() == key))
    }

    pub fn get(&self, slot: u32) -> Option<&Customer> {
        let slot = slot as usize;
        self.pages.get(slot / PAGE)?.get(slot % PAGE)?.as_ref()
    }

    /// Changes the customer in a slot that is taken. Copies the page first where a view still holds it.
    pub fn change<R>(&mut self, slot: u32, change: impl FnOnce(&mut Customer) -> R) -> R {
        let customer = self.cell(slot).as_mut().expect("the slot is taken");
        let before = customer.heap_bytes();
        let changed = change(customer);
        let after = customer.heap_bytes();
        self.heap_bytes = self.heap_bytes + after - before;
        changed
    }

    /// The slot of the new record. The key must not be there yet.
    pub fn insert(&mut self, customer: Customer) -> u32 {
        let key = customer.key();
        assert!(self.slot(key).is_none(), "a customer is inserted twice");
        self.heap_bytes += customer.heap_bytes();
        let slot = match self.free.pop() {
            Some(slot) => {
                *self.cell(slot) = Some(customer);
                slot
            }
            None => self.push(Some(customer)),
        };
        self.index.insert(key, slot);
        slot
    }

    pub fn remove(&mut self, slot: u32) -> Option<Customer> {
        let customer = self.cell(slot).take()?;
        self.index.remove(customer.key(), slot);
        self.heap_bytes -= customer.heap_bytes();
        self.free.push(slot);
        Some(customer)
    }

    pub fn freeze(&self) -> Frozen {
        Frozen { pages: self.pages.clone(), free: self.free.clone() }
    }

    /// Every record in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Customer)> {
        records(&self.pages)
    }

    /// Pages, what records hold outside them, and index, in bytes.
    pub fn bytes(&self) -> usize {
        let page = PAGE * size_of::<Option<Customer>>() + size_of::<Page>() + 16;
        self.pages.len() * page + self.heap_bytes + self.index.bytes() + self.free.len() * 4
    }

    fn cell(&mut self, slot: u32) -> &mut Option<Customer> {
        let slot = slot as usize;
        &mut Arc::make_mut(&mut self.pages[slot / PAGE])[slot % PAGE]
    }

    fn push(&mut self, cell: Option<Customer>) -> u32 {
        if self.pages.last().is_none_or(|page| page.len() == PAGE) {
            self.pages.push(Arc::new(Vec::with_capacity(PAGE)));
        }
        let page_idx = self.pages.len() - 1;
        let page = Arc::make_mut(&mut self.pages[page_idx]);
        // A copied page has lost its room to grow.
        page.reserve_exact(PAGE - page.len());
        page.push(cell);
        u32::try_from(page_idx * PAGE + page.len() - 1).expect("a partition holds fewer than 2^32 customers")
    }
}

impl Frozen {
    /// Appends the table's snapshot section.
    pub fn encode(&self) -> Vec<u8> {
        let slots = self.pages.iter().map(|page| page.len()).sum::<usize>();
        let stored = Stored {
            slots: u32::try_from(slots).expect("a partition holds fewer than 2^32 customers"),
            records: records(&self.pages).collect(),
            free: self.free.clone(),
        };
        postcard::to_allocvec(&stored).expect("plain data always serialises")
    }
}

impl Table {
    /// The table of a snapshot section.
    ///
    /// # Errors
    /// When the bytes are not a table's or contradict themselves.
    pub fn decode(bytes: &[u8]) -> Result<Table, String> {
        let stored: Stored<Customer> = postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
        let mut table = Table::default();
        let mut records = stored.records.into_iter().peekable();
        for slot in 0..stored.slots {
            let record = records.next_if(|(at, _)| *at == slot).map(|(_, customer)| customer);
            if let Some(customer) = &record {
                table.heap_bytes += customer.heap_bytes();
                if table.slot(customer.key()).is_some() {
                    return Err(format!("customer {} stands twice in the table", customer.id));
                }
                table.index.insert(customer.key(), slot);
            }
            table.push(record);
        }
        if records.next().is_some() || stored.free.len() + table.len() != stored.slots as usize {
            return Err("the table's slots do not add up".into());
        }
        table.free = stored.free;
        Ok(table)
    }
}

fn records(pages: &[Arc<Page>]) -> impl Iterator<Item = (u32, &Customer)> {
    (0_u32..)
        .zip(pages.iter().flat_map(|page| page.iter()))
        .filter_map(|(slot, cell)| Some((slot, cell.as_ref()?)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::customer::{Memory, customer_key};

    proptest! {
        /// Against a map by id: what was put in, changed and taken out; slots, bytes, a view, and the way through a snapshot.
        #[test]
        fn it_is_a_map_with_slots(steps in prop::collection::vec((0_u8..6, 0_u32..90, 0_usize..20), 1..300)) {
            let (mut table, mut slow) = (Table::default(), BTreeMap::<String, u32>::new());
            let mut view = (table.freeze(), Vec::new());
            for (step, number, size) in steps {
                let id = format!("customer {number}");
                let slot = table.slot(customer_key(&id));
                prop_assert_eq!(slot, slow.get(&id).copied());
                match (step, slot) {
                    (0, _) => view = (table.freeze(), table.freeze().encode()),
                    (1 | 2, None) => {
                        slow.insert(id.clone(), table.insert(Customer::new(&id)));
                    }
                    (1, Some(slot)) => {
                        prop_assert_eq!(&*table.remove(slot).unwrap().id, id.as_str());
                        slow.remove(&id);
                    }
                    (2, Some(slot)) => table.change(slot, |customer| customer.memory.set(1, &[7; Memory::BYTES_MAX][..size])),
                    (_, Some(slot)) => table.change(slot, |customer| {
                        customer.velocity.payment(i64::from(number) * 86_400_000 * size as i64, 100, None);
                        customer.repurchases.purchase(size as u32, 0);
                    }),
                    (_, None) => {}
                }
            }
            let records: BTreeMap<String, u32> = table.iter().map(|(slot, customer)| (customer.id.to_string(), slot)).collect();
            prop_assert_eq!(&records, &slow);
            prop_assert_eq!(table.heap_bytes, table.iter().map(|(_, customer)| customer.heap_bytes()).sum::<usize>());
            let written = table.freeze().encode();
            let mut back = Table::decode(&written).unwrap();
            prop_assert_eq!((back.freeze().encode(), back.heap_bytes), (written, table.heap_bytes));
            prop_assert_eq!(back.insert(Customer::new("one more")), table.insert(Customer::new("one more")));
            prop_assert!(view.1.is_empty() || view.0.encode() == view.1);
        }
    }
}
