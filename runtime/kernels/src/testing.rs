//! The tests that every kernel set passes, written once.
//!
//! [`crate::stamp_tests!`] makes them `#[test]` functions for one set. Shapes come from three places:
//! a table of edges (tiles ± 1, one channel, one pixel, padding wider than the picture), the layer
//! shapes of real ResNets at reduced size, and random ones from a seed. Tolerance is zero. On a
//! difference the message names position, channel, expected, got and the description.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};

use crate::op;
use crate::quant::Requant;
use crate::reference::{self, ConvResult};
use crate::set::{ALIGN, ConvArgs, ConvScalars, ConvWeights, KernelSet};
use crate::shape::{ConvDesc, ConvOutput, PoolDesc, Shape, Source};
use crate::{AddScalars, AvgPoolScalars, MAX_TERMS, ScaleScalars, SumTerm};

/// Stamps the shared tests on a kernel set: `stamp_tests!(portable)` with the set's name in
/// [`crate::dispatch::REGISTRY`]. Where the CPU lacks the set, the tests are ignored *loudly*: they
/// print `SKIPPED <set>` and, with `FOLDNET_REQUIRE_SETS` naming the set, fail.
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

/// Runs `check` on the named set; see [`crate::stamp_tests!`] for what happens without it.
#[cfg(feature = "std")]
pub fn with_set(name: &str, check: fn(&dyn KernelSet)) {
    use std::io::Write;

    match crate::dispatch::by_name(name) {
        Ok(set) => check(set),
        Err(why) => {
            let required = std::env::var("FOLDNET_REQUIRE_SETS").unwrap_or_default();
            assert!(!required.split(',').any(|r| r == name), "{name} is required here, but {why}");
            // Not `println`, which the test harness would swallow.
            let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {why}");
        }
    }
}

/// A shared test and its name.
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

/// A small deterministic generator (SplitMix64), so that a failing case can be named by its seed.
pub struct Rng(pub u64);

impl Rng {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A value in `lo..=hi`.
    pub fn range(&mut self, lo: i64, hi: i64) -> i64 {
        lo + (self.bits() % (hi - lo + 1) as u64) as i64
    }

    fn int8s(&mut self, n: usize, lo: i64) -> Vec<i8> {
        // Extremes are as likely as everything else together: they are where saturation hides.
        (0..n)
            .map(|_| match self.bits() % 4 {
                0 => lo as i8,
                1 => 127,
                _ => self.range(lo, 127) as i8,
            })
            .collect()
    }

    fn f32s(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|_| (self.range(-1000, 1000) as f32) / 1000.0 * scale).collect()
    }
}

/// A buffer aligned to [`ALIGN`].
pub struct Aligned {
    words: Vec<[u64; 8]>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// `len` bytes of `fill`.
    pub fn new(len: usize, fill: u8) -> Self {
        let words = vec![[u64::from_ne_bytes([fill; 8]); 8]; len / ALIGN + 2];
        let start = words.as_ptr().cast::<u8>().align_offset(ALIGN);
        Self { words, start, len }
    }

    /// A copy of `bytes`.
    pub fn from(bytes: &[u8]) -> Self {
        let mut new = Self::new(bytes.len(), 0);
        new.get_mut().copy_from_slice(bytes);
        new
    }

    /// The bytes.
    pub fn get(&self) -> &[u8] {
        // SAFETY: `start + len` is inside `words` by construction, and u8 has no invalid value.
        unsafe { core::slice::from_raw_parts(self.words.as_ptr().cast::<u8>().add(self.start), self.len) }
    }

    /// The bytes.
    pub fn get_mut(&mut self) -> &mut [u8] {
        // SAFETY: as `get`, and `self` is borrowed mutably.
        unsafe {
            core::slice::from_raw_parts_mut(self.words.as_mut_ptr().cast::<u8>().add(self.start), self.len)
        }
    }
}

fn desc(x: (usize, usize, usize), c: usize, k: usize, s: usize, p: usize) -> ConvDesc {
    let out = |n: usize| (n + 2 * p - k) / s + 1;
    ConvDesc {
        x: Shape::new(x.0, x.1, x.2),
        y: Shape::new(out(x.0), out(x.1), c),
        kernel: [k, k],
        stride: [s, s],
        dilation: [1, 1],
        pad: [p, p],
        groups: 1,
        source: Source::Tensor,
        skip: false,
        output: ConvOutput::Int8,
    }
}

