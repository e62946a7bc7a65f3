//! Room on the disk, asked before something is written: a store that has run into a full disk takes nothing any
//! more until it is opened anew, while one that was kept from it goes on as soon as there is room.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Between two looks, unless so much was written since.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Room {
    folder: PathBuf,
    /// Left free for tables that are made from what was written, and for whoever shares the disk.
    free_bytes_min: u64,
    begun: Instant,
    /// When the disk was looked at last, in ms since the beginning, and what may be written from then on.
    looked_ms: AtomicU64,
    left_bytes: AtomicU64,
}

impl Room {
    pub fn new(folder: PathBuf, free_bytes_min: u64) -> Room {
        let (looked_ms, left_bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        let room = Room { folder, free_bytes_min, begun: Instant::now(), looked_ms, left_bytes };
        room.look();
        room
    }

    /// True where `bytes` may be written.
    pub fn has(&self, bytes: u64) -> bool {
        let looked = Duration::from_millis(self.looked_ms.load(Ordering::Relaxed));
        if self.begun.elapsed() >= looked + LOOK_EVERY {
            self.look();
        }
        // What is written lies in a write-ahead file first, and in a table later.
        let taken = |left: u64| left.checked_sub(bytes.saturating_mul(2));
        self.left_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    fn look(&self) {
        self.looked_ms.store(self.begun.elapsed().as_millis() as u64, Ordering::Relaxed);
        self.left_bytes.store(self.free_bytes().saturating_sub(self.free_bytes_min), Ordering::Relaxed);
    }

    /// Of the folder's file system; all there can be where it does not tell.
    fn free_bytes(&self) -> u64 {
        match rustix::fs::statvfs(&self.folder) {
            Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
            Err(_) => u64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_until_the_reserve_is_reached() {
        let folder = std::env::temp_dir();
        assert!(Room::new(folder.clone(), 0).has(1 << 10));
        assert!(!Room::new(folder.clone(), u64::MAX).has(1));
        let room = Room::new(folder, 0);
        let free = room.left_bytes.load(Ordering::Relaxed);
        assert!(!room.has(free), "twice as much is needed");
        assert!(room.has(free / 4), "a refusal takes nothing");
    }
}
