"""Write a trained model as ONNX (opset 17) for the converter, and check it against Keras.

MODEL is a training's folder, a .keras file, or a folder with TensorFlow's saved model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from foldnet_train.commands import Say
from foldnet_train.data.pictures import Pixels, load
from foldnet_train.errors import BadInput, LimitMissed


def add_flags(to: argparse.ArgumentParser) -> None:
    """See the module."""
    to.add_argument("model", type=Path, metavar="MODEL")
    to.add_argument("-o", "--output", type=Path, metavar="OUT.onnx", help="model.onnx beside the model if not given")
    to.add_argument("--images", type=Path, metavar="DIR", help="images to check on (random pixels if not given)")
    to.add_argument("--labels", type=Path, metavar="TXT", help="one class name per line, where the model has none")
    to.add_argument(
        "--preprocess",
        default="none",
        help="what the training did to pixels before the model: none, tf, caffe, torch, or MEAN/STD (none)",
    )
    to.add_argument("--resize", default="stretch", help="how images were fitted: stretch or crop:SHORT (stretch)")


def run(arguments: argparse.Namespace, say: Say) -> dict[str, Any]:
    """See the module."""
    from foldnet_train import storage
    from foldnet_train.export import onnx_model

    source = arguments.model
    saved = (source / "saved_model.pb").is_file()
    labels = arguments.labels.read_text().split("\n") if arguments.labels else []
    labels = [label.strip() for label in labels if label.strip()]
    output = arguments.output or (source if source.is_dir() else source.parent) / "model.onnx"
    if saved:
        exported = onnx_model.from_saved_model(source, labels, preprocess=arguments.preprocess, resize=arguments.resize)
        onnx_model.write(exported, output)
        say(f"{output}: written; a saved model's own answers are not compared")
        return {"output": str(output), "difference": None}
    model, notes = storage.load(source)
    labels = labels or notes.labels
    check_labels(labels, model.output_shape[-1])
    side = model.input_shape[1]
    if arguments.images:
        pixels = load(arguments.images, side).pixels[:64]
    else:
        pixels = np.random.default_rng(1).integers(0, 256, (8, *model.input_shape[1:]), np.uint8)
    difference = export_checked(model, output, labels, pixels, arguments.preprocess, arguments.resize)
    say(f"{output}: on {len(pixels)} images differs from Keras by at most {difference:.1e}")
    return {"output": str(output), "difference": difference}


def check_labels(labels: list[str], classes: int) -> None:
    """Checks that there are as many labels as outputs, or none."""
    if labels and len(labels) != classes:
        raise BadInput(f"{len(labels)} labels for {classes} outputs")


def export_checked(
    model: Any,
    output: Path,
    labels: list[str],
    pixels: Pixels,
    preprocess: str,
    resize: str,
    held_out: str = "",
) -> float:
    """Writes the ONNX file unless its answers differ from Keras's; returns the largest difference."""
    from foldnet_train.export import check, onnx_model

    exported = onnx_model.from_keras(model, labels, preprocess=preprocess, resize=resize, held_out=held_out)
    answers = model(pixels.astype(np.float32), training=False)
    difference = check.difference(answers, exported, pixels)
    if not difference <= check.TOLERANCE:
        raise LimitMissed(f"{output}: ONNX differs from Keras by {difference:.1e}; nothing was written")
    onnx_model.write(exported, output)
    return difference
