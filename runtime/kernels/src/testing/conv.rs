//! Tests of convolutions.

use alloc::vec::Vec;
use alloc::{format, vec};

use super::inputs::{Aligned, Rng};
use super::resnet::desc;
use super::same;
use crate::quant::Requant;
use crate::reference::{self, ConvResult};
use crate::set::{ConvArgs, ConvScalars, ConvWeights, KernelSet};
use crate::shape::{ConvDesc, ConvOutput, Shape, Source};

/// The operands of a convolution.
struct Values {
    weights: Vec<i8>,
    bias: Vec<i32>,
    multiplier: Vec<f32>,
    gain: Vec<f32>,
    offset: Vec<f32>,
    scalars: ConvScalars,
    x: Vec<i8>,
    skip: Vec<i8>,
}

impl Values {
    /// Generates random values; most results are inside the int8 range and some saturate.
    fn new(desc: &ConvDesc, seed: u64) -> Self {
        let mut rng = Rng(seed);
        let c = desc.y.c;
        let weights = rng.int8s(c * desc.depth(), -127);
        let bias: Vec<i32> = (0..c).map(|_| rng.range(-100_000, 100_000) as i32).collect();
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
        let first_zero = rng.range(-128, 127) as i8;
        let mut x_zero = [first_zero; 4];
        if desc.source == Source::Pixels {
            x_zero[..desc.x.c].iter_mut().for_each(|z| *z = rng.range(-128, 127) as i8);
        }
        let scalars = ConvScalars {
            x_zero,
            skip_zero: rng.range(-128, 127) as i8,
            skip_multiplier: rng.range(1, 2000) as f32 / 1000.0,
            y: requant(&mut rng),
            y2: requant(&mut rng),
        };
        let x = rng.int8s(desc.x.len(), -128);
        let skip = if desc.skip { rng.int8s(desc.y.len(), -128) } else { Vec::new() };
        Self { weights, bias, multiplier, gain, offset, scalars, x, skip }
    }

    fn params(&self, desc: &ConvDesc) -> ConvWeights<'_> {
        let zeros = if desc.source == Source::Pixels { desc.x.c } else { 1 };
        ConvWeights {
            weights: &self.weights,
            bias: &self.bias,
            multiplier: &self.multiplier,
            gain: &self.gain,
            offset: &self.offset,
            x_zero: &self.scalars.x_zero[..zeros],
        }
    }
}

/// Runs one convolution on the set, once as a whole and once split into tasks in reverse order, and compares both
/// with the reference. `seed` determines weights, inputs and scalars.
pub fn check_conv(set: &dyn KernelSet, desc: &ConvDesc, seed: u64, in_place: bool) {
    desc.validate().unwrap_or_else(|e| panic!("test bug: {desc:?}: {e}"));
    let values = Values::new(desc, seed);
    let (params, c) = (values.params(desc), desc.y.c);
    let Values { scalars, x, skip, .. } = &values;
    let (pixels, affine) = (desc.source == Source::Pixels, desc.output.has_affine());

    let mut expected = vec![0i8; desc.y.len()];
    let mut expected2 = vec![0i8; if affine { desc.y.len() } else { 0 }];
    let float = desc.output == ConvOutput::Float32;
    let mut expected_f = vec![0f32; if float { c } else { 0 }];
    reference::conv(
        desc,
        &params,
        scalars,
        x,
        skip,
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
        // The buffer is exactly as long as required, so that a sanitizer or Miri detects any over-read.
        Aligned::from(&x.iter().map(|&q| q as u8 ^ 0x80).collect::<Vec<_>>())
    } else {
        let mut b = Aligned::new(set.tensor_bytes(desc.x), 0xa5);
        set.write_tensor(desc.x, x, b.get_mut());
        b
    };
    for split in [false, true] {
        let y_bytes = if float { 4 * c } else { set.tensor_bytes(desc.y) };
        let mut y = Aligned::new(y_bytes, 0x5a);
        let mut y2 = Aligned::new(set.tensor_bytes(desc.y), 0x5a);
        let mut residual = Aligned::new(set.tensor_bytes(desc.y), 0x5a);
        if desc.skip {
            set.write_tensor(desc.y, skip, residual.get_mut());
        }
        if in_place {
            y = Aligned::from(residual.get());
        }
        // The bytes after the scratch belong to another owner.
        let scratch_bytes = set.conv_scratch_bytes(desc);
        let mut scratch = Aligned::new(scratch_bytes + 256, 0xcc);
        let y_ptr = y.get_mut().as_mut_ptr();
        let args = ConvArgs {
            desc,
            scalars,
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
                // SAFETY: validated description, buffers of the sizes that the set requested.
                unsafe { set.conv(&args, t..t + 1) };
            }
        } else {
            // SAFETY: as above.
            unsafe { set.conv(&args, 0..tasks) };
        }
        let context = |what: &str| format!("{} {what} split={split} seed={seed} {desc:?}", set.name());
        assert!(scratch.get()[scratch_bytes..].iter().all(|&b| b == 0xcc), "{}", context("scratch overrun"));
        if float {
            // SAFETY: `y` is aligned and has c f32 values.
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

/// Tests sizes around tiles, degenerate sizes, wide padding, asymmetric parameters, groups and pixels.
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
    // Padding is only below and to the right, as in TensorFlow's SAME with stride 2.
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

/// Tests the layers of ResNet-8, 20, 18 and 50, with their channels and structure but smaller images.
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

/// Tests a residual that is the output's own buffer.
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

/// Tests random descriptions.
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
