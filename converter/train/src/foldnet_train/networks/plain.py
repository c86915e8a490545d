"""The plain convolutional baseline: three convolutions, each followed by a pooling that halves it, and two dense
layers."""

from __future__ import annotations

from typing import Any

from foldnet_train.networks import block
from foldnet_train.settings import Settings


def build(settings: Settings, classes: int) -> Any:
    """Builds rescaling, three Conv/MaxPool pairs, Flatten, Dense; the network of Keras's image classification
    tutorial."""
    import keras
    from keras import layers

    inputs, x = block.pixels(settings)
    for stage in range(3):
        x = block.conv(x, settings.filters << stage, settings.kernel, 1, settings, bias=True)
        x = layers.MaxPooling2D()(block.activated(x, settings))
    x = block.activated(layers.Dense(128, kernel_regularizer=block.penalty(settings))(layers.Flatten()(x)), settings)
    return keras.Model(inputs, block.classified(x, classes, settings), name="plain")
