//! Weights of every type and value that a file may hold.
#![allow(missing_docs)]

mod common;

use std::path::Path;

use common::{Attribute, Onnx, small_classifier};
use foldnet_converter::graph::{Graph, Op};
use foldnet_converter::import::read;
use foldnet_converter::onnx::tensor_proto::DataType;
use foldnet_converter::onnx::{OperatorSetIdProto, TensorProto};
use foldnet_converter::pass::fold;
use half::f16;

fn imported(model: &Onnx) -> Result<Graph, String> {
    let mut graph = read(&model.bytes(), Path::new("")).map_err(|e| e.to_string())?.graph;
    fold(&mut graph);
    Ok(graph)
}

/// Every convolution's weights and biases.
fn numbers(graph: &Graph) -> Vec<f32> {
    let of = |op: &Op| match op {
        Op::Conv(c) => [c.weights.clone(), c.bias.clone()].concat(),
        _ => Vec::new(),
    };
    graph.nodes.iter().flat_map(|n| of(&n.op)).collect()
}

/// The classifier with its initializers' floats written in another type.
fn with_weights_in(to: DataType, encode: fn(f32) -> Vec<u8>) -> Onnx {
    let mut model = sixteenths();
    for tensor in &mut model.graph().initializer {
        if tensor.data_type == DataType::Float as i32 {
            tensor.raw_data = floats(tensor).into_iter().flat_map(encode).collect();
            tensor.data_type = to as i32;
        }
    }
    model
}

/// The classifier with numbers that every float type holds exactly.
fn sixteenths() -> Onnx {
    let mut model = small_classifier(3);
    for tensor in &mut model.graph().initializer {
        if tensor.data_type == DataType::Float as i32 {
            let rounded = floats(tensor).into_iter().map(|v| (v * 16.0).round() / 16.0);
            tensor.raw_data = rounded.flat_map(f32::to_le_bytes).collect();
        }
    }
    model
}

fn floats(tensor: &TensorProto) -> Vec<f32> {
    let bytes = tensor.raw_data.chunks_exact(4);
    bytes.map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

#[test]
fn weights_of_half_and_of_double_width_are_the_same_network() {
    let expected = numbers(&imported(&sixteenths()).unwrap());
    let half = with_weights_in(DataType::Float16, |v| f16::from_f32(v).to_bits().to_le_bytes().to_vec());
    assert_eq!(numbers(&imported(&half).unwrap()), expected);
    let double = with_weights_in(DataType::Double, |v| f64::from(v).to_le_bytes().to_vec());
    assert_eq!(numbers(&imported(&double).unwrap()), expected);
}

#[test]
fn a_double_that_no_float_holds_is_named() {
    let mut model = with_weights_in(DataType::Double, |v| f64::from(v).to_le_bytes().to_vec());
    model.graph().initializer[0].raw_data[..8].copy_from_slice(&1e300f64.to_le_bytes());
    let said = imported(&model).unwrap_err();
    assert!(said.contains("c1.w") && said.contains("inf"), "{said}");
}

/// A batch normalisation of one channel that never varied in training.
fn without_variance(epsilon: f32) -> Onnx {
    Onnx::new(13, &[1, 3, 8, 8])
        .conv("x", "c", [4, 3, 3, 3], &[])
        .weight("scale", &[4])
        .weight("shift", &[4])
        .weight("mean", &[4])
        .floats("variance", &[4], &[0.5, 0.0, 1.0, 2.0])
        .node(
            "BatchNormalization",
            "c scale shift mean variance",
            "n",
            &[("epsilon", Attribute::Float(epsilon))],
        )
        .node("GlobalAveragePool", "n", "g", &[])
        .output("g", &[1, 4, 1, 1])
}

#[test]
fn a_channel_without_variance_has_its_epsilon_or_is_named() {
    assert!(numbers(&imported(&without_variance(1e-5)).unwrap()).iter().all(|v| v.is_finite()));
    let said = imported(&without_variance(0.0)).unwrap_err();
    assert!(said.contains("n_node") && said.contains("variance"), "{said}");
}

#[test]
fn a_dense_layer_in_integers_is_the_one_it_was_made_from() {
    let quantized = |transposed: bool| {
        let (dims, q): ([i64; 2], [i8; 6]) =
            if transposed { ([2, 3], [1, -2, 3, 4, 5, -6]) } else { ([3, 2], [1, 4, -2, 5, 3, -6]) };
        let mut model = Onnx::new(13, &[1, 3, 8, 8])
            .node("GlobalAveragePool", "x", "g", &[])
            .node("Flatten", "g", "f", &[])
            .floats("xs", &[], &[0.5])
            .floats("ws", &[2], &[0.25, 0.125])
            .node("QuantizeLinear", "f xs xz", "q", &[])
            .node(
                "QGemm",
                "q xs xz w ws wz b",
                "logits",
                &[("transB", Attribute::Int(i64::from(transposed)))],
            )
            .output("logits", &[1, 2]);
        let tensor = |name: &str, dims: &[i64], kind: DataType, raw: Vec<u8>| TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: kind as i32,
            raw_data: raw,
            ..Default::default()
        };
        let bias = [8i32, -16].iter().flat_map(|b| b.to_le_bytes()).collect();
        model.graph().initializer.extend([
            tensor("xz", &[], DataType::Uint8, vec![0]),
            tensor("w", &dims, DataType::Int8, q.map(|v| v as u8).to_vec()),
            tensor("wz", &[2], DataType::Int8, vec![0, 0]),
            tensor("b", &[2], DataType::Int32, bias),
        ]);
        let microsoft = OperatorSetIdProto { domain: "com.microsoft".into(), version: 1 };
        model.model.opset_import.push(microsoft);
        numbers(&imported(&model).unwrap())
    };
    // The pooling reads the pixels through a convolution that copies them.
    let copy = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];
    let dense = [0.25, -0.5, 0.75, 0.5, 0.625, -0.75, 8.0 * 0.5 * 0.25, -16.0 * 0.5 * 0.125];
    let expected = [&copy[..], &dense].concat();
    assert_eq!(quantized(true), expected);
    assert_eq!(quantized(false), expected);
}
