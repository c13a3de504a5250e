"""Errors: the exception tree; the class says whether a retry can help.

CXRError
├── InputError(ValueError)        the input is wrong: quarantine it, a retry changes nothing
│   ├── UnreadableImage           the bytes cannot be decoded (truncated, hostile, not an image)
│   ├── UnsupportedImage          decodable, but not a frontal chest radiograph the model may read
│   └── InvalidTable              an index, labels or predictions table lacks something
├── BundleError                   the installed model is wrong: stop
│   ├── InvalidBundle             a file is missing, changed, or names a class that is not allowed
│   └── NotCalibrated             the bundle holds no calibration
├── DeliveryError                 the receiver did not answer: retry
├── SettingsError                 a setting or an option value is wrong: stop
└── MissingDependency(ImportError)  an optional package is absent: install the extra it names
"""

from __future__ import annotations


class CXRError(Exception):
    """Base of every error that monai_cxr raises on purpose."""


class InputError(CXRError, ValueError):
    """The input is wrong and a retry cannot help.

    Args:
        message: The value, what was expected, what to do; never a patient's name or a file path.
        reason: A stable, machine-readable code such as ``"not_chest"``.
    """

    default_reason = "invalid_input"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        """Keep the sentence and its code."""
        super().__init__(message)
        self.reason = reason or self.default_reason


class UnreadableImage(InputError):
    """The bytes cannot be decoded into pixels."""

    default_reason = "unreadable"


class UnsupportedImage(InputError):
    """The image can be decoded, but is not one the model may read."""

    default_reason = "unsupported"


class InvalidTable(InputError):
    """A table lacks a column, holds an impossible value, or contradicts another."""

    default_reason = "invalid_table"


class BundleError(CXRError):
    """The installed model is wrong; nothing should run until it is replaced."""


class InvalidBundle(BundleError):
    """A bundle file is missing, was changed, or names a class that is not allowed."""


class NotCalibrated(BundleError):
    """The bundle holds no calibration, so its outputs are not probabilities."""


class DeliveryError(CXRError):
    """A receiver did not take a result; a retry may succeed."""


class SettingsError(CXRError, ValueError):
    """A setting or option has a value that is not allowed."""


class MissingDependency(CXRError, ImportError):
    """An optional package is not installed."""
