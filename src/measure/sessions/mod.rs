//! Lists of what comes next in a session, measured at every step of unseen sessions.

mod methods;
mod run;

use crate::learn::item_to_item::Item;

pub use methods::{METHODS, Method, method};
pub use run::{Measured, Micros, run};

/// Items of a list.
pub const LIST: usize = 20;

/// Sessions in order of time, each with its items in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sessions {
    pub train: Vec<Vec<Item>>,
    pub test: Vec<Vec<Item>>,
}

/// Which steps count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Every step, one to the item on the screen included, as published tables have it.
    Published,
    /// What a shop would do: a list holds no item of the session, and a step back to one does not count.
    Shop,
}

impl Protocol {
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Published => "published",
            Protocol::Shop => "shop",
        }
    }
}

/// How to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub protocol: Protocol,
    /// Each finished test session is learned before the next one begins; else nothing of them is.
    pub online: bool,
}
