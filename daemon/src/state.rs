//! The state directory, and the lock that gives it to one process.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file that is locked; it holds the owner's process id for the message.
const LOCK: &str = "lock";

/// The directory while this process owns it; dropping it gives it back.
#[derive(Debug)]
pub struct StateDir {
    /// Where it is.
    path: PathBuf,
    /// Holds the lock, which the kernel releases when the process ends, however it ends.
    _lock: File,
}

/// Why there is no state directory. Each fits behind "failed to".
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be created, read or written.
    #[error(
        "use the state directory {}: {source} (choose another with --state DIR)",
        .path.display()
    )]
    Unusable {
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process owns it.
    #[error(
        "use the state directory {}: {owner} uses it (stop it, or choose another with --state DIR)",
        .path.display()
    )]
    InUse {
        /// Where.
        path: PathBuf,
        /// Who.
        owner: String,
    },
}

impl StateDir {
    /// Creates the directory when there is none and takes it for this process.
    ///
    /// # Errors
    ///
    /// When it cannot be used, or another process has it.
    pub fn take(path: &Path) -> Result<Self, StateError> {
        let unusable = |source| StateError::Unusable {
            path: path.to_owned(),
            source,
        };
        create(path).map_err(unusable)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _read = lock.read_to_string(&mut owner);
                let owner = match owner.trim() {
                    "" => "another divisord".to_owned(),
                    pid => format!("another divisord (process {pid})"),
                };
                return Err(StateError::InUse {
                    path: path.to_owned(),
                    owner,
                });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        // The process id is only for people: a full disk must not stop the start.
        let _written = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()));
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A directory in it, created when there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    pub fn subdirectory(&self, name: &str) -> Result<PathBuf, StateError> {
        let path = self.path.join(name);
        match create(&path) {
            Ok(()) => Ok(path),
            Err(source) => Err(StateError::Unusable { path, source }),
        }
    }
}

/// Nobody else may look into the directory. As root others may pass through it, since PostgreSQL
/// refuses to run as root and its own directory, below this one, belongs to another user.
fn mode() -> u32 {
    if rustix::process::geteuid().is_root() {
        0o711
    } else {
        0o700
    }
}

/// Creates a directory for the service alone, and its parents as the system has them.
fn create(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    DirBuilder::new().mode(mode()).create(path)?;
    // The directory's own entry must survive a power cut, or all in it is lost.
    path.parent()
        .map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let state = StateDir::take(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            mode()
        );
        let refusal = StateDir::take(&path).unwrap_err().to_string();
        let pid = std::process::id();
        assert!(
            refusal.contains(&format!("another divisord (process {pid}) uses it")),
            "{refusal}"
        );
        assert!(state.subdirectory("journal").unwrap().is_dir());
        drop(state);
        StateDir::take(&path).unwrap();
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "").unwrap();
        let refusal = StateDir::take(&path).unwrap_err().to_string();
        assert!(refusal.contains("use the state directory"), "{refusal}");
    }
}
