"""Limits how far a step of the optimizer goes in each filter.

Adam changes every weight by about the learning rate, whatever the effect on the answers. In a network with wide
ranges of weights, filters whose outputs meet large weights change the answers hundreds of times as much as others,
and the first steps would destroy the network. So each filter learns in units in which a step moves the logits no
further than in an ordinary network: by the learning rate, in deviations of the logits.

    u = min(1, σ(z) / (s·√n)),    s = rms over logits z and the filter's n weights of ∂z/∂w

s is estimated from a few images and random signs r, since E (∂ Σ r·z / ∂w)² = Σ (∂z/∂w)² (Hutchinson, 1989). Units
are rounded down to powers of two, so that nothing else is rounded."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from foldnet_train.data.pictures import Pixels
from foldnet_train.qat.layers import Folded

BATCH = 8
"""Pictures per set of signs."""


def choose_units(model: Any, pixels: Pixels, rng: np.random.Generator) -> None:
    """Chooses the units of every filter of the model."""
    layers = [layer for layer in model.layers if isinstance(layer, Folded)]
    last = model.layers[-1]
    logits = keras.Model(model.input, last.input if isinstance(last, keras.layers.Activation) else last.output)
    squares = [[0.0, 0.0] for _ in layers]
    answers = []
    for start in range(0, len(pixels), BATCH):
        with tf.GradientTape() as tape:
            z = logits(pixels[start : start + BATCH].astype(np.float32), training=False)
            total = tf.reduce_sum(z * rng.choice((-1.0, 1.0), z.shape).astype(np.float32))
        answers.append(np.asarray(z))
        gradients = tape.gradient(total, [(layer.kernel, layer.bias) for layer in layers])
        for sums, pair in zip(squares, gradients, strict=True):
            for i, gradient in enumerate(pair):
                square = np.asarray(gradient, np.float64) ** 2
                # Over a filter's weights, the sum is already n·s².
                sums[i] = sums[i] + square.sum(axis=tuple(range(square.ndim - 1)))
    z = np.concatenate(answers)
    for layer, sums in zip(layers, squares, strict=True):
        moved = (np.sqrt(np.maximum(total / z.size, 1e-30)) for total in sums)
        layer.measure_in(*(np.exp2(np.floor(np.log2(np.minimum(1, z.std() / m)))).astype(np.float32) for m in moved))
