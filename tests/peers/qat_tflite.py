"""Fine-tunes a Keras network with TensorFlow Model Optimization's fake quantization, and writes its int8 TFLite file.

    pip install tensorflow-model-optimization==0.8.1 tf-keras==2.21.0
    qat_tflite.py resnet8-mlperf-tiny.h5 --train train-1000.bin -o qat.tflite

Its scales were learnt in training, so TensorFlow's converter calibrates nothing. Input and output are int8.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

# Model Optimization knows Keras 2 only.
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf  # noqa: E402
import tensorflow_model_optimization as tfmot  # noqa: E402
import tf_keras  # noqa: E402

import pictures  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a Keras network for CIFAR-10's pixels from 0 to 255")
    parser.add_argument("--train", type=Path, required=True, help="images to train on, CIFAR-10 binary")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    tf_keras.utils.set_random_seed(7)
    model = tf_keras.models.load_model(arguments.model, compile=False)
    quantized = tfmot.quantization.keras.quantize_model(model)
    quantized.compile(tf_keras.optimizers.Adam(1e-5), "sparse_categorical_crossentropy")
    quantized.fit(*pictures.cifar(arguments.train), epochs=arguments.epochs, batch_size=50, verbose=2)
    converter = tf.lite.TFLiteConverter.from_keras_model(quantized)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    arguments.output.write_bytes(converter.convert())


main()
