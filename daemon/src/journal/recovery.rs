//! What a crash may leave behind, and what it may not.
//!
//! | found | outcome |
//! |---|---|
//! | a prepared file that is no segment yet | deleted |
//! | a sync that failed before the process ended | the last segment is written anew |
//! | the last segment ends in zeros | nothing to do |
//! | a bad record in the last segment, no later commit behind it | cut: zeros from there on |
//! | the last segment is shorter than it was made | the missing bytes count as zeros |
//! | a bad record with a later commit behind it | refused: acknowledged data is damaged |
//! | a header that is damaged, or of another segment | refused |
//! | a segment missing between two others | refused: each header names its predecessor |
//! | another format version | refused, naming both |
//!
//! Only the last segment is read in full here. The ones before it were synced before it began; damage
//! in them shows when they are read, and the daemon replays what it needs before it serves anybody.

use std::io;

use super::boots;
use super::disk::{Disk, DiskFile};
use super::prepare;
use super::reader::{ReadError, open, read_header};
use super::record::{FRAME_LEN, Frame, PREFIX_LEN, u64_at};
use super::scan::{Scan, Step};
use super::segment::{self, Header};
use crate::defect::Defect;

/// How much of a segment is searched or copied at once; a multiple of the records' alignment.
const SEARCH_LEN: usize = 1 << 20;

/// A copy of the last segment, until it takes its place.
const RENEWED: &str = "renewed.prepared";

/// What opening a journal found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The oldest position that the journal holds.
    pub oldest: u64,
    /// The position of the next input.
    pub next: u64,
    /// Counts the boots on this journal, from 1: the daemon's epoch.
    pub epoch: u64,
    /// The torn tail that was cut, when there was one.
    pub cut: Option<Cut>,
}

/// A torn tail: bytes of a commit that never ended, so nobody was told that they are durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The segment.
    pub file: String,
    /// Where the first bad record stood.
    pub offset: u64,
    /// How many bytes were replaced with zeros.
    pub bytes: u64,
}

/// A segment that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// Its first position.
    pub(super) first: u64,
    /// Its length in bytes.
    pub(super) len: u64,
}

/// The last segment, ready to be written on.
#[derive(Debug)]
pub(super) struct Last {
    /// The file, open for writing.
    pub(super) file: Box<dyn DiskFile>,
    /// What its header says.
    pub(super) header: Header,
    /// Where the next record goes.
    pub(super) offset: u64,
    /// The position of the next record.
    pub(super) position: u64,
}

/// Everything that the segments tell.
#[derive(Debug)]
pub(super) struct Found {
    /// All segments, oldest first.
    pub(super) held: Vec<Held>,
    /// The highest epoch in any header.
    pub(super) epoch: u64,
    /// The last segment.
    pub(super) last: Option<Last>,
    /// The torn tail that was cut.
    pub(super) cut: Option<Cut>,
}

/// Checks the segments against each other, cuts a torn tail and opens the last one for writing.
pub(super) fn recover(disk: &dyn Disk) -> Result<Found, ReadError> {
    let directory = || ReadError::io("the directory");
    for name in disk.list().map_err(directory())? {
        if [prepare::NEXT, prepare::LARGE, RENEWED].contains(&&*name) {
            disk.remove(&name).map_err(ReadError::io(&name))?;
        }
    }
    let headers = headers(disk)?;
    let held = headers.iter().map(|Header { first, len, .. }| Held {
        first: *first,
        len: *len,
    });
    let mut found = Found {
        held: held.collect(),
        epoch: headers.iter().map(|header| header.epoch).max().unwrap_or(0),
        last: None,
        cut: None,
    };
    if let Some(header) = headers.last() {
        if boots::is_suspect(disk) && !Defect::CacheTrusted.is_on() {
            let name = segment::file_name(header.first);
            renew(disk, &name).map_err(ReadError::io(&name))?;
        }
        let (last, cut) = recover_last(disk, header)?;
        found.last = Some(last);
        found.cut = cut;
    }
    disk.sync_dir().map_err(directory())?;
    Ok(found)
}

/// The headers of all segments in order, each checked to follow the one before.
pub(super) fn headers(disk: &dyn Disk) -> Result<Vec<Header>, ReadError> {
    let mut headers: Vec<Header> = Vec::new();
    for first in firsts(disk)? {
        let name = segment::file_name(first);
        let file = disk.open_to_read(&name).map_err(ReadError::io(&name))?;
        let header = read_header(&*file, &name, first)?;
        if let Some(before) = headers.last()
            && header.previous != Some(before.first)
        {
            let missing = header.previous.map(segment::file_name);
            return Err(match missing {
                Some(file) => ReadError::Missing { file, after: name },
                None => ReadError::Damaged {
                    file: name,
                    offset: 0,
                    what: "its header says that no segment comes before it".to_owned(),
                },
            });
        }
        headers.push(header);
    }
    Ok(headers)
}

/// The first positions of all segments, in order.
pub(super) fn firsts(disk: &dyn Disk) -> Result<Vec<u64>, ReadError> {
    let names = disk.list().map_err(ReadError::io("the directory"))?;
    let mut firsts: Vec<u64> = names
        .iter()
        .filter_map(|name| segment::first_of(name))
        .collect();
    firsts.sort_unstable();
    Ok(firsts)
}

