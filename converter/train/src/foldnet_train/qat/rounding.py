"""Fake quantization: values are rounded like int8 but stored as floats.

In the backward pass, rounding counts as the identity (the straight-through estimator: Bengio et al., 2013), and a
value outside the range has no gradient. Ranges of activations stay as calibrated."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

LEVELS = 127
"""Steps of a weight to each side."""


def straight_through(rounded: Any, exact: Any) -> Any:
    """Returns `rounded` in the forward pass and the gradient of `exact` in the backward pass."""
    return exact + tf.stop_gradient(rounded - exact)


def weight_scale(weights: Any, reach: Any = 1.0) -> Any:
    """Returns `s[c] = reach[c]·max|w[c]| / 127`, channels last; 1 for a channel of zeros."""
    largest = tf.reduce_max(tf.abs(weights), axis=list(range(len(weights.shape) - 1)))
    return tf.where(largest > 0, reach * largest / LEVELS, 1.0)


def quantized_weights(weights: Any, reach: Any = 1.0) -> tuple[Any, Any]:
    """Returns `s·clamp(rne(w/s), −127, 127)` per output channel, and the scales."""
    scale = tf.stop_gradient(weight_scale(weights, reach))
    integers = tf.clip_by_value(tf.round(weights / scale), -LEVELS, LEVELS)
    edge = (LEVELS + 0.5) * scale
    return straight_through(integers * scale, tf.clip_by_value(weights, -edge, edge)), scale


def quantized_bias(bias: Any, unit: Any) -> Any:
    """Returns the bias in whole units `s_x·s_w[c]` of the accumulator."""
    return straight_through(tf.round(bias / unit) * unit, bias)


def activation_grid(low: Any, high: Any) -> tuple[Any, Any]:
    """Returns scale and zero point of the 256 values that cover `low`…`high` and represent zero exactly."""
    low, high = tf.minimum(low, 0.0), tf.maximum(high, 0.0)
    scale = tf.maximum(high - low, 1e-6) / 255.0
    return scale, tf.clip_by_value(tf.round(-128.0 - low / scale), -128.0, 127.0)


def quantized_activation(x: Any, low: Any, high: Any) -> Any:
    """Returns `s·(clamp(rne(x/s) + z, −128, 127) − z)`."""
    scale, zero = activation_grid(low, high)
    clipped = tf.clip_by_value(x, (-128.0 - zero) * scale, (127.0 - zero) * scale)
    integers = tf.clip_by_value(tf.round(x / scale) + zero, -128.0, 127.0)
    return straight_through((integers - zero) * scale, clipped)
