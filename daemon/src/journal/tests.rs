//! What the journal promises, against a simulated disk.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use std::{fmt, io};

use proptest::prelude::*;

use super::disk::{Disk, DiskFile};
use super::inspect::{repair_on, walk_on};
use super::sim::SimDisk;
use super::*;

/// Two pages: a header and four records of 1 000 bytes.
const TINY: Settings = Settings {
    segment_bytes: 8192,
    bytes_max: 1 << 30,
    keep: 0,
    sync: true,
    ahead: false,
};

/// The span of a record with a body of [`body`].
const SPAN: usize = 1000;

/// Names of the segments that [`written`] makes.
const FIRST: &str = "00000000000000000000.journal";
const SECOND: &str = "00000000000000000004.journal";
const THIRD: &str = "00000000000000000008.journal";

#[test]
fn a_torn_tail_is_cut() {
    let at = |index: usize| 4096 + index * SPAN;
    check("nothing", |_| {}, "recovered up to 10, epoch 2");
    check(
        "a bit of the last record",
        |disk| disk.damage(THIRD, |bytes| bytes[at(1) + 500] ^= 1),
        "recovered up to 9, epoch 2, cut 1000 bytes at 5096 of 00000000000000000008.journal",
    );
    check(
        "the last record's length",
        |disk| disk.damage(THIRD, |bytes| bytes[at(1) + 3] ^= 0x40),
        "recovered up to 9, epoch 2, cut 1000 bytes at 5096 of 00000000000000000008.journal",
    );
    check(
        "the end of the last record is zeros",
        |disk| disk.damage(THIRD, |bytes| bytes[at(1) + 512..].fill(0)),
        "recovered up to 9, epoch 2, cut 512 bytes at 5096 of 00000000000000000008.journal",
    );
    check(
        "all of the last record is zeros",
        |disk| disk.damage(THIRD, |bytes| bytes[at(1)..].fill(0)),
        "recovered up to 9, epoch 2",
    );
    check(
        "the last file ends inside a record",
        |disk| disk.damage(THIRD, |bytes| bytes.truncate(at(1) + 333)),
        "recovered up to 9, epoch 2, cut 336 bytes at 5096 of 00000000000000000008.journal",
    );
    check(
        "stale records of a recycled file behind the data",
        |disk| {
            let stale = content(disk, SECOND);
            disk.damage(THIRD, |bytes| {
                bytes[at(2)..].copy_from_slice(&stale[at(2)..])
            });
        },
        "recovered up to 10, epoch 2, cut 2000 bytes at 6096 of 00000000000000000008.journal",
    );
}

