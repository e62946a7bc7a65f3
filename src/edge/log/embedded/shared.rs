//! One log in one process: broker, store, and who brings what was written to disk.
//!
//! Group commit: whoever waits first brings everything written so far to disk; who comes meanwhile is in the
//! next round. What nobody waits for is on disk within [`SYNC_WITHIN`]. Locks are taken in the order `writing`,
//! `broker`; reading from the store needs none.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::broker::{Broker, Closing};
use super::folder::Owned;
use super::store::{Batch, Store};
use crate::edge::clock::wall_ms;
use crate::edge::log::LogError;
use crate::event::TimeMs;

/// What was written and nobody waits for is on disk after so long.
const SYNC_WITHIN: Duration = Duration::from_millis(5);
/// Longest sleep of the servant: sessions and transactions run out in steps of it.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(super) struct Shared {
    pub store: Store,
    broker: Mutex<Broker>,
    /// Something can be read, or has changed in a group.
    news: Condvar,
    /// Batches are written in the order in which they were filled. Holds the number of the last one.
    writing: Mutex<u64>,
    disk: Mutex<Disk>,
    synced: Condvar,
    begun: Instant,
    /// Last, so that the folder is given up after the store is closed.
    _owned: Owned,
}

#[derive(Default)]
struct Disk {
    /// Numbers of the last batch written, and of the last one that is on disk.
    written: u64,
    synced: u64,
    is_syncing: bool,
    failed: Option<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Starts the servant too, which ends with the last user of the log.
    pub fn new(broker: Broker, store: Store, owned: Owned) -> std::io::Result<Arc<Shared>> {
        let shared = Arc::new(Shared {
            store,
            broker: Mutex::new(broker),
            news: Condvar::new(),
            writing: Mutex::new(0),
            disk: Mutex::new(Disk::default()),
            synced: Condvar::new(),
            begun: Instant::now(),
            _owned: owned,
        });
        let servant = Arc::downgrade(&shared);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || serve(&servant))?;
        Ok(shared)
    }

    pub fn broker(&self) -> MutexGuard<'_, Broker> {
        lock(&self.broker)
    }

    /// Of sessions and transactions; begins at 0.
    pub fn now_ms(&self) -> TimeMs {
        self.begun.elapsed().as_millis() as TimeMs
    }

    /// Wakes who waits for news.
    pub fn tell(&self) {
        self.news.notify_all();
    }

    /// Waits for news, at most until `deadline`; false when that has passed. Members may have been lost
    /// meanwhile, so the caller looks again.
    pub fn wait<'a>(
        &self,
        broker: MutexGuard<'a, Broker>,
        deadline: Instant,
    ) -> Option<MutexGuard<'a, Broker>> {
        let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        let waited = self.news.wait_timeout(broker, left.min(LOOK_EVERY));
        Some(waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Fills a batch and writes it; what it closes is closed when it is on disk. Returns its number.
    ///
    /// # Errors
    /// Those of `fill`; `Indefinite` where it could not be written.
    pub fn write(
        &self,
        fill: impl FnOnce(&mut Broker, &mut Batch) -> Result<Option<Closing>, LogError>,
    ) -> Result<u64, LogError> {
        self.alive()?;
        let mut number = lock(&self.writing);
        let mut batch = self.store.batch();
        let closing = fill(&mut self.broker(), &mut batch)?;
        if let Err(error) = self.store.write(batch) {
            return Err(self.failed(&error));
        }
        *number += 1;
        if let Some(closing) = closing {
            self.broker().written(*number, closing);
        }
        let mut disk = lock(&self.disk);
        disk.written = *number;
        self.synced.notify_all();
        Ok(*number)
    }

    /// Returns once batch `number` is on disk and can be read.
    ///
    /// # Errors
    /// `Indefinite` where nobody knows whether it is.
    pub fn sync(&self, number: u64) -> Result<(), LogError> {
        loop {
            let mut disk = lock(&self.disk);
            loop {
                if let Some(failed) = &disk.failed {
                    return Err(LogError::Indefinite(failed.clone()));
                }
                if disk.synced >= number {
                    return Ok(());
                }
                if !disk.is_syncing {
                    break;
                }
                disk = self.synced.wait(disk).unwrap_or_else(PoisonError::into_inner);
            }
            disk.is_syncing = true;
            let target = disk.written;
            drop(disk);
            let outcome = self.store.sync();
            if let Err(error) = &outcome {
                self.failed(error);
            } else {
                self.broker().synced(target);
                self.tell();
            }
            let mut disk = lock(&self.disk);
            disk.is_syncing = false;
            disk.synced = if outcome.is_ok() { target } else { disk.synced };
            self.synced.notify_all();
        }
    }

    /// True once batch `number` is on disk.
    pub fn is_synced(&self, number: u64) -> bool {
        lock(&self.disk).synced >= number
    }

    /// `Fatal` once the store has failed.
    pub fn alive(&self) -> Result<(), LogError> {
        lock(&self.disk).failed.as_ref().map_or(Ok(()), |why| Err(LogError::Fatal(why.clone())))
    }

    fn failed(&self, error: &LogError) -> LogError {
        let why = error.to_string();
        lock(&self.disk).failed.get_or_insert_with(|| why.clone());
        self.synced.notify_all();
        LogError::Indefinite(why)
    }

    /// Deletes and compacts as the topics are configured.
    pub fn retain(&self, now_ms: TimeMs) -> Result<(), LogError> {
        super::retention::retain(self, now_ms)
    }

    /// One round of the servant: waits for something that was written, and brings it to disk.
    fn serve_once(&self) {
        let disk = lock(&self.disk);
        let idle = |disk: &mut Disk| disk.written == disk.synced || disk.failed.is_some();
        let waited = self.synced.wait_timeout_while(disk, LOOK_EVERY, idle);
        let number = waited.unwrap_or_else(PoisonError::into_inner).0.written;
        std::thread::sleep(SYNC_WITHIN);
        if let Err(error) = self.sync(number) {
            tracing::error!(%error, "the log cannot be written");
            std::thread::sleep(LOOK_EVERY);
        }
        let now_ms = self.now_ms();
        self.broker().expire(now_ms);
        self.tell();
    }
}

fn serve(shared: &Weak<Shared>) {
    let mut retained = Instant::now();
    while let Some(shared) = shared.upgrade() {
        shared.serve_once();
        let every_ms = shared.broker().config.retention_check_ms;
        if retained.elapsed().as_millis() as i64 >= every_ms {
            retained = Instant::now();
            if let Err(error) = shared.retain(wall_ms()) {
                tracing::warn!(%error, "old records could not be deleted");
            }
        }
    }
}
