//! The fuzzers' bodies over their seeds and a bounded number of mutations; `.ci/fuzz` runs the fuzzers themselves.

use foldnet_tests::fuzz::{TARGETS, mutate};

/// Mutations of each target's seeds together.
const MUTATIONS: u64 = 2_000;

#[test]
fn damaged_files_never_panic() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{}", target.name);
        seeds.iter().for_each(|seed| (target.body)(seed));
        for number in 0..MUTATIONS {
            let bytes = mutate(&seeds[number as usize % seeds.len()], number);
            let done = std::panic::catch_unwind(|| (target.body)(&bytes));
            assert!(done.is_ok(), "{}: mutation {number}, {} bytes", target.name, bytes.len());
        }
    }
}
