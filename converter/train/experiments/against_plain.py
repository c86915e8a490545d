"""ResNet-8 against the plain baseline in equal time.

    python experiments/against_plain.py train.bin --held-out test.bin -o RUN resnet8:30 plain:90

trains these networks for so many epochs, on a machine that does nothing else, and prints what each took (validation
included) and reached; choose epochs that take as long, or name one network per call.
RUN/against-plain.svg shows all networks trained into RUN so far. Without --held-out a fifth is held out."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

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

    from foldnet_train.training import curves
    from foldnet_train.training.fit import fit

    pictures = read_pictures(arguments.pictures, 32, print)
    if arguments.held_out:
        train, held_out = pictures, read_pictures(arguments.held_out, 32, print)
    else:
        train, held_out = split(pictures, 0.2, 1)
    for word in arguments.networks:
        network, epochs = word.split(":")
        folder = arguments.output / network
        folder.mkdir(parents=True, exist_ok=True)
        settings = Settings(network=network, epochs=int(epochs))
        history = fit(settings, train, held_out, folder, print).history
        (folder / "history.json").write_text(json.dumps(history))
    runs = {}
    for file in sorted(arguments.output.glob("*/history.json")):
        history = runs[file.parent.name] = json.loads(file.read_text())
        first, last = history[0], history[-1]
        print(
            f"{file.parent.name}: {len(history)} epochs, {sum(row['seconds'] for row in history):.0f} s; held out: "
            f"loss {first['val_loss']:.3f} → {last['val_loss']:.3f}, accuracy {last['val_accuracy']:.4f}, "
            f"at best {max(row['val_accuracy'] for row in history):.4f}"
        )
    curves.draw(runs, arguments.output / "against-plain.svg", over="seconds")


if __name__ == "__main__":
    main()
