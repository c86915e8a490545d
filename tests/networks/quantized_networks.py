"""Networks quantized by ONNX Runtime's static quantizer and by our own quantization-aware training: their scales are
to be taken as they are."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from catalogue import PIXELS, UNIT, network
from refill import network_input, picture

SIDE = 32
CALIBRATION = range(21, 29)


def small_resnet():
    """A ResNet-8 of 8, 16 and 32 filters from Keras, its weights filled from seeds."""
    import keras
    from keras import layers

    from keras_networks import by_tf2onnx
    from strip import refill, strip

    def conv(x, filters, kernel, stride):
        return layers.BatchNormalization()(layers.Conv2D(filters, kernel, stride, "same")(x))

    x = inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.ReLU()(conv(x, 8, 3, 1))
    for filters, stride in ((8, 1), (16, 2), (32, 2)):
        y = conv(layers.ReLU()(conv(x, filters, 3, stride)), filters, 3, 1)
        if stride == 2:
            x = conv(x, filters, 1, stride)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    model = by_tf2onnx(keras.Model(inputs, layers.Dense(10)(x)))
    return refill(strip(model, [sample(seed) for seed in (11, 12, 13)]))


def sample(seed: int):
    """Image `seed` as the network's input."""
    return network_input(picture(seed, SIDE, SIDE), UNIT, "nhwc")


def quantized(form: str, activations: str, *, per_channel: bool):
    """The small network through `quantize_static`, with the preparation that ONNX Runtime advises."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Pictures(CalibrationDataReader):
        def __init__(self, name: str) -> None:
            self.feeds = iter([{name: sample(seed)} for seed in CALIBRATION])

        def get_next(self):
            return next(self.feeds, None)

    with tempfile.TemporaryDirectory() as folder:
        source, prepared, target = (str(Path(folder) / f"{n}.onnx") for n in ("source", "prepared", "target"))
        model = small_resnet()
        onnx.save(model, source)
        quant_pre_process(source, prepared)
        quantize_static(
            prepared,
            target,
            Pictures(model.graph.input[0].name),
            quant_format=QuantFormat[form],
            activation_type=QuantType[activations],
            weight_type=QuantType.QInt8,
            per_channel=per_channel,
        )
        return onnx.load(target)


QUANTIZED = {"source": "already quantized", "preprocessing": UNIT, "side": SIDE, "layout": "nhwc", "whole": True}
network("qdq-s8", **QUANTIZED)(lambda: quantized("QDQ", "QInt8", per_channel=True))
network("qdq-u8", **QUANTIZED)(lambda: quantized("QDQ", "QUInt8", per_channel=False))
network("qoperator-s8", **QUANTIZED)(lambda: quantized("QOperator", "QInt8", per_channel=True))
network("qoperator-u8", **QUANTIZED)(lambda: quantized("QOperator", "QUInt8", per_channel=False))


@network("qat-foldnet", **{**QUANTIZED, "preprocessing": PIXELS})
def aware():
    """`foldnet-train qat` on a ResNet-8 of 8, 16 and 32 filters."""
    import numpy as np

    from keras_networks import lived_in

    sys.path.append(str(Path(__file__).parents[2] / "converter/train/src"))
    from foldnet_train import networks
    from foldnet_train.data.pictures import Pictures
    from foldnet_train.qat import qdq
    from foldnet_train.qat.train import fine_tune
    from foldnet_train.settings import Settings

    settings = Settings(network="resnet8", filters=8, side=SIDE, epochs=2, batch_size=8, flip=False, learning_rate=5e-4)
    classes = [str(number) for number in range(10)]
    seeds = range(21, 61)
    pixels = np.stack([picture(seed, SIDE, SIDE) for seed in seeds])
    pictures = Pictures(pixels, np.array([seed % 10 for seed in seeds]), classes)
    model, _ = fine_tune(lived_in(networks.build(settings, 10)), settings, pictures, pictures, lambda _: None)
    return qdq.export(model, classes)
