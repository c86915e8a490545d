"""Prints whether `converter quantize --max-drop B --per-class` keeps its bound on images that it never saw.

    per_class.py make JPEGS FOLDER
    per_class.py measure --bound 0.1 --network MODEL.onnx IMAGES TEST [--network …]

`make` divides JPEGS, which has one subfolder of images per class, in two halves that share no image: `balanced/fit` and
`balanced/test`, and `imbalanced/fit`, in which the n-th class has a share of its images, down to a tenth. Every second
file of a class is for the test. `foldnet-train fit FOLDER/imbalanced/fit` trains a network on imbalanced classes.

`measure` quantizes each network on IMAGES, without and with the bound. The converter holds out some of these images and
checks the bound on them. Then f32 and both archives answer TEST. For each class, the script compares recall and
precision of int8 with f32's. Classes with fewer than 20 images of TEST are counted together, as by the converter. One
image of a class with n images is 100/n points of its recall, so no bound below that can be told from no loss at all.
p is the exact one-sided probability that this many of the images on which f32 and int8 differ are lost ones, if losing
and gaining are equally likely; it is of the class that loses most recall, and not corrected for the number of classes.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import foldnet

SHARES = [1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1]
"""Of each class's training images that stay in `imbalanced/fit`."""
FEW = 20
"""Images below which a class is counted with others."""


def main() -> int:
    arguments = parse()
    if arguments.what == "make":
        make(arguments.jpegs, arguments.folder)
        return 0
    converter = foldnet.require(arguments.converter, "The converter", "Build it with `cargo build --release`.")
    print("| network | images, test | archive | 16-bit parts | most recall lost | p | most precision lost | within |")
    print("|---|---|---|---|---|---|---|---|")
    for model, images, test in arguments.network:
        measure(converter, Path(model), Path(images), Path(test), arguments.bound, arguments.quantize_option)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    maker = commands.add_parser("make")
    maker.add_argument("jpegs", type=Path)
    maker.add_argument("folder", type=Path)
    meter = commands.add_parser("measure")
    meter.add_argument("--bound", type=float, required=True, help="points of recall and precision")
    meter.add_argument("--network", nargs=3, action="append", required=True, metavar=("MODEL", "IMAGES", "TEST"))
    meter.add_argument("--converter", type=Path, default=foldnet.program("converter"), help="our converter")
    meter.add_argument("--quantize-option", action="append", default=[], help="passed on to `converter quantize`")
    return parser.parse_args()


def make(jpegs: Path, folder: Path) -> None:
    """Writes the halves."""
    if folder.exists():
        raise SystemExit(f"{folder} is there already")
    classes = sorted(path for path in jpegs.iterdir() if path.is_dir())
    if len(classes) > len(SHARES):
        raise SystemExit(f"{jpegs} has {len(classes)} classes; at most {len(SHARES)} are supported")
    for name, share in zip(classes, SHARES, strict=False):
        files = sorted(name.glob("*.jpg"))
        fit, test = files[0::2], files[1::2]
        parts = {"balanced/fit": fit, "balanced/test": test, "imbalanced/fit": fit[: int(len(fit) * share)]}
        for part, chosen in parts.items():
            (folder / part / name.name).mkdir(parents=True)
            for file in chosen:
                shutil.copyfile(file, folder / part / name.name / file.name)


@dataclass
class Class:
    """A class, or those that are counted together, before and after quantization."""

    name: str
    images: int
    recall: float
    """Points lost."""
    precision: float
    p: float


def measure(converter: Path, model: Path, images: Path, test: Path, bound: float, extra: list[str]) -> None:
    """Prints two rows."""
    files = sorted(f for f in test.glob("*/*") if f.suffix.lower() in {".jpg", ".jpeg", ".png"})
    names = sorted({f.parent.name for f in files})
    labels = np.array([names.index(f.parent.name) for f in files])
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        float_answers = answers(converter, model, test, place, len(labels))
        for title, flags in (
            ("int8", []),
            (f"--max-drop {bound:g} --per-class", ["--max-drop", bound, "--per-class"]),
        ):
            archive = place / "model.nnef.tgz"
            words = [converter, "quantize", model, "--images", images, "-o", archive, "--json"]
            words += [*flags, *extra]
            done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
            # Code 3: the bound was not kept on the converter's own check; the archive is written all the same.
            if done.returncode not in (0, 3):
                raise SystemExit(f"{model}: converter quantize ended with code {done.returncode}:\n{done.stderr}")
            told = json.loads(done.stdout.strip().splitlines()[-1])
            int8_answers = answers(converter, archive, test, place, len(labels))
            missed = ", not kept on its own check" if done.returncode == 3 else ""
            counted = compare(labels, float_answers, int8_answers, names)
            sizes = f"{told['calibration_images']} + {told['held_out_images']} checked, {len(labels)}"
            print(row(foldnet.name(model), sizes, title + missed, len(told["layers_kept"]), counted, bound), flush=True)


def answers(converter: Path, model: Path, test: Path, place: Path, count: int) -> np.ndarray:
    """The class that a model or archive names for each image of the test."""
    logits = place / "logits.npy"
    logits.unlink(missing_ok=True)
    told = foldnet.run([converter, "eval", model, "--images", test, "--logits", logits, "--json"])
    if told["skipped"] or told["images"] != count:
        raise SystemExit(f"{test}: {told['images']} of {count} images were read")
    return np.load(logits).argmax(axis=1)


def compare(labels: np.ndarray, before: np.ndarray, after: np.ndarray, names: list[str]) -> list[Class]:
    """Each class with enough images, and the others as one."""
    sizes = np.bincount(labels, minlength=len(names))
    groups = [([number], name) for number, name in enumerate(names) if sizes[number] >= FEW]
    few = [number for number in range(len(names)) if sizes[number] < FEW]
    groups += [(few, f"{len(few)} classes together")] if few and sizes[few].sum() >= FEW else []
    return [one(labels, before, after, numbers, name) for numbers, name in groups]


def one(labels: np.ndarray, before: np.ndarray, after: np.ndarray, numbers: list[int], name: str) -> Class:
    """The losses of a group of classes."""
    true = np.isin(labels, numbers)
    right = [true & (said == labels) for said in (before, after)]
    recall = [100.0 * hit.sum() / true.sum() for hit in right]
    claimed = [np.isin(said, numbers).sum() for said in (before, after)]
    precision = [100.0 * hit.sum() / max(claims, 1) for hit, claims in zip(right, claimed, strict=True)]
    lost, gained = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    return Class(name, int(true.sum()), recall[0] - recall[1], precision[0] - precision[1], sign_test(lost, gained))


def sign_test(lost: int, gained: int) -> float:
    """P(at least `lost` of `lost + gained`), if both are equally likely."""
    n = lost + gained
    return sum(math.comb(n, k) for k in range(lost, n + 1)) / 2**n


def row(network: str, sizes: str, archive: str, kept: int, classes: list[Class], bound: float) -> str:
    """A line of the table."""
    recall = max(classes, key=lambda c: c.recall)
    precision = max(classes, key=lambda c: c.precision)
    within = sum(c.recall <= bound + 1e-9 and c.precision <= bound + 1e-9 for c in classes)
    cells = [network, sizes, archive, str(kept)]
    cells += [f"{recall.recall:.2f} ({recall.name}, {recall.images} images)", f"{recall.p:.2f}"]
    cells += [f"{precision.precision:.2f} ({precision.name})", f"{within} of {len(classes)} classes"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    raise SystemExit(main())