/// Puts a copy in the place of a segment.
///
/// After a sync that failed the kernel may keep the pages, count them as clean and never write them:
/// what is read is not what the disk has, and another sync would succeed without changing that. The
/// old file stays until the copy is durable, since some of what it holds was acknowledged.
fn renew(disk: &dyn Disk, name: &str) -> io::Result<()> {
    let old = disk.open_to_read(name)?;
    let new = disk.create(RENEWED)?;
    let mut bytes = vec![0; SEARCH_LEN];
    let mut offset = 0;
    loop {
        let read = old.read_at(&mut bytes, offset)?;
        if read == 0 {
            break;
        }
        new.write_at(&bytes[..read], offset)?;
        offset += read as u64;
    }
    new.sync_data()?;
    disk.rename(RENEWED, name)?;
    disk.sync_dir()
}

/// Finds the end of the last segment and makes it a clean one.
fn recover_last(disk: &dyn Disk, header: &Header) -> Result<(Last, Option<Cut>), ReadError> {
    let name = segment::file_name(header.first);
    let io = || ReadError::io(&name);
    let mut scan = open(disk, header.first)?;
    let end = end_of(&mut scan).map_err(io())?;
    let (offset, position) = (scan.offset(), scan.position());
    let cut = match end {
        End::Clean => None,
        End::Torn { until } => Some(Cut {
            file: name.clone(),
            offset,
            bytes: until - offset,
        }),
        End::Damaged { what } => {
            return Err(ReadError::Damaged {
                file: name,
                offset,
                what,
            });
        }
    };
    let file = disk.open(&name).map_err(io())?;
    if let Some(cut) = &cut {
        prepare::fill(&*file, offset, offset + cut.bytes, None).map_err(io())?;
    }
    let len = file.len().map_err(io())?;
    if len < header.len {
        prepare::fill(&*file, len, header.len, None).map_err(io())?;
    }
    // What a killed process left in the page cache was read above as if it were durable; now it is.
    file.sync_data().map_err(io())?;
    Ok((
        Last {
            file,
            header: *header,
            offset,
            position,
        },
        cut,
    ))
}

/// How a segment ends.
#[derive(Debug)]
pub(super) enum End {
    /// In zeros.
    Clean,
    /// In bytes of a commit that never ended.
    Torn {
        /// The offset behind the last byte that is not zero.
        until: u64,
    },
    /// In a bad record that had been durable.
    Damaged {
        /// What is wrong with it, and how that is known.
        what: String,
    },
}

/// Moves behind the last good record of the last segment and judges what follows.
pub(super) fn end_of(scan: &mut Scan) -> io::Result<End> {
    let what = loop {
        match scan.next(scan.header().len)? {
            Step::Record(_) => {}
            Step::End => break "zeros stand in front of data".to_owned(),
            Step::Bad(bad) => break bad.to_string(),
        }
    };
    judge(scan, &what)
}

/// Judges what follows the current place of a scan, where no good record stands.
pub(super) fn judge(scan: &Scan, what: &str) -> io::Result<End> {
    let (file, header, bad) = (scan.file(), scan.header(), scan.offset());
    let mut until = bad;
    let mut offset = bad;
    let mut bytes = vec![0; SEARCH_LEN];
    while offset < header.len {
        let wanted = usize::try_from(header.len - offset)
            .unwrap_or(SEARCH_LEN)
            .min(SEARCH_LEN);
        let read = file.read_at(&mut bytes[..wanted], offset)?;
        if read == 0 {
            break;
        }
        // A file that was cut short may end inside a word.
        bytes[read..].fill(0);
        for at in (0..read).step_by(8) {
            let word = u64_at(&bytes, at);
            if word == 0 {
                continue;
            }
            let place = offset + at as u64;
            until = (place + 8).min(header.len);
            if word == header.mark && place >= bad + 8 {
                let candidate = place - 8;
                if begins_later_commit(file, header, candidate, bad)? {
                    let what = format!("{what}, yet a later commit follows at byte {candidate}");
                    return Ok(End::Damaged { what });
                }
            }
        }
        offset += read as u64;
    }
    Ok(if until == bad {
        End::Clean
    } else {
        End::Torn { until }
    })
}

/// True when a whole record stands at `at` whose commit began behind `bad`.
fn begins_later_commit(
    file: &dyn DiskFile,
    header: &Header,
    at: u64,
    bad: u64,
) -> io::Result<bool> {
    let mut bytes = vec![0; FRAME_LEN];
    if file.read_at(&mut bytes, at)? < FRAME_LEN {
        return Ok(false);
    }
    let frame = Frame::decode(&bytes);
    let fits = frame.len as usize >= FRAME_LEN - PREFIX_LEN && at + frame.span() <= header.len;
    let later = at.saturating_sub(u64::from(frame.since_commit)) > bad;
    if !fits || !later {
        return Ok(false);
    }
    bytes.resize(PREFIX_LEN + frame.len as usize, 0);
    let read = file.read_at(&mut bytes, at)?;
    Ok(read == bytes.len() && crc32c::crc32c(&bytes[PREFIX_LEN..]) == frame.checksum)
}
