//! The few file operations that the journal needs.
//!
//! The trait is small so that a simulated disk, which drops what was not synced, tears writes and
//! fails on demand, can stand in for the real one. Calls go through `dyn`: each stands for a system
//! call, next to which the indirection is nothing.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

/// One directory of files.
pub trait Disk: Debug + Send + Sync {
    /// Creates an empty file, or empties an existing one.
    ///
    /// # Errors
    ///
    /// What the storage says.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    ///
    /// What the storage says.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Opens an existing file for reading.
    ///
    /// # Errors
    ///
    /// What the storage says.
    fn open_to_read(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// The names of all files, in no particular order.
    ///
    /// # Errors
    ///
    /// What the storage says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Gives a file another name, replacing what had it.
    ///
    /// # Errors
    ///
    /// What the storage says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Deletes a file; readers that have it open keep it.
    ///
    /// # Errors
    ///
    /// What the storage says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes creations, renames and removals durable.
    ///
    /// # Errors
    ///
    /// What the storage says.
    fn sync_dir(&self) -> io::Result<()>;
}

/// One open file.
#[expect(
    clippy::len_without_is_empty,
    reason = "nobody asks whether a segment is empty"
)]
pub trait DiskFile: Debug + Send + Sync {
    /// Reads up to the length of `bytes`; less only at the end of the file.
    ///
    /// # Errors
    ///
    /// What the storage says.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes`; after an error any part of them may have been written.
    ///
    /// # Errors
    ///
    /// What the storage says.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    ///
    /// What the storage says. A second call after an error proves nothing.
    fn sync_data(&self) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    ///
    /// What the storage says.
    fn len(&self) -> io::Result<u64>;
}

/// A real directory.
#[derive(Debug)]
pub struct Folder {
    /// Where it is.
    path: PathBuf,
}

impl Folder {
    /// The directory at `path`, which must exist by the time it is used.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl Disk for Folder {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        // Prices may be licensed: nobody but the service reads the journal.
        options.mode(0o600);
        Ok(Box::new(options.open(self.path.join(name))?))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path.join(name))?;
        Ok(Box::new(file))
    }

    fn open_to_read(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::open(self.path.join(name))?))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is not UTF-8 is not one of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl DiskFile for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < bytes.len() {
            match FileExt::read_at(self, &mut bytes[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}
