//! See `foldnet_tests::fuzz::plan`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| foldnet_tests::fuzz::plan(bytes));
