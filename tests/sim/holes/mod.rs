//! Each hole that the commit protocol closes: shut while its rule is kept, open again without it.

mod commit;
mod guards;
mod journal;
mod rig;
mod shop;
mod snapshots;
mod verify;
