"""Prints how much noise int8 brings to the logits of ResNet-50s with random weights, ours and ONNX Runtime's.

    photograph_logits.py --photos FOLDER

Keras Applications' and torchvision's ResNet-50, as their exporters wrote them, refilled with seeded weights
(`tests/networks`). The first photographs calibrate, as many of the others are measured (ONNX Runtime keeps
every value of every calibration image in memory: 80 images take ten gigabytes). Signal to noise in
dB, each side around its mean per image, against ONNX Runtime's f32. Ends with code 3 when we are not at least
3 dB above ONNX Runtime's best.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx

import accuracy
import foldnet
import pictures
from engines import onnxruntime

NETWORKS = foldnet.REPOSITORY / "tests" / "networks"
MARGIN_DB = 3.0
# Name of the graph, what its training would have done to pixels, and how our converter calls that.
ROWS = (("resnet50-tf2onnx", "CAFFE", "caffe"), ("resnet50-torchscript", "IMAGENET", "torch"))


def main() -> int:
    arguments = parse()
    converter = foldnet.require(arguments.converter, "The converter", "Build it with `cargo build --release`.")
    split = arguments.calibrate
    images = pictures.photographs(arguments.photos, 2 * split)
    print(f"{split} photographs calibrate, {len(images) - split} are measured.\n")
    print("| network | ONNX Runtime, MinMax | ONNX Runtime, Percentile | Foldnet | above the best |")
    print("|---|---|---|---|---|", flush=True)
    met = [row(converter, *names, images[:split], images[split:], arguments.quantize_option) for names in ROWS]
    return 0 if all(met) else 3


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photographs")
    parser.add_argument("--calibrate", type=int, default=40, help="how many calibrate (default: %(default)s)")
    parser.add_argument("--converter", type=Path, default=foldnet.program("converter"), help="our converter")
    parser.add_argument("--quantize-option", action="append", default=[], help="passed on to `converter quantize`")
    return parser.parse_args()


def row(
    converter: Path, name: str, kind: str, flag: str, seen: np.ndarray, tested: np.ndarray, extra: list[str]
) -> bool:
    """One network's line; are we far enough above?"""
    from onnxruntime.quantization import QuantType

    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, f"{name}.onnx")
        onnx.save(refilled(name), model)
        truth = accuracy.onnxruntime_logits(model, prepared(tested, kind))
        batch = prepared(seen, kind)
        channels_first = onnx.load(model).graph.input[0].type.tensor_type.shape.dim[1].dim_value == 3
        singles = [image[None].transpose(0, 3, 1, 2) if channels_first else image[None] for image in batch]
        theirs = []
        for method in ("MinMax", "Percentile"):
            artifact = model.with_suffix(f".{method}.onnx")
            onnxruntime.quantize(model, singles, QuantType.QUInt8, artifact, method)
            theirs.append(sqnr(truth, accuracy.onnxruntime_logits(artifact, prepared(tested, kind))))
        calibration, test = Path(folder, "calibration.npy"), Path(folder, "test.npy")
        np.save(calibration, seen.astype(np.uint8))
        np.save(test, tested.astype(np.uint8))
        archive = Path(folder, "model.nnef.tgz")
        foldnet.quantize(converter, model, calibration, archive, ["--preprocess", flag, *extra])
        ours = sqnr(truth, accuracy.our_logits(converter, archive, test, Path(folder)))
    above = ours - max(theirs)
    print(f"| {name} | {theirs[0]:.1f} dB | {theirs[1]:.1f} dB | {ours:.1f} dB | {above:+.1f} dB |", flush=True)
    return above >= MARGIN_DB


def refilled(name: str) -> onnx.ModelProto:
    """The exporter's graph with its weights."""
    sys.path.insert(0, str(NETWORKS))
    from strip import refill

    return refill(onnx.load_from_string(gzip.decompress((NETWORKS / "graphs" / f"{name}.onnx.gz").read_bytes())))


def prepared(images: np.ndarray, kind: str) -> np.ndarray:
    """What the network takes for images (NHWC RGB, 0..255), channels last."""
    sys.path.insert(0, str(NETWORKS))
    import catalogue
    from refill import network_input

    return np.concatenate([network_input(image.astype(np.uint8), getattr(catalogue, kind), "nhwc") for image in images])


def sqnr(truth: np.ndarray, other: np.ndarray) -> float:
    """dB, each image's logits around their mean."""
    truth, other = (v - v.mean(axis=1, keepdims=True) for v in (truth.astype(np.float64), other.astype(np.float64)))
    return float(10 * np.log10((truth**2).sum() / ((truth - other) ** 2).sum()))


if __name__ == "__main__":
    sys.exit(main())
