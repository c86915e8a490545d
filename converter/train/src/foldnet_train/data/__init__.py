"""Labelled images: reading, splitting, augmentation."""
