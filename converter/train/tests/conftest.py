"""Small images, and the programs that are called."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from foldnet_train.cli import main
from foldnet_train.quiet import load_tensorflow

load_tensorflow()
ROOT = Path(__file__).resolve().parents[3]
CLASSES = ("ant", "bee", "cow")


def write_pictures(folder: Path, classes: tuple[str, ...] = CLASSES, n: int = 12, side: int = 16) -> Path:
    """Noise in a colour of its own per class: learned in a few steps."""
    rng = np.random.default_rng(1)
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            noise = rng.integers(0, 120, (side, side, 3))
            noise[:, :, number % 3] += 130 if number < 3 else 60
            Image.fromarray(noise.astype(np.uint8)).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("photos") / "photos")


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    """The programs, from the environment or from this repository's build."""
    for name in ("boards", "converter", "runtime"):
        built = ROOT / "target" / "release" / name
        found = os.environ.setdefault(f"FOLDNET_{name.upper()}", str(built))
        assert Path(found).is_file(), f"{found}: build it with cargo build --release"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Calls `foldnet-train`; gives exit code, standard output, standard error."""

    def run(*words: Any) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


SMALL = (
    *("--side", "16", "--filters", "4", "--batch-size", "8", "--epochs", "2"),
    *("--network", "residual", "--num-blocks", "1", "--strides", "1"),
)
"""Settings of a training of seconds; most of them go into tracing the network, so it is a small one."""


@pytest.fixture(scope="session")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training on `photos`."""
    run = tmp_path_factory.mktemp("trained") / "run"
    assert main(["fit", str(photos), "-o", str(run), *SMALL, "--network", "resnet8", "--epochs", "12", "--quiet"]) == 0
    return run
