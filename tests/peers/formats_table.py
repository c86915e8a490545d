"""Prints whether a trained network gives the same archive from every format.

    formats_table.py resnet20-v1-cifar10.onnx resnet29-v2-cifar10.onnx resnet8-mlperf-tiny.onnx \\
        --train train-1000.bin --test test-1017.bin --keras-python keras/bin/python --torch-python torch/bin/python

Each framework builds the network from its own layers with the ONNX file's weights, and writes its files
(formats_write.py). The converter reads each file with that framework's Python. "f32 answers" is the largest difference
of the logits from the ONNX file's, in parts of their range. "int8" compares the archives: their networks byte for
byte, and their logits. Ends with code 3 where f32 answers differ by more than 1e-5 of the range.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np

import foldnet

MOST = 1e-5
# Of an archive; they name the source.
MANIFEST = ("foldnet.toml", "proof.toml", "provenance.toml")
KERAS = ("model.keras", "model.h5", "saved_model", "model.tflite")
TORCH = ("model.pt2", "model.pt")


def main() -> int:
    arguments = parse()
    converter = foldnet.require(arguments.converter, "The converter", "Build it with `cargo build --release`.")
    met = True
    print("| network | format | f32 answers differ by | int8 network | int8 logits equal | int8 top-1 equal |")
    print("|---|---|---|---|---|---|")
    for model in arguments.models:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder)
            truth = answers(converter, model, [], path, arguments)
            row(model.stem, "ONNX", "0", "–", "–", "–")
            for framework, python, names in (
                ("keras", arguments.keras_python, KERAS),
                ("torch", arguments.torch_python, TORCH),
            ):
                if python is None:
                    continue
                write(framework, python, model, path)
                for name in names:
                    options = [] if name.endswith(".tflite") else ["--python", python]
                    if name == "model.pt":
                        options += ["--input-size", "32x32"]
                    met &= compare(model.stem, name, truth, answers(converter, path / name, options, path, arguments))
    return 0 if met else 3


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, help="CIFAR-10 networks as ONNX")
    parser.add_argument("--train", type=Path, required=True, help="images to calibrate with, CIFAR-10 binary")
    parser.add_argument("--test", type=Path, required=True, help="images to compare on, CIFAR-10 binary")
    parser.add_argument("--keras-python", type=Path, help="a Python with Keras, TensorFlow, tf2onnx and onnx")
    parser.add_argument("--torch-python", type=Path, help="a Python with PyTorch, onnxscript and onnx")
    parser.add_argument("--converter", type=Path, default=foldnet.program("converter"), help="our converter")
    parser.add_argument("--quantize", default="", help="more flags for `converter quantize`")
    return parser.parse_args()


def write(framework: str, python: Path, model: Path, folder: Path) -> None:
    words = [python, Path(__file__).with_name("formats_write.py"), framework, model, folder]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{model.name}: {framework} cannot write it:\n{done.stderr.strip()[-2000:]}")


def answers(converter: Path, model: Path, options: list, folder: Path, arguments: argparse.Namespace) -> dict:
    """What the converter makes of a file: f32 and int8 logits, and the archive's network."""
    archive, logits = folder / "archive.nnef.tgz", folder / "logits.npy"
    how = ["--preprocess", "none", *options]
    quantize = ["--images", arguments.train, "--no-labels", "-o", archive, *arguments.quantize.split(), "-q"]
    foldnet.run([converter, "quantize", model, *how, *quantize])
    found = {"network": network(archive)}
    for kind, of in (("f32", [model, *how]), ("int8", [archive])):
        foldnet.run([converter, "eval", *of, "--images", arguments.test, "--logits", logits, "-q"])
        found[kind] = np.load(logits)
    return found


def network(archive: Path) -> dict[str, bytes]:
    """The archive's files except the manifest, which names the source."""
    with tarfile.open(archive) as files:
        read = {entry.name: files.extractfile(entry) for entry in files if entry.isfile()}
        return {name: file.read() for name, file in read.items() if file and name not in MANIFEST}


def compare(model: str, name: str, truth: dict, other: dict) -> bool:
    far = float(np.abs(other["f32"] - truth["f32"]).max() / np.ptp(truth["f32"]))
    differ = [file for file in truth["network"] if truth["network"][file] != other["network"].get(file)]
    same = "the same bytes" if not differ and len(other["network"]) == len(truth["network"]) else f"{len(differ)} files differ"
    equal = (truth["int8"] == other["int8"]).mean()
    top = (truth["int8"].argmax(1) == other["int8"].argmax(1)).mean()
    row(model, name, f"{far:.1e}", same, f"{equal:.2%}", f"{top:.2%}")
    return far <= MOST


def row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
