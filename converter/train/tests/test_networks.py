"""The networks are those of their papers."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldnet_train import networks
from foldnet_train.errors import BadInput
from foldnet_train.networks import applications
from foldnet_train.settings import Settings


def layers_of(model: Any, kind: str) -> list[Any]:
    return [layer for layer in model.layers if type(layer).__name__ == kind]


@pytest.mark.parametrize(
    "name",
    [f"resnet{d}-v1" for d in (20, 32, 44, 56)]
    + [f"resnet{d}-v2" for d in (29, 47)]
    + [pytest.param(name, marks=pytest.mark.large) for name in ("resnet110-v1", "resnet164-v2")],
)
def test_cifar_networks_have_their_depth(name: str) -> None:
    model = networks.build(Settings(network=name, filters=2), 10)
    depth, version = name.removeprefix("resnet").split("-")
    projections = 2 if version == "v1" else 3
    assert len(layers_of(model, "Conv2D")) - projections + 1 == int(depth), "convolutions on the path, and Dense"
    assert model.output_shape == (None, 10)


@pytest.mark.parametrize(
    ("name", "weights"),
    # He et al., table 6, has 0.27 M for ResNet-20 (with shortcuts free of weights); MLPerf Tiny 78 k.
    [("resnet20-v1", 0.27e6), ("resnet8", 78e3)],
)
def test_known_sizes(name: str, weights: float) -> None:
    assert networks.build(Settings(network=name), 10).count_params() == pytest.approx(weights, rel=0.03)


def test_the_custom_network_follows_its_settings() -> None:
    settings = Settings(network="residual", num_blocks=5, filters=4, kernel=5, strides=(1, 2), activation="tanh")
    model = networks.build(settings, 3)
    convolutions = layers_of(model, "Conv2D")
    assert len(layers_of(model, "Add")) == 5
    assert [c.filters for c in convolutions if c.kernel_size == (5, 5)] == [4] * 7 + [8] * 4
    assert [c.strides for c in convolutions if c.kernel_size == (1, 1)] == [(2, 2)], "one projection"
    assert {a.activation.__name__ for a in layers_of(model, "Activation")} == {"tanh"}
    named = networks.build(Settings(network="residual-20x64", side=16), 3)
    assert len(layers_of(named, "Add")) == 20 and layers_of(named, "Conv2D")[0].filters == 64
    with pytest.raises(BadInput, match="3 stages"):
        networks.build(Settings(network="residual", num_blocks=2), 3)


def test_penalty_and_dropout_are_there_when_asked_for() -> None:
    model = networks.build(Settings(l1=0.5, l2=0.25, dropout=0.3, side=16), 3)
    assert layers_of(model, "Dropout")[0].rate == pytest.approx(0.3)
    assert layers_of(model, "Conv2D")[0].kernel_regularizer.l1 == pytest.approx(0.5)
    plain = networks.build(Settings(l2=0.0, side=16), 3)
    assert not layers_of(plain, "Dropout") and layers_of(plain, "Conv2D")[0].kernel_regularizer is None


@pytest.fixture(scope="module")
def resnet50() -> Any:
    return networks.build(Settings(network="resnet50", weights="random"), 3)


@pytest.fixture(scope="module")
def fetched(resnet50: Any) -> Any:
    """With weights from a file."""
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, "notop.weights.h5")
        resnet50.get_layer(applications.BACKBONE).save_weights(weights)
        return networks.build(Settings(network="resnet50", weights=str(weights)), 3)


def test_the_v1_backbone_takes_rgb_and_computes_what_keras_does(resnet50: Any) -> None:
    import keras

    pixels = np.random.default_rng(1).integers(0, 256, (1, 32, 32, 3)).astype(np.float32)
    reference = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(32, 32, 3))
    base = resnet50.get_layer(applications.BACKBONE)
    reference.set_weights(base.get_weights())
    applications.take_rgb(reference)  # back to BGR
    expected = reference(keras.applications.resnet.preprocess_input(pixels.copy()))
    features = keras.Model(resnet50.input, resnet50.layers[-1].input)(pixels)
    mean = np.asarray(expected).mean(axis=(1, 2))
    assert np.abs(np.asarray(features) - mean).max() < 1e-3 * np.abs(mean).max()


def test_without_weights_all_is_trained_from_the_start(resnet50: Any) -> None:
    base = resnet50.get_layer(applications.BACKBONE)
    assert len(resnet50.trainable_weights) == len(base.trainable_weights) + 2
    assert len(base.trainable_weights) == len(base.weights) - 2 * 53, "all but the statistics of 53 normalisations"
    statistics = base.get_layer("conv1_bn")
    before = statistics.moving_mean.numpy()
    pixels = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    resnet50(pixels, training=True)
    after = statistics.moving_mean.numpy()
    statistics.moving_mean.assign(before)
    assert not np.array_equal(before, after), "they learn"


def test_two_stages_train_the_head_then_the_last_blocks(fetched: Any) -> None:
    assert len(fetched.trainable_weights) == 2, "kernel and bias of the head"
    applications.unfreeze(fetched, "conv5")
    names = {w.path.split("/")[0] for w in fetched.get_layer(applications.BACKBONE).trainable_weights}
    trainable = {layer.name for layer in fetched.get_layer(applications.BACKBONE).layers if layer.trainable}
    assert names and all("conv5" in name or name == "avg_pool" for name in trainable)
    assert not any(name.endswith("_bn") for name in trainable)
    with pytest.raises(BadInput, match="conv2, conv3"):
        applications.unfreeze(fetched, "conv9")


def test_weights_that_cannot_be_had_are_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import keras

    with pytest.raises(BadInput, match="no such file"):
        networks.build(Settings(network="resnet50", weights=str(tmp_path / "absent.h5")), 3)

    def offline(*_: Any, **__: Any) -> None:
        raise OSError("name resolution failed")

    monkeypatch.setattr(keras.applications, "ResNet50V2", offline)
    with pytest.raises(BadInput, match=r"notop.*--weights FILE.*--weights random"):
        networks.build(Settings(network="resnet50v2"), 3)
    with pytest.raises(BadInput, match="at least 32"):
        networks.build(Settings(network="resnet50", weights="random", side=16), 3)
    with pytest.raises(BadInput, match="conv2, conv3"):
        networks.build(Settings(network="resnet50", weights="random", tune_from="conv9"), 3)