/// The convolutions of `resnet50`, `resnet50v2` (Keras Applications' structures), `resnet18` (torchvision's)
/// on 224×224, or `cifar` (ResNet-8's and -20's widths on 32×32): name, how often, description.
pub fn resnet_layers(network: &str) -> Vec<(String, usize, ConvDesc)> {
    let mut layers: Vec<(usize, ConvDesc)> = Vec::new();
    let skip = |d: ConvDesc| ConvDesc { skip: true, ..d };
    let pixels = |d: ConvDesc| ConvDesc { source: Source::Pixels, ..d };
    let logits = |c_in, c| ConvDesc { output: ConvOutput::Float32, ..desc((1, 1, c_in), c, 1, 1, 0) };
    match network {
        // The stride is in the first 1×1 of a stage.
        "resnet50" => {
            layers.push((1, pixels(desc((224, 224, 3), 64, 7, 2, 3))));
            let mut c_in = 64;
            for (side, c, blocks) in [(56, 64, 3), (28, 128, 4), (14, 256, 6), (7, 512, 3)] {
                let stride = if side == 56 { 1 } else { 2 };
                let x = side * stride;
                layers.push((1, desc((x, x, c_in), 4 * c, 1, stride, 0)));
                layers.push((1, desc((x, x, c_in), c, 1, stride, 0)));
                layers.push((blocks - 1, desc((side, side, 4 * c), c, 1, 1, 0)));
                layers.push((blocks, desc((side, side, c), c, 3, 1, 1)));
                layers.push((blocks, skip(desc((side, side, c), 4 * c, 1, 1, 0))));
                c_in = 4 * c;
            }
            layers.push((1, logits(2048, 1000)));
        }
        // The stride is in the last 3×3 of a stage; sums and preactivations are written together, but for
        // a stage's last sum, which nobody reads.
        "resnet50v2" => {
            let with = |d: ConvDesc, output| ConvDesc { output, ..skip(d) };
            layers.push((1, pixels(desc((224, 224, 3), 64, 7, 2, 3))));
            let mut c_in = 64;
            for (x, c, blocks) in [(56, 64, 3), (28, 128, 4), (14, 256, 6), (7, 512, 3)] {
                let stride = if x == 7 { 1 } else { 2 };
                let y = x / stride;
                layers.push((1, desc((x, x, c_in), 4 * c, 1, 1, 0)));
                layers.push((1, desc((x, x, c_in), c, 1, 1, 0)));
                layers.push((blocks - 1, desc((x, x, 4 * c), c, 1, 1, 0)));
                layers.push((blocks - 1, desc((x, x, c), c, 3, 1, 1)));
                layers.push((1, desc((x, x, c), c, 3, stride, 1)));
                layers.push((blocks - 1, with(desc((x, x, c), 4 * c, 1, 1, 0), ConvOutput::Int8AndAffine)));
                layers.push((1, with(desc((y, y, c), 4 * c, 1, 1, 0), ConvOutput::Affine)));
                c_in = 4 * c;
            }
            layers.push((1, logits(2048, 1000)));
        }
        "resnet18" => {
            layers.push((1, pixels(desc((224, 224, 3), 64, 7, 2, 3))));
            for (side, c) in [(56, 64), (28, 128), (14, 256), (7, 512)] {
                if side != 56 {
                    layers.push((1, desc((2 * side, 2 * side, c / 2), c, 1, 2, 0)));
                    layers.push((1, desc((2 * side, 2 * side, c / 2), c, 3, 2, 1)));
                }
                layers.push((if side == 56 { 2 } else { 1 }, desc((side, side, c), c, 3, 1, 1)));
                layers.push((2, skip(desc((side, side, c), c, 3, 1, 1))));
            }
            layers.push((1, logits(512, 1000)));
        }
        "cifar" => {
            layers.push((1, pixels(desc((32, 32, 3), 16, 3, 1, 1))));
            for (side, c) in [(32, 16), (16, 32), (8, 64)] {
                if side != 32 {
                    layers.push((1, desc((2 * side, 2 * side, c / 2), c, 1, 2, 0)));
                    layers.push((1, desc((2 * side, 2 * side, c / 2), c, 3, 2, 1)));
                }
                layers.push((2, desc((side, side, c), c, 3, 1, 1)));
                layers.push((3, skip(desc((side, side, c), c, 3, 1, 1))));
            }
            layers.push((1, logits(64, 10)));
        }
        other => panic!("no table of layers for {other}"),
    }
    let name = |d: &ConvDesc| {
        format!(
            "{} → {} {}×{}{}{}{}",
            d.x,
            d.y,
            d.kernel[0],
            d.kernel[1],
            if d.stride[0] > 1 { " s2" } else { "" },
            if d.skip { " +skip" } else { "" },
            match d.output {
                ConvOutput::Int8 => "",
                ConvOutput::Int8AndAffine => " +affine",
                ConvOutput::Affine => " affine",
                ConvOutput::Float32 => " f32",
            }
        )
    };
    layers.into_iter().map(|(times, d)| (name(&d), times, d)).collect()
}

