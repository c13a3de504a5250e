"""Run lock: one process at a time trains a run; the system frees the lock of a killed one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from monai_cxr.errors import SettingsError


def take_lock(checkpoints: Path) -> Callable[[], None]:
    """Be the only process that trains here.

    Args:
        checkpoints: Folder of checkpoints of the run; it is made where it is missing.

    Returns:
        Gives the lock back; so does the end of this process.

    Raises:
        SettingsError: If another process holds it.
    """
    checkpoints.mkdir(parents=True, exist_ok=True)
    handle = os.open(checkpoints / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            os.close(handle)
            raise SettingsError(
                "Another process is training this run. Wait until it ends, stop it, or choose "
                "another folder with --out."
            ) from None
    return lambda: os.close(handle)
