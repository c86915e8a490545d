"""The initial ranges and biases."""

from __future__ import annotations

from typing import Any

import numpy as np

from foldnet_train.data.pictures import Pixels
from foldnet_train.qat.layers import Folded, Quantized, set_mode
from foldnet_train.qat.rounding import LEVELS

SHARES = np.linspace(0.5, 1.0, 26)
"""Of an activation's range seen, that are tried."""
REACHES = np.concatenate([np.linspace(1.0, 0.6, 21), np.geomspace(0.5, 2.0**-16, 63)]).astype(np.float32)
"""Of a filter's widest weight, that are tried."""
BATCH = 8
"""Pictures whose values are kept at a time."""
VALUES = 200_000
"""Of a tensor, that errors are measured on."""


def calibrate(model: Any, pixels: Pixels, rng: np.random.Generator) -> None:
    """Gives every activation the range with the smallest mean square error on these images, every filter the scale
    with the smallest error of its output, and every channel of a convolution the mean that it had before rounding
    (Nagel et al., *Data-free quantization through weight equalization and bias correction*, 2019). For large images
    this would store several hundred megabytes of values; a few dozen images suffice."""
    layers = [layer for layer in model.layers if isinstance(layer, Quantized)]
    folded = [layer for layer in model.layers if isinstance(layer, Folded)]
    try:
        set_mode(model, "observe")
        for start in range(0, len(pixels), BATCH):
            model(pixels[start : start + BATCH].astype(np.float32), training=False)
            for layer in layers:
                layer.seen[-1] = some(layer.seen[-1].ravel(), VALUES * BATCH // len(pixels), rng)
        for layer in layers:
            low, high = best_range(np.concatenate(layer.seen))
            layer.high.assign(high)
            if not layer.never_negative:
                layer.low.assign(low)
        for layer in folded:
            mean, square, _ = layer.observed()
            layer.reach = best_reach(np.asarray(layer.exact()[0]), square - mean**2)
        # Layers are calibrated in their order, each with the inputs that the corrected ones before it compute.
        set_mode(model, "correct")
        model(pixels.astype(np.float32), training=False)
    finally:
        for layer in layers:
            layer.seen.clear()
        for layer in folded:
            layer.moments.clear()
        set_mode(model, "learn")


def some(values: Any, n: int, rng: np.random.Generator) -> Any:
    """Returns at most about this many of the values, including the ends."""
    if len(values) <= n:
        return values
    return np.concatenate([rng.choice(values, n), [values.min(), values.max()]])


def best_range(values: Any) -> tuple[float, float]:
    """Returns the low and the high end."""
    ends = min(float(values.min()), 0.0), max(float(values.max()), 0.0)

    def error(share: float) -> float:
        low, high = ends[0] * share, ends[1] * share
        scale = max(high - low, 1e-6) / 255
        zero = np.rint(-128 - low / scale)
        rounded = (np.clip(np.rint(values / scale) + zero, -128, 127) - zero) * scale
        return float(np.mean((rounded - values) ** 2))

    share = min(SHARES, key=error)
    return ends[0] * share, ends[1] * share


def best_reach(kernel: Any, variance: Any) -> Any:
    """Returns, for each filter, the reach of its grid that minimizes `Σ Var(x_i)·(w_i − s·q_i)²`, the error of its
    output if inputs were uncorrelated. The bias absorbs the effect of an input's mean on an error: a weight on an
    input that never changes costs nothing, however large it is."""
    weights = kernel.reshape(-1, kernel.shape[-1])
    importance = np.broadcast_to(variance[:, None], kernel.shape).reshape(weights.shape)
    full = np.maximum(np.abs(weights).max(axis=0), 1e-30) / LEVELS
    errors = []
    for reach in REACHES:
        step = reach * full
        rounded = np.clip(np.rint(weights / step), -LEVELS, LEVELS) * step
        errors.append((importance * (weights - rounded) ** 2).sum(axis=0))
    return REACHES[np.argmin(errors, axis=0)]
