"""Bundle watch: whether the files of a bundle are still those that were loaded."""

from __future__ import annotations

import hashlib
from pathlib import Path

from monai_cxr.bundle.digests import DIGESTS_NAME, WEIGHTS_NAME


def fingerprint(bundle: Path) -> tuple[str, ...]:
    """What tells one state of a bundle from another, at little cost; it reads no weights.

    Args:
        bundle: Folder; what is not there counts as such.

    Returns:
        The hash of its record of digests, and size and time of its weights.
    """
    try:
        recorded = hashlib.sha256((bundle / DIGESTS_NAME).read_bytes()).hexdigest()
    except OSError:
        recorded = "none"
    try:
        stat = (bundle / WEIGHTS_NAME).stat()
        weights = f"{stat.st_size} {stat.st_mtime_ns}"
    except OSError:
        weights = "none"
    return recorded, weights
