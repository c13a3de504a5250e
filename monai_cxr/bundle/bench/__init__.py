"""Bench: what a machine does with a model, engine by engine."""

from monai_cxr.moved import names_of

__getattr__ = names_of(__name__, "bench")
