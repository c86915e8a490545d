"""All hyperparameters with default, range, meaning, and the values that the tuner tries. Flags, YAML files, checks
and the tuner's search space are generated from this one table."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from foldnet_train.errors import BadInput


@dataclass(frozen=True)
class Range:
    """The allowed values of a setting. A tuple setting takes integers, each within `low` and `high`."""

    help: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[Any, ...] = ()
    tried: tuple[Any, ...] = ()
    """By the tuner."""

    def check(self, name: str, value: Any) -> None:
        """Raises `BadInput` if a value is outside."""
        if self.choices and value not in self.choices:
            raise BadInput(f"{name} = {value}: one of {', '.join(map(str, self.choices))}")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float) and not self.low <= number <= self.high:
                raise BadInput(f"{name} = {value}: {self.low:g} to {self.high:g} is possible")


def setting(default: Any, help: str, **limits: Any) -> Any:
    """Returns a field of `Settings`."""
    return field(default=default, metadata={"range": Range(help, **limits)})


APPLICATIONS = ("resnet50", "resnet101", "resnet152", "resnet50v2", "resnet101v2", "resnet152v2")
NETWORKS = (
    "plain",
    "residual",
    "residual-20x64",
    "resnet8",
    *(f"resnet{depth}-v1" for depth in (20, 32, 44, 56, 110)),
    *(f"resnet{depth}-v2" for depth in (29, 47, 164)),
    *APPLICATIONS,
)


@dataclass(frozen=True)
class Settings:
    """The settings of one training. `num_blocks`, `stage_filters`, `kernel` and `strides` define the shape of the
    network `residual`; the shapes of the others are those of their papers."""

    network: str = setting("resnet8", "the network", choices=NETWORKS, tried=("plain", "residual", "resnet8"))
    side: int = setting(32, "height and width images are resized to", low=8, high=1024)
    activation: str = setting(
        "relu", "the function behind convolutions", choices=("relu", "sigmoid", "tanh"), tried=("relu", "tanh")
    )
    filters: int = setting(16, "filters of the first stage", low=1, high=1024, tried=(8, 16, 24))
    num_blocks: int = setting(3, "residual blocks in all", low=1, high=200, tried=(2, 3, 4, 6))
    stage_filters: tuple[int, ...] = setting((), "filters per stage (default: doubled at each)", low=1, high=4096)
    kernel: int = setting(3, "filter size", choices=(1, 3, 5, 7), tried=(3, 5))
    strides: tuple[int, ...] = setting((1, 2, 2), "the stride that each stage begins with", low=1, high=4)
    dropout: float = setting(0.0, "share dropped before the last layer", low=0, high=0.9, tried=(0.0, 0.2))
    l1: float = setting(0.0, "L1 penalty on filters", low=0, high=1)
    l2: float = setting(1e-4, "L2 penalty on filters", low=0, high=1, tried=(0.0, 1e-4, 5e-4))
    optimizer: str = setting(
        "adam", "the optimizer", choices=("sgd", "adam", "rmsprop"), tried=("sgd", "adam", "rmsprop")
    )
    momentum: float = setting(0.9, "of sgd and rmsprop", low=0, high=0.999)
    learning_rate: float = setting(2e-3, "at its highest", low=1e-7, high=1e4, tried=(5e-4, 2e-3, 8e-3))
    schedule: str = setting(
        "cosine", "of the learning rate", choices=("constant", "cosine", "step"), tried=("cosine", "step")
    )
    warmup: int = setting(0, "epochs in which the learning rate rises", low=0, high=1000)
    batch_size: int = setting(32, "images per step", low=1, high=4096, tried=(16, 32, 64))
    epochs: int = setting(30, "passes over the images", low=1, high=10_000)
    flip: bool = setting(True, "augmentation: mirror half of the images")
    crop: float = setting(
        0.125, "augmentation: move by up to this share of a side", low=0, high=0.5, tried=(0.0, 0.125)
    )
    mixup: float = setting(
        0.0, "augmentation: mix pairs; alpha of the beta distribution", low=0, high=2, tried=(0.0, 0.2)
    )
    cutout: float = setting(
        0.0, "augmentation: blank a square of this share of a side", low=0, high=0.9, tried=(0.0, 0.4)
    )
    randaugment: int = setting(0, "augmentation: magnitude of two random changes", low=0, high=30, tried=(0, 5))
    validation: float = setting(0.2, "share of the images that is held out", low=0.01, high=0.9)
    seed: int = setting(1, "the same seed gives the same network", low=0, high=2**31 - 1)
    weights: str = setting(
        "", "Keras Applications: a file of weights without top, or 'random', and all is trained (default: Keras's own)"
    )
    tune_epochs: int = setting(
        0, "Keras Applications: epochs of fine-tuning after the head was trained", low=0, high=10_000
    )
    tune_learning_rate: float = setting(1e-4, "Keras Applications: of fine-tuning", low=1e-9, high=1)
    tune_from: str = setting("conv5", "Keras Applications: the first block that is fine-tuned, or 'all'")

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            each.metadata["range"].check(each.name, getattr(self, each.name))
        if self.stage_filters and len(self.stage_filters) != len(self.strides):
            raise BadInput(f"stage_filters names {len(self.stage_filters)} stages, strides {len(self.strides)}")
        if not self.strides:
            raise BadInput("strides = (): at least one stage")

    def asdict(self) -> dict[str, Any]:
        """Returns the settings in the form of YAML and JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}


def field_types() -> dict[str, type]:
    """Returns the type of each setting's values."""
    return {each.name: type(each.default) for each in dataclasses.fields(Settings)}


def convert(name: str, value: Any) -> Any:
    """Converts a value from a flag or a file to the setting's type."""
    kinds = field_types()
    if name not in kinds:
        raise BadInput(f"no setting is called {name}; there are {', '.join(kinds)}")
    kind = kinds[name]
    try:
        if kind is tuple:
            parts = value.split(",") if isinstance(value, str) else [value] if isinstance(value, int) else value
            return tuple(int(part) for part in parts)
        if kind is bool:
            return {"true": True, "false": False}[str(value).lower()]
        if kind is int and float(value) != int(value):
            raise ValueError
        number = kind(value)
        if kind is float and math.isnan(number):
            raise ValueError
        return number
    except (KeyError, TypeError, ValueError, OverflowError):
        what = {tuple: "whole numbers, 16,32,64", bool: "true or false", int: "a whole number", float: "a number"}
        raise BadInput(f"{name} = {value}: {what.get(kind, 'a word')} is expected") from None


def from_file(path: Path) -> dict[str, Any]:
    """Returns the settings in a YAML file."""
    try:
        read = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{path}: {error}") from error
    if not isinstance(read or {}, dict):
        raise BadInput(f"{path}: lines 'setting: value' are expected")
    return {str(name): convert(str(name), value) for name, value in (read or {}).items()}
