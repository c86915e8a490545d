"""Say how often a model is right: all in all, and class by class.

MODEL is a training's folder, a .keras file, an ONNX model that takes pixels, or an int8 archive of the converter's."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np

from foldnet_train.commands import Say
from foldnet_train.commands.fit import read_pictures
from foldnet_train.data.pictures import Pictures
from foldnet_train.errors import BadInput


def add_flags(to: argparse.ArgumentParser) -> None:
    """See the module."""
    to.add_argument("model", type=Path, metavar="MODEL")
    to.add_argument("pictures", type=Path, metavar="DIR", help="labelled images that it was not trained on")


def run(arguments: argparse.Namespace, say: Say) -> dict[str, Any]:
    """See the module."""
    if arguments.model.name.endswith((".nnef.tgz", ".tgz")):
        from foldnet_train.tune.converter import accuracy

        answer = accuracy(arguments.model, arguments.pictures)
        say(f"int8: {answer['correct']} of {answer['images']} right: {answer['top1']:.2%}")
        return answer
    side, labels, probabilities = reader(arguments.model)
    pictures = read_pictures(arguments.pictures, side, say)
    numbers = matched(pictures, labels, arguments.model)
    right = np.argmax(probabilities(pictures.pixels), axis=1) == numbers[pictures.labels]
    low, high = wilson(int(right.sum()), len(right))
    say(f"{int(right.sum())} of {len(right)} right: {right.mean():.2%} (95 %: {low:.2%} … {high:.2%})")
    classes = {}
    for number, name in enumerate(pictures.classes):
        of = right[pictures.labels == number]
        classes[name] = float(of.mean())
        say(f"  {name}: {int(of.sum())} of {len(of)}, {of.mean():.1%}")
    return {
        "images": len(right),
        "correct": int(right.sum()),
        "top1": float(right.mean()),
        "interval": [low, high],
        "classes": classes,
        "skipped": len(pictures.skipped),
    }


def reader(path: Path) -> tuple[int, list[str], Any]:
    """Returns the images' side, the labels, and a function that computes probabilities for pixels."""
    if path.suffix == ".onnx":
        import onnx

        from foldnet_train.export.check import run_onnx

        try:
            model = onnx.load(path)
        except Exception as error:  # protobuf's and onnx's have no common kind
            raise BadInput(f"{path}: not an ONNX model: {error}") from error
        said = {entry.key: entry.value for entry in model.metadata_props}
        shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
        if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3 or said.get("preprocess", "none") != "none":
            raise BadInput(f"{path}: takes no square images [n, h, w, 3] of pixels; `converter eval` may")
        data = model.SerializeToString()
        return shape[1], said.get("labels", "").split("\n"), lambda pixels: run_onnx(data, pixels)
    from foldnet_train import storage

    keras_model, notes = storage.load(path)
    side = keras_model.input_shape[1]
    return side, notes.labels, lambda p: keras_model.predict(p.astype(np.float32), batch_size=64, verbose=0)


def matched(pictures: Pictures, labels: list[str], model: Path) -> Any:
    """Returns the number in the model of each class of the images."""
    missing = [name for name in pictures.classes if name not in labels]
    if missing:
        raise BadInput(f"{model} does not know {', '.join(missing)}; it knows {', '.join(labels) or 'no names at all'}")
    return np.array([labels.index(name) for name in pictures.classes])


def wilson(right: int, n: int) -> tuple[float, float]:
    """Returns the 95 % interval of a share (Wilson, 1927)."""
    z, share = 1.96, right / n
    centre, reach = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (centre - reach) / (1 + z * z / n), (centre + reach) / (1 + z * z / n)
