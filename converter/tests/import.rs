//! Import and folding: tiny models in, the folded graph as text out, and the same numbers as tract
//! computes from the model itself.
//!
//! `BLESS=1 cargo test -p foldnet-converter --test import` rewrites the texts in `golden/`.
#![allow(missing_docs)]

mod common;

use std::fmt::Write;
use std::path::Path;

use common::Attribute::{Float, Int, Ints, Word};
use common::{Onnx, small_classifier};
use foldnet_converter::float::FloatNet;
use foldnet_converter::graph::{Graph, Op};
use foldnet_converter::import::{ImportError, read};
use foldnet_converter::pass::fold;
use proptest::prelude::*;
use tract_onnx::prelude::*;

fn dump(graph: &Graph) -> String {
    let mut text = String::new();
    for (id, node) in graph.nodes.iter().enumerate() {
        let from: Vec<String> = node.inputs.iter().map(|i| format!("%{i}")).collect();
        write!(text, "%{id} = {} [{}] {} \"{}\"", node.op.kind(), from.join(" "), node.shape, node.name)
            .unwrap();
        match &node.op {
            Op::Conv(c) => {
                let w = &c.window;
                write!(text, " kernel {:?} stride {:?} pad {:?}", w.kernel, w.stride, w.pad).unwrap();
                if c.dilation != [1, 1] || c.groups != 1 {
                    write!(text, " dilation {:?} groups {}", c.dilation, c.groups).unwrap();
                }
                if c.pad_value.iter().any(|v| *v != 0.0) {
                    write!(text, " pad_value {:?}", c.pad_value).unwrap();
                }
            }
            Op::MaxPool { window: w, floor_at_zero } => {
                write!(text, " kernel {:?} stride {:?} pad {:?}", w.kernel, w.stride, w.pad).unwrap();
                text += if *floor_at_zero { " of zeros" } else { "" };
            }
            _ => {}
        }
        text.push('\n');
    }
    writeln!(text, "output %{} {:?}", graph.output, graph.activation).unwrap();
    text
}

/// The logits of tract on the file itself; `logits` is the ONNX tensor in front of the last function.
fn by_tract(model: &Onnx, logits: &str, input: &[f32], dims: &[usize]) -> Vec<f32> {
    let mut model = tract_onnx::onnx().model_for_read(&mut &model.bytes()[..]).unwrap();
    model.set_input_fact(0, f32::fact(dims).into()).unwrap();
    model.select_outputs_by_name([format!("{logits}_node")]).unwrap();
    let model = model.into_optimized().unwrap().into_runnable().unwrap();
    let output = model.run(tvec!(Tensor::from_shape(dims, input).unwrap().into())).unwrap();
    output[0].try_as_plain_ram().unwrap().as_slice::<f32>().unwrap().to_vec()
}

fn check(name: &str, logits: &str, model: &Onnx) {
    let mut graph = read(&model.bytes(), Path::new("")).unwrap().graph;
    fold(&mut graph);

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.txt"));
    let text = dump(&graph);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name}: BLESS=1 accepts");

    let shape = graph.input();
    let net = FloatNet::new(&graph);
    let dims = match &model.model.graph.as_ref().unwrap().node[0].op_type[..] {
        // Models that begin with a transposition take NHWC.
        "Transpose" => [1, shape.h, shape.w, shape.c],
        _ => [1, shape.c, shape.h, shape.w],
    };
    for seed in 1..4 {
        let hwc: Vec<f32> = (0..shape.len()).map(|i| ((i * 7919 * seed) % 255) as f32 / 255.0).collect();
        let input: Vec<f32> = if dims[3] == shape.c && dims[1] == shape.h {
            hwc.clone()
        } else {
            (0..shape.c).flat_map(|c| hwc.iter().skip(c).step_by(shape.c).copied()).collect()
        };
        let expected = by_tract(model, logits, &input, &dims);
        let got = &net.run_floats(&hwc).unwrap()[graph.output];
        assert_eq!(expected.len(), got.len(), "{name}");
        let range = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        for (e, g) in expected.iter().zip(got) {
            assert!(
                (e - g).abs() <= 1e-5 * range,
                "{name}, input {seed}: tract has {e}, the folded graph {g}"
            );
        }
    }
}

const AROUND: [i64; 4] = [1, 1, 1, 1];

#[test]
fn as_pytorch_writes_it() {
    check("pytorch", "logits", &small_classifier(5));
}