#[test]
fn damage_that_no_crash_explains_is_refused() {
    let at = |index: usize| 4096 + index * SPAN;
    check(
        "a bit in the middle of the last segment",
        |disk| disk.damage(THIRD, |bytes| bytes[at(0) + 77] ^= 0x10),
        "failed to read the journal: 00000000000000000008.journal is damaged at byte 4096: the \
         record's checksum is wrong, yet a later commit follows at byte 5096 (restore the file \
         from a copy, or cut the journal there with `divisord journal repair`)",
    );
    check(
        "zeros in the middle of the last segment",
        |disk| disk.damage(THIRD, |bytes| bytes[at(0)..at(1)].fill(0)),
        "failed to read the journal: 00000000000000000008.journal is damaged at byte 4096: zeros \
         stand in front of data, yet a later commit follows at byte 5096 (restore the file from a \
         copy, or cut the journal there with `divisord journal repair`)",
    );
    check(
        "a bit in an earlier segment",
        |disk| disk.damage(SECOND, |bytes| bytes[at(3) + 77] ^= 1),
        "recovered up to 10, epoch 2, then failed to read the journal: \
         00000000000000000004.journal is damaged at byte 7096: the record's checksum is wrong \
         (restore the file from a copy, or cut the journal there with `divisord journal repair`)",
    );
    check(
        "an earlier segment ends early",
        |disk| disk.damage(SECOND, |bytes| bytes.truncate(at(3))),
        "recovered up to 10, epoch 2, then failed to read the journal: \
         00000000000000000004.journal is damaged at byte 7096: its records end here, but no other \
         segment begins at position 7 (restore the file from a copy, or cut the journal there with \
         `divisord journal repair`)",
    );
    check(
        "an earlier segment is empty",
        |disk| disk.damage(SECOND, |bytes| bytes[at(0)..].fill(0)),
        "recovered up to 10, epoch 2, then failed to read the journal: \
         00000000000000000004.journal is damaged at byte 4096: its records end here, but no other \
         segment begins at position 4 (restore the file from a copy, or cut the journal there with \
         `divisord journal repair`)",
    );
    check(
        "a missing segment",
        |disk| disk.remove(SECOND).unwrap(),
        "failed to read the journal: 00000000000000000004.journal is missing, \
         00000000000000000008.journal needs it (restore the file from a copy, or cut the journal \
         there with `divisord journal repair`)",
    );
    check(
        "swapped segments",
        |disk| {
            disk.rename(SECOND, "x").unwrap();
            disk.rename(THIRD, SECOND).unwrap();
            disk.rename("x", THIRD).unwrap();
        },
        "failed to read the journal: 00000000000000000004.journal is damaged at byte 0: its header \
         says that it begins at position 8, so it is another segment (restore the file from a \
         copy, or cut the journal there with `divisord journal repair`)",
    );
    check(
        "another format version",
        |disk| disk.damage(THIRD, |bytes| bytes[8] = 2),
        "failed to read 00000000000000000008.journal of the journal: it has format version 2, this \
         divisord reads version 1 (run the divisord that wrote it)",
    );
    check(
        "a damaged header",
        |disk| disk.damage(SECOND, |bytes| bytes[30] ^= 1),
        "failed to read the journal: 00000000000000000004.journal is damaged at byte 0: its header \
         is damaged (restore the file from a copy, or cut the journal there with `divisord journal \
         repair`)",
    );
}

/// Damages a journal of ten records in three segments and tells what opening and replaying it does.
fn check(what: &str, damage: impl FnOnce(&SimDisk), expected: &str) {
    let disk = written(10);
    damage(&disk);
    let found = match Journal::open_on(Arc::new(disk), TINY) {
        Err(error) => format!("failed to {error}"),
        Ok((mut journal, recovered)) => {
            let mut told = format!(
                "recovered up to {}, epoch {}",
                recovered.next, recovered.epoch
            );
            if let Some(Cut {
                file,
                offset,
                bytes,
            }) = recovered.cut
            {
                told += &format!(", cut {bytes} bytes at {offset} of {file}");
            }
            append(&mut journal, 1);
            match replay(&journal) {
                Ok(records) => assert_eq!(records, expected_records(journal.next_position())),
                Err(error) => told += &format!(", then failed to {error}"),
            }
            told
        }
    };
    assert_eq!(found, expected, "{what}");
}

#[test]
fn repair_cuts_at_the_first_damage_and_keeps_what_it_cut() {
    let disk = written(10);
    disk.damage(SECOND, |bytes| bytes[4096 + SPAN] ^= 1);
    let repaired = repair_on(&disk).unwrap().unwrap();
    assert_eq!(repaired.next, 5);
    assert_eq!(
        repaired.aside,
        [format!("{THIRD}.damaged"), format!("{SECOND}.damaged")]
    );
    assert_eq!(repair_on(&disk).unwrap(), None);
    let (mut journal, recovered) = Journal::open_on(Arc::new(disk), TINY).unwrap();
    assert_eq!((recovered.next, recovered.cut), (5, None));
    append(&mut journal, 3);
    assert_eq!(replay(&journal).unwrap(), expected_records(8));
}

#[test]
fn repair_of_a_missing_segment_ends_before_the_gap() {
    let disk = written(10);
    disk.remove(SECOND).unwrap();
    assert_eq!(repair_on(&disk).unwrap().unwrap().next, 4);
    assert_eq!(Journal::open_on(Arc::new(disk), TINY).unwrap().1.next, 4);

    let disk = written(2);
    disk.damage(FIRST, |bytes| bytes[0] = b'?');
    let refusal = repair_on(&disk).unwrap_err().to_string();
    assert!(refusal.contains("its header is damaged"), "{refusal}");
}

