"""Window: center and width, and the functions that they stand for (PS3.3 C.11.2.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Window:
    """Window Center (0028,1050) and Width (0028,1051) with their explanation (0028,1055)."""

    center: float
    width: float
    explanation: str = ""


def apply_window(
    values: NDArray[np.float64], window: Window, function: str = "LINEAR"
) -> NDArray[np.float64] | None:
    """VOI LUT Function (0028,1056) of PS3.3 C.11.2.1.2 and C.11.2.1.3, for an output of [0, 1].

    Returns:
        float64 of the same shape in [0, 1], or None when the width is not allowed: LINEAR needs at
        least 1, the others more than 0.
    """
    center, width = window.center, window.width
    if function == "SIGMOID":
        if width <= 0:
            return None
        exponent = np.clip(-4.0 * (values - center) / width, -700.0, 700.0)
        return np.asarray(1.0 / (1.0 + np.exp(exponent)), dtype=np.float64)
    if function == "LINEAR_EXACT":
        if width <= 0:
            return None
        return np.clip((values - center) / width + 0.5, 0.0, 1.0)
    if width < 1:
        return None
    if width == 1:
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)