/// NHWC with transpositions, Pad in front of the stem and the pooling, batch normalisation as Mul and
/// Add, a mean for the pooling, MatMul and Add for the dense layer.
#[test]
fn as_tf2onnx_writes_it() {
    let model = Onnx::new(13, &[0, 9, 9, 3])
        .node("Transpose", "x", "t", &[("perm", Ints(&[0, 3, 1, 2]))])
        .integers("around", &[0, 0, 1, 1, 0, 0, 1, 1])
        .node("Pad", "t around", "p", &[])
        .weight("w", &[8, 3, 3, 3])
        .node("Conv", "p w", "c", &[("strides", Ints(&[2, 2]))])
        .weight("gain", &[1, 8, 1, 1])
        .weight("offset", &[8, 1, 1])
        .node("Mul", "c gain", "m", &[])
        .node("Add", "offset m", "a", &[])
        .node("Relu", "a", "r", &[])
        .node("Pad", "r around", "q", &[])
        .node("MaxPool", "q", "pool", &[("kernel_shape", Ints(&[3, 3])), ("strides", Ints(&[2, 2]))])
        .node("Transpose", "pool", "back", &[("perm", Ints(&[0, 2, 3, 1]))])
        .node("ReduceMean", "back", "mean", &[("axes", Ints(&[1, 2])), ("keepdims", Int(0))])
        .weight("dense", &[8, 4])
        .weight("bias", &[4])
        .node("MatMul", "mean dense", "product", &[])
        .node("Add", "product bias", "logits", &[])
        .node("Softmax", "logits", "out", &[])
        .output("out", &[0, 4]);
    check("tf2onnx", "logits", &model);
}

/// Batch normalisation and ReLU behind a sum that the skip reads, too.
#[test]
fn preactivation_stays_behind_the_sum() {
    let model = Onnx::new(13, &[1, 3, 6, 6])
        .conv("x", "c1", [4, 3, 3, 3], &[("pads", Ints(&AROUND))])
        .batch_norm("c1", "n1", 4)
        .node("Relu", "n1", "r1", &[])
        .conv("r1", "c2", [4, 4, 3, 3], &[("pads", Ints(&AROUND))])
        .batch_norm("c2", "n2", 4)
        .node("Relu", "n2", "r2", &[])
        .conv("r2", "c3", [4, 4, 1, 1], &[])
        .node("Add", "c1 c3", "s", &[])
        .batch_norm("s", "n3", 4)
        .node("Relu", "n3", "r3", &[])
        .node("GlobalAveragePool", "r3", "g", &[])
        .batch_norm("g", "n4", 4)
        .conv("n4", "logits", [3, 4, 1, 1], &[])
        .node("Flatten", "logits", "flat", &[])
        .output("flat", &[1, 3]);
    check("preactivation", "logits", &model);
}

#[test]
fn dense_layers_read_pixels_in_either_order() {
    let nchw = Onnx::new(13, &[1, 3, 4, 5])
        .conv("x", "c", [2, 3, 1, 1], &[])
        .node("Flatten", "c", "f", &[])
        .weight("w", &[40, 3])
        .node("Gemm", "f w", "logits", &[("alpha", Float(0.5))])
        .output("logits", &[1, 3]);
    check("flat_nchw", "logits", &nchw);
    let nhwc = Onnx::new(13, &[1, 4, 5, 3])
        .node("Transpose", "x", "t", &[("perm", Ints(&[0, 3, 1, 2]))])
        .conv("t", "c", [2, 3, 1, 1], &[])
        .node("Transpose", "c", "back", &[("perm", Ints(&[0, 2, 3, 1]))])
        .integers("target", &[-1, 40])
        .node("Reshape", "back target", "f", &[])
        .weight("w", &[40, 3])
        .node("MatMul", "f w", "logits", &[])
        .output("logits", &[1, 3]);
    check("flat_nhwc", "logits", &nhwc);
}

/// The flattening that exporters write for a dynamic batch.
#[test]
fn shapes_are_computed_at_import() {
    let model = Onnx::new(11, &[0, 3, 4, 4])
        .conv("x", "c", [2, 3, 4, 4], &[])
        .node("Shape", "c", "shape", &[])
        .integers("zero", &[0])
        .node("Gather", "shape zero", "batch", &[("axis", Int(0))])
        .integers("rest", &[-1])
        .node("Concat", "batch rest", "target", &[("axis", Int(0))])
        .node("Reshape", "c target", "logits", &[])
        .output("logits", &[0, 2]);
    check("dynamic_batch", "logits", &model);
}

