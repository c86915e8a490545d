//! Tests the edges of this set's own proofs, which the shared tests do not know. The sums come as close to the
//! limits of an int16 lane or of the Winograd division as packing allows, and one step beyond.

use std::vec;
use std::vec::Vec;

use core::arch::aarch64::{vld1q_f32, vst1q_s8};

use super::Neon;
use super::geometry::Geometry;
use super::requant::{Round, is_tame};
use crate::quant::Requant;
use crate::reference::{self, ConvResult};
use crate::set::{ConvArgs, ConvScalars, ConvWeights, KernelSet};
use crate::shape::{ConvDesc, ConvOutput, Shape, Source};
use crate::testing::{Aligned, Rng};

fn desc(side: usize, c_in: usize, c_out: usize, kernel: usize) -> ConvDesc {
    ConvDesc {
        x: Shape::new(side, side, c_in),
        y: Shape::new(side, side, c_out),
        kernel: [kernel, kernel],
        stride: [1, 1],
        dilation: [1, 1],
        pad: [kernel / 2, kernel / 2],
        groups: 1,
        source: Source::Tensor,
        skip: false,
        output: ConvOutput::Int8,
    }
}

/// Packs, runs and compares with the reference; returns the blob. The bias moves each channel's result to the
/// range where int8 resolves single units of the sum.
fn check(desc: &ConvDesc, weights: &[i8], x: &[i8]) -> Vec<u8> {
    let set = Neon::new().unwrap();
    let depth = desc.depth();
    let at = (desc.y.h / 2 * desc.y.w + desc.y.w / 2) * desc.y.c;
    let ones = vec![1.0; desc.y.c];
    let scalars = ConvScalars {
        x_zero: [0; 4],
        skip_zero: 0,
        skip_multiplier: 0.0,
        y: Requant::full(0),
        y2: Requant::full(0),
    };
    // The reference's sum in the middle of the image.
    let bias: Vec<i32> = (0..desc.y.c)
        .map(|c| {
            let mut sum = 0i32;
            let pixel = at / desc.y.c;
            for (i, &w) in weights[c * depth..][..depth].iter().enumerate() {
                let tap = i / desc.x.c;
                let iy = (pixel / desc.x.w + tap / desc.kernel[1]).wrapping_sub(desc.pad[0]);
                let ix = (pixel % desc.x.w + tap % desc.kernel[1]).wrapping_sub(desc.pad[1]);
                if iy < desc.x.h && ix < desc.x.w {
                    let q = x[(iy * desc.x.w + ix) * desc.x.c + i % desc.x.c];
                    sum += i32::from(q) * i32::from(w);
                }
            }
            (c % 64) as i32 - sum
        })
        .collect();
    let params =
        ConvWeights { weights, bias: &bias, multiplier: &ones, gain: &[], offset: &[], x_zero: &[0] };
    let mut expected = vec![0i8; desc.y.len()];
    let result = ConvResult { y: &mut expected, y2: &mut [], logits: &mut [] };
    reference::conv(desc, &params, &scalars, x, &[], result);
    assert!((0..desc.y.c).all(|c| expected[at + c] == (c % 64) as i8), "test bug: the bias misses");

    let blob = set.pack_conv(desc, &params);
    let aligned = Aligned::from(&blob);
    assert!(set.check_conv(desc, aligned.get()));
    let mut input = Aligned::new(set.tensor_bytes(desc.x), 0);
    set.write_tensor(desc.x, x, input.get_mut());
    let mut y = Aligned::new(set.tensor_bytes(desc.y), 0);
    let scratch_bytes = set.conv_scratch_bytes(desc);
    let mut scratch = Aligned::new(scratch_bytes + 256, 0x77);
    let args = ConvArgs {
        desc,
        scalars: &scalars,
        blob: aligned.get(),
        x: input.get().as_ptr(),
        skip: core::ptr::null(),
        y: y.get_mut().as_mut_ptr(),
        y2: core::ptr::null_mut(),
        x_rows: desc.x.h,
        y_rows: desc.y.h,
        scratch: scratch.get_mut().as_mut_ptr(),
    };
    // SAFETY: a validated description, buffers of the sizes that the set requested.
    unsafe { set.conv(&args, 0..set.conv_tasks(desc)) };
    assert!(scratch.get()[scratch_bytes..].iter().all(|&b| b == 0x77), "scratch overrun: {desc:?}");
    let got = set.read_tensor(desc.y, y.get());
    if let Some(i) = (0..got.len()).find(|&i| got[i] != expected[i]) {
        panic!("value {i} is {}, not {}: {desc:?}", got[i], expected[i]);
    }
    blob
}

/// Tests four weights per lane at, one below and one above the limit of four products, with every sign, against
/// the inputs with the largest products.
#[test]
fn lanes_at_the_limit() {
    for (a, b) in [(64, 63), (63, 63), (64, 64), (127, 0), (127, 1), (127, 127)] {
        for sign in [1, -1] {
            for x in [-128, 127] {
                for pixels in [1, 2, 5] {
                    let d = ConvDesc { x: Shape::new(1, pixels, 64), ..desc(1, 64, 16, 1) };
                    let d = ConvDesc { y: Shape::new(1, pixels, 16), ..d };
                    let weights: Vec<i8> = (0..d.y.c * 64)
                        .map(|i| {
                            // Per lane: three weights of `a` (two if they are large), the rest of `b`.
                            let octet = i % 64 / 8 % 4;
                            sign * if octet < 2 || (a < 100 && octet == 2) { a } else { b }
                        })
                        .collect();
                    check(&d, &weights, &vec![x; d.x.len()]);
                }
            }
        }
    }
}

