//! Everything that reads bytes of strangers, with bytes that nobody would send.
//!
//! Each target takes any input, must not panic, checks what must always hold, and returns a number
//! that stands for what it did. The explorer changes known inputs at random and keeps those that
//! brought a new number, so that it goes deeper than blind chance.
//!
//! `cargo test` replays the corpora (`tests/corpus/TARGET/`) and explores a little, the same way
//! each time as far as it comes. `just fuzz TARGET SECONDS` gives the same targets to libFuzzer
//! (`daemon/fuzz`), which is led by coverage and writes an input that broke something into the corpus.

mod explore;
mod targets;

use explore::explore;

#[test]
fn codec() {
    explore("codec", targets::codec, targets::CODEC_WORDS);
}

#[test]
fn tick() {
    explore("tick", targets::tick, targets::JSON_WORDS);
}

#[test]
fn fixtures() {
    explore("fixtures", targets::fixtures, targets::JSON_WORDS);
}

#[test]
fn filters() {
    explore("filters", targets::filters, targets::FILTER_WORDS);
}

#[test]
fn config() {
    explore("config", targets::config, targets::CONFIG_WORDS);
}
