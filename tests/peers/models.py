"""Makes the networks that the speed comparison runs: real structures, seeded random weights.

    models.py                     ResNet-50, ResNet-50 V2 (Keras Applications, through tf2onnx) and ResNet-18 (torchvision's graph),
                                  for 224x224 pixels; beside them the converter's own ResNet-20 for 32x32, which is trained
    models.py resnet18 --cache D  one of them, into D

Batch-norm statistics are measured on seeded synthetic images, scale and shift are random: activations
neither blow up nor die, and no statistic is trivial. The weights carry no knowledge: use them for speed only.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
from pathlib import Path

import foldnet

SEED = 7
# The images to which a last layer is fitted.
FITTED = 100
DEFAULT_CACHE = Path("~/.cache/foldnet-peers")
NAMES = ("resnet50", "resnet50v2", "resnet18", "resnet20")
KERAS = ("ResNet50", "ResNet101", "ResNet152", "ResNet50V2", "ResNet101V2", "ResNet152V2")
# What the converter calls the preprocessing of Keras Applications' networks.
PREPROCESS = {name: "tf" if name.endswith("V2") else "caffe" for name in KERAS}


def side(name: str) -> int:
    """Pixels of a side of what network `name` sees."""
    return 32 if name == "resnet20" else 224


def model_path(name: str, cache: Path) -> Path:
    """The ONNX file of network `name`, made on first use."""
    path = cache / f"{name}.onnx"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        make(name, unfinished)
        unfinished.replace(path)
    return path


def make(name: str, path: Path) -> None:
    """Writes the ONNX file of network `name` to `path`."""
    if name == "resnet20":
        shutil.copyfile(foldnet.REPOSITORY / "converter" / "assets" / "resnet20-v1-cifar10.onnx", path)
    elif name == "resnet18":
        from torchvision_graph import write_resnet18

        write_resnet18(path, SEED)
    else:
        write_keras(name, path)


def keras_model(name: str):
    """The Keras model itself: what LiteRT's converter wants, and what the ONNX file is exported from."""
    from pictures import synthetic

    model = keras_network({"resnet50": "ResNet50", "resnet50v2": "ResNet50V2"}[name], 224, include_top=True)
    measure_norms(model, preprocess(name, synthetic(8, SEED)))
    return model


def keras_network(name: str, side: int, **options):
    """A network of Keras Applications with seeded random weights."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    keras.utils.set_random_seed(SEED)
    return getattr(keras.applications, name)(weights=None, input_shape=(side, side, 3), **options)


def measure_norms(model, images) -> None:
    """Random scale and shift for batch normalizations, and the statistics of these images."""
    import keras
    import numpy as np

    rng = np.random.default_rng(SEED)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momentum = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.gamma.assign(rng.uniform(0.5, 1.5, norm.gamma.shape))
        norm.beta.assign(rng.normal(0.0, 0.2, norm.beta.shape))
    model(images, training=True)
    for norm, value in zip(norms, momentum, strict=True):
        norm.momentum = value


def keras_classifier(name: str, side: int, images, labels):
    """A network of Keras Applications whose last layer was fitted to labelled images, by ridge regression."""
    import keras
    import numpy as np

    base = keras_network(name, side, include_top=False, pooling="avg")
    at = np.arange(side) * images.shape[1] // side
    inputs = preprocess(name, images[: 10 * FITTED : 10][:, at][:, :, at])
    measure_norms(base, inputs[:16])
    features = np.concatenate([base(inputs[i : i + 10], training=False) for i in range(0, len(inputs), 10)])
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    x, y = (features - mean) / deviation, np.eye(10)[labels[: 10 * FITTED : 10]] - 0.1
    weights = x.T @ np.linalg.solve(x @ x.T + 0.1 * x.shape[1] * np.eye(len(x)), y) / deviation[:, None] * 20
    head = keras.layers.Dense(10, activation="softmax")
    model = keras.Model(base.input, head(base.output))
    head.set_weights([weights, -mean @ weights])
    return model


def preprocess(name: str, images):
    """What network `name` expects of NHWC RGB images with values 0..255."""
    import numpy as np

    images = np.asarray(images, np.float32)
    if name == "resnet20":
        return images
    if name == "resnet50" or PREPROCESS.get(name) == "caffe":
        return np.ascontiguousarray(images[..., ::-1]) - np.array([103.939, 116.779, 123.68], np.float32)
    if name == "resnet50v2" or PREPROCESS.get(name) == "tf":
        return images / np.float32(127.5) - np.float32(1)
    scaled = (images / np.float32(255) - np.array([0.485, 0.456, 0.406], np.float32)) / np.array(
        [0.229, 0.224, 0.225], np.float32
    )
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def write_keras(name: str, path: Path) -> None:
    """Exports the Keras model with tf2onnx: opset 13, NHWC input, batch 1."""
    model = keras_model(name)
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec([1, 224, 224, 3], tf.float32, name="input")]

    @tf.function(input_signature=signature)
    def predict(x):
        return model(x, training=False)

    tf2onnx.convert.from_function(predict, input_signature=signature, opset=13, output_path=str(path))


def multiply_accumulates(onnx_path: Path) -> int:
    """Multiply-accumulates of one inference: its convolutions and dense layers."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(onnx.load(onnx_path)).graph
    weights = {w.name: list(w.dims) for w in graph.initializer}
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in [*graph.value_info, *graph.output]}
    total = 0
    for node in graph.node:
        if node.op_type in {"Conv", "MatMul", "Gemm"} and node.input[1] in weights:
            size = math.prod(weights[node.input[1]])
            total += size * math.prod(shapes[node.output[0]][2:]) if node.op_type == "Conv" else size
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *NAMES], help="networks to make (default: all)")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="where to put them (default: %(default)s)")
    arguments = parser.parse_args()
    for name in arguments.names or NAMES:
        path = model_path(name, arguments.cache.expanduser())
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
