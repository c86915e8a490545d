"""Exports a Keras model or a TensorFlow SavedModel to ONNX; the argument is a file with the job, JSON."""

import importlib.util
import json
import os
import re
import sys
from pathlib import Path

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def classes(path):
    """What a file of the user's defines, by name."""
    if path is None:
        return {}
    sys.path.insert(0, str(Path(path).parent))
    spec = importlib.util.spec_from_file_location("custom", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: value for name, value in vars(module).items() if callable(value)}


def keras_model(job):
    import keras

    try:
        model = keras.models.load_model(job["model"], custom_objects=classes(job["custom"]), compile=False)
    except (TypeError, ValueError) as error:
        unknown = re.search(r"Could not locate class '[^']*'|Unknown layer: *'?\w+'?", str(error))
        if unknown is None:
            raise
        sys.exit(f"{unknown[0]}\nGive the file that defines it: --custom module.py")
    height, width = job["size"] or (224, 224)
    batch, *shape = model.input_shape
    first = len(shape) == 3 and shape[0] in (1, 3) and shape[2] not in (1, 3)
    open_sizes = (3, height, width) if first else (height, width, 3)
    shape = [given or size for given, size in zip(shape, open_sizes, strict=True)]
    # A loaded model must have been called before it can be exported.
    model(keras.ops.zeros((1, *shape)))
    model.export(job["onnx"], format="onnx", verbose=False)


def saved_model(job):
    import tf2onnx.convert

    sys.argv = ["tf2onnx", "--saved-model", job["model"], "--output", job["onnx"], "--opset", "17"]
    tf2onnx.convert.main()


def main():
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    (saved_model if job["format"] == "saved_model" else keras_model)(job)


main()
