//! One process owns the folder: a lock that ends with the process, beside the owner's name for whom it refuses.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::OpenError;

/// An owner that is just ending is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The folder is ours until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Owned {
    _lock: File,
}

impl Owned {
    /// Takes the folder, which is made when missing. `owner`: how the process is called.
    pub fn take(folder: &Path, owner: &str) -> Result<Owned, OpenError> {
        let failed = |error: std::io::Error| OpenError::Failed(format!("{}: {error}", folder.display()));
        std::fs::create_dir_all(folder).map_err(failed)?;
        let path = folder.join("owner");
        let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open().map_err(failed)?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => {
                    let mut owner = String::new();
                    file.read_to_string(&mut owner).map_err(failed)?;
                    let folder = folder.to_path_buf();
                    return Err(OpenError::InUse { folder, owner: owner.trim().to_owned() });
                }
            }
        }
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        file.set_len(0).map_err(failed)?;
        let text = format!("{owner}, process {}, since second {seconds} of Unix time\n", std::process::id());
        file.write_all(text.as_bytes()).map_err(failed)?;
        Ok(Owned { _lock: file })
    }
}