/// Runs one convolution on the set, in one piece and again split into tasks in reverse order, and
/// compares both with the reference. `seed` makes weights, inputs and scalars.
pub fn check_conv(set: &dyn KernelSet, desc: &ConvDesc, seed: u64, in_place: bool) {
    desc.validate().unwrap_or_else(|e| panic!("test bug: {desc:?}: {e}"));
    let mut rng = Rng(seed);
    let c = desc.y.c;
    let weights = rng.int8s(c * desc.depth(), -127);
    let bias: Vec<i32> = (0..c).map(|_| rng.range(-100_000, 100_000) as i32).collect();
    // Most results land inside the int8 range, some saturate.
    let typical = 127.0 * 80.0 * desc.depth().isqrt() as f32;
    let multiplier: Vec<f32> =
        (0..c).map(|_| rng.range(100, 1500) as f32 / 1000.0 * 60.0 / typical).collect();
    let affine = desc.output.has_affine();
    let gain = if affine { rng.f32s(c, 2.0) } else { Vec::new() };
    let offset = if affine { rng.f32s(c, 90.0) } else { Vec::new() };
    let requant = |rng: &mut Rng| match rng.bits() % 3 {
        0 => Requant::relu(-128),
        1 => Requant::full(rng.range(-128, 127) as i8),
        _ => Requant::relu(rng.range(-128, 100) as i8),
    };
    let pixels = desc.source == Source::Pixels;
    let first_zero = rng.range(-128, 127) as i8;
    let mut x_zero = [first_zero; 4];
    if pixels {
        x_zero[..desc.x.c].iter_mut().for_each(|z| *z = rng.range(-128, 127) as i8);
    }
    let scalars = ConvScalars {
        x_zero,
        skip_zero: rng.range(-128, 127) as i8,
        skip_multiplier: rng.range(1, 2000) as f32 / 1000.0,
        y: requant(&mut rng),
        y2: requant(&mut rng),
    };
    let params = ConvWeights {
        weights: &weights,
        bias: &bias,
        multiplier: &multiplier,
        gain: &gain,
        offset: &offset,
        x_zero: if pixels { &x_zero[..desc.x.c] } else { &x_zero[..1] },
    };
    let x = rng.int8s(desc.x.len(), -128);
    let skip = if desc.skip { rng.int8s(desc.y.len(), -128) } else { Vec::new() };

    let mut expected = vec![0i8; desc.y.len()];
    let mut expected2 = vec![0i8; if affine { desc.y.len() } else { 0 }];
    let float = desc.output == ConvOutput::Float32;
    let mut expected_f = vec![0f32; if float { c } else { 0 }];
    reference::conv(
        desc,
        &params,
        &scalars,
        &x,
        &skip,
        ConvResult { y: &mut expected, y2: &mut expected2, logits: &mut expected_f },
    );

    let blob = Aligned::from(&set.pack_conv(desc, &params));
    assert!(set.check_conv(desc, blob.get()), "{}: refuses its own blob for {desc:?}", set.name());
    assert!(
        blob.get().is_empty() || !set.check_conv(desc, &blob.get()[..blob.get().len() - 1]),
        "{}: accepts a cut blob for {desc:?}",
        set.name()
    );
    let input: Aligned = if pixels {
        // Exactly as long as promised, so that a sanitizer or Miri sees any over-read.
        Aligned::from(&x.iter().map(|&q| q as u8 ^ 0x80).collect::<Vec<_>>())
    } else {
        let mut b = Aligned::new(set.tensor_bytes(desc.x), 0xa5);
        set.write_tensor(desc.x, &x, b.get_mut());
        b
    };
    for split in [false, true] {
        let y_bytes = if float { 4 * c } else { set.tensor_bytes(desc.y) };
        let mut y = Aligned::new(y_bytes, 0x5a);
        let mut y2 = Aligned::new(set.tensor_bytes(desc.y), 0x5a);
        let mut residual = Aligned::new(set.tensor_bytes(desc.y), 0x5a);
        if desc.skip {
            set.write_tensor(desc.y, &skip, residual.get_mut());
        }
        if in_place {
            y = Aligned::from(residual.get());
        }
        // What lies behind the scratch is somebody else's.
        let scratch_bytes = set.conv_scratch_bytes(desc);
        let mut scratch = Aligned::new(scratch_bytes + 256, 0xcc);
        let y_ptr = y.get_mut().as_mut_ptr();
        let args = ConvArgs {
            desc,
            scalars: &scalars,
            blob: blob.get(),
            x: input.get().as_ptr(),
            skip: if in_place { y_ptr } else { residual.get().as_ptr() },
            y: y_ptr,
            y2: y2.get_mut().as_mut_ptr(),
            x_rows: desc.x.h,
            y_rows: desc.y.h,
            scratch: scratch.get_mut().as_mut_ptr(),
        };
        let tasks = set.conv_tasks(desc);
        assert!(tasks > 0, "{}: no tasks for {desc:?}", set.name());
        if split {
            for t in (0..tasks).rev() {
                // SAFETY: validated description, buffers of the sizes that the set asked for.
                unsafe { set.conv(&args, t..t + 1) };
            }
        } else {
            // SAFETY: as above.
            unsafe { set.conv(&args, 0..tasks) };
        }
        let context = |what: &str| format!("{} {what} split={split} seed={seed} {desc:?}", set.name());
        assert!(scratch.get()[scratch_bytes..].iter().all(|&b| b == 0xcc), "{}", context("scratch overrun"));
        if float {
            // SAFETY: `y` is aligned and holds c f32 values.
            let got = unsafe { core::slice::from_raw_parts(y.get().as_ptr().cast::<f32>(), c) };
            assert_eq!(
                got.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
                expected_f.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
                "{}",
                context("logits")
            );
        }
        if desc.output.has_int8() {
            same(&expected, &set.read_tensor(desc.y, y.get()), desc.y, &context("y"));
        }
        if affine {
            same(&expected2, &set.read_tensor(desc.y, y2.get()), desc.y, &context("y2"));
        }
    }
}

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

