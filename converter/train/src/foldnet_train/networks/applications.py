"""Keras Applications' ResNets with a new head: first only the head is trained, then the last blocks as well.

He et al., 2016 (both papers); Kornblith et al., *Do better ImageNet models transfer better?*, 2019, for the two
stages. Without pretrained weights there is nothing to preserve, so the whole network learns from the first epoch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from foldnet_train.errors import BadInput
from foldnet_train.networks import block
from foldnet_train.settings import Settings

NAMES = {"resnet50": "ResNet50", "resnet101": "ResNet101", "resnet152": "ResNet152"}
CAFFE_MEAN = (123.68, 116.779, 103.939)
"""Of R, G, B: what V1's weights were trained on is BGR less these."""
BACKBONE = "backbone"
RANDOM = "random"
"""As the weights' file: none."""


def build(settings: Settings, classes: int) -> Any:
    """Builds the network. A backbone with weights always infers: its statistics come from a million images, ours
    from a few."""
    import keras
    from keras import layers

    second = settings.network.endswith("v2")
    shape = (settings.side, settings.side, 3)
    if settings.side < 32:
        raise BadInput(f"side = {settings.side}: Keras Applications' ResNets need at least 32")
    base = backbone(settings, NAMES[settings.network.removesuffix("v2")] + ("V2" if second else ""), shape)
    # This fails now, not after hours of training the head.
    check_block(base, settings.tune_from)
    if not second:
        take_rgb(base)
    inputs = keras.Input(shape, name="image")
    if second:
        x = layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    else:
        x = layers.Rescaling(1.0, offset=[-mean for mean in CAFFE_MEAN])(inputs)
    if settings.weights == RANDOM:
        settle_sooner(base)
        x = base(x)
    else:
        x = base(x, training=False)
        base.trainable = False
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, block.classified(x, classes, settings), name=settings.network)


def backbone(settings: Settings, name: str, shape: tuple[int, int, int]) -> Any:
    """Returns the backbone without its top, with the weights in the settings."""
    import keras

    construct = getattr(keras.applications, name)
    if settings.weights:
        base = construct(weights=None, include_top=False, input_shape=shape, name=BACKBONE)
        if settings.weights != RANDOM:
            if not Path(settings.weights).is_file():
                raise BadInput(f"weights = {settings.weights}: there is no such file")
            try:
                with warnings.catch_warnings():
                    # Keras only warns of layers for which the file contains nothing.
                    warnings.simplefilter("error", UserWarning)
                    base.load_weights(settings.weights)
            except Exception as error:  # whatever Keras and h5py make of a wrong file
                what = str(error).partition("\n")[0]
                raise BadInput(f"weights = {settings.weights}: no weights of {name} without top: {what}") from error
        return base
    try:
        return construct(weights="imagenet", include_top=False, input_shape=shape, name=BACKBONE)
    except Exception as error:  # the hub's and the network's errors have no common kind
        raise BadInput(
            f"the weights of {name} could not be fetched ({error}). Fetch the file of {name} without top ('notop') "
            "where there is a network and name it: --weights FILE; or start from nothing: --weights random"
        ) from error


def settle_sooner(base: Any) -> None:
    """Lets Keras Applications' running means settle within five hundred steps, which are many epochs of a small
    folder."""
    from keras import layers

    for layer in base.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = block.MOMENTUM


def take_rgb(base: Any) -> None:
    """Converts the first convolution's weights from BGR to RGB, so that no reordering remains in the graph."""
    first = base.get_layer("conv1_conv")
    kernel, *rest = first.get_weights()
    first.set_weights([kernel[:, :, ::-1], *rest])


def check_block(base: Any, first: str) -> None:
    """Raises `BadInput` unless the backbone has a block with this name."""
    if first != "all" and not any(layer.name.startswith(first) for layer in base.layers):
        raise BadInput(f"tune_from = {first}: conv2, conv3, conv4, conv5 or all")


def unfreeze(model: Any, first: str) -> None:
    """Makes the backbone trainable from the block `first` on, except for batch normalization."""
    from keras import layers

    base = model.get_layer(BACKBONE)
    base.trainable = True
    check_block(base, first)
    reached = first == "all"
    for layer in base.layers:
        reached = reached or layer.name.startswith(first)
        layer.trainable = reached and not isinstance(layer, layers.BatchNormalization)
