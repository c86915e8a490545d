"""Fine-tuning in int8's arithmetic: the arithmetic, and that the converter keeps what was learned."""

import json
import subprocess
from collections.abc import Callable
from os import environ
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damaged import behind, damage, int8, share

from foldnet_train import networks, storage
from foldnet_train.data.batches import steps_per_epoch, training_data
from foldnet_train.data.pictures import Pictures, load
from foldnet_train.errors import BadInput
from foldnet_train.export import onnx_model
from foldnet_train.qat import qdq, rounding
from foldnet_train.qat.build import build
from foldnet_train.qat.calibrate import best_range, best_reach, calibrate
from foldnet_train.qat.layers import Folded, Quantized, set_mode
from foldnet_train.qat.sensitivity import choose_units
from foldnet_train.settings import Settings
from foldnet_train.training.fit import compiled
from foldnet_train.tune import converter
from foldnet_train.tune.hypermodel import write_pictures

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


def gratings(n: int, seed: int) -> Pictures:
    """Stripes in one of six directions, of any width, colour and place, in noise: nothing that a few weights could
    tell."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 6
    angle, width, phase = np.pi * labels / 6 + rng.normal(0, 0.06, n), rng.uniform(0.6, 1.4, n), rng.uniform(0, 6, n)
    x, y = np.meshgrid(np.arange(16), np.arange(16))
    at = np.cos(angle)[:, None, None] * x + np.sin(angle)[:, None, None] * y
    stripes = np.sin(width[:, None, None] * at + phase[:, None, None])[..., None] * rng.choice((-50, 50), (n, 1, 1, 3))
    values = 128 + stripes + rng.uniform(-50, 50, (n, 1, 1, 3)) + rng.normal(0, 25, (n, 16, 16, 3))
    return Pictures(values.clip(0, 255).astype(np.uint8), labels, list("abcdef"))


STRIPES = Settings(side=16, filters=8, flip=False, epochs=8, learning_rate=4e-3)
FACTOR = 5000


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that knows the directions of stripes."""
    import keras

    train = gratings(768, 1)
    keras.utils.set_random_seed(1)
    steps = steps_per_epoch(train, STRIPES)
    model = compiled(networks.build(STRIPES, 6), STRIPES, steps * STRIPES.epochs, STRIPES.learning_rate)
    model.fit(training_data(train, STRIPES), steps_per_epoch=steps, epochs=STRIPES.epochs, verbose=0, shuffle=False)
    path = tmp_path_factory.mktemp("stripes") / "sound.keras"
    storage.save(model, storage.Notes(train.classes, STRIPES.asdict()), path)
    return path


def begun(model: Any, reach: float | None = None) -> Any:
    """Ready to be fine-tuned; with `reach`, with this one in the place of the one that costs least."""
    pixels, rng = gratings(48, 3).pixels, np.random.default_rng(1)
    rounded = build(model)
    calibrate(rounded, pixels, rng)
    for layer in rounded.layers:
        if reach and isinstance(layer, Folded):
            layer.reach = reach
    choose_units(rounded, pixels, rng)
    return rounded


def projected(model: Any, pixels: Any) -> tuple[Any, list[Any]]:
    """Logits, and the gradient of a fixed random sum of them."""
    import keras
    import tensorflow as tf

    logits = keras.Model(model.input, model.layers[-1].input)
    with tf.GradientTape() as tape:
        z = logits(pixels.astype(np.float32))
        total = tf.reduce_sum(z * np.random.default_rng(1).choice((-1.0, 1.0), z.shape).astype(np.float32))
    return np.asarray(z), [np.asarray(g) for g in tape.gradient(total, model.trainable_variables)]


def test_rounding_hardly_turns_a_sound_networks_gradients(sound: Path) -> None:
    rounded = begun(storage.load(sound)[0])
    pixels = gratings(48, 4).pixels
    _, ours = projected(rounded, pixels)
    set_mode(rounded, "observe")
    _, exact = projected(rounded, pixels)
    for variable, a, b in zip(rounded.trainable_variables, ours, exact, strict=True):
        assert (a * b).sum() > 0.95 * np.linalg.norm(a) * np.linalg.norm(b), variable.path


