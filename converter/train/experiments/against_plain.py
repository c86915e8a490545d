"""ResNet-8 against the plain baseline in equal processor time; a fifth of the pictures is held out.

    python experiments/against_plain.py DIR -o RUN [--seconds 400]

DIR is the folder of pictures, one subfolder per class. Writes RUN/against-plain.svg and prints a line per network."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from foldnet_train.cli import quiet_tensorflow
from foldnet_train.commands.fit import read_pictures
from foldnet_train.data.pictures import Pictures, split
from foldnet_train.settings import Settings


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("against-plain"))
    parser.add_argument("--seconds", type=float, default=400)
    arguments = parser.parse_args()
    quiet_tensorflow()
    from foldnet_train.training import curves

    pictures = read_pictures(arguments.pictures, 32, print)
    train, held_out = split(pictures, 0.2, 1)
    runs = {}
    for network in ("plain", "resnet8"):
        folder = arguments.output / network
        folder.mkdir(parents=True, exist_ok=True)
        history = trained(network, train, held_out, folder, arguments.seconds)
        last = history[-1]
        print(
            f"{network}: {len(history)} epochs, {last['seconds_in_all']:.0f} s of processor time; held out: loss "
            f"{history[0]['val_loss']:.3f} → {last['val_loss']:.3f}, accuracy {last['val_accuracy']:.4f}",
            flush=True,
        )
        runs[network] = history
    curves.draw(runs, arguments.output / "against-plain.svg", over="seconds")


def trained(network: str, train: Pictures, held_out: Pictures, folder: Path, seconds: float) -> list[dict[str, float]]:
    """As many epochs as fit into the time, found by timing the second of two."""
    import keras

    from foldnet_train.training.fit import fit

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]
        """Processor time per epoch: other programs on the machine do not count."""

        def __init__(self) -> None:
            super().__init__()
            self.epochs: list[float] = []

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.start = time.process_time()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.epochs.append(time.process_time() - self.start)

    def settings(epochs: int) -> Settings:
        return Settings(network=network, epochs=epochs, batch_size=64)

    clock = Clock()
    fit(settings(2), train, held_out, folder, lambda _: None, more=[clock])
    clock, epochs = Clock(), max(1, int(seconds / clock.epochs[1]))
    history = fit(settings(epochs), train, held_out, folder, print, more=[clock]).history
    for row, taken in zip(history, clock.epochs, strict=True):
        row["seconds"] = taken
    history[-1]["seconds_in_all"] = sum(clock.epochs)
    return history


if __name__ == "__main__":
    main()
