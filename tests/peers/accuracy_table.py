"""Prints how often int8 gives f32's answer, ours and the peers', all calibrated on the same images.

    accuracy_table.py MODEL.onnx… --calibrate train-1000.bin --test test-1017.bin --test JPEG_FOLDER

One row per quantizer; per test set the share of images with f32's top-1 and the right answers. A peer is judged
against ONNX Runtime's f32 on images decoded by Pillow, we against our own f32 on images that we decoded. A test
set is a file in CIFAR-10's binary format or a folder of folders by class.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

import accuracy
import foldnet
import pictures
from engines import litert, onnxruntime


def main() -> int:
    arguments = parse()
    converter = foldnet.require(arguments.converter, "The converter", "Build it with `cargo build --release`.")
    names = [path.name for path in arguments.test]
    calibration = pictures.cifar(arguments.calibrate)[0]
    for model in arguments.models:
        print(f"\n**{model.name}**\n")
        print("| quantizer | " + " | ".join(f"{name}: same top-1 | right" for name in names) + " |")
        print("|---" * (1 + 2 * len(names)) + "|")
        tests = [read(path) for path in arguments.test]
        floats = [accuracy.onnxruntime_logits(model, images).argmax(axis=1) for images, _ in tests]
        row("f32", [("", int((f == labels).sum())) for f, (_, labels) in zip(floats, tests, strict=True)])
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, model.name)
            copy.write_bytes(model.read_bytes())
            for name, classify in peers(copy, calibration, arguments.litert):
                row(name, [judge(classify(images), f, labels) for f, (images, labels) in zip(floats, tests, strict=True)])
            archive = Path(folder, "model.nnef.tgz")
            foldnet.quantize(converter, model, arguments.calibrate, archive, arguments.quantize_option)
            row("Foldnet", [ours(converter, model, archive, path) for path in arguments.test])
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, help="CIFAR-10 networks as ONNX")
    parser.add_argument("--calibrate", type=Path, required=True, help="training images, CIFAR-10 binary")
    parser.add_argument("--test", type=Path, action="append", required=True, help="test images; may be given again")
    parser.add_argument("--converter", type=Path, default=foldnet.program("converter"), help="our converter")
    parser.add_argument("--litert", action="store_true", help="also LiteRT, which wants TensorFlow")
    parser.add_argument("--quantize-option", action="append", default=[], help="passed on to `converter quantize`")
    return parser.parse_args()


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    return pictures.labelled_folder(path) if path.is_dir() else pictures.cifar(path)


def peers(model: Path, images: np.ndarray, with_litert: bool) -> list[tuple[str, Callable[[np.ndarray], np.ndarray]]]:
    """The peers' int8 networks: what names classes for images."""
    from onnxruntime.quantization import QuantType

    singles = [image[None] for image in images]
    rows = []
    for method in ("MinMax", "Percentile"):
        artifact = model.with_suffix(f".{method}.onnx")
        onnxruntime.quantize(model, singles, QuantType.QUInt8, artifact, method)
        rows.append((f"ONNX Runtime, {method}", lambda images, a=artifact: onnxruntime_classes(a, images)))
    if with_litert:
        artifact = litert.prepare(model, singles)
        rows.append(("LiteRT", lambda images: litert_classes(artifact, images)))
    return rows


def onnxruntime_classes(artifact: Path, images: np.ndarray) -> np.ndarray:
    return accuracy.onnxruntime_logits(artifact, images).argmax(axis=1)


def litert_classes(artifact: Path, images: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(artifact), num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    classes = []
    for image in images:
        interpreter.set_tensor(source, image[None])
        interpreter.invoke()
        classes.append(int(interpreter.get_tensor(target).argmax()))
    return np.array(classes)


def judge(classes: np.ndarray, truth: np.ndarray, labels: np.ndarray) -> tuple[str, int]:
    """Share with the same top-1, and how many are right."""
    return f"{(classes == truth).mean():.2%}", int((classes == labels).sum())


def ours(converter: Path, model: Path, archive: Path, images: Path) -> tuple[str, int]:
    compared = foldnet.run(
        [converter, "compare", model, archive, "--images", images, "--layer-images", "1", "--json", "-q"]
    )
    right = foldnet.run([converter, "eval", archive, "--images", images, "--json", "-q"])
    return f"{compared['agreement']:.2%}", right["correct"]


def row(name: str, cells: list[tuple[str, int]]) -> None:
    print(f"| {name} | " + " | ".join(f"{same} | {right}" for same, right in cells) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
