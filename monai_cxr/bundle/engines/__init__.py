"""Engines: one protocol, batch to logits, by torch, ONNX Runtime or OpenVINO."""

from monai_cxr.moved import names_of

__getattr__ = names_of(__name__, "by_name")
