"""Changes to a batch of training images. Each takes and returns pixels `[n, h, w, 3]`; all randomness comes from
`rng`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageOps

from foldnet_train.data.pictures import Pixels
from foldnet_train.settings import Settings

Floats = npt.NDArray[np.float32]


def augment(pixels: Pixels, targets: Floats, settings: Settings, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Applies all augmentations in the settings; `targets` are one-hot and are mixed together with the images."""
    if settings.flip:
        pixels = flip(pixels, rng)
    if settings.crop:
        pixels = crop(pixels, settings.crop, rng)
    if settings.randaugment:
        pixels = randaugment(pixels, settings.randaugment, rng)
    if settings.cutout:
        pixels = cutout(pixels, settings.cutout, rng)
    floats = pixels.astype(np.float32)
    return mixup(floats, targets, settings.mixup, rng) if settings.mixup else (floats, targets)


def flip(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Mirrors half of the images."""
    mirrored = rng.random(len(pixels)) < 0.5
    out = pixels.copy()
    out[mirrored] = pixels[mirrored, :, ::-1]
    return out


def crop(pixels: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """Shifts each image by up to `share` of its side; the uncovered part is filled by reflection."""
    n, side = len(pixels), pixels.shape[1]
    reach = min(max(1, round(share * side)), side - 1)
    padded = np.pad(pixels, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="reflect")
    down, right = rng.integers(0, 2 * reach + 1, (2, n))
    rows = down[:, None] + np.arange(side)
    columns = right[:, None] + np.arange(side)
    moved: Pixels = padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved


def cutout(pixels: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """Makes a square of each image grey. DeVries and Taylor, *Improved regularization of convolutional neural
    networks with cutout*, 2017."""
    side = pixels.shape[1]
    half = max(1, round(share * side / 2))
    centres = rng.integers(0, side, (2, len(pixels), 1))
    near = np.abs(np.arange(side) - centres) < half
    inside = near[0][:, :, None] & near[1][:, None, :]
    return np.where(inside[..., None], np.uint8(127), pixels)


def mixup(pixels: Floats, targets: Floats, alpha: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Blends each image with another. Zhang et al., *mixup: beyond empirical risk minimization*, 2018."""
    part = rng.beta(alpha, alpha, (len(pixels), 1)).astype(np.float32)
    other = rng.permutation(len(pixels))
    mixed = part[:, :, None, None] * pixels + (1 - part[:, :, None, None]) * pixels[other]
    return mixed, part * targets + (1 - part) * targets[other]


Change = Callable[[Image.Image, float], Image.Image]
"""An image and a strength from −1 to 1."""


def _moved(x: float, y: float, lean_x: float = 0.0, lean_y: float = 0.0) -> Change:
    def change(picture: Image.Image, strength: float) -> Image.Image:
        w, h = picture.size
        matrix = (1, lean_x * strength, x * w * strength, lean_y * strength, 1, y * h * strength)
        return picture.transform(
            (w, h), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=(127,) * 3
        )

    return change


CHANGES: tuple[Change, ...] = (
    lambda p, s: p,
    lambda p, s: ImageOps.autocontrast(p),
    lambda p, s: ImageOps.equalize(p),
    lambda p, s: ImageOps.posterize(p, 8 - round(4 * abs(s))),
    lambda p, s: ImageOps.solarize(p, 256 - round(256 * abs(s))),
    lambda p, s: ImageEnhance.Color(p).enhance(1 + 0.9 * s),
    lambda p, s: ImageEnhance.Contrast(p).enhance(1 + 0.9 * s),
    lambda p, s: ImageEnhance.Brightness(p).enhance(1 + 0.9 * s),
    lambda p, s: ImageEnhance.Sharpness(p).enhance(1 + 0.9 * s),
    lambda p, s: p.rotate(30 * s, Image.Resampling.BILINEAR, fillcolor=(127,) * 3),
    _moved(0, 0, lean_x=0.3),
    _moved(0, 0, lean_y=0.3),
    _moved(0.3, 0),
    _moved(0, 0.3),
)


def randaugment(pixels: Pixels, magnitude: int, rng: np.random.Generator) -> Pixels:
    """Applies two of the changes per image, with strength `magnitude`/30. Cubuk et al., *RandAugment*, 2020."""
    out = np.empty_like(pixels)
    for i, picture in enumerate(pixels):
        changed = Image.fromarray(picture)
        for number in rng.integers(0, len(CHANGES), 2):
            changed = CHANGES[number](changed, magnitude / 30 * rng.choice((-1.0, 1.0)))
        out[i] = np.asarray(changed)
    return out
