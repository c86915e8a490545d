"""LiteRT with its XNNPACK delegate: full-integer TFLite by TensorFlow's converter, weights per channel.

TensorFlow reads no ONNX: `tensorflow_graph.py` replays the graph as TensorFlow operators, channels last,
which gives the converter what it would get from the same network written in Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version as installed
from pathlib import Path

import numpy as np


def version() -> str:
    return f"LiteRT {installed('ai-edge-litert')}"


def hold(isa: str) -> bool:
    return False  # XNNPACK asks the CPU and offers no switch


def prepare(onnx_path: Path, images: Sequence[np.ndarray]) -> Path:
    import tensorflow as tf

    def representative() -> Iterator[list[np.ndarray]]:
        for image in images:
            yield [channels_last(image)]

    converter = converter_of(onnx_path)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return save(converter.convert(), onnx_path.with_suffix(".int8.tflite"))


prepare_aarch64 = prepare


def prepare_float(onnx_path: Path) -> Path:
    return save(converter_of(onnx_path).convert(), onnx_path.with_suffix(".f32.tflite"))


def converter_of(onnx_path: Path):
    import tensorflow as tf

    from tensorflow_graph import function_of

    function, module = function_of(onnx_path)
    return tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], module)


def save(content: bytes, artifact: Path) -> Path:
    artifact.write_bytes(content)
    return artifact


def channels_last(image: np.ndarray) -> np.ndarray:
    """An image in the TFLite file's layout."""
    return np.ascontiguousarray(image.transpose(0, 2, 3, 1)) if image.shape[1] == 3 else image


def load(artifact: Path, threads: int, image: np.ndarray) -> Callable[[], np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(artifact), num_threads=threads)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    scores = interpreter.get_output_details()[0]["index"]
    interpreter.set_tensor(source, channels_last(image))

    def run() -> np.ndarray:
        interpreter.invoke()
        return interpreter.get_tensor(scores)

    return run
