"""The package gives the bits of the program `runtime`."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import foldnet

from conftest import DOORS, PICTURES, pictures


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


def images(path: Path) -> Iterator[npt.NDArray[np.uint8]]:
    """PPM images that follow each other in a file."""
    data, at = path.read_bytes(), 0
    while header := re.compile(rb"P6\n(\d+) (\d+)\n255\n").match(data, at):
        width, height = map(int, header.groups())
        at = header.end() + 3 * width * height
        yield np.frombuffer(data, np.uint8, 3 * width * height, header.end()).reshape(height, width, 3)
    assert at == len(data)


@pytest.mark.parametrize("network", ["resnet20", "resnet50"])
def test_logits(network: str) -> None:
    """Of what `.ci/doors` makes."""
    model = foldnet.load(DOORS / f"{network}.nnef.tgz", threads=1)
    expected = (DOORS / f"{network}.logits").read_text(encoding="ascii").splitlines()
    found = [model.logits(model.fit(image)) for image in images(DOORS / f"{network}.ppm")]
    assert len(found) == len(expected) > 20
    for logits, line in zip(found, expected):
        assert logits.astype(">f4").tobytes().hex(" ", 4) == line
