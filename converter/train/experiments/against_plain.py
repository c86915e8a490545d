"""ResNet-8 against the plain baseline in equal time.

    python experiments/against_plain.py train.bin --held-out test.bin -o RUN resnet8:30 plain:same

trains these networks for so many epochs and prints what each took (validation included) and reached; `same` is as many
epochs as take as long as the network before. RUN/against-plain.png shows all networks trained into RUN so far. Time is
the processors' for this process, which means something even where others compute, or the clock's (--over seconds).
Without --held-out a fifth is held out."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from foldnet_train.commands.fit import read_pictures
from foldnet_train.data.pictures import Pictures, split
from foldnet_train.settings import Settings


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("networks", nargs="*", metavar="NETWORK:EPOCHS")
    parser.add_argument("--held-out", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("against-plain"))
    parser.add_argument("--over", choices=("processor_seconds", "seconds"), default="processor_seconds")
    arguments = parser.parse_args()
    time = arguments.over

    from foldnet_train.training import curves
    from foldnet_train.training.fit import fit

    pictures = read_pictures(arguments.pictures, 32, print)
    if arguments.held_out:
        train, held_out = pictures, read_pictures(arguments.held_out, 32, print)
    else:
        train, held_out = split(pictures, 0.2, 1)
    seconds = 0.0
    for word in arguments.networks:
        network, wanted = word.split(":")
        epochs = epochs_within(seconds, time, network, train, held_out) if wanted == "same" else int(wanted)
        folder = arguments.output / network
        folder.mkdir(parents=True, exist_ok=True)
        history = fit(Settings(network=network, epochs=epochs), train, held_out, folder, say).history
        (folder / "history.json").write_text(json.dumps(history))
        seconds = sum(row[time] for row in history)
    runs = {}
    for file in sorted(arguments.output.glob("*/history.json")):
        history = runs[file.parent.name] = json.loads(file.read_text())
        first, last = history[0], history[-1]
        print(
            f"{file.parent.name}: {len(history)} epochs, {sum(row[time] for row in history):.0f} s; "
            f"held out: loss {first['val_loss']:.3f} → {last['val_loss']:.3f}, accuracy {last['val_accuracy']:.4f}, "
            f"at best {max(row['val_accuracy'] for row in history):.4f}"
        )
    curves.draw(runs, arguments.output / "against-plain.png", over=time)


def say(text: str) -> None:
    """At once: an epoch takes seconds."""
    print(text, flush=True)


def epochs_within(seconds: float, time: str, network: str, train: Pictures, held_out: Pictures) -> int:
    """How many epochs the network trains in that time, by its third: the first ones start things up."""
    from foldnet_train.training.fit import fit

    with tempfile.TemporaryDirectory() as folder:
        history = fit(Settings(network=network, epochs=3), train, held_out, Path(folder), say).history
    return max(1, round(seconds / history[-1][time]))


if __name__ == "__main__":
    main()
