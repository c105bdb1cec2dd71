//! Looks at a journal without owning it: beside the daemon that writes it, or without one.

use std::path::Path;
use std::sync::Arc;

use super::disk::{Disk, Folder};
use super::prepare;
use super::reader::{ReadError, Source, open};
use super::recovery::{self, End};
use super::segment::{self, Header};
use super::watermark::{Mark, Watermark};

/// A journal as it was when it was looked at. Nothing is changed; what is written afterwards is not
/// seen, and a commit under way counts as far as its records are whole.
#[derive(Debug, Clone)]
pub struct View {
    /// Makes readers, which end where the view ends.
    pub source: Source,
    /// The oldest position that the journal holds.
    pub oldest: u64,
    /// The position behind the last record.
    pub next: u64,
}

/// Looks at the journal in `dir`.
///
/// # Errors
///
/// When it is damaged, of another version, or cannot be read.
pub fn view(dir: &Path) -> Result<View, ReadError> {
    let disk: Arc<dyn Disk> = Arc::new(Folder::new(dir));
    let headers = recovery::headers(&*disk)?;
    let mut mark = Mark {
        position: 0,
        segment: None,
        offset: 0,
        closed: true,
    };
    if let Some(header) = headers.last() {
        let name = segment::file_name(header.first);
        let mut scan = open(&*disk, header.first)?;
        let end = recovery::end_of(&mut scan).map_err(ReadError::io(&name))?;
        if let End::Damaged { what } = end {
            return Err(ReadError::Damaged {
                file: name,
                offset: scan.offset(),
                what,
            });
        }
        mark = Mark {
            position: scan.position(),
            segment: Some(header.first),
            offset: scan.offset(),
            closed: true,
        };
    }
    Ok(View {
        oldest: headers.first().map_or(0, |header| header.first),
        next: mark.position,
        source: Source::new(disk, Watermark::new(mark)),
    })
}

/// Makes a journal in the empty directory `dir` that begins at a position other than 0, because the
/// inputs before it are known from elsewhere. The first boot on it has the epoch after `epoch`.
///
/// # Errors
///
/// When there is a journal already, or the storage fails.
pub fn begin_at(dir: &Path, first: u64, epoch: u64, segment_bytes: u64) -> Result<(), ReadError> {
    begin_on(&Folder::new(dir), first, epoch, segment_bytes)
}

fn begin_on(disk: &dyn Disk, first: u64, epoch: u64, segment_bytes: u64) -> Result<(), ReadError> {
    if let Some(held) = recovery::firsts(disk)?.first() {
        return Err(ReadError::OutOfReach {
            position: first,
            oldest: *held,
            next: *held,
        });
    }
    let name = segment::file_name(first);
    let make = || -> std::io::Result<()> {
        let file = prepare::prepare(disk, prepare::NEXT, segment_bytes, None)?;
        let header = Header {
            first,
            previous: None,
            epoch,
            created: 0,
            // Records repeat it; the directory is new, so there is nothing to be confused with.
            mark: first | 1,
            len: segment_bytes,
        };
        file.write_at(&header.encode(), 0)?;
        file.sync_data()?;
        disk.rename(prepare::NEXT, &name)?;
        disk.sync_dir()
    };
    make().map_err(ReadError::io(&name))
}
