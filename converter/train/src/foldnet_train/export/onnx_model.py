"""Converts Keras or a saved model to ONNX, opset 17, with metadata for the converter."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from foldnet_train.errors import BadInput
from foldnet_train.quiet import load_tensorflow

OPSET = 17


def from_keras(
    model: Any, labels: list[str], *, preprocess: str = "none", resize: str = "stretch", held_out: str = ""
) -> Any:
    """Returns an `onnx.ModelProto` with input `image` `[n, h, w, 3]`. `labels`, `preprocess`, `resize` and
    `held_out` become metadata under these names. `preprocess` and `resize` have the values of the converter's flags
    with the same names; `held_out` defines the images that training did not see (`held_out_rule`)."""
    import tensorflow as tf

    signature = [tf.TensorSpec([None, *model.input_shape[1:]], tf.float32, name="image")]
    predict = tf.function(lambda image: model(image, training=False), input_signature=signature)
    return converted(predict, signature, labels, preprocess, resize, held_out)


def from_saved_model(folder: Path, labels: list[str], *, preprocess: str = "none", resize: str = "stretch") -> Any:
    """Like `from_keras`, from TensorFlow's saved model, using its signature `serve` or `serving_default`."""
    load_tensorflow()
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(folder))
    except (OSError, ValueError) as error:
        raise BadInput(f"{folder}: no saved model: {error}") from error
    signatures = loaded.signatures
    if "serving_default" not in signatures:
        raise BadInput(f"{folder}: has no signature serving_default but {', '.join(signatures) or 'none at all'}")
    serve = signatures["serving_default"]
    inputs = list(serve.structured_input_signature[1].values())
    if len(inputs) != 1 or len(serve.structured_outputs) != 1:
        raise BadInput(f"{folder}: one image in and one answer out are expected")
    name, shape = inputs[0].name, inputs[0].shape[1:]
    if not shape.is_fully_defined():
        raise BadInput(f"{folder}: its input's size {tuple(shape)} is not fixed")
    signature = [tf.TensorSpec([None, *shape], tf.float32, name="image")]
    predict = tf.function(lambda image: next(iter(serve(**{name: image}).values())), input_signature=signature)
    return converted(predict, signature, labels, preprocess, resize)


def converted(
    predict: Any, signature: list[Any], labels: list[str], preprocess: str, resize: str, held_out: str = ""
) -> Any:
    """Converts with tf2onnx."""
    import onnx
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    exported, _ = tf2onnx.convert.from_function(predict, input_signature=signature, opset=OPSET)
    onnx.helper.set_model_props(exported, metadata(labels, preprocess, resize, held_out))
    onnx.checker.check_model(exported)
    return exported


def metadata(labels: list[str], preprocess: str, resize: str, held_out: str = "") -> dict[str, str]:
    """Returns the metadata in the form that the converter reads."""
    if any("\n" in label for label in labels):
        raise BadInput("a label with a line break in it cannot be stored")
    known = {"labels": "\n".join(labels), "held_out": held_out}
    return {**{name: text for name, text in known.items() if text}, "preprocess": preprocess, "resize": resize}


def write(model: Any, path: Path) -> None:
    """Writes the file and gives it its name only when it is complete."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.write_bytes(model.SerializeToString())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
