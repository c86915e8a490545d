"""A Keras model as an int8 archive, and what it says of an image.

Usage: python keras_to_int8.py MODEL.keras CALIBRATION_IMAGES IMAGE
"""

import sys

import keras

import foldnet

model = keras.models.load_model(sys.argv[1])
print(foldnet.quantize(model, sys.argv[2], out="model.nnef.tgz").verdict["sentence"])
for label in foldnet.load("model.nnef.tgz").classify(sys.argv[3]):
    print(f"{label.name}: {100 * label.score:.1f} %")
