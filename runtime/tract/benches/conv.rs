//! Measures every convolution of a ResNet-50 and of a 32×32 network on every kernel set of this CPU, and the same
//! convolution in f32 by tract. One thread, warm weights; throughput counts multiply-accumulates.
//!
//! `cargo bench -p foldnet-tract --bench conv -- 'avx2|f32'` runs a part.
#![allow(missing_docs)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use foldnet::aligned::Aligned;
use foldnet_kernels::testing::{Rng, resnet_layers};
use foldnet_kernels::{ConvArgs, ConvDesc, ConvScalars, ConvWeights, KernelSet, Requant, Source, dispatch};
use tract_core::internal::*;
use tract_core::ops::cnn::{Conv, KernelFormat, PaddingSpec, PoolSpec};
use tract_core::ops::nn::DataFormat;

fn convolutions(c: &mut Criterion) {
    for network in ["cifar", "resnet50"] {
        for (name, _, desc) in resnet_layers(network) {
            let mut group = c.benchmark_group(format!("{network}/{name}"));
            group.throughput(Throughput::Elements(desc.macs())).sample_size(10);
            for set in dispatch::REGISTRY.iter().filter_map(|entry| (entry.get)()) {
                // The reference set and the models of microcontrollers exist for their bits, not for speed.
                if set.peak_macs_per_cycle().is_some() {
                    int8(set, &desc, |run| {
                        group.bench_function(set.name(), |b| b.iter(&mut *run));
                    });
                }
            }
            let (model, x) = float(&desc).expect("a convolution that tract has");
            group
                .bench_function("f32 (tract)", |b| b.iter(|| model.run(tvec!(x.clone())).expect("as built")));
        }
    }
}

/// Packs random weights, and passes the code to be timed to `time`.
fn int8(set: &dyn KernelSet, desc: &ConvDesc, time: impl FnOnce(&mut dyn FnMut())) {
    let mut rng = Rng(1);
    let weights: Vec<i8> = (0..desc.y.c * desc.depth()).map(|_| rng.range(-127, 127) as i8).collect();
    let (bias, multiplier) = (vec![5; desc.y.c], vec![1e-4; desc.y.c]);
    let x_zero = [-128; 4];
    let blob = Aligned::from_slice(&set.pack_conv(
        desc,
        &ConvWeights {
            weights: &weights,
            bias: &bias,
            multiplier: &multiplier,
            gain: &[],
            offset: &[],
            x_zero: &x_zero[..if desc.source == Source::Pixels { desc.x.c } else { 1 }],
        },
    ));
    let (x, skip) = (Aligned::zeroed(set.tensor_bytes(desc.x)), Aligned::zeroed(set.tensor_bytes(desc.y)));
    let mut y = Aligned::zeroed(set.tensor_bytes(desc.y).max(4 * desc.y.c));
    let mut scratch = Aligned::zeroed(set.conv_scratch_bytes(desc));
    let scalars = ConvScalars {
        x_zero,
        skip_zero: -128,
        skip_multiplier: 0.5,
        y: Requant::relu(-128),
        y2: Requant::relu(-128),
    };
    let args = ConvArgs {
        desc,
        scalars: &scalars,
        blob: &blob,
        x: x.as_ptr(),
        skip: skip.as_ptr(),
        y: y.as_mut_ptr(),
        y2: core::ptr::null_mut(),
        x_rows: desc.x.h,
        y_rows: desc.y.h,
        scratch: scratch.as_mut_ptr(),
    };
    let tasks = set.conv_tasks(desc);
    // SAFETY: a validated description without a second output, and buffers of the sizes that the set requested.
    time(&mut || unsafe { set.conv(&args, 0..tasks) });
}

/// Builds the same convolution in tract: f32, NCHW, zeros as input, no residual.
fn float(desc: &ConvDesc) -> TractResult<(Arc<TypedRunnableModel>, TValue)> {
    let mut model = TypedModel::default();
    let shape = [1, desc.x.c, desc.x.h, desc.x.w];
    let x = model.add_source("x", f32::fact(shape))?;
    let kernel = [desc.y.c, desc.c_in(), desc.kernel[0], desc.kernel[1]];
    let values: Vec<f32> =
        (0..kernel.iter().product()).map(|i: usize| (i % 255) as f32 / 127.0 - 1.0).collect();
    let weights = model.add_const("weights", Tensor::from_shape(&kernel, &values)?)?;
    let bias = model.add_const("bias", Tensor::from_shape(&[desc.y.c], &vec![0.5f32; desc.y.c])?)?;
    let after = [0, 1].map(|a| {
        let (x, y) = if a == 0 { (desc.x.h, desc.y.h) } else { (desc.x.w, desc.y.w) };
        ((y - 1) * desc.stride[a] + desc.kernel[a]).saturating_sub(x + desc.pad[a])
    });
    let spec = PoolSpec::new(
        DataFormat::NCHW,
        desc.kernel.into_iter().collect(),
        PaddingSpec::Explicit(desc.pad.into_iter().collect(), after.into_iter().collect()),
        None,
        Some(desc.stride.into_iter().collect()),
        desc.x.c,
        desc.y.c,
    );
    let conv = Conv::new(spec, KernelFormat::OIHW, desc.groups, None);
    let y = model.wire_node("conv", conv, &[x, weights, bias])?;
    model.select_output_outlets(&y)?;
    Ok((model.into_optimized()?.into_runnable()?, Tensor::zero::<f32>(&shape)?.into_tvalue()))
}

criterion_group!(benches, convolutions);
criterion_main!(benches);
