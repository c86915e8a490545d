"""Runs a peer's prepared network some times on one thread and a grey image: what `count_aarch64.py` counts."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from engines import engine


def main() -> None:
    if len(sys.argv) != 5:
        raise SystemExit("usage: run_peer.py ENGINE ARTIFACT MODEL ITERATIONS")
    name, artifact, model, iterations = sys.argv[1:]
    shape = (1, 3, 224, 224) if model == "resnet18" else (1, 224, 224, 3)
    infer = engine(name).load(Path(artifact), 1, np.zeros(shape, np.float32))
    for _ in range(int(iterations)):
        infer()


if __name__ == "__main__":
    main()
