"""CIFAR-10's binary format: per image one label byte, then the R, G and B planes of 32×32.

A. Krizhevsky, *Learning multiple layers of features from tiny images*, 2009."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from foldnet_train.data.pictures import Pictures, digest
from foldnet_train.errors import BadInput

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
RECORD = 3073


def recognized(path: Path) -> bool:
    """Returns whether a path is a `.bin` file, or a folder with such files."""
    return path.suffix == ".bin" if path.is_file() else any(path.glob("data_batch_*.bin"))


def load(path: Path, side: int) -> Pictures:
    """Reads a file, or the training batches of the extracted CIFAR-10 folder."""
    files = [path] if path.is_file() else sorted(path.glob("data_batch_*.bin"))
    parts = []
    for file in files:
        raw = np.fromfile(file, np.uint8)
        if len(raw) == 0 or len(raw) % RECORD:
            raise BadInput(f"{file}: {len(raw)} bytes are no whole number of CIFAR-10 records of {RECORD}")
        parts.append(raw.reshape(-1, RECORD))
    records = np.concatenate(parts)
    labels = records[:, 0].astype(np.int64)
    if labels.max() >= len(CLASSES):
        raise BadInput(f"{path}: label {labels.max()}; CIFAR-10 has {len(CLASSES)}")
    pixels = np.ascontiguousarray(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    digests = [digest(p) for p in pixels]
    if side != 32:
        resized = [Image.fromarray(p).resize((side, side), Image.Resampling.BILINEAR) for p in pixels]
        pixels = np.stack([np.asarray(p) for p in resized])
    there = np.unique(labels)
    numbers = np.searchsorted(there, labels).astype(np.int64)
    return Pictures(pixels, numbers, [CLASSES[i] for i in there], digests=digests)
