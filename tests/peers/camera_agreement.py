"""Whether frames are fitted as the images were that the network was calibrated with.

    camera_agreement.py RUNTIME ARCHIVE PHOTOGRAPHS [--side 32] [--tensorflow ARCHIVE]

Each photograph is brought to 640×480, sent as YUYV (BT.601, limited range, halved chroma) and as RGB through
`runtime camera --input -`, and compared with `runtime classify` of the image that the frame is, made small
by Pillow (bilinear, which antialiases); the image of a YUYV frame is by the standard's formula in f64. The
archive's rule must be `stretch` and its input SIDE×SIDE. With --tensorflow, an archive whose rule is
`bilinear` is compared with TensorFlow's tf.image.resize in the same way. Prints the share of equal top-1
labels; the last line of a rule says what the camera's own halved chroma costs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (640, 480)


def yuyv(picture: Image.Image) -> bytes:
    r, g, b = (np.asarray(picture, np.float64)[..., c] / 255 for c in range(3))
    y = 0.299 * r + 0.587 * g + 0.114 * b
    u, v = (b - y) / 1.772, (r - y) / 1.402
    out = np.empty((SIZE[1], SIZE[0], 2), np.uint8)
    out[..., 0] = np.rint(16 + 219 * y)
    for first, chroma in ((0, u), (1, v)):
        out[:, first::2, 1] = np.rint(128 + 224 * (chroma[:, ::2] + chroma[:, 1::2]) / 2)
    return out.tobytes()


def decoded(frame: bytes) -> Image.Image:
    """The image of a YUYV frame."""
    samples = np.frombuffer(frame, np.uint8).reshape(SIZE[1], SIZE[0], 2).astype(np.float64)
    y = (samples[..., 0] - 16) / 219
    u, v = ((np.repeat(samples[:, first::2, 1], 2, axis=1) - 128) / 224 for first in (0, 1))
    r, b = y + 1.402 * v, y + 1.772 * u
    g = (y - 0.299 * r - 0.114 * b) / 0.587
    return Image.fromarray(np.clip(np.rint(255 * np.stack([r, g, b], -1)), 0, 255).astype(np.uint8))


def labels(command: list, feed: bytes = b"") -> list[int]:
    output = subprocess.run([str(word) for word in command], input=feed, stdout=subprocess.PIPE, check=True)
    return [json.loads(line)["labels"][0]["index"] for line in output.stdout.splitlines()]


def camera(runtime: str, archive: str, kind: str, frames: list[bytes]) -> list[int]:
    size = f"{SIZE[0]}x{SIZE[1]}"
    command = [runtime, "-q", "camera", archive, "--input", "-", "--format", kind, "--size", size]
    return labels([*command, "--all", "--json", "--smooth", "1"], b"".join(frames))


def still(runtime: str, archive: str, pictures: list[Image.Image]) -> list[int]:
    with tempfile.TemporaryDirectory() as folder:
        for n, picture in enumerate(pictures):
            picture.save(Path(folder) / f"{n:05}.png")
        return labels([runtime, "-q", "classify", archive, folder, "--json"])


def tensorflow_small(picture: Image.Image, side: int) -> Image.Image:
    import tensorflow as tf

    small = tf.image.resize(np.asarray(picture, np.float32), (side, side), "bilinear").numpy()
    return Image.fromarray(np.clip(np.rint(small), 0, 255).astype(np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runtime")
    parser.add_argument("archive")
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--tensorflow")
    arguments = parser.parse_args()
    files = sorted(arguments.photographs.glob("*.jpg"))
    pictures = [Image.open(file).convert("RGB").resize(SIZE, Image.Resampling.BICUBIC) for file in files]
    rgb, yuv = [p.tobytes() for p in pictures], [yuyv(p) for p in pictures]
    side = (arguments.side, arguments.side)
    rules = [("Pillow", arguments.archive, lambda p: p.resize(side, Image.Resampling.BILINEAR))]
    if arguments.tensorflow:
        rules.append(("TensorFlow", arguments.tensorflow, lambda p: tensorflow_small(p, arguments.side)))
    for name, archive, small in rules:
        original = still(arguments.runtime, archive, [small(p) for p in pictures])
        through_yuv = still(arguments.runtime, archive, [small(decoded(f)) for f in yuv])
        seen = {kind: camera(arguments.runtime, archive, kind, f) for kind, f in (("rgb", rgb), ("yuyv", yuv))}
        for what, ours, theirs in (
            (f"rgb against {name}", seen["rgb"], original),
            (f"yuyv against {name} on the same frame", seen["yuyv"], through_yuv),
            ("yuyv against the picture before it was YUYV", seen["yuyv"], original),
        ):
            same = sum(a == b for a, b in zip(ours, theirs, strict=True))
            print(f"{what}: {same} of {len(files)} photographs, {100 * same / len(files):.1f} %")


if __name__ == "__main__":
    main()
