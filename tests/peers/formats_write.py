"""Writes a network of an ONNX file in the formats of one framework, for formats_table.py.

    formats_write.py keras MODEL.onnx FOLDER    model.keras, model.h5, saved_model/, model.tflite
    formats_write.py torch MODEL.onnx FOLDER    model.pt2, model.pt (TorchScript)

The framework's own layers are built from the graph, with the same weights; the framework writes the files.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
SIDE = 32
# They change the layout only: Keras' images are NHWC throughout, PyTorch's NCHW.
LAYOUT = {"Transpose", "Squeeze", "Flatten", "Identity", "Reshape"}


def main() -> None:
    framework, path, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    graph = onnx.load(path).graph
    {"keras": write_keras, "torch": write_torch}[framework](graph, folder)


def nodes(graph: onnx.GraphProto):
    """Each node with its attributes, the names of what it computes on, and its constants."""
    constants = {w.name: numpy_helper.to_array(w) for w in graph.initializer}
    for node in graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        computed = [name for name in node.input if name and name not in constants]
        yield node, attributes, computed, [constants[name] for name in node.input if name in constants]


def per_channel(value: np.ndarray, channels: int) -> np.ndarray:
    return np.ascontiguousarray(np.broadcast_to(value.reshape(-1), (channels,)), np.float32)


def write_keras(graph: onnx.GraphProto, folder: Path) -> None:
    import keras
    import tensorflow as tf

    values = {graph.input[0].name: keras.Input((SIDE, SIDE, 3))}
    for node, a, computed, constants in nodes(graph):
        x = values[computed[0]]
        if node.op_type in LAYOUT:
            y = keras.layers.Flatten()(x) if node.op_type in {"Squeeze", "Reshape"} and len(x.shape) > 2 else x
        elif len(computed) > 1:
            y = {"Add": keras.layers.Add}[node.op_type]()([x, values[computed[1]]])
        else:
            y = keras_layer(node.op_type, x, a, constants)
        values[node.output[0]] = y
    model = keras.Model(values[graph.input[0].name], values[graph.output[0].name])
    model.save(folder / "model.keras")
    model.save(folder / "model.h5")
    model.export(folder / "saved_model", verbose=False)
    (folder / "model.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())


def keras_layer(kind: str, x, a: dict, constants: list[np.ndarray]):
    from keras import layers

    match kind:
        case "Conv":
            weights, *bias = constants
            top, left, bottom, right = a.get("pads", [0] * 4)
            strides, kernel = tuple(a.get("strides", [1, 1])), weights.shape[2:]
            total = [max((-(-n // s) - 1) * s + k - n, 0) for n, s, k in zip(x.shape[1:3], strides, kernel, strict=True)]
            same = [(n // 2, n - n // 2) for n in total] == [(top, bottom), (left, right)]
            if not same:
                x = layers.ZeroPadding2D(((top, bottom), (left, right)))(x)
            layer = layers.Conv2D(weights.shape[0], kernel, strides, "same" if same else "valid", use_bias=bool(bias))
            y = layer(x)
            layer.set_weights([weights.transpose(2, 3, 1, 0), *bias])
            return y
        case "Mul" | "Add":
            n = x.shape[-1]
            layer = layers.BatchNormalization(epsilon=0)
            y = layer(x)
            value, ones, zeros = per_channel(constants[0], n), np.ones(n), np.zeros(n)
            layer.set_weights([value if kind == "Mul" else ones, zeros if kind == "Mul" else value, zeros, ones])
            return y
        case "Relu":
            return layers.ReLU()(x)
        case "GlobalAveragePool":
            return layers.GlobalAveragePooling2D()(x)
        case "AveragePool":
            return layers.AveragePooling2D(tuple(a["kernel_shape"]), tuple(a["strides"]))(x)
        case "Gemm":
            weights = constants[0].T if a.get("transB") else constants[0]
            layer = layers.Dense(weights.shape[1])
            y = layer(x)
            layer.set_weights([weights, constants[1]])
            return y
        case "Softmax":
            return layers.Softmax()(x)
    raise SystemExit(f"operator {kind} is not replayed")


def write_torch(graph: onnx.GraphProto, folder: Path) -> None:
    import torch
    from torch import nn
    from torch.nn import functional as f

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.steps = []
            for number, (node, a, computed, constants) in enumerate(nodes(graph)):
                names = []
                for i, value in enumerate(constants):
                    if value.dtype == np.float32:
                        names.append(f"value_{number}_{i}")
                        self.register_buffer(names[-1], torch.from_numpy(value.copy()))
                self.steps.append((node.op_type, a, computed, names, node.output[0]))

        def forward(self, x):
            values = {graph.input[0].name: x}
            for kind, a, computed, names, output in self.steps:
                inputs = [values[name] for name in computed]
                values[output] = self.step(kind, a, inputs, [getattr(self, name) for name in names])
            return values[graph.output[0].name]

        def step(self, kind, a, inputs, constants):
            x = inputs[0]
            if kind in LAYOUT:
                return torch.flatten(x, 1) if kind in {"Squeeze", "Reshape"} else x
            if kind in {"Add", "Mul"}:
                other = inputs[1] if len(inputs) > 1 else constants[0].reshape(1, -1, 1, 1)
                return x + other if kind == "Add" else x * other
            if kind == "Conv":
                top, left, bottom, right = a.get("pads", [0] * 4)
                pads = (top, left)
                if (top, left) != (bottom, right):
                    x, pads = f.pad(x, (left, right, top, bottom)), 0
                return f.conv2d(x, *constants[:2], stride=tuple(a.get("strides", [1, 1])), padding=pads)
            if kind == "Relu":
                return f.relu(x)
            if kind == "GlobalAveragePool":
                return f.adaptive_avg_pool2d(x, 1)
            if kind == "AveragePool":
                return f.avg_pool2d(x, tuple(a["kernel_shape"]), tuple(a["strides"]))
            if kind == "Gemm":
                return f.linear(x, constants[0] if a.get("transB") else constants[0].T, constants[1])
            if kind == "Softmax":
                return f.softmax(x, 1)
            raise SystemExit(f"operator {kind} is not replayed")

    model, example = Network().eval(), (torch.zeros(1, 3, SIDE, SIDE),)
    torch.export.save(torch.export.export(model, example), folder / "model.pt2")
    torch.jit.trace(model, example).save(str(folder / "model.pt"))


main()
