"""Calibration: scores to probabilities that mean what they say."""

from monai_cxr.moved import names_of

__getattr__ = names_of(__name__, "calibrator")
