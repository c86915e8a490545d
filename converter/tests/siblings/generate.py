"""Small models, one per form that exporters and people write, and ONNX Runtime's answers to them.

    python3 generate.py                # writes siblings.tar.gz; needs onnx, onnxruntime and numpy

`converter/tests/siblings.rs` reads the archive: NAME.onnx is the model, NAME.json says how to run it and either what
ONNX Runtime answers or that the converter must refuse it. Weights are coarse, so that the archive is small.
"""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import onnxruntime

import constants  # noqa: F401  the cases register themselves
import forms  # noqa: F401
import mixed  # noqa: F401
import moves  # noqa: F401
import same  # noqa: F401
from model import CASES

IMAGES = 3
# Whose answers are random, or that cannot be run as they are.
UNKNOWN = {"bn_train", "const_random", "dropout_train", "dyn_hw_none"}


def images(options):
    """The images that the test makes, too: a formula instead of a file."""
    side, channels = 32, options.get("ch", 3)
    n = np.arange(side * side * channels, dtype=np.int64)
    pixels = np.stack([(n * 7919 * (i + 1) % 255).astype(np.uint8) for i in range(IMAGES)])
    pixels = pixels.reshape(IMAGES, side, side, channels)
    return pixels if options.get("nhwc") else pixels.transpose(0, 3, 1, 2)


def answers(model, options):
    """ONNX Runtime's, without its optimizations; the nodes sorted, as it wants them."""
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings)
    x = images(options)
    if not options.get("u8"):
        x = (x / np.float32(255)).astype(np.float16 if options.get("f16") else np.float32)
    name = options.get("out") or session.get_outputs()[0].name
    rows = [session.run([name], {"x": x[i : i + 1]})[0].reshape(-1) for i in range(IMAGES)]
    return [[float(f"{v:.9g}") for v in row] for row in np.array(rows, np.float64)]


def main():
    """Writes the archive."""
    with tarfile.open(Path(__file__).with_name("siblings.tar.gz"), "w:gz", compresslevel=9) as archive:
        for name, build in sorted(CASES.items()):
            built = build()
            model, options = built if isinstance(built, tuple) else (built, {})
            story = {k: options[k] for k in ("refuse", "u8", "nhwc", "ch", "last", "floor", "flags") if k in options}
            if name not in UNKNOWN:
                story["answers"] = answers(model, options)
            for file, content in (
                (f"{name}.onnx", model.SerializeToString()),
                (f"{name}.json", json.dumps(story).encode()),
            ):
                info = tarfile.TarInfo(file)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


if __name__ == "__main__":
    main()