#[test]
fn walk_reports_each_segment() {
    let disk = written(10);
    let mut seen = 0;
    let reports = walk_on(&disk, &mut |record| {
        assert_eq!(record.first, seen);
        seen += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    let told: Vec<_> = reports
        .iter()
        .map(|r| (r.first, r.next, r.records, r.used, r.torn))
        .collect();
    assert_eq!(
        told,
        [(0, 4, 4, 8096, 0), (4, 8, 4, 8096, 0), (8, 10, 2, 6096, 0)]
    );
    assert!(
        reports
            .iter()
            .all(|report| report.problem.is_none() && report.epoch == 1)
    );
}

#[test]
fn positions_are_contiguous() {
    let (mut journal, _) = Journal::open_on(Arc::new(SimDisk::default()), TINY).unwrap();
    journal.append(0, 3, 1, b"three").unwrap();
    journal.append(3, 0, 2, b"timer").unwrap();
    let refusal = journal.append(3, 1, 3, b"again").unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "append to the journal: position 3 where 4 is next"
    );
    assert_eq!(journal.commit().unwrap(), 4);
    let mut reader = journal.reader_from(2).unwrap();
    assert_eq!(reader.next_record().unwrap().unwrap().body, "three");
    assert_eq!(reader.next_record().unwrap().unwrap().first, 3);
    assert_eq!(reader.next_record().unwrap(), None);
    let refusal = journal.reader_from(5).unwrap_err().to_string();
    assert_eq!(
        refusal,
        "read the journal from position 5: it holds 0 up to 4"
    );
}

#[test]
fn readers_see_only_what_is_committed() {
    let (mut journal, _) = Journal::open_on(Arc::new(SimDisk::default()), TINY).unwrap();
    let mut reader = journal.reader_from(0).unwrap();
    journal.append(0, 1, 0, b"a").unwrap();
    assert_eq!(reader.next_record().unwrap(), None);
    assert!(!reader.wait(Duration::ZERO));
    journal.commit().unwrap();
    journal.append(1, 1, 0, b"b").unwrap();
    assert!(reader.wait(Duration::ZERO));
    assert_eq!(reader.next_record().unwrap().unwrap().body, "a");
    assert_eq!(reader.next_record().unwrap(), None);
    drop(journal);
    assert!(
        !reader.wait(Duration::from_secs(60)),
        "a writer that is gone ends the wait"
    );
    assert!(reader.is_finished());
}

#[test]
fn a_large_record_gets_a_segment_of_its_own() {
    let disk = SimDisk::default();
    let (mut journal, _) = Journal::open_on(Arc::new(disk.clone()), TINY).unwrap();
    let large = vec![7; 100_000];
    journal.append(0, 1, 0, b"small").unwrap();
    journal.append(1, 1, 0, &large).unwrap();
    journal.append(2, 1, 0, b"small").unwrap();
    journal.commit().unwrap();
    drop(journal);
    let (journal, recovered) = Journal::open_on(Arc::new(disk), TINY).unwrap();
    assert_eq!((recovered.next, recovered.cut), (3, None));
    let mut reader = journal.reader_from(1).unwrap();
    assert_eq!(reader.next_record().unwrap().unwrap().body, large);
    assert_eq!(reader.next_record().unwrap().unwrap().body, "small");
}

#[test]
fn an_error_of_fsync_ends_all_use() {
    let disk = written(1);
    let (mut journal, _) = Journal::open_on(Arc::new(disk.clone()), TINY).unwrap();
    journal.append(1, 1, 0, &body(1)).unwrap();
    disk.state().sync_fails = true;
    let error = journal.commit().unwrap_err();
    assert!(matches!(error, AppendError::Broken { .. }));
    assert_eq!(journal.source().watermark().position(), 1);
    assert!(
        matches!(journal.commit(), Err(AppendError::Broken { .. })),
        "never retried"
    );
    assert!(matches!(
        journal.append(2, 1, 0, b""),
        Err(AppendError::Broken { .. })
    ));
    assert!(!journal.has_room());
}

#[test]
fn a_full_disk_is_a_state_that_ends() {
    let disk = SimDisk::default();
    disk.state().space = Some(3 * 8192 + 4096);
    let (mut journal, _) = Journal::open_on(Arc::new(disk.clone()), TINY).unwrap();
    let mut appended = 0;
    let error = loop {
        match journal.append(appended, 1, 0, &body(appended)) {
            Ok(()) => appended += 1,
            Err(error) => break error,
        }
        journal.commit().unwrap();
    };
    assert!(matches!(error, AppendError::Full { .. }), "{error}");
    assert_eq!((appended, journal.next_position()), (12, 12));
    assert!(!journal.has_room());
    assert_eq!(replay(&journal).unwrap(), expected_records(12));
    disk.state().space = Some(1 << 20);
    assert!(journal.has_room());
    append(&mut journal, 5);
    assert_eq!(replay(&journal).unwrap(), expected_records(17));
}

#[test]
fn a_partial_record_is_undone() {
    // A file system that allocates late: the file turns out to have no blocks for the record.
    let disk = written(1);
    disk.damage(FIRST, |bytes| bytes.truncate(4096 + SPAN));
    disk.damage(FIRST, |bytes| bytes.resize(8192, 0));
    let (mut journal, _) = Journal::open_on(Arc::new(disk.clone()), TINY).unwrap();
    disk.damage(FIRST, |bytes| bytes.truncate(4096 + SPAN));
    disk.state().space = Some(500);
    let error = journal.append(1, 1, 0, &body(1)).unwrap_err();
    assert!(matches!(error, AppendError::Full { .. }), "{error}");
    assert!(!journal.has_room());
    disk.state().space = None;
    assert!(journal.has_room());
    journal.append(1, 1, 0, b"short").unwrap();
    journal.commit().unwrap();
    assert!(
        content(&disk, FIRST)[4096 + SPAN + 48..]
            .iter()
            .all(|byte| *byte == 0)
    );
}

#[test]
fn the_limit_holds_until_segments_are_released() {
    let settings = Settings {
        bytes_max: 3 * 8192,
        ..TINY
    };
    let (mut journal, _) = Journal::open_on(Arc::new(SimDisk::default()), settings).unwrap();
    append(&mut journal, 12);
    let error = journal.append(12, 1, 0, &body(12)).unwrap_err().to_string();
    assert_eq!(
        error,
        "append to the journal: it has reached journal.bytes_max = 24576 bytes (it shrinks when \
         PostgreSQL has stored what it holds)"
    );
    assert!(!journal.has_room());
    assert_eq!(
        journal.retain_from(3).unwrap(),
        0,
        "the segment holds position 3"
    );
    assert!(!journal.has_room());
    assert_eq!(journal.retain_from(4).unwrap(), 4);
    assert!(journal.has_room());
    append(&mut journal, 1);
    assert!(journal.bytes() <= settings.bytes_max);
    let refusal = journal.reader_from(3).unwrap_err().to_string();
    assert_eq!(
        refusal,
        "read the journal from position 3: it holds 4 up to 13"
    );
}

#[test]
fn retention_keeps_what_it_is_told() {
    let settings = Settings {
        keep: 2 * 8192,
        ..TINY
    };
    let disk = SimDisk::default();
    let (mut journal, _) = Journal::open_on(Arc::new(disk.clone()), settings).unwrap();
    append(&mut journal, 20);
    assert_eq!(journal.retain_from(20).unwrap(), 12);
    drop(journal);
    let (mut journal, recovered) = Journal::open_on(Arc::new(disk), TINY).unwrap();
    assert_eq!((recovered.oldest, recovered.next), (12, 20));
    assert_eq!(
        journal.retain_from(20).unwrap(),
        16,
        "the current segment stays"
    );
}

#[test]
fn a_follower_reads_along_over_many_segments() {
    const RECORDS: u64 = 800;
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings {
        ahead: true,
        sync: false,
        ..TINY
    };
    let (mut journal, _) = Journal::open(dir.path(), settings).unwrap();
    let source = journal.source();
    let follower = thread::spawn(move || {
        let mut reader = source.reader_from(0).unwrap();
        let mut seen = Vec::new();
        while !reader.is_finished() {
            match reader.next_record().unwrap() {
                Some(record) => seen.push(record),
                None => drop(reader.wait(Duration::from_millis(100))),
            }
        }
        seen
    });
    for position in 0..RECORDS {
        journal.append(position, 1, 0, &body(position)).unwrap();
        if position % 3 == 0 {
            journal.commit().unwrap();
        }
    }
    journal.commit().unwrap();
    drop(journal);
    assert_eq!(follower.join().unwrap(), expected_records(RECORDS));
    assert_eq!(
        walk(dir.path(), &mut |_| ControlFlow::Continue(()))
            .unwrap()
            .len(),
        200
    );
}

/// A disk on which something happens between the moment a directory was listed and the moment the
/// list is looked at.
struct Meanwhile<F> {
    disk: SimDisk,
    happens: F,
}

impl<F> fmt::Debug for Meanwhile<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meanwhile")
    }
}

