"""Labelled images: read, split, augmented."""
