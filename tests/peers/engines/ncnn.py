"""ncnn, in f32 through pnnx: its wheel brings no quantizer (ncnn2table and ncnn2int8 are to be built from source)."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from importlib.metadata import version as installed
from pathlib import Path

import numpy as np

from engines import Unavailable


def version() -> str:
    return f"ncnn {installed('ncnn')}"


def hold(isa: str) -> bool:
    return False  # ncnn asks the CPU and its wheel offers no switch


def prepare(onnx_path: Path, images: Sequence[np.ndarray]) -> Path:
    raise Unavailable("the wheel brings no quantizer")


def prepare_float(onnx_path: Path) -> Path:
    try:
        pnnx = Path(str(distribution("pnnx").locate_file("pnnx/pnnx")))
    except PackageNotFoundError:
        raise Unavailable("needs `pip install --no-deps pnnx`") from None
    artifact = onnx_path.with_suffix(".f32.ncnn.param")
    with tempfile.TemporaryDirectory() as folder:
        made = [f"ncnnparam={artifact}", f"ncnnbin={artifact.with_suffix('.bin')}", "fp16=0"]
        source = Path(folder, onnx_path.name)
        source.symlink_to(onnx_path.resolve())
        done = subprocess.run([pnnx, source, *made], capture_output=True, text=True, cwd=folder, check=False)
    if done.returncode or not artifact.exists():
        raise Unavailable(f"pnnx fails: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    return artifact


def load(artifact: Path, threads: int, image: np.ndarray) -> Callable[[], np.ndarray]:
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    net.load_param(str(artifact))
    net.load_model(str(artifact.with_suffix(".bin")))
    source = ncnn.Mat(image[0])

    def run() -> np.ndarray:
        extractor = net.create_extractor()
        extractor.input(net.input_names()[0], source)
        return np.array(extractor.extract(net.output_names()[0])[1])

    return run
