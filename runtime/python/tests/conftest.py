"""What the tests share: an archive of the built-in ResNet-20, images, and the program `runtime`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import foldnet

ROOT = Path(__file__).parents[3]
PICTURES = ROOT / "tests" / "pictures"
DOORS = Path(os.environ["FOLDNET_DOORS"])


@pytest.fixture(scope="session")
def archive() -> Path:
    """What `converter quantize` makes of the built-in network."""
    return Path(os.environ["FOLDNET_ARCHIVE"])


@pytest.fixture(scope="session")
def program() -> str:
    """The program `runtime`."""
    return os.environ["FOLDNET_RUNTIME"]


@pytest.fixture(scope="session")
def model(archive: Path) -> foldnet.Model:
    return foldnet.load(archive, threads=1)


@pytest.fixture(scope="session")
def batch() -> npt.NDArray[np.uint8]:
    """Noise of the network's size."""
    return np.random.default_rng(7).integers(0, 256, (16, 32, 32, 3), np.uint8)


def pictures() -> list[Path]:
    found = sorted(path for path in PICTURES.iterdir() if path.suffix in {".png", ".jpg", ".jpeg", ".bmp", ".webp"})
    assert found, f"no images in {PICTURES}"
    return found
