"""An archive's network as CMSIS-NN wants it: layers with TensorFlow Lite's requantization, weights as C arrays.

Two things differ from the archive. A convolution that a residual is added to is rounded to int8 first, to a scale that
its values on some images ask for; and the mean keeps its input's scale. So the logits are not ours to the bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nnef_archive import Call, Graph, run

# The left shift of both terms of a sum, as TensorFlow Lite has it.
SUM_SHIFT = 20


@dataclass
class Tensor:
    """An int8 activation: rows, columns, channels; what it stands for; the layers that write and last read it."""

    shape: tuple[int, int, int]
    scale: float
    zero: int
    born: int
    dies: int = -1
    at: int = -1
    # The tensor in whose place it is written.
    over: Tensor | None = None

    @property
    def bytes(self) -> int:
        return math.prod(self.shape)


@dataclass
class Layer:
    """A call of the library."""

    kind: str
    x: Tensor
    y: Tensor
    lo: int
    hi: int
    skip: Tensor | None = None
    size: int = 1
    stride: int = 1
    pad: int = 0
    weights: np.ndarray | None = None
    bias: np.ndarray | None = None
    # (multiplier, shift) of each channel, or of both terms and of the sum.
    factors: list[tuple[int, int]] | None = None


def factor(real: float) -> tuple[int, int]:
    """A real factor as a multiplier of 31 bits behind the point, and a power of two."""
    if real == 0:
        return 0, 0
    mantissa, shift = math.frexp(real)
    multiplier = round(mantissa * (1 << 31))
    return (multiplier // 2, shift + 1) if multiplier == 1 << 31 else (multiplier, shift)


def rounding(values: np.ndarray) -> tuple[float, int]:
    """Scale and zero point for int8 of these values."""
    lo, hi = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = (hi - lo) / 255 or 1.0
    return scale, round(-128 - lo / scale)


def layers(graph: Graph, calibration: np.ndarray) -> list[Layer]:
    """The network's layers, their memory laid out."""
    seen = run(graph, calibration)
    found: list[Layer] = []
    tensors: dict[str, Tensor] = {}
    pads: dict[str, list[int]] = {}
    # What was not rounded yet: the call, and the scale that its values are in units of.
    rounds = {call.operands[0]: call for call in graph.calls if call.fragment == "foldnet_round"}
    sums = {call.operands[0]: call for call in graph.calls if call.fragment == "foldnet_residual"}

    def shape(name: str) -> tuple[int, int, int]:
        _, c, h, w = seen[name].shape
        return h, w, c

    def add(layer: Layer) -> None:
        for tensor in (layer.x, layer.skip):
            if tensor:
                tensor.dies = len(found)
        layer.y.dies = len(found)
        found.append(layer)

    def rounded(call: Call) -> tuple[Tensor, int, int]:
        last = rounds[call.y]
        v = last.values
        tensors[last.y] = Tensor(shape(call.y), v["scale"], int(v["zero"]), len(found))
        return tensors[last.y], int(v["lo"]), int(v["hi"])

    def convolution(call: Call) -> None:
        x = tensors[call.operands[0]]
        weights, bias, multiplier = (graph.constants[name] for name in call.operands[1:4])
        real = multiplier.reshape(-1).astype(np.float64)
        bias = bias.astype(np.float64)
        # The archive's zero point may be in the bias: take it out.
        bias -= (call.values["x_zero"] - x.zero) * weights.reshape(len(weights), -1).sum(axis=1, dtype=np.int64)
        top, _, left, _ = pads.pop(call.operands[0], call.values["padding"])
        if top != left:
            raise SystemExit(f"{call.y}: {top} rows and {left} columns of padding")
        if call.y in rounds:
            y, lo, hi = rounded(call)
        else:
            # Logits are in units of one, what is added to in the sum's.
            unit = rounds[sums[call.y].y].values["scale"] if call.y in sums else 1.0
            scale, zero = rounding(seen[call.y] * unit)
            y, lo, hi = Tensor(shape(call.y), scale, zero, len(found)), -128, 127
            tensors[call.y] = y
            real *= unit / scale
        stated = graph_scale.pop(call.operands[0], x.scale)
        real, bias = real * (x.scale / stated), bias * (stated / x.scale)
        (stride, _), size = call.values["stride"], weights.shape[2]
        ohwi = np.ascontiguousarray(weights.transpose(0, 2, 3, 1))
        factors = [factor(m) for m in real]
        add(Layer("CONVOLUTION", x, y, lo, hi, None, size, stride, top, ohwi, np.rint(bias), factors))

    def residual(call: Call) -> None:
        x, skip = tensors[call.operands[0]], tensors[call.operands[1]]
        y, lo, hi = rounded(call)
        twice = 2 * max(x.scale, skip.scale)
        factors = [factor(r) for r in (x.scale / twice, skip.scale / twice, twice / ((1 << SUM_SHIFT) * y.scale))]
        y.over = x
        add(Layer("SUM", x, y, lo, hi, skip, factors=factors))

    def mean(call: Call) -> None:
        x = tensors[call.operands[0]]
        last = rounds[call.y]
        tensors[last.y] = Tensor(shape(call.y), x.scale, x.zero, len(found))
        # What reads it has multipliers for the scale that the archive gives it.
        graph_scale[last.y] = last.values["scale"]
        if last.values["zero"] != x.zero:
            raise SystemExit(f"{call.y}: the mean moves the zero point")
        add(Layer("MEAN", x, tensors[last.y], -128, 127))

    graph_scale: dict[str, float] = {}
    for call in graph.calls:
        match call.fragment:
            case "foldnet_pixels":
                zeros = {int(z) for z in graph.constants[call.operands[1]].reshape(-1)}
                if len(zeros) > 1:
                    raise SystemExit("the channels' zero points differ")
                _, h, w, c = calibration.shape
                tensors[call.y] = Tensor((h, w, c), 1.0, zeros.pop() - 128, 0)
                pads[call.y] = call.values["padding"][4:]
            case "foldnet_conv":
                convolution(call)
            case "foldnet_residual":
                residual(call)
            case "foldnet_mean":
                mean(call)
    found[-1].y.dies = len(found)
    place(found)
    return found


