"""One trial: build, check whether it fits the board, train, quantize, measure in int8."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from PIL import Image

from foldnet_train import networks
from foldnet_train.data.batches import held_out_data, steps_per_epoch, training_data
from foldnet_train.data.pictures import Pictures
from foldnet_train.errors import LimitMissed
from foldnet_train.export import onnx_model
from foldnet_train.settings import Settings
from foldnet_train.training.fit import compiled
from foldnet_train.training.guard import Guard
from foldnet_train.tune import budget, converter, space

OBJECTIVE = "int8_accuracy"


class Trial(keras_tuner.HyperModel):  # type: ignore[misc]
    """KerasTuner calls `build`, then `fit`, for each point of the space. `hyper_resnet` replaces our networks with
    its own."""

    def __init__(
        self,
        train: Pictures,
        held_out: Pictures,
        fixed: dict[str, Any],
        values: dict[str, tuple[Any, ...]],
        limits: budget.Budget,
        folder: Path,
        say: Callable[[str], None],
        effort: str,
        hyper_resnet: Any = None,
    ) -> None:
        super().__init__()
        self.train, self.held_out = train, held_out
        self.fixed, self.values, self.limits = fixed, values, limits
        self.folder, self.say, self.effort, self.hyper_resnet = folder, say, effort, hyper_resnet
        self.settings: Settings | None = None

    def build(self, hp: Any) -> Any:
        if self.hyper_resnet is not None:
            self.settings = Settings(**self.fixed)
            return self.hyper_resnet.build(hp)
        self.settings = settings = space.chosen(hp, self.fixed, self.values)
        keras.utils.set_random_seed(settings.seed)
        model = networks.build(settings, len(self.train.classes))
        return compiled(
            model, settings, settings.epochs * steps_per_epoch(self.train, settings), settings.learning_rate
        )

    def fit(self, hp: Any, model: Any, *_: Any, callbacks: Any = (), epochs: int | None = None, **more: Any) -> Any:
        """Returns the values that KerasTuner records: accuracy in float and in int8, sizes, costs. A network that
        does not fit is not a good trial and is not trained."""
        settings = self.settings
        assert settings is not None, "build comes first"
        place = Path(tempfile.mkdtemp(prefix="trial-", dir=self.folder))
        try:
            onnx, archive = place / "model.onnx", place / "model.nnef.tgz"
            onnx_model.write(onnx_model.from_keras(model, self.train.classes), onnx)
            if self.limits != budget.Budget():
                converter.quantize(onnx, archive, None, "--effort", "low")
                budget.cost(archive, self.limits)
            guard = Guard(len(self.train.classes))
            first = more.get("initial_epoch", 0)
            history = model.fit(
                training_data(self.train, settings, first),
                steps_per_epoch=steps_per_epoch(self.train, settings),
                epochs=epochs or settings.epochs,
                initial_epoch=first,
                validation_data=held_out_data(self.held_out, settings.batch_size),
                callbacks=[guard, *callbacks],
                verbose=0,
                shuffle=False,
            )
            if guard.problem:
                raise LimitMissed(f"diverged: {guard.problem}")
            onnx_model.write(onnx_model.from_keras(model, self.train.classes), onnx)
            told = converter.quantize(onnx, archive, self.folder / "calibrate", "--effort", self.effort)
            right = converter.accuracy(archive, self.folder / "held-out")
            outcome = {
                OBJECTIVE: right["top1"],
                "float_accuracy": history.history["val_accuracy"][-1],
                "archive_bytes": told["bytes"],
                **budget.cost(archive, self.limits),
            }
            self.say(f"int8 {outcome[OBJECTIVE]:.4f}, float {outcome['float_accuracy']:.4f}, {told['bytes']} bytes")
            return outcome
        except LimitMissed as misfit:
            self.say(f"does not count: {misfit}")
            raise keras_tuner.errors.FailedTrialError(str(misfit)) from misfit
        finally:
            shutil.rmtree(place, ignore_errors=True)


def write_pictures(pictures: Pictures, folder: Path) -> None:
    """Writes images for the converter, at the network's size and lossless. A class without images has a folder
    nevertheless."""
    for name in pictures.classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, (pixels, label) in enumerate(zip(pictures.pixels, pictures.labels, strict=True)):
        Image.fromarray(pixels).save(folder / pictures.classes[label] / f"{number:06}.png")


def write_once(pictures: Pictures, folder: Path) -> None:
    """Like `write_pictures`, unless the images exist; they appear all at once, since other processes may read and
    write them, too."""
    if folder.exists():
        return
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder.parent))
    try:
        write_pictures(pictures, unfinished / folder.name)
        try:
            (unfinished / folder.name).rename(folder)
        except OSError:
            # Another process was faster.
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
