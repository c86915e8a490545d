"""The layers of a network that is fine-tuned for int8. They exist during training and are exported, never saved."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from foldnet_train.qat import rounding


class Quantized(keras.layers.Layer):  # type: ignore[misc]
    """An activation that will be int8. It is exact while `mode` is `observe`, which also keeps the observed values,
    and a constant pair of quantize and dequantize while it is `export`."""

    def __init__(self, never_negative: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.never_negative = never_negative
        self.mode = "learn"
        self.seen: list[Any] = []

    def build(self, shape: Any) -> None:
        self.low = self.add_weight(shape=(), name="low", initializer="zeros", trainable=False)
        self.high = self.add_weight(shape=(), name="high", initializer="ones", trainable=False)

    def call(self, x: Any) -> Any:
        if self.mode == "observe":
            self.seen.append(np.asarray(x))
            return x
        if self.mode == "export":
            scale, zero = self.constants
            return tf.quantization.fake_quant_with_min_max_args(x, (-128 - zero) * scale, (127 - zero) * scale)
        return rounding.quantized_activation(x, self.low, self.high)

    def scale(self) -> Any:
        """Returns the size of a step."""
        return rounding.activation_grid(self.low.value, self.high.value)[0]

    def grid(self) -> tuple[float, int]:
        """Returns the current scale and zero point."""
        scale, zero = rounding.activation_grid(self.low.value, self.high.value)
        return float(scale), int(zero)

    def freeze(self) -> None:
        """Makes exported values constants."""
        self.constants = self.grid()

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


class Folded(keras.layers.Layer):  # type: ignore[misc]
    """A convolution or dense layer with its batch normalization folded in: `op(x, kernel) + bias`. `input_scale`
    returns `s_x`, or `None` if the input is not an int8 tensor with one scale.

    The trained variables are kernel and bias in their own units, one per output channel: see `sensitivity.py`.

    Nothing is rounded while `mode` is `observe`, which keeps moments of input and output per channel. While it is
    `correct`, the layer adjusts the bias so that its rounded output has the mean of its previous output."""

    def __init__(self, op: Any, kernel: Any, bias: Any, input_scale: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.op, self.start, self.input_scale = op, (kernel, bias), input_scale
        self.mode = "learn"
        self.moments: list[Any] = []
        """Of each batch: its size; mean and mean square of the input, mean of the output."""
        self.reach: Any = 1.0
        """Where each filter's grid ends, as a part of the widest weight."""

    def build(self, shape: Any) -> None:
        kernel, bias = self.start
        value = keras.initializers.Constant
        self.kernel = self.add_weight(shape=kernel.shape, name="kernel", initializer=value(kernel))
        self.bias = self.add_weight(shape=bias.shape, name="bias", initializer=value(bias))
        self.units = np.ones_like(bias), np.ones_like(bias)

    def exact(self) -> tuple[Any, Any]:
        """Returns kernel and bias."""
        return self.kernel * self.units[0], self.bias * self.units[1]

    def measure_in(self, kernel_units: Any, bias_units: Any) -> None:
        """Changes the units without changing the function."""
        kernel, bias = self.exact()
        self.units = kernel_units, bias_units
        self.kernel.assign(kernel / kernel_units)
        self.bias.assign(bias / bias_units)

    def call(self, x: Any) -> Any:
        if self.mode == "observe":
            kernel, bias = self.exact()
            y = self.op(x, kernel) + bias
            self.moments.append((len(y), channel_means(x), channel_means(x * x), channel_means(y)))
            return y
        kernel, bias = self.constants if self.mode == "export" else self.rounded()
        y = self.op(x, kernel)
        if self.mode == "correct":
            self.bias.assign((self.observed()[2] - channel_means(y)) / self.units[1])
            bias = self.rounded()[1]
        return y + bias

    def observed(self) -> list[Any]:
        """Returns mean and mean square of the input, and mean of the output, over all observed images."""
        pictures, *moments = zip(*self.moments, strict=True)
        return [np.average(moment, axis=0, weights=pictures) for moment in moments]

    def rounded(self) -> tuple[Any, Any]:
        """Returns kernel and bias on their grids."""
        kernel, bias = self.exact()
        kernel, scale = rounding.quantized_weights(kernel, self.reach)
        unit = self.input_scale()
        return kernel, bias if unit is None else rounding.quantized_bias(bias, tf.stop_gradient(unit * scale))

    def freeze(self) -> None:
        """Makes exported values constants."""
        self.constants = tuple(value.numpy() for value in self.rounded())

    def compute_output_shape(self, shape: Any) -> Any:
        return tuple(self.op(tf.zeros((1, *shape[1:])), tf.zeros(self.start[0].shape)).shape)


def channel_means(y: Any) -> Any:
    """Returns the means over images and pixels."""
    return np.asarray(y, np.float64).mean(axis=tuple(range(len(y.shape) - 1)))


class ChannelAffine(keras.layers.Layer):  # type: ignore[misc]
    """A batch normalization that no convolution can absorb (ResNet V2's): `gain·x + offset`, computed in f32."""

    def __init__(self, gain: Any, offset: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start = (gain, offset)

    def build(self, shape: Any) -> None:
        gain, offset = self.start
        value = keras.initializers.Constant
        self.gain = self.add_weight(shape=gain.shape, name="gain", initializer=value(gain))
        self.offset = self.add_weight(shape=offset.shape, name="offset", initializer=value(offset))

    def call(self, x: Any) -> Any:
        return x * self.gain + self.offset

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


def set_mode(model: Any, mode: str) -> None:
    """Sets `learn`, `observe`, `correct` or `export` for every layer with modes."""
    for layer in model.layers:
        if isinstance(layer, Quantized | Folded):
            layer.mode = mode
            if mode == "export":
                layer.freeze()