def test_no_filter_moves_the_answers_far_in_a_step(sound: Path) -> None:
    model, _ = storage.load(sound)
    # The function stays: a block's inner values become a hundredth, the weights that read them a hundredfold.
    first, second = [layer for layer in model.layers if type(layer).__name__ == "Conv2D"][1:3]
    gamma, beta, *statistics = behind(first).get_weights()
    behind(first).set_weights([gamma / 100, beta / 100, *statistics])
    second.set_weights([100 * kernel for kernel in second.get_weights()])
    rounded = begun(model)
    units = {layer.name: layer.units[0] for layer in rounded.layers if isinstance(layer, Folded)}
    assert units[first.name].max() < 1 / 16, "what wide weights read is held back"
    assert all(np.median(units[name]) >= 1 / 4 for name in units if name != first.name), "the rest is not"
    set_mode(rounded, "observe")
    pixels, rate, rng = gratings(48, 4).pixels, 1e-3, np.random.default_rng(2)
    before, _ = projected(rounded, pixels)
    for layer in rounded.layers:
        if isinstance(layer, Folded):
            kept = layer.kernel.numpy()
            layer.kernel.assign(kept + rate * rng.choice((-1.0, 1.0), kept.shape))
            after, _ = projected(rounded, pixels)
            layer.kernel.assign(kept)
            # Every filter of the layer moves them by the rate.
            assert np.std(after - before) < 2 * rate * before.std() * np.sqrt(kept.shape[-1]), layer.name


def test_a_scale_is_spent_on_weights_whose_inputs_vary() -> None:
    kernel = np.random.default_rng(1).normal(size=(3, 3, 4, 2)).astype(np.float32)
    assert np.all(best_reach(kernel, np.ones(4)) > 0.7), "ordinary weights are hardly clipped"
    kernel[1, 1, 2, 0] = 1000
    reach = best_reach(kernel, np.array([1.0, 1.0, 0.0, 1.0]))
    assert reach[0] < 0.004 and reach[1] > 0.7
    assert np.all(best_reach(kernel, np.ones(4)) > 0.7), "one that matters is kept"
    assert np.all(best_reach(np.zeros((2, 3)), np.ones(2)) > 0), "of zeros"


def test_fine_tuning_learns_where_every_filter_has_a_handful_of_levels(sound: Path) -> None:
    model, _ = storage.load(sound)
    damage(model, 400)
    rounded = begun(model, reach=1.0)
    train = gratings(384, 5)
    x = train.pixels.astype(np.float32)
    steps = 6 * steps_per_epoch(train, STRIPES)
    compiled(rounded, STRIPES, steps, 1e-3)
    targets = np.eye(6, dtype=np.float32)[train.labels]
    before = rounded.evaluate(x, targets, verbose=0)[0]
    rounded.fit(x, targets, batch_size=32, epochs=6, verbose=0)
    assert rounded.evaluate(x, targets, verbose=0)[0] < 0.5 * before


def test_half_of_what_wide_weights_cost_after_training_is_won_back(sound: Path, tmp_path: Path, call: Call) -> None:
    model, notes = storage.load(sound)
    train, held_out = gratings(384, 6), gratings(384, 7)
    damage(model, FACTOR)
    exact = share(model, held_out)
    storage.save(model, notes, tmp_path / "damaged.keras")
    onnx_model.write(onnx_model.from_keras(model, train.classes), tmp_path / "damaged.onnx")
    write_pictures(train.some(slice(0, None, 4)), tmp_path / "calibrate")
    write_pictures(train, tmp_path / "train")
    write_pictures(held_out, tmp_path / "held-out")
    lost = exact - int8(tmp_path / "damaged.onnx", tmp_path)
    assert exact > 0.9 and lost > 0.1, "there is something to win back, equalization and all"
    words = [tmp_path / "damaged.keras", tmp_path / "train", "-o", tmp_path / "qat.onnx", "--epochs", "1"]
    assert call("qat", *words)[0] == 0
    won = int8(tmp_path / "qat.onnx", tmp_path) - (exact - lost)
    assert won > 0.5 * lost


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
