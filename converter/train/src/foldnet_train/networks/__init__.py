"""The networks. Each takes RGB pixels from 0 to 255 and starts with its own rescaling, so that no preprocessing can
be lost between training and the camera."""

from __future__ import annotations

from typing import Any

from foldnet_train.networks import applications, cifar, plain, residual, resnet8
from foldnet_train.settings import APPLICATIONS, Settings


def build(settings: Settings, classes: int) -> Any:
    """Returns a `keras.Model` from pixels to the probabilities of the classes."""
    name = settings.network
    if name in APPLICATIONS:
        return applications.build(settings, classes)
    if name == "plain":
        return plain.build(settings, classes)
    if name == "resnet8":
        return resnet8.build(settings, classes)
    if name.startswith("residual"):
        return residual.build(settings, classes)
    depth, version = name.removeprefix("resnet").split("-")
    of = cifar.build_v1 if version == "v1" else cifar.build_v2
    return of(settings, classes, int(depth))
