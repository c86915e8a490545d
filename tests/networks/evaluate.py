"""Runs an ONNX graph node by node through ONNX Runtime, so that weights can be chosen on the way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

Values = dict[str, np.ndarray]


def session(model: onnx.ModelProto, optimized: bool = True) -> onnxruntime.InferenceSession:
    """A session on one thread, quiet."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def walk(
    model: onnx.ModelProto,
    inputs: list[np.ndarray],
    tensors: Values,
    after: Callable[[onnx.NodeProto, list[list[np.ndarray]]], bool],
) -> None:
    """Evaluates the graph on every input at once; `tensors` holds the initializers.

    `after` sees each node with its first output for every input. It may change `tensors` and then returns true:
    the node is run again.
    """
    source = next(i.name for i in model.graph.input if i.name not in tensors)
    values: list[Values] = [{source: x} for x in inputs]
    last_reader = {name: node for node in model.graph.node for name in node.input}
    for node in model.graph.node:
        while True:
            names = [name for name in dict.fromkeys(node.input) if name]
            run = single(model, node, {name: values[0].get(name, tensors.get(name)) for name in names})
            results = [run({name: v.get(name, tensors.get(name)) for name in names}) for v in values]
            if not after(node, [r[0] for r in results]):
                break
        for v, result in zip(values, results, strict=True):
            v.update(zip((o for o in node.output if o), result, strict=True))
            for name in names:
                if last_reader[name] is node:
                    v.pop(name, None)


def single(model: onnx.ModelProto, node: onnx.NodeProto, feeds: Values) -> Callable[[Values], list[np.ndarray]]:
    """One node as a function of its inputs."""
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in feeds.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    graph = helper.make_graph([node], "node", inputs, outputs)
    runner = session(
        helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version), optimized=False
    )
    return lambda values: runner.run(None, values)


def constants(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Every tensor in the file by the name it has in the graph: initializers and Constant nodes."""
    found = {t.name: t for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = node.attribute[0].t
    return found


def arrays(model: onnx.ModelProto) -> Values:
    """The values of the initializers."""
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
