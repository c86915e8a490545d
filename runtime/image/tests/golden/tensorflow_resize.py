"""Writes tensorflow_resize.txt: what TensorFlow makes of images that both sides can draw by themselves.

    pip install tensorflow==2.21.0 pillow==12.0.0 && python3 tensorflow_resize.py > tensorflow_resize.txt

Each line: bilinear (without antialiasing) or stretch (with it), image width and height, network width
and height, and the pixels, rounded, hexadecimal.
"""

import numpy as np
import tensorflow as tf
from pillow_resize import draw

CASES = [
    ((7, 5), (3, 4)), ((13, 9), (5, 5)), ((5, 3), (11, 5)), ((40, 30), (8, 7)), ((40, 30), (40, 1)),
    ((1, 1), (4, 3)), ((2, 200), (2, 3)), ((64, 48), (6, 9)), ((31, 33), (32, 32)), ((333, 500), (16, 16)),
    ((640, 480), (32, 32)), ((96, 96), (33, 31)),
]

if __name__ == "__main__":
    print(f"# Made by tensorflow_resize.py, which says how, with TensorFlow {tf.__version__}.")
    for rule, antialias in (("bilinear", False), ("stretch", True)):
        for (w, h), (width, height) in CASES:
            picture = np.asarray(draw(w, h), np.float32)
            fitted = tf.image.resize(picture, (height, width), "bilinear", antialias=antialias).numpy()
            pixels = np.clip(np.rint(fitted), 0, 255).astype(np.uint8)
            print(rule, w, h, width, height, pixels.tobytes().hex())
