"""Writes a fine-tuned network as ONNX in QDQ form, opset 17: every int8 activation is a
QuantizeLinear/DequantizeLinear pair, and int8 weights are followed by a DequantizeLinear per output channel. The
converter keeps all of its scales."""

from __future__ import annotations

from typing import Any

import numpy as np

from foldnet_train.export import onnx_model
from foldnet_train.qat.layers import set_mode
from foldnet_train.qat.rounding import LEVELS

OUTPUTS = {"Conv": 0, "MatMul": 1, "Gemm": 1}
"""The dimension of the outputs in an operator's weights."""


def export(model: Any, labels: list[str], held_out: str = "") -> Any:
    """Returns an `onnx.ModelProto`."""
    import onnx

    set_mode(model, "export")
    try:
        exported = onnx_model.from_keras(model, labels, held_out=held_out)
    finally:
        set_mode(model, "learn")
    integer_weights(exported.graph)
    onnx.checker.check_model(exported)
    return exported


def integer_weights(graph: Any) -> None:
    """Replaces the float weights, which are already on that grid, by int8 and scales."""
    from onnx import helper, numpy_helper

    stored = {tensor.name: tensor for tensor in graph.initializer}
    done: set[str] = set()
    nodes = []
    for node in graph.node:
        if node.op_type in OUTPUTS and node.input[1] in stored:
            name = node.input[1]
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            axis = 0 if transposed else OUTPUTS[node.op_type]
            if name not in done:
                weights = numpy_helper.to_array(stored[name])
                graph.initializer.extend(pair(name, weights, axis))
                inputs = [f"{name}/int8", f"{name}/scale", f"{name}/zero"]
                nodes.append(helper.make_node("DequantizeLinear", inputs, [f"{name}/real"], f"{name}/real", axis=axis))
                done.add(name)
            node.input[1] = f"{name}/real"
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def pair(name: str, weights: Any, axis: int) -> list[Any]:
    """Returns integers, scales and zero points of weights."""
    from onnx import numpy_helper

    others = tuple(i for i in range(weights.ndim) if i != axis)
    largest = np.abs(weights).max(axis=others, keepdims=True)
    scale = np.where(largest > 0, largest / LEVELS, 1.0).astype(np.float32)
    integers = np.rint(weights / scale)
    if np.abs(integers * scale - weights).max() > 1e-4 * np.abs(weights).max():
        raise AssertionError(f"{name}: these weights were not rounded")
    zeros = np.zeros(scale.size, np.int8)
    tensors = {"int8": integers.astype(np.int8), "scale": scale.ravel(), "zero": zeros}
    return [numpy_helper.from_array(value, f"{name}/{kind}") for kind, value in tensors.items()]
