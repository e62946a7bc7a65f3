//! The journal: what a partition applied, in the order in which it was applied, one entry a transaction.
//!
//! Inputs on several topics have no order between them until the owner chooses one. The entry is that
//! choice, with every decision that a replay must take instead of make.

use serde::{Deserialize, Serialize};

use crate::event::{Input, Reject, TimeMs};

/// One transaction of one partition.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Entry {
    pub partition: u32,
    /// Code and settings that shape state; a restore under another is refused.
    pub fold_version: u64,
    pub steps: Vec<Step>,
    pub positions: Positions,
    /// Hash of the bytes of every record touched, chained with the entry before.
    pub chain: u64,
}

/// The next offset to read, of everything the partition reads.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Positions {
    /// By [`Input::index`].
    pub inputs: [u64; 3],
    pub control: u64,
    /// By partition of the models topic.
    pub models: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// The records of one input with offsets in `from..to`. The record at `to - 1` exists.
    Run {
        input: Input,
        from: u64,
        to: u64,
    },
    /// Time passed while nothing came.
    Tick {
        time_ms: TimeMs,
    },
    /// The input no longer holds back the watermark, or does again.
    Idle {
        input: Input,
    },
    Active {
        input: Input,
    },
    /// The control record at this offset, which changes state.
    Control {
        offset: u64,
    },
    /// Stands after the record, tick or control record that caused it.
    Decision(Decision),
}

/// What a replay takes from the journal instead of finding it out again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Decision {
    /// The last record of the run before could not be decoded with the schemas of that time.
    Undecodable { reason: Reject },
    /// An analysis published something about a customer and must remember it.
    Remember { analysis: u8, customer: u128, memory: Vec<u8> },
}
