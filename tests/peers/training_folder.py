"""Gathers images to train on from CIFAR-10's files, without those that are measured on.

    training_folder.py JPEGS... --train train-1000.bin --without test-1017.bin -o FOLDER

JPEGS are folders with one subfolder of images per class; files in CIFAR's binary format are given by --train. Where
an image of the folders shows what one of --without does, it is left out: each of those has its own nearest image,
by the mean square difference of their pixels, which has to be of the same class and at most half as far away as the
next one, or nothing is written. `foldnet-train fit FOLDER` takes the result.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
RECORD = 1 + 3 * 32 * 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jpegs", type=Path, nargs="*")
    parser.add_argument("--train", type=Path, nargs="*", default=[])
    parser.add_argument("--without", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.output.exists():
        raise SystemExit(f"{arguments.output} is there already")
    files = [file for root in arguments.jpegs for name in CLASSES for file in sorted((root / name).glob("*.jpg"))]
    measured = twins(files, *records(arguments.without)) if files else set()
    for name in CLASSES:
        (arguments.output / name).mkdir(parents=True)
    kept = [file for number, file in enumerate(files) if number not in measured]
    for number, file in enumerate(kept):
        shutil.copyfile(file, arguments.output / file.parent.name / f"jpeg-{number:05}.jpg")
    lossless = 0
    for source in arguments.train:
        for label, pixels in zip(*records(source), strict=True):
            Image.fromarray(pixels).save(arguments.output / CLASSES[label] / f"lossless-{lossless:05}.png")
            lossless += 1
    print(f"{len(kept)} of {len(files)} JPEGs, without {len(measured)} that are measured on; {lossless} lossless")


def records(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and pixels `[n, 32, 32, 3]`."""
    raw = np.fromfile(file, np.uint8).reshape(-1, RECORD)
    return raw[:, 0], np.ascontiguousarray(raw[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def twins(files: list[Path], labels: np.ndarray, pixels: np.ndarray) -> set[int]:
    """The numbers of the files that show one of these images."""
    shown = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    a, b = (x.reshape(len(x), -1).astype(np.float32) for x in (pixels, shown))
    distances = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    nearest = np.argsort(distances, axis=1)[:, :2]
    found: set[int] = set()
    for number, (label, (first, second)) in enumerate(zip(labels, nearest, strict=True)):
        sure = distances[number, first] * 4 <= distances[number, second]
        if not sure or files[first].parent.name != CLASSES[label] or first in found:
            raise SystemExit(f"picture {number} to be left out cannot be told among the JPEGs")
        found.add(int(first))
    return found


if __name__ == "__main__":
    main()
