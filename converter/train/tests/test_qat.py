"""Fine-tuning in int8's arithmetic: the arithmetic, and that the converter keeps what was learned."""

import json
import subprocess
from collections.abc import Callable
from os import environ
from pathlib import Path

import numpy as np
import pytest

from foldnet_train import networks, storage
from foldnet_train.data.pictures import load
from foldnet_train.errors import BadInput
from foldnet_train.export import onnx_model
from foldnet_train.qat import qdq, rounding
from foldnet_train.qat.build import build
from foldnet_train.qat.calibrate import best_range, calibrate
from foldnet_train.qat.layers import Quantized
from foldnet_train.settings import Settings
from foldnet_train.tune import converter

Call = Callable[..., tuple[int, str, str]]


def test_weights_are_symmetric_with_a_scale_per_output_and_ties_go_to_even() -> None:
    import tensorflow as tf

    kernel = np.array([[12.7, 254.0, 0.0], [0.05, 1.0, 0.0], [0.15, 3.0, 0.0], [-6.33, -254.0, 0.0]], np.float32)
    rounded, scale = rounding.quantized_weights(tf.constant(kernel))
    assert np.allclose(scale, [0.1, 2.0, 1.0])
    assert np.allclose(rounded[:, 1], [254, 0, 4, -254]), "0.5 and 1.5 go to 0 and 2"
    assert np.allclose(rounded[:, 0] / scale[0], [127, 0, 2, -63], atol=1e-4) or np.isclose(rounded[2, 0], 0.1)
    assert np.all(np.asarray(rounded[:, 2]) == 0)


def test_activations_hold_zero_exactly_and_have_gradients_inside_the_range() -> None:
    import tensorflow as tf

    low, high = tf.constant(-0.7), tf.constant(1.9)
    scale, zero = (float(v) for v in rounding.activation_grid(low, high))
    x = tf.constant([-5.0, -0.3, 0.0, 0.4, 5.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = rounding.quantized_activation(x, low, high)
        total = tf.reduce_sum(y)
    q = np.clip(np.rint(np.asarray(x) / np.float32(scale)) + zero, -128, 127)
    assert np.array_equal(y, ((q - zero) * np.float32(scale)).astype(np.float32)) and y[2] == 0
    assert tape.gradient(total, x).numpy().tolist() == [0, 1, 1, 1, 0], "inside as if nothing had been rounded"
    assert rounding.activation_grid(tf.constant(0.0), tf.constant(6.0))[1] == -128, "behind a ReLU"


def test_a_range_leaves_out_what_would_cost_the_rest() -> None:
    values = np.concatenate([np.random.default_rng(1).normal(size=100_000), [12.0]])
    low, high = best_range(values)
    assert 3 < high < 12 and low < -2


@pytest.mark.parametrize(
    ("network", "activation"),
    [("resnet8", "relu"), ("resnet8", "tanh"), ("residual", "sigmoid"), ("plain", "relu"), ("resnet29-v2", "relu")],
)
def test_the_converter_keeps_every_scale_and_the_archive_answers_as_keras(
    network: str, activation: str, photos: Path, tmp_path: Path
) -> None:
    pictures = load(photos, 16)
    settings = Settings(network=network, activation=activation, side=16, filters=4)
    model = networks.build(settings, 3)
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    rounded = build(model)
    calibrate(rounded, pictures.pixels[::3], rng)
    onnx, archive, report, logits = (tmp_path / name for name in ("q.onnx", "q.nnef.tgz", "q.json", "l.npy"))
    onnx_model.write(qdq.export(rounded, pictures.classes), onnx)
    converter.quantize(onnx, archive, photos, "--report", report)
    ours = {layer.grid() for layer in rounded.layers if isinstance(layer, Quantized)}
    theirs = {(t["scale"], t["zero"]) for t in json.loads(report.read_text())["tensors"]}
    assert np.allclose(sorted(ours), sorted(theirs), rtol=1e-5), "scales and zero points"

    words = [
        environ["FOLDNET_CONVERTER"],
        "eval",
        str(archive),
        "--images",
        str(photos),
        "--logits",
        str(logits),
        "--quiet",
    ]
    subprocess.run(words, check=True)
    expected = np.log(np.asarray(rounded(pictures.pixels.astype(np.float32))))
    got = np.load(logits)
    a, b = (v - v.mean(axis=1, keepdims=True) for v in (expected, got))
    noise = 10 * np.log10((a**2).sum() / ((a - b) ** 2).sum())
    assert noise > 30, f"{noise:.1f} dB: not the same arithmetic"


def test_a_fine_tuned_model_goes_the_whole_way(trained: Path, photos: Path, tmp_path: Path, call: Call) -> None:
    code, text, told = call("qat", trained, photos, "-o", tmp_path / "q.onnx", "--epochs", "1", "--json")
    assert code == 0 and "float:" in told
    answer = json.loads(text)
    assert answer["accuracy"] >= answer["before"] and answer["agreement"] > 0.95
    archive = tmp_path / "q.nnef.tgz"
    converter.quantize(tmp_path / "q.onnx", archive, photos)
    assert converter.accuracy(archive, photos)["top1"] > 0.9


def test_what_cannot_be_fine_tuned_is_named(tmp_path: Path, trained: Path, photos: Path, call: Call) -> None:
    import keras
    from keras import layers

    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, activation="relu", name="both")(inputs)
    fused = keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    with pytest.raises(BadInput, match="both: its relu"):
        build(fused)
    unknown = keras.Model(inputs, layers.GlobalAveragePooling2D()(layers.LayerNormalization(name="odd")(inputs)))
    with pytest.raises(BadInput, match="odd: LayerNormalization"):
        build(unknown)
    model, _ = storage.load(trained)
    model.save(tmp_path / "plain.keras")
    code, _, told = call("qat", tmp_path / "plain.keras", photos)
    assert code == 2 and "what its classes are" in told
