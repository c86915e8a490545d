"""Seeded numbers, to the last bit those of `tests/src/refill.rs`: contents of stripped tensors, and images.

A stripped tensor keeps its name, type and dimensions; its doc string is the recipe of its values:

    refill seed=12 mean=0.0 step=1.5e-06 floor=-inf axis=0

Element i has the integer g = the sum of the four 16-bit parts of `random(seed, i)` less 131070: nearly normal,
of mean 0 and deviation `DEVIATION`. Its value is mean + step·g, not under floor, computed in f64 and rounded to
f32. Where an axis is named, g is first lessened by the mean of all g that share the element's index on that
axis: filters then sum to zero, so that a random network answers to its image instead of to its own biases.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
DEVIATION = math.sqrt((2**32 - 1) / 3)
OCTAVES = ((3, 8), (6, 4), (12, 2), (24, 1))


def random(seed: int, count: int) -> np.ndarray:
    """The first `count` numbers of stream `seed`: splitmix64 of (seed · 2^40 + i + 1)."""
    with np.errstate(over="ignore"):
        z = (np.arange(1, count + 1, dtype=np.uint64) + np.uint64(seed << 40)) * GOLDEN
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


@dataclasses.dataclass
class Recipe:
    """How a stripped tensor is filled."""

    seed: int
    mean: float
    step: float
    floor: float = -math.inf
    axis: int | None = None

    def __str__(self) -> str:
        axis = "" if self.axis is None else f" axis={self.axis}"
        return f"refill seed={self.seed} mean={self.mean!r} step={self.step!r} floor={self.floor!r}{axis}"

    def fill(self, dims: tuple[int, ...]) -> np.ndarray:
        """The tensor's values."""
        z = random(self.seed, math.prod(dims))
        parts = [(z >> np.uint64(shift)) & np.uint64(0xFFFF) for shift in (0, 16, 32, 48)]
        g = (sum(part.astype(np.int64) for part in parts) - 131070).reshape(dims)
        if self.axis is None:
            centred = g.astype(np.float64)
        else:
            others = tuple(d for d in range(len(dims)) if d != self.axis)
            centred = g - g.sum(axis=others, keepdims=True) / np.float64(math.prod(dims) // dims[self.axis])
        return np.maximum(self.mean + self.step * centred, self.floor).astype(np.float32)


def picture(seed: int, height: int, width: int) -> np.ndarray:
    """Seeded patches of colour in four sizes, HWC u8 RGB."""
    total = np.zeros((height, width, 3), np.uint64)
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    for octave, (cells, weight) in enumerate(OCTAVES):
        values = random(seed * 4 + octave, cells * cells * 3).reshape(cells, cells, 3) >> np.uint64(56)
        total += values[rows * cells // height, columns * cells // width] * np.uint64(weight)
    return (total // np.uint64(15)).astype(np.uint8)


def network_input(pixels: np.ndarray, preprocessing: dict, layout: str) -> np.ndarray:
    """The float tensor, batch 1, that a network with this preprocessing and layout makes of an image."""
    x = pixels[..., ::-1] if preprocessing["channels"] == "bgr" else pixels
    x = (x.astype(np.float32) - np.float32(preprocessing["mean"])) / np.float32(preprocessing["deviation"])
    return np.ascontiguousarray((x if layout == "nhwc" else x.transpose(2, 0, 1))[None])
