//! Contents of whole models that are too large for a record: put if absent, pointed at by a record, pruned by age.
//!
//! The publisher puts a content before it writes the record that points at it. The name has the model, the version,
//! the place of the tick that published it and a checksum, so that nobody, retry or zombie, ever puts another content
//! under a name that is there. It then removes all but the newest [`KEPT`] of the model: a reader that is further
//! behind finds a content gone and goes on to the next version.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutOptions};
use xxhash_rust::xxh3::xxh3_64;

use super::store::ObjectSnapshots;
use crate::edge::log::Place;
use crate::signal::model::Stored;

/// Contents kept of a model; at one version in 2 s, half a minute's.
pub const KEPT: usize = 16;

/// A place for contents.
pub trait Contents: Send + Sync {
    /// Puts a content where there is none of that path.
    ///
    /// # Errors
    /// When the store does not answer.
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), String>;
    /// None where there is none.
    ///
    /// # Errors
    /// When the store does not answer.
    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, String>;
    /// Removes all but the `kept` that were written last of the contents in a folder.
    ///
    /// # Errors
    /// When the store does not answer.
    fn prune(&self, folder: &str, kept: usize) -> Result<(), String>;
}

/// The folder of a model's contents.
pub fn folder(model: &str) -> String {
    format!("models/{model}")
}

/// Where a content belongs that was published by the tick at this place and offset.
pub fn stored(model: &str, version: u64, (place, offset): (Place, u64), bytes: &[u8]) -> Stored {
    let checksum = xxh3_64(bytes);
    let partition = place.partition;
    let path = format!("{}/{version:020}-{partition:05}-{offset:020}-{checksum:016x}", folder(model));
    Stored { path, length: bytes.len() as u64, checksum }
}

/// The content that a record points at. The inner error is final: it is gone or damaged.
///
/// # Errors
/// When the store does not answer: ask again.
pub fn fetch(contents: &dyn Contents, stored: &Stored) -> Result<Result<Vec<u8>, String>, String> {
    let Some(bytes) = contents.get(&stored.path)? else {
        return Ok(Err(format!("there is no {}", stored.path)));
    };
    let is_whole = bytes.len() as u64 == stored.length && xxh3_64(&bytes) == stored.checksum;
    Ok(if is_whole { Ok(bytes) } else { Err(format!("{} is damaged", stored.path)) })
}

impl Contents for ObjectSnapshots {
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), String> {
        let (path, options) = (Path::from(path), PutOptions::from(PutMode::Create));
        match self.block_on(self.store().put_opts(&path, bytes.to_vec().into(), options)) {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        self.block_on(async {
            match self.store().get(&Path::from(path)).await {
                Ok(found) => Ok(Some(found.bytes().await.map_err(|error| error.to_string())?.to_vec())),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error.to_string()),
            }
        })
    }

    fn prune(&self, folder: &str, kept: usize) -> Result<(), String> {
        self.block_on(async {
            let listed = self.store().list_with_delimiter(Some(&Path::from(folder))).await?;
            let mut objects = listed.objects;
            objects
                .sort_unstable_by(|a, b| (b.last_modified, &b.location).cmp(&(a.last_modified, &a.location)));
            for old in objects.into_iter().skip(kept) {
                self.store().delete(&old.location).await?;
            }
            Ok(())
        })
        .map_err(|error: object_store::Error| error.to_string())
    }
}

/// Contents of a process that nobody takes over from.
#[derive(Debug, Default)]
pub struct MemoryContents(Mutex<BTreeMap<String, (u64, Vec<u8>)>>);

impl Contents for MemoryContents {
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), String> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = held.values().map(|(number, _)| number + 1).max().unwrap_or(0);
        held.entry(path.to_owned()).or_insert_with(|| (next, bytes.to_vec()));
        Ok(())
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(held.get(path).map(|(_, bytes)| bytes.clone()))
    }

    fn prune(&self, folder: &str, kept: usize) -> Result<(), String> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = held.iter().filter(|(path, _)| path.rsplit_once('/').is_some_and(|(of, _)| of == folder));
        let mut numbered: Vec<(u64, String)> =
            of.map(|(path, (number, _))| (*number, path.clone())).collect();
        numbered.sort_unstable_by(|a, b| b.cmp(a));
        numbered.iter().skip(kept).for_each(|(_, path)| drop(held.remove(path)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use object_store::ObjectStore;

    use super::*;
    use crate::signal::Topic;

    fn holds_what_it_must(contents: &dyn Contents) {
        let at = |offset| (Place::new(Topic::Facts, 3), offset);
        let pointers: Vec<Stored> = (1..=20_u64)
            .map(|version| {
                let bytes = vec![version as u8; 100];
                let pointer = stored("m", version, at(version * 7), &bytes);
                contents.put(&pointer.path, &bytes).expect("put");
                contents.put(&pointer.path, b"another").expect("a path that is there is left alone");
                std::thread::sleep(Duration::from_millis(2));
                pointer
            })
            .collect();
        contents.put("models/other/x", b"stays").expect("put");
        assert_eq!(fetch(contents, &pointers[0]), Ok(Ok(vec![1; 100])));
        contents.prune(&folder("m"), KEPT).expect("prune");
        let held = pointers.iter().map(|pointer| fetch(contents, pointer).expect("it answers").is_ok());
        assert_eq!(held.filter(|held| *held).count(), KEPT);
        let gone = fetch(contents, &pointers[3]).expect("it answers").expect_err("the oldest go");
        assert!(gone.contains("there is no models/m/"), "{gone}");
        assert_eq!(fetch(contents, &pointers[19]), Ok(Ok(vec![20; 100])));
        let damaged = Stored { checksum: 1, ..pointers[19].clone() };
        assert!(fetch(contents, &damaged).expect("it answers").is_err());
        assert_eq!(contents.get("models/other/x"), Ok(Some(b"stays".to_vec())));
    }

    #[test]
    fn every_store_keeps_the_newest_and_replaces_nothing() {
        holds_what_it_must(&MemoryContents::default());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
        let folder = std::env::temp_dir().join(format!("habitue-contents-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let local = object_store::local::LocalFileSystem::new_with_prefix(&folder).expect("a store");
        for store in
            [Arc::new(object_store::memory::InMemory::new()) as Arc<dyn ObjectStore>, Arc::new(local)]
        {
            holds_what_it_must(&ObjectSnapshots::new(store, runtime.handle().clone(), 2));
        }
        std::fs::remove_dir_all(&folder).expect("it is ours");
    }
}
