"""monai_cxr: chest X-ray classification for MONAI.

Importing this package is cheap: names are resolved on first use, and torch is imported only by
those that need it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from monai_cxr.moved import find_moved

if TYPE_CHECKING:
    from monai_cxr.bundle.model import BundleModel
    from monai_cxr.errors import (
        BundleError,
        CXRError,
        DeliveryError,
        InputError,
        InvalidBundle,
        InvalidTable,
        MissingDependency,
        NotCalibrated,
        SettingsError,
        UnreadableImage,
        UnsupportedImage,
    )
    from monai_cxr.findings import FINDING_NAMES, FINDINGS, Finding, FindingSet
    from monai_cxr.prediction import FindingScore, ModelIdentity, OperatingPoint, Prediction
    from monai_cxr.radiograph import InstanceKey, Radiograph, ViewPosition
    from monai_cxr.reading.files import read_for_model, read_radiograph

__version__ = "0.1.0"

find_moved()

_HOMES = {
    "BundleModel": "bundle.model",
    **dict.fromkeys(
        (
            "BundleError",
            "CXRError",
            "DeliveryError",
            "InputError",
            "InvalidBundle",
            "InvalidTable",
            "MissingDependency",
            "NotCalibrated",
            "SettingsError",
            "UnreadableImage",
            "UnsupportedImage",
        ),
        "errors",
    ),
    **dict.fromkeys(("FINDINGS", "FINDING_NAMES", "Finding", "FindingSet"), "findings"),
    **dict.fromkeys(
        ("FindingScore", "ModelIdentity", "OperatingPoint", "Prediction"), "prediction"
    ),
    **dict.fromkeys(("InstanceKey", "Radiograph", "ViewPosition"), "radiograph"),
    **dict.fromkeys(("read_for_model", "read_radiograph"), "reading.files"),
}

__all__ = [
    "FINDINGS",
    "FINDING_NAMES",
    "BundleError",
    "BundleModel",
    "CXRError",
    "DeliveryError",
    "Finding",
    "FindingScore",
    "FindingSet",
    "InputError",
    "InstanceKey",
    "InvalidBundle",
    "InvalidTable",
    "MissingDependency",
    "ModelIdentity",
    "NotCalibrated",
    "OperatingPoint",
    "Prediction",
    "Radiograph",
    "SettingsError",
    "UnreadableImage",
    "UnsupportedImage",
    "ViewPosition",
    "__version__",
    "read_for_model",
    "read_radiograph",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'monai_cxr' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"monai_cxr.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names."""
    return __all__
