"""From a trained model to an archive."""

from __future__ import annotations

import json
import logging
import os
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Union

from foldnet import _foldnet, _framework

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Path = Union[str, os.PathLike[str]]

_LOG = logging.getLogger("foldnet")


class Report(dict[str, Any]):
    """What a conversion did and what it cost: a dictionary whose first level can be read as attributes, too.

    It holds what `converter quantize --report report.json` writes, and `archive`, the path of the archive.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __repr__(self) -> str:
        verdict = self["verdict"]
        return f"<foldnet.Report: {self['archive']}, {verdict['grade']}: {verdict['sentence']}>"


def quantize(
    model: Any,
    images: Path | npt.NDArray[np.uint8] | None = None,
    *,
    out: Path | None = None,
    preprocess: str | None = None,
    input_size: tuple[int, int] | None = None,
    labels: Path | Sequence[str] | None = None,
    max_drop: float | None = None,
    progress: Callable[[str, int, int], object] | None = None,
    **options: str | float | bool | Path,
) -> Report:
    """Quantize a model, write the archive, and report how well it kept its answers.

    `model`: the path of an ONNX file, a Keras model, or a PyTorch module (which needs `input_size`). `None` stands for
    the built-in ResNet-20, which needs no images.
    `images`: about a hundred images of the kind that the network will see: a folder, a CIFAR .bin or .npy file, or an
    array `(n, height, width, 3)` of `uint8`.
    `out`: the archive; by default the model's name with `.nnef.tgz`.
    `preprocess`: what training did to the pixels, if the model does not show it, for instance `"torch"`.
    `labels`: names of the classes, or a file with them.
    `max_drop`: the largest loss of accuracy, in points. `foldnet.QuantizeError` if that cannot be had.
    `progress`: called with the name of a stage, the steps done, and all of them.
    `options`: other options of `converter quantize`, with underscores: `effort="high"`, `no_equalization=True`.

    Messages go to the logger `foldnet`. An exception in `progress`, or an interrupt, ends the conversion.

    Raises `foldnet.QuantizeError` if the model cannot be quantized, `ValueError` for options that are not understood,
    `FileNotFoundError` and other `OSError`s.
    """
    if not hasattr(_foldnet, "quantize"):
        raise NotImplementedError("this build of foldnet contains no converter; quantize on another machine")
    with tempfile.TemporaryDirectory(prefix="foldnet-") as folder:
        arguments = _flags(options, preprocess=preprocess, max_drop=max_drop)
        if input_size is not None:
            arguments.append(f"--input-size={input_size[0]}x{input_size[1]}")
        arguments += _given("labels", labels, lambda names: _names(names, folder))
        arguments += _given("images", images, lambda array: _array(array, folder))
        if model is not None and not isinstance(model, (str, os.PathLike)):
            model = _framework.export(model, folder, input_size)
            if out is None:
                raise TypeError("out is missing: a model in memory has no file whose name the archive could take")
        if out is not None:
            arguments.append(f"--out={os.fspath(out)}")
        if model is not None:
            arguments += ["--", os.fspath(model)]
        archive, report = _foldnet.quantize(arguments, _Listener(progress))
    return Report(json.loads(report), archive=pathlib.Path(archive))


class _Listener:
    """Hands on what the converter has to say."""

    def __init__(self, progress: Callable[[str, int, int], object] | None) -> None:
        self.progress = progress

    def __call__(self, kind: str, words: str, done: int, total: int) -> None:
        if kind == "stage":
            if self.progress is not None:
                self.progress(words, done, total)
        else:
            _LOG.log(logging.WARNING if kind == "warning" else logging.INFO, "%s", words)


def _flags(options: dict[str, Any], **more: Any) -> list[str]:
    flags = []
    for name, value in {**options, **more}.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            flags.append(flag)
        elif value is not None and value is not False:
            flags.append(f"{flag}={os.fspath(value) if isinstance(value, os.PathLike) else value}")
    return flags


def _given(flag: str, value: Any, write: Callable[[Any], str]) -> list[str]:
    """The flag with a path, which `write` makes of other values."""
    if value is None:
        return []
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else write(value)
    return [f"--{flag}={path}"]


def _names(names: Sequence[str], folder: str) -> str:
    path = os.path.join(folder, "labels.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(list(names), file)
    return path


def _array(images: Any, folder: str) -> str:
    import numpy as np

    if not isinstance(images, np.ndarray):
        raise TypeError(f"images is {type(images).__qualname__}, expected a path or an array")
    if images.dtype != np.uint8:
        raise TypeError(f"the images are of type {images.dtype}, expected uint8: pixels from 0 to 255")
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(f"the images have shape {images.shape}, expected (n, height, width, channels)")
    path = os.path.join(folder, "images.npy")
    np.save(path, np.ascontiguousarray(images))
    return path
