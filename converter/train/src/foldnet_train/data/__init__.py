"""Labelled pictures: read, split, augmented."""
