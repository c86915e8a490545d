"""The training loop and what keeps it safe."""

from foldnet_train.quiet import load_tensorflow

load_tensorflow()
