"""Models in memory, exported to ONNX by their own frameworks."""

from __future__ import annotations

import os
from typing import Any


def export(model: Any, folder: str, input_size: tuple[int, int] | None) -> str:
    """Writes the model to a file in the folder."""
    path = os.path.join(folder, "model.onnx")
    bases = {f"{base.__module__.partition('.')[0]}.{base.__name__}" for base in type(model).__mro__}
    if "keras.Model" in bases:
        _keras(model, path)
    elif "torch.Module" in bases:
        _torch(model, path, input_size)
    else:
        raise TypeError(f"model is {type(model).__qualname__}, expected a path, a Keras model or a PyTorch module")
    return path


def _keras(model: Any, path: str) -> None:
    import keras

    # A model that has never been called cannot be exported.
    model(keras.ops.zeros((1, *model.input_shape[1:])))
    model.export(path, format="onnx", verbose=False)


def _torch(model: Any, path: str, input_size: tuple[int, int] | None) -> None:
    import torch

    if input_size is None:
        raise TypeError("input_size is missing: a PyTorch module does not tell the size of its images")
    first = next((w for w in model.parameters() if w.ndim == 4), None)
    if first is None:
        raise ValueError("the module has no convolution")
    training = model.training
    try:
        # The first convolution's weights are (outputs, inputs, height, width).
        image = torch.zeros(1, first.shape[1], *input_size, device=first.device)
        torch.onnx.export(model.eval(), (image,), path)
    finally:
        model.train(training)
