"""ResNet-8, MLPerf Tiny's image classifier: Banbury et al., *MLPerf Tiny benchmark*, 2021, section 3."""

from __future__ import annotations

from typing import Any

from foldnet_train.networks import block
from foldnet_train.settings import Settings


def build(settings: Settings, classes: int) -> Any:
    """Builds a stem and one residual block in each of three stages; 78 thousand weights with 16 filters."""
    import keras
    from keras import layers

    inputs, x = block.pixels(settings)
    x = block.activated(block.normalized(block.conv(x, settings.filters, 3, 1, settings)), settings)
    for stage in range(3):
        x = block.residual_block(x, settings.filters << stage, 3, 2 if stage else 1, settings)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, block.classified(x, classes, settings), name="resnet8")
