"""Train a network on a folder of images, and export it for the converter.

DIR has one subfolder of images per class; a CIFAR-10 .bin file or a folder of them will do, too. The folder given by
-o receives best.keras, model.onnx, settings.yaml, labels.txt, log.csv, curves.png and, if TensorBoard is installed, its
logs. A training that was killed goes on with --resume."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

from foldnet_train.commands import Say
from foldnet_train.commands.flags import add_settings, given_settings
from foldnet_train.data.pictures import Pictures, held_out_rule, load, split
from foldnet_train.errors import BadInput
from foldnet_train.settings import Settings, from_file


def add_flags(to: argparse.ArgumentParser) -> None:
    """See the module."""
    to.add_argument("pictures", type=Path, metavar="DIR", help="the labelled images")
    to.add_argument("-o", "--output", type=Path, default=Path("run"), metavar="RUN", help="the folder to write (run)")
    to.add_argument("--resume", action="store_true", help="go on with the training in RUN")
    to.add_argument(
        "--init",
        type=Path,
        metavar="MODEL",
        help="begin with this model's weights: a RUN or its .keras file; classes may differ",
    )
    to.add_argument("--strict", action="store_true", help="stop at an image that cannot be read")
    add_settings(to)


def run(arguments: argparse.Namespace, say: Say) -> dict[str, Any]:
    """See the module."""
    output, given = arguments.output, given_settings(arguments)
    settings, start_labels, start = prepare(arguments, given)
    pictures = read_pictures(arguments.pictures, settings.side, say, strict=arguments.strict)
    train, held_out = split(pictures, settings.validation, settings.seed)
    say(f"{len(train)} images of {len(train.classes)} classes to learn from, {len(held_out)} held out")
    if start is not None:
        from foldnet_train.training.head import with_classes

        start, news = with_classes(start, start_labels, train.classes, settings.seed)
        say(f"beginning with {arguments.init}: {news}")

    from foldnet_train.commands.export import export_checked
    from foldnet_train.storage import load as load_model
    from foldnet_train.training.fit import fit

    output.mkdir(parents=True, exist_ok=True)
    (output / "settings.yaml").write_text(yaml.safe_dump(settings.asdict(), sort_keys=False))
    (output / "labels.txt").write_text("".join(f"{label}\n" for label in train.classes))
    notes = fit(settings, train, held_out, output, say, start=start, resume=arguments.resume)
    model, best = load_model(output)
    rule = held_out_rule(pictures, settings.validation, settings.seed)
    difference = export_checked(
        model, output / "model.onnx", best.labels, held_out.pixels[:64], "none", "stretch", rule
    )
    say(
        f"{output / 'model.onnx'}: {model.count_params()} weights, {notes.best:.2%} of {len(held_out)} held-out "
        f"images right (epoch {best.epoch} of {notes.epoch}); differs from Keras by at most {difference:.1e}"
    )
    return {
        "output": str(output / "model.onnx"),
        "accuracy": notes.best,
        "epochs": notes.epoch,
        "best_epoch": best.epoch,
        "parameters": model.count_params(),
        "difference": difference,
        "skipped": len(pictures.skipped),
    }


def prepare(arguments: argparse.Namespace, given: dict[str, Any]) -> tuple[Settings, list[str], Any]:
    """Returns the settings, and the initial model, if any, with its labels."""
    output = arguments.output
    begun = (output / "last.keras").exists()
    if arguments.resume:
        if not begun:
            raise BadInput(f"{output}: no training that could be resumed")
        if arguments.init:
            raise BadInput("--init begins a training, --resume goes on with one")
        stored = from_file(output / "settings.yaml")
        other = [name for name, value in given.items() if stored.get(name) != value]
        if other:
            raise BadInput(f"{', '.join(other)}: the training in {output} began with another value; leave it out")
        return Settings(**stored), [], None
    if begun:
        raise BadInput(f"{output}: holds a training already; --resume goes on with it, -o names another folder")
    if output.exists() and not output.is_dir():
        raise BadInput(f"{output}: is a file; -o names a folder")
    if not arguments.init:
        return Settings(**given), [], None
    from foldnet_train.storage import load as load_model

    model, notes = load_model(arguments.init)
    shape = model.input_shape[1:]
    if given.setdefault("side", shape[0]) != shape[0]:
        raise BadInput(f"side = {given['side']}: {arguments.init} takes images of {shape[0]}×{shape[1]}")
    if not notes.labels:
        raise BadInput(f"{arguments.init}: does not say what its classes are; only models made by foldnet-train do")
    # A trained network is continued with a small learning rate unless specified otherwise.
    inherited = {k: convert_back(v) for k, v in notes.settings.items() if k in ("network", "activation", "tune_from")}
    return Settings(**{"learning_rate": 2e-4, **inherited, **given}), notes.labels, model


def convert_back(value: Any) -> Any:
    """Converts JSON's lists back to tuples."""
    return tuple(value) if isinstance(value, list) else value


def read_pictures(path: Path, side: int, say: Say, *, strict: bool = False) -> Pictures:
    """Reads all images; names those that cannot be read."""
    pictures = load(path, side)
    if pictures.skipped:
        if strict:
            raise BadInput(f"{len(pictures.skipped)} pictures cannot be read (--strict): {pictures.skipped[0]}")
        for problem in pictures.skipped[:10]:
            say(f"skipped {problem}")
        say(f"{len(pictures.skipped)} pictures skipped")
    return pictures
