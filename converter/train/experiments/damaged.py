"""What quantization-aware fine-tuning wins back on a network that was damaged on purpose.

    python experiments/damaged.py RUN DIR -o OUT [--factor 40] [settings]

RUN is a training of `resnet8` or `residual` on the pictures in DIR. The damage changes nothing in float, but widens the
range of weights: in each block one channel between the two convolutions is made constant, and every filter of the
second convolution gets a weight `--factor` times its largest on that channel, whose effect the batch normalisation
behind it takes away again. With one scale per filter the others are left with a few levels. The converter's
equalization of channels would undo this damage (that is printed, too), so it is switched off. Prints
held-out accuracy in float, after `converter quantize`, and after fine-tuning and `converter quantize`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from foldnet_train.cli import quiet_tensorflow
from foldnet_train.commands import qat
from foldnet_train.commands.export import export_checked
from foldnet_train.commands.fit import read_pictures
from foldnet_train.data.pictures import split
from foldnet_train.tune import converter

CALIBRATION = 500


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    qat.add_flags(parser)
    parser.add_argument("--factor", type=float, default=40.0)
    arguments = parser.parse_args()
    quiet_tensorflow()
    from foldnet_train import storage
    from foldnet_train.tune.hypermodel import write_pictures

    out: Path = arguments.output
    out.mkdir(parents=True, exist_ok=True)
    model, notes = storage.load(arguments.model)
    pictures = read_pictures(arguments.pictures, model.input_shape[1], print)
    train, held_out = split(pictures, notes.settings["validation"], notes.settings["seed"])
    chosen = np.random.default_rng(1).permutation(len(train))[:CALIBRATION]
    write_pictures(train.some(chosen), out / "calibrate")
    write_pictures(held_out, out / "held-out")

    print(f"undamaged float: {share(model, held_out):.4f}")
    damage(model, arguments.factor)
    storage.save(model, notes, out / "damaged.keras")
    exact = share(model, held_out)
    export_checked(model, out / "damaged.onnx", notes.labels, held_out.pixels[:64], "none", "stretch")
    undone = int8(out / "damaged.onnx", out)
    before = int8(out / "damaged.onnx", out, "--no-equalization", "--effort", "low")
    print(f"float {exact:.4f}; int8 after training {before:.4f}, with equalization {undone:.4f}", flush=True)
    arguments.model, arguments.output = out / "damaged.keras", out / "qat.onnx"
    qat.run(arguments, print)
    after = int8(out / "qat.onnx", out)
    print(f"int8 after fine-tuning {after:.4f}: {(after - before) / (exact - before):.0%} of the loss won back")


def damage(model: Any, factor: float) -> None:
    """See the module."""
    convolutions = [layer for layer in model.layers if type(layer).__name__ == "Conv2D" and layer.kernel_size != (1, 1)]
    for first, second in zip(convolutions[1::2], convolutions[2::2], strict=True):
        inner, outer = behind(first), behind(second)
        kernel = second.get_weights()[0]
        gamma, beta, mean, variance = inner.get_weights()
        channel = int(np.argmin(np.abs(kernel).sum(axis=(0, 1, 3)) * np.abs(gamma)))
        gamma[channel], beta[channel] = 0.0, 1.0
        inner.set_weights([gamma, beta, mean, variance])
        kernel[:, :, channel] = 0.0
        wide = factor * np.abs(kernel).max(axis=(0, 1, 2))
        kernel[kernel.shape[0] // 2, kernel.shape[1] // 2, channel] = wide
        second.set_weights([kernel])
        gamma, beta, mean, variance = outer.get_weights()
        outer.set_weights([gamma, beta, mean + wide, variance])


def behind(layer: Any) -> Any:
    """The batch normalisation that reads a convolution."""
    return layer._outbound_nodes[0].operation


def share(model: Any, pictures: Any) -> float:
    """Of pictures that are answered right in float."""
    answers = model.predict(pictures.pixels.astype(np.float32), batch_size=128, verbose=0)
    return float((answers.argmax(axis=1) == pictures.labels).mean())


def int8(model: Path, out: Path, *how: str) -> float:
    """Of held-out pictures that are answered right in int8."""
    archive = model.with_suffix(".nnef.tgz")
    converter.quantize(model, archive, out / "calibrate", *how)
    return float(converter.accuracy(archive, out / "held-out")["top1"])


if __name__ == "__main__":
    main()
