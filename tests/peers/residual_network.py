"""Makes the custom residual network that the accuracy table has a row for, trained a little.

    residual_network.py --train train-1000.bin -o residual.onnx

N blocks of two convolutions with F filters and an identity or projected shortcut, dropout and L2, after a
rescaling, as people build it in Keras. It is trained on the few images that are also used to calibrate, so it is
of little use but to compare quantizers: right on about half of other images, and unsure of many, where a small
error changes the answer.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np

import pictures

SEED = 5


def main() -> int:
    arguments = parse()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras
    import onnx
    import tensorflow as tf
    import tf2onnx

    keras.utils.set_random_seed(SEED)
    images, labels = pictures.cifar(arguments.train)
    model = residual(arguments.blocks, arguments.filters)
    model.compile(keras.optimizers.Adam(2e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    # Beside its mirror image, and moved by up to four pixels.
    flipped = np.concatenate([images, images[:, :, ::-1]]), np.concatenate([labels, labels])
    rng = np.random.default_rng(SEED)
    for epoch in range(arguments.epochs):
        rate = 2e-3 * 0.5 * (1 + np.cos(np.pi * epoch / arguments.epochs))
        model.optimizer.learning_rate.assign(rate)
        moved = np.stack([np.roll(image, rng.integers(-4, 5, 2), (0, 1)) for image in flipped[0]])
        model.fit(moved, flipped[1], batch_size=64, epochs=1, verbose=0)
    print(f"right on {model.evaluate(images, labels, verbose=0)[1]:.1%} of the training images", file=sys.stderr)
    signature = [tf.TensorSpec([None, 32, 32, 3], tf.float32, name="input")]

    @tf.function(input_signature=signature)
    def predict(x):
        return model(x, training=False)

    exported, _ = tf2onnx.convert.from_function(predict, input_signature=signature, opset=13)
    onnx.save(exported, arguments.output)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="training images, CIFAR-10 binary")
    parser.add_argument("-o", "--output", type=Path, required=True, help="where to write the ONNX file")
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--filters", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=30)
    return parser.parse_args()


def residual(blocks: int, filters: int):
    import keras
    from keras import layers

    def conv(x, stride: int, size: int = 3):
        return layers.Conv2D(filters, size, stride, "same", kernel_regularizer=keras.regularizers.L2(1e-4))(x)

    x = inputs = keras.Input((32, 32, 3))
    x = layers.Rescaling(1 / 255)(x)
    x = layers.ReLU()(layers.BatchNormalization()(conv(x, 1)))
    for block in range(blocks):
        stride = 2 if block else 1
        y = layers.ReLU()(layers.BatchNormalization()(conv(x, stride)))
        y = layers.Dropout(0.1)(y)
        y = layers.BatchNormalization()(conv(y, 1))
        if stride != 1:
            x = layers.BatchNormalization()(conv(x, stride, 1))
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, "softmax")(x))


if __name__ == "__main__":
    sys.exit(main())
