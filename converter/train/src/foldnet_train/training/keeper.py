"""Stores a training on disk: the last state, from which to resume, the best model, the log."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from foldnet_train import storage
from foldnet_train.training.guard import Guard

LAST, BEST, LOG = "last.keras", "best.keras", "log.csv"


class Keeper(keras.callbacks.Callback):  # type: ignore[misc]
    """Saves after every epoch to which `guard` has no objection. If the disk is full, training continues with the
    previously saved files, and the next epoch tries again; `problem` reports it if the last attempt failed."""

    def __init__(self, run: Path, notes: storage.Notes, guard: Guard, say: Callable[[str], None]) -> None:
        super().__init__()
        self.run, self.notes, self.guard, self.say = run, notes, guard, say
        self.problem: str | None = None
        self.started = times()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.started = times()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.guard.problem is not None:
            return
        row = {name: float(value) for name, value in (logs or {}).items()}
        seconds, processor = (now - then for now, then in zip(times(), self.started, strict=True))
        row = {"epoch": epoch + 1, **row, "seconds": round(seconds, 3), "processor_seconds": round(processor, 3)}
        self.notes.epoch = epoch + 1
        self.notes.history.append(row)
        self.say(
            f"epoch {epoch + 1}: loss {row['loss']:.4f}, accuracy {row['accuracy']:.4f}; held out: "
            f"loss {row['val_loss']:.4f}, accuracy {row['val_accuracy']:.4f}; {row['seconds']:.1f} s"
        )
        before = self.notes.best, self.notes.best_loss
        now = row["val_accuracy"], row["val_loss"]
        try:
            if (now[0], -now[1]) > (before[0], -before[1]) or not (self.run / BEST).exists():
                self.notes.best, self.notes.best_loss = now
                storage.save(self.model, self.notes, self.run / BEST)
                before = now
            storage.save(self.model, self.notes, self.run / LAST)
            write_log(self.notes.history, self.run / LOG)
            self.problem = None
        except OSError as error:
            # The best model is the one on disk.
            self.notes.best, self.notes.best_loss = before
            self.problem = f"not saved: {error}"
            self.say(f"epoch {epoch + 1} was {self.problem}; nothing saved before is harmed, training goes on")


def times() -> tuple[float, float]:
    """Returns the clock time, and the processor time of this process, which is comparable even on a busy machine."""
    return time.monotonic(), time.process_time()


def write_log(history: list[dict[str, float]], path: Path) -> None:
    """Writes one line per epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(history[-1]))
    writer.writeheader()
    writer.writerows(history)
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(text.getvalue())
    unfinished.replace(path)
