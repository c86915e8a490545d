"""ResNet-8 against the plain baseline in equal processor time.

    python experiments/against_plain.py train.bin --held-out test.bin -o RUN resnet8:60 plain:280

trains these networks for so many epochs and prints what each took and reached; choose epochs that take as long.
RUN/against-plain.svg shows all networks trained into RUN so far. Without --held-out a fifth is held out."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from foldnet_train.cli import quiet_tensorflow
from foldnet_train.commands.fit import read_pictures
from foldnet_train.data.pictures import split
from foldnet_train.settings import Settings


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("networks", nargs="+", metavar="NETWORK:EPOCHS")
    parser.add_argument("--held-out", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("against-plain"))
    arguments = parser.parse_args()
    quiet_tensorflow()
    import keras

    from foldnet_train.training import curves
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

    pictures = read_pictures(arguments.pictures, 32, print)
    if arguments.held_out:
        train, held_out = pictures, read_pictures(arguments.held_out, 32, print)
    else:
        train, held_out = split(pictures, 0.2, 1)
    for word in arguments.networks:
        network, epochs = word.split(":")
        folder = arguments.output / network
        folder.mkdir(parents=True, exist_ok=True)
        clock = Clock()
        settings = Settings(network=network, epochs=int(epochs))
        history = fit(settings, train, held_out, folder, print, more=[clock]).history
        for row, taken in zip(history, clock.epochs, strict=True):
            row["seconds"] = taken
        (folder / "history.json").write_text(json.dumps(history))
    runs = {}
    for file in sorted(arguments.output.glob("*/history.json")):
        history = runs[file.parent.name] = json.loads(file.read_text())
        first, last = history[0], history[-1]
        print(
            f"{file.parent.name}: {len(history)} epochs, {sum(row['seconds'] for row in history):.0f} s of processor "
            f"time; held out: loss {first['val_loss']:.3f} → {last['val_loss']:.3f}, "
            f"accuracy {last['val_accuracy']:.4f}"
        )
    curves.draw(runs, arguments.output / "against-plain.svg", over="seconds")


if __name__ == "__main__":
    main()
