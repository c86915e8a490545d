"""Exports a program of torch.export, or TorchScript, to ONNX; the argument is a file with the job, JSON."""

import json
import sys
from pathlib import Path

import torch


def brief(error):
    """What an exception says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    words = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    return f"{type(error).__name__}: {words[:300]}"


def exported_program(job):
    try:
        program = torch.export.load(job["model"])
    except Exception as error:
        sys.exit(f"PyTorch cannot load this program: {brief(error)}")
    torch.onnx.export(program, (), job["onnx"], external_data=False)


def torch_script(job):
    import onnx

    try:
        model = torch.jit.load(job["model"], map_location="cpu").eval()
    except Exception as error:
        sys.exit(f"PyTorch cannot load this TorchScript: {brief(error)}")
    weights = [p for p in model.parameters() if p.dim() == 4]
    channels = weights[0].shape[1] if weights else 3
    height, width = job["size"] or (224, 224)
    example = (torch.zeros(1, channels, height, width),)
    torch.onnx.export(model, example, job["onnx"], dynamo=False, opset_version=17)
    if not job["size"]:
        exported = onnx.load(job["onnx"])
        onnx.helper.set_model_props(exported, {"assumed_size": f"{width}x{height}"})
        onnx.save(exported, job["onnx"])


def main():
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    (exported_program if job["format"] == "exported_program" else torch_script)(job)


main()
