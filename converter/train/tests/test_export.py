"""What the converter is told, and models from elsewhere."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from foldnet_train import storage
from foldnet_train.tune import converter

Call = Callable[..., tuple[int, str, str]]


def said(path: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def test_labels_and_preprocessing_reach_the_archive(trained: Path, photos: Path, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "model.onnx"
    code, text, _ = call("export", trained, "-o", out, "--images", photos, "--preprocess", "tf", "--json")
    assert code == 0 and json.loads(text)["difference"] < 1e-3
    assert said(out) == {"labels": "ant\nbee\ncow", "preprocess": "tf", "resize": "stretch"}
    assert onnx.load(out).opset_import[0].version == 17
    told = converter.quantize(out, tmp_path / "a.nnef.tgz", photos)
    assert told["preprocess"] == "tf"
    assert converter.accuracy(tmp_path / "a.nnef.tgz", photos)["images"] == 36


def test_int8_answers_as_the_float_network(trained: Path, photos: Path, tmp_path: Path, call: Call) -> None:
    archive = tmp_path / "model.nnef.tgz"
    converter.quantize(trained / "model.onnx", archive, photos)
    float32 = json.loads(call("evaluate", trained, photos, "--json")[1])["correct"]
    code, text, _ = call("evaluate", archive, photos, "--json")
    assert code == 0 and abs(json.loads(text)["correct"] - float32) <= 1


def test_a_saved_model_and_a_foreign_keras_file_are_taken(trained: Path, tmp_path: Path, call: Call) -> None:
    model, _ = storage.load(trained)
    model.export(tmp_path / "saved", verbose=False)
    labels = tmp_path / "labels.txt"
    labels.write_text("x\ny\nz\n")
    assert call("export", tmp_path / "saved", "-o", tmp_path / "s.onnx", "--labels", labels)[0] == 0
    model.save(tmp_path / "plain.keras")
    assert call("export", tmp_path / "plain.keras", "-o", tmp_path / "k.onnx", "--labels", labels)[0] == 0
    from foldnet_train.export.check import run_onnx

    pixels = np.random.default_rng(1).integers(0, 256, (4, 16, 16, 3), np.uint8)
    expected = np.asarray(model(pixels.astype(np.float32)))
    for name in ("s.onnx", "k.onnx"):
        assert said(tmp_path / name)["labels"] == "x\ny\nz"
        assert np.abs(run_onnx((tmp_path / name).read_bytes(), pixels) - expected).max() < 1e-4


def test_an_export_that_differs_is_not_written(
    trained: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foldnet_train.export import check

    honest = check.run_onnx
    monkeypatch.setattr(check, "run_onnx", lambda *a: honest(*a) + np.float32(0.01))
    code, _, told = call("export", trained, "-o", tmp_path / "x.onnx")
    assert code == 3 and "differs" in told and not (tmp_path / "x.onnx").exists()


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: path.write_bytes(b"no archive"), "not a Keras 3 model"),
        (lambda path: None, "no such model"),
    ],
)
def test_what_is_no_model_is_named(make: Any, expected: str, tmp_path: Path, call: Call) -> None:
    path = tmp_path / "model.keras"
    make(path)
    code, _, told = call("export", path)
    assert code == 2 and expected in told and "model.keras" in told


def test_labels_must_be_as_many_as_outputs_and_known(trained: Path, photos: Path, tmp_path: Path, call: Call) -> None:
    two = tmp_path / "two.txt"
    two.write_text("x\ny\n")
    code, _, told = call("export", trained, "-o", tmp_path / "x.onnx", "--labels", two)
    assert code == 2 and "2 labels for 3 outputs" in told
    (tmp_path / "others/eel").mkdir(parents=True)
    (tmp_path / "others/ant").mkdir(parents=True)
    for name in ("eel", "ant"):
        (tmp_path / f"others/{name}/0.png").write_bytes((photos / "ant/0.png").read_bytes())
    code, _, told = call("evaluate", trained, tmp_path / "others")
    assert code == 2 and "does not know eel" in told
