"""What an archive of ours computes, in numpy, from its `graph.nnef`: the file's own fragments are the definition."""

from __future__ import annotations

import re
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

CALL = re.compile(r"^\s+(\w+) = ([\w<>]+)\((.*)\);$")
# NNEF's tensor files: so much header; in it how wide a number is, and 4 if it is a signed integer, 0 if it is f32.
HEADER = 128
BITS_AT = 44
SIGNED_AT = 48
KINDS = {(8, 4): np.int8, (32, 4): np.int32, (32, 0): np.float32}


@dataclass
class Call:
    """One line of the graph: `y = fragment(operands…, key = value…)`."""

    y: str
    fragment: str
    operands: list[str]
    values: dict[str, object]


@dataclass
class Graph:
    """The lines and the constants."""

    calls: list[Call]
    constants: dict[str, np.ndarray] = field(default_factory=dict)


def read(path: Path) -> Graph:
    """Reads an archive."""
    with tarfile.open(path) as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}
    text = files["graph.nnef"].decode()
    graph = Graph([])
    for line in text[text.index("\ngraph ") :].splitlines():
        if not (match := CALL.match(line)):
            continue
        y, fragment, inside = match.groups()
        parts = re.split(r",\s*(?![^\[\]]*\])", inside)
        values = dict(part.split(" = ", 1) for part in parts if " = " in part)
        call = Call(y, fragment, [p for p in parts if " = " not in p], {k: value(v) for k, v in values.items()})
        if fragment == "variable<scalar>":
            graph.constants[y] = tensor(files[f"{call.values['label']}.dat"], call.values["shape"])
        else:
            graph.calls.append(call)
    return graph


def value(text: str) -> object:
    """A literal of NNEF."""
    if text[0] in "'\"":
        return text[1:-1]
    numbers = [float(n) if "." in n or "e" in n else int(n) for n in re.findall(r"-?\d[\d.e+-]*", text)]
    return numbers if text[0] == "[" else numbers[0]


def tensor(file: bytes, shape: list[int]) -> np.ndarray:
    """A constant."""
    bits, signed = (int.from_bytes(file[at : at + 4], "little") for at in (BITS_AT, SIGNED_AT))
    return np.frombuffer(file[HEADER:], KINDS[bits, signed]).reshape(shape)


def windows(x: np.ndarray, size: int, stride: int, pads: list[int], fill: int) -> np.ndarray:
    """NCHW → (N, rows, columns, C·size·size), padded by (top, bottom, left, right)."""
    top, bottom, left, right = pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    all_of_them = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(2, 3))
    some = all_of_them[:, :, ::stride, ::stride]
    return some.transpose(0, 2, 3, 1, 4, 5).reshape(*some.shape[:1], *some.shape[2:4], -1)


def convolve(graph: Graph, call: Call, x: np.ndarray) -> np.ndarray:
    """`foldnet_conv`, in f32 of exact sums."""
    weights, bias, multiplier = (graph.constants[name] for name in call.operands[1:4])
    if call.values["groups"] != 1 or call.values["dilation"] != [1, 1]:
        raise SystemExit(f"{call.y}: groups and dilation are not counted here")
    zero = call.values["x_zero"]
    seen = windows(x, weights.shape[2], call.values["stride"][0], call.values["padding"], zero)
    sums = (seen.astype(np.float64) - zero) @ weights.reshape(len(weights), -1).T.astype(np.float64) + bias
    return (sums.astype(np.int32).astype(np.float32) * multiplier.reshape(-1)).transpose(0, 3, 1, 2)


def run(graph: Graph, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor of the graph for these images (NHWC u8), NCHW."""
    seen: dict[str, np.ndarray] = {}
    for call in graph.calls:
        at = [seen[name] for name in call.operands if name in seen]
        v = call.values
        match call.fragment:
            case "tract_core_external":
                y = pixels.transpose(0, 3, 1, 2)
            case "foldnet_pixels":
                zero = graph.constants[call.operands[1]]
                top, bottom, left, right = v["padding"][4:]
                wide = ((0, 0), (0, 0), (top, bottom), (left, right))
                y = (np.pad(at[0] - zero, wide) + zero - 128).astype(np.int8)
            case "foldnet_conv":
                y = convolve(graph, call, at[0])
            case "foldnet_residual":
                y = at[0] + (at[1].astype(np.float32) - np.float32(v["zero"])) * np.float32(v["multiplier"])
            case "foldnet_mean":
                sums = at[0].astype(np.int32).sum(axis=(2, 3), keepdims=True).astype(np.float32)
                y = (sums - np.float32(v["offset"])) * np.float32(v["multiplier"])
            case "foldnet_round":
                y = np.clip(np.rint(at[0]) + v["zero"], v["lo"], v["hi"]).astype(np.int8)
            case "squeeze":
                y = at[0].reshape(len(pixels), -1)
            case "softmax":
                y = at[0]
            case other:
                raise SystemExit(f"{call.y}: `{other}` is not counted here")
        seen[call.y] = y
    return seen
