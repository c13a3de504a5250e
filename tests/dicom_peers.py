"""Peers: programs of Debian packages that the tests talk to; their absence is said aloud."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

# pynetdicom puts scripts of the same names (storescu, findscu ...) into a venv: look past them.
_SYSTEM_PATH = "/usr/bin:/usr/sbin:/usr/local/bin"


def program(name: str, *, package: str) -> str:
    """Path of a program, or a skip that says what to install."""
    path = shutil.which(name, path=_SYSTEM_PATH)
    if path is None:
        pytest.skip(f"'{name}' is not here: apt-get install {package}")
    return path


def errors_of_dciodvfy(data: bytes, folder: Path) -> list[str]:
    """What dicom3tools' validator finds wrong with an object."""
    path = folder / "object.dcm"
    path.write_bytes(data)
    done = subprocess.run(
        [program("dciodvfy", package="dicom3tools"), "-new", path], capture_output=True, text=True
    )
    lines = (done.stdout + done.stderr).splitlines()
    assert lines, "dciodvfy says at least which IOD it found"
    return [line for line in lines if line.startswith("Error")]
