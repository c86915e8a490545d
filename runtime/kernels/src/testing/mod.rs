//! The tests that every kernel set must pass.
//!
//! [`crate::stamp_tests!`] turns them into `#[test]` functions for one set. Shapes come from three sources: a
//! table of edge cases (tiles ± 1, one channel, one pixel, padding wider than the image), the layer shapes of real
//! ResNets at reduced size, and random ones from a seed. Tolerance is zero. On a difference, the message contains
//! position, channel, expected and actual value, and the description.

mod conv;
mod inputs;
mod operators;
mod resnet;

pub use conv::{check_conv, conv_edges, conv_in_place_residual, conv_random, conv_resnet_layers};
pub use inputs::{Aligned, Rng};
pub use operators::{add, affine, avg_pool, channel_table, dequantize, max_pool, scale, sum, table};
pub use resnet::resnet_layers;

use crate::set::KernelSet;
use crate::shape::Shape;

/// Stamps the shared tests on a kernel set: `stamp_tests!(portable)`, with the set's name in
/// [`crate::dispatch::REGISTRY`]. If the CPU cannot run the set, the tests are ignored *loudly*: they print
/// `SKIPPED <set>`, and fail if `FOLDNET_REQUIRE_SETS` names the set.
#[macro_export]
macro_rules! stamp_tests {
    ($($set:ident),+ $(,)?) => {$(
        mod $set {
            fn run(check: fn(&dyn $crate::KernelSet)) {
                $crate::testing::with_set(stringify!($set), check);
            }
            #[test] fn layout_round_trips() { run($crate::testing::layout_round_trips); }
            #[test] fn conv_edges() { run($crate::testing::conv_edges); }
            #[test] fn conv_resnet_layers() { run($crate::testing::conv_resnet_layers); }
            #[test] fn conv_random() { run($crate::testing::conv_random); }
            #[test] fn conv_in_place_residual() { run($crate::testing::conv_in_place_residual); }
            #[test] fn max_pool() { run($crate::testing::max_pool); }
            #[test] fn avg_pool() { run($crate::testing::avg_pool); }
            #[test] fn affine() { run($crate::testing::affine); }
            #[test] fn add() { run($crate::testing::add); }
            #[test] fn table() { run($crate::testing::table); }
            #[test] fn channel_table() { run($crate::testing::channel_table); }
            #[test] fn scale() { run($crate::testing::scale); }
            #[test] fn sum() { run($crate::testing::sum); }
            #[test] fn dequantize() { run($crate::testing::dequantize); }
        }
    )+};
}

/// Runs `check` on the named set; see [`crate::stamp_tests!`] for a set that is not available.
#[cfg(feature = "std")]
pub fn with_set(name: &str, check: fn(&dyn KernelSet)) {
    use std::io::Write;

    match crate::dispatch::by_name(name) {
        Ok(set) => check(set),
        Err(why) => {
            let required = std::env::var("FOLDNET_REQUIRE_SETS").unwrap_or_default();
            assert!(!required.split(',').any(|r| r == name), "{name} is required here, but {why}");
            // The test harness would swallow the output of `println`.
            let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {why}");
        }
    }
}

/// The name of a shared test, and the test.
pub type Test = (&'static str, fn(&dyn KernelSet));

/// All shared tests with their names, for a runner without Rust's test harness (firmware).
pub const ALL: &[Test] = &[
    ("layout_round_trips", layout_round_trips),
    ("conv_edges", conv_edges),
    ("conv_resnet_layers", conv_resnet_layers),
    ("conv_random", conv_random),
    ("conv_in_place_residual", conv_in_place_residual),
    ("max_pool", max_pool),
    ("avg_pool", avg_pool),
    ("affine", affine),
    ("add", add),
    ("table", table),
    ("channel_table", channel_table),
    ("scale", scale),
    ("sum", sum),
    ("dequantize", dequantize),
];

fn same(expected: &[i8], got: &[i8], shape: Shape, context: &str) {
    assert_eq!(expected.len(), got.len(), "{context}");
    let wrong = expected.iter().zip(got).filter(|(e, g)| e != g).count();
    if let Some(at) = expected.iter().zip(got).position(|(e, g)| e != g) {
        let (pixel, channel) = (at / shape.c, at % shape.c);
        panic!(
            "{context}: {wrong} of {} differ, first at row {} column {} channel {channel}: expected {}, got {}",
            expected.len(),
            pixel / shape.w,
            pixel % shape.w,
            expected[at],
            got[at]
        );
    }
}

/// Tests that `write_tensor` and then `read_tensor` return the same values.
pub fn layout_round_trips(set: &dyn KernelSet) {
    let mut rng = Rng(1);
    for (h, w, c) in [(1, 1, 1), (3, 5, 7), (4, 4, 16), (2, 9, 33), (7, 7, 64), (1, 1, 1000)] {
        let shape = Shape::new(h, w, c);
        let values = rng.int8s(shape.len(), -128);
        let mut buffer = Aligned::new(set.tensor_bytes(shape), 0xee);
        set.write_tensor(shape, &values, buffer.get_mut());
        same(&values, &set.read_tensor(shape, buffer.get()), shape, set.name());
    }
}
