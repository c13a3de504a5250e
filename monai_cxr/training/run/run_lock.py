"""Run lock: one process at a time trains a run; the system frees the lock of a killed one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from monai_cxr.atomic import held
from monai_cxr.errors import SettingsError


def take_lock(checkpoints: Path) -> Callable[[], None]:
    """Be the only process that trains here.

    Training that failed in this process, and whose objects a notebook still holds, does not keep
    the next attempt out.

    Args:
        checkpoints: Folder of checkpoints of the run; it is made where it is missing.

    Returns:
        Gives the lock back; so does the end of this process.

    Raises:
        SettingsError: If another process holds it.
    """
    checkpoints.mkdir(parents=True, exist_ok=True)
    stack = contextlib.ExitStack()
    if not stack.enter_context(held(checkpoints / ".lock", shared_in_process=True)):
        raise SettingsError(
            "Another process is training this run. Wait until it ends, stop it, or choose "
            "another folder with --out."
        )
    return stack.close
