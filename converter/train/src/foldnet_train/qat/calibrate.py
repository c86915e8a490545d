"""The ranges to begin with."""

from __future__ import annotations

from typing import Any

import numpy as np

from foldnet_train.data.pictures import Pixels
from foldnet_train.qat.layers import Quantized, set_mode

SHARES = np.linspace(0.5, 1.0, 26)
"""Of the range seen, that are tried."""
VALUES = 200_000
"""Of a tensor, that errors are measured on."""


def calibrate(model: Any, pixels: Pixels, rng: np.random.Generator) -> None:
    """Gives every activation the range with the least mean square error on these pictures (several hundred megabytes of
    values would be kept for large ones: a few dozen pictures do)."""
    layers = [layer for layer in model.layers if isinstance(layer, Quantized)]
    set_mode(model, "observe")
    try:
        for start in range(0, len(pixels), 8):
            model(pixels[start : start + 8].astype(np.float32), training=False)
            for layer in layers:
                layer.seen[-1] = some(layer.seen[-1].ravel(), VALUES * 8 // len(pixels), rng)
        for layer in layers:
            low, high = best_range(np.concatenate(layer.seen))
            layer.high.assign(high)
            if not layer.never_negative:
                layer.low.assign(low)
    finally:
        for layer in layers:
            layer.seen.clear()
        set_mode(model, "learn")


def some(values: Any, n: int, rng: np.random.Generator) -> Any:
    """At most about that many of them, the ends kept."""
    if len(values) <= n:
        return values
    return np.concatenate([rng.choice(values, n), [values.min(), values.max()]])


def best_range(values: Any) -> tuple[float, float]:
    """Low and high end."""
    ends = min(float(values.min()), 0.0), max(float(values.max()), 0.0)

    def error(share: float) -> float:
        low, high = ends[0] * share, ends[1] * share
        scale = max(high - low, 1e-6) / 255
        zero = np.rint(-128 - low / scale)
        rounded = (np.clip(np.rint(values / scale) + zero, -128, 127) - zero) * scale
        return float(np.mean((rounded - values) ** 2))

    share = min(SHARES, key=error)
    return ends[0] * share, ends[1] * share
