"""Search for the settings whose network is right most often after quantization.

Settings that are given are fixed; the others are tried. Each trial is trained, exported, quantized by `converter` and
measured in int8; with --board or a limit, networks that do not fit are not trained. RUN receives trials.csv, trials.png
and best.yaml, which `foldnet-train fit --settings` takes. A search that was killed goes on when it is called again.
Several machines search together through KerasTuner's distributed mode: the same command with KERASTUNER_TUNER_ID,
KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT set, RUN on a shared disk."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from foldnet_train.commands import Say
from foldnet_train.commands.fit import read_pictures
from foldnet_train.commands.flags import add_settings, given_settings
from foldnet_train.data.pictures import split
from foldnet_train.errors import BadInput, LimitMissed
from foldnet_train.quiet import load_tensorflow
from foldnet_train.settings import Settings, convert

CALIBRATION = 200
"""Training images that each network is quantized with."""


def add_flags(to: argparse.ArgumentParser) -> None:
    """See the module."""
    to.add_argument("pictures", type=Path, metavar="DIR", help="the labelled images")
    to.add_argument(
        "-o", "--output", type=Path, default=Path("tuned"), metavar="RUN", help="the folder to write (tuned)"
    )
    to.add_argument("--method", choices=("random", "bayesian", "hyperband"), default="random")
    to.add_argument("--trials", type=int, default=20, help="how many (20); hyperband decides itself")
    to.add_argument("--over", default="", metavar="A,B", help="try these settings only")
    to.add_argument(
        "--effort",
        choices=("low", "normal", "high"),
        default="low",
        help="the converter's, in each trial (low): the best network deserves more afterwards",
    )
    to.add_argument("--hyper-resnet", action="store_true", help="KerasTuner's HyperResNet instead of our networks")
    limits = to.add_argument_group("limits")
    limits.add_argument("--board", help="a board's by name, see boards.yaml; with --ms, any of `boards list`")
    limits.add_argument("--cpu", help="microcontroller, as for `converter export --plan`")
    limits.add_argument("--ram-kb", type=int)
    limits.add_argument("--flash-kb", type=int)
    limits.add_argument("--bytes", type=int, help="of the archive")
    limits.add_argument("--ms", type=float, help="an image's time on one thread, expected of --board or measured here")
    add_settings(to)


def run(arguments: argparse.Namespace, say: Say) -> dict[str, Any]:
    """See the module."""
    from foldnet_train.tune import budget, converter, results, space

    fixed = given_settings(arguments)
    fixed.setdefault("epochs", 10)
    base = Settings(**fixed)
    if arguments.trials < 1:
        raise BadInput(f"--trials {arguments.trials}: at least one")
    only = [name for name in arguments.over.replace("-", "_").split(",") if name]
    values = {} if arguments.hyper_resnet else space.tried(fixed, only)
    limits = budget.budget(arguments.board, vars(arguments))
    timer = [] if limits.ms is None else ["boards" if limits.timed_on else "runtime"]
    for name in ("converter", *timer):
        converter.program(name)
    pictures = read_pictures(arguments.pictures, base.side, say)
    train, held_out = split(pictures, base.validation, base.seed)

    load_tensorflow()
    from foldnet_train.tune.hypermodel import Trial, write_once

    folder = arguments.output
    begin(folder, train.fingerprint())
    chosen = np.random.default_rng(base.seed).permutation(len(train))[:CALIBRATION]
    write_once(train.some(chosen), folder / "calibrate")
    write_once(held_out, folder / "held-out")
    own = space.hyper_resnet(base.side, len(pictures.classes)) if arguments.hyper_resnet else None
    trial = Trial(train, held_out, fixed, values, limits, folder, say, arguments.effort, own)
    # Standard output is only for the result.
    with contextlib.redirect_stdout(io.StringIO() if arguments.quiet else sys.stderr):
        tuner = search(arguments.method, trial, arguments.trials, base, folder)
        tuner.search()
    if is_worker():
        say("this worker is done; the chief writes the results")
        return {"output": str(folder)}
    table = results.rows(tuner)
    results.write(table, folder)
    best = table[0]
    if "int8_accuracy" not in best:
        raise LimitMissed("no trial counted: every network was beyond the limits or diverged")
    known = {name: convert(name, best[name]) for name in best if name in values}
    if not arguments.hyper_resnet:
        settings = space.chosen(Values(known), fixed, values)
        (folder / "best.yaml").write_text(yaml.safe_dump(settings.asdict(), sort_keys=False))
    say(f"best of {len(table)}: int8 {best['int8_accuracy']:.4f}, float {best['float_accuracy']:.4f}: {known}")
    return {"output": str(folder), "trials": len(table), "best": best}


def begin(folder: Path, fingerprint: str) -> None:
    """Checks that the images are those of the trials in the folder, since other trials cannot be compared."""
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "pictures.sha256"
    if note.exists() and note.read_text() != fingerprint:
        raise BadInput(f"{folder}: holds a search on other images; -o names another folder")
    note.write_text(fingerprint)


def is_worker() -> bool:
    """Returns whether another process, the chief, decides which points are tried and collects the results."""
    return "KERASTUNER_ORACLE_IP" in os.environ and "chief" not in os.environ.get("KERASTUNER_TUNER_ID", "")


class Values:
    """A point of the search space that has been chosen."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def Choice(self, name: str, choices: list[Any]) -> Any:
        """Like KerasTuner's method."""
        return self.values.get(name, choices[0])

    def conditional_scope(self, name: str, among: list[Any]) -> Any:
        """Like KerasTuner's method."""
        return contextlib.nullcontext()


def search(method: str, trial: Any, trials: int, base: Settings, folder: Path) -> Any:
    """Returns KerasTuner's search with this method."""
    import keras_tuner

    from foldnet_train.tune.hypermodel import OBJECTIVE

    common = {
        "objective": keras_tuner.Objective(OBJECTIVE, "max"),
        "seed": base.seed,
        "directory": str(folder),
        "project_name": method,
        "max_consecutive_failed_trials": 1000,
    }
    if method == "hyperband":
        return keras_tuner.Hyperband(trial, max_epochs=base.epochs, **common)
    kind = keras_tuner.RandomSearch if method == "random" else keras_tuner.BayesianOptimization
    return kind(trial, max_trials=trials, **common)