#[test]
fn disguises_of_nothing_and_of_relu() {
    let model = Onnx::new(12, &[1, 3, 4, 4])
        .conv("x", "c", [3, 3, 1, 1], &[])
        .floats("zero", &[], &[0.0])
        .node("Max", "c zero", "m", &[])
        .node("Identity", "m", "i", &[])
        .node("Dropout", "i", "d", &[])
        .conv("d", "c2", [3, 3, 1, 1], &[])
        .node("Clip", "c2 zero -", "r", &[])
        .node("Sum", "r d", "s", &[])
        .node("GlobalAveragePool", "s", "g", &[])
        .node("Squeeze", "g", "flat", &[("axes", Ints(&[2, 3]))])
        .weight("w", &[3, 2])
        .node("MatMul", "flat w", "logits", &[])
        .output("logits", &[1, 2]);
    check("disguises", "logits", &model);
}

#[test]
fn windows_of_every_kind() {
    let model = Onnx::new(13, &[1, 3, 11, 13])
        .conv("x", "upper", [4, 3, 4, 3], &[("auto_pad", Word("SAME_UPPER")), ("strides", Ints(&[2, 3]))])
        .conv("upper", "lower", [4, 2, 2, 2], &[("auto_pad", Word("SAME_LOWER")), ("group", Int(2))])
        .conv(
            "lower",
            "dilated",
            [4, 4, 2, 2],
            &[("dilations", Ints(&[2, 2])), ("pads", Ints(&[1, 0, 0, 1]))],
        )
        .node(
            "MaxPool",
            "dilated",
            "max",
            &[("kernel_shape", Ints(&[2, 2])), ("strides", Ints(&[2, 2])), ("ceil_mode", Int(1))],
        )
        .node("AveragePool", "max", "mean", &[("kernel_shape", Ints(&[2, 1]))])
        .node("GlobalMaxPool", "mean", "top", &[])
        .conv("top", "logits", [3, 4, 1, 1], &[])
        .node("Flatten", "logits", "out", &[])
        .output("out", &[1, 3]);
    check("windows", "logits", &model);
}

/// Padding that does not count in a mean leaves windows of two by two of three by three here, and of all there is
/// there.
#[test]
fn means_of_windows_that_hold_as_much_as_each_other() {
    let model = Onnx::new(13, &[1, 3, 5, 5])
        .conv("x", "c", [4, 3, 3, 3], &[])
        .node(
            "AveragePool",
            "c",
            "mean",
            &[("kernel_shape", Ints(&[3, 3])), ("strides", Ints(&[2, 2])), ("pads", Ints(&AROUND))],
        )
        .conv("mean", "d", [3, 4, 1, 1], &[])
        .node("AveragePool", "d", "all", &[("kernel_shape", Ints(&[3, 3])), ("pads", Ints(&[0, 0, 1, 1]))])
        .conv("all", "logits", [2, 3, 1, 1], &[])
        .node("Flatten", "logits", "out", &[])
        .output("out", &[1, 2]);
    check("means", "logits", &model);
}

/// Rescaling inside the model reaches the padded stem: padding becomes the preimage of zero.
#[test]
fn rescaling_folds_into_the_stem() {
    let model = Onnx::new(13, &[1, 3, 5, 5])
        .floats("middle", &[1], &[0.5])
        .floats("scale", &[1], &[0.25])
        .node("Sub", "x middle", "s", &[])
        .node("Div", "s scale", "d", &[])
        .conv("d", "c", [2, 3, 3, 3], &[("pads", Ints(&AROUND))])
        .node("GlobalAveragePool", "c", "g", &[])
        .conv("g", "logits", [2, 2, 1, 1], &[])
        .node("Flatten", "logits", "out", &[])
        .output("out", &[1, 2]);
    check("rescaling", "logits", &model);
}

fn refused(model: &Onnx) -> String {
    read(&model.bytes(), Path::new("/nowhere")).err().expect("an error").to_string()
}

