"""Batch normalization that trains with a single TensorFlow operation.

Keras composes it of a dozen operations: moments, differences, products, each a pass over the activations, forward
and backward. In a narrow network these passes cost more than the convolutions. TensorFlow's own operation computes
the same, up to rounding, in a few."""

from __future__ import annotations

import types
from typing import Any


def fuse(model: Any) -> None:
    """Makes the model's batch normalizations use it. The model's configuration, weights and files stay Keras's; a
    model that was loaded from a file must be fused again."""
    from keras import layers

    for layer in model._flatten_layers():
        if type(layer) is layers.BatchNormalization and fusible(layer):
            layer.call = types.MethodType(call, layer)


def fusible(layer: Any) -> bool:
    """Returns whether the operation supports the layer: channels last, gain and offset, no half precision."""
    return (
        layer.axis in (-1, 3)
        and layer.scale
        and layer.center
        and not (layer.renorm or layer.synchronized)
        and layer.compute_dtype == "float32"
    )


def call(layer: Any, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
    """Replaces Keras's `BatchNormalization.call`."""
    import tensorflow as tf

    if not (training and layer.trainable) or mask is not None or len(inputs.shape) != 4:
        return type(layer).call(layer, inputs, training=training, mask=mask)
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=layer.gamma.value,
        offset=layer.beta.value,
        mean=[],
        variance=[],
        epsilon=layer.epsilon,
        is_training=True,
    )
    # The operation divides by n − 1 for the running variance, Keras by n.
    n = tf.cast(tf.size(inputs) / inputs.shape[-1], tf.float32)
    for running, now in ((layer.moving_mean, mean), (layer.moving_variance, variance * (n - 1) / n)):
        running.assign(running * layer.momentum + now * (1 - layer.momentum))
    return outputs
