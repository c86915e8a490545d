"""The peers, one file each. To add one, add a file and its name here.

Every file has the same five functions:

    version() -> str                                  what the table prints
    prepare(onnx_path, images) -> Path                int8 by the peer's own static quantizer, beside the ONNX file
    prepare_float(onnx_path) -> Path                  the same network in f32
    load(artifact, threads, image) -> Callable        a call runs one inference on `image` and returns the scores
    hold(isa) -> bool                                 called before the engine is imported: can it be held to this
                                                      instruction set, `avx2` or `vnni` (AVX-512 VNNI, no AMX)?

A peer that is counted on AArch64 also has `prepare_aarch64`, like `prepare` but as it advises for that CPU.
The `prepare`s raise `Unavailable` with the reason where the peer offers no such thing.

`images` and `image` are float32 batches of one, preprocessed, in the ONNX file's layout.
"""

from __future__ import annotations

import importlib
from types import ModuleType

NAMES = ("onnxruntime", "litert", "openvino", "mnn", "ncnn")


class Unavailable(Exception):
    """The peer cannot do this; the message says why."""


def engine(name: str) -> ModuleType:
    """The engine's file; the peer itself is imported by its functions only."""
    return importlib.import_module(f"{__name__}.{name}")
