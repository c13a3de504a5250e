"""Engines: one protocol, batch to logits, by torch, ONNX Runtime or OpenVINO."""