#[test]
fn what_is_not_supported_is_named() {
    let base = || Onnx::new(13, &[1, 3, 8, 8]).conv("x", "c", [4, 3, 3, 3], &[]);
    let ends = |m: Onnx, output: &str| m.output(output, &[1, 4]);
    let cases: Vec<(Onnx, &[&str])> = vec![
        (ends(base().node("LSTM", "c", "l", &[]), "l"), &["l_node", "LSTM", "opset 13", "not supported"]),
        (
            ends(base().node("LeakyRelu", "c", "l", &[("beta", Float(1.0))]), "l"),
            &["LeakyRelu", "attribute beta", "not supported"],
        ),
        (ends(base().node("Relu", "c", "l", &[("slope", Float(1.0))]), "l"), &["attribute slope"]),
        (ends(base().node("Relu", "lost", "l", &[]), "l"), &["reads lost"]),
        (
            ends(base().conv("x", "d", [4, 3, 3, 3], &[]).node("Mul", "c d", "l", &[]), "l"),
            &["the product of", "as the second factor"],
        ),
        (
            ends(
                base()
                    .node("GlobalAveragePool", "c", "g", &[])
                    .node("Softmax", "g", "s", &[("axis", Int(1))])
                    .node("Relu", "s", "l", &[]),
                "l",
            ),
            &["l_node", "must come last"],
        ),
        (ends(base().node("Softmax", "c", "l", &[]), "l"), &["over the classes"]),
        (
            ends(base().floats("k", &[1, 4, 6, 6], &[1.0; 144]).node("Mul", "c k", "l", &[]), "l"),
            &["one number per channel"],
        ),
        (ends(base().floats("n", &[], &[f32::NAN]).node("Clip", "c n", "l", &[]), "l"), &["clipping to NaN"]),
        (
            ends(base().integers("t", &[1, 7]).node("Reshape", "c t", "l", &[]), "l"),
            &["[1, 4, 6, 6]", "[1, 7]"],
        ),
        (ends(base().conv("c", "l", [4, 3, 1, 1], &[]), "l"), &["do not fit 4 input channels"]),
        (ends(base().conv("c", "l", [4, 4, 9, 9], &[]), "l"), &["larger than its input of 6×6×4"]),
        (ends(base().conv("c", "l", [4, 4, 1, 1], &[("strides", Ints(&[0, 1]))]), "l"), &["strides [0, 1]"]),
        (ends(base().conv("c", "l", [4, 4, 1, 1], &[("pads", Ints(&[-1, 0, 0, 0]))]), "l"), &["pads"]),
        (
            ends(
                base().floats("w", &[1, 4, 1, 1], &[1.0, f32::NAN, 0.0, 0.0]).node("Conv", "c w", "l", &[]),
                "l",
            ),
            &["tensor w", "value 1 is NaN"],
        ),
        (
            ends(
                base().node(
                    "MaxPool",
                    "c",
                    "l",
                    &[("kernel_shape", Ints(&[2, 2])), ("dilations", Ints(&[2, 2]))],
                ),
                "l",
            ),
            &["l_node", "dilated"],
        ),
        (base().output("c", &[1]).output("x", &[1]), &["2 outputs (c, x)", "--output-name c"]),
        (base().floats("k", &[1], &[1.0]).output("k", &[1]), &["does not depend on the image"]),
        (ends(Onnx::new(13, &[1, 3, 0, 8]).conv("x", "c", [4, 3, 3, 3], &[]), "c"), &["input x", "dynamic"]),
        (ends(Onnx::new(13, &[8, 3, 8, 8]).conv("x", "c", [4, 3, 3, 3], &[]), "c"), &["batch is fixed"]),
        (ends(Onnx::new(13, &[1, 64]).node("Relu", "x", "c", &[]), "c"), &["2 dimensions"]),
        (ends(Onnx::new(13, &[1, 16, 8, 8]).node("Relu", "x", "c", &[]), "c"), &["no image"]),
        (ends(Onnx::new(6, &[1, 3, 8, 8]).node("Relu", "x", "c", &[]), "c"), &["opset 6", "7 to 25"]),
        (ends(Onnx::new(99, &[1, 3, 8, 8]).node("Relu", "x", "c", &[]), "c"), &["opset 99"]),
    ];
    for (model, expected) in cases {
        let said = refused(&model);
        for word in expected {
            assert!(said.contains(word), "{said:?} does not say {word:?}");
        }
    }
}

#[test]
fn a_second_input_is_named() {
    let mut model = small_classifier(3);
    let mut second = model.graph().input[0].clone();
    second.name = "mask".into();
    model.graph().input.push(second);
    assert!(refused(&model).contains("2 inputs (x, mask)"));
}

