//! Runs the layers of a network on a kernel set a stated number of times, for counting instructions in
//! an emulator: run it for n and for n + k iterations and divide the difference by k.
//!
//! `count_network --set NAME --network resnet50|resnet50v2|resnet18|cifar --iterations N [--layer I]`
//!
//! The data are dummies: no kernel's instruction count depends on them. Without `--layer` all
//! convolutions of the network run, as often as it has them, and its pools; with it, one convolution of
//! the table, once. One thread.

use foldnet_kernels::testing::{Aligned, Rng, resnet_layers};
use foldnet_kernels::{
    AvgPoolScalars, ConvArgs, ConvDesc, ConvScalars, ConvWeights, KernelSet, PoolDesc, Requant, Shape,
    Source, dispatch,
};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| words.iter().position(|w| w == name).and_then(|i| words.get(i + 1));
    let set = match option("--set") {
        Some(name) => dispatch::by_name(name).unwrap_or_else(|why| panic!("{name}: {why}")),
        None => dispatch::best(),
    };
    let network = option("--network").map_or("resnet50", |n| n.as_str());
    let iterations: usize = option("--iterations").map_or(1, |n| n.parse().expect("a number"));
    let layer: Option<usize> = option("--layer").map(|n| n.parse().expect("a number"));

    let mut macs = 0;
    for (i, (name, times, desc)) in resnet_layers(network).into_iter().enumerate() {
        let times = match layer {
            None => times,
            Some(wanted) if wanted == i => 1,
            Some(_) => continue,
        };
        macs += times as u64 * desc.macs();
        println!("{i:>3} {times} × {name}, {} MAC", desc.macs());
        convolve(set, &desc, times * iterations);
    }
    if layer.is_none() && network != "cifar" {
        let last = if network == "resnet18" { 512 } else { 2048 };
        pool(set, Shape::new(7, 7, last), iterations);
    }
    println!("{} · {network}: {macs} MAC, {iterations} times", set.name());
}

/// One convolution with dummy data, so many times.
fn convolve(set: &dyn KernelSet, desc: &ConvDesc, times: usize) {
    desc.validate().expect("a layer of the table");
    let mut rng = Rng(1);
    let weights: Vec<i8> = (0..desc.y.c * desc.depth()).map(|_| rng.range(-127, 127) as i8).collect();
    let affine = if desc.output.has_affine() { desc.y.c } else { 0 };
    let params = ConvWeights {
        weights: &weights,
        bias: &vec![5; desc.y.c],
        multiplier: &vec![1e-4; desc.y.c],
        gain: &vec![0.7; affine],
        offset: &vec![3.0; affine],
        x_zero: &[-128; 4][..if desc.source == Source::Pixels { desc.x.c } else { 1 }],
    };
    let blob = Aligned::from(&set.pack_conv(desc, &params));
    let x = Aligned::new(set.tensor_bytes(desc.x), 0x11);
    let skip = Aligned::new(set.tensor_bytes(desc.y), 0x22);
    let mut y = Aligned::new(set.tensor_bytes(desc.y).max(4 * desc.y.c), 0);
    let mut y2 = Aligned::new(set.tensor_bytes(desc.y), 0);
    let mut scratch = Aligned::new(set.conv_scratch_bytes(desc), 0);
    let scalars = ConvScalars {
        x_zero: [-128; 4],
        skip_zero: -128,
        skip_multiplier: 0.5,
        y: Requant::relu(-128),
        y2: Requant::relu(-128),
    };
    let args = ConvArgs {
        desc,
        scalars: &scalars,
        blob: blob.get(),
        x: x.get().as_ptr(),
        skip: skip.get().as_ptr(),
        y: y.get_mut().as_mut_ptr(),
        y2: y2.get_mut().as_mut_ptr(),
        x_rows: desc.x.h,
        y_rows: desc.y.h,
        scratch: scratch.get_mut().as_mut_ptr(),
    };
    for _ in 0..times {
        // SAFETY: validated description, buffers of the sizes that the set asked for.
        unsafe { set.conv(&args, 0..set.conv_tasks(desc)) };
    }
}

/// The max pool behind a stem of 64 channels and the average pool of the last activation.
fn pool(set: &dyn KernelSet, last: Shape, times: usize) {
    let desc = PoolDesc {
        x: Shape::new(112, 112, 64),
        y: Shape::new(56, 56, 64),
        kernel: [3, 3],
        stride: [2, 2],
        pad: [1, 1],
        pad_value: -128,
    };
    let scalars = AvgPoolScalars { x_zero: -128, multiplier: 1.0 / 49.0, y: Requant::full(-128) };
    let x = Aligned::new(set.tensor_bytes(desc.x).max(set.tensor_bytes(last)), 0x11);
    let mut y = Aligned::new(set.tensor_bytes(desc.y).max(set.tensor_bytes(Shape::new(1, 1, last.c))), 0);
    for _ in 0..times {
        // SAFETY: validated description, buffers of the sizes that the set asked for.
        unsafe {
            set.max_pool(&desc, x.get().as_ptr(), y.get_mut().as_mut_ptr(), 0..desc.y.h);
            set.avg_pool(last, &scalars, x.get().as_ptr(), y.get_mut().as_mut_ptr());
        }
    }
}
