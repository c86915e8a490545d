"""Compares our graphs with ONNX Runtime's on labelled images, logit by logit.

    accuracy.py MODEL.onnx --calibrate train-1000.bin --test test-1017.bin

Two comparisons: the f32 graph after folding against the original model, and the int8 archive against its own
QDQ export. Logits are the values in front of the last softmax. Images are CIFAR-10's binary format, fed as
raw 0..255 NHWC floats. Ends with code 3 when a limit is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

import foldnet
import pictures

BATCH = 64


@dataclass(frozen=True)
class Scores:
    """One run over the test images."""

    label: str
    logits: np.ndarray

    @property
    def classes(self) -> np.ndarray:
        return self.logits.argmax(axis=1)


def main() -> int:
    arguments = parse()
    converter = foldnet.require(arguments.converter, "The converter", "Build it with `cargo build --release`.")
    for path in (arguments.model, arguments.calibrate, arguments.test):
        foldnet.require(path, "The file", "See --help.")
    images, labels = pictures.cifar(arguments.test)
    with tempfile.TemporaryDirectory() as folder:
        archive, qdq = Path(folder, "model.nnef.tgz"), Path(folder, "model.qdq.onnx")
        foldnet.quantize(converter, arguments.model, arguments.calibrate, archive, arguments.quantize_option)
        foldnet.run([converter, "export", "--qdq", archive, "-o", qdq])
        f32 = Scores("ONNX Runtime, f32", onnxruntime_logits(arguments.model, images))
        folded = Scores("Foldnet, f32 folded", our_logits(converter, arguments.model, arguments.test, Path(folder)))
        int8 = Scores("Foldnet, int8", our_logits(converter, archive, arguments.test, Path(folder)))
        exported = Scores("ONNX Runtime, our QDQ export", onnxruntime_logits(qdq, images))
    print(f"**{arguments.model.name}** on the {len(labels)} images of {arguments.test.name}\n")
    print("| graph | right | top-1 |")
    print("|---|---|---|")
    for scores in (f32, folded, int8, exported):
        right = int((scores.classes == labels).sum())
        print(f"| {scores.label} | {right} | {right / len(labels):.2%} |")
    print("\n| compared | same top-1 | least | largest logit difference, of its range | most | |")
    print("|---|---|---|---|---|---|")
    limits = [(folded, f32, 1.0, 1e-3), (exported, int8, 0.995, None), (int8, f32, arguments.agreement, None)]
    met = [compare(*limit) for limit in limits]
    return 0 if all(met) else 3


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a CIFAR-10 network as ONNX")
    parser.add_argument("--calibrate", type=Path, required=True, help="training images, CIFAR-10 binary")
    parser.add_argument("--test", type=Path, required=True, help="test images, CIFAR-10 binary")
    parser.add_argument("--converter", type=Path, default=foldnet.program("converter"), help="our converter")
    parser.add_argument("--agreement", type=float, default=0.983, help="least int8 with f32 (default: %(default)s)")
    parser.add_argument("--quantize-option", action="append", default=[], help="passed on to `converter quantize`")
    return parser.parse_args()


def onnxruntime_logits(model: Path, images: np.ndarray) -> np.ndarray:
    """ONNX Runtime's value in front of the last softmax, for every image."""
    import onnxruntime

    proto = onnx.load(model)
    output = proto.graph.output[0].name
    producer = {name: node for node in proto.graph.node for name in node.output}
    last = producer[output]
    while last.op_type in {"Identity", "DequantizeLinear", "QuantizeLinear"}:
        last = producer[last.input[0]]
    if last.op_type == "Softmax":
        output = last.input[0]
        proto.graph.output.append(onnx.ValueInfoProto(name=output))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0]
    if source.shape[1] == images.shape[3]:
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    step = source.shape[0] if isinstance(source.shape[0], int) else BATCH
    parts = [session.run([output], {source.name: images[i : i + step]})[0] for i in range(0, len(images), step)]
    return np.concatenate(parts).reshape(len(images), -1)


def our_logits(converter: Path, file: Path, images: Path, folder: Path) -> np.ndarray:
    """The logits that `converter eval` writes."""
    out = folder / "logits.npy"
    foldnet.run([converter, "eval", file, "--images", images, "--json", "--logits", out])
    logits = np.load(foldnet.require(out, "The file of logits", "`converter eval --logits` wrote none."))
    out.unlink()
    return logits


def compare(ours: Scores, theirs: Scores, least: float, most: float | None) -> bool:
    """Prints one line; were the limits met?"""
    if ours.logits.shape != theirs.logits.shape:
        raise SystemExit(f"{ours.label}: {ours.logits.shape} logits, {theirs.label}: {theirs.logits.shape}")
    same = float((ours.classes == theirs.classes).mean())
    difference = float(np.abs(ours.logits - theirs.logits).max() / np.ptp(theirs.logits))
    met = same >= least and (most is None or difference < most)
    limit = "" if most is None else f"{most:.0e}"
    word = "met" if met else "MISSED"
    print(f"| {ours.label} : {theirs.label} | {same:.2%} | {least:.1%} | {difference:.1e} | {limit} | {word} |")
    return met


if __name__ == "__main__":
    sys.exit(main())
