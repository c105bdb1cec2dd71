//! Reads committed records: replay at start, and following while the writer writes.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Records;
use super::disk::{Disk, DiskFile, Folder};
use super::record::Record;
use super::scan::{Scan, Step};
use super::segment::{self, HEADER_LEN, Header, HeaderError, VERSION};
use super::watermark::Watermark;

/// Why the journal cannot be read. Each fits behind "failed to".
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The storage says no.
    #[error("read {file} of the journal: {source}")]
    Io {
        /// Which file.
        file: String,
        /// What the storage says.
        source: io::Error,
    },
    /// Bytes that were durable are wrong.
    #[error(
        "read the journal: {file} is damaged at byte {offset}: {what} (restore the file from a \
         copy, or cut the journal there with `divisord journal repair`)"
    )]
    Damaged {
        /// Which file.
        file: String,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// A segment between others is not there.
    #[error(
        "read the journal: {file} is missing, {after} needs it (restore the file from a copy, or \
         cut the journal there with `divisord journal repair`)"
    )]
    Missing {
        /// The file that should be there.
        file: String,
        /// Who says so.
        after: String,
    },
    /// The segment was written by another version of the format.
    #[error(
        "read {file} of the journal: it has format version {found}, this divisord reads version \
         {known} (run the divisord that wrote it)"
    )]
    Version {
        /// Which file.
        file: String,
        /// The version that it was written with.
        found: u32,
        /// The version that this code reads.
        known: u32,
    },
    /// The position is not in the journal.
    #[error("read the journal from position {position}: it holds {oldest} up to {next}")]
    OutOfReach {
        /// The position asked for.
        position: u64,
        /// The oldest position that is still there.
        oldest: u64,
        /// The position behind the last committed record.
        next: u64,
    },
}

impl ReadError {
    /// An I/O error of this file.
    pub(super) fn io(file: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            file: file.to_owned(),
            source,
        }
    }
}

/// Makes readers: what other threads are given of the journal.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where the segments are.
    disk: Arc<dyn Disk>,
    /// How far the writer has come.
    watermark: Watermark,
}

impl Source {
    /// Readers of this disk, up to this watermark.
    pub(super) const fn new(disk: Arc<dyn Disk>, watermark: Watermark) -> Self {
        Self { disk, watermark }
    }

    /// The same journal through another view of its disk.
    #[cfg(test)]
    pub(crate) fn through(&self, disk: Arc<dyn Disk>) -> Self {
        Self::new(disk, self.watermark.clone())
    }

    /// How far the writer has come.
    #[must_use]
    pub const fn watermark(&self) -> &Watermark {
        &self.watermark
    }

    /// Reads committed records, beginning with the one that holds `position`.
    ///
    /// # Errors
    ///
    /// When retention has deleted the position, nobody has written it yet, or the storage fails.
    pub fn reader_from(&self, position: u64) -> Result<JournalReader, ReadError> {
        let mut reader = JournalReader {
            disk: Arc::clone(&self.disk),
            watermark: self.watermark.clone(),
            position,
            scan: None,
        };
        reader.seek()?;
        Ok(reader)
    }
}

/// Reads committed records in order, across segments, and never beyond the watermark.
#[derive(Debug)]
pub struct JournalReader {
    /// Where the segments are.
    disk: Arc<dyn Disk>,
    /// How far the writer has come.
    watermark: Watermark,
    /// The position of the next record (or, before the first, the one asked for).
    position: u64,
    /// The place in the current segment; `None` before the first segment exists.
    scan: Option<Scan>,
}

impl JournalReader {
    /// Reads the journal in `dir` up to `watermark`, beginning with the record that holds
    /// `position`.
    ///
    /// # Errors
    ///
    /// As [`Source::reader_from`].
    pub fn open(dir: &Path, position: u64, watermark: Watermark) -> Result<Self, ReadError> {
        Source::new(Arc::new(Folder::new(dir)), watermark).reader_from(position)
    }

    /// The position behind the last record that was read.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Waits until there is a record to read, the writer is gone or the time is up; true when there
    /// is one.
    pub fn wait(&self, timeout: Duration) -> bool {
        self.watermark.wait(self.position, timeout) > self.position
    }

