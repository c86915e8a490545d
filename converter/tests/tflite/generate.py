"""Writes tflite.tar.gz: small networks as TensorFlow's converter writes them, and what LiteRT answers.

    pip install tensorflow-cpu==2.21.0 ai-edge-litert==2.3.0 && python converter/tests/tflite/generate.py

For each NAME.tflite there is a NAME.json: the pixels' meaning, and for some images what stands in front of the last
function ("logits") with its step ("step", 0 for floats).
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers
from litert import logits_model, run

HERE = Path(__file__).resolve().parent
SIDE, IMAGES = 24, 8
CALIBRATION = range(100, 164)


def image(number: int) -> np.ndarray:
    """Pixels as `tests/tflite.rs` makes them."""
    y, x, c = np.meshgrid(np.arange(SIDE), np.arange(SIDE), np.arange(3), indexing="ij")
    waves = (x * (3 + number % 7) + y * (5 + number % 5) + c * 40 + number * 37) % 256
    grain = (x * y * (number + 1) + c * 11) % 256
    return ((3 * waves + grain) // 4).astype(np.uint8)


def unit(pixels: np.ndarray) -> np.ndarray:
    return (pixels[None] / np.float32(255)).astype(np.float32)


def norm(x, seed):
    r = np.random.default_rng(seed)
    n = x.shape[-1]
    layer = layers.BatchNormalization()
    y = layer(x)
    layer.set_weights([0.8 + 0.4 * r.random(n), 0.4 * r.random(n) - 0.1, 0.4 * r.random(n) - 0.2, 0.4 + r.random(n)])
    return y


def conv(x, filters, kernel, stride, seed, **more):
    start = keras.initializers.HeNormal(seed)
    return layers.Conv2D(filters, kernel, stride, "same", kernel_initializer=start, **more)(x)


def residual():
    x = inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.ReLU()(norm(conv(x, 8, 3, 1, 1), 1))
    for n, (filters, stride) in enumerate(((8, 1), (16, 2))):
        y = layers.ReLU()(norm(conv(x, filters, 3, stride, 10 * n + 2), 10 * n + 2))
        y = norm(conv(y, filters, 3, 1, 10 * n + 3), 10 * n + 3)
        if stride == 2:
            x = norm(conv(x, filters, 1, stride, 10 * n + 4), 10 * n + 4)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(10, kernel_initializer=keras.initializers.RandomNormal(0, 1, seed=7))(x)
    return keras.Model(inputs, layers.Softmax()(x))


def preactivation():
    x = inputs = keras.Input((SIDE, SIDE, 3))
    x = conv(x, 8, 3, 1, 1)
    for n in range(2):
        y = layers.ReLU()(norm(x, 20 * n + 2))
        y = layers.ReLU()(norm(conv(y, 8, 3, 1, 20 * n + 3), 20 * n + 3))
        x = layers.Add()([x, conv(y, 8, 3, 1, 20 * n + 4)])
    x = layers.ReLU()(norm(x, 60))
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = conv(x, 6, 1, 1, 61)
    return keras.Model(inputs, layers.Softmax()(layers.Flatten()(x)))


def mobile():
    x = inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(2.0, -1.0)(x)
    x = layers.ReLU(6.0)(norm(conv(x, 8, 3, 2, 1), 1))
    start = keras.initializers.HeNormal(5)
    x = layers.DepthwiseConv2D(3, 1, "same", depth_multiplier=2, depthwise_initializer=start)(x)
    x = layers.Activation("hard_swish")(norm(x, 2))
    a = layers.AveragePooling2D(2)(conv(x, 8, 1, 1, 3))
    b = layers.MaxPooling2D(3, 2, "same")(conv(x, 8, 1, 1, 4))
    x = layers.LeakyReLU(negative_slope=0.25)(layers.Concatenate()([a, b]))
    x = layers.ZeroPadding2D(((0, 1), (1, 0)))(x)
    x = layers.Activation("tanh")(conv(x, 12, 2, 2, 6, use_bias=False))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Multiply()([x, layers.Activation("sigmoid")(conv(gate, 12, 1, 1, 8))])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(5, activation="sigmoid")(x))


def plain():
    x = inputs = keras.Input((SIDE, SIDE, 3))
    for n, filters in enumerate((8, 12)):
        x = layers.Conv2D(filters, 3, activation="relu", kernel_initializer=keras.initializers.HeNormal(n + 1))(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(24, activation="relu", kernel_initializer=keras.initializers.HeNormal(3))(x)
    return keras.Model(inputs, layers.Dense(7, kernel_initializer=keras.initializers.HeNormal(4))(x))


class Shortcut(layers.Layer):
    """Option A of the ResNet paper: every second pixel, and channels of zeros."""

    def call(self, x):
        return tf.pad(x[:, ::2, ::2, :], ((0, 0), (0, 0), (0, 0), (4, 4)))


class Middle(layers.Layer):
    """A window, by where it begins and how large it is."""

    def call(self, x):
        return tf.slice(x, (0, 1, 2, 0), (-1, 10, 9, -1))


def sliced():
    x = inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.ReLU()(norm(conv(x, 8, 3, 1, 1), 1))
    y = layers.ReLU()(norm(conv(x, 16, 3, 2, 2), 2))
    y = norm(conv(y, 16, 3, 1, 3), 3)
    x = Middle()(layers.ReLU()(layers.Add()([Shortcut()(x), y])))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(6, kernel_initializer=keras.initializers.RandomNormal(0, 1, seed=4))(x))


def converter_of(model):
    # The batch stays open, as it does for most people.
    return tf.lite.TFLiteConverter.from_keras_model(model)


def quantizing(model, source=None):
    converter = converter_of(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([unit(image(n))] for n in CALIBRATION)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if source is not None:
        converter.inference_input_type = converter.inference_output_type = source
    return converter


def forms(model, name: str):
    yield f"{name}.f32", converter_of(model).convert()
    yield f"{name}.int8", quantizing(model, tf.int8).convert()
    if name == "residual":
        yield f"{name}.wrapped", quantizing(model).convert()
        yield f"{name}.uint8", quantizing(model, tf.uint8).convert()
        converter = quantizing(model, tf.int8)
        converter._experimental_disable_per_channel = True
        yield f"{name}.per-tensor", converter.convert()
        for half in (True, False):
            converter = converter_of(model)
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if half:
                converter.target_spec.supported_types = [tf.float16]
            yield f"{name}.{'f16' if half else 'dynamic'}", converter.convert()
        converter = quantizing(model)
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
        yield f"{name}.int16", converter.convert()


def answers(content: bytes) -> dict:
    """What stands in front of the last function, for some images."""
    without, scale, zero = logits_model(content)
    (source,) = Interpreter(model_content=content).get_input_details()

    def fed(pixels: np.ndarray) -> np.ndarray:
        if source["dtype"] == np.float32:
            return unit(pixels)[0]
        # A byte of the image is a byte of the input.
        return (pixels.astype(int) - (128 if source["dtype"] == np.int8 else 0)).astype(source["dtype"])

    rows = run(without, [fed(image(number)) for number in range(IMAGES)]).astype(np.float64)
    return {"logits": ((rows - zero) * scale if scale else rows).tolist(), "step": scale}


def main() -> None:
    with tarfile.open(HERE / "tflite.tar.gz", "w:gz") as archive:
        for build in (residual, preactivation, mobile, plain, sliced):
            for name, content in forms(build(), build.__name__):
                story = json.dumps(answers(content))
                print(name, len(content), story[:100])
                for ending, data in (("tflite", content), ("json", story.encode())):
                    entry = tarfile.TarInfo(f"{name}.{ending}")
                    entry.size = len(data)
                    archive.addfile(entry, io.BytesIO(data))


main()
