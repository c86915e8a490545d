"""Models: what they take, what they answer, what they refuse."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest

import foldnet

from conftest import pictures

Pixels = npt.NDArray[np.uint8]


def test_a_model_describes_itself(model: foldnet.Model) -> None:
    assert model.input_shape == (32, 32, 3)
    assert model.labels[0] == "airplane" and len(model.labels) == 10
    assert model.threads == 1
    assert model.kernels == foldnet.kernels()[0]
    assert "32×32×3" in repr(model)


def test_paths_images_and_arrays_get_the_same_labels(model: foldnet.Model) -> None:
    for path in pictures():
        if path.suffix != ".png":
            continue
        image = PIL.Image.open(path).convert("RGB")
        labels = model.classify(path, top=10)
        assert model.classify(str(path), top=10) == labels
        assert model.classify(image, top=10) == labels
        assert model.classify(np.asarray(image), top=10) == labels
        assert [label.score for label in labels] == sorted((label.score for label in labels), reverse=True)
        assert all(label.name == model.labels[label.index] for label in labels)


def test_images_of_other_sizes_are_fitted(model: foldnet.Model) -> None:
    image = np.random.default_rng(1).integers(0, 256, (48, 80, 3), np.uint8)
    fitted = model.fit(image)
    assert fitted.shape == (32, 32, 3)
    assert model.classify(image) == model.classify(fitted)
    grey = image[:, :, 0]
    assert np.array_equal(model.fit(grey), model.fit(np.stack([grey] * 3, axis=2)))
    with pytest.raises(ValueError, match=r"48, 80, 3.*Model\.fit"):
        model.logits(image)


def test_a_batch_is_its_images_one_by_one(model: foldnet.Model, batch: Pixels) -> None:
    logits, features = model.logits(batch), model.features(batch)
    assert logits.shape == (16, 10) and logits.dtype == np.float32
    assert features.shape == (16, 64) and features.dtype == np.float32
    assert np.array_equal(logits, np.stack([model.logits(image) for image in batch]))
    assert np.array_equal(features, np.stack([model.features(image) for image in batch]))
    assert model.classify(batch) == [model.classify(image) for image in batch]
    assert len(np.unique(features, axis=0)) == len(batch)


def test_an_empty_batch_has_no_answers(model: foldnet.Model, batch: Pixels) -> None:
    assert model.classify(batch[:0]) == []
    assert model.logits(batch[:0]).shape == (0, 10)
    assert model.features(batch[:0]).shape == (0, 64)


def test_every_kernel_set_and_number_of_threads_gives_the_same_bits(
    archive: Path, model: foldnet.Model, batch: Pixels
) -> None:
    logits, features = model.logits(batch), model.features(batch)
    assert "portable" in foldnet.kernels()
    for name in foldnet.kernels():
        other = foldnet.load(archive, threads=2, kernels=name)
        assert (other.kernels, other.threads) == (name, 2)
        assert np.array_equal(other.logits(batch[:4]), logits[:4])
        assert np.array_equal(other.features(batch[:4]), features[:4])


def test_any_layout_in_memory(model: foldnet.Model, batch: Pixels) -> None:
    expected = model.logits(batch)
    read_only = batch.copy()
    read_only.flags.writeable = False
    wide = np.zeros((16, 32, 40, 3), np.uint8)
    wide[:, :, :32] = batch
    bgr = batch[..., ::-1].copy()
    for array in (read_only, np.asfortranarray(batch), wide[:, :, :32], bgr[..., ::-1]):
        assert np.array_equal(model.logits(array), expected)


def test_contiguous_arrays_are_not_copied(model: foldnet.Model, batch: Pixels, tmp_path: Path) -> None:
    np.save(tmp_path / "batch.npy", batch)
    mapped = np.load(tmp_path / "batch.npy", mmap_mode="r")
    for array in (batch, batch[3:9], batch[2], mapped):
        pixels, single = model._pixels(array)
        assert np.shares_memory(pixels, array)
        assert single == (array.ndim == 3)
    assert np.array_equal(model.logits(mapped), model.logits(batch))


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.zeros((32, 32), np.uint8), ValueError),
        (np.zeros((32, 32, 4), np.uint8), ValueError),
        (np.zeros((31, 32, 3), np.uint8), ValueError),
        (np.zeros((1, 1, 32, 32, 3), np.uint8), ValueError),
        (np.zeros((2, 3, 32, 32), np.uint8), ValueError),
        (np.zeros((), np.uint8), ValueError),
        (np.zeros((32, 32, 3), np.float32), TypeError),
        (np.zeros((32, 32, 3), np.int8), TypeError),
        (np.zeros((32, 32, 3), object), TypeError),
        ([[1, 2], [3, 4]], TypeError),
        (None, TypeError),
        (7, TypeError),
    ],
)
def test_what_is_no_image_of_the_network_is_refused(model: foldnet.Model, array: Any, error: type[Exception]) -> None:
    for call in (model.logits, model.features):
        with pytest.raises(error):
            call(array)


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0, 3), (5, 5, 4), (5,), (5, 5, 5, 3)])
def test_shapes_that_are_no_image_are_refused(model: foldnet.Model, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError):
        model.classify(np.zeros(shape, np.uint8))


def test_files_that_are_no_images_are_refused(model: foldnet.Model, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        model.classify(tmp_path / "absent.png")
    assert raised.value.filename == str(tmp_path / "absent.png")
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(foldnet.ImageError, match=r"text\.png"):
        model.classify(tmp_path / "text.png")
    cut = pictures()[0].read_bytes()
    (tmp_path / "cut.png").write_bytes(cut[: len(cut) // 2])
    with pytest.raises(foldnet.Error):
        model.classify(tmp_path / "cut.png")


def test_files_that_are_no_archives_are_refused(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        foldnet.load(tmp_path / "absent.nnef.tgz")
    assert raised.value.filename == str(tmp_path / "absent.nnef.tgz")
    whole = archive.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.nnef.tgz").write_bytes(whole[:length])
        with pytest.raises(foldnet.ArchiveError, match=r"cut\.nnef\.tgz"):
            foldnet.load(tmp_path / "cut.nnef.tgz")
    assert issubclass(foldnet.ArchiveError, foldnet.Error)


def test_arguments_that_make_no_sense_are_refused(archive: Path, model: foldnet.Model, batch: Pixels) -> None:
    with pytest.raises(ValueError, match="no kernel set"):
        foldnet.load(archive, kernels="sparc")
    for threads in (-1, 1_000_000):
        with pytest.raises(ValueError, match="threads"):
            foldnet.load(archive, threads=threads)
    with pytest.raises(ValueError, match="top"):
        model.classify(batch[0], top=0)
    with pytest.raises(TypeError):
        foldnet.load(3)  # type: ignore[arg-type]


def test_the_compiled_part_refuses_what_it_could_not_read_safely(model: foldnet.Model, batch: Pixels) -> None:
    engine = model._engine
    out = np.empty((16, 10), np.float32)
    frozen = out.copy()
    frozen.flags.writeable = False

    class Liar:
        __array_interface__: ClassVar[dict[str, Any]] = {
            "data": (8, False),
            "typestr": "|u1",
            "shape": (3072,),
            "strides": None,
            "version": 3,
        }

    wrong: list[tuple[Any, Any, type[Exception]]] = [
        (Liar(), out, TypeError),
        (bytes(3072), out, TypeError),
        (batch.astype(np.int8), out, TypeError),
        (batch[:, ::-1], out, ValueError),
        (batch, out[:15], ValueError),
        (batch, out.astype(np.float64), TypeError),
        (batch, frozen, ValueError),
        (batch.reshape(-1)[:-1].copy(), out, ValueError),
    ]
    for pixels, result, error in wrong:
        with pytest.raises(error):
            engine.logits(pixels, result)
    with pytest.raises(ValueError):
        engine.classify(batch.reshape(-1)[:-1].copy(), 1)
    with pytest.raises(ValueError):
        engine.fit(batch[0], np.empty((31, 32, 3), np.uint8))


def test_threads_take_turns_on_one_model(model: foldnet.Model, batch: Pixels) -> None:
    expected = model.logits(batch)
    wrong: list[int] = []

    def run(i: int) -> None:
        for _ in range(50):
            best: Any = model.classify(batch[i], top=1)[0]
            if not np.array_equal(model.logits(batch[i]), expected[i]) or best.index != expected[i].argmax():
                wrong.append(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_other_threads_run_while_the_network_does(model: foldnet.Model, batch: Pixels) -> None:
    many = np.concatenate([batch] * 20)
    turns = 0
    stop = threading.Event()

    def count() -> None:
        nonlocal turns
        while not stop.is_set():
            turns += 1
            time.sleep(0)

    counting = threading.Thread(target=count)
    # So long that a thread only loses the interpreter's lock by releasing it.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(600)
    try:
        counting.start()
        before = turns
        model.logits(many)
        during = turns - before
    finally:
        stop.set()
        counting.join()
        sys.setswitchinterval(interval)
    assert during > 1
