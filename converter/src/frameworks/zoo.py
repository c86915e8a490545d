"""Exports a network of torchvision or timm to ONNX; the argument is a file with the job, JSON."""

import difflib
import json
import sys
from pathlib import Path

import torch

# ImageNet's mean and standard deviation of pixels from 0 to 1, which the converter calls torch.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def brief(error):
    """What an exception says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    words = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    return f"{type(error).__name__}: {words[:300]}"


def unknown(name, library, names):
    near = difflib.get_close_matches(name, names, n=8)
    others = f"nearest are {', '.join(near)}" if near else f"it has, for example, {', '.join(sorted(names)[:8])}"
    sys.exit(f"{library} has no {name}; {others}")


def state(path):
    """A file of weights by name, without code; as people save it, alone or among other things."""
    if path.endswith(".safetensors"):
        from safetensors.torch import load_file

        return load_file(path)
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        sys.exit(f"{path} is not a file of weights that can be read without running its code: {brief(error)}")
    if not isinstance(weights, dict):
        sys.exit(f"{path} contains a {type(weights).__name__}, not weights by name")
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(weights.get(key), dict):
            weights = weights[key]
    return {name.removeprefix("module."): value for name, value in weights.items()}


def torchvision_model(name, weights, options):
    from torchvision import models

    names = models.list_models(module=models)
    if name not in names:
        unknown(name, "torchvision.models", names)
    published = models.get_model_weights(name).DEFAULT
    model = models.get_model(name, weights=None if weights else published, **options)
    told = published.transforms()
    # Weights of one's own may be of another version, whose images were resized otherwise.
    resize = None if weights else told.resize_size[0]
    return model, told.crop_size[0], (tuple(told.mean), tuple(told.std)), resize


def timm_model(name, weights, options):
    import timm

    if not timm.is_model(name):
        unknown(name, "timm", timm.list_models() + timm.list_pretrained())
    model = timm.create_model(name, pretrained=not weights, **options)
    told = model.pretrained_cfg
    side = told["input_size"][1]
    return model, side, (tuple(told["mean"]), tuple(told["std"])), int(side / told.get("crop_pct", 0.875))


def in_words(mean, deviation):
    """What the converter's --preprocess calls it."""
    if (mean, deviation) == IMAGENET:
        return "torch"
    return "/".join(",".join(f"{255 * v:g}" for v in values) for values in (mean, deviation))


def main():
    import onnx

    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    weights = state(job["weights"]) if job["weights"] else None
    heads = [value.shape[0] for value in (weights or {}).values() if value.dim() == 2]
    options = {"num_classes": heads[-1]} if heads else {}
    build = timm_model if job["format"] == "timm" else torchvision_model
    try:
        model, side, statistics, resize = build(job["model"], weights, options)
    except OSError as error:
        cause = f"The published weights of {job['model']} cannot be had: {brief(error)}"
        sys.exit(f"{cause}\nGive a file with weights: --weights FILE")
    if weights:
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            sys.exit(f"The weights in {job['weights']} do not fit {job['model']}: {brief(error)}")
    height, width = job["size"] or (side, side)
    torch.onnx.export(model.eval(), torch.zeros(1, 3, height, width), job["onnx"], external_data=False)
    exported = onnx.load(job["onnx"])
    said = {"preprocess": in_words(*statistics)}
    if resize and not job["size"]:
        said["resize"] = f"crop:{resize}"
    onnx.helper.set_model_props(exported, said)
    onnx.save(exported, job["onnx"])


main()
