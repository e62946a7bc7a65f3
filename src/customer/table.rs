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
    /// Of ids and memories.
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
struct Stored {
    slots: u32,
    records: Vec<(u32, Customer)>,
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

    /// Copies the page first where a view still holds it.
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut Customer> {
        let slot = slot as usize;
        Arc::make_mut(self.pages.get_mut(slot / PAGE)?).get_mut(slot % PAGE)?.as_mut()
    }

    /// The slot of the new record. The key must not be there yet.
    pub fn insert(&mut self, customer: Customer) -> u32 {
        let key = customer.key();
        assert!(self.slot(key).is_none(), "a customer is inserted twice");
        self.heap_bytes += heap_bytes(&customer);
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
        self.heap_bytes -= heap_bytes(&customer);
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

    /// Sets what an analysis remembers of the customer in a slot that is taken.
    pub fn remember(&mut self, slot: u32, analysis: u8, memory: &[u8]) {
        let customer = self.get_mut(slot).expect("the slot is taken");
        let before = customer.memory.bytes();
        customer.memory.set(analysis, memory);
        let after = customer.memory.bytes();
        self.heap_bytes = self.heap_bytes + after - before;
    }

    /// Pages, ids, memories and index, in bytes.
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
            records: records(&self.pages).map(|(slot, customer)| (slot, customer.clone())).collect(),
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
        let stored: Stored = postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
        let mut table = Table::default();
        let mut records = stored.records.into_iter().peekable();
        for slot in 0..stored.slots {
            let record = records.next_if(|(at, _)| *at == slot).map(|(_, customer)| customer);
            if let Some(customer) = &record {
                table.heap_bytes += heap_bytes(customer);
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

/// The id with the counts in front of it, and what analyses remember.
fn heap_bytes(customer: &Customer) -> usize {
    customer.id.len() + 16 + customer.memory.bytes()
}

fn records(pages: &[Arc<Page>]) -> impl Iterator<Item = (u32, &Customer)> {
    (0_u32..)
        .zip(pages.iter().flat_map(|page| page.iter()))
        .filter_map(|(slot, cell)| Some((slot, cell.as_ref()?)))
}
