"""Writes onnxruntime_logits.txt: ONNX Runtime's f32 logits of the built-in ResNet-20 on tests/pictures.

    pip install numpy onnx onnxruntime pillow && python tests/golden/onnxruntime_logits.py
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))

from accuracy import onnxruntime_logits  # noqa: E402

pictures = sorted((HERE.parent / "pictures").glob("*.png"))
images = np.stack([np.asarray(Image.open(p).convert("RGB"), np.float32) for p in pictures])
logits = onnxruntime_logits(HERE.parents[1] / "converter/assets/resnet20-v1-cifar10.onnx", images)
lines = [" ".join([p.name, *(f"{v:.7g}" for v in row)]) for p, row in zip(pictures, logits, strict=True)]
(HERE / "onnxruntime_logits.txt").write_text("\n".join(lines) + "\n")
