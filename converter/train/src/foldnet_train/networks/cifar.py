"""He's CIFAR networks: three stages on 32×32, 16×16 and 8×8."""

from __future__ import annotations

from typing import Any

from foldnet_train.networks import block
from foldnet_train.settings import Settings


def build_v1(settings: Settings, classes: int, depth: int) -> Any:
    """Builds V1 with depth 6n + 2. He et al., *Deep residual learning for image recognition*, 2016, section 4.2."""
    import keras
    from keras import layers

    inputs, x = block.pixels(settings)
    x = block.activated(block.normalized(block.conv(x, settings.filters, 3, 1, settings)), settings)
    for stage in range(3):
        for number in range((depth - 2) // 6):
            stride = 2 if stage and not number else 1
            x = block.residual_block(x, settings.filters << stage, 3, stride, settings)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, block.classified(x, classes, settings), name=f"resnet{depth}_v1")


def build_v2(settings: Settings, classes: int, depth: int) -> Any:
    """Builds V2 with depth 9n + 2: bottlenecks with normalization and activation before each convolution. He et al.,
    *Identity mappings in deep residual networks*, 2016, section 4."""
    import keras
    from keras import layers

    def before(x: Any) -> Any:
        return block.activated(block.normalized(x), settings)

    inputs, x = block.pixels(settings)
    x = block.conv(x, settings.filters, 3, 1, settings)
    for stage in range(3):
        narrow = settings.filters << stage
        for number in range((depth - 2) // 9):
            stride = 2 if stage and not number else 1
            ready = before(x)
            y = before(block.conv(ready, narrow, 1, stride, settings))
            y = before(block.conv(y, narrow, 3, 1, settings))
            y = block.conv(y, 4 * narrow, 1, 1, settings)
            if not number:
                x = block.conv(ready, 4 * narrow, 1, stride, settings)
            x = layers.Add()([x, y])
    x = layers.GlobalAveragePooling2D()(before(x))
    return keras.Model(inputs, block.classified(x, classes, settings), name=f"resnet{depth}_v2")