def place(found: list[Layer]) -> None:
    """Gives each tensor its place: the largest first, as low as those allow that live at the same time."""
    tensors = [found[0].x] + [layer.y for layer in found]
    for tensor in reversed(tensors):
        if tensor.over:
            tensor.over.dies = max(tensor.over.dies, tensor.dies)
    placed: list[Tensor] = []
    for tensor in sorted((t for t in tensors if not t.over), key=lambda t: -t.bytes):
        near = [p for p in placed if p.born <= tensor.dies and tensor.born <= p.dies]
        starts = [0] + [-(-(p.at + p.bytes) // 16) * 16 for p in near]
        free = (s for s in sorted(starts) if all(s + tensor.bytes <= p.at or p.at + p.bytes <= s for p in near))
        tensor.at = next(free)
        placed.append(tensor)
    for tensor in tensors:
        if tensor.over:
            tensor.at = tensor.over.at


def c_text(found: list[Layer], pictures: np.ndarray) -> str:
    """`layers.h`."""

    def array(kind: str, name: str, values: np.ndarray, attribute: str = "") -> str:
        numbers = ", ".join(str(int(v)) for v in np.asarray(values).reshape(-1))
        return f"static const {kind} {name}[]{attribute} = {{{numbers}}};"

    lines, table = [], []
    for i, layer in enumerate(found):
        pairs = layer.factors or []
        pointers, terms = "0, 0, 0, 0", ""
        if layer.kind == "CONVOLUTION":
            lines.append(array("int8_t", f"weights_{i}", layer.weights))
            lines.append(array("int32_t", f"bias_{i}", layer.bias))
            lines.append(array("int32_t", f"multipliers_{i}", [m for m, _ in pairs]))
            lines.append(array("int32_t", f"shifts_{i}", [s for _, s in pairs]))
            pointers = f"weights_{i}, bias_{i}, multipliers_{i}, shifts_{i}"
        elif layer.kind == "SUM":
            zeros = (layer.x.zero, layer.skip.zero, layer.y.zero)
            terms = ", ".join(f"{{{z}, {m}, {s}}}" for z, (m, s) in zip(zeros, pairs, strict=True))
        sizes = ", ".join("{%d, %d, %d}" % tensor.shape for tensor in (layer.x, layer.y))
        places = f"{layer.x.at}, {layer.y.at}, {layer.skip.at if layer.skip else 0}"
        numbers = f"{layer.x.zero}, {layer.y.zero}, {layer.lo}, {layer.hi}, {layer.size}, {layer.stride}, {layer.pad}"
        table.append(f"    {{{layer.kind}, {places}, {sizes}, {numbers}, {pointers}, {{{terms or '{0, 0, 0}'}}}}},")
    memory = max(t.at + t.bytes for layer in found for t in (layer.x, layer.y))
    size, last = found[0].x.bytes, found[-1].y
    images = pictures.reshape(len(pictures), -1).astype(np.int16) - 128
    rows = ",\n".join("    {" + ", ".join(map(str, image)) + "}" for image in images)
    return "\n".join(
        [
            *lines,
            "static const struct layer LAYERS[] = {",
            *table,
            "};",
            f"#define ACTIVATION_BYTES {memory}",
            f"#define LOGITS_AT {last.at}",
            f"#define CLASSES {last.bytes}",
            f"#define PIXELS {size}",
            f"#define PICTURES {len(pictures)}",
            f'static const int8_t pictures[PICTURES][PIXELS] __attribute__((section(".pictures"))) = {{\n{rows}\n}};',
            "",
        ]
    )
