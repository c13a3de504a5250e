"""Pathology: what disease adds to a phantom body, and what it alters, finding by finding."""

from monai_cxr.moved import names_of

__getattr__ = names_of(__name__, "by_finding")
