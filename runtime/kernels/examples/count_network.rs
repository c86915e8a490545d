//! Runs the layers of a network on a kernel set a given number of times, to count instructions in an emulator: run
//! it for n and for n + k iterations and divide the difference by k.
//!
//! `count_network --set NAME --network resnet50|resnet50v2|resnet18|cifar --iterations N [--layer I]
//! [--weights normal|uniform]`
//!
//! Activations are dummies: no kernel's instruction count depends on them. That of `neon` depends on the weights,
//! whose magnitudes decide how many products it adds before it widens. `normal` (the default) resembles trained
//! weights and most initializations; `uniform` is the worst case for a network. Without `--layer`, all
//! convolutions of the network run as often as they occur, and its pools; with it, one convolution of the table
//! runs once. One thread.

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

    let uniform = match option("--weights").map_or("normal", |w| w.as_str()) {
        "normal" => false,
        "uniform" => true,
        other => panic!("{other}: no such weights"),
    };

    let mut macs = 0;
    for (i, (name, times, desc)) in resnet_layers(network).into_iter().enumerate() {
        let times = match layer {
            None => times,
            Some(wanted) if wanted == i => 1,
            Some(_) => continue,
        };
        macs += times as u64 * desc.macs();
        println!("{i:>3} {times} × {name}, {} MAC", desc.macs());
        convolve(set, &desc, uniform, times * iterations);
    }
    if layer.is_none() && network != "cifar" {
        pools(set, network, iterations);
    }
    println!("{} · {network}: {macs} MAC, {iterations} times", set.name());
}

/// Generates the weights of one output channel like a converter: the largest is 127.
fn filter(rng: &mut Rng, depth: usize, uniform: bool) -> Vec<i8> {
    let unit = |rng: &mut Rng| rng.range(-1_000_000, 1_000_000) as f64 / 1e6;
    // The sum of twelve uniform values of variance 1/3 is four times a normal one, far enough into the tails for a
    // maximum over a few thousand values.
    let value = |rng: &mut Rng| if uniform { unit(rng) } else { (0..12).map(|_| unit(rng)).sum() };
    let values: Vec<f64> = (0..depth).map(|_| value(rng)).collect();
    let most = values.iter().fold(f64::MIN_POSITIVE, |m, v| m.max(v.abs()));
    values.iter().map(|v| (v / most * 127.0).round() as i8).collect()
}

/// Runs one convolution with dummy data this many times.
fn convolve(set: &dyn KernelSet, desc: &ConvDesc, uniform: bool, times: usize) {
    desc.validate().expect("a layer of the table");
    let mut rng = Rng(1);
    let weights: Vec<i8> = (0..desc.y.c).flat_map(|_| filter(&mut rng, desc.depth(), uniform)).collect();
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
        // SAFETY: validated description, buffers of the sizes that the set requested.
        unsafe { set.conv(&args, 0..set.conv_tasks(desc)) };
    }
}

/// Runs the network's operators other than convolutions: the max pool after the stem and the average pool of the
/// last activation; in V2 also the first preactivation, which no convolution can compute, and the strided
/// shortcuts.
fn pools(set: &dyn KernelSet, network: &str, times: usize) {
    max_pool(set, Shape::new(112, 112, 64), 3, 1, times);
    if network == "resnet50v2" {
        for (side, c) in [(56, 256), (28, 512), (14, 1024)] {
            max_pool(set, Shape::new(side, side, c), 1, 0, times);
        }
        let shape = Shape::new(56, 56, 64);
        let x = Aligned::new(set.tensor_bytes(shape), 0x11);
        let mut y = Aligned::new(set.tensor_bytes(shape), 0);
        let y = y.get_mut().as_mut_ptr();
        for _ in 0..times {
            // SAFETY: buffers of the size that the set requested.
            unsafe {
                let (gain, offset) = (&[0.7; 64], &[3.0; 64]);
                let x = x.get().as_ptr();
                set.affine(shape, -128, Requant::relu(-128), gain, offset, x, y, 0..shape.h);
            }
        }
    }
    let last = Shape::new(7, 7, if network == "resnet18" { 512 } else { 2048 });
    let scalars = AvgPoolScalars { x_zero: -128, multiplier: 1.0 / 49.0, y: Requant::full(-128) };
    let x = Aligned::new(set.tensor_bytes(last), 0x11);
    let mut y = Aligned::new(set.tensor_bytes(Shape::new(1, 1, last.c)), 0);
    for _ in 0..times {
        // SAFETY: buffers of the sizes that the set requested.
        unsafe { set.avg_pool(last, &scalars, x.get().as_ptr(), y.get_mut().as_mut_ptr()) };
    }
}

/// Runs a max pool of stride 2.
fn max_pool(set: &dyn KernelSet, x: Shape, kernel: usize, pad: usize, times: usize) {
    let desc = PoolDesc {
        x,
        y: Shape::new(x.h / 2, x.w / 2, x.c),
        kernel: [kernel; 2],
        stride: [2, 2],
        pad: [pad; 2],
        pad_value: -128,
    };
    desc.validate().expect("a pool of the table");
    let x = Aligned::new(set.tensor_bytes(desc.x), 0x11);
    let mut y = Aligned::new(set.tensor_bytes(desc.y), 0);
    for _ in 0..times {
        // SAFETY: validated description, buffers of the sizes that the set requested.
        unsafe { set.max_pool(&desc, x.get().as_ptr(), y.get_mut().as_mut_ptr(), 0..desc.y.h) };
    }
}
