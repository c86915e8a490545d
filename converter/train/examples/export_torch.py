"""A torchvision or timm ResNet as ONNX for the converter, labels and preprocessing in its metadata.

    pip install torch torchvision timm onnx
    python export_torch.py resnet18 -o resnet18.onnx
    python export_torch.py timm:resnet26d --weights trained.pt --labels labels.txt -o mine.onnx

Without --weights the publisher's are fetched. The converter then needs no flags:
`converter quantize mine.onnx --images photos/ -o mine.nnef.tgz`."""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path
from typing import Any

import onnx
import torch


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a name of torchvision's, or timm:NAME")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="a file of your own: a state_dict")
    parser.add_argument("--labels", type=Path, help="one class name per line")
    parser.add_argument("--side", type=int, default=224)
    arguments = parser.parse_args()
    labels = [line for line in arguments.labels.read_text().splitlines() if line.strip()] if arguments.labels else []
    try:
        model, mean, std = built(arguments.model, None if arguments.weights is None else len(labels) or 1000)
        if arguments.weights:
            model.load_state_dict(torch.load(arguments.weights, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        # Unknown names, files that are no weights or another network's, publishers that cannot be reached.
        parser.error(f"{arguments.weights or arguments.model}: {error}")
    model.eval()
    picture = torch.zeros(1, 3, arguments.side, arguments.side)
    if labels and model(picture).shape[-1] != len(labels):
        parser.error(f"{arguments.labels}: {len(labels)} labels for {model(picture).shape[-1]} outputs")
    torch.onnx.export(model, (picture,), arguments.output, opset_version=17, dynamo=False, input_names=["image"])

    written = onnx.load(arguments.output)
    numbers = "/".join(",".join(f"{255 * value:g}" for value in values) for values in (mean, std))
    said = {"preprocess": numbers, "resize": f"crop:{arguments.side * 256 // 224}"}
    onnx.helper.set_model_props(written, {**said, **({"labels": "\n".join(labels)} if labels else {})})
    onnx.save(written, arguments.output)


def built(name: str, classes: int | None) -> tuple[Any, Any, Any]:
    """The network, and the mean and deviation of the pixels (0 to 1) it was trained on. With `classes` it has as many
    outputs and no weights of the publisher's; 1000 are ImageNet's."""
    if name.startswith("timm:"):
        import timm

        model = timm.create_model(name.removeprefix("timm:"), pretrained=classes is None, num_classes=classes or 1000)
        return model, model.pretrained_cfg["mean"], model.pretrained_cfg["std"]
    import torchvision

    model = torchvision.models.get_model(name, weights=None if classes else "DEFAULT", num_classes=classes or 1000)
    return model, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


if __name__ == "__main__":
    main()