/// Tests both kinds of blocks in one panel, across the end of a word of decisions.
#[test]
fn mixed_blocks() {
    let mut rng = Rng(11);
    for c_in in [32, 64, 96, 63 * 32, 64 * 32, 65 * 32] {
        let d = desc(3, c_in, 24, 1);
        let weights: Vec<i8> = (0..d.y.c * c_in)
            .map(|i| {
                let limit = if (i / 32).is_multiple_of(3) { 100 } else { 40 };
                rng.range(-limit, limit) as i8
            })
            .collect();
        let x: Vec<i8> = (0..d.x.len()).map(|_| rng.range(-128, 127) as i8).collect();
        check(&d, &weights, &x);
    }
}

/// Tests the largest sums that Winograd's division takes in one part, and the first that needs more.
#[test]
fn winograd_at_the_limit() {
    let mut parts = Vec::new();
    for c_in in [224, 232, 456] {
        let d = desc(9, c_in, 64, 3);
        for (w, x) in [(-127, -128), (127, -128), (127, 127), (100, -128)] {
            let blob = check(&d, &vec![w; d.y.c * d.depth()], &vec![x; d.x.len()]);
            parts.push(blob[4]);
        }
    }
    assert_eq!(parts, [1, 1, 1, 1, 2, 2, 2, 1, 3, 3, 3, 2]);
}

/// Tests bands and tiles of every kind: sides with tiles of 4, of 3 and of both, in one band and in several.
#[test]
fn winograd_tilings() {
    let mut rng = Rng(13);
    for (h, w) in
        [(1, 1), (2, 9), (3, 3), (4, 4), (5, 13), (6, 6), (7, 7), (10, 14), (14, 14), (13, 47), (31, 8)]
    {
        let d = desc(1, 32, 48, 3);
        let d = ConvDesc { x: Shape::new(h, w, 32), y: Shape::new(h, w, 48), ..d };
        assert!(Geometry::new(&d).winograd.is_some() || h * w < 25, "{d:?}");
        let weights: Vec<i8> = (0..d.y.c * d.depth()).map(|_| rng.range(-127, 127) as i8).collect();
        let x: Vec<i8> = (0..d.x.len()).map(|_| rng.range(-128, 127) as i8).collect();
        check(&d, &weights, &x);
    }
}

/// Tests inputs that drive every position of the transformed tile to its extremes.
#[test]
fn winograd_extremes() {
    let mut rng = Rng(12);
    for side in [1, 2, 3, 4, 5, 7, 14] {
        let d = desc(side, 16, 32, 3);
        let weights: Vec<i8> =
            (0..d.y.c * d.depth()).map(|_| if rng.bits().is_multiple_of(2) { -127 } else { 127 }).collect();
        let x: Vec<i8> =
            (0..d.x.len()).map(|_| if rng.bits().is_multiple_of(2) { -128 } else { 127 }).collect();
        check(&d, &weights, &x);
    }
}

/// A word of decisions controls a loop: any that does not follow from the weights is refused.
#[test]
fn foreign_decisions_are_refused() {
    let set = Neon::new().unwrap();
    let d = desc(3, 64, 16, 1);
    let blob = check(&d, &vec![60; d.y.c * 64], &vec![1; d.x.len()]);
    let plan = Geometry::new(&d);
    let words = plan.words_at()..plan.words_at() + 8 * plan.panels() * plan.words();
    for bit in 0..8 * words.len() {
        let mut bad = blob.clone();
        bad[words.start + bit / 8] ^= 1 << (bit % 8);
        assert!(!set.check_conv(&d, &bad));
    }
}

/// The scratch has room for this many parts and no more; zero parts would leave the sums undefined.
#[test]
fn foreign_parts_are_refused() {
    let set = Neon::new().unwrap();
    let d = desc(8, 456, 64, 3);
    let mut blob = check(&d, &vec![1; d.y.c * d.depth()], &vec![1; d.x.len()]);
    for (parts, good) in [(0, false), (1, true), (3, true), (4, false), (u32::MAX, false)] {
        blob[4..8].copy_from_slice(&u32::to_le_bytes(parts));
        assert_eq!(set.check_conv(&d, &blob), good, "{parts} parts");
    }
}

/// Tests ties, both bounds, values beyond every integer, and NaNs against the definition.
#[test]
fn rounding() {
    let values =
        [0.5, 1.5, -0.5, -2.5, 126.5, 127.5, -128.5, 1e9, -1e9, 3e38, -3e38, f32::INFINITY, f32::NAN, 0.0];
    for r in [Requant::full(0), Requant::full(-77), Requant::relu(-128), Requant::relu(3), Requant::full(127)]
    {
        let round = Round::new(r);
        for v in values {
            let (mut careful, mut plain) = ([0i8; 16], [0i8; 16]);
            // SAFETY: NEON is part of the AArch64 baseline; each array has 16 values.
            unsafe {
                let v = [vld1q_f32([v; 4].as_ptr()); 4];
                vst1q_s8(careful.as_mut_ptr(), round.apply(v));
                vst1q_s8(plain.as_mut_ptr(), round.apply_number(v));
            }
            assert_eq!(careful, [r.apply(v); 16], "{v} {r:?}");
            assert!(v.is_nan() || plain == [r.apply(v); 16], "{v} {r:?}");
        }
    }
    assert!(is_tame(-1e9) && !is_tame(f32::INFINITY) && !is_tame(f32::NAN) && !is_tame(3e38));
}
