//! How far the log is known to be on disk, beside the store: a store whose write-ahead file is damaged ends there
//! without a word, as after a power cut, and would take everything behind it for never written.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A file of one number, written twice: after every sync, and not synced itself, so that it survives the process and is at
/// most too low after a power cut.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    path: PathBuf,
}

impl Mark {
    pub fn open(folder: &Path) -> io::Result<Mark> {
        let path = folder.join("mark");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        Ok(Mark { file, path })
    }

    /// Refuses a store that ends before what was on disk.
    ///
    /// # Errors
    /// Words for people, with the way out.
    pub fn check(&self, order: u64) -> Result<(), String> {
        match self.get() {
            Some(marked) if marked > order => Err(format!(
                "{} records at the end are lost: they were on disk, and a damaged file of store/ hides them; bring back a \
                 copy of the folder. To go on without them, remove {} and the folder of the snapshots",
                marked - order,
                self.path.display()
            )),
            _ => Ok(()),
        }
    }

    /// None where there is none yet, or it was torn.
    fn get(&self) -> Option<u64> {
        let mut bytes = [0; 16];
        self.file.read_exact_at(&mut bytes, 0).ok()?;
        let (first, second) = bytes.split_at(8);
        (first == second).then(|| first.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)))?
    }

    /// Where it cannot be written it stays too low, which refuses nothing that is whole.
    pub fn put(&self, order: u64) {
        let bytes = [order.to_le_bytes(), order.to_le_bytes()].concat();
        if let Err(error) = self.file.write_all_at(&bytes, 0) {
            tracing::debug!(%error, "the mark was not written");
        }
    }
}
