"""Quantization-aware fine-tuning: a trained network learns with the rounding of Foldnet's int8 kernels.

The arithmetic is that of `runtime/kernels/src/reference`: weights are symmetric with one scale per output channel,
activations asymmetric with one scale per tensor, biases in units of the accumulator. Rounding is to nearest even,
with one rounding after convolution, addition and ReLU together."""

from foldnet_train.quiet import load_tensorflow

load_tensorflow()
