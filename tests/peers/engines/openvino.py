"""OpenVINO: int8 by NNCF's post-training quantization with its defaults."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib.metadata import version as installed
from pathlib import Path

import numpy as np


def version() -> str:
    return f"OpenVINO {installed('openvino')}"


def hold(isa: str) -> bool:
    os.environ["ONEDNN_MAX_CPU_ISA"] = {"avx2": "AVX2", "vnni": "AVX512_CORE_VNNI"}[isa]
    return True


def prepare(onnx_path: Path, images: Sequence[np.ndarray]) -> Path:
    import nncf
    import openvino

    model = openvino.Core().read_model(onnx_path)
    quantized = nncf.quantize(model, nncf.Dataset(list(images)), subset_size=len(images))
    return save(quantized, onnx_path.with_suffix(".int8.xml"))


def prepare_float(onnx_path: Path) -> Path:
    import openvino

    return save(openvino.Core().read_model(onnx_path), onnx_path.with_suffix(".f32.xml"))


def save(model, artifact: Path) -> Path:
    import openvino

    openvino.save_model(model, artifact, compress_to_fp16=False)
    return artifact


def load(artifact: Path, threads: int, image: np.ndarray) -> Callable[[], np.ndarray]:
    import openvino

    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",  # so that the f32 row is not bf16; int8 layers stay int8
    }
    request = openvino.Core().compile_model(artifact, "CPU", options).create_infer_request()
    request.set_input_tensor(openvino.Tensor(image))

    def run() -> np.ndarray:
        request.infer()
        return request.get_output_tensor().data

    return run