/// `write_tensor` then `read_tensor` gives the same values.
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

/// Sizes around tiles, degenerate sizes, wide padding, asymmetric everything, groups, pixels.
pub fn conv_edges(set: &dyn KernelSet) {
    let mut seed = 100;
    let mut check = |d: ConvDesc| {
        seed += 1;
        check_conv(set, &d, seed, false);
    };
    for c_out in [1, 3, 4, 7, 8, 9, 12, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 80, 100] {
        check(desc((3, 5, 16), c_out, 1, 1, 0));
        check(desc((4, 3, 5), c_out, 3, 1, 1));
    }
    for c_in in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 130] {
        check(desc((3, 3, c_in), 17, 1, 1, 0));
        check(desc((5, 4, c_in), 9, 3, 1, 1));
        check(desc((6, 7, c_in), 20, 3, 2, 1));
    }
    for w in 1..=30 {
        check(desc((2, w, 8), 24, 1, 1, 0));
        check(desc((3, w, 8), 16, 3, 1, 1));
    }
    for k in [2, 5, 7] {
        check(desc((9, 8, 6), 10, k, 1, k / 2));
        check(desc((9, 8, 6), 10, k, 2, k / 2));
    }
    check(desc((8, 8, 16), 32, 1, 2, 0));
    check(desc((7, 9, 16), 32, 1, 2, 0));
    check(ConvDesc { kernel: [1, 3], y: Shape::new(5, 4, 6), pad: [0, 0], ..desc((5, 6, 4), 6, 1, 1, 0) });
    check(ConvDesc {
        kernel: [3, 1],
        y: Shape::new(4, 6, 6),
        pad: [1, 0],
        stride: [1, 1],
        ..desc((4, 6, 4), 6, 1, 1, 0)
    });
    check(ConvDesc { dilation: [2, 2], y: Shape::new(6, 6, 6), pad: [2, 2], ..desc((6, 6, 8), 6, 3, 1, 1) });
    // Padding only below and to the right, as TensorFlow's SAME with stride 2 has it.
    check(ConvDesc { pad: [0, 0], y: Shape::new(4, 4, 16), ..desc((8, 8, 16), 16, 3, 2, 1) });
    for groups in [2, 4, 8] {
        check(ConvDesc { groups, ..desc((5, 5, 16), 32, 3, 1, 1) });
        check(ConvDesc { groups, ..desc((5, 5, 64), 64, 3, 2, 1) });
    }
    check(ConvDesc { groups: 12, ..desc((5, 5, 12), 12, 3, 1, 1) });
    for c in 1..=4 {
        for (h, w) in [(8, 8), (5, 11), (1, 1), (17, 32)] {
            check(ConvDesc { source: Source::Pixels, ..desc((h, w, c), 16, 3, 1, 1) });
        }
        check(ConvDesc { source: Source::Pixels, ..desc((30, 33, c), 64, 7, 2, 3) });
        check(ConvDesc { source: Source::Pixels, ..desc((8, 8, c), 5, 1, 1, 0) });
    }
    check(ConvDesc {
        source: Source::Pixels,
        pad: [2, 2],
        y: Shape::new(16, 16, 64),
        ..desc((32, 32, 3), 64, 7, 2, 3)
    });
    for output in [ConvOutput::Int8, ConvOutput::Int8AndAffine, ConvOutput::Affine] {
        for skip in [false, true] {
            check(ConvDesc { output, skip, ..desc((4, 5, 24), 40, 1, 1, 0) });
            check(ConvDesc { output, skip, ..desc((7, 6, 16), 33, 3, 1, 1) });
        }
        check(ConvDesc { output, source: Source::Pixels, ..desc((9, 9, 3), 20, 3, 2, 1) });
    }
    for (c_in, c_out) in [(64, 10), (2048, 1000), (5, 3), (130, 1)] {
        check(ConvDesc { output: ConvOutput::Float32, ..desc((1, 1, c_in), c_out, 1, 1, 0) });
    }
    check(ConvDesc { output: ConvOutput::Float32, ..desc((4, 4, 20), 10, 4, 1, 0) });
}

