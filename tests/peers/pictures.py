"""Images for calibration and for random networks' statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def synthetic(count: int, seed: int, side: int = 224) -> np.ndarray:
    """Seeded colour clouds, NHWC float32 in 0..255: noise at every octave, like photographs' spectrum."""
    rng = np.random.default_rng(seed)
    images = np.zeros((count, side, side, 3), np.float32)
    for cells in (2, 4, 8, 16, 32, 64, 128):
        noise = rng.normal(0, 1, (count, cells, cells, 3)).astype(np.float32)
        at = np.arange(side) * cells // side
        images += noise[:, at][:, :, at] / np.sqrt(cells, dtype=np.float32)
    images -= images.min(axis=(1, 2), keepdims=True)
    return images * (255 / images.max(axis=(1, 2), keepdims=True))


def synthetic_folder(folder: Path, count: int, seed: int) -> Path:
    """A folder of `count` synthetic images as PNG, made on first use."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    if len(list(folder.glob("*.png"))) < count:
        for i, image in enumerate(synthetic(count, seed)):
            Image.fromarray(image.astype(np.uint8)).save(folder / f"{i:04}.png")
    return folder


def photographs(folder: Path, count: int, side: int = 224) -> np.ndarray:
    """The first `count` JPEG or PNG files of `folder`, centre-cropped and resized, NHWC float32 RGB in 0..255."""
    from PIL import Image, ImageOps

    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in {".jpg", ".jpeg", ".png"})[:count]
    if not files:
        raise SystemExit(f"{folder}: no JPEG or PNG pictures in it; give a folder of photographs")
    fitted = (ImageOps.fit(Image.open(f).convert("RGB"), (side, side), Image.Resampling.BILINEAR) for f in files)
    return np.stack([np.asarray(image, np.float32) for image in fitted])


def cifar(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (NHWC float32 in 0..255) and labels of a file in CIFAR-10's binary format."""
    records = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, 3073)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images, np.float32), records[:, 0].astype(np.int64)


def read(files: list[Path]) -> np.ndarray:
    """Images of one size, NHWC float32 in 0..255."""
    from PIL import Image

    return np.stack([np.asarray(Image.open(file).convert("RGB"), np.float32) for file in files])


def labelled_folder(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (NHWC float32 in 0..255) and labels of `<class>/<picture>`; classes by name."""
    files = sorted(f for f in folder.glob("*/*") if f.suffix.lower() in {".jpg", ".jpeg", ".png"})
    names = sorted({f.parent.name for f in files})
    if not files:
        raise SystemExit(f"{folder}: no pictures in folders by class")
    return read(files), np.array([names.index(f.parent.name) for f in files])
