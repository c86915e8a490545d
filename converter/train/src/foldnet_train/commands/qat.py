"""Fine-tune a trained model with int8's rounding in it, for networks that lose accuracy when quantized.

MODEL is a training's folder or its .keras file. The ONNX model that is written has scales in it (QDQ form), and
`converter quantize` keeps them. The learning rate is 5e-4 and the number of epochs 5, unless given."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from foldnet_train.commands import Say
from foldnet_train.commands.fit import convert_back, read_pictures
from foldnet_train.commands.flags import add_settings, given_settings
from foldnet_train.data.pictures import held_out_rule, split
from foldnet_train.errors import BadInput, LimitMissed
from foldnet_train.settings import Settings


def add_flags(to: argparse.ArgumentParser) -> None:
    """See the module."""
    to.add_argument("model", type=Path, metavar="MODEL")
    to.add_argument("pictures", type=Path, metavar="DIR", help="the images it was trained on")
    to.add_argument("-o", "--output", type=Path, metavar="OUT.onnx", help="qat.onnx beside the model if not given")
    add_settings(to)


def run(arguments: argparse.Namespace, say: Say) -> dict[str, Any]:
    """See the module."""
    from foldnet_train import storage
    from foldnet_train.export import check, onnx_model
    from foldnet_train.qat import qdq
    from foldnet_train.qat.train import fine_tune

    teacher, notes = storage.load(arguments.model)
    if not notes.labels:
        raise BadInput(f"{arguments.model}: does not say what its classes are; only models made by foldnet-train do")
    # The split into training and held-out images is that of the original training.
    kept = ("network", "seed", "validation", "flip", "crop", "batch_size", "side")
    inherited = {name: convert_back(value) for name, value in notes.settings.items() if name in kept}
    given = given_settings(arguments)
    settings = Settings(**{**inherited, "learning_rate": 5e-4, "epochs": 5, "side": teacher.input_shape[1], **given})
    pictures = read_pictures(arguments.pictures, settings.side, say)
    if pictures.classes != notes.labels:
        raise BadInput(f"{arguments.pictures}: classes {', '.join(pictures.classes)}; the model has others")
    train, held_out = split(pictures, settings.validation, settings.seed)
    float_share = teacher.predict(held_out.pixels.astype(np.float32), verbose=0).argmax(axis=1) == held_out.labels
    say(f"float: {float_share.mean():.4f} of {len(held_out)} held-out images right")
    model, shares = fine_tune(teacher, settings, train, held_out, say)
    exported = qdq.export(model, notes.labels, held_out_rule(pictures, settings.validation, settings.seed))
    pixels = held_out.pixels[:64]
    agree = float(
        np.mean(
            check.run_onnx(exported.SerializeToString(), pixels).argmax(1)
            == np.argmax(model(pixels.astype(np.float32)), 1)
        )
    )
    if agree < 0.95:
        raise LimitMissed(
            f"ONNX Runtime answers as Keras on {agree:.0%} of {len(pixels)} images only; nothing was written"
        )
    output = arguments.output or (arguments.model if arguments.model.is_dir() else arguments.model.parent) / "qat.onnx"
    onnx_model.write(exported, output)
    say(f"{output}: {max(shares):.4f} right with int8's rounding; ONNX Runtime answers as Keras on {agree:.1%}")
    return {
        "output": str(output),
        "float_accuracy": float(float_share.mean()),
        "before": shares[0],
        "accuracy": max(shares),
        "agreement": agree,
    }