/// The layers of ResNet-8, 20, 18 and 50, channels and structure kept, pictures made smaller.
pub fn conv_resnet_layers(set: &dyn KernelSet) {
    let layers = [
        ((16, 16, 16), 16, 3, 1),
        ((16, 16, 16), 32, 3, 2),
        ((8, 8, 32), 32, 3, 1),
        ((8, 8, 32), 64, 3, 2),
        ((8, 8, 64), 64, 3, 1),
        ((14, 14, 64), 64, 1, 1),
        ((14, 14, 64), 256, 1, 1),
        ((14, 14, 64), 64, 3, 1),
        ((14, 14, 256), 128, 1, 2),
        ((14, 14, 128), 128, 3, 2),
        ((7, 7, 256), 256, 3, 1),
        ((7, 7, 512), 128, 1, 1),
    ];
    for (i, &(x, c, k, s)) in layers.iter().enumerate() {
        let d = desc(x, c, k, s, k / 2);
        check_conv(set, &d, 1000 + i as u64, false);
        check_conv(set, &ConvDesc { skip: true, ..d }, 1100 + i as u64, false);
        check_conv(
            set,
            &ConvDesc { skip: true, output: ConvOutput::Int8AndAffine, ..d },
            1200 + i as u64,
            false,
        );
    }
}

/// A residual that is the output's own buffer.
pub fn conv_in_place_residual(set: &dyn KernelSet) {
    for (i, (x, c, k)) in
        [((9, 7, 32), 48, 1), ((9, 7, 16), 64, 3), ((1, 1, 16), 5, 1), ((14, 14, 64), 256, 1)]
            .into_iter()
            .enumerate()
    {
        let d = ConvDesc { skip: true, ..desc(x, c, k, 1, k / 2) };
        check_conv(set, &d, 2000 + i as u64, true);
        check_conv(set, &ConvDesc { output: ConvOutput::Int8AndAffine, ..d }, 2100 + i as u64, true);
    }
}

/// Random descriptions.
pub fn conv_random(set: &dyn KernelSet) {
    let mut rng = Rng(7);
    let cases = if cfg!(miri) { 3 } else { 300 };
    let mut done = 0;
    while done < cases {
        let seed = rng.bits();
        let groups = [1, 1, 1, 1, 2, 3][(rng.bits() % 6) as usize];
        let pixels = groups == 1 && rng.bits().is_multiple_of(6);
        let x = Shape::new(
            rng.range(1, 17) as usize,
            rng.range(1, 33) as usize,
            if pixels { rng.range(1, 4) as usize } else { rng.range(1, 40) as usize * groups },
        );
        let kernel = [rng.range(1, 5) as usize, rng.range(1, 5) as usize];
        let stride = [rng.range(1, 3) as usize, rng.range(1, 3) as usize];
        let dilation = if rng.bits().is_multiple_of(8) { [2, 2] } else { [1, 1] };
        let pad = [0, 1].map(|a: usize| rng.range(0, ((kernel[a] - 1) * dilation[a]) as i64) as usize);
        let out = |n: usize, a: usize, rng: &mut Rng| {
            let reach = (kernel[a] - 1) * dilation[a] + 1;
            let after = rng.range(0, pad[a] as i64 + 1) as usize;
            (n + pad[a] + after).checked_sub(reach).map(|n| n / stride[a] + 1)
        };
        let (Some(h), Some(w)) = (out(x.h, 0, &mut rng), out(x.w, 1, &mut rng)) else { continue };
        let d = ConvDesc {
            x,
            y: Shape::new(h, w, rng.range(1, 70) as usize * groups),
            kernel,
            stride,
            dilation,
            pad,
            groups,
            source: if pixels { Source::Pixels } else { Source::Tensor },
            skip: rng.bits().is_multiple_of(3),
            output: [ConvOutput::Int8, ConvOutput::Int8, ConvOutput::Int8AndAffine, ConvOutput::Affine]
                [(rng.bits() % 4) as usize],
        };
        if d.validate().is_ok() {
            check_conv(set, &d, seed, false);
            done += 1;
        }
    }
}

