//! Where snapshots lie: put if absent, named by stage, partition and position, newest kept.

use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::engine::snapshot::Snapshot;

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

/// Snapshots in an object store, a local folder for now.
pub struct ObjectSnapshots {
    store: Arc<dyn ObjectStore>,
    runtime: tokio::runtime::Handle,
    kept: usize,
}

impl ObjectSnapshots {
    /// Keeps the newest `kept` snapshots of a partition. Calls must come from outside the runtime.
    pub fn new(store: Arc<dyn ObjectStore>, runtime: tokio::runtime::Handle, kept: usize) -> ObjectSnapshots {
        ObjectSnapshots { store, runtime, kept }
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
        let (store, kept) = (Arc::clone(&self.store), self.kept);
        self.runtime.spawn(async move {
            if let Err(reason) = ObjectSnapshots::write(store, kept, snapshot).await {
                tracing::error!(reason, "a snapshot could not be written; the one before stays");
            }
        });
    }

    fn list(&self, stage: &str, partition: u32) -> Result<Vec<u64>, String> {
        self.runtime.block_on(positions(&*self.store, stage, partition))
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
    let listed = store.list_with_delimiter(Some(&folder(stage, partition))).await;
    let listed = listed.map_err(|error| error.to_string())?;
    let names = listed.objects.iter().filter_map(|object| object.location.filename());
    let mut positions: Vec<u64> =
        names.filter_map(|name| name.strip_suffix(".snapshot")?.parse().ok()).collect();
    positions.sort_unstable_by(|a, b| b.cmp(a));
    Ok(positions)
}
