"""Planted faults: films that crash, hang or bloat whatever process decodes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import generate_uid

from monai_cxr.reading import reader_template
from monai_cxr.reading.reader_limits import ReaderLimits

HOOK = Path(__file__).resolve().parents[2] / "benchmarks" / "planted"
"""In PYTHONPATH, it plants the faults."""

REASONS = {
    "SEGV": "reader_crashed",
    "KILL": "reader_crashed",
    "HANG": "reader_timeout",
    "MEMORY": "reader_memory",
}
"""What becomes of a film by the fault that is planted in it."""

LIMITS = {"HANG": ReaderLimits(timeout_s=4.0), "MEMORY": ReaderLimits(120.0, memory_gib=0.5)}
"""Limits that end a fault soon; an ordinary limit where none is named."""


def plant(film: Path, target: Path, fault: str) -> str:
    """Copy a film with a fault and a UID of its own; gives its SOP Instance UID."""
    dataset = pydicom.dcmread(film)
    dataset.SeriesDescription = f"PLANTED {fault}"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID = generate_uid()
    dataset.save_as(target)
    return str(dataset.SOPInstanceUID)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The readers of this process, not the process itself, decode with the faults."""
    monkeypatch.syspath_prepend(str(HOOK))
    reader_template.close_template()
    yield
    reader_template.close_template()
