//! Where snapshots lie: put if absent, named by stage, partition and position, newest kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::edge::clock::wall_ms;
use crate::engine::snapshot::Snapshot;
use crate::event::TimeMs;

/// A place for snapshots. Failing to write costs time at the next restore, never data.
pub trait SnapshotStore: Send + Sync {
    /// Writes the snapshot out, now or soon. Its position must be committed.
    fn submit(&self, snapshot: Snapshot);
    /// Positions of the snapshots there are, newest first.
    ///
    /// # Errors
    /// When the store does not answer.
    fn list(&self, stage: &str, partition: u32) -> Result<Vec<u64>, String>;
    /// # Errors
    /// When the store does not answer or has no such snapshot.
    fn get(&self, stage: &str, partition: u32, position: u64) -> Result<Vec<u8>, String>;
}

/// Snapshots in an object store; the service gives it a local folder.
pub struct ObjectSnapshots {
    store: Arc<dyn ObjectStore>,
    runtime: tokio::runtime::Handle,
    kept: usize,
    state: Arc<State>,
}

/// What is being written, and what was.
#[derive(Default)]
struct State {
    written: Mutex<Written>,
    changed: Condvar,
}

#[derive(Default)]
struct Written {
    pending: usize,
    /// By stage and partition: wall time at which the newest snapshot was handed in.
    newest_ms: BTreeMap<(String, u32), TimeMs>,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One write that goes on; dropping it ends it, also where the writing task has panicked.
struct Pending(Arc<State>);

impl Pending {
    fn new(state: &Arc<State>) -> Pending {
        state.lock().pending += 1;
        Pending(Arc::clone(state))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.lock().pending -= 1;
        self.0.changed.notify_all();
    }
}

impl ObjectSnapshots {
    /// Keeps the newest `kept` snapshots of a partition. Calls must come from outside the runtime.
    pub fn new(store: Arc<dyn ObjectStore>, runtime: tokio::runtime::Handle, kept: usize) -> ObjectSnapshots {
        ObjectSnapshots { store, runtime, kept, state: Arc::default() }
    }

    /// Waits until all that was submitted is written or has failed, at most `wait`; true when so.
    pub fn settle(&self, wait: Duration) -> bool {
        let waited =
            self.state.changed.wait_timeout_while(self.state.lock(), wait, |state| state.pending > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.pending == 0
    }

    /// Wall time at which the newest snapshot of the partition was cut; none where none is known.
    pub fn newest_ms(&self, stage: &str, partition: u32) -> Option<TimeMs> {
        self.state.lock().newest_ms.get(&(stage.to_owned(), partition)).copied()
    }

    pub(super) fn store(&self) -> &dyn ObjectStore {
        &*self.store
    }

    /// Waits for the store; not from inside the runtime.
    pub(super) fn block_on<T>(&self, asked: impl Future<Output = T>) -> T {
        self.runtime.block_on(asked)
    }

    async fn write(store: Arc<dyn ObjectStore>, kept: usize, snapshot: Snapshot) -> Result<(), String> {
        let identity = snapshot.identity.clone();
        let (bytes, state_hash) = snapshot.encode();
        let size = bytes.len();
        let path = name(&identity.stage, identity.partition, identity.position);
        let options = PutOptions::from(PutMode::Create);
        match store.put_opts(&path, bytes.into(), options).await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
        tracing::debug!(%path, size, state_hash, "snapshot written");
        let positions = positions(&*store, &identity.stage, identity.partition).await?;
        for old in positions.into_iter().skip(kept) {
            let path = name(&identity.stage, identity.partition, old);
            store.delete(&path).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

impl SnapshotStore for ObjectSnapshots {
    fn submit(&self, snapshot: Snapshot) {
        let (store, kept, pending) = (Arc::clone(&self.store), self.kept, Pending::new(&self.state));
        let of = (snapshot.identity.stage.clone(), snapshot.identity.partition);
        let cut_ms = wall_ms();
        self.runtime.spawn(async move {
            match ObjectSnapshots::write(store, kept, snapshot).await {
                Ok(()) => {
                    pending.0.lock().newest_ms.insert(of, cut_ms);
                }
                Err(reason) => {
                    tracing::error!(reason, "a snapshot could not be written; the one before stays");
                }
            }
        });
    }

    fn list(&self, stage: &str, partition: u32) -> Result<Vec<u64>, String> {
        let (positions, newest_ms) = self.runtime.block_on(listed(&*self.store, stage, partition))?;
        if let Some(newest_ms) = newest_ms {
            self.state.lock().newest_ms.entry((stage.to_owned(), partition)).or_insert(newest_ms);
        }
        Ok(positions)
    }

    fn get(&self, stage: &str, partition: u32, position: u64) -> Result<Vec<u8>, String> {
        self.runtime.block_on(async {
            let path = name(stage, partition, position);
            let found = self.store.get(&path).await.map_err(|error| error.to_string())?;
            Ok(found.bytes().await.map_err(|error| error.to_string())?.to_vec())
        })
    }
}

fn folder(stage: &str, partition: u32) -> Path {
    Path::from_iter([stage.to_owned(), format!("{partition:05}")])
}

/// Positions are padded, so that names sort as they do.
fn name(stage: &str, partition: u32, position: u64) -> Path {
    folder(stage, partition).join(format!("{position:020}.snapshot"))
}

async fn positions(store: &dyn ObjectStore, stage: &str, partition: u32) -> Result<Vec<u64>, String> {
    Ok(listed(store, stage, partition).await?.0)
}

/// Positions, newest first, and when the newest was written.
async fn listed(
    store: &dyn ObjectStore,
    stage: &str,
    partition: u32,
) -> Result<(Vec<u64>, Option<TimeMs>), String> {
    let listed = store.list_with_delimiter(Some(&folder(stage, partition))).await;
    let listed = listed.map_err(|error| error.to_string())?;
    let mut found: Vec<(u64, TimeMs)> = listed
        .objects
        .iter()
        .filter_map(|object| {
            let position = object.location.filename()?.strip_suffix(".snapshot")?.parse().ok()?;
            Some((position, object.last_modified.timestamp_millis()))
        })
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    let newest_ms = found.first().map(|(_, written_ms)| *written_ms);
    Ok((found.into_iter().map(|(position, _)| position).collect(), newest_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::snapshot::Identity;

    #[test]
    fn settling_waits_for_every_write_and_old_snapshots_go() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
        let store: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
        let snapshots = ObjectSnapshots::new(store, runtime.handle().clone(), 2);
        for position in 1..=5 {
            let stage = "customer".to_owned();
            let identity = Identity { stage, partition: 7, fold_version: 1, position };
            let mut snapshot = Snapshot::new(identity);
            let slow = move || {
                std::thread::sleep(Duration::from_millis(50));
                vec![0]
            };
            snapshot.section("slow", 1, Box::new(slow));
            snapshots.submit(snapshot);
            assert!(!snapshots.settle(Duration::ZERO), "a write cannot be done at once");
            assert!(snapshots.settle(Duration::from_secs(10)));
            assert_eq!(snapshots.list("customer", 7).map(|listed| listed[0]), Ok(position));
        }
        assert_eq!(snapshots.list("customer", 7), Ok(vec![5, 4]));
        assert!(snapshots.newest_ms("customer", 7).is_some());
        assert_eq!(snapshots.newest_ms("market", 7), None);
    }
}
