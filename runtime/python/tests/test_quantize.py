"""Quantization in this process."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foldnet

from conftest import PICTURES, ROOT

ONNX = ROOT / "converter" / "assets" / "resnet20-v1-cifar10.onnx"


def test_the_built_in_network_becomes_the_programs_archive(
    archive: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stages: list[tuple[str, int, int]] = []
    with caplog.at_level(logging.INFO, "foldnet"):
        report = foldnet.quantize(None, out=tmp_path / "ours.nnef.tgz", progress=lambda *stage: stages.append(stage))
    assert (tmp_path / "ours.nnef.tgz").read_bytes() == archive.read_bytes()
    assert report.archive == tmp_path / "ours.nnef.tgz"
    assert report.verdict == report["verdict"] and report.verdict["grade"] == "good"
    assert report.bytes == archive.stat().st_size
    with pytest.raises(AttributeError):
        _ = report.weather
    assert "good" in repr(report)
    assert all(0 <= done <= total for _, done, total in stages)
    assert {name for name, _, _ in stages} >= {"observing", "equalization"}
    assert any("pixels" in record.getMessage() for record in caplog.records)


def test_a_file_with_images_from_a_folder_or_an_array(tmp_path: Path) -> None:
    out = tmp_path / "out.nnef.tgz"
    images = np.random.default_rng(3).integers(0, 256, (20, 32, 32, 3), np.uint8)
    names = [f"number {i}" for i in range(10)]
    folder = foldnet.quantize(ONNX, PICTURES, out=out, labels=names, effort="low", no_bias_correction=True)
    assert folder.calibration_images > 0
    assert foldnet.load(out).labels == tuple(names)
    assert foldnet.quantize(str(ONNX), images, out=str(out), effort="low").calibration_images == 16


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    out = tmp_path / "out.nnef.tgz"
    images = np.zeros((6, 32, 32, 3), np.uint8)
    text = tmp_path / "text.onnx"
    text.write_text("not a model")
    wrong: list[tuple[Any, Any, dict[str, Any], type[Exception], str]] = [
        (tmp_path / "absent.onnx", images, {}, FileNotFoundError, "absent"),
        (ONNX, tmp_path / "absent", {}, FileNotFoundError, "absent"),
        (text, images, {}, foldnet.QuantizeError, "text.onnx"),
        (ONNX, None, {}, foldnet.QuantizeError, "images"),
        (ONNX, images, {"weather": "fine"}, ValueError, "weather"),
        (ONNX, images, {"effort": "none"}, ValueError, "effort"),
        (ONNX, images, {"preprocess": "sepia"}, foldnet.QuantizeError, "sepia"),
        (ONNX, images.astype(np.float32), {}, TypeError, "uint8"),
        (ONNX, images[0], {}, ValueError, "shape"),
        (ONNX, [], {}, TypeError, "array"),
        (object(), images, {}, TypeError, "Keras"),
    ]
    for model, given, options, error, words in wrong:
        with pytest.raises(error, match=words):
            foldnet.quantize(model, given, out=out, **options)
        assert not out.exists()


def test_an_exception_in_progress_ends_the_conversion(tmp_path: Path) -> None:
    seen = []

    def stop(stage: str, done: int, total: int) -> None:
        seen.append(stage)
        if stage == "equalization":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        foldnet.quantize(None, out=tmp_path / "out.nnef.tgz", progress=stop)
    assert seen[-1] == "equalization"
    assert not (tmp_path / "out.nnef.tgz").exists()
