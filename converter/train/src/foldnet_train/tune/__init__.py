"""Searches for the settings whose network is best after quantization."""
