"""Classify images with int8 residual networks, and quantize ONNX models to them.

>>> import foldnet
>>> model = foldnet.load("model.nnef.tgz")
>>> model.classify("cat.jpg", top=3)
"""

from foldnet._foldnet import ArchiveError, Error, ImageError, QuantizeError, kernels
from foldnet._model import Label, Model, load
from foldnet._quantize import Report, quantize

__all__ = [
    "ArchiveError",
    "Error",
    "ImageError",
    "Label",
    "Model",
    "QuantizeError",
    "Report",
    "kernels",
    "load",
    "quantize",
]
