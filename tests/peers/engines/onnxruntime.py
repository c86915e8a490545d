"""ONNX Runtime: static QDQ, weights s8 per channel, activations u8 on x86-64 and s8 on AArch64, as it advises."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version as installed
from pathlib import Path

import numpy as np


def version() -> str:
    return f"ONNX Runtime {installed('onnxruntime')}"


def hold(isa: str) -> bool:
    return False  # MLAS asks the CPU and offers no switch


def prepare(onnx_path: Path, images: Sequence[np.ndarray]) -> Path:
    from onnxruntime.quantization import QuantType

    return quantize(onnx_path, images, QuantType.QUInt8, onnx_path.with_suffix(".int8.qdq"))


def prepare_aarch64(onnx_path: Path, images: Sequence[np.ndarray]) -> Path:
    from onnxruntime.quantization import QuantType

    return quantize(onnx_path, images, QuantType.QInt8, onnx_path.with_suffix(".int8.s8.qdq"))


def quantize(onnx_path: Path, images: Sequence[np.ndarray], activations, artifact: Path, method: str = "MinMax") -> Path:
    from onnxruntime import InferenceSession
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    name = InferenceSession(onnx_path, providers=["CPUExecutionProvider"]).get_inputs()[0].name

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left: Iterator[np.ndarray] = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.left, None)
            return None if image is None else {name: image}

    ready = onnx_path.with_suffix(".pre.onnx")
    quant_pre_process(onnx_path, ready, skip_symbolic_shape=True)
    quantize_static(
        ready,
        artifact,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=activations,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod[method],
    )
    ready.unlink()
    return artifact


def prepare_float(onnx_path: Path) -> Path:
    return onnx_path


def load(artifact: Path, threads: int, image: np.ndarray) -> Callable[[], np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: image}
    return lambda: session.run(None, feed)[0]
