"""Exports from Keras to ONNX for the converter."""