/// Windows of every ResNet, and odd ones.
pub fn max_pool(set: &dyn KernelSet) {
    let mut rng = Rng(3);
    for (h, w, c, k, s, p) in [
        (8, 8, 64, 3, 2, 1),
        (7, 9, 5, 3, 2, 1),
        (8, 8, 17, 2, 2, 0),
        (5, 5, 33, 3, 1, 1),
        (6, 7, 3, 5, 3, 2),
        (1, 1, 16, 1, 1, 0),
        (8, 6, 100, 1, 2, 0),
        (112, 20, 8, 3, 2, 0),
        (16, 31, 24, 3, 2, 1),
    ] {
        let out = |n: usize| (n + 2 * p - k) / s + 1;
        let d = PoolDesc {
            x: Shape::new(h, w, c),
            y: Shape::new(out(h), out(w), c),
            kernel: [k, k],
            stride: [s, s],
            pad: [p, p],
            pad_value: if rng.bits().is_multiple_of(2) { i8::MIN } else { rng.range(-128, 127) as i8 },
        };
        d.validate().unwrap();
        let values = rng.int8s(d.x.len(), -128);
        let mut expected = vec![0; d.y.len()];
        reference::max_pool(&d, 0..d.y.h, &values, &mut expected);
        let mut x = Aligned::new(set.tensor_bytes(d.x), 0xee);
        set.write_tensor(d.x, &values, x.get_mut());
        let mut y = Aligned::new(set.tensor_bytes(d.y), 0xee);
        let half = d.y.h / 2;
        for rows in [half..d.y.h, 0..half] {
            // SAFETY: validated, buffers of the sizes that the set asked for.
            unsafe { set.max_pool(&d, x.get().as_ptr(), y.get_mut().as_mut_ptr(), rows) };
        }
        same(&expected, &set.read_tensor(d.y, y.get()), d.y, &format!("{} {d:?}", set.name()));
    }
}

/// Sizes of the last layer.
pub fn avg_pool(set: &dyn KernelSet) {
    let mut rng = Rng(4);
    for (h, w, c) in [(7, 7, 2048), (8, 8, 64), (4, 4, 64), (1, 1, 3), (3, 5, 17), (56, 56, 33), (2, 1, 100)]
    {
        let shape = Shape::new(h, w, c);
        let values = rng.int8s(shape.len(), -128);
        let scalars = AvgPoolScalars {
            x_zero: rng.range(-128, 127) as i8,
            multiplier: 1.3 / shape.pixels() as f32,
            y: Requant::full(rng.range(-128, 127) as i8),
        };
        let mut expected = vec![0; c];
        reference::avg_pool(shape, &scalars, &values, &mut expected);
        let mut x = Aligned::new(set.tensor_bytes(shape), 0xee);
        set.write_tensor(shape, &values, x.get_mut());
        let out = Shape::new(1, 1, c);
        let mut y = Aligned::new(set.tensor_bytes(out), 0xee);
        // SAFETY: buffers of the sizes that the set asked for.
        unsafe { set.avg_pool(shape, &scalars, x.get().as_ptr(), y.get_mut().as_mut_ptr()) };
        same(&expected, &set.read_tensor(out, y.get()), out, &format!("{} {shape}", set.name()));
    }
}

/// Channel counts around vector widths.
pub fn affine(set: &dyn KernelSet) {
    let mut rng = Rng(5);
    for (h, w, c) in [(3, 3, 1), (4, 5, 16), (5, 4, 17), (2, 7, 63), (7, 7, 256), (1, 1, 1000)] {
        let shape = Shape::new(h, w, c);
        let values = rng.int8s(shape.len(), -128);
        let (gain, offset) = (rng.f32s(c, 2.0), rng.f32s(c, 100.0));
        let (zero, out) = (rng.range(-128, 127) as i8, Requant::relu(rng.range(-128, 0) as i8));
        let mut expected = vec![0; shape.len()];
        reference::affine(zero, out, &gain, &offset, &values, &mut expected);
        let mut x = Aligned::new(set.tensor_bytes(shape), 0xee);
        set.write_tensor(shape, &values, x.get_mut());
        let mut y = Aligned::new(set.tensor_bytes(shape), 0xee);
        for rows in [h / 2..h, 0..h / 2] {
            // SAFETY: buffers of the sizes that the set asked for.
            unsafe {
                set.affine(
                    shape,
                    zero,
                    out,
                    &gain,
                    &offset,
                    x.get().as_ptr(),
                    y.get_mut().as_mut_ptr(),
                    rows,
                );
            }
        }
        same(&expected, &set.read_tensor(shape, y.get()), shape, &format!("{} {shape}", set.name()));
    }
}

