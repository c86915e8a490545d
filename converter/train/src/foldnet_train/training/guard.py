"""Stops a training that diverges."""

from __future__ import annotations

import math
from typing import Any

import keras

FACTOR = 10
"""An epoch's loss this many times that of guessing is no training any more."""


class Guard(keras.callbacks.Callback):  # type: ignore[misc]
    """Watches the loss; `problem` describes what was observed."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.limit = FACTOR * math.log(classes)
        self.start: float | None = None
        self.epoch = 0
        self.problem: str | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        loss = float((logs or {}).get("loss", 0.0))
        if self.start is None:
            # With a large penalty on the weights, the loss is high from the start.
            self.start = loss
            self.limit += max(loss, 0.0) if math.isfinite(loss) else 0.0
        if not math.isfinite(loss):
            self.stop(f"in epoch {self.epoch}, step {batch + 1}, the loss is {loss}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        loss = float((logs or {}).get("loss", 0.0))
        if self.problem is None and loss > self.limit:
            self.stop(f"in epoch {self.epoch} the loss rose to {loss:.3g}")

    def stop(self, problem: str) -> None:
        """Ends the training after this step."""
        self.problem = problem
        self.model.stop_training = True
