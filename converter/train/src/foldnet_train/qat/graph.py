"""A Keras functional model as a list of operations, with nested models expanded, so that neighbours are visible."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from foldnet_train.errors import BadInput


@dataclass
class Node:
    """A layer at one of its calls. Nodes are in execution order; `inputs` and `readers` are their numbers."""

    layer: Any
    inputs: list[int]
    readers: list[int] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """Returns the layer's class; functions have their own name: `relu`, `softmax`."""
        name = type(self.layer).__name__
        if name == "Activation":
            return str(self.layer.activation.__name__)
        return {"ReLU": "relu", "Softmax": "softmax"}.get(name, name)


def flatten(model: Any) -> list[Node]:
    """Returns the nodes of a model with one input and one output; the last one computes the output."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise BadInput("the model has more than one input or output; one image in and one answer out are expected")
    nodes: list[Node] = []
    _add(model, None, nodes)
    for number, node in enumerate(nodes):
        for source in node.inputs:
            nodes[source].readers.append(number)
    return nodes


def _add(model: Any, entry: int | None, nodes: list[Node]) -> int:
    """Appends the nodes of a model whose input is node `entry`; returns the number of its output node."""
    made: dict[int, int] = {}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for call in model._nodes_by_depth[depth]:
            layer = call.operation
            if type(layer).__name__ == "InputLayer" and entry is not None:
                number = entry
            else:
                inputs = [made[id(tensor)] for tensor in call.input_tensors]
                if hasattr(layer, "_nodes_by_depth"):
                    number = _add(layer, inputs[0], nodes)
                else:
                    nodes.append(Node(layer, inputs))
                    number = len(nodes) - 1
            made.update((id(tensor), number) for tensor in call.outputs)
    return made[id(model.outputs[0])]