/// Also with the first summand as the output's buffer.
pub fn add(set: &dyn KernelSet) {
    let mut rng = Rng(6);
    for (h, w, c) in [(3, 3, 1), (4, 5, 16), (5, 4, 17), (2, 7, 63), (7, 7, 256)] {
        let shape = Shape::new(h, w, c);
        let (av, bv) = (rng.int8s(shape.len(), -128), rng.int8s(shape.len(), -128));
        let scalars = AddScalars {
            a_zero: rng.range(-128, 127) as i8,
            a_multiplier: 0.7,
            b_zero: rng.range(-128, 127) as i8,
            b_multiplier: 0.43,
            y: Requant::full(rng.range(-128, 127) as i8),
        };
        let mut expected = vec![0; shape.len()];
        reference::add(&scalars, &av, &bv, &mut expected);
        let mut a = Aligned::new(set.tensor_bytes(shape), 0xee);
        let mut b = Aligned::new(set.tensor_bytes(shape), 0xee);
        set.write_tensor(shape, &av, a.get_mut());
        set.write_tensor(shape, &bv, b.get_mut());
        let y = a.get_mut().as_mut_ptr();
        for rows in [h / 2..h, 0..h / 2] {
            // SAFETY: buffers of the sizes that the set asked for; `a` is `y`, as the contract allows.
            unsafe { set.add(shape, &scalars, y, b.get().as_ptr(), y, rows) };
        }
        same(&expected, &set.read_tensor(shape, a.get()), shape, &format!("{} {shape}", set.name()));
    }
}

/// In two pieces of the buffers, as threads take them.
pub fn table(set: &dyn KernelSet) {
    let mut rng = Rng(7);
    for (h, w, c) in [(1, 1, 1), (3, 3, 5), (4, 5, 16), (5, 4, 17), (2, 7, 63)] {
        let shape = Shape::new(h, w, c);
        let values = rng.int8s(shape.len(), -128);
        let table: [i8; 256] = rng.int8s(256, -128).try_into().expect("256 values");
        let mut expected = vec![0; shape.len()];
        reference::table(&table, &values, &mut expected);
        let bytes = set.tensor_bytes(shape);
        let mut x = Aligned::new(bytes, 0xee);
        set.write_tensor(shape, &values, x.get_mut());
        let mut y = Aligned::new(bytes, 0xee);
        for piece in [bytes / 2..bytes, 0..bytes / 2] {
            // SAFETY: buffers of the sizes that the set asked for.
            unsafe { set.table(&table, x.get().as_ptr(), y.get_mut().as_mut_ptr(), piece) };
        }
        same(&expected, &set.read_tensor(shape, y.get()), shape, &format!("{} {shape}", set.name()));
    }
}

/// A table for each channel, in two pieces of the rows; channel counts around vector widths.
pub fn channel_table(set: &dyn KernelSet) {
    let mut rng = Rng(11);
    for (h, w, c) in [(1, 1, 1), (3, 3, 5), (4, 5, 16), (5, 4, 17), (2, 7, 63), (3, 2, 130)] {
        let shape = Shape::new(h, w, c);
        let values = rng.int8s(shape.len(), -128);
        let tables = rng.int8s(256 * c, -128).as_chunks().0.to_vec();
        let mut expected = vec![0; shape.len()];
        op::channel_table::channel_table(&tables, &values, &mut expected);
        let mut x = Aligned::new(set.tensor_bytes(shape), 0xee);
        set.write_tensor(shape, &values, x.get_mut());
        let mut y = Aligned::new(set.tensor_bytes(shape), 0xee);
        for rows in [h / 2..h, 0..h / 2] {
            // SAFETY: buffers of the sizes that the set asked for, and a table for each channel.
            unsafe {
                set.channel_table(shape, &tables, x.get().as_ptr(), y.get_mut().as_mut_ptr(), rows);
            }
        }
        same(&expected, &set.read_tensor(shape, y.get()), shape, &format!("{} {shape}", set.name()));
    }
}

