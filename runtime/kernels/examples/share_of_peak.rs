//! Times every layer shape of a ResNet on a kernel set, as a share of this CPU's dot-product limit.
//!
//! `cargo run --release -p foldnet-kernels --features testing --example share_of_peak -- [SET] [resnet50|resnet18|cifar] [WORD]`
//!
//! With a WORD, only the layers with that word in their name are timed, for example `3×3`.
//!
//! The peak is measured, not assumed: a loop of the set's dot-product instruction on registers is timed in the
//! same process, again before each layer. Times are the fastest of many short runs with warm weights on one
//! thread. The last line sums the layers over the network.

use std::time::Instant;

use foldnet_kernels::testing::{Aligned, Rng, resnet_layers};
use foldnet_kernels::{ConvArgs, ConvScalars, ConvWeights, KernelSet, Requant, dispatch};

fn main() {
    let mut words = std::env::args().skip(1);
    let set = match words.next() {
        Some(name) => dispatch::by_name(&name).unwrap_or_else(|why| panic!("{name}: {why}")),
        None => dispatch::best(),
    };
    let network = words.next().unwrap_or_else(|| "resnet50".into());
    let word = words.next().unwrap_or_default();
    println!("{} · {network}", set.name());
    println!("{:<44} {:>3} {:>9} {:>8} {:>7}", "layer", "×", "µs", "GMAC/s", "% peak");
    let (mut total, mut least) = (0.0, 0.0);
    for (name, times, desc) in resnet_layers(&network).into_iter().filter(|l| l.0.contains(&word)) {
        let (layer, peak) = time(set, &desc);
        let macs = desc.macs() as f64;
        println!(
            "{name:<44} {times:>3} {:>9.1} {:>8.1} {:>7.1}",
            layer * 1e6,
            macs / layer / 1e9,
            100.0 * macs / peak / layer
        );
        total += layer * times as f64;
        least += macs / peak * times as f64;
    }
    println!(
        "convolutions {:.3} ms, at the peak {:.3} ms: {:.1} %",
        total * 1e3,
        least * 1e3,
        100.0 * least / total
    );
}

/// Returns the seconds of one convolution, and the peak in MACs per second near that time.
fn time(set: &dyn KernelSet, desc: &foldnet_kernels::ConvDesc) -> (f64, f64) {
    desc.validate().expect("a layer of the table");
    let mut rng = Rng(1);
    let weights: Vec<i8> = (0..desc.y.c * desc.depth()).map(|_| rng.range(-127, 127) as i8).collect();
    let (bias, multiplier) = (vec![5; desc.y.c], vec![1e-4; desc.y.c]);
    let affine = if desc.output.has_affine() { desc.y.c } else { 0 };
    let (gain, offset) = (vec![0.7; affine], vec![3.0; affine]);
    let params = ConvWeights {
        weights: &weights,
        bias: &bias,
        multiplier: &multiplier,
        gain: &gain,
        offset: &offset,
        x_zero: &[-128; 4][..if desc.source == foldnet_kernels::Source::Pixels { desc.x.c } else { 1 }],
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
    let tasks = set.conv_tasks(desc);
    let (mut best, mut peak) = (f64::MAX, 0f64);
    for _ in 0..60 {
        peak = peak.max(set.peak_macs_per_second().unwrap_or(f64::NAN));
        let start = Instant::now();
        // SAFETY: validated description, buffers of the sizes that the set requested.
        unsafe { set.conv(&args, 0..tasks) };
        best = best.min(start.elapsed().as_secs_f64());
    }
    (best, peak)
}
