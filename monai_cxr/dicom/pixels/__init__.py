"""Pixels: stored cells to float32 in [0, 1] by the grayscale chain of the standard."""

from monai_cxr.moved import names_of

__getattr__ = names_of(__name__, "grayscale")
