"""Every network × activation × optimizer: built, one step learned, exported, converted, run."""

import json
import subprocess
from os import environ
from pathlib import Path

import numpy as np
import pytest
from conftest import CLASSES

from foldnet_train import networks
from foldnet_train.data.pictures import load
from foldnet_train.export import check, onnx_model
from foldnet_train.settings import APPLICATIONS, NETWORKS, Settings
from foldnet_train.training.fit import compiled
from foldnet_train.tune import converter

OPTIMIZERS = ("sgd", "adam", "rmsprop")
SHALLOW = ("plain", "residual", "resnet8", "resnet20-v1", "resnet29-v2")


def cases() -> list[object]:
    """All of them. Marked `large` are the deep networks, made by the same lines as their shallow sisters, and two in
    three of the shallow ones' cases: those left have each network with each function, each network with each optimizer
    and each function with each optimizer."""
    found: list[object] = []
    for network in NETWORKS:
        functions = ("relu",) if network in APPLICATIONS else ("relu", "sigmoid", "tanh")
        for i, function in enumerate(functions):
            for k, optimizer in enumerate(OPTIMIZERS):
                always = network in SHALLOW and (SHALLOW.index(network) + i + k) % 3 == 0
                found.append(pytest.param(network, function, optimizer, marks=() if always else pytest.mark.large))
    return found


@pytest.mark.parametrize(("network", "activation", "optimizer"), cases())
def test_from_pixels_to_labels(network: str, activation: str, optimizer: str, photos: Path, tmp_path: Path) -> None:
    side = 32 if network in APPLICATIONS else 16
    pictures = load(photos, side)
    targets = np.eye(3, dtype=np.float32)[pictures.labels]
    weights = "random" if network in APPLICATIONS else ""
    settings = Settings(
        network=network, activation=activation, optimizer=optimizer, side=side, filters=4, weights=weights
    )
    model = compiled(networks.build(settings, 3), settings, 10, 1e-3)
    # A traced function would be used once.
    model.run_eagerly = True
    before = [weight.numpy() for weight in model.trainable_weights]
    loss = model.train_on_batch(pictures.pixels[::9].astype(np.float32), targets[::9])[0]
    assert np.isfinite(loss)
    assert all(not np.array_equal(a, b) for a, b in zip(before, model.trainable_weights, strict=True) if a.any())

    exported = onnx_model.from_keras(model, list(CLASSES))
    some = pictures.pixels[::6]
    assert check.difference(model(some.astype(np.float32)), exported, some) < check.TOLERANCE
    onnx, archive = tmp_path / "model.onnx", tmp_path / "model.nnef.tgz"
    onnx_model.write(exported, onnx)
    told = converter.quantize(onnx, archive, photos, "--effort", "low")
    assert told["layers_float"] == 0 and told["preprocess"] == "none"
    picture = photos / "bee" / "3.png"
    words = [environ["FOLDNET_RUNTIME"], "classify", str(archive), str(picture), "--json", "--quiet"]
    answer = json.loads(subprocess.run(words, capture_output=True, check=True, text=True).stdout)
    assert {entry["label"] for entry in answer["labels"]} == set(CLASSES)
    assert sum(entry["score"] for entry in answer["labels"]) == pytest.approx(1, abs=1e-3)
