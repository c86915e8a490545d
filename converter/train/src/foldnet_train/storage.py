"""Trained models on disk: Keras's `.keras` archive with one additional entry for labels, settings and the progress
of the training."""

from __future__ import annotations

import contextlib
import json
import math
import os
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from foldnet_train.errors import BadInput
from foldnet_train.quiet import load_tensorflow

ENTRY = "foldnet.json"


@dataclass
class Notes:
    """The data stored with a model."""

    labels: list[str]
    settings: dict[str, Any]
    epoch: int = 0
    """Epochs done."""
    best: float = 0.0
    """The best accuracy on held-out images so far."""
    best_loss: float = math.inf
    """That epoch's loss on them: of epochs as accurate, the one with the lowest is the best."""
    pictures: str = ""
    """The fingerprint of the training pictures."""
    history: list[dict[str, float]] = field(default_factory=list)
    """Per epoch."""


def save(model: Any, notes: Notes, path: Path) -> None:
    """Saves a model and gives the file its name only when it is complete: after a full disk or a kill, the previous
    file remains. Raises OSError."""
    unfinished = path.with_name(f".{path.stem}.unfinished.keras")
    try:
        try:
            model.save(unfinished)
            with zipfile.ZipFile(unfinished, "a") as archive:
                archive.writestr(ENTRY, json.dumps(asdict(notes)))
            with unfinished.open("rb") as file:
                os.fsync(file.fileno())
        except (RuntimeError, ValueError) as error:
            # h5py reports a failed write in these words.
            raise OSError(f"{path}: {error}") from error
        os.replace(unfinished, path)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()


def load(path: Path) -> tuple[Any, Notes]:
    """Loads a model that was saved here, or any `.keras` file (then without labels)."""
    path = model_file(path)
    load_tensorflow()
    import keras

    try:
        with zipfile.ZipFile(path) as archive:
            stored = json.loads(archive.read(ENTRY)) if ENTRY in archive.namelist() else None
        return keras.models.load_model(path), Notes(**stored) if stored else Notes([], {})
    except Exception as error:  # Keras, h5py, zipfile and json each have their own
        raise BadInput(f"{path}: not a Keras 3 model: {error}") from error


def model_file(path: Path) -> Path:
    """Returns the model file of a path: the file itself, or the best one of a training's folder."""
    if path.name.endswith(".nnef.tgz"):
        raise BadInput(
            f"{path}: an archive holds integers and cannot be trained; name the .keras file it was made from"
        )
    file = path / "best.keras" if path.is_dir() else path
    if not file.is_file():
        raise BadInput(f"{file}: there is no such model")
    return file
