//! The file that counts boots: 20 digits, and a last byte that tells how the last life ended.
//!
//! It is overwritten in place, which takes no new space: the daemon must be able to start on a full
//! disk.

use std::io;

use super::disk::{Disk, DiskFile};
use crate::crash::Point;

/// Its name.
pub(super) const FILE: &str = "boots";

/// Where the last byte is.
const END: u64 = 20;

/// The last byte of a life that has not met a failed sync.
const WELL: &[u8] = b"\n";

/// The last byte after a failed sync. It need not be durable itself: what it tells of is in the same
/// page cache, and both are gone with the power.
const SUSPECT: &[u8] = b"!";

/// Counts this boot: one more than was written by any before, and durable before it is used.
pub(super) fn count(disk: &dyn Disk, seen: u64) -> io::Result<u64> {
    let (file, counted) = match disk.open(FILE) {
        Ok(file) => {
            let digits = read(&*file)?;
            let text = std::str::from_utf8(&digits[..END as usize]).unwrap_or_default();
            (file, text.parse().unwrap_or(0))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => (disk.create(FILE)?, 0),
        Err(error) => return Err(error),
    };
    let epoch = seen.max(counted) + 1;
    let mut bytes = format!("{epoch:020}").into_bytes();
    bytes.extend_from_slice(WELL);
    Point::BootDue.pass();
    file.write_at(&bytes, 0)?;
    file.sync_data()?;
    if counted == 0 {
        disk.sync_dir()?;
    }
    Point::BootCounted.pass();
    Ok(epoch)
}

/// Notes that a sync has failed, as far as the disk still takes anything.
pub(super) fn suspect(disk: &dyn Disk) {
    let _noted = disk.open(FILE).and_then(|file| file.write_at(SUSPECT, END));
}

/// True where the last life has noted that a sync failed.
pub(super) fn is_suspect(disk: &dyn Disk) -> bool {
    let bytes = disk.open(FILE).and_then(|file| read(&*file));
    bytes.is_ok_and(|bytes| bytes.ends_with(SUSPECT))
}

fn read(file: &dyn DiskFile) -> io::Result<[u8; END as usize + 1]> {
    let mut bytes = [0; END as usize + 1];
    file.read_at(&mut bytes, 0)?;
    Ok(bytes)
}
