"""Adapts a trained network to other classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from foldnet_train.errors import BadInput


def with_classes(model: Any, old: list[str], new: list[str], seed: int) -> tuple[Any, str]:
    """Returns the network with a last layer for the classes `new`, and a description of the changes. Classes that
    stay keep their learned weights; a new class starts with the mean of the old classes plus a little randomness."""
    import keras

    if old == new:
        return model, "its classes"
    last = model.layers[-1]
    if not isinstance(last, keras.layers.Dense):
        raise BadInput(f"the model ends in {type(last).__name__}; only a last Dense layer can get other classes")
    kernel, bias = last.get_weights()
    rng = np.random.default_rng(seed)
    columns = rng.normal(0, kernel.std(), (kernel.shape[0], len(new))) * 0.1 + kernel.mean(axis=1, keepdims=True)
    biases = np.full(len(new), bias.mean())
    for i, label in enumerate(new):
        if label in old:
            columns[:, i], biases[i] = kernel[:, old.index(label)], bias[old.index(label)]
    config = {**last.get_config(), "units": len(new)}
    head = keras.layers.Dense.from_config(config)
    extended = keras.Model(model.input, head(last.input), name=model.name)
    head.set_weights([columns, biases])
    added, gone = [c for c in new if c not in old], [c for c in old if c not in new]
    changes = [f"{word} {', '.join(names)}" for word, names in (("new:", added), ("gone:", gone)) if names]
    return extended, "; ".join(changes) or "its classes in another order"
