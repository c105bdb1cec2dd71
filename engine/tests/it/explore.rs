//! How property tests choose their cases: the same ones everywhere in the run that everybody does,
//! others in a long one.

use proptest::prelude::ProptestConfig;
use proptest::test_runner::{FileFailurePersistence, RngSeed};

/// `cases` with a fixed seed; `PROPTEST_CASES=5000 cargo test -p divisor-engine NAME` explores that
/// many others. A failure prints its seed and keeps it in `seeds`, to be run first from then on.
pub(crate) fn config(cases: u32, seeds: &'static str) -> ProptestConfig {
    let explores = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: if explores { default.cases } else { cases },
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(seeds))),
        rng_seed: if explores {
            RngSeed::Random
        } else {
            RngSeed::Fixed(20_211_104)
        },
        ..default
    }
}

/// The file of failures of one module of tests.
macro_rules! seeds {
    ($name:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/", $name, ".seeds")
    };
}
pub(crate) use seeds;
