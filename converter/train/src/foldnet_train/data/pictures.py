"""Pictures in memory, and where they come from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from foldnet_train.errors import BadInput

Pixels = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
LARGEST = 12 * 2**30
"""Bytes of pixels that may be held in memory."""


@dataclass
class Pictures:
    """`pixels` is `[n, side, side, 3]`, RGB; `labels` numbers `classes`."""

    pixels: Pixels
    labels: Numbers
    classes: list[str]
    skipped: list[str] = field(default_factory=list)
    """Files that could not be read, and why."""

    def __len__(self) -> int:
        return len(self.labels)

    def some(self, chosen: Any) -> Pictures:
        """Those of these indices."""
        return Pictures(self.pixels[chosen], self.labels[chosen], self.classes)

    def fingerprint(self) -> str:
        """The same for the same pictures in the same order."""
        digest = hashlib.sha256(self.pixels.tobytes())
        digest.update(self.labels.tobytes())
        return digest.hexdigest()


def load(path: Path, side: int) -> Pictures:
    """Reads a folder with one subfolder per class, a CIFAR-10 `.bin` file, or a folder of those."""
    from foldnet_train.data import cifar, folder

    if not path.exists():
        raise BadInput(f"{path}: there is no such file or folder")
    read = cifar.load(path, side) if cifar.recognized(path) else folder.load(path, side)
    if len(read.classes) < 2:
        only = read.classes[0]
        raise BadInput(f"{path}: one class only ({only}); a classifier needs at least two subfolders with pictures")
    return read


def split(pictures: Pictures, share: float, seed: int) -> tuple[Pictures, Pictures]:
    """Training and held-out pictures; every class is in both."""
    rng = np.random.default_rng(seed)
    held: list[int] = []
    for number, name in enumerate(pictures.classes):
        members = rng.permutation(np.flatnonzero(pictures.labels == number))
        if len(members) < 2:
            raise BadInput(f"class {name}: {len(members)} readable picture; two are the least, a hundred are better")
        held.extend(members[: min(len(members) - 1, max(1, round(share * len(members))))].tolist())
    out = np.zeros(len(pictures), bool)
    out[held] = True
    return pictures.some(~out), pictures.some(out)
