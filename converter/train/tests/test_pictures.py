"""Folders of images as people have them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL, write_pictures
from PIL import Image

from foldnet_train.data.augment import CHANGES, augment
from foldnet_train.data.batches import epoch_batches
from foldnet_train.data.pictures import digest, held_out_rule, key, load, split
from foldnet_train.errors import BadInput
from foldnet_train.settings import Settings


def test_grey_transparent_deep_palette_and_mixed_sizes_become_rgb_of_one_size(tmp_path: Path) -> None:
    red = np.zeros((20, 30, 3), np.uint8)
    red[:, :, 0] = 200
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    Image.fromarray(red).save(tmp_path / "a/rgb.png")
    Image.fromarray(red).convert("RGBA").save(tmp_path / "a/alpha.png")
    Image.fromarray(red).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "a/palette.png")
    Image.fromarray(red[:7, :5]).save(tmp_path / "a/small.bmp")
    Image.fromarray(np.full((9, 9), 77, np.uint8)).save(tmp_path / "b/grey.jpg")
    Image.fromarray(np.full((9, 9), 77 * 257, np.uint16)).save(tmp_path / "b/deep.png")
    Image.fromarray(np.full((9, 9), 77, np.uint8)).convert("LA").save(tmp_path / "b/grey_alpha.webp", lossless=True)
    read = load(tmp_path, 16)
    assert read.pixels.shape == (7, 16, 16, 3) and read.skipped == []
    assert read.classes == ["a", "b"]
    for pixels, label in zip(read.pixels, read.labels, strict=True):
        expected = [200, 0, 0] if label == 0 else [77, 77, 77]
        assert np.abs(pixels.astype(int) - expected).max() <= 1


def test_unreadable_pictures_are_named_and_skipped(tmp_path: Path, call: Callable[..., tuple[int, str, str]]) -> None:
    photos = write_pictures(tmp_path / "photos")
    (photos / "ant/broken.png").write_bytes(b"no image")
    whole = (photos / "bee/0.png").read_bytes()
    (photos / "bee/cut.png").write_bytes(whole[: len(whole) // 2])
    (photos / "cow/.hidden.png").write_bytes(b"")
    (photos / "no images").mkdir()
    read = load(photos, 16)
    assert len(read) == 36 and read.classes == ["ant", "bee", "cow"]
    assert [Path(line.split(":")[0]).name for line in read.skipped] == ["broken.png", "cut.png"]
    code, _, said = call("fit", photos, "-o", tmp_path / "run", "--strict", *SMALL)
    assert code == 2 and "broken.png" in said and "--strict" in said


def test_bad_folders_are_refused_with_what_would_do(tmp_path: Path) -> None:
    def refused(path: Path) -> str:
        with pytest.raises(BadInput) as error:
            load(path, 16)
        return str(error.value)

    assert "no such file" in refused(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    assert "one subfolder per class" in refused(tmp_path / "empty")
    assert "one class only (ant)" in refused(write_pictures(tmp_path / "one", ("ant",)))
    for name in ("a", "b"):
        (tmp_path / "broken" / name).mkdir(parents=True)
        (tmp_path / "broken" / name / "x.png").write_bytes(b"x")
    assert "none of 2 images could be read" in refused(tmp_path / "broken")
    (tmp_path / "file.txt").write_text("x")
    assert "a folder" in refused(tmp_path / "file.txt")
    (tmp_path / "odd.bin").write_bytes(bytes(3074))
    assert "3074 bytes" in refused(tmp_path / "odd.bin")
    (tmp_path / "label.bin").write_bytes(bytes([11]) + bytes(3072))
    assert "label 11" in refused(tmp_path / "label.bin")


def test_a_class_of_one_picture_is_refused(tmp_path: Path) -> None:
    photos = write_pictures(tmp_path / "photos", ("ant", "bee"))
    write_pictures(tmp_path / "few", ("cow",), n=1)
    (tmp_path / "few/cow").rename(photos / "cow")
    with pytest.raises(BadInput, match="class cow: 1 readable image"):
        split(load(photos, 16), 0.2, 1)


def test_the_split_is_the_same_each_time_and_has_every_class_in_both_parts(photos: Path) -> None:
    pictures = load(photos, 16)
    train, held_out = split(pictures, 0.2, 5)
    assert len(train) + len(held_out) == 36
    assert set(held_out.labels) == set(train.labels) == {0, 1, 2}
    again = split(pictures, 0.2, 5)
    assert train.fingerprint() == again[0].fingerprint() != split(pictures, 0.2, 6)[0].fingerprint()


def test_the_rule_is_that_of_the_converter(photos: Path) -> None:
    # The same values stand in the converter's convert/held_out.rs.
    assert f"{key(7, digest(b'a picture')):016x}" == "3f736fc363d62dda"
    pictures = load(photos, 16)
    _, held_out = split(pictures, 0.2, 5)
    words = dict(word.split("=") for word in held_out_rule(pictures, 0.2, 5).split())
    assert (words["share"], words["seed"]) == ("0.2", "5")
    but = {int(k, 16) for k in words.get("but", "").split(",") if k}
    files = sorted(photos.rglob("*.png"))
    keys = [key(5, digest(file.read_bytes())) for file in files]
    assert sum((k >> 11 < 0.2 * 2**53) != (k in but) for k in keys) == len(held_out)


def test_a_small_class_is_in_both_parts_whatever_the_rule_says(tmp_path: Path) -> None:
    pictures = load(write_pictures(tmp_path / "photos", n=2), 16)
    for seed in range(8):
        train, held_out = split(pictures, 0.2, seed)
        assert set(held_out.labels) == set(train.labels) == {0, 1, 2}
        assert "but=" in held_out_rule(pictures, 0.2, seed) or len(held_out) == 3


def test_pictures_that_are_all_the_same_are_refused(tmp_path: Path) -> None:
    photos = write_pictures(tmp_path / "photos", ("ant", "bee"))
    for file in (photos / "bee").iterdir():
        file.write_bytes((photos / "ant/0.png").read_bytes())
    with pytest.raises(BadInput, match="class bee: its 12 images are all the same"):
        split(load(photos, 16), 0.2, 1)


def test_cifar_files_are_read_plane_by_plane(tmp_path: Path) -> None:
    record = np.zeros(3073, np.uint8)
    record[1:1025], record[1 + 1024 * 2 :] = 10, 30
    other = record.copy()
    other[0], other[1 + 33] = 9, 99
    for batch, raw in ((1, record), (2, other)):
        (tmp_path / f"data_batch_{batch}.bin").write_bytes(raw.tobytes())
    read = load(tmp_path, 32)
    assert read.classes == ["airplane", "truck"]
    assert read.pixels[0, 5, 7].tolist() == [10, 0, 30]
    assert read.pixels[1, 1, 1].tolist() == [99, 0, 30], "row 1, column 1 is byte 33 of the plane"
    assert load(tmp_path, 8).pixels.shape == (2, 8, 8, 3)


@pytest.mark.parametrize("name", ["flip", "crop", "mixup", "cutout", "randaugment"])
def test_each_augmentation_changes_pictures_keeps_their_kind_and_repeats(name: str) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (16, 12, 12, 3), np.uint8)
    targets = np.eye(4, dtype=np.float32)[rng.integers(0, 4, 16)]
    none = {"flip": False, "crop": 0.0, "mixup": 0.0, "cutout": 0.0, "randaugment": 0}
    value = {"flip": True, "crop": 0.25, "mixup": 0.4, "cutout": 0.5, "randaugment": 15}[name]
    settings = Settings(**{**none, name: value})
    first = augment(pixels, targets, settings, np.random.default_rng(3))
    again = augment(pixels, targets, settings, np.random.default_rng(3))
    assert first[0].shape == pixels.shape and first[0].dtype == np.float32
    assert first[0].min() >= 0 and first[0].max() <= 255
    assert np.allclose(first[1].sum(axis=1), 1)
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], pixels)
    plain = augment(pixels, targets, Settings(**none), rng)
    assert np.array_equal(plain[0], pixels), "without any, images stay"


def test_augmentations_do_what_they_are_called() -> None:
    from foldnet_train.data import augment as of

    pixels = np.arange(2 * 6 * 6 * 3, dtype=np.uint8).reshape(2, 6, 6, 3)
    flipped = of.flip(pixels, np.random.default_rng(0))
    assert all(np.array_equal(f, p) or np.array_equal(f, p[:, ::-1]) for f, p in zip(flipped, pixels, strict=True))
    holes = of.cutout(np.zeros((4, 10, 10, 3), np.uint8), 0.4, np.random.default_rng(0)) == 127
    assert all(0 < hole.sum() <= 3 * 16 for hole in holes)
    moved = of.crop(pixels, 0.5, np.random.default_rng(0))
    assert set(np.unique(moved[0])) <= set(np.unique(pixels[0])), "nothing is invented"
    for change in CHANGES:
        picture = Image.fromarray(np.full((8, 8, 3), 90, np.uint8))
        assert change(picture, 0.5).size == (8, 8)


def test_an_epoch_has_every_picture_once_in_an_order_of_its_own(photos: Path) -> None:
    pictures = load(photos, 16)
    pictures.pixels[:, 0, 0, 0] = np.arange(len(pictures))
    settings = Settings(flip=False, crop=0.0, batch_size=7)
    orders = []
    for epoch in (0, 1, 0):
        orders.append([int(p[0, 0, 0]) for batch, _ in epoch_batches(pictures, settings, epoch) for p in batch])
    assert sorted(orders[0]) == list(range(36)) and orders[0] == orders[2] != orders[1]
