"""The training loop and its safeguards."""

from foldnet_train.quiet import load_tensorflow

load_tensorflow()
