//! The offline verbs: look at every record, and cut a damaged journal by explicit command.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use super::disk::{Disk, Folder};
use super::prepare;
use super::reader::{ReadError, open};
use super::record::Record;
use super::recovery::{self, End};
use super::scan::{Scan, Step};
use super::segment::{self, Header};

/// What one segment holds.
#[derive(Debug)]
pub struct SegmentReport {
    /// The file.
    pub file: String,
    /// The boot of the daemon that began it; 0 when the header cannot be read.
    pub epoch: u64,
    /// The position of its first record.
    pub first: u64,
    /// The position behind its last good record.
    pub next: u64,
    /// How many good records it holds.
    pub records: u64,
    /// The offset behind its last good record.
    pub used: u64,
    /// The file's length in bytes.
    pub len: u64,
    /// Bytes of a commit that did not end, which the next start of the daemon cuts (or which the
    /// running daemon is writing just now).
    pub torn: u64,
    /// What is wrong with it, or with its place among the others.
    pub problem: Option<ReadError>,
}

/// Reads every record of the journal in `dir` and shows it to `visit`, which may end the walk.
///
/// Nothing is changed, so that a running daemon is not disturbed. A problem ends the segment that
/// has it, not the walk.
///
/// # Errors
///
/// When the directory cannot be read; problems of segments are in their reports.
pub fn walk(
    dir: &Path,
    visit: &mut dyn FnMut(&Record) -> ControlFlow<()>,
) -> Result<Vec<SegmentReport>, ReadError> {
    walk_on(&Folder::new(dir), visit)
}

/// As [`walk`], on any disk.
pub(super) fn walk_on(
    disk: &dyn Disk,
    visit: &mut dyn FnMut(&Record) -> ControlFlow<()>,
) -> Result<Vec<SegmentReport>, ReadError> {
    let firsts = recovery::firsts(disk)?;
    let mut reports: Vec<SegmentReport> = Vec::new();
    for (index, first) in firsts.iter().enumerate() {
        let is_last = index + 1 == firsts.len();
        let (report, header, flow) = report(disk, *first, is_last, visit);
        let before = reports.last_mut();
        if let (Some(before), Some(header)) = (before, header) {
            link(before, &header, &report.file);
        }
        reports.push(report);
        if flow.is_break() {
            break;
        }
    }
    Ok(reports)
}

/// Reads one segment.
fn report(
    disk: &dyn Disk,
    first: u64,
    is_last: bool,
    visit: &mut dyn FnMut(&Record) -> ControlFlow<()>,
) -> (SegmentReport, Option<Header>, ControlFlow<()>) {
    let mut report = SegmentReport {
        file: segment::file_name(first),
        epoch: 0,
        first,
        next: first,
        records: 0,
        used: 0,
        len: 0,
        torn: 0,
        problem: None,
    };
    let mut scan = match open(disk, first) {
        Ok(scan) => scan,
        Err(problem) => {
            report.problem = Some(problem);
            return (report, None, ControlFlow::Continue(()));
        }
    };
    let header = *scan.header();
    (report.epoch, report.len) = (header.epoch, header.len);
    let outcome = read(&mut scan, &mut report, is_last, visit);
    let flow = outcome.unwrap_or_else(|source| {
        report.problem = Some(ReadError::Io {
            file: report.file.clone(),
            source,
        });
        ControlFlow::Continue(())
    });
    (report, Some(header), flow)
}

