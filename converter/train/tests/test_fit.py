"""Training: what it leaves, that it repeats, and that nothing is lost when it ends badly."""

import csv
import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SMALL, write_pictures

from foldnet_train import storage

Call = Callable[..., tuple[int, str, str]]


def weights_of(run: Path, name: str = "last.keras") -> list[Any]:
    return [np.asarray(w) for w in storage.load(run / name)[0].weights]


def same(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_training_learns_and_leaves_what_the_converter_needs(trained: Path, photos: Path, call: Call) -> None:
    assert {file.name for file in trained.iterdir()} >= {
        "best.keras", "last.keras", "model.onnx", "settings.yaml", "labels.txt", "log.csv", "curves.png",
    }  # fmt: skip
    rows = list(csv.DictReader((trained / "log.csv").open()))
    assert len(rows) == 12 and float(rows[-1]["loss"]) < float(rows[0]["loss"]) / 2
    best = storage.load(trained)[1]
    ranked = sorted(rows, key=lambda row: (-float(row["val_accuracy"]), float(row["val_loss"])))
    assert best.epoch == int(ranked[0]["epoch"]), "of epochs as accurate, that of the lowest loss"
    assert (trained / "labels.txt").read_text() == "ant\nbee\ncow\n"
    code, out, _ = call("evaluate", trained, photos, "--json")
    told = json.loads(out)
    assert code == 0 and told["images"] == 36 and told["top1"] > 0.9, "three colours are easy"
    assert set(told["classes"]) == {"ant", "bee", "cow"}
    onnx = json.loads(call("evaluate", trained / "model.onnx", photos, "--json")[1])
    assert onnx["correct"] == told["correct"]


def test_the_same_seed_gives_the_same_network(photos: Path, tmp_path: Path, call: Call) -> None:
    words = [*SMALL, "--dropout", "0.3", "--mixup", "0.2", "--quiet"]
    for run, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert call("fit", photos, "-o", tmp_path / run, "--seed", seed, *words)[0] == 0
    assert same(weights_of(tmp_path / "a"), weights_of(tmp_path / "b"))
    assert not same(weights_of(tmp_path / "a"), weights_of(tmp_path / "c"))


KILLED = """
import os, signal, sys
from foldnet_train.cli import main
from foldnet_train.training import keeper

write_log = keeper.write_log

def killed(history, path):
    if len(history) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    write_log(history, path)

keeper.write_log = killed
sys.exit(main(sys.argv[1:]))
"""
"""A training that is killed in the middle of what it leaves after an epoch: always there, however busy the machine."""


def test_a_killed_training_goes_on_as_if_nothing_had_been(photos: Path, tmp_path: Path, call: Call) -> None:
    words = ["--dropout", "0.3", *SMALL, "--epochs", "15"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert call("fit", photos, "-o", whole, *words)[0] == 0
    program = [sys.executable, "-c", KILLED, "fit", str(photos), "-o", str(killed), *words]
    assert subprocess.run(program, stderr=subprocess.DEVNULL).returncode == -signal.SIGKILL
    assert storage.load(killed / "last.keras")[1].epoch == 3, "killed in between"
    assert len(list(csv.DictReader((killed / "log.csv").open()))) == 2, "before the third line"
    code, _, said = call("fit", photos, "-o", killed, *words)
    assert code == 2 and "--resume" in said, "nothing is overwritten"
    code, _, said = call("fit", photos, "-o", killed, "--resume", "--epochs", "5")
    assert code == 2 and "epochs" in said
    code, _, said = call("fit", photos, "-o", killed, "--resume")
    assert code == 0 and "resuming after epoch" in said
    assert same(weights_of(whole), weights_of(killed)), "to the bit"
    assert len(list(csv.DictReader((killed / "log.csv").open()))) == 15
    others = write_pictures(tmp_path / "others", n=14)
    code, _, said = call("fit", others, "-o", killed, "--resume")
    assert code == 2 and "not those this training began with" in said
    assert call("fit", photos, "-o", tmp_path / "none", "--resume")[0] == 2


def test_a_learning_rate_that_diverges_is_stopped_and_named(
    photos: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    words = [*SMALL, "--network", "plain", "--optimizer", "sgd", "--schedule", "constant", "--epochs", "30"]
    code, _, said = call("fit", photos, "-o", run, *words, "--learning-rate", "5000")
    assert code == 3 and "learning_rate 5000 is too high" in said and "epoch" in said
    # Diverging after three good epochs leaves them.
    from keras.optimizers.schedules import PiecewiseConstantDecay

    from foldnet_train.training import optimizer

    monkeypatch.setattr(optimizer, "schedule", lambda *_: PiecewiseConstantDecay([12], [0.01, 5000.0]))
    run = tmp_path / "later"
    code, _, said = call("fit", photos, "-o", run, *words)
    assert code == 3 and "best model" in said
    best, notes = storage.load(run)
    assert 1 <= notes.epoch <= 3 and all(np.isfinite(w).all() for w in best.get_weights())


def test_a_full_disk_leaves_the_last_good_checkpoint_and_a_resumable_run(
    photos: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foldnet_train.training import keeper

    run, full = tmp_path / "run", resource.getrlimit(resource.RLIMIT_FSIZE)
    saved = keeper.storage.save
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def filling_up(model: Any, notes: storage.Notes, path: Path) -> None:
        # From the second epoch on no file can grow beyond 50 kB, as if the disk were full.
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000 if notes.epoch > 1 else full[0], full[1]))
        try:
            saved(model, notes, path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, full)

    monkeypatch.setattr(keeper.storage, "save", filling_up)
    code, _, said = call("fit", photos, "-o", run, *SMALL, "--filters", "32", "--epochs", "3")
    assert code == 1 and "epoch 2 was not saved" in said and "--resume" in said
    assert storage.load(run / "last.keras")[1].epoch == 1 and storage.load(run)[1].epoch == 1
    assert not list(run.glob(".*unfinished*")), "nothing half-written is left"
    monkeypatch.setattr(keeper.storage, "save", saved)
    assert call("fit", photos, "-o", run, "--resume")[0] == 0
    assert storage.load(run / "last.keras")[1].epoch == 3


def test_frames_kept_by_a_camera_train_on_with_classes_added_and_removed(
    trained: Path, tmp_path: Path, call: Call
) -> None:
    frames = write_pictures(tmp_path / "frames", ("bee", "cow", "dog"), n=10)
    code, out, said = call("fit", frames, "--init", trained, "-o", tmp_path / "run", "--epochs", "3", "--json")
    assert code == 0 and "new: dog; gone: ant" in said
    assert json.loads(out)["output"].endswith("model.onnx")
    model, notes = storage.load(tmp_path / "run")
    assert notes.labels == ["bee", "cow", "dog"] and model.output_shape == (None, 3)
    for words, expected in [
        (["--init", trained, "--side", "24"], "takes images of 16×16"),
        (["--init", tmp_path / "absent.keras"], "no such model"),
        (["--init", "a.nnef.tgz"], "an archive holds integers"),
    ]:
        code, _, said = call("fit", frames, "-o", tmp_path / "other", *words)
        assert code == 2 and expected in said


def test_what_is_kept_of_a_class_is_what_was_learned_of_it(trained: Path) -> None:
    from foldnet_train.training.head import with_classes

    model, notes = storage.load(trained)
    other, _ = with_classes(model, notes.labels, ["cow", "ant", "eel"], 1)
    kernel, bias = model.layers[-1].get_weights()
    moved, moved_bias = other.layers[-1].get_weights()
    assert np.array_equal(moved[:, :2], kernel[:, [2, 0]]) and np.array_equal(moved_bias[:2], bias[[2, 0]])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--batch-size", "0"], "batch_size"),
        (["--learning-rate", "1e9"], "learning_rate"),
        (["--network", "vgg16"], "resnet20-v1"),
        (["--settings", "absent.yaml"], "absent.yaml"),
        (["-o", __file__], "is a file"),
    ],
)
def test_bad_flags_are_exit_code_2(words: list[str], said: str, photos: Path, tmp_path: Path, call: Call) -> None:
    code, _, told = call("fit", photos, "-o", tmp_path / "run", *words)
    assert code == 2 and said in told
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, Path]]:
    """ResNet-50 without top, and files of its weights as Keras writes them now and as its hub has them."""
    import h5py
    import keras
    from keras.src.legacy.saving import legacy_h5_format

    model = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(32, 32, 3))
    folder = tmp_path_factory.mktemp("weights")
    files = {"now": folder / "notop.weights.h5", "hub": folder / "resnet50_notop.h5"}
    model.save_weights(files["now"])
    with h5py.File(files["hub"], "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    return model, files


@pytest.mark.large
@pytest.mark.parametrize("kind", ["now", "hub"])
def test_resnet50_learns_in_two_stages_from_a_file_of_weights(
    kind: str, backbone: tuple[Any, dict[str, Path]], photos: Path, tmp_path: Path, call: Call
) -> None:
    from foldnet_train.networks.applications import BACKBONE

    before, files = backbone
    run = tmp_path / "run"
    words = ["--network", "resnet50", "--weights", files[kind], "--epochs", "1", "--tune-epochs", "1"]
    code, out, said = call("fit", photos, "-o", run, *words, "--batch-size", "12", "--json")
    assert code == 0 and "epoch 2: " in said
    assert json.loads(out)["difference"] < 1e-3 and (run / "model.onnx").stat().st_size > 90_000_000
    model, notes = storage.load(run / "last.keras")
    after = model.get_layer(BACKBONE)
    assert notes.epoch == 2
    for old, new in zip(before.layers, after.layers, strict=True):
        weights = [old.get_weights(), new.get_weights()]
        if old.name == "conv1_conv":
            # The file's first filters read BGR.
            weights[0][0] = weights[0][0][:, :, ::-1]
        tuned = old.name.startswith("conv5") and old.name.endswith("_conv")
        assert same(*weights) != tuned, old.name


@pytest.mark.large
def test_a_file_of_other_weights_is_refused(
    backbone: tuple[Any, dict[str, Path]], photos: Path, tmp_path: Path, call: Call
) -> None:
    text = tmp_path / "text.h5"
    text.write_text("no weights")
    for network, file in (("resnet101", "now"), ("resnet50v2", "now"), ("resnet50v2", "hub"), ("resnet50", text)):
        path = backbone[1].get(str(file), file)
        words = ["--network", network, "--weights", path, "--epochs", "1"]
        code, _, said = call("fit", photos, "-o", tmp_path / "run", *words)
        name = network.replace("resnet", "ResNet").replace("v2", "V2")
        assert code == 2 and f"weights = {path}: no weights of {name} without top" in said
        assert len(said) < 600 and not (tmp_path / "run" / "last.keras").exists()
