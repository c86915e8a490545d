"""Batch normalisation in one operation: Keras's numbers."""

from typing import Any

import numpy as np
import pytest

from foldnet_train import networks
from foldnet_train.settings import Settings
from foldnet_train.training import batch_norm


def learned(layer: Any, inputs: Any, towards: Any) -> list[Any]:
    """Outputs, gradients for inputs, gain and offset, and running statistics of a training step."""
    import tensorflow as tf

    x = tf.Variable(inputs)
    with tf.GradientTape() as tape:
        outputs = layer(x, training=True)
        loss = tf.reduce_sum(outputs * towards)
    gradients = tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])
    return [np.asarray(each) for each in (outputs, *gradients, layer.moving_mean, layer.moving_variance)]


@pytest.mark.parametrize("shape", [(4, 5, 7, 3), (1, 9, 2, 16), (3, 1, 1, 1), (1, 1, 1, 4)])
def test_it_computes_what_keras_does(shape: tuple[int, ...]) -> None:
    from keras import Input, Model, layers

    rng = np.random.default_rng(1)
    inputs, towards = (rng.normal(2, 3, shape).astype(np.float32) for _ in range(2))
    both = [layers.BatchNormalization(momentum=0.9, epsilon=0.002) for _ in range(2)]
    models = [Model(read := Input(shape[1:]), layer(read)) for layer in both]
    weights = [rng.uniform(0.5, 2, shape[-1]) for _ in range(4)]
    for layer in both:
        layer.set_weights(weights)
    batch_norm.fuse(models[1])
    assert both[1].call.__func__ is batch_norm.call and both[0].call.__func__ is not batch_norm.call
    for keras, ours in zip(*(learned(layer, inputs, towards) for layer in both), strict=True):
        assert np.allclose(keras, ours, rtol=1e-4, atol=1e-4 * np.abs(keras).max())
    inferred = [np.asarray(layer(inputs, training=False)) for layer in both]
    assert np.allclose(*inferred, rtol=1e-5)


def test_what_is_frozen_or_has_no_such_operation_is_keras_own() -> None:
    from keras import Input, Model, layers

    inputs = Input((4, 4, 2))
    others = [layers.BatchNormalization(axis=1), layers.BatchNormalization(scale=False)]
    others.append(layers.BatchNormalization(dtype="mixed_bfloat16"))
    for layer in others:
        batch_norm.fuse(Model(inputs, layer(inputs)))
        assert getattr(layer.call, "__func__", None) is not batch_norm.call
    frozen = layers.BatchNormalization(trainable=False)
    batch_norm.fuse(Model(inputs, frozen(inputs)))
    pixels = np.random.default_rng(1).normal(5, 1, (3, 4, 4, 2)).astype(np.float32)
    assert np.allclose(frozen(pixels, training=True), pixels / np.sqrt(1 + frozen.epsilon)), "statistics stay"


def test_a_fused_model_is_saved_as_keras_model(tmp_path: Any) -> None:
    import keras

    model = networks.build(Settings(side=16, filters=2), 3)
    config = model.get_config()
    batch_norm.fuse(model)
    assert model.get_config() == config
    model.save(tmp_path / "m.keras")
    assert all("keras" in type(layer).__module__ for layer in keras.models.load_model(tmp_path / "m.keras").layers)
