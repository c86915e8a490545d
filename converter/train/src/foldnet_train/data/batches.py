"""Batches of training images for Keras."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from foldnet_train.data.augment import Floats, augment
from foldnet_train.data.pictures import Pictures
from foldnet_train.settings import Settings


def steps_per_epoch(pictures: Pictures, settings: Settings) -> int:
    """Returns the number of steps per epoch, the last of which may be smaller."""
    return -(-len(pictures) // settings.batch_size)


def epoch_batches(pictures: Pictures, settings: Settings, epoch: int) -> Iterator[tuple[Floats, Floats]]:
    """Returns the batches of one epoch, shuffled and augmented. They depend only on the seed and the epoch's number,
    so a resumed training sees the same batches as an uninterrupted one."""
    rng = np.random.default_rng([settings.seed, epoch])
    order = rng.permutation(len(pictures))
    one_hot = np.eye(len(pictures.classes), dtype=np.float32)
    for start in range(0, len(order), settings.batch_size):
        chosen = order[start : start + settings.batch_size]
        yield augment(pictures.pixels[chosen], one_hot[pictures.labels[chosen]], settings, rng)


def training_data(pictures: Pictures, settings: Settings, first_epoch: int = 0) -> Any:
    """Returns endless batches from this epoch on, prepared one batch ahead."""
    import tensorflow as tf

    def generate() -> Iterator[tuple[Floats, Floats]]:
        epoch = first_epoch
        while True:
            yield from epoch_batches(pictures, settings, epoch)
            epoch += 1

    signature = (
        tf.TensorSpec((None, *pictures.pixels.shape[1:]), tf.float32),
        tf.TensorSpec((None, len(pictures.classes)), tf.float32),
    )
    return tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(1)


def held_out_data(pictures: Pictures, batch_size: int) -> Any:
    """Returns the held-out images in order and unchanged."""
    import tensorflow as tf

    classes = len(pictures.classes)
    data = tf.data.Dataset.from_tensor_slices((pictures.pixels, pictures.labels)).batch(batch_size)
    return data.map(lambda pixels, labels: (tf.cast(pixels, tf.float32), tf.one_hot(labels, classes)))
