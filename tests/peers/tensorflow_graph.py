"""Replays a ResNet's ONNX graph as a TensorFlow function, channels last throughout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import tensorflow as tf
from onnx import helper, numpy_helper


def function_of(onnx_path: Path) -> tuple[tf.types.experimental.PolymorphicFunction, tf.Module]:
    """The function, with a fixed NHWC signature, and the module that owns it."""
    graph = onnx.load(onnx_path).graph
    weights = {w.name: numpy_helper.to_array(w) for w in graph.initializer}
    source = next(i for i in graph.input if i.name not in weights)
    shape = [d.dim_value or 1 for d in source.type.tensor_type.shape.dim]
    if shape[1] == 3:
        shape = [shape[0], *shape[2:], 3]
    rectified = {node.output[0] for node in graph.node if node.op_type == "Relu"}
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="input")])
    def predict(x: tf.Tensor) -> tf.Tensor:
        values: dict[str, object] = {**weights, source.name: x}
        for node in graph.node:
            check_pool(node, rectified)
            values[node.output[0]] = replay(node, [values[name] for name in node.input if name])
        return values[graph.output[0].name]

    module.predict = predict
    return predict, module


def replay(node: onnx.NodeProto, inputs: list):
    """One node's value, where every image-like tensor is NHWC."""
    a = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    x, *rest = inputs
    match node.op_type:
        case "Conv":
            if a.get("group", 1) != 1 or any(d != 1 for d in a.get("dilations", [])):
                raise SystemExit(f"{node.name}: grouped or dilated convolutions are not replayed")
            x, padding = pad(x, rest[0].shape[2:], a)
            y = tf.nn.conv2d(x, rest[0].transpose(2, 3, 1, 0), a["strides"], padding)
            return tf.nn.bias_add(y, rest[1]) if len(rest) > 1 else y
        case "MaxPool":
            x, padding = pad(x, a["kernel_shape"], a)
            return tf.nn.max_pool2d(x, a["kernel_shape"], a["strides"], padding)
        case "AveragePool":
            if any(a.get("pads", [])):
                raise SystemExit(f"{node.name}: a padded average pool is not replayed")
            return tf.nn.avg_pool2d(x, a["kernel_shape"], a.get("strides", [1, 1]), "VALID")
        case "Pad":
            top_left, bottom_right = np.split(rest[0], 2)
            return tf.pad(x, [[0, 0], *[[int(top_left[i]), int(bottom_right[i])] for i in (2, 3)], [0, 0]])
        case "Relu":
            return tf.nn.relu(x)
        case "Add":
            return x + per_channel(rest[0])
        case "Mul":
            return x * per_channel(rest[0])
        case "GlobalAveragePool":
            return tf.reduce_mean(x, [1, 2])
        case "MatMul":
            return tf.matmul(x, rest[0])
        case "Gemm":
            return tf.matmul(x, rest[0].T if a.get("transB") else rest[0]) + rest[1]
        case "Softmax":
            return tf.nn.softmax(x)
        case "Transpose" | "Squeeze" | "Flatten" | "Identity":
            return x  # layouts only: everything here is NHWC, and the average is flat already
        case "Reshape":
            return tf.reshape(x, [x.shape[0], -1])
        case other:
            raise SystemExit(f"{node.name}: operator {other} is not replayed")


def per_channel(value):
    """A weight of shape 1xCx1x1 as C; a tensor as it is."""
    return value.reshape(-1) if isinstance(value, np.ndarray) else value


def check_pool(node: onnx.NodeProto, rectified: set[str]) -> None:
    """A padded max pool is replayed with zeros around, which is exact behind a ReLU only."""
    padded = any(any(a.ints) for a in node.attribute if a.name == "pads")
    if node.op_type == "MaxPool" and padded and node.input[0] not in rectified:
        raise SystemExit(f"{node.name}: a padded max pool that follows no ReLU is not replayed")


def pad(x: tf.Tensor, kernel, attributes: dict) -> tuple[tf.Tensor, str]:
    """ONNX padding as TensorFlow's SAME where they agree, else as zeros put around in front."""
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    if not any((top, left, bottom, right)):
        return x, "VALID"
    if same(x.shape[1:3], kernel, attributes["strides"], [(top, bottom), (left, right)]):
        return x, "SAME"
    return tf.pad(x, [[0, 0], [top, bottom], [left, right], [0, 0]]), "VALID"


def same(sizes, kernel, strides, pads) -> bool:
    """Does TensorFlow's SAME pad exactly like this?"""
    for size, k, stride, given in zip(sizes, kernel, strides, pads, strict=True):
        total = max((-(-size // stride) - 1) * stride + k - size, 0)
        if given != (total // 2, total - total // 2):
            return False
    return True
