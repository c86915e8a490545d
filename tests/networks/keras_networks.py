"""The Keras networks: Keras Applications, He's CIFAR networks, custom residual networks, new heads."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from catalogue import CAFFE, HALVES, PIXELS, UNIT, network

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")


def lived_in(model):
    """Gives every batch normalization values, as training would, so that no exporter finds two of them alike."""
    import keras
    import numpy as np

    rng = np.random.default_rng(1)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    model(np.zeros((1, *model.input_shape[1:]), np.float32))
    return model


def by_tf2onnx(model, opset: int = 13, *, nchw: bool = False):
    """Through tf2onnx, with a dynamic batch; `nchw` moves the input's channels to the front."""
    import onnx
    import tensorflow as tf
    import tf2onnx

    model = lived_in(model)
    signature = [tf.TensorSpec([None, *model.input_shape[1:]], tf.float32, name="input")]

    @tf.function(input_signature=signature)
    def predict(x):
        return model(x, training=False)

    exported, _ = tf2onnx.convert.from_function(
        predict, input_signature=signature, opset=opset, inputs_as_nchw=["input"] if nchw else None
    )
    onnx.checker.check_model(exported)
    return exported


def by_keras(model):
    """Through Keras 3's own `Model.export`."""
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        lived_in(model).export(path, format="onnx", verbose=False)
        return onnx.load(path)


def application(name: str, side: int, exporter: Callable, *, top: bool = True, pooling: str | None = None):
    """One of Keras Applications."""
    import keras

    build = getattr(keras.applications, name)
    return exporter(build(weights=None, include_top=top, pooling=pooling, input_shape=(side, side, 3)))


for applied, depth in (("ResNet50", 224), ("ResNet101", 96), ("ResNet152", 96)):
    for version, how in (("", CAFFE), ("V2", HALVES)):
        full = applied + version
        row = {"source": "Keras Applications", "preprocessing": how, "side": depth, "layout": "nhwc"}
        small = {**row, "side": 96}
        network(f"{full.lower()}-tf2onnx", **row)(lambda n=full, s=depth: application(n, s, by_tf2onnx))
        network(f"{full.lower()}-keras-export", **small)(lambda n=full: application(n, 96, by_keras))
        if applied == "ResNet50":
            network(f"{full.lower()}-notop-tf2onnx", **small)(lambda n=full: application(n, 96, by_tf2onnx, top=False))
            network(f"{full.lower()}-notop-avg-keras-export", **small)(
                lambda n=full: application(n, 96, by_keras, top=False, pooling="avg")
            )
            network(f"{full.lower()}-nchw-tf2onnx", **{**small, "layout": "nchw"})(
                lambda n=full: application(n, 96, lambda m: by_tf2onnx(m, 18, nchw=True))
            )


def cifar_v1(blocks: int, *, identity: bool = True):
    """He's CIFAR ResNet V1 of depth 6·blocks + 2, as in Keras's example."""
    import keras
    from keras import layers

    def conv(x, filters, kernel, stride):
        return layers.Conv2D(filters, kernel, stride, "same", kernel_regularizer=keras.regularizers.L2(1e-4))(x)

    x = inputs = keras.Input((32, 32, 3))
    x = layers.ReLU()(layers.BatchNormalization()(conv(x, 16, 3, 1)))
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = layers.ReLU()(layers.BatchNormalization()(conv(x, filters, 3, stride)))
            y = layers.BatchNormalization()(conv(y, filters, 3, 1))
            if stride == 2 or not identity:
                x = conv(x, filters, 1, stride)
            x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    return keras.Model(inputs, layers.Dense(10, "softmax")(x))


def cifar_v2(blocks: int):
    """He's CIFAR ResNet V2 (bottlenecks, preactivation) of depth 9·blocks + 2, as in Keras's example."""
    import keras
    from keras import layers

    def conv(x, filters, kernel=1, stride=1, *, before=True):
        if before:
            x = layers.Activation("relu")(layers.BatchNormalization()(x))
        return layers.Conv2D(filters, kernel, stride, "same", kernel_regularizer=keras.regularizers.L2(1e-4))(x)

    x = inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(16, 3, padding="same")(x)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    narrow = 16
    for stage in range(3):
        wide = narrow * (4 if stage == 0 else 2)
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = conv(x, narrow, stride=stride, before=stage + block > 0)
            y = conv(conv(y, narrow, 3), wide)
            if not block:
                x = conv(x, wide, stride=stride, before=False)
            x = layers.Add()([x, y])
        narrow = wide
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    return keras.Model(inputs, layers.Dense(10, "softmax")(x))


CIFAR = {"source": "CIFAR", "preprocessing": UNIT, "side": 32, "layout": "nhwc"}
for number in (1, 3, 5, 7, 9, 18):  # the first is MLPerf Tiny's
    network(f"cifar-resnet{6 * number + 2}-v1", **CIFAR)(lambda n=number: by_tf2onnx(cifar_v1(n)))
for number in (3, 6, 12, 18):
    network(f"cifar-resnet{9 * number + 2}-v2", **CIFAR)(lambda n=number: by_tf2onnx(cifar_v2(n)))


