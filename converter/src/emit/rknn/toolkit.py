"""Builds a model with rknn-toolkit2 and runs its simulator; the argument is a file with the job, JSON.

Numbers pass as raw little-endian files: images as u8 NHWC, results as f32.
"""

import json
import sys

import numpy as np
from rknn.api import RKNN


def build(job, model, batch=None):
    rknn = RKNN(verbose=False)
    ok = lambda code, what: code == 0 or sys.exit(f"rknn-toolkit2: {what} failed with code {code}")
    # Level 2: level 3 may approximate. The model is quantized already.
    rknn.config(
        mean_values=[job["mean"]],
        std_values=[[1] * len(job["mean"])],
        target_platform=job["target"],
        optimization_level=2,
    )
    ok(rknn.load_onnx(model=model), "reading the model")
    ok(rknn.build(do_quantization=False, rknn_batch_size=batch), "building")
    return rknn, ok


def simulate(rknn, ok, pictures):
    ok(rknn.init_runtime(), "starting the simulator")
    for picture in pictures:
        yield rknn.inference(inputs=[picture[None]], data_format=["nhwc"])


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    pictures = np.fromfile(job["pictures"], np.uint8).reshape(-1, *job["shape"])
    rknn, ok = build(job, job["model"])
    ok(rknn.export_rknn(job["rknn"]), "writing the result")
    logits = [outputs[0].reshape(-1) for outputs in simulate(rknn, ok, pictures)]
    np.array(logits, "<f4").tofile(job["logits"])
    rknn.release()

    if job["batch"] > 1:
        rknn, ok = build(job, job["model"], job["batch"])
        ok(rknn.export_rknn(job["rknn_batch"]), "writing the result")
        ok(rknn.init_runtime(), "starting the simulator")
        full = np.resize(pictures, (job["batch"], *job["shape"]))
        outputs = rknn.inference(inputs=[full], data_format=["nhwc"])
        outputs[0].reshape(-1).astype("<f4").tofile(job["logits_batch"])
        rknn.release()

    rknn, ok = build(job, job["probe"])
    with open(job["tensors"], "wb") as file:
        for outputs in simulate(rknn, ok, pictures[: job["probed"]]):
            # The logits come first; they have been seen.
            for tensor in outputs[1:]:
                tensor.astype("<f4").tofile(file)
    rknn.release()


main()
