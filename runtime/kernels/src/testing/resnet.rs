//! The layer shapes of real networks.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::shape::{ConvDesc, ConvOutput, Shape, Source};

pub(super) fn desc(x: (usize, usize, usize), c: usize, k: usize, s: usize, p: usize) -> ConvDesc {
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

/// Returns the convolutions of `resnet50`, `resnet50v2` (Keras Applications' structures), `resnet18`
/// (torchvision's) on 224×224, or `cifar` (ResNet-8's and -20's widths on 32×32): name, number of occurrences,
/// description.
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
        // The stride is in the last 3×3 of a stage. Sums and preactivations are written together, except for a
        // stage's last sum, which no step reads.
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
