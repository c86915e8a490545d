"""What quantization-aware fine-tuning wins back on a network that was damaged on purpose.

    python experiments/damaged.py RUN DIR -o OUT [--factor 5000] [settings]

RUN is a training of `resnet8` or `residual` on the images in DIR. The damage changes
nothing in float (but that a channel per block is lost) and widens the range of weights; with a factor of thousands
further than equalization of channels can undo. Prints held-out accuracy in float, after `converter quantize` with and
without equalization, and after fine-tuning and `converter quantize`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

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
    parser.add_argument("--factor", type=float, default=5000.0)
    arguments = parser.parse_args()
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

    say(f"undamaged: float {share(model, held_out):.4f}")
    damage(model, arguments.factor)
    storage.save(model, notes, out / "damaged.keras")
    export_checked(model, out / "damaged.onnx", notes.labels, held_out.pixels[:64], "none", "stretch")
    exact = share(model, held_out)
    before = int8(out / "damaged.onnx", out)
    unequal = int8(out / "damaged.onnx", out, "--no-equalization")
    say(f"damaged: float {exact:.4f}; int8 after training {before:.4f}, without equalization {unequal:.4f}")
    arguments.model, arguments.output = out / "damaged.keras", out / "qat.onnx"
    learned = qat.run(arguments, say)
    after = int8(out / "qat.onnx", out)
    say(f"int8 after fine-tuning {after:.4f}, in Keras with the same rounding {learned['accuracy']:.4f}")
    for how, lost in (("with", before), ("without", unequal)):
        say(f"{(after - lost) / (exact - lost):.0%} of what the converter loses {how} equalization is won back")


def say(text: str) -> None:
    """At once: each step takes minutes."""
    print(text, flush=True)


def damage(model: Any, factor: float) -> None:
    """Widens the range of weights between the two convolutions of each residual block; the function stays.

    One channel there, that of the least weight, becomes constant, as a channel is whose batch normalisation lost its
    gain. Every filter that reads it gets a weight `factor` times its largest on it; the batch normalisation behind
    takes the constant sum away again. A filter's one scale must hold the wide weight, and leaves few levels to the
    others."""
    wide = [layer for layer in model.layers if type(layer).__name__ == "Conv2D" and layer.kernel_size != (1, 1)]
    for first, second in zip(wide[1::2], wide[2::2], strict=True):
        inner, outer = behind(first), behind(second)
        [kernel] = second.get_weights()
        gamma, beta, mean, variance = inner.get_weights()
        channel = int(np.argmin(np.abs(kernel).sum(axis=(0, 1, 3)) * np.abs(gamma)))
        gamma[channel], beta[channel] = 0.0, 1.0
        inner.set_weights([gamma, beta, mean, variance])
        kernel[:, :, channel] = 0.0
        widest = factor * np.abs(kernel).max(axis=(0, 1, 2))
        kernel[kernel.shape[0] // 2, kernel.shape[1] // 2, channel] = widest
        second.set_weights([kernel])
        gamma, beta, mean, variance = outer.get_weights()
        outer.set_weights([gamma, beta, mean + widest, variance])


def behind(layer: Any) -> Any:
    """The batch normalisation that reads a convolution."""
    return layer._outbound_nodes[0].operation


def share(model: Any, pictures: Any) -> float:
    """Of images that are answered right in float."""
    answers = model.predict(pictures.pixels.astype(np.float32), batch_size=128, verbose=0)
    return float((answers.argmax(axis=1) == pictures.labels).mean())


def int8(model: Path, out: Path, *how: str) -> float:
    """Of held-out images that are answered right in int8."""
    archive = model.with_suffix(".nnef.tgz")
    converter.quantize(model, archive, out / "calibrate", *how)
    return float(converter.accuracy(archive, out / "held-out")["top1"])


if __name__ == "__main__":
    main()
