"""The fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from foldnet_train.data.augment import Floats
from foldnet_train.data.batches import epoch_batches, held_out_data, steps_per_epoch
from foldnet_train.data.pictures import Pictures
from foldnet_train.errors import LimitMissed
from foldnet_train.qat.build import build
from foldnet_train.qat.calibrate import calibrate
from foldnet_train.qat.sensitivity import choose_units
from foldnet_train.settings import Settings
from foldnet_train.training.fit import compiled
from foldnet_train.training.guard import Guard

CALIBRATION = 64
"""Pictures that ranges begin with."""


def fine_tune(
    teacher: Any, settings: Settings, train: Pictures, held_out: Pictures, say: Callable[[str], None]
) -> tuple[Any, list[float]]:
    """Trains the network with int8's rounding to answer like `teacher`, the float network (Hinton et al.,
    *Distilling the knowledge in a neural network*, 2015). Returns the state, of all epochs and the initial one, that
    is correct most often on held-out images, and these shares, starting with the initial one."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(settings.seed)
    model = build(teacher)
    rng = np.random.default_rng(settings.seed)
    chosen = rng.permutation(len(train))[:CALIBRATION]
    calibrate(model, train.pixels[chosen], rng)
    choose_units(model, train.pixels[chosen], rng)
    steps = steps_per_epoch(train, settings)
    compiled(model, settings, steps * settings.epochs, settings.learning_rate)
    data = held_out_data(held_out, settings.batch_size)
    answers = tf.function(lambda x: teacher(x, training=False))

    def taught(epoch: int) -> Iterator[tuple[Floats, Any]]:
        for pixels, _ in epoch_batches(train, replace(settings, mixup=0.0), epoch):
            yield pixels, answers(pixels)

    shares = [model.evaluate(data, verbose=0, return_dict=True)["accuracy"]]
    say(f"rounded, before fine-tuning: {shares[0]:.4f} of held-out images right")
    best = model.get_weights()
    guard = Guard(len(train.classes))
    for epoch in range(settings.epochs):
        model.fit(
            taught(epoch),
            steps_per_epoch=steps,
            initial_epoch=epoch,
            epochs=epoch + 1,
            callbacks=[guard],
            verbose=0,
            shuffle=False,
        )
        if guard.problem:
            raise LimitMissed(
                f"stopped: {guard.problem}; learning_rate {settings.learning_rate:g} is too high, try a tenth"
            )
        share = model.evaluate(data, verbose=0, return_dict=True)["accuracy"]
        say(f"epoch {epoch + 1}: {share:.4f} of held-out images right")
        if share > max(shares):
            best = model.get_weights()
        shares.append(share)
    model.set_weights(best)
    return model, shares
