"""MNN, in f32: the quantizer of its Python wheel aborts on every network (alibaba/MNN#2849), so there is no int8.

The command lines `mnnconvert` and `mnnquant` of the wheel install a logging client with pip and send usage
data when they start; we call the function behind the first one instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version as installed
from pathlib import Path

import numpy as np

from engines import Unavailable


def version() -> str:
    return f"MNN {installed('MNN')}"


def hold(isa: str) -> bool:
    return False  # MNN asks the CPU and offers no switch


def prepare(onnx_path: Path, images: Sequence[np.ndarray]) -> Path:
    raise Unavailable("the wheel's quantizer aborts (alibaba/MNN#2849)")


def prepare_float(onnx_path: Path) -> Path:
    import _tools

    artifact = onnx_path.with_suffix(".f32.mnn")
    words = ["-f", "ONNX", "--modelFile", onnx_path, "--MNNModel", artifact, "--bizCode", "foldnet"]
    _tools.mnnconvert(["mnnconvert", *map(str, words)])
    return artifact


def load(artifact: Path, threads: int, image: np.ndarray) -> Callable[[], np.ndarray]:
    import MNN

    interpreter = MNN.Interpreter(str(artifact))
    session = interpreter.createSession({"backend": "CPU", "numThread": threads, "precision": "normal"})
    source = interpreter.getSessionInput(session)
    given = MNN.Tensor(image.shape, MNN.Halide_Type_Float, image, MNN.Tensor_DimensionType_Caffe)  # as it lies
    scores = interpreter.getSessionOutput(session)

    def run() -> np.ndarray:
        source.copyFrom(given)  # each time: MNN reuses the input's memory
        interpreter.runSession(session)
        return np.asarray(scores.getNumpyData())

    return run
