"""The package gives the bits of the program `runtime`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foldnet

from conftest import PICTURES, SHARED, pictures


def scores(program: str, archive: Path, images: Path) -> list[dict[int, np.float32]]:
    """Every class's score for each image, as the program prints them."""
    command: list[str | Path] = [program, "classify", archive, images, "--json", "--quiet", "--top", "10"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [{label["index"]: np.float32(label["score"]) for label in json.loads(line)["labels"]} for line in lines]


def ours(answer: Any) -> dict[int, np.float32]:
    return {label.index: np.float32(label.score) for label in answer}


def test_on_images(program: str, archive: Path, model: foldnet.Model) -> None:
    theirs = scores(program, archive, PICTURES)
    assert len(theirs) == len(pictures())
    assert [ours(model.classify(path, top=10)) for path in pictures()] == theirs


def test_on_cifar(program: str, archive: Path, model: foldnet.Model) -> None:
    records = SHARED / "data" / "cifar10" / "test-1017.bin"
    if not records.exists():
        pytest.skip(f"SKIPPED: no {records}")
    data = np.fromfile(records, np.uint8).reshape(-1, 3073)
    batch = np.ascontiguousarray(data[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    theirs = scores(program, archive, records)
    assert len(theirs) == len(batch) == 1017
    assert [ours(answer) for answer in model.classify(batch, top=10)] == theirs
    # Scores are a softmax of the logits, each in f32.
    logits = model.logits(batch)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = powers / powers.sum(axis=1, keepdims=True)
    assert np.allclose(shares, [[row[i] for i in range(10)] for row in theirs], rtol=1e-5, atol=1e-7)
