"""Writes litert_resnet8.i8: LiteRT's int8 logits of MLPerf Tiny's int8 ResNet-8 on CIFAR-10's first 1,017 test images.

    pip install numpy ai-edge-litert==2.3.0
    python tests/golden/litert_logits.py resnet8-mlperf-tiny.int8.tflite test-1017.bin

Ten numbers for each image, of what stands in front of the softmax, by LiteRT's default kernels, XNNPACK's. Prints how
often TFLite's own kernels answer alike.
"""

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "converter/tests/tflite"))

from litert import logits_model, run  # noqa: E402

content = Path(sys.argv[1]).read_bytes()
records = np.fromfile(sys.argv[2], np.uint8).reshape(-1, 3073)
pixels = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
images = (pixels.astype(np.int16) - 128).astype(np.int8)
without, _, _ = logits_model(content)
logits, own, scores = run(without, images), run(without, images, own=True), run(content, images)
for name, answers in (("XNNPACK", logits), ("TFLite's own", own)):
    print(f"right: {name} {(answers.argmax(1) == records[:, 0]).sum()} of {len(records)}")
far = np.abs(logits.astype(int) - own).max()
print(f"same top-1: {(own.argmax(1) == logits.argmax(1)).sum()}; logits differ by up to {far} steps")
assert (scores.argmax(1) == logits.argmax(1)).all(), "the softmax keeps the order"
logits.tofile(HERE / "litert_resnet8.i8")
