//! Changing inputs and keeping the interesting ones.

use std::collections::HashSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long one test explores at most, and how many executions that is at most.
const TIME_MAX: Duration = Duration::from_secs(2);
const EXECUTIONS_MAX: u64 = 5_000;

/// Longer inputs are cut: what matters is in the first bytes, and short ones run faster.
const INPUT_BYTES_MAX: usize = 4_096;

/// Inputs kept in memory.
const POOL_MAX: usize = 20_000;

/// Runs a target over its corpus and then over changed inputs.
pub(super) fn explore(name: &str, target: fn(&[u8]) -> u64, words: &[&[u8]]) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(name);
    let started = Instant::now();
    let mut explorer = Explorer {
        target,
        words,
        random: Random(0x2545_f491_4f6c_dd1d),
        pool: Vec::new(),
        seen: HashSet::new(),
        directory,
    };
    let corpus = explorer.corpus();
    assert!(!corpus.is_empty(), "no corpus for {name}");
    for (path, input) in &corpus {
        explorer.run(input.clone(), Some(path));
    }
    explorer.pool = corpus.into_iter().map(|(_, input)| input).collect();
    let mut executions = explorer.pool.len() as u64;
    while started.elapsed() < TIME_MAX && executions < EXECUTIONS_MAX {
        let input = explorer.change();
        explorer.run(input, None);
        executions += 1;
    }
}

struct Explorer<'a> {
    target: fn(&[u8]) -> u64,
    words: &'a [&'a [u8]],
    random: Random,
    pool: Vec<Vec<u8>>,
    /// The numbers of what the target has been seen to do.
    seen: HashSet<u64>,
    directory: PathBuf,
}

impl Explorer<'_> {
    fn corpus(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let Ok(files) = fs::read_dir(&self.directory) else {
            return Vec::new();
        };
        let mut paths: Vec<PathBuf> = files.flatten().map(|file| file.path()).collect();
        paths.sort();
        let read = |path: PathBuf| fs::read(&path).ok().map(|input| (path, input));
        paths.into_iter().filter_map(read).collect()
    }

    /// Runs the target; an input that breaks it is written down before the test fails.
    fn run(&mut self, input: Vec<u8>, path: Option<&Path>) {
        let result = catch_unwind(AssertUnwindSafe(|| (self.target)(&input)));
        match result {
            Ok(number) => {
                if self.seen.insert(number) && path.is_none() && self.pool.len() < POOL_MAX {
                    self.pool.push(input);
                }
            }
            Err(_) => {
                let place = match path {
                    Some(path) => path.to_owned(),
                    None => self.write(&input),
                };
                panic!("{} breaks the target: {input:02x?}", place.display());
            }
        }
    }

    fn write(&self, input: &[u8]) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        input.hash(&mut hasher);
        let path = self
            .directory
            .join(format!("broken-{:016x}", hasher.finish()));
        // The input is in the test's message too.
        let _ = fs::write(&path, input);
        path
    }

    /// A known input with some changes.
    fn change(&mut self) -> Vec<u8> {
        let mut input = self.pick();
        for _ in 0..1 + self.random.below(4) {
            let at = self.random.below(input.len() + 1);
            let end = (at + 1 + self.random.below(16)).min(input.len());
            match self.random.below(9) {
                0 if at < input.len() => input[at] ^= 1 << self.random.below(8),
                1 if at < input.len() => input[at] = self.random.next() as u8,
                2 if at < input.len() => {
                    let odd = [0, 1, 0x7f, 0x80, 0xff, b'0', b'9', b'"', b'/', b'+'];
                    input[at] = odd[self.random.below(odd.len())];
                }
                3 if at < end => drop(input.drain(at..end)),
                4 if at < end => {
                    let again = input[at..end].to_vec();
                    for _ in 0..1 + self.random.below(4) {
                        input.splice(at..at, again.iter().copied());
                    }
                }
                5 => {
                    let other = self.pick();
                    let from = self.random.below(other.len() + 1);
                    input.truncate(at);
                    input.extend_from_slice(&other[from..]);
                }
                6 => input.truncate(at),
                _ => {
                    let word = self.words[self.random.below(self.words.len())];
                    let over = if self.random.below(2) == 0 { at } else { end };
                    input.splice(at..over.max(at), word.iter().copied());
                }
            }
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }

    fn pick(&mut self) -> Vec<u8> {
        let at = self.random.below(self.pool.len());
        self.pool[at].clone()
    }
}

/// A repeatable stream of numbers (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}
