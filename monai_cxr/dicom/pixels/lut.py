"""Lookup tables: LUT descriptors and data of the Modality and VOI LUT sequences, PS3.3 C.11."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from monai_cxr.dicom.header import elements

_MAX_ENTRIES = 65536


@dataclass(frozen=True, slots=True, eq=False)
class LookupTable:
    """One table of a Modality LUT Sequence (0028,3000) or a VOI LUT Sequence (0028,3010).

    Attributes:
        first: Input value that the first entry stands for.
        data: float64, shape (n,): output values, all within [0, 2 ** bits - 1].
        bits: Significant bits of an output value; sets the nominal output range.
        explanation: LUT Explanation (0028,3003).
    """

    first: int
    data: NDArray[np.float64]
    bits: int
    explanation: str = ""

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Look values up; those outside the table take its first or last entry (C.11.1.1.1)."""
        index = np.clip(np.rint(values) - self.first, 0, len(self.data) - 1)
        return np.asarray(self.data[index.astype(np.intp)], dtype=np.float64)

    @property
    def maximum(self) -> float:
        """Largest nominal output value."""
        return float(2**self.bits - 1)


def lookup_table(
    item: Dataset, *, signed_input: bool, little_endian: bool
) -> tuple[LookupTable | None, tuple[str, ...]]:
    """Read one item of a LUT sequence.

    The descriptor (0028,3002) is (entries, first input value, bits). Its odd cases: 0 entries means
    65536; the VR may be read as signed although entries are never negative; the first value is
    signed when the input is; 8-bit data may be packed two entries a word, low byte first; tables
    exist that declare 16 bits and hold fewer, or hold more bits than they declare.

    Args:
        item: The sequence item.
        signed_input: Whether the values that enter the table may be negative.
        little_endian: Byte order of the file.

    Returns:
        The table or None when it cannot be used, and flags: ``"lut_malformed"``, ``"lut_depth"``,
        ``"lut_short"``.
    """
    descriptor = elements.words(item, "LUTDescriptor", little_endian=little_endian)
    data = elements.words(item, "LUTData", little_endian=little_endian)
    if descriptor is None or len(descriptor) != 3 or data is None:
        return None, ("lut_malformed",)
    n_entries, first, bits = (int(v) for v in descriptor)
    n_entries = n_entries or _MAX_ENTRIES
    first = _first_mapped(first, signed=signed_input)
    flags: list[str] = []
    if bits <= 8 and len(data) == (n_entries + 1) // 2 and n_entries > 1:
        low, high = data & 0xFF, data >> 8
        data = np.stack([low, high], axis=1).reshape(-1).astype(np.uint16)
    if len(data) < n_entries:
        flags.append("lut_short")
    data = data[:n_entries]
    depth = int(data.max()).bit_length()
    if depth == 0:
        return None, ("lut_malformed",)
    if not 8 <= bits <= 16 or depth > bits or (bits == 16 and depth < 15):
        # The table itself tells its depth. 16 may be what the cells hold, not what they mean: an
        # image other than DX declares 8 or 16 (C.11.2.1.1), and 12-bit output under 16 is common.
        flags.append("lut_depth")
        bits = max(depth, 8)
    table = LookupTable(first, data.astype(np.float64), bits, elements.text(item, "LUTExplanation"))
    return table, tuple(flags)


def _first_mapped(first: int, *, signed: bool) -> int:
    return first - _MAX_ENTRIES if signed and first >= _MAX_ENTRIES // 2 else first
