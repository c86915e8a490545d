"""torchvision's ResNet-18 as its ONNX exporter writes it, with no need of PyTorch's two-gigabyte wheel.

NCHW input, batch normalization folded into the convolutions (the exporter's inference mode does that),
nodes named after the module tree, opset 13. The weights are random; see `models.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, helper, numpy_helper


class Writer:
    """Adds nodes and, beside them, runs them on a few images, so that each batch norm's statistics are real ones."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.values: dict[str, np.ndarray] = {}

    def node(self, op: str, name: str, inputs: list[str], value: np.ndarray, output: str = "", **attributes) -> str:
        output = output or f"{name}_output_0"
        self.nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        self.values[output] = value
        return output

    def weight(self, name: str, value: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    def conv(self, module: str, x: str, channels: int, kernel: int, stride: int) -> str:
        """A convolution with its batch normalization folded in."""
        pad = kernel // 2
        fan_in = self.values[x].shape[1] * kernel * kernel
        w = self.rng.normal(0, np.sqrt(2 / fan_in), (channels, self.values[x].shape[1], kernel, kernel))
        y = convolve(self.values[x], w.astype(np.float32), stride, pad)
        mean, deviation = y.mean(axis=(0, 2, 3)), np.sqrt(y.var(axis=(0, 2, 3)) + 1e-5)
        gamma, beta = self.rng.uniform(0.5, 1.5, channels), self.rng.normal(0, 0.2, channels)
        scale, shift = gamma / deviation, beta - mean * gamma / deviation
        path = module[1:].replace("/", ".")
        return self.node(
            "Conv",
            f"{module}/Conv",
            [
                x,
                self.weight(f"onnx::Conv_{path}.weight", w * scale[:, None, None, None]),
                self.weight(f"onnx::Conv_{path}.bias", shift),
            ],
            (y * scale[:, None, None] + shift[:, None, None]).astype(np.float32),
            dilations=[1, 1],
            group=1,
            kernel_shape=[kernel, kernel],
            pads=[pad] * 4,
            strides=[stride, stride],
        )

    def relu(self, name: str, x: str) -> str:
        return self.node("Relu", name, [x], np.maximum(self.values[x], 0))

    def block(self, stage: int, index: int, x: str, channels: int, stride: int) -> str:
        """A basic block: two 3x3 convolutions and the shortcut."""
        module = f"/layer{stage}/layer{stage}.{index}"
        y = self.conv(f"{module}/conv1", x, channels, 3, stride)
        y = self.relu(f"{module}/relu/Relu", y)
        y = self.conv(f"{module}/conv2", y, channels, 3, 1)
        if stride != 1:
            x = self.conv(f"{module}/downsample/downsample.0", x, channels, 1, stride)
        total = self.node("Add", f"{module}/Add", [y, x], self.values[y] + self.values[x])
        return self.relu(f"{module}/relu_1/Relu", total)


def convolve(x: np.ndarray, w: np.ndarray, stride: int, pad: int) -> np.ndarray:
    """A plain NCHW convolution."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = sliding_window_view(x, w.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    return np.tensordot(windows, w, axes=((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)


def max_pool(x: np.ndarray) -> np.ndarray:
    """3x3, stride 2, padding 1."""
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    return sliding_window_view(x, (3, 3), axis=(2, 3))[:, :, ::2, ::2].max(axis=(4, 5))


def write_resnet18(path: Path, seed: int) -> None:
    """Writes the network to `path`; its output is the logits, as torchvision's model has no softmax."""
    from models import preprocess
    from pictures import synthetic

    g = Writer(seed)
    g.values["input"] = preprocess("resnet18", synthetic(2, seed))
    x = g.relu("/relu/Relu", g.conv("/conv1", "input", 64, 7, 2))
    x = g.node(
        "MaxPool",
        "/maxpool/MaxPool",
        [x],
        max_pool(g.values[x]),
        ceil_mode=0,
        kernel_shape=[3, 3],
        pads=[1] * 4,
        strides=[2, 2],
    )
    for stage, channels in enumerate((64, 128, 256, 512), start=1):
        x = g.block(stage, 0, x, channels, 1 if stage == 1 else 2)
        x = g.block(stage, 1, x, channels, 1)
    x = g.node("GlobalAveragePool", "/avgpool/GlobalAveragePool", [x], g.values[x].mean(axis=(2, 3), keepdims=True))
    x = g.node("Flatten", "/Flatten", [x], g.values[x][:, :, 0, 0], axis=1)
    w = g.rng.uniform(-1, 1, (1000, 512)).astype(np.float32) / np.float32(np.sqrt(512))
    b = g.rng.uniform(-1, 1, 1000).astype(np.float32) / np.float32(np.sqrt(512))
    inputs = [x, g.weight("fc.weight", w), g.weight("fc.bias", b)]
    g.node("Gemm", "/fc/Gemm", inputs, g.values[x] @ w.T + b, "output", alpha=1.0, beta=1.0, transB=1)
    graph = helper.make_graph(
        g.nodes,
        "main_graph",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 224, 224])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1000])],
        g.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7, producer_name="pytorch")
    onnx.checker.check_model(model)
    onnx.save(model, path)
