"""What LiteRT answers in front of a network's last function.

With its default kernels, XNNPACK's, only a model's outputs can be read; so the last function is taken off the model.
"""

from __future__ import annotations

from collections.abc import Iterable

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

LAST = (schema.BuiltinOperator.SOFTMAX, schema.BuiltinOperator.LOGISTIC)
WRAPPERS = (schema.BuiltinOperator.QUANTIZE, schema.BuiltinOperator.DEQUANTIZE)


def logits_model(content: bytes) -> tuple[bytes, float, int]:
    """The model without its last function, and scale and zero point of its output; 0 for floats."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    graph = model.subgraphs[0]

    def code(operator: schema.OperatorT) -> int:
        kind = model.operatorCodes[operator.opcodeIndex]
        return max(kind.builtinCode, kind.deprecatedBuiltinCode)

    while code(graph.operators[-1]) in WRAPPERS + LAST:
        last = graph.operators.pop()
        graph.outputs = [last.inputs[0]]
        if code(last) in LAST:
            break
    model.signatureDefs = []
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    quantized = graph.tensors[graph.outputs[0]].quantization
    stated = quantized is not None and quantized.scale is not None
    scale, zero = (float(quantized.scale[0]), int(quantized.zeroPoint[0])) if stated else (0.0, 0)
    return bytes(builder.Output()), scale, zero


def run(content: bytes, inputs: Iterable[np.ndarray], *, own: bool = False) -> np.ndarray:
    """The output for each input; with `own`, by TFLite's own kernels instead of XNNPACK's."""
    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if own else OpResolverType.AUTO
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=kernels, num_threads=1)
    interpreter.allocate_tensors()
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for value in inputs:
        interpreter.set_tensor(source["index"], value[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(result["index"]).reshape(-1).copy())
    return np.array(rows)
