"""Pixels: stored cells to float32 in [0, 1] by the grayscale chain of the standard."""