/// Reads the records of one segment and judges its end.
fn read(
    scan: &mut Scan,
    report: &mut SegmentReport,
    is_last: bool,
    visit: &mut dyn FnMut(&Record) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let bad = loop {
        let step = scan.next(scan.header().len)?;
        (report.next, report.used) = (scan.position(), scan.offset());
        match step {
            Step::Record(record) => {
                report.records += 1;
                if visit(&record).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Step::End => break None,
            Step::Bad(bad) => break Some(bad.to_string()),
        }
    };
    let what = bad.unwrap_or_else(|| "zeros stand in front of data".to_owned());
    let (file, offset) = (report.file.clone(), report.used);
    match recovery::judge(scan, &what)? {
        End::Clean => {}
        End::Torn { until } if is_last => report.torn = until - offset,
        End::Torn { .. } => report.problem = Some(ReadError::Damaged { file, offset, what }),
        End::Damaged { what } => report.problem = Some(ReadError::Damaged { file, offset, what }),
    }
    Ok(ControlFlow::Continue(()))
}

/// Checks that a segment goes on where the one before it ends.
fn link(before: &mut SegmentReport, header: &Header, file: &str) {
    if before.problem.is_some() {
        return;
    }
    let missing = header.previous.filter(|previous| *previous != before.first);
    if let Some(previous) = missing {
        let (missing, after) = (segment::file_name(previous), file.to_owned());
        before.problem = Some(ReadError::Missing {
            file: missing,
            after,
        });
    } else if before.next != header.first {
        before.problem = Some(ReadError::Damaged {
            file: before.file.clone(),
            offset: before.used,
            what: format!(
                "its records end at position {}, yet {file} begins at {}",
                before.next, header.first
            ),
        });
    }
}

/// What a repair did.
#[derive(Debug, PartialEq, Eq)]
pub struct Repaired {
    /// The position at which the journal now ends.
    pub next: u64,
    /// The files that hold what was cut, renamed or copied, in the same directory.
    pub aside: Vec<String>,
}

/// Cuts the journal in `dir` at its first damage; `None` when there is none.
///
/// Nothing is deleted: the damaged segment is copied to `….damaged` before it is cut, and those
/// behind it are renamed likewise. Inputs behind the cut are lost to the journal, so this is an
/// operator's decision and never a start-up's. The caller holds the lock on the directory.
///
/// # Errors
///
/// When nothing readable would remain, or the storage fails; running it again goes on.
pub fn repair(dir: &Path) -> Result<Option<Repaired>, ReadError> {
    repair_on(&Folder::new(dir))
}

/// As [`repair`], on any disk.
pub(super) fn repair_on(disk: &dyn Disk) -> Result<Option<Repaired>, ReadError> {
    let mut reports = walk_on(disk, &mut |_| ControlFlow::Continue(()))?;
    let Some(at) = reports.iter().position(|report| report.problem.is_some()) else {
        return Ok(None);
    };
    // A segment whose header is unreadable holds nothing; the cut is at the end of the one before.
    let headless = reports[at].used == 0;
    let keeps = if headless { at } else { at + 1 };
    if keeps == 0
        && let Some(problem) = reports[at].problem.take()
    {
        return Err(problem);
    }
    let mut aside = Vec::new();
    // From the end: until the last step the journal stays refused, whenever this is interrupted.
    for report in reports[keeps..].iter().rev() {
        let name = format!("{}.damaged", report.file);
        disk.rename(&report.file, &name)
            .map_err(ReadError::io(&report.file))?;
        disk.sync_dir().map_err(ReadError::io("the directory"))?;
        aside.push(name);
    }
    let last = &reports[keeps - 1];
    if !headless {
        let copied = cut(disk, last).map_err(ReadError::io(&last.file))?;
        aside.extend(copied);
    }
    Ok(Some(Repaired {
        next: last.next,
        aside,
    }))
}

/// Copies a segment aside and makes zeros of all behind its last good record.
fn cut(disk: &dyn Disk, report: &SegmentReport) -> io::Result<Option<String>> {
    let file = disk.open(&report.file)?;
    let len = file.len()?;
    if len <= report.used {
        return Ok(None);
    }
    let name = format!("{}.damaged", report.file);
    let copy = disk.create(&name)?;
    let mut bytes = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < len {
        let read = file.read_at(&mut bytes, offset)?;
        if read == 0 {
            break;
        }
        copy.write_at(&bytes[..read], offset)?;
        offset += read as u64;
    }
    copy.sync_data()?;
    disk.sync_dir()?;
    prepare::fill(&*file, report.used, len, None)?;
    Ok(Some(name))
}
