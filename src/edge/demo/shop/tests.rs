//! What the shop promises.
