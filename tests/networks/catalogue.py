"""The list of networks; the modules beside this one add to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

CAFFE = {"channels": "bgr", "mean": [103.939, 116.779, 123.68], "deviation": [1.0, 1.0, 1.0]}
HALVES = {"channels": "rgb", "mean": [127.5] * 3, "deviation": [127.5] * 3}
UNIT = {"channels": "rgb", "mean": [0.0] * 3, "deviation": [255.0] * 3}
PIXELS = {"channels": "rgb", "mean": [0.0] * 3, "deviation": [1.0] * 3}
IMAGENET = {
    "channels": "rgb",
    "mean": [0.485 * 255, 0.456 * 255, 0.406 * 255],
    "deviation": [0.229 * 255, 0.224 * 255, 0.225 * 255],
}


@dataclasses.dataclass
class Network:
    """One row of the table."""

    name: str
    source: str
    preprocessing: dict
    side: int
    layout: str
    export: Callable
    whole: bool = False
    refused: str = ""


NETWORKS: dict[str, Network] = {}


def network(name: str, **fields) -> Callable:
    """Registers the decorated function, which exports the network and returns the ONNX model.

    `preprocessing`: what turns a pixel 0..255 into the network's input; `side`: the input's height and width;
    `layout`: nhwc or nchw; `whole`: keep the tensors, because they fit to each other; `refused`: the converter cannot
    take it, and its message contains this.
    """

    def register(export: Callable) -> Callable:
        if name in NETWORKS:
            raise SystemExit(f"two networks are called {name}")
        NETWORKS[name] = Network(name, export=export, **fields)
        return export

    return register
