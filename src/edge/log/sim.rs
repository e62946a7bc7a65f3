//! The log in memory, seeded, with faults.