impl<F: Fn() + Send + Sync> Disk for Meanwhile<F> {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create(name)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(name)
    }

    fn open_to_read(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open_to_read(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = self.disk.list();
        (self.happens)();
        names
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }
}

#[test]
fn a_reader_may_begin_while_segments_do() {
    check(0);
    check(3);
    check(4);
    check(9);

    /// A reader from the head of a journal of this many records, while five more are
    /// written between its listing of the segments and its look at the list.
    #[track_caller]
    fn check(before: u64) {
        let disk = SimDisk::default();
        let (mut journal, _) = Journal::open_on(Arc::new(disk.clone()), TINY).unwrap();
        append(&mut journal, before);
        let source = journal.source();
        let journal = Mutex::new(journal);
        let meanwhile = Meanwhile {
            disk,
            happens: move || append(&mut journal.lock().unwrap(), 5),
        };
        let mut reader = source
            .through(Arc::new(meanwhile))
            .reader_from(before)
            .unwrap();
        let first = reader.next_record().unwrap().map(|record| record.first);
        assert_eq!(first, Some(before));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 300, ..ProptestConfig::default() })]

    /// Whatever a power cut leaves, recovery finds a prefix of what was appended, and in it all that
    /// was committed; and the journal goes on from there, over several crashes.
    #[test]
    fn a_crash_loses_nothing_that_was_committed(
        lives in prop::collection::vec((prop::collection::vec((0..3000usize, 0..4u32, any::<bool>()), 0..30), any::<u64>()), 1..4)
    ) {
        let mut disk = SimDisk::default();
        let mut model: Vec<Record> = Vec::new();
        for (appends, seed) in lives {
            let (mut journal, _) = Journal::open_on(Arc::new(disk.clone()), TINY).unwrap();
            let mut committed = model.len();
            for (len, count, commit) in appends {
                let first = journal.next_position();
                let body = vec![(first % 251) as u8; len];
                journal.append(first, count, 7, &body).unwrap();
                model.push(Record { first, count, time: 7, body: body.into() });
                if commit {
                    journal.commit().unwrap();
                    committed = model.len();
                }
            }
            disk = disk.crash(seed);
            let (journal, _) = Journal::open_on(Arc::new(disk.clone()), TINY)
                .map_err(|error| TestCaseError::fail(format!("crash seed {seed}: failed to {error}")))?;
            let records = replay(&journal).unwrap();
            prop_assert!(records.len() >= committed, "crash seed {}: {} < {}", seed, records.len(), committed);
            prop_assert_eq!(&records[..], &model[..records.len()], "crash seed {}", seed);
            model = records;
        }
    }
}

/// A disk with a journal of this many records, each with a commit of its own.
fn written(records: u64) -> SimDisk {
    let disk = SimDisk::default();
    let (mut journal, _) = Journal::open_on(Arc::new(disk.clone()), TINY).unwrap();
    append(&mut journal, records);
    drop(journal);
    disk
}

/// Appends and commits records as [`expected_records`] has them.
fn append(journal: &mut Journal, records: u64) {
    for _ in 0..records {
        let position = journal.next_position();
        journal.append(position, 1, 0, &body(position)).unwrap();
        journal.commit().unwrap();
    }
}

fn body(position: u64) -> Vec<u8> {
    vec![position as u8 | 1; SPAN - 40]
}

fn expected_records(until: u64) -> Vec<Record> {
    let record = |first| Record {
        first,
        count: 1,
        time: 0,
        body: body(first).into(),
    };
    (0..until).map(record).collect()
}

fn replay(journal: &Journal) -> Result<Vec<Record>, ReadError> {
    let mut reader = journal.reader_from(0)?;
    let mut records = Vec::new();
    while let Some(record) = reader.next_record()? {
        records.push(record);
    }
    Ok(records)
}

fn content(disk: &SimDisk, name: &str) -> Vec<u8> {
    let file = disk.open(name).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}
