"""Images in memory, and their origin."""

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
    """Images with labels: `pixels` is `[n, side, side, 3]`, RGB; `labels` are indices into `classes`."""

    pixels: Pixels
    labels: Numbers
    classes: list[str]
    skipped: list[str] = field(default_factory=list)
    """Files that could not be read, and why."""
    digests: list[bytes] = field(default_factory=list)
    """SHA-256 of each image's content: of its file, or of its RGB bytes where one file holds many. Empty where nobody
    asks which images training holds out."""

    def __len__(self) -> int:
        return len(self.labels)

    def some(self, chosen: Any) -> Pictures:
        """Returns the images with these indices."""
        indices = np.arange(len(self))[chosen]
        digests = [self.digests[i] for i in indices] if self.digests else []
        return Pictures(self.pixels[chosen], self.labels[chosen], self.classes, digests=digests)

    def fingerprint(self) -> str:
        """Returns a value that is the same for the same images in the same order."""
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
        raise BadInput(f"{path}: one class only ({only}); a classifier needs at least two subfolders with images")
    return read


def split(pictures: Pictures, share: float, seed: int) -> tuple[Pictures, Pictures]:
    """Splits into training and held-out images; every class is in both. The decision depends on each image's
    content, so the converter can distinguish the two wherever the files are, see `held_out_rule`."""
    out, _ = decide(pictures, share, seed)
    return pictures.some(~out), pictures.some(out)


def held_out_rule(pictures: Pictures, share: float, seed: int) -> str:
    """Returns the rule by which `split` holds out images, in the form that the converter reads in a model's
    metadata."""
    _, exceptions = decide(pictures, share, seed)
    but = f" but={','.join(f'{key:016x}' for key in sorted(exceptions))}" if exceptions else ""
    return f"share={share!r} seed={seed}{but}"


def decide(pictures: Pictures, share: float, seed: int) -> tuple[npt.NDArray[np.bool_], set[int]]:
    """Returns which images are held out, and the keys that are exceptions to the rule: a class that would be
    entirely in one part gives one image to the other."""
    keys = [key(seed, digest) for digest in pictures.digests or [digest(p) for p in pictures.pixels]]
    limit = share * 2**53
    out = np.array([k >> 11 < limit for k in keys], bool)
    exceptions: set[int] = set()
    for number, name in enumerate(pictures.classes):
        members = sorted(np.flatnonzero(pictures.labels == number), key=lambda i: keys[i])
        if len(members) < 2:
            raise BadInput(f"class {name}: {len(members)} readable image; two are the least, a hundred are better")
        if keys[members[0]] == keys[members[-1]]:
            raise BadInput(f"class {name}: its {len(members)} images are all the same; at least two must differ")
        held = out[members]
        if held.all() or not held.any():
            exceptions.add(keys[members[-1] if held.all() else members[0]])
    return np.array([flag != (k in exceptions) for flag, k in zip(out, keys, strict=True)], bool), exceptions


def digest(content: Any) -> bytes:
    """Returns the SHA-256 of an image's content."""
    return hashlib.sha256(np.ascontiguousarray(content).tobytes() if hasattr(content, "dtype") else content).digest()


def key(seed: int, content_digest: bytes) -> int:
    """Returns a key that is uniform in 0 … 2⁶⁴ − 1 and differs for each seed."""
    mixed = hashlib.sha256(seed.to_bytes(8, "little") + content_digest).digest()
    return int.from_bytes(mixed[:8], "little")
