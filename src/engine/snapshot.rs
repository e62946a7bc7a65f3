//! The snapshot container: sections by name, each with a version, under one identity and one checksum.
//!
//! A snapshot is a cache of a fold. It is good when its checksum holds and its identity is that of the
//! code and settings that restore it; anything else is refused with the reason.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::analysis::Frozen;

/// Stands in front; behind it the hash of the rest, since damage to the identity would look like another one.
const MAGIC: &[u8; 8] = b"HABSNAP2";

/// What a snapshot is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// "customer" or "market".
    pub stage: String,
    pub partition: u32,
    pub fold_version: u64,
    /// Everything before this offset of the lead topic is folded in.
    pub position: u64,
}

/// A snapshot taken but not yet written out; safe to send to another thread.
pub struct Snapshot {
    pub identity: Identity,
    sections: Vec<(String, u16, Frozen)>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    identity: Identity,
    sections: Vec<StoredSection>,
    state_hash: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredSection {
    name: String,
    version: u16,
    bytes: Vec<u8>,
}

/// Why bytes are no snapshot to restore from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    #[error("not a snapshot, or one of an unknown format: {0}")]
    Format(String),
    #[error("it is damaged")]
    Checksum,
    #[error("the snapshot is of {found:?}, wanted {wanted:?}")]
    Identity { found: Identity, wanted: Identity },
    #[error("section {name}: {reason}")]
    Section { name: String, reason: String },
    #[error("section {0} is missing")]
    Missing(String),
    #[error("it is named after position {named} and stands at {found}")]
    Misnamed { named: u64, found: u64 },
}

impl Snapshot {
    pub fn new(identity: Identity) -> Snapshot {
        Snapshot { identity, sections: Vec::new() }
    }

    pub fn section(&mut self, name: &str, version: u16, frozen: Frozen) {
        self.sections.push((name.to_owned(), version, frozen));
    }

    /// Writes everything out. The bytes, and the hash of all state in them.
    pub fn encode(self) -> (Vec<u8>, u64) {
        let mut state = Xxh3::new();
        let sections: Vec<StoredSection> = self
            .sections
            .into_iter()
            .map(|(name, version, frozen)| {
                let bytes = frozen();
                state.update(name.as_bytes());
                state.update(&bytes);
                StoredSection { name, version, bytes }
            })
            .collect();
        let state_hash = state.digest();
        let stored = Stored { identity: self.identity, sections, state_hash };
        let body = postcard::to_allocvec(&stored).expect("plain data always serialises");
        let mut bytes = MAGIC.to_vec();
        bytes.extend(xxh3_64(&body).to_le_bytes());
        bytes.extend(body);
        (bytes, state_hash)
    }
}

/// A snapshot read back.
pub struct Opened {
    pub identity: Identity,
    pub state_hash: u64,
    sections: Vec<StoredSection>,
}

impl Opened {
    /// # Errors
    /// When the bytes are damaged or of an unknown format.
    pub fn read(bytes: &[u8]) -> Result<Opened, SnapshotError> {
        let format = |reason: &str| SnapshotError::Format(reason.to_owned());
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| format("magic bytes"))?;
        let (hash, body) = rest.split_first_chunk::<8>().ok_or_else(|| format("cut off"))?;
        if u64::from_le_bytes(*hash) != xxh3_64(body) {
            return Err(SnapshotError::Checksum);
        }
        let stored: Stored =
            postcard::from_bytes(body).map_err(|error| SnapshotError::Format(error.to_string()))?;
        Ok(Opened { identity: stored.identity, state_hash: stored.state_hash, sections: stored.sections })
    }

    /// # Errors
    /// When the snapshot is of another stage, partition or fold.
    pub fn expect(&self, stage: &str, partition: u32, fold_version: u64) -> Result<(), SnapshotError> {
        let position = self.identity.position;
        let wanted = Identity { stage: stage.to_owned(), partition, fold_version, position };
        if self.identity == wanted {
            return Ok(());
        }
        Err(SnapshotError::Identity { found: self.identity.clone(), wanted })
    }

    /// # Errors
    /// When the snapshot stands at another position than it is named after.
    pub fn expect_position(&self, named: u64) -> Result<(), SnapshotError> {
        let found = self.identity.position;
        if found == named { Ok(()) } else { Err(SnapshotError::Misnamed { named, found }) }
    }

    /// Reads one section with `restore`.
    ///
    /// # Errors
    /// When it is missing, of another version, or refused.
    pub fn restore(
        &self,
        name: &str,
        version: u16,
        restore: impl FnOnce(&[u8]) -> Result<(), String>,
    ) -> Result<(), SnapshotError> {
        let section = self
            .sections
            .iter()
            .find(|section| section.name == name)
            .ok_or_else(|| SnapshotError::Missing(name.to_owned()))?;
        let refuse = |reason| SnapshotError::Section { name: name.to_owned(), reason };
        if section.version != version {
            return Err(refuse(format!("version {}, wanted {version}", section.version)));
        }
        restore(&section.bytes).map_err(refuse)
    }
}
