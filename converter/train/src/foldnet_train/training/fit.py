"""Trains a network on images, in one stage or, with a pretrained backbone, two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foldnet_train import networks, storage
from foldnet_train.data.batches import held_out_data, steps_per_epoch, training_data
from foldnet_train.data.pictures import Pictures
from foldnet_train.errors import BadInput, LimitMissed
from foldnet_train.networks import applications
from foldnet_train.settings import APPLICATIONS, Settings
from foldnet_train.training import batch_norm, curves
from foldnet_train.training.chance import Chance
from foldnet_train.training.guard import Guard
from foldnet_train.training.keeper import LAST, Keeper
from foldnet_train.training.optimizer import optimizer


@dataclass(frozen=True)
class Stage:
    """Epochs `first` to `last` (not included) with one optimizer; from `unfreeze` on, the backbone is trained, too."""

    first: int
    last: int
    learning_rate: float
    unfreeze: str | None = None


def stages(settings: Settings) -> list[Stage]:
    """Returns the stages of the whole training."""
    plan = [Stage(0, settings.epochs, settings.learning_rate)]
    if settings.network in APPLICATIONS and settings.tune_epochs:
        end = settings.epochs + settings.tune_epochs
        plan.append(Stage(settings.epochs, end, settings.tune_learning_rate, settings.tune_from))
    return plan


def compiled(model: Any, settings: Settings, steps: int, learning_rate: float) -> Any:
    """Returns the model, ready for this many steps. Keras's default, XLA, takes as long to compile a small network
    as several epochs, and its convolutions on a CPU are slower than TensorFlow's."""
    model.compile(
        optimizer(settings, steps, learning_rate),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    batch_norm.fuse(model)
    return model


def fit(
    settings: Settings,
    train: Pictures,
    held_out: Pictures,
    run: Path,
    say: Callable[[str], None],
    *,
    start: Any = None,
    resume: bool = False,
) -> storage.Notes:
    """Trains `start` (or a new network) and writes `best.keras`, `last.keras`, `log.csv` and `curves.png` to `run`.
    Raises `LimitMissed` if the loss diverges; earlier good states are kept."""
    import keras

    keras.utils.set_random_seed(settings.seed)
    steps = steps_per_epoch(train, settings)
    notes = storage.Notes(train.classes, settings.asdict(), pictures=train.fingerprint())
    model = None
    if resume:
        model, notes = storage.load(run / LAST)
        if notes.pictures != train.fingerprint():
            raise BadInput(f"{run}: the images are not those this training began with; begin a new one with -o")
        batch_norm.fuse(model)
        say(f"resuming after epoch {notes.epoch}")
    guard = Guard(len(train.classes))
    keeper = Keeper(run, notes, guard, say)
    callbacks: list[Any] = [Chance(settings.seed), guard, keeper, tensorboard(run)]
    for stage in stages(settings):
        if notes.epoch >= stage.last:
            continue
        if model is None:
            model = start if start is not None else networks.build(settings, len(train.classes))
        if notes.epoch == stage.first:
            if stage.unfreeze:
                applications.unfreeze(model, stage.unfreeze)
            compiled(model, settings, steps * (stage.last - stage.first), stage.learning_rate)
        model.fit(
            training_data(train, settings, notes.epoch),
            steps_per_epoch=steps,
            epochs=stage.last,
            initial_epoch=notes.epoch,
            validation_data=held_out_data(held_out, settings.batch_size),
            callbacks=callbacks,
            shuffle=False,
            verbose=0,
        )
        if guard.problem:
            rate = f"learning_rate {stage.learning_rate:g}"
            kept = f"the best model, of {notes.best:.4f}, is in {run}" if notes.epoch else "no epoch was completed"
            raise LimitMissed(f"stopped: {guard.problem}; {rate} is too high, try a tenth; {kept}")
    if keeper.problem:
        how = " with --resume" if (run / LAST).exists() else ", nothing was saved before"
        raise OSError(f"the last epoch was {keeper.problem}; make room and run again{how}")
    curves.draw({settings.network: notes.history}, run / "curves.png")
    return notes


def tensorboard(run: Path) -> Any:
    """Returns Keras's callback."""
    import keras

    return keras.callbacks.TensorBoard(run / "tensorboard", write_graph=False)
