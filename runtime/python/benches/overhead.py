"""What a call from Python costs beyond the network itself, how long the import takes, and the wheel's size.

A batch runs the same network in one call: what images cost more one by one is the calls' own time.
Usage: python overhead.py ARCHIVE [WHEEL]
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import foldnet

IMAGES = 200
ROUNDS = 25


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def python_starts(code: str) -> float:
    return min(seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True)) for _ in range(ROUNDS))


def main(archive: str, wheel: str | None = None) -> None:
    model = foldnet.load(archive, threads=1)
    batch = np.random.default_rng(0).integers(0, 256, (IMAGES, *model.input_shape), np.uint8)
    images = list(batch)
    calls: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "logits": (lambda: [model.logits(image) for image in images], lambda: model.logits(batch)),
        "features": (lambda: [model.features(image) for image in images], lambda: model.features(batch)),
        "classify": (lambda: [model.classify(image) for image in images], lambda: model.classify(batch)),
    }
    for name, (single, together) in calls.items():
        # Taking turns, so that both see the same clock rate.
        times = [(seconds(single), seconds(together)) for _ in range(ROUNDS)]
        alone, in_batch = (min(column) / IMAGES * 1e6 for column in zip(*times))
        print(f"{name}: {alone:.1f} µs a call, {in_batch:.1f} µs in a batch: {alone - in_batch:.1f} µs for the call")
    print(f"import: {1e3 * (python_starts('import foldnet') - python_starts('pass')):.0f} ms")
    if wheel is not None:
        print(f"wheel: {Path(wheel).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
