"""Logits: log odds to probabilities and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CLIP = 1e-7
"""Probabilities are kept this far from 0 and 1 before a logarithm is taken."""


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-logits)), without overflow; same shape, in [0, 1]."""
    half: Floats = 0.5 * (1.0 + np.tanh(0.5 * logits))
    small = logits < -30.0  # tanh has lost its digits there
    if small.any():
        half = np.where(small, np.exp(np.minimum(logits, 0.0)), half)
    return half


def to_logits(probabilities: Floats) -> Floats:
    """log(p / (1 - p)) of probabilities clipped at 1e-7; same shape."""
    p = np.clip(probabilities, CLIP, 1.0 - CLIP)
    return np.log(p) - np.log1p(-p)
