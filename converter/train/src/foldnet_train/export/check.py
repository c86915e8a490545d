"""Checks that the exported network gives the same answers as the one in Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from foldnet_train.data.pictures import Pixels

TOLERANCE = 1e-3
"""Probabilities that differ by more were not computed by the same network."""


def run_onnx(model: bytes, pixels: Pixels, batch_size: int = 32) -> npt.NDArray[np.float32]:
    """Returns ONNX Runtime's answers for images `[n, h, w, 3]`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    parts = [pixels[i : i + batch_size].astype(np.float32) for i in range(0, len(pixels), batch_size)]
    return np.concatenate([session.run(None, {name: part})[0] for part in parts])


def difference(expected: Any, model: Any, pixels: Pixels) -> float:
    """Returns the largest difference between `expected` (Keras's answers for these images) and ONNX Runtime's
    answers."""
    return float(np.max(np.abs(np.asarray(expected) - run_onnx(model.SerializeToString(), pixels))))
