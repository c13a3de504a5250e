"""Real DICOM files, by the one fixture that finds the real data."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data(data_directory: Path) -> Path:
    return data_directory
