"""Takes the large tensors out of an exported model and puts recipes in, chosen so that the network stays alive."""

from __future__ import annotations

import zlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from evaluate import arrays, constants, walk
from refill import DEVIATION, Recipe

BRANCH = 0.25  # deviation of what a residual branch adds
KEPT = 8  # tensors of up to so many elements stay as exported
PASSING = {"Identity", "Reshape", "Squeeze", "Unsqueeze", "Cast", "Flatten"}
NORMS = {1: (1.0, 0.2, 0.3), 2: (0.0, 0.2, None), 3: (0.0, 0.1, None), 4: (1.0, 0.25, 0.3)}


def strip(model: onnx.ModelProto, inputs: list[np.ndarray]) -> onnx.ModelProto:
    """The model with recipes for tensors. Weights are scaled until each layer's output has deviation 1 on `inputs`."""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer]:
        value.doc_string = ""
        del value.metadata_props[:]
    del model.metadata_props[:], model.graph.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""

    recipes: dict[str, Recipe] = {}
    for name, tensor in constants(model).items():
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) > KEPT:
            # A checksum of the name, so that a tensor's seed does not change when another tensor appears.
            recipes[name] = recipe_of(model, name, tuple(tensor.dims), zlib.crc32(name.encode()) & 0xFFFFFF)
    for name, recipe in recipes.items():
        put(model, name, recipe)
    calibrate(model, recipes, inputs)
    for name, recipe in recipes.items():
        tensor = constants(model)[name]
        tensor.CopyFrom(TensorProto(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type))
        tensor.doc_string = str(recipe)
    return model


def recipe_of(model: onnx.ModelProto, name: str, dims: tuple[int, ...], seed: int) -> Recipe:
    """A recipe by what the tensor is used for."""

    def around(mean: float, deviation: float, floor: float | None = None) -> Recipe:
        return Recipe(seed, mean, deviation / DEVIATION, float("-inf") if floor is None else floor)

    node, position, axes = use_of(model, name, list(range(len(dims))))
    match node.op_type, position:
        case "Conv", 1:
            return filters(seed, dims, axes[0])
        case "Gemm", 1:
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            return filters(seed, dims, axes[0] if transposed else axes[1])
        case "MatMul", 1:
            return filters(seed, dims, axes[1])
        case "BatchNormalization", _:
            return around(*NORMS[position])
        case ("Conv" | "Gemm" | "InstanceNormalization" | "LayerNormalization", 2) | (("Add" | "Sub"), _):
            return around(0.0, 0.2)
        case ("Mul", _) | ("Div", 1) | ("InstanceNormalization" | "LayerNormalization", 1):
            return around(1.0, 0.2, 0.3)
    raise SystemExit(f"{name} of {dims}: what is it to {node.op_type} {node.name}, input {position}?")


def filters(seed: int, dims: tuple[int, ...], axis: int) -> Recipe:
    """Zero-sum filters along `axis`; the step is a first guess."""
    return Recipe(seed, 0.0, float((np.prod(dims) / dims[axis]) ** -0.5) / DEVIATION, axis=axis)


def use_of(model: onnx.ModelProto, name: str, axes: list[int]) -> tuple[onnx.NodeProto, int, list[int]]:
    """The node that computes with the tensor, at which input, and which of the tensor's axes it sees there."""
    node = next(n for n in model.graph.node if name in n.input)
    position = list(node.input).index(name)
    if node.op_type == "Transpose":
        perm = helper.get_attribute_value(node.attribute[0])
        return use_of(model, node.output[0], [axes[p] for p in perm])
    if node.op_type in PASSING:
        return use_of(model, node.output[0], axes)
    return node, position, axes


def put(model: onnx.ModelProto, name: str, recipe: Recipe) -> None:
    """Fills the tensor by its recipe."""
    tensor = constants(model)[name]
    tensor.CopyFrom(numpy_helper.from_array(recipe.fill(tuple(tensor.dims)), tensor.name))


def calibrate(model: onnx.ModelProto, recipes: dict[str, Recipe], inputs: list[np.ndarray]) -> None:
    """Scales each weight tensor, in the order of execution, until its layer's output has deviation 1."""
    tensors = arrays(model)
    weights = {}
    for name, recipe in recipes.items():
        if recipe.axis is not None:
            layer, _, _ = use_of(model, name, [0] * 8)
            weights[layer.output[0]] = name
    done = set()
    quiet = branch_ends(model)

    def after(node: onnx.NodeProto, outputs: list[np.ndarray]) -> bool:
        name = weights.get(node.output[0])
        if name is None or name in done:
            return False
        done.add(name)
        if name not in tensors or name not in node.input:
            raise SystemExit(f"{name}: the weights of {node.name} are no initializer of it")
        target = BRANCH if node.output[0] in quiet else 1.0
        recipes[name].step = float(recipes[name].step * target / deviation(np.stack(outputs)))
        put(model, name, recipes[name])
        tensors[name] = recipes[name].fill(tensors[name].shape)
        return True

    walk(model, inputs, tensors, after)


def branch_ends(model: onnx.ModelProto) -> set[str]:
    """Outputs of the last convolution of each residual branch: the side of an addition that has more of them.

    A branch as loud as its shortcut would make a deep network of random weights chaotic, as no trained one is: every
    rounding would grow from block to block.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    readers = [name for node in model.graph.node for name in node.input]
    known = constants(model)

    def is_sum(node: onnx.NodeProto) -> bool:
        return node.op_type == "Add" and not any(name in known for name in node.input)

    def convolutions(name: str) -> list[str]:
        """Back from an addition to where its branch began, the last convolution first."""
        found = []
        while name in producers and not is_sum(producers[name]):
            node = producers[name]
            if node.op_type == "Conv":
                found.append(name)
            elif node.op_type == "Relu" and not found:
                break
            name = next((i for i in node.input if i not in known), "")
            if readers.count(name) > 1 and node.op_type != "Mul" and found:
                break
        return found

    ends = set()
    for node in model.graph.node:
        if is_sum(node):
            branch = max((convolutions(name) for name in node.input), key=len)
            ends.update(branch[:1])
    return ends


def deviation(outputs: np.ndarray) -> float:
    """Deviation around each channel's mean; for a layer without pixels, around the mean of all."""
    total = float(outputs.std())
    if outputs.ndim < 5 or outputs[0, 0, 0].size == 1:
        return total
    within = float(outputs.std(axis=(0, 1, 3, 4)).mean())
    return max(within, total / 4)


def refill(model: onnx.ModelProto) -> onnx.ModelProto:
    """The whole model again: what `tests/src/refill.rs` makes."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    for name, tensor in constants(whole).items():
        if tensor.doc_string.startswith("refill "):
            fields = dict(field.split("=") for field in tensor.doc_string.split()[1:])
            axis = int(fields["axis"]) if "axis" in fields else None
            numbers = [float(fields[key]) for key in ("mean", "step", "floor")]
            put(whole, name, Recipe(int(fields["seed"]), *numbers, axis))
    return whole
