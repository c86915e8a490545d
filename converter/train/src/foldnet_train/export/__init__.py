"""From Keras to ONNX, as the converter takes it."""