    /// True when everything is read and nothing more will come.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let mark = self.watermark.mark();
        mark.closed && mark.position <= self.position
    }

    /// Finds the segment that holds the position, and the record in it.
    fn seek(&mut self) -> Result<(), ReadError> {
        // The mark before the list: a segment begun in between is then one too many at most. The
        // other way round the list would lack the segment that the mark already counts.
        let next = self.watermark.position();
        let names = self.disk.list().map_err(ReadError::io("the directory"))?;
        let mut firsts: Vec<u64> = names
            .iter()
            .filter_map(|name| segment::first_of(name))
            .collect();
        firsts.sort_unstable();
        let position = self.position;
        let oldest = firsts.first().copied().unwrap_or(next);
        let reachable = oldest <= position && position <= next;
        if !reachable {
            return Err(ReadError::OutOfReach {
                position,
                oldest,
                next,
            });
        }
        let Some(first) = firsts.into_iter().rfind(|first| *first <= position) else {
            return Ok(());
        };
        let mut scan = open(&*self.disk, first)?;
        // Whole records are skipped; a position inside a record stands at that record.
        loop {
            let (offset, before) = (scan.offset(), scan.position());
            if before >= position {
                break;
            }
            match self.step(&mut scan)? {
                Some(record) if record.next() > position => {
                    scan.rewind(offset, before);
                    break;
                }
                Some(_) => {}
                // The position is the next one to be written.
                None => break,
            }
        }
        self.position = scan.position();
        self.scan = Some(scan);
        Ok(())
    }

    /// The next record of this segment; `None` at its end or at the watermark.
    fn step(&self, scan: &mut Scan) -> Result<Option<Record>, ReadError> {
        let mark = self.watermark.mark();
        let current = mark.segment == Some(scan.header().first);
        let limit = if current {
            mark.offset
        } else {
            scan.header().len
        };
        let file = segment::file_name(scan.header().first);
        match scan.next(limit).map_err(ReadError::io(&file))? {
            Step::Record(record) => Ok(Some(record)),
            Step::End if current && scan.offset() < mark.offset => Err(ReadError::Damaged {
                file,
                offset: scan.offset(),
                what: "zeros stand where a record was committed".to_owned(),
            }),
            Step::End => Ok(None),
            Step::Bad(bad) => Err(ReadError::Damaged {
                file,
                offset: scan.offset(),
                what: bad.to_string(),
            }),
        }
    }

    /// Goes on to the segment that begins at the current position.
    fn next_segment(&mut self) -> Result<(), ReadError> {
        let position = self.position;
        let before = self
            .scan
            .as_ref()
            .map(|scan| (scan.header().first, scan.offset()));
        match (open(&*self.disk, position), before) {
            // A segment that lost all its records would be its own successor, for ever.
            (_, Some((first, offset))) if first == position => {
                Err(ends_early(first, offset, position))
            }
            (Ok(scan), _) => {
                self.scan = Some(scan);
                Ok(())
            }
            (Err(ReadError::Io { source, .. }), Some((first, offset)))
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Err(ends_early(first, offset, position))
            }
            (Err(error), _) => Err(error),
        }
    }
}

/// The damage of a segment that ends where more was committed.
fn ends_early(first: u64, offset: u64, position: u64) -> ReadError {
    ReadError::Damaged {
        file: segment::file_name(first),
        offset,
        what: format!("its records end here, but no other segment begins at position {position}"),
    }
}

impl Records for JournalReader {
    fn next_record(&mut self) -> Result<Option<Record>, ReadError> {
        loop {
            if self.watermark.position() <= self.position {
                return Ok(None);
            }
            if let Some(mut scan) = self.scan.take() {
                let record = self.step(&mut scan);
                self.scan = Some(scan);
                if let Some(record) = record? {
                    self.position = record.next();
                    return Ok(Some(record));
                }
            }
            self.next_segment()?;
        }
    }
}

/// Opens the segment that begins at `first`.
pub(super) fn open(disk: &dyn Disk, first: u64) -> Result<Scan, ReadError> {
    let name = segment::file_name(first);
    let file = disk.open_to_read(&name).map_err(ReadError::io(&name))?;
    let header = read_header(&*file, &name, first)?;
    Ok(Scan::new(file, header))
}

/// Reads and checks a segment's header.
pub(super) fn read_header(
    file: &dyn DiskFile,
    name: &str,
    first: u64,
) -> Result<Header, ReadError> {
    let mut bytes = [0; HEADER_LEN as usize];
    let read = file.read_at(&mut bytes, 0).map_err(ReadError::io(name))?;
    let damaged = |what: String| ReadError::Damaged {
        file: name.to_owned(),
        offset: 0,
        what,
    };
    match Header::decode(&bytes[..read]) {
        Ok(header) if header.first == first => Ok(header),
        Ok(header) => Err(damaged(format!(
            "its header says that it begins at position {}, so it is another segment",
            header.first
        ))),
        Err(HeaderError::Damaged) => Err(damaged("its header is damaged".to_owned())),
        Err(HeaderError::Version(found)) => Err(ReadError::Version {
            file: name.to_owned(),
            found,
            known: VERSION,
        }),
    }
}
