"""The randomness in layers."""

from __future__ import annotations

from typing import Any

import keras


class Chance(keras.callbacks.Callback):  # type: ignore[misc]
    """Makes the random values of Dropout in an epoch depend only on the seed and the epoch's number. Keras does not
    save the state of its generators, and a resumed training must draw the same values as an uninterrupted one."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        for number, layer in enumerate(self.model._flatten_layers()):
            generator = getattr(layer, "seed_generator", None)
            if generator is not None:
                generator.state.assign([self.seed, epoch * 65_536 + number])
