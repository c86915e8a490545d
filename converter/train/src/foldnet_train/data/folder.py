"""A folder with one subfolder of image files per class."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from foldnet_train.data.pictures import LARGEST, Pictures, Pixels, digest
from foldnet_train.errors import BadInput

ENDINGS = {".bmp", ".jpeg", ".jpg", ".png", ".webp"}


def load(root: Path, side: int) -> Pictures:
    """Reads all images; skips files that cannot be read and lists them in `Pictures.skipped`."""
    if not root.is_dir():
        raise BadInput(f"{root}: a folder with one subfolder per class is expected, or a CIFAR-10 .bin file")
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    files = [(number, file) for number, folder in enumerate(folders) for file in picture_files(folder)]
    if not files:
        raise BadInput(f"{root}: no images in subfolders; one subfolder per class is expected")
    if len(files) * side * side * 3 > LARGEST:
        raise BadInput(f"{root}: {len(files)} images of {side}×{side} are more than memory should hold; lower side")
    with ThreadPoolExecutor(2) as readers:
        read = list(readers.map(lambda entry: read_or_reason(entry[1], side), files))
        digests = list(readers.map(lambda entry: file_digest(entry[1]), files))
    skipped = [f"{file}: {what}" for (_, file), what in zip(files, read, strict=True) if isinstance(what, str)]
    pixels = [what for what in read if not isinstance(what, str)]
    if not pixels:
        raise BadInput(f"{root}: none of {len(files)} images could be read; the first is {skipped[0]}")
    labels = [number for (number, _), what in zip(files, read, strict=True) if not isinstance(what, str)]
    # A subfolder without images is not a class.
    there = sorted(set(labels))
    numbers = np.searchsorted(there, labels).astype(np.int64)
    kept = [d for d, what in zip(digests, read, strict=True) if not isinstance(what, str)]
    return Pictures(np.stack(pixels), numbers, [folders[number].name for number in there], skipped, kept)


def picture_files(folder: Path) -> list[Path]:
    """Returns the image files below a folder, except hidden ones, in the order of their paths."""
    found = (p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def file_digest(file: Path) -> bytes:
    """Returns the SHA-256 of a file's bytes, or of nothing if it cannot be read, which `read_or_reason` reports."""
    try:
        return digest(file.read_bytes())
    except OSError:
        return digest(b"")


def read_or_reason(file: Path, side: int) -> Pixels | str:
    """Returns the pixels, or the reason why there are none."""
    try:
        return read(file, side)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        return str(error)


def read(file: Path, side: int) -> Pixels:
    """Reads an image as RGB, stretched to `side`×`side` with Pillow's bilinear filter, bit for bit like Foldnet's
    runtime. Grey becomes three equal channels, transparency is dropped, 16 bits become 8."""
    with Image.open(file) as opened:
        picture: Image.Image = opened
        if opened.mode.startswith("I"):
            grey = np.asarray(opened.convert("I"))
            picture = Image.fromarray((grey // 257).clip(0, 255).astype(np.uint8))
        return np.asarray(picture.convert("RGB").resize((side, side), Image.Resampling.BILINEAR))
