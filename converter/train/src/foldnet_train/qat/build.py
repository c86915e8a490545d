"""Converts a trained model to the same network with int8's rounding.

Exactly the values that the converter makes int8 tensors are rounded (`converter/src/quantize/fuse.rs`): a
convolution's result is not if it is fused with an addition, a batch normalization or a ReLU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from foldnet_train.errors import BadInput
from foldnet_train.qat.graph import Node, flatten
from foldnet_train.qat.layers import ChannelAffine, Folded, Quantized

CURVES = {"sigmoid", "tanh"}
TRANSPARENT = {"MaxPooling2D", "Flatten", "ZeroPadding2D", "Reshape"}
"""Their output holds values of their input (or zero): nothing to round."""
ABSENT = {"Dropout", "GaussianNoise", "SpatialDropout2D"}


def build(model: Any) -> Any:
    """Returns the model to fine-tune, which has its own weights."""
    return Builder(flatten(model)).run(model.name)


class Builder:
    """Visits the nodes once. `exact` contains each node's value before rounding, `rounded` after it."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self.exact: dict[int, Any] = {}
        self.rounded: dict[int, Any] = {}
        self.scale: dict[int, Callable[[], Any]] = {}
        self.folded: dict[int, int] = {}
        """Batch normalisation → the convolution that takes it in."""
        self.bypassed: dict[int, int] = {}
        """Nodes that are not there → the node that is read instead."""
        self.fused = self.additions()

    def run(self, name: str) -> Any:
        for number, node in enumerate(self.nodes):
            self.node(number, node)
        inputs = [value for number, value in self.exact.items() if self.nodes[number].kind == "InputLayer"]
        return keras.Model(inputs[0], self.exact[self.origin(len(self.nodes) - 1)], name=f"{name}_int8")

    def origin(self, number: int) -> int:
        """Returns the node whose value is read at this node."""
        while number in self.bypassed:
            number = self.bypassed[number]
        return number

    def readers(self, number: int) -> list[int]:
        """Returns the readers of a node, skipping nodes that are dropped."""
        all_of = []
        for reader in self.nodes[number].readers:
            absent = self.nodes[reader].kind in ABSENT or self.is_folded(reader)
            all_of.extend(self.readers(reader) if absent else [reader])
        return all_of

    def is_folded(self, number: int) -> bool:
        """Returns whether this is a batch normalization directly after a convolution that nothing else reads."""
        node = self.nodes[number]
        if node.kind != "BatchNormalization":
            return False
        before = self.nodes[node.inputs[0]]
        return before.kind in {"Conv2D", "Dense"} and before.readers == [number] and linear(before.layer)

    def additions(self) -> dict[int, int]:
        """Maps each addition to the convolution with which it is computed: the later one of those that only it
        reads."""
        chosen = {}
        for number, node in enumerate(self.nodes):
            if node.kind == "Add":
                sources = [n.inputs[0] if self.is_folded(i) else i for i in node.inputs for n in [self.nodes[i]]]
                alone = [i for i in sources if self.nodes[i].kind == "Conv2D" and self.readers(i) == [number]]
                if alone and len(sources) == 2:
                    chosen[number] = max(alone)
        return chosen

    def reads_exact(self, source: int, reader: int) -> bool:
        """Returns whether the reader is computed from the unrounded value in the source's own step."""
        kind, of = self.nodes[reader].kind, self.nodes[source].kind
        if self.fused.get(reader) == source:
            return True
        readers = self.readers(source)
        if of in {"Conv2D", "Dense", "Add"}:
            affine = [r for r in readers if self.nodes[r].kind == "BatchNormalization"]
            if affine:
                return reader == affine[0]
            relu = [r for r in readers if self.nodes[r].kind == "relu"]
            return bool(relu) and reader == relu[0]
        return of == "BatchNormalization" and kind == "relu" and readers == [reader]

    def read(self, number: int, at: int = 0) -> Any:
        """Returns the value that a node reads at an input."""
        source = self.origin(self.nodes[number].inputs[at])
        if self.reads_exact(source, number) or self.nodes[number].kind in {"softmax"}:
            return self.exact[source]
        if source not in self.rounded:
            positive = self.nodes[source].kind in {"relu", "sigmoid"} or self.pools_relu(source)
            layer = Quantized(positive, name=f"{self.nodes[source].layer.name}_int8")
            self.rounded[source] = layer(self.exact[source])
            self.scale[source] = layer.scale
        return self.rounded[source]

    def pools_relu(self, number: int) -> bool:
        """Returns whether a node averages the output of a ReLU, which is not negative either."""
        node = self.nodes[number]
        below = self.nodes[self.origin(node.inputs[0])] if node.inputs else node
        return node.kind in {"GlobalAveragePooling2D", "AveragePooling2D"} and below.kind in {"relu", "sigmoid"}

    def node(self, number: int, node: Node) -> None:
        kind = node.kind
        if kind in ABSENT or self.is_folded(number):
            self.bypassed[number] = node.inputs[0]
        elif kind == "InputLayer":
            self.exact[number] = self.rounded[number] = keras.Input(node.layer.batch_shape[1:], name="image")
            self.scale[number] = lambda: 1.0
        elif kind == "Rescaling":
            self.rescaling(number, node)
        elif kind in {"Conv2D", "Dense"}:
            self.weighted(number, node)
        elif kind == "BatchNormalization":
            gain, offset = normalization(node.layer)
            self.exact[number] = ChannelAffine(gain, offset, name=node.layer.name)(self.read(number))
        elif kind == "Add":
            self.exact[number] = keras.layers.Add(name=node.layer.name)([self.read(number, i) for i in (0, 1)])
        elif kind in {"relu", "softmax", *CURVES}:
            self.exact[number] = keras.layers.Activation(kind, name=node.layer.name)(self.read(number))
        elif kind in {"GlobalAveragePooling2D", *TRANSPARENT}:
            again = type(node.layer).from_config(node.layer.get_config())
            self.exact[number] = again(self.read(number))
            if kind in TRANSPARENT:
                self.rounded[number] = self.exact[number]
                self.scale[number] = self.scale[self.origin(node.inputs[0])]
        else:
            raise BadInput(f"layer {node.layer.name}: {type(node.layer).__name__} cannot be fine-tuned for int8")

    def rescaling(self, number: int, node: Node) -> None:
        """Rescales the pixels, which are already bytes."""
        if self.nodes[self.origin(node.inputs[0])].kind != "InputLayer":
            raise BadInput(f"layer {node.layer.name}: a rescaling of something else than the image")
        self.exact[number] = type(node.layer).from_config(node.layer.get_config())(self.read(number))
        self.rounded[number] = self.exact[number]
        scale = np.unique(np.asarray(node.layer.scale, np.float32))
        self.scale[number] = lambda: float(scale[0]) if len(scale) == 1 else None

    def weighted(self, number: int, node: Node) -> None:
        """Adds a convolution or dense layer, including the operators folded into it."""
        layer, kind = node.layer, node.kind
        kernel = np.asarray(layer.kernel)
        bias = np.asarray(layer.bias) if layer.use_bias else np.zeros(kernel.shape[-1], np.float32)
        [behind] = node.readers if len(node.readers) == 1 else [None]
        if behind is not None and self.is_folded(behind):
            gain, offset = normalization(self.nodes[behind].layer)
            kernel, bias = kernel * gain, bias * gain + offset
        op = convolution(layer) if kind == "Conv2D" else tf.matmul
        x = self.read(number)
        folded = Folded(op, kernel, bias, self.scale[self.origin(node.inputs[0])], name=layer.name)
        value = folded(x)
        self.exact[number] = value
        if not linear(layer):
            function = layer.activation.__name__
            if number != len(self.nodes) - 1:
                raise BadInput(f"layer {layer.name}: its {function} must be a layer of its own, behind it")
            self.exact[number] = keras.layers.Activation(function, name=f"{layer.name}_{function}")(value)


def linear(layer: Any) -> bool:
    """Applies no function."""
    return bool(layer.activation.__name__ == "linear")


def normalization(layer: Any) -> tuple[Any, Any]:
    """Returns the gain and offset of a trained batch normalization."""
    deviation = np.sqrt(np.asarray(layer.moving_variance) + layer.epsilon)
    gain = (np.asarray(layer.gamma) if layer.scale else 1.0) / deviation
    offset = (np.asarray(layer.beta) if layer.center else 0.0) - np.asarray(layer.moving_mean) * gain
    return gain.astype(np.float32), offset.astype(np.float32)


def convolution(layer: Any) -> Any:
    """Computes the layer's convolution with another kernel."""
    if layer.groups != 1 or layer.data_format != "channels_last":
        raise BadInput(f"layer {layer.name}: groups and channels first cannot be fine-tuned for int8")
    strides, padding, dilations = layer.strides, layer.padding.upper(), layer.dilation_rate

    def op(x: Any, kernel: Any) -> Any:
        return tf.nn.conv2d(x, kernel, strides, padding, dilations=dilations)

    return op