#[test]
fn tensors_that_lie_are_refused_before_anything_is_allocated() {
    let lie = |change: fn(&mut foldnet_converter::onnx::TensorProto)| {
        let mut model = small_classifier(3);
        change(&mut model.graph().initializer[0]);
        refused(&model)
    };
    assert!(lie(|t| t.dims = vec![1 << 40, 1 << 40]).contains("tensor c1.w"));
    assert!(lie(|t| t.dims = vec![1 << 27]).contains("claim 536870912 bytes, the file holds 864"));
    assert!(lie(|t| t.dims = vec![-1, 3]).contains("negative"));
    assert!(lie(|t| t.data_type = 8).contains("String"));
    assert!(lie(|t| t.data_type = 99).contains("type 99"));
    let external = lie(|t| {
        t.raw_data.clear();
        t.data_location = Some(1);
        t.external_data = vec![foldnet_converter::onnx::StringStringEntryProto {
            key: "location".into(),
            value: "weights.bin".into(),
        }];
    });
    assert!(external.contains("c1.w") && external.contains("weights.bin"), "{external}");
    let huge = Onnx::new(13, &[1, 3, 8, 8])
        .integers("shape", &[1 << 20, 1 << 20])
        .node("ConstantOfShape", "shape", "k", &[])
        .node("Add", "x k", "l", &[])
        .output("l", &[1]);
    assert!(refused(&huge).contains("too large"));
}

#[test]
fn integer_weights_have_one_scale_per_output_or_one_for_all() {
    let with_scales = |scales: i64| {
        Onnx::new(13, &[1, 3, 8, 8])
            .conv("x", "wide", [512, 3, 1, 1], &[])
            .weight("w", &[1024, 512, 1, 1])
            .positive("s", &[scales])
            .node("Cast", "w", "q", &[("to", Int(3))])
            .node("DequantizeLinear", "q s", "r", &[("axis", Int(0))])
            .node("Conv", "wide r", "y", &[])
            .node("GlobalAveragePool", "y", "mean", &[])
            .output("mean", &[1, 1024, 1, 1])
    };
    let wide = read(&with_scales(1024).bytes(), Path::new(""));
    assert!(wide.is_ok(), "as wide as ResNet-50's: {:?}", wide.err());
    assert!(refused(&with_scales(512)).contains("512 scales or zero points for a dimension of 1024"));
}

/// A pooled value quantized, flattened, and quantized again in a scale of its own.
fn quantized_twice() -> Onnx {
    Onnx::new(13, &[1, 3, 8, 8])
        .conv("x", "c", [8, 3, 3, 3], &[])
        .node("Relu", "c", "r", &[])
        .floats("coarse", &[], &[0.5])
        .floats("fine", &[], &[0.125])
        .node("GlobalAveragePool", "r", "pooled", &[])
        .node("QuantizeLinear", "pooled coarse", "q1", &[])
        .node("DequantizeLinear", "q1 coarse", "d1", &[])
        .node("Flatten", "d1", "flat", &[])
        .node("QuantizeLinear", "flat fine", "q2", &[])
        .node("DequantizeLinear", "q2 fine", "d2", &[])
        .weight("fc.w", &[8, 4])
        .node("MatMul", "d2 fc.w", "logits", &[])
}

#[test]
fn of_two_roundings_in_a_row_the_last_counts() {
    let graph = read(&quantized_twice().output("logits", &[1, 4]).bytes(), Path::new("")).unwrap().graph;
    let scales: Vec<f32> = graph.given.values().map(|g| g.scale).collect();
    assert_eq!(scales, [0.125]);
    let both = quantized_twice()
        .weight("other.w", &[8, 4])
        .node("Flatten", "d1", "also", &[])
        .node("MatMul", "also other.w", "more", &[])
        .node("Add", "logits more", "sum", &[])
        .output("sum", &[1, 4]);
    assert!(refused(&both).contains("quantized twice"));
}

#[test]
fn what_is_no_model_at_all() {
    let no = |bytes: &[u8]| match read(bytes, Path::new("")) {
        Err(ImportError::NotOnnx(why)) => why,
        other => panic!("{:?}", other.map(|i| i.graph)),
    };
    assert!(no(&[]).contains("empty"));
    no(b"not an onnx file at all");
    no(&small_classifier(3).bytes()[..2000]);
    // A length of four gigabytes in a few bytes.
    no(&[0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_damage_crashes_the_import(
        flips in prop::collection::vec((0usize..1 << 16, any::<u8>()), 1..6),
        cut in prop::option::of(0usize..1 << 16),
    ) {
        let mut bytes = small_classifier(3).bytes();
        let n = bytes.len();
        flips.into_iter().for_each(|(at, value)| bytes[at % n] = value);
        if let Some(cut) = cut {
            bytes.truncate(cut % n);
        }
        if let Ok(mut imported) = read(&bytes, Path::new("")) {
            fold(&mut imported.graph);
        }
    }
}
