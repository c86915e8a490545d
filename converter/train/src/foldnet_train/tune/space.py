"""The search space: every setting that has values to try, unless it was fixed; and KerasTuner's own HyperResNet."""

from __future__ import annotations

import dataclasses
from typing import Any

from foldnet_train.errors import BadInput
from foldnet_train.settings import Settings, convert

RESIDUAL_ONLY = {"num_blocks"}
"""Tried for the network `residual` alone."""


def tried(fixed: dict[str, Any], only: list[str]) -> dict[str, tuple[Any, ...]]:
    """Returns settings and their values. A given setting has only that value; `only`, if any, names those to try."""
    values = {}
    for each in dataclasses.fields(Settings):
        if each.name in fixed:
            continue
        choices = each.metadata["range"].tried
        if each.name in only and not choices:
            raise BadInput(f"{each.name}: there are no values to try; those that have are {', '.join(tunable())}")
        if choices and (not only or each.name in only):
            values[each.name] = choices
    unknown = [name for name in only if name not in tunable()]
    if unknown:
        raise BadInput(
            f"--over {','.join(unknown)}: no values to try, or a fixed value; there are {', '.join(tunable())}"
        )
    if not values:
        raise BadInput("nothing is left to try: every setting was given")
    return values


def tunable() -> list[str]:
    """Returns the names of all settings that have values to try."""
    return [each.name for each in dataclasses.fields(Settings) if each.metadata["range"].tried]


def chosen(hp: Any, fixed: dict[str, Any], values: dict[str, tuple[Any, ...]]) -> Settings:
    """Returns one point of the space. `hp` are KerasTuner's hyperparameters."""
    picked = dict(fixed)
    for name, choices in values.items():
        if name in RESIDUAL_ONLY and "network" in values:
            with hp.conditional_scope("network", ["residual"]):
                value = hp.Choice(name, list(choices))
            if picked["network"] != "residual":
                continue
        else:
            value = hp.Choice(name, list(choices))
        picked[name] = convert(name, value)
    if picked.get("network") == "residual" and "num_blocks" in picked and "strides" not in fixed:
        # A stage without blocks does not exist.
        picked["strides"] = (1, 2, 2)[: picked["num_blocks"]]
    return Settings(**picked)


def hyper_resnet(side: int, classes: int) -> Any:
    """Returns KerasTuner's hypermodel of ResNet-50-like networks (V1, V2, ResNeXt), preceded by a rescaling."""
    import keras
    from keras_tuner.applications import HyperResNet

    inputs = keras.Input((side, side, 3), name="image")
    return HyperResNet(input_tensor=keras.layers.Rescaling(1 / 255)(inputs), classes=classes)
