"""The custom residual network, whose shape is in the settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from foldnet_train.errors import BadInput
from foldnet_train.networks import block
from foldnet_train.settings import Settings


def build(settings: Settings, classes: int) -> Any:
    """Builds a stem, `num_blocks` residual blocks distributed evenly over the stages, global pooling, Dense. Each
    stage starts with its stride from the plan; its filters are `stage_filters`, or `filters` doubled at each stage."""
    import keras
    from keras import layers

    if settings.network == "residual-20x64":
        settings = replace(settings, num_blocks=20, filters=64, kernel=3, stage_filters=())
    stages = len(settings.strides)
    if settings.num_blocks < stages:
        raise BadInput(f"num_blocks = {settings.num_blocks}: fewer than the {stages} stages that strides names")
    filters = settings.stage_filters or tuple(settings.filters << stage for stage in range(stages))
    inputs, x = block.pixels(settings)
    x = block.activated(block.normalized(block.conv(x, filters[0], settings.kernel, 1, settings)), settings)
    for stage, stride in enumerate(settings.strides):
        blocks = settings.num_blocks // stages + (stage < settings.num_blocks % stages)
        for number in range(blocks):
            x = block.residual_block(x, filters[stage], settings.kernel, 1 if number else stride, settings)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, block.classified(x, classes, settings), name="residual")
