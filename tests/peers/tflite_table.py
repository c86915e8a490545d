"""Prints how int8 TFLite files answer here and in LiteRT.

    tflite_table.py --test test-1017.bin                          all Keras Applications ResNets, int8 and float
    tflite_table.py ResNet50 --test test-1017.bin                 some of them
    tflite_table.py --file qat.tflite --test test-1017.bin        a file as it is; may be repeated

Keras Applications' networks have seeded random weights, batch-norm statistics measured on images, and a last layer
that was fitted to CIFAR-10, so that their answers vary. TensorFlow's converter writes each as float and as int8 file.
`converter quantize FILE` converts both. An int8 file's archive is compared with LiteRT on the same file, with its
default kernels (XNNPACK's) and with TFLite's own; the last column compares these two with each other. A float file's
f32 answers are compared with LiteRT's. Differences are of what stands in front of the softmax, in steps of the int8
file, or in parts of the largest logit. Ends with code 3 when a limit is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import foldnet
import models
import pictures

sys.path.insert(0, str(foldnet.REPOSITORY / "converter" / "tests" / "tflite"))

from litert import logits_model, run  # noqa: E402

LEAST_AGREEMENT, MOST_STEPS, MOST_FLOAT = 0.995, 2, 1e-4
HEAD = (
    "| file | images | classes answered | same top-1 as LiteRT | largest difference | equal logits "
    "| as TFLite's own kernels | these with XNNPACK's |"
)


@dataclass(frozen=True)
class Images:
    """What the networks see: for calibration, and to compare on."""

    calibration: np.ndarray
    test: np.ndarray


def main() -> int:
    arguments = parse()
    converter = foldnet.require(arguments.converter, "The converter", "Build it with `cargo build --release`.")
    labelled = [pictures.cifar(foldnet.require(path, "The file", "See --help.")) for path in (arguments.train, arguments.test)]
    small = Images(labelled[0][0], labelled[1][0][: arguments.images])
    names = arguments.names or ([] if arguments.file else list(models.KERAS))
    print(HEAD)
    print("|---" * HEAD.count(" |") + "|")
    met = True
    with tempfile.TemporaryDirectory() as folder:
        for file in arguments.file:
            met &= compare(converter, file, small, Path(folder))
        for name in names:
            seen = Images(enlarge(small.calibration[:CALIBRATION], arguments.side), enlarge(small.test, arguments.side))
            for file in files(name, seen, labelled[0], arguments):
                met &= compare(converter, file, seen, Path(folder))
    return 0 if met else 3


CALIBRATION = 32


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *models.KERAS], help="networks to make (default: all)")
    parser.add_argument("--file", type=Path, action="append", default=[], help="a TFLite file for 32x32 pixels")
    parser.add_argument("--train", type=Path, required=True, help="labelled images to calibrate with, CIFAR-10 binary")
    parser.add_argument("--test", type=Path, required=True, help="images to compare on, CIFAR-10 binary")
    parser.add_argument("--images", type=int, default=1017, help="compare on at most this many")
    parser.add_argument("--side", type=int, default=224, help="pixels of a side of Keras Applications' networks")
    parser.add_argument("--cache", type=Path, default=models.DEFAULT_CACHE, help="where files are kept")
    parser.add_argument("--converter", type=Path, default=foldnet.program("converter"), help="our converter")
    return parser.parse_args()


def enlarge(images: np.ndarray, side: int) -> np.ndarray:
    """Each pixel as a square of pixels; whole numbers stay whole."""
    at = np.arange(side) * images.shape[1] // side
    return images[:, at][:, :, at]


def files(name: str, images: Images, labelled: tuple[np.ndarray, np.ndarray], arguments: argparse.Namespace) -> list[Path]:
    """The float and the int8 file of a network, made on first use."""
    cache = arguments.cache.expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    paths = [cache / f"{name}-{arguments.side}.{kind}.tflite" for kind in ("f32", "int8")]
    if not all(path.exists() for path in paths):
        import tensorflow as tf

        model = models.keras_classifier(name, arguments.side, *labelled)
        inputs = [models.preprocess(name, image[None]) for image in images.calibration]
        for path, quantized in zip(paths, (False, True), strict=True):
            converter = tf.lite.TFLiteConverter.from_keras_model(model)
            if quantized:
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
                converter.representative_dataset = lambda: ([image] for image in inputs)
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            unfinished = path.with_suffix(".unfinished")
            unfinished.write_bytes(converter.convert())
            unfinished.replace(path)
    return paths


def compare(converter: Path, file: Path, images: Images, folder: Path) -> bool:
    """Prints a file's row; whether its limits are met."""
    content = file.read_bytes()
    without, step, zero = logits_model(content)
    name = file.name.split("-")[0]
    inputs = as_input(content, name, images.test)
    theirs = run(without, inputs).astype(np.float64)
    ours = our_logits(converter, file, name, images, folder, int8=step > 0)
    same = (ours.argmax(1) == theirs.argmax(1)).mean()
    answered = len(np.unique(theirs.argmax(1)))
    cells = [file.name, len(theirs), answered, f"{same:.2%}"]
    if step == 0:
        far = np.abs(ours - theirs).max() / np.abs(theirs).max()
        row([*cells, f"{far:.1e}", "–", "–", "–"])
        return bool(same == 1 and far < MOST_FLOAT)
    own = run(without, inputs, own=True).astype(np.float64)
    steps = ours / step + zero
    away = np.abs(steps - theirs)
    row(
        [
            *cells,
            f"{away.max():.0f} LSB",
            f"{(away < 0.01).mean():.2%}",
            judged(steps, own),
            judged(theirs, own),
        ]
    )
    return bool(same >= LEAST_AGREEMENT and away.max() < MOST_STEPS + 0.01)


def judged(a: np.ndarray, b: np.ndarray) -> str:
    return f"{(a.argmax(1) == b.argmax(1)).mean():.2%}, {np.abs(a - b).max():.0f} LSB"


def as_input(content: bytes, name: str, images: np.ndarray) -> list[np.ndarray]:
    """The images as the file takes them: bytes are the pixels themselves, floats what the network's author says."""
    from ai_edge_litert.interpreter import Interpreter

    (source,) = Interpreter(model_content=content).get_input_details()
    if source["dtype"] == np.float32:
        return list(models.preprocess(name, images) if name in models.KERAS else images)
    return list((images - (128 if source["dtype"] == np.int8 else 0)).astype(source["dtype"]))


def our_logits(converter: Path, file: Path, name: str, images: Images, folder: Path, *, int8: bool) -> np.ndarray:
    """Of the archive of an int8 file, of a float file itself."""
    arrays = {"calibration.npy": images.calibration, "test.npy": images.test}
    for array, values in arrays.items():
        np.save(folder / array, values.astype(np.uint8))
    logits, archive = folder / "logits.npy", folder / "model.nnef.tgz"
    how = ["--preprocess", models.PREPROCESS[name]] if name in models.KERAS else []
    calibration = ["--images", folder / "calibration.npy"]
    foldnet.run([converter, "quantize", file, *calibration, *how, "--no-labels", "-o", archive, "-q"])
    source = [archive] if int8 else [file, *how]
    foldnet.run([converter, "eval", *source, "--images", folder / "test.npy", "--logits", logits, "-q"])
    return np.load(logits).astype(np.float64)


def row(cells: list) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