/// Gates over their whole range, and channel counts around vector widths.
pub fn scale(set: &dyn KernelSet) {
    let mut rng = Rng(8);
    for (h, w, c) in [(3, 3, 1), (4, 5, 16), (5, 4, 17), (2, 7, 63), (7, 7, 256), (1, 1, 1000)] {
        let shape = Shape::new(h, w, c);
        let (values, gates) = (rng.int8s(shape.len(), -128), rng.int8s(c, -128));
        let scalars = ScaleScalars {
            x_zero: rng.range(-128, 127) as i8,
            gate_zero: rng.range(-128, 127) as i8,
            multiplier: 0.0043,
            y: Requant::full(rng.range(-128, 127) as i8),
        };
        let mut expected = vec![0; shape.len()];
        reference::scale(&scalars, &values, &gates, &mut expected);
        let mut x = Aligned::new(set.tensor_bytes(shape), 0xee);
        set.write_tensor(shape, &values, x.get_mut());
        let one = Shape::new(1, 1, c);
        let mut gate = Aligned::new(set.tensor_bytes(one), 0xee);
        set.write_tensor(one, &gates, gate.get_mut());
        let mut y = Aligned::new(set.tensor_bytes(shape), 0xee);
        let mut scratch = Aligned::new(8 * c, 0xee);
        for rows in [h / 2..h, 0..h / 2] {
            // SAFETY: buffers of the sizes that the set asked for, scratch as stated.
            unsafe {
                set.scale(
                    shape,
                    &scalars,
                    x.get().as_ptr(),
                    gate.get().as_ptr(),
                    y.get_mut().as_mut_ptr(),
                    scratch.get_mut().as_mut_ptr(),
                    rows,
                );
            }
        }
        same(&expected, &set.read_tensor(shape, y.get()), shape, &format!("{} {shape}", set.name()));
    }
}

/// One term to the most there may be, in two pieces of the buffers; zeros that are no whole numbers.
pub fn sum(set: &dyn KernelSet) {
    let mut rng = Rng(10);
    for (n, (h, w, c)) in
        [(1, 1, 1), (3, 3, 5), (4, 5, 16), (5, 4, 17), (2, 7, 63), (7, 7, 64)].into_iter().enumerate()
    {
        let shape = Shape::new(h, w, c);
        let values: Vec<Vec<i8>> = (0..=n % MAX_TERMS).map(|_| rng.int8s(shape.len(), -128)).collect();
        let terms: Vec<SumTerm> = (0..values.len())
            .map(|k| SumTerm {
                zero: rng.range(-128, 127) as f32 + 0.37,
                multiplier: [0.71, -256.0, 1.0 / 256.0, 1.03, 0.004, 256.0][k],
            })
            .collect();
        let out = Requant::relu(rng.range(-128, 0) as i8);
        let mut expected = vec![0; shape.len()];
        let slices: Vec<&[i8]> = values.iter().map(Vec::as_slice).collect();
        reference::sum(&terms, out, &slices, &mut expected);
        let bytes = set.tensor_bytes(shape);
        let buffers: Vec<Aligned> = values
            .iter()
            .map(|values| {
                let mut x = Aligned::new(bytes, 0xee);
                set.write_tensor(shape, values, x.get_mut());
                x
            })
            .collect();
        let x: Vec<*const u8> = buffers.iter().map(|b| b.get().as_ptr()).collect();
        let mut y = Aligned::new(bytes, 0xee);
        for piece in [bytes / 2..bytes, 0..bytes / 2] {
            // SAFETY: buffers of the sizes that the set asked for.
            unsafe { set.sum(&terms, out, &x, y.get_mut().as_mut_ptr(), piece) };
        }
        same(&expected, &set.read_tensor(shape, y.get()), shape, &format!("{} {shape}", set.name()));
    }
}

/// Every bit of the floats.
pub fn dequantize(set: &dyn KernelSet) {
    let mut rng = Rng(9);
    for (h, w, c) in [(1, 1, 1), (1, 1, 1000), (3, 3, 17), (7, 7, 64)] {
        let shape = Shape::new(h, w, c);
        let values = rng.int8s(shape.len(), -128);
        let zero = rng.range(-128, 127) as i8;
        let mut expected = vec![0.0; shape.len()];
        reference::dequantize(zero, 0.0317, &values, &mut expected);
        let mut x = Aligned::new(set.tensor_bytes(shape), 0xee);
        set.write_tensor(shape, &values, x.get_mut());
        let mut y = vec![f32::NAN; shape.len()];
        // SAFETY: buffers of the sizes that the set asked for.
        unsafe { set.dequantize(shape, zero, 0.0317, x.get().as_ptr(), y.as_mut_ptr()) };
        assert_eq!(expected, y, "{} {shape}", set.name());
    }
}
