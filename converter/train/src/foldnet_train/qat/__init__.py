"""Quantization-aware fine-tuning: a trained network learns with the rounding that Foldnet's int8 kernels will do.

The arithmetic is that of `runtime/kernels/src/reference`: weights symmetric with one scale per output channel,
activations asymmetric with one scale per tensor, biases in units of the accumulator, rounding to nearest even, one
rounding behind convolution, addition and ReLU together."""

from foldnet_train.quiet import load_tensorflow

load_tensorflow()
