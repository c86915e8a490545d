"""A small ResNet from PyTorch's quantization-aware training (`torch.ao.quantization`, FX), whose converted network
comes to ONNX through the TorchScript exporter."""

from __future__ import annotations

from catalogue import UNIT, network
from refill import network_input, picture

SIDE = 32
PICTURES = range(21, 53)
STEPS = 40


def small_resnet():
    """A ResNet-8 of 8, 16 and 32 filters, ready to be trained."""
    import torch
    from torch import nn

    def conv(before: int, after: int, kernel: int, stride: int = 1):
        layer = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
        return nn.Sequential(layer, nn.BatchNorm2d(after, momentum=0.3))

    class Block(nn.Module):
        def __init__(self, before: int, after: int, stride: int) -> None:
            super().__init__()
            self.first, self.second = conv(before, after, 3, stride), conv(after, after, 3)
            self.shortcut = conv(before, after, 1, stride) if stride == 2 else nn.Identity()
            self.inner, self.outer = nn.ReLU(), nn.ReLU()

        def forward(self, x):
            return self.outer(self.second(self.inner(self.first(x))) + self.shortcut(x))

    torch.manual_seed(1)
    blocks = Block(8, 8, 1), Block(8, 16, 2), Block(16, 32, 2)
    ends = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)
    return nn.Sequential(conv(3, 8, 3), nn.ReLU(), *blocks, *ends).train()


def learn(model) -> None:
    """Steps on seeded images, until the network answers to its image."""
    import numpy as np
    import torch

    x = torch.from_numpy(np.concatenate([network_input(picture(s, SIDE, SIDE), UNIT, "nchw") for s in PICTURES]))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    for _ in range(STEPS):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), torch.arange(len(x)) % 10).backward()
        optimizer.step()


def by_fx(backend: str):
    """`prepare_qat_fx` and `convert_fx`, as PyTorch advises for this backend, through TorchScript."""
    import io

    import onnx
    import torch
    from torch.ao import quantization
    from torch.ao.quantization import quantize_fx

    one = torch.zeros(1, 3, SIDE, SIDE)
    mapping = quantization.get_default_qat_qconfig_mapping(backend)
    model = quantize_fx.prepare_qat_fx(small_resnet(), mapping, (one,))
    learn(model)
    model = quantize_fx.convert_fx(model.eval())
    file = io.BytesIO()
    torch.onnx.export(model, (one,), file, dynamo=False, opset_version=13, input_names=["input"])
    return onnx.load_from_string(file.getvalue())


AWARE = {"source": "already quantized", "preprocessing": UNIT, "side": SIDE, "layout": "nchw", "whole": True}
network("qat-torch-fx-x86", **AWARE)(lambda: by_fx("x86"))
network("qat-torch-fx-qnnpack", **AWARE)(lambda: by_fx("qnnpack"))
