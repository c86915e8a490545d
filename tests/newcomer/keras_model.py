"""Trains a small residual network in Keras on `photos/`, and exports it with the lines on standard input.

Also saves it as model.keras and as model.tflite, as people do who have never heard of ONNX.
"""

import sys
from pathlib import Path

import keras
import tensorflow as tf
from keras import layers

keras.utils.set_random_seed(1)


def block(x, filters, stride):
    y = layers.Conv2D(filters, 3, stride, padding="same", use_bias=False)(x)
    y = layers.Activation("relu")(layers.BatchNormalization()(y))
    y = layers.Conv2D(filters, 3, padding="same", use_bias=False)(y)
    y = layers.BatchNormalization()(y)
    if stride > 1:
        x = layers.Conv2D(filters, 1, stride)(x)
    return layers.Activation("relu")(layers.Add()([x, y]))


inputs = keras.Input((32, 32, 3))
x = layers.Rescaling(1 / 127.5, -1)(inputs)
x = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same", use_bias=False)(x)))
for filters, stride in ((16, 1), (32, 2), (64, 2)):
    x = block(x, filters, stride)
outputs = layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x))
model = keras.Model(inputs, outputs)
model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
photos = keras.utils.image_dataset_from_directory("photos", image_size=(32, 32), batch_size=20, seed=1)
history = model.fit(photos, epochs=60, verbose=0)
print("Keras", keras.__version__, "accuracy on the photos:", history.history["accuracy"][-1])

exec(compile(sys.stdin.read(), "README.md", "exec"))
model.save("model.keras")
Path("model.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
