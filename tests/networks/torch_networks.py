"""The PyTorch networks: torchvision's and timm's, through both exporters."""

from __future__ import annotations

import io
import sys
import types

from catalogue import HALVES, IMAGENET, network


def lived_in(model):
    """Inference mode, and values for every batch normalization, so that the exporter finds no two of them alike."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            for values in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                values.uniform_(0.5, 1.5)
    return model.eval()


def torchscript(model, side: int, opset: int):
    """Through the TorchScript exporter, batch 1."""
    import onnx
    import torch

    file = io.BytesIO()
    torch.onnx.export(
        model,
        (torch.zeros(1, 3, side, side),),
        file,
        dynamo=False,
        opset_version=opset,
        input_names=["input"],
        output_names=["output"],
    )
    return onnx.load_from_string(file.getvalue())


def dynamo(model, side: int, opset: int, *, dynamic: bool = False):
    """Through the dynamo exporter."""
    import torch

    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    program = torch.onnx.export(
        model,
        (torch.zeros(2 if dynamic else 1, 3, side, side),),
        dynamo=True,
        opset_version=opset,
        dynamic_shapes=shapes,
        verbose=False,
    )
    return program.model_proto


def torchvision_model(name: str):
    import torch
    import torchvision

    torch.manual_seed(1)
    return lived_in(getattr(torchvision.models, name)(weights=None))


VISION = {"source": "torchvision", "preprocessing": IMAGENET, "layout": "nchw"}
for name, side in (
    ("resnet18", 96),
    ("resnet34", 96),
    ("resnet50", 224),
    ("resnet101", 96),
    ("resnet152", 96),
    ("wide_resnet50_2", 96),
    ("resnext50_32x4d", 96),
):
    network(f"{name}-torchscript", side=side, **VISION)(lambda n=name, s=side: torchscript(torchvision_model(n), s, 13))
    network(f"{name}-dynamo", side=96, **VISION)(lambda n=name: dynamo(torchvision_model(n), 96, 18))
network("resnet18-torchscript-18", side=96, **VISION)(lambda: torchscript(torchvision_model("resnet18"), 96, 18))
network("resnet50-torchscript-18", side=96, **VISION)(lambda: torchscript(torchvision_model("resnet50"), 96, 18))
network("resnet18-dynamo-batch", side=96, **VISION)(lambda: dynamo(torchvision_model("resnet18"), 96, 18, dynamic=True))


def timm_model(name: str):
    """A timm network. timm loads trained weights from a hub; what it imports for that is not needed here."""
    for hub in ("huggingface_hub", "huggingface_hub.utils"):
        sys.modules.setdefault(hub, types.ModuleType(hub))
    import timm
    import torch

    torch.manual_seed(1)
    return lived_in(timm.create_model(name, pretrained=False))


TIMM = {"source": "timm", "layout": "nchw"}
for name in ("resnet50d", "resnet26t", "resnetv2_50", "seresnet50", "ecaresnet50d", "resnetrs50"):
    how = HALVES if name == "resnetv2_50" else IMAGENET
    network(f"{name}-torchscript", side=96, preprocessing=how, **TIMM)(
        lambda n=name: torchscript(timm_model(n), 96, 13)
    )
    network(f"{name}-dynamo", side=96, preprocessing=how, **TIMM)(lambda n=name: dynamo(timm_model(n), 96, 18))

# One of each further family of timm's ResNets, small. Left out are those that the recipes for weights cannot fill:
# NF-ResNets and BiT compute their weights in the graph.
FAMILIES = (
    "cspresnet50",
    "eca_resnet33ts",
    "gcresnet33ts",
    "gernet_s",
    "legacy_seresnet18",
    "regnetx_002",
    "regnety_002",
    "regnetz_005",
    "resnest14d",
    "resnest50d_1s4x24d",
    "resnet33ts",
    "skresnet18",
    "tresnet_m",
)
# What the converter says of those that it cannot take: statistics of each image, attention between pixels.
REFUSED = {
    "gcresnet33ts": "Softmax",
}
for name in FAMILIES:
    network(
        f"{name}-dynamo", side=64, preprocessing=IMAGENET, refused=REFUSED.get(name, ""), **TIMM
    )(lambda n=name: dynamo(timm_model(n), 64, 18))


@network("head-torchvision-two-dense", source="transfer learning", preprocessing=IMAGENET, side=96, layout="nchw")
def head_torchvision():
    import torch

    model = torchvision_model("resnet18")
    model.fc = torch.nn.Sequential(
        torch.nn.Dropout(0.4),
        torch.nn.Linear(512, 64),
        torch.nn.ReLU(),
        torch.nn.BatchNorm1d(64),
        torch.nn.Linear(64, 5),
    )
    return torchscript(lived_in(model), 96, 13)
