"""Exports the networks of the network table with their real frameworks and writes them down stripped.

    export.py --list               what there is
    export.py keras                every network of that framework (keras, torch, quantized, torch-quantized)
    export.py keras resnet50-tf2onnx   only those

Writes graphs/NAME.onnx.gz (the exporter's graph, large tensors replaced by recipes, see refill.py),
golden/NAME.f32 (what ONNX Runtime computes in f32 on the refilled network for image 1, before a final softmax
or sigmoid) and the row in networks.json.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import json
import time
from pathlib import Path

import numpy as np
import onnx

from catalogue import NETWORKS, Network
from evaluate import session
from refill import network_input, picture
from strip import refill, strip

HERE = Path(__file__).parent
FRAMEWORKS = {
    "keras": "keras_networks",
    "torch": "torch_networks",
    "quantized": "quantized_networks",
    "torch-quantized": "torch_aware_networks",
}
CALIBRATION = (11, 12, 13)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("framework", choices=FRAMEWORKS)
    parser.add_argument("names", nargs="*", help="networks (default: all of the framework)")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument(
        "--again", action="store_true", help="take the graphs that are there, choose weights and compute goldens anew"
    )
    parser.add_argument("--keep", type=Path, help="also write the refilled networks into this folder")
    arguments = parser.parse_intermixed_args()
    importlib.import_module(FRAMEWORKS[arguments.framework])
    owned = [n for n, row in NETWORKS.items() if row.export.__module__ == FRAMEWORKS[arguments.framework]]
    names = arguments.names or owned
    unknown = set(names) - set(NETWORKS)
    if unknown:
        parser.error(f"no network is called {', '.join(sorted(unknown))}")
    for name in names:
        print(name if arguments.list else write(NETWORKS[name], arguments.keep, arguments.again), flush=True)


def write(network: Network, keep: Path | None, again: bool) -> str:
    """Exports one network; returns a line about it."""
    start = time.monotonic()
    graph = HERE / "graphs" / f"{network.name}.onnx.gz"
    model = refill(onnx.load_from_string(gzip.decompress(graph.read_bytes()))) if again else network.export()
    if any(dimension.dim_param for value in model.graph.input for dimension in value.type.tensor_type.shape.dim[1:]):
        raise SystemExit(f"{network.name}: the exporter left more than the batch open")
    inputs = [input_of(network, seed) for seed in CALIBRATION]
    if not network.whole:
        model = strip(model, inputs)
    data = model.SerializeToString(deterministic=True)
    if b"/work" in data or b"site-packages" in data or b"/home" in data:
        raise SystemExit(f"{network.name}: the graph names folders of this machine")
    whole = refill(model)
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        onnx.save(whole, keep / f"{network.name}.onnx")
    logits, activation = before_activation(whole)
    outputs = [
        session(whole_with(whole, logits)).run([logits], {whole.graph.input[0].name: x})[0]
        for x in [input_of(network, 1), *inputs]
    ]
    if not all(np.isfinite(o).all() for o in outputs):
        raise SystemExit(f"{network.name}: the refilled network overflows")

    (HERE / "graphs").mkdir(exist_ok=True)
    (HERE / "golden").mkdir(exist_ok=True)
    packed = gzip.compress(data, 9, mtime=0)
    graph.write_bytes(packed)
    (HERE / "golden" / f"{network.name}.f32").write_bytes(outputs[0].astype("<f4").tobytes())
    record(
        {
            "name": network.name,
            "source": network.source,
            "producer": f"{model.producer_name} {model.producer_version}".removesuffix(" None"),
            "opset": next(o.version for o in model.opset_import if o.domain in {"", "ai.onnx"}),
            "side": network.side,
            "layout": network.layout,
            "preprocessing": network.preprocessing,
            "activation": activation,
            "output": list(outputs[0].shape),
        }
        | ({"refused": network.refused} if network.refused else {})
    )
    told = np.stack(outputs).astype(np.float64)
    between = told.std(axis=0).mean()
    return (
        f"{network.name}: {len(packed)} bytes, {len(model.graph.node)} nodes, logits {outputs[0].shape} "
        f"{told.min():.2f}..{told.max():.2f}, deviation {told.std():.2f}, between pictures {between:.2f}, "
        f"{time.monotonic() - start:.0f} s"
    )


def input_of(network: Network, seed: int) -> np.ndarray:
    """Image `seed` as the network's input."""
    pixels = picture(seed, network.side, network.side)
    return network_input(pixels, network.preprocessing, network.layout)


def before_activation(model: onnx.ModelProto) -> tuple[str, str]:
    """The tensor before a final softmax or sigmoid, and which of them it is."""
    output = model.graph.output[0].name
    last = next(node for node in model.graph.node if output in node.output)
    if last.op_type in {"Softmax", "Sigmoid"}:
        return last.input[0], last.op_type.lower()
    return output, "none"


def whole_with(model: onnx.ModelProto, output: str) -> onnx.ModelProto:
    """The model with `output` as its only output."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if copy.graph.output[0].name != output:
        copy.graph.output[0].CopyFrom(onnx.ValueInfoProto(name=output))
    return copy


def record(row: dict) -> None:
    """Puts the row into networks.json, in the order of names."""
    path = HERE / "networks.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    rows = sorted([r for r in rows if r["name"] != row["name"]] + [row], key=lambda r: (r["source"], r["name"]))
    lines = ",\n".join(json.dumps(r) for r in rows)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(f"[\n{lines}\n]\n")
    unfinished.replace(path)


if __name__ == "__main__":
    main()
