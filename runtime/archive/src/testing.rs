//! Networks for tests, small and with every kind of step.

use foldnet_kernels::Shape;

use crate::*;

/// A network with every kind of step.
pub fn every_step() -> Network {
    let t = |name: &str, h, w, c, scale, zero| Tensor {
        name: name.into(),
        shape: Shape::new(h, w, c),
        scale,
        zero,
    };
    let values = |n: usize| (0..n).map(|i| (i * 37 % 255) as i32 - 127).collect::<Vec<_>>();
    let conv = |name: &str, x, c_in: usize, c: usize, k: usize, pad: [usize; 4]| Conv {
        name: name.into(),
        x,
        weights: values(c * k * k * c_in).iter().map(|&v| v as i8).collect(),
        bias: values(c).iter().map(|v| v * 11).collect(),
        weight_scale: values(c).iter().map(|&v| (v + 200) as f32 * 1e-4).collect(),
        multiplier: values(c).iter().map(|&v| (v + 200) as f32 * 1.7e-5).collect(),
        kernel: [k, k],
        stride: [1, 1],
        dilation: [1, 1],
        pad,
        groups: 1,
        skip: None,
        y: None,
        affine: None,
    };
    let out = |tensor| Some(Out { tensor, lo: -128, hi: 127 });
    let per = |c: usize, f: f32| values(c).iter().map(|&v| v as f32 * f).collect::<Vec<f32>>();
    let second = |tensor, c| SecondOutput {
        gain: per(c, 0.011),
        offset: per(c, 0.2),
        out: Out { tensor, lo: -128, hi: 127 },
    };
    Network {
        tensors: vec![
            t("pixels", 9, 8, 3, 1.0, 0),
            t("stem", 9, 8, 5, 0.02, -128),
            t("pooled", 5, 4, 5, 0.02, -128),
            t("pre", 5, 4, 5, 0.031, -128),
            t("sum", 5, 4, 5, 0.05, 3),
            t("pre2", 5, 4, 5, 0.04, -128),
            t("only", 5, 4, 5, 0.04, -120),
            t("added", 5, 4, 5, 0.07, 5),
            t("mean", 1, 1, 5, 0.03, -7),
            t("logits", 1, 1, 4, 1.0, 0),
        ],
        pixel_zero: vec![-5, 0, 3],
        steps: vec![
            Step::Conv(Box::new(Conv { y: out(1), ..conv("in/conv:0", 0, 3, 5, 3, [1, 1, 1, 1]) })),
            Step::MaxPool(MaxPool {
                name: "pool".into(),
                x: 1,
                y: 2,
                kernel: [3, 3],
                stride: [2, 2],
                pad: [1, 1, 1, 0],
                floor_at_zero: false,
            }),
            Step::Affine(Affine {
                name: "bn".into(),
                x: 2,
                y: Out { tensor: 3, lo: -128, hi: 127 },
                gain: per(5, 0.013),
                offset: per(5, 0.1),
            }),
            Step::Conv(Box::new(Conv {
                skip: Some((2, 0.4)),
                y: out(4),
                affine: Some(second(5, 5)),
                ..conv("b1", 3, 5, 5, 3, [1, 1, 1, 1])
            })),
            Step::Conv(Box::new(Conv {
                affine: Some(SecondOutput { out: Out { tensor: 6, lo: -120, hi: 127 }, ..second(6, 5) }),
                ..conv("b2", 5, 5, 5, 1, [0; 4])
            })),
            Step::Add(Add {
                name: "add".into(),
                a: (4, 0.71),
                b: (6, 0.57),
                y: Out { tensor: 7, lo: 5, hi: 127 },
            }),
            Step::AvgPool(AvgPool {
                name: "gap".into(),
                x: 7,
                y: Out { tensor: 8, lo: -128, hi: 127 },
                multiplier: 0.1166,
            }),
            Step::Conv(Box::new(Conv { y: out(9), ..conv("fc", 8, 5, 4, 1, [0; 4]) })),
        ],
        logits: 9,
        activation: Activation::Softmax,
    }
}

/// Its manifest.
pub fn manifest() -> Manifest {
    Manifest {
        format: FORMAT,
        source: SourceModel {
            file: "x.onnx".into(),
            sha256: "00".into(),
            producer: "hand".into(),
            converter: "0".into(),
        },
        input: Input {
            height: 9,
            width: 8,
            channels: 3,
            resize: Resize::Crop { short_side: 10 },
            preprocess: "none".into(),
            mean: vec![0.0; 3],
            std: vec![1.0; 3],
        },
        calibration: Calibration { images: 4, method: "minmax".into(), agreement: Some(0.99) },
        labels: vec!["a".into(), "b \"quoted\"".into(), "c".into(), "d".into()],
        npu: Vec::new(),
    }
}
