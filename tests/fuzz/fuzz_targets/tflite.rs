//! See `foldnet_tests::fuzz::onnx`, which takes TFLite files, too; here the seeds are such files.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| foldnet_tests::fuzz::onnx(bytes));
