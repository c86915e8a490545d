"""Exports a Keras model, a network of Keras Applications or a TensorFlow SavedModel to ONNX; the argument is a file
with the job, JSON."""

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


# What `preprocess_input` of a network's module does, in the converter's words.
PREPROCESS = {
    r"ResNet\d+|VGG\d+": "caffe",
    r"ResNet\d+V2|MobileNet(V2)?|Inception\w+|Xception|NASNet\w+": "tf",
    r"DenseNet\d+": "torch",
    r"MobileNetV3\w+|EfficientNet\w+|ConvNeXt\w+": "none",
}


def brief(error):
    """What an exception says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    words = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    return f"{type(error).__name__}: {words[:300]}"


def keras_model(job):
    import keras

    try:
        model = keras.models.load_model(job["model"], custom_objects=classes(job["custom"]), compile=False)
    except (TypeError, ValueError) as error:
        unknown = re.search(r"Could not locate class '[^']*'|Unknown layer: *'?\w+'?", str(error))
        if unknown is None:
            sys.exit(f"Keras cannot load this model: {brief(error)}")
        sys.exit(f"{unknown[0]}\nGive the file that defines it: --custom module.py")
    except Exception as error:
        sys.exit(f"Keras cannot load this model: {brief(error)}")
    export(model, job)


def application(job):
    import keras
    import onnx

    name, weights = job["model"], job["weights"]
    networks = {n: f for n, f in vars(keras.applications).items() if n[0].isupper() and callable(f)}
    if name not in networks:
        sys.exit(f"keras.applications has no {name}; it has {', '.join(sorted(networks))}")
    if weights and not weights.endswith((".h5", ".hdf5", ".keras")):
        # Keras tells files of weights apart by their name.
        import h5py

        kind = "rename it to NAME.h5" if h5py.is_hdf5(weights) else "it is not an HDF5 file"
        sys.exit(f"Keras cannot load the weights in {weights}: {kind}")
    options = {"input_shape": (*job["size"], 3)} if job["size"] else {}
    try:
        if weights:
            options["classes"] = outputs(weights)
        model = networks[name](weights=weights or "imagenet", **options)
    except Exception as error:
        if weights:
            sys.exit(f"The weights in {weights} do not fit {name}: {brief(error)}")
        sys.exit(f"The published weights of {name} cannot be had: {brief(error)}\nGive a file with weights: --weights FILE")
    export(model, job)
    said = [words for names, words in PREPROCESS.items() if re.fullmatch(names, name)]
    if said:
        exported = onnx.load(job["onnx"])
        onnx.helper.set_model_props(exported, {"preprocess": said[0]})
        onnx.save(exported, job["onnx"])


def outputs(weights):
    """How many classes the last dense layer of a file with weights has."""
    import h5py

    if not h5py.is_hdf5(weights):
        return 1000
    columns = []

    def look(name, value):
        if getattr(value, "ndim", 0) == 2 and not name.startswith("optimizer"):
            columns.append(value.shape[1])

    with h5py.File(weights) as file:
        file.visititems(look)
    return columns[-1] if columns else 1000


def export(model, job):
    import keras
    import onnx

    height, width = job["size"] or (224, 224)
    batch, *shape = model.input_shape
    first = len(shape) == 3 and shape[0] in (1, 3) and shape[2] not in (1, 3)
    open_sizes = (3, height, width) if first else (height, width, 3)
    assumed = None in shape and not job["size"]
    shape = [given or size for given, size in zip(shape, open_sizes, strict=True)]
    # A loaded model must have been called before it can be exported.
    model(keras.ops.zeros((1, *shape)))
    model.export(job["onnx"], format="onnx", verbose=False)
    if assumed:
        high, wide = shape[1:] if first else shape[:2]
        exported = onnx.load(job["onnx"])
        onnx.helper.set_model_props(exported, {"assumed_size": f"{wide}x{high}"})
        onnx.save(exported, job["onnx"])


def saved_model(job):
    import tf2onnx.convert

    sys.argv = ["tf2onnx", "--saved-model", job["model"], "--output", job["onnx"], "--opset", "17"]
    tf2onnx.convert.main()


def main():
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    {"keras": keras_model, "keras_application": application, "saved_model": saved_model}[job["format"]](job)


main()
