"""Predictions: tables of scores, ours and anybody's, to aligned arrays."""

from monai_cxr.moved import names_of

__getattr__ = names_of(__name__, "prediction_set")
