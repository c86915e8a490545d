"""Networks, and what they say of images."""

from __future__ import annotations

from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, NamedTuple, Union, overload

from foldnet._foldnet import Engine

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image
    from typing_extensions import TypeIs

    Pixels = npt.NDArray[np.uint8]
    Floats = npt.NDArray[np.float32]
    Path = Union[str, PathLike[str]]


class Label(NamedTuple):
    """A class, and how much speaks for it."""

    index: int  # type: ignore[assignment] # a tuple's method of that name has no use here
    """Its number."""
    name: str
    """Its name, or `class` and its number if the archive has no names."""
    score: float
    """A share of 1, or a plain number if the network's output is one."""


def load(path: Path, *, threads: int = 0, kernels: str | None = None) -> Model:
    """Open an archive that `quantize` or the program `converter` wrote.

    `threads`: how many to use; 0 means one per core.
    `kernels`: a kernel set by name instead of the fastest one; `foldnet.kernels()` lists them. All give the same bits.

    Raises `FileNotFoundError` and other `OSError`s, `foldnet.ArchiveError` if the file is no archive or is damaged, and
    `ValueError` for unknown kernel sets and numbers of threads that make no sense.
    """
    return Model(path, threads=threads, kernels=kernels)


class Model:
    """A network that classifies images.

    A model can be used from several threads. Its calls take turns, and other Python threads run meanwhile: the
    interpreter's lock is released while the network runs. `logits` and `features` of a batch run several images at the
    same time, one per thread.

    Arrays are of type `uint8`, RGB, rows from the top: `(height, width, 3)` for an image, `(n, height, width, 3)` for a
    batch. C-contiguous arrays are read where they are, all others are copied first. Do not write to an array from
    another thread while a call reads it.
    """

    def __init__(self, path: Path, *, threads: int = 0, kernels: str | None = None) -> None:
        if threads < 0:
            raise ValueError(f"threads is {threads}, expected 0 or more")
        self._engine = Engine(path, threads, kernels)
        self._labels = tuple(self._engine.labels())
        self._shape = self._engine.input_shape()

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self._labels

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Rows, columns and channels of the pixels that the network reads."""
        return self._shape

    @property
    def threads(self) -> int:
        """How many threads the network runs on."""
        return self._engine.threads()

    @property
    def kernels(self) -> str:
        """The name of the kernel set in use."""
        return self._engine.kernels()

    def __repr__(self) -> str:
        shape = "×".join(map(str, self._shape))
        return f"<foldnet.Model: {shape} → {len(self._labels)} classes, {self.kernels}, {self.threads} threads>"

    @overload
    def classify(self, image: Path | Image, *, top: int = 5) -> list[Label]: ...
    @overload
    def classify(self, image: Pixels, *, top: int = 5) -> list[Label] | list[list[Label]]: ...
    def classify(self, image: Path | Image | Pixels, *, top: int = 5) -> list[Label] | list[list[Label]]:
        """The best `top` labels of an image, the best first.

        `image` is a path (JPEG, PNG, WebP or BMP), a Pillow image, or an array. An image of another size is brought to
        the network's as the archive describes. A batch must have the network's size; it gives one list per image.
        """
        if top < 1:
            raise ValueError(f"top is {top}, expected 1 or more")
        if not _is_array(image) or (image.ndim != 4 and image.shape != self._shape):
            image = self.fit(image)
        pixels, single = self._pixels(image)
        names = self._labels
        answers = [[Label(i, names[i], s) for i, s in answer] for answer in self._engine.classify(pixels, top)]
        return answers[0] if single else answers

    def logits(self, image: Path | Image | Pixels) -> Floats:
        """The network's own numbers, before softmax or sigmoid: `(classes,)` for an image, `(n, classes)` for a batch.

        Arrays must have the network's size; `fit` brings them to it.
        """
        import numpy as np

        pixels, single = self._pixels(image)
        out = np.empty((len(pixels), self._engine.classes()), np.float32)
        self._engine.logits(pixels, out)
        return out[0] if single else out

    def features(self, image: Path | Image | Pixels) -> Floats:
        """The numbers in front of the last layer, by which images can be compared: `(features,)` or `(n, features)`.

        Arrays must have the network's size. Raises `foldnet.Error` if the network does not end in a dense layer or
        convolution.
        """
        import numpy as np

        pixels, single = self._pixels(image)
        count = self._engine.feature_count()
        out = np.empty((len(pixels), count), np.float32)
        self._engine.features(pixels, out)
        return out[0] if single else out

    def fit(self, image: Path | Image | Pixels) -> Pixels:
        """An image as the network sees it: brought to `input_shape` as the archive describes."""
        import numpy as np

        out = np.empty(self._shape, np.uint8)
        if isinstance(image, (str, PathLike)):
            self._engine.fit_file(fspath(image), out)
            return out
        if not _is_array(image):
            convert = getattr(image, "convert", None)
            if convert is None:
                raise TypeError(f"image is {_name(image)}, expected a path, a Pillow image or an array")
            image = np.asarray(convert("RGB"))
        _check_type(image)
        shape = image.shape
        if len(shape) == 2 or (len(shape) == 3 and shape[2] == 1):
            image = np.repeat(image.reshape(*shape[:2], 1), 3, axis=2)
        if image.ndim != 3 or image.shape[2] != 3 or 0 in shape:
            raise ValueError(f"the image has shape {shape}, expected (height, width, 3)")
        self._engine.fit(np.ascontiguousarray(image), out)
        return out

    def _pixels(self, image: Path | Image | Pixels) -> tuple[Pixels, bool]:
        """Pixels of the network's size, C-contiguous, as a batch; and whether it was a single image."""
        if not _is_array(image):
            image = self.fit(image)
        _check_type(image)
        shape = image.shape
        single = len(shape) == 3
        if shape[-3:] != self._shape or len(shape) not in (3, 4):
            expected = ", ".join(map(str, self._shape))
            hint = "; Model.fit brings an image to that size" if single else ""
            raise ValueError(f"the array has shape {shape}, expected ({expected}) or (n, {expected}){hint}")
        if not image.flags.c_contiguous:
            image = image.copy(order="C")
        return (image[None] if single else image), single


def _is_array(image: object) -> TypeIs[npt.NDArray[Any]]:
    import numpy as np

    return isinstance(image, np.ndarray)


def _check_type(image: Any) -> None:
    import numpy as np

    if image.dtype != np.uint8:
        raise TypeError(f"the array is of type {image.dtype}, expected uint8: pixels from 0 to 255")


def _name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
