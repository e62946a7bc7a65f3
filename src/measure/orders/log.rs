//! From rows to the days on which customers ordered.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use super::Day;
use crate::math::hash::IdMap;

/// One line of the file: an order, or a part of one.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    pub customer: &'a [u8],
    /// What the lines of one order share; None where each line is an order.
    pub order: Option<&'a [u8]>,
    pub day: Day,
    /// Money or pieces, negative for what came back; NaN where it is not known.
    pub amount: f64,
}

/// Orders by customer.
///
/// The lines of an order are summed, and it has the day of its first line. An order whose sum is negative is a
/// return and counts for nothing. A customer's orders of one day count as one, as in all of the literature on
/// repeat purchases: two of one day are mostly one that was split.
#[derive(Debug, Default)]
pub struct OrderLog {
    /// By first appearance.
    customers: Vec<Vec<u8>>,
    places: IdMap<u64, u32>,
    orders: Vec<Order>,
    /// Place among `orders` by hash of customer and order.
    open: IdMap<u128, u32>,
    last_day: Option<Day>,
}

#[derive(Debug, Clone, Copy)]
struct Order {
    customer: u32,
    day: Day,
    sum: f64,
}

/// A customer and the days on which it ordered, ascending, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerDays {
    pub customer: Vec<u8>,
    pub days: Vec<Day>,
}

impl OrderLog {
    pub fn push(&mut self, row: &Row<'_>) {
        self.last_day = self.last_day.max(Some(row.day));
        let amount = if row.amount.is_nan() { 0.0 } else { row.amount };
        let next = self.customers.len() as u32;
        let customer = *self.places.get_or_insert_with(xxh3_64(row.customer), || next);
        if customer == next {
            self.customers.push(row.customer.to_vec());
        }
        let order = Order { customer, day: row.day, sum: amount };
        let Some(id) = row.order else { return self.orders.push(order) };
        let next = self.orders.len() as u32;
        let place = *self.open.get_or_insert_with(xxh3_128_with_seed(id, u64::from(customer)), || next);
        if place == next {
            self.orders.push(order);
        } else {
            self.orders[place as usize].sum += amount;
        }
    }

    /// The last day of any row, those of returns and of nobody too: what happened after it is not known.
    pub fn last_day(&self) -> Option<Day> {
        self.last_day
    }

    /// A row that is no customer's still says that its day was observed.
    pub fn push_nobody(&mut self, day: Day) {
        self.last_day = self.last_day.max(Some(day));
    }

    /// All customers with an order, by first appearance in the file.
    pub fn customers(self) -> Vec<CustomerDays> {
        let customers =
            self.customers.into_iter().map(|customer| CustomerDays { customer, days: Vec::new() });
        let mut customers: Vec<CustomerDays> = customers.collect();
        for order in self.orders.iter().filter(|order| order.sum >= 0.0) {
            customers[order.customer as usize].days.push(order.day);
        }
        for customer in &mut customers {
            customer.days.sort_unstable();
            customer.days.dedup();
        }
        customers.retain(|customer| !customer.days.is_empty());
        customers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_orders_and_orders_become_days() {
        let mut log = OrderLog::default();
        for (customer, order, day, amount) in [
            ("b", "1", 9, 5.0),
            ("a", "1", 3, 2.0),
            ("b", "1", 9, -2.0),
            ("a", "2", 4, 1.0),
            ("a", "3", 4, f64::NAN),
            ("a", "4", 6, 1.0),
            ("a", "4", 7, -1.5),
            ("a", "1", 8, 2.0),
            ("c", "5", 2, -1.0),
        ] {
            let (customer, order) = (customer.as_bytes(), Some(order.as_bytes()));
            log.push(&Row { customer, order, day, amount });
        }
        log.push_nobody(11);
        assert_eq!(log.last_day(), Some(11));
        let expected = [("b", vec![9]), ("a", vec![3, 4])];
        let expected = expected.map(|(name, days)| CustomerDays { customer: name.into(), days });
        assert_eq!(log.customers(), expected);
    }

    #[test]
    fn without_orders_each_line_is_one() {
        let mut log = OrderLog::default();
        for (day, amount) in [(5, 1.0), (5, -1.0), (3, f64::NAN), (4, -1.0)] {
            log.push(&Row { customer: b"a", order: None, day, amount });
        }
        assert_eq!(log.customers()[0].days, [3, 5]);
    }
}