def residual(
    blocks: int, filters: int, kernel: int, activation: str, *, project: bool, strides: tuple[int, ...], penalty="l2"
):
    """The custom residual-block network."""
    import keras
    from keras import layers

    def conv(x, stride, size=kernel):
        return layers.Conv2D(filters, size, stride, "same", kernel_regularizer=penalty)(x)

    x = inputs = keras.Input((48, 48, 3))
    x = layers.Rescaling(1 / 255)(x)
    x = layers.Activation(activation)(layers.BatchNormalization()(conv(x, 2)))
    for block in range(blocks):
        stride = strides[block % len(strides)]
        y = layers.Activation(activation)(layers.BatchNormalization()(conv(x, stride)))
        y = layers.Dropout(0.2)(y)
        y = layers.BatchNormalization()(conv(y, 1))
        if project or stride != 1:
            x = layers.BatchNormalization()(conv(x, stride, 1))
        x = layers.Activation(activation)(layers.Add()([x, y]))
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(7, "softmax")(x))


CUSTOM = {"source": "custom Keras", "preprocessing": PIXELS, "side": 48, "layout": "nhwc"}
network("residual-relu-3x3", **CUSTOM)(lambda: by_keras(residual(3, 16, 3, "relu", project=False, strides=(1, 2, 1))))
network("residual-relu-5x5-project", **CUSTOM)(
    lambda: by_tf2onnx(residual(2, 24, 5, "relu", project=True, strides=(1, 2), penalty="l1"))
)
network("residual-tanh-7x7", **CUSTOM)(lambda: by_tf2onnx(residual(2, 12, 7, "tanh", project=False, strides=(1, 1))))
network("residual-sigmoid-5x5", **CUSTOM)(
    lambda: by_keras(residual(3, 16, 5, "sigmoid", project=True, strides=(2, 1, 2), penalty="L1L2"))
)


@network("sequential", **CUSTOM)
def sequential():
    """The plain network of Keras's image classification tutorial."""
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((48, 48, 3)), layers.Rescaling(1 / 255)])
    for filters in (16, 32, 64):
        model.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        model.add(layers.MaxPooling2D())
    for layer in (layers.Dropout(0.2), layers.Flatten(), layers.Dense(128, "relu"), layers.Dense(5)):
        model.add(layer)
    return by_keras(model)


@network("same-mean", **CUSTOM)
def same_mean():
    """A mean whose padding does not count, over windows that all hold as many pixels."""
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((48, 48, 3)), layers.Rescaling(1 / 255)])
    for filters in (8, 16, 16, 24):
        model.add(layers.Conv2D(filters, 3, 2, "same", activation="relu"))
    for layer in (layers.AveragePooling2D(3, 2, "same"), layers.Flatten(), layers.Dense(5)):
        model.add(layer)
    return by_tf2onnx(model)


def head(name: str, *layers_after):
    """Keras Applications' network without its top, `layers_after` on it."""
    import keras

    base = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(96, 96, 3))
    base.trainable = False
    x = inputs = keras.Input((96, 96, 3))
    x = base(x, training=False)
    for layer in layers_after:
        x = layer(x)
    return keras.Model(inputs, x)


TRANSFER = {"source": "transfer learning", "side": 96, "layout": "nhwc"}


@network("head-dropout-dense", preprocessing=HALVES, **TRANSFER)
def head_dropout_dense():
    from keras import layers

    after = (layers.GlobalAveragePooling2D(), layers.Dropout(0.3), layers.Dense(5, "softmax"))
    return by_keras(head("ResNet50V2", *after))


@network("head-two-dense", preprocessing=CAFFE, **TRANSFER)
def head_two_dense():
    from keras import layers

    after = (layers.GlobalAveragePooling2D(), layers.Dense(64, "relu"), layers.Dropout(0.5), layers.Dense(5, "softmax"))
    return by_tf2onnx(head("ResNet50", *after))


@network("head-multi-label", preprocessing=CAFFE, **TRANSFER)
def head_multi_label():
    from keras import layers

    after = (layers.GlobalAveragePooling2D(), layers.Dropout(0.3), layers.Dense(6, "sigmoid"))
    return by_keras(head("ResNet50", *after))


@network("head-batch-norm", preprocessing=HALVES, **TRANSFER)
def head_batch_norm():
    from keras import layers

    after = (layers.GlobalAveragePooling2D(), layers.BatchNormalization(), layers.Dense(5, "softmax"))
    return by_tf2onnx(head("ResNet50V2", *after))


@network("head-preprocessing-inside", preprocessing=PIXELS, **TRANSFER)
def head_preprocessing_inside():
    """Keras's transfer learning guide: preprocess_input is a part of the model."""
    import keras
    from keras import layers

    base = keras.applications.ResNet50V2(weights=None, include_top=False, input_shape=(96, 96, 3))
    inputs = keras.Input((96, 96, 3))
    x = keras.applications.resnet_v2.preprocess_input(inputs)
    x = layers.GlobalAveragePooling2D()(base(x, training=False))
    return by_keras(keras.Model(inputs, layers.Dense(5)(layers.Dropout(0.2)(x))))
