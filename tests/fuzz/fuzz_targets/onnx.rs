//! See `foldnet_tests::fuzz::onnx`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| foldnet_tests::fuzz::onnx(bytes));
