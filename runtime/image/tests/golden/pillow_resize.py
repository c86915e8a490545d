"""Writes pillow_resize.txt: what Pillow makes of images that both sides can draw by themselves.

    pip install pillow==12.0.0 && python3 pillow_resize.py > pillow_resize.txt

Each line: rule, network channels, image width and height, network width and height, short side (0 for
stretch), CRC-32 of the pixels, and, where they are few, the pixels themselves, hexadecimal.
"""

import zlib

import PIL
from PIL import Image

SHOWN = 200


def draw(width, height):
    """Noise with edges: a linear congruential generator, its top byte, every third row doubled."""
    state, samples = width * 65_537 + height, bytearray()
    for i in range(3 * width * height):
        state = (state * 1_664_525 + 1_013_904_223) % 2**32
        row = i // (3 * width)
        samples.append(255 * (state >> 31) if row % 3 == 0 else state >> 24)
    return Image.frombytes("RGB", (width, height), bytes(samples))


def crop(picture, short_side, width, height):
    """torchvision.transforms: Resize(short_side), CenterCrop((height, width)), on PIL images."""
    w, h = picture.size
    short, long = (w, h) if w <= h else (h, w)
    new = int(short_side * long / short)
    size = (short_side, new) if w <= h else (new, short_side)
    picture = picture.resize(size, Image.Resampling.BILINEAR)
    w, h = picture.size
    if width > w or height > h:
        left, top = max((width - w) // 2, 0), max((height - h) // 2, 0)
        framed = Image.new("RGB", (max(w, width), max(h, height)))
        framed.paste(picture, (left, top))
        picture = framed
        w, h = picture.size
    top, left = int(round((h - height) / 2.0)), int(round((w - width) / 2.0))
    return picture.crop((left, top, left + width, top + height))


STRETCH = [
    # image, network
    ((7, 5), (3, 4)), ((13, 9), (5, 5)), ((5, 3), (11, 5)), ((40, 30), (8, 7)), ((40, 30), (40, 1)),
    ((40, 3), (5, 3)), ((1, 1), (4, 3)), ((2, 200), (2, 3)), ((200, 2), (3, 2)), ((64, 48), (6, 9)),
    ((32, 32), (33, 31)), ((31, 33), (32, 32)), ((500, 333), (224, 224)), ((333, 500), (224, 224)),
    ((96, 96), (224, 224)), ((1279, 719), (96, 96)), ((640, 480), (32, 32)), ((225, 224), (224, 224)),
]
CROP = [
    # image, network, short side
    ((13, 9), (7, 7), 8), ((9, 13), (6, 6), 9), ((10, 11), (6, 7), 9), ((50, 40), (8, 8), 10),
    ((40, 50), (8, 7), 11), ((20, 20), (8, 8), 5), ((30, 11), (9, 6), 4), ((11, 30), (6, 9), 4),
    ((500, 333), (224, 224), 256), ((333, 500), (224, 224), 256), ((480, 640), (224, 224), 232),
    ((257, 256), (224, 224), 256), ((3000, 20), (224, 224), 256), ((224, 225), (224, 224), 224),
]


def line(rule, channels, picture, network, short_side, pixels):
    numbers = [channels, *picture, *network, short_side]
    shown = pixels.hex() if len(pixels) <= SHOWN else ""
    print(rule, *numbers, f"{zlib.crc32(pixels):08x}", shown)


if __name__ == "__main__":
    print(f"# Made by pillow_resize.py, which says how, with Pillow {PIL.__version__}.")
    for size, network in STRETCH:
        result = draw(*size).resize(network, Image.Resampling.BILINEAR)
        line("stretch", 3, size, network, 0, result.tobytes())
    for size, network, short_side in CROP:
        line("crop", 3, size, network, short_side, crop(draw(*size), short_side, *network).tobytes())
    line("stretch", 1, (20, 16), (12, 9), 0, draw(20, 16).resize((12, 9), Image.Resampling.BILINEAR).convert("L").tobytes())
