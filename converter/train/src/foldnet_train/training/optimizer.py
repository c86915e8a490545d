"""Optimizer and learning rate from the settings."""

from __future__ import annotations

from typing import Any

from foldnet_train.settings import Settings


def optimizer(settings: Settings, steps: int, peak: float) -> Any:
    """Returns the optimizer for a training of `steps` steps whose highest learning rate is `peak`."""
    from keras import optimizers

    rate = schedule(settings, steps, peak)
    if settings.optimizer == "sgd":
        return optimizers.SGD(rate, momentum=settings.momentum, nesterov=settings.momentum > 0)
    if settings.optimizer == "adam":
        return optimizers.Adam(rate)
    return optimizers.RMSprop(rate, momentum=settings.momentum)


def schedule(settings: Settings, steps: int, peak: float) -> Any:
    """Returns the learning rate: constant, falling to zero as a cosine (Loshchilov and Hutter, *SGDR*, 2017), or a
    tenth at a half and again at three quarters (He et al., 2016); a warm-up rises linearly before the cosine."""
    from keras.optimizers import schedules

    warmup = min(settings.warmup * max(1, steps // settings.epochs), steps - 1)
    if settings.schedule == "cosine":
        if warmup:
            return schedules.CosineDecay(0.0, steps - warmup, warmup_target=peak, warmup_steps=warmup)
        return schedules.CosineDecay(peak, steps)
    if settings.schedule == "step":
        return schedules.PiecewiseConstantDecay([steps // 2, steps * 3 // 4], [peak, peak / 10, peak / 100])
    return peak
