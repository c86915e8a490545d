"""The residual block, and the components of which every network here consists."""

from __future__ import annotations

from typing import Any

from foldnet_train.settings import Settings

MOMENTUM = 0.9
"""Of running means: they settle within some fifty steps, since folders of photos are small."""


def pixels(settings: Settings) -> tuple[Any, Any]:
    """Returns the input and the first convolution's input: the pixels from 0 to 1. Black stays zero, so that padding
    with zeros is a byte in int8, too."""
    from keras import Input, layers

    inputs = Input((settings.side, settings.side, 3), name="image")
    return inputs, layers.Rescaling(1 / 255)(inputs)


def conv(x: Any, filters: int, kernel: int, stride: int, settings: Settings, *, bias: bool = False) -> Any:
    """A convolution with He's initial weights (He et al., *Delving deep into rectifiers*, 2015)."""
    from keras import layers

    return layers.Conv2D(
        filters,
        kernel,
        stride,
        "same",
        use_bias=bias,
        kernel_initializer="he_normal",
        kernel_regularizer=penalty(settings),
    )(x)


def penalty(settings: Settings) -> Any:
    """Returns the L1 and L2 penalty, if any."""
    from keras import regularizers

    return regularizers.L1L2(settings.l1, settings.l2) if settings.l1 or settings.l2 else None


def normalized(x: Any) -> Any:
    """Adds a batch normalization."""
    from keras import layers

    return layers.BatchNormalization(momentum=MOMENTUM)(x)


def activated(x: Any, settings: Settings) -> Any:
    """Adds the chosen activation function."""
    from keras import layers

    return layers.Activation(settings.activation)(x)


def residual_block(x: Any, filters: int, kernel: int, stride: int, settings: Settings) -> Any:
    """Adds `a(x' + bn(conv(a(bn(conv(x))))))`: He et al., *Deep residual learning for image recognition*, 2016,
    section 3.2. The shortcut `x'` is `x` or, if stride or width changes, a 1×1 projection of it (their option B)."""
    from keras import layers

    y = activated(normalized(conv(x, filters, kernel, stride, settings)), settings)
    y = normalized(conv(y, filters, kernel, 1, settings))
    if stride != 1 or x.shape[-1] != filters:
        x = normalized(conv(x, filters, 1, stride, settings))
    return activated(layers.Add()([x, y]), settings)


def classified(x: Any, classes: int, settings: Settings) -> Any:
    """Adds dropout and the last layer, on features `[n, c]`."""
    from keras import layers

    if settings.dropout:
        x = layers.Dropout(settings.dropout, seed=settings.seed)(x)
    return layers.Dense(classes, "softmax", kernel_regularizer=penalty(settings), name="classes")(x)
