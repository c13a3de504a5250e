"""Pixels: stored values to [0, 1], the grayscale chain of PS3.3 C.11 and PS3.4 N.2; pure.

Order: padding mask on stored values, modality LUT or rescale, values of interest (VOI), polarity.
Everything is a function of the stored value, so the chain is computed once a possible value and
applied as one table look-up. The output range is nominal: it never depends on the data's maximum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from monai_cxr.dicom.pixels.lut import LookupTable
from monai_cxr.dicom.pixels.tally import percentiles
from monai_cxr.dicom.pixels.window import Window, apply_window
from monai_cxr.picture.quality import sampled

Codes = NDArray[np.unsignedinteger]

_FLAT_SPAN = 0.08
_NARROW_SPAN = 0.3
_CLIPPED_TOO_MUCH = 0.75
_CLIPPED_MUCH = 0.35


@dataclass(frozen=True, slots=True)
class GrayscalePolicy:
    """Which values of interest are shown.

    Attributes:
        name: Recorded with results.
        voi: ``"auto"``: VOI LUT, else window, else nominal range of an 8-bit image, else robust
            percentiles; a VOI that flattens the film falls back to percentiles. ``"header"``: the
            same without percentiles or fallback. ``"percentile"``: always robust percentiles.
            ``"none"``: the nominal range of the stored values.
        index: Which VOI LUT or window, counted from 0; the last when there are fewer.
        explanation: Prefer the VOI LUT or window with this explanation (0028,1055), (0028,3003).
        percentiles: Lower and upper percentile of the unmasked pixels.
    """

    name: str
    voi: Literal["auto", "header", "percentile", "none"]
    index: int = 0
    explanation: str = ""
    percentiles: tuple[float, float] = (0.5, 99.5)


POLICIES: Mapping[str, GrayscalePolicy] = MappingProxyType(
    {
        "auto": GrayscalePolicy("auto", "auto"),
        "header": GrayscalePolicy("header", "header"),
        "percentile": GrayscalePolicy("percentile", "percentile"),
        "none": GrayscalePolicy("none", "none"),
    }
)
DEFAULT_POLICY = POLICIES["auto"]


@dataclass(frozen=True, slots=True)
class Grayscale:
    """Everything that turns stored values into gray, free of any DICOM object.

    Attributes:
        bits_stored: 1 to 16.
        high_bit: Position of the most significant stored bit.
        signed: Whether stored values are two's complement.
        padding: Inclusive range of stored values that are not an image, or None.
        modality_lut: Replaces slope and intercept when present.
        slope: Rescale Slope (0028,1053).
        intercept: Rescale Intercept (0028,1052).
        voi_luts: Tables of the VOI LUT Sequence.
        windows: Windows in the order of the header.
        voi_function: LINEAR, LINEAR_EXACT or SIGMOID (0028,1056).
        inverse: Whether low output values are bright.
        logarithm: Whether the values are proportional to X-ray intensity (raw detector values).
        flags: Cautions found in the header.
    """

    bits_stored: int = 8
    high_bit: int = 7
    signed: bool = False
    padding: tuple[int, int] | None = None
    modality_lut: LookupTable | None = None
    slope: float = 1.0
    intercept: float = 0.0
    voi_luts: tuple[LookupTable, ...] = ()
    windows: tuple[Window, ...] = ()
    voi_function: str = "LINEAR"
    inverse: bool = False
    logarithm: bool = False
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Rendering:
    """Gray pixels and what was noticed on the way.

    Attributes:
        pixels: float32, shape (rows, columns), range [0, 1].
        sample: Some of them (:func:`monai_cxr.picture.quality.sampled`).
        flags: Cautions as stable codes.
        voi: Which values of interest were shown: ``"lut"``, ``"window"``, ``"percentile"`` or
            ``"nominal"``.
        clipped_fraction: Share of unmasked pixels at exactly 0 or 1.
        padding_fraction: Share of padding pixels, which are drawn as 0.
        in_range: Whether all that could be drawn lies in [0, 1], so that no pixel need be asked.
    """

    pixels: NDArray[np.float32]
    sample: NDArray[np.float32]
    flags: tuple[str, ...]
    voi: str
    clipped_fraction: float
    padding_fraction: float
    in_range: bool = False


def render(
    codes: Codes, grayscale: Grayscale, policy: GrayscalePolicy = DEFAULT_POLICY
) -> Rendering:
    """Apply the grayscale chain.

    Args:
        codes: uint8 or uint16, shape (rows, columns): pixel cells as they lie in the file.
        grayscale: How to read them.
        policy: Which values of interest to show.

    Returns:
        float32 pixels in [0, 1], bright = dense when the header tells the truth.
    """
    stored, cell_to_value = stored_values(codes.dtype.itemsize * 8, grayscale)
    padding = np.zeros(stored.shape, dtype=np.bool_)
    if grayscale.padding is not None:
        padding = (stored >= grayscale.padding[0]) & (stored <= grayscale.padding[1])
    modality = modality_values(stored, grayscale)
    sample = sampled(codes)
    counts = np.bincount(cell_to_value[sample].ravel(), minlength=len(stored))
    shown = np.where(padding, 0, counts)
    voi, table, flags = _values_of_interest(modality, shown, grayscale, policy)
    clipped = _clipped_fraction(table, shown)
    if voi in ("lut", "window") and clipped > _CLIPPED_MUCH:
        flags = (*flags, "extreme_window")
    if grayscale.inverse:
        table = 1.0 - table
    drawn = np.where(padding, 0.0, table).astype(np.float32)
    gray_of_cell = drawn[cell_to_value]
    return Rendering(
        pixels=_look_up(gray_of_cell, codes),
        sample=_look_up(gray_of_cell, sample),
        flags=(*grayscale.flags, *flags),
        voi=voi,
        clipped_fraction=clipped,
        padding_fraction=float(counts[padding].sum() / counts.sum()),
        in_range=bool(drawn.min() >= 0.0 and drawn.max() <= 1.0),
    )


def stored_values(
    bits_allocated: int, grayscale: Grayscale
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """All stored values there can be, and which of them each possible pixel cell holds.

    Bits above High Bit are not part of the value (PS3.5 8.1.1; old files keep overlays there).

    Returns:
        float64 values, shape (2 ** bits_stored,), and their index, shape (2 ** bits_allocated,).
    """
    bits = min(grayscale.bits_stored, bits_allocated)
    values = np.arange(2**bits, dtype=np.float64)
    if grayscale.signed:
        values[2 ** (bits - 1) :] -= 2**bits
    shift = min(max(grayscale.high_bit + 1 - bits, 0), bits_allocated - bits)
    return values, _value_of_cell(bits_allocated, bits, shift)


@lru_cache(maxsize=4)
def _value_of_cell(bits_allocated: int, bits: int, shift: int) -> NDArray[np.intp]:
    cells = np.arange(2**bits_allocated, dtype=np.intp)
    found: NDArray[np.intp] = (cells >> shift) & (2**bits - 1)
    found.flags.writeable = False
    return found


def modality_values(stored: NDArray[np.float64], grayscale: Grayscale) -> NDArray[np.float64]:
    """Modality LUT, else rescale (PS3.3 C.11.1); attenuation where cells count photons."""
    if grayscale.modality_lut is not None:
        return grayscale.modality_lut(stored)
    values = stored * grayscale.slope + grayscale.intercept
    if grayscale.logarithm:
        return np.asarray(np.log1p(np.maximum(values, 0.0)), dtype=np.float64)
    return values


def _values_of_interest(
    modality: NDArray[np.float64],
    shown: NDArray[np.intp],
    grayscale: Grayscale,
    policy: GrayscalePolicy,
) -> tuple[str, NDArray[np.float64], tuple[str, ...]]:
    """Choose and apply the VOI: its kind, output in [0, 1] for each value, flags.

    ``shown`` says how many pixels that are not padding have each value.
    """
    flags: list[str] = []
    if policy.voi in ("auto", "header"):
        kind, table, flags = _from_header(modality, grayscale, policy)
        if table is not None:
            span = _span(table, shown)
            is_flat = span < _FLAT_SPAN or _clipped_fraction(table, shown) > _CLIPPED_TOO_MUCH
            if policy.voi == "header" or not is_flat:
                flags += ["range_unfilled"] if span < _NARROW_SPAN else []
                return kind, table, tuple(flags)
            flags.append("window_fallback")
        elif policy.voi == "header" or grayscale.bits_stored <= 8:
            return "nominal", _nominal(modality, grayscale), tuple(flags)
        else:
            flags.append("no_window")
    if policy.voi == "none":
        return "nominal", _nominal(modality, grayscale), ()
    if not shown.any():
        return "percentile", np.zeros_like(modality), tuple(flags)
    low, high = percentiles(modality, shown, policy.percentiles)
    if high <= low:
        values = modality[shown > 0]
        low, high = float(values.min()), float(values.max())
    if high <= low:
        return "nominal", _nominal(modality, grayscale), (*flags, "flat")
    return "percentile", np.clip((modality - low) / (high - low), 0.0, 1.0), tuple(flags)


def _from_header(
    modality: NDArray[np.float64], grayscale: Grayscale, policy: GrayscalePolicy
) -> tuple[str, NDArray[np.float64] | None, list[str]]:
    """VOI LUT before window (PS3.3 C.11.2: the choice is the application's)."""
    wanted = policy.explanation.casefold()
    luts, windows = grayscale.voi_luts, grayscale.windows
    if wanted:
        named_luts = tuple(v for v in luts if v.explanation.casefold() == wanted)
        named_windows = tuple(w for w in windows if w.explanation.casefold() == wanted)
        if named_luts or named_windows:
            luts, windows = named_luts, named_windows
    if luts:
        lut = luts[min(policy.index, len(luts) - 1)]
        return "lut", lut(modality) / lut.maximum, []
    if not windows:
        return "", None, []
    window = windows[min(policy.index, len(windows) - 1)]
    table = apply_window(modality, window, grayscale.voi_function)
    return ("window", table, []) if table is not None else ("", None, ["invalid_window"])


def _nominal(modality: NDArray[np.float64], grayscale: Grayscale) -> NDArray[np.float64]:
    """The whole range that stored values can have, as [0, 1]."""
    low, high = float(modality.min()), float(modality.max())
    if grayscale.modality_lut is not None:
        low, high = 0.0, grayscale.modality_lut.maximum
    if high <= low:
        return np.zeros_like(modality)
    return (modality - low) / (high - low)


def _span(table: NDArray[np.float64], shown: NDArray[np.intp]) -> float:
    """How much of the gray scale a VOI gives to all but the outermost pixels; all without any."""
    if not shown.any():
        return 1.0
    low, high = percentiles(table, shown, (2.0, 98.0))
    return float(high - low)


def _clipped_fraction(table: NDArray[np.float64], shown: NDArray[np.intp]) -> float:
    is_clipped = (table <= 0.0) | (table >= 1.0)
    return float(shown[is_clipped].sum() / max(shown.sum(), 1))


def _look_up(table: NDArray[np.float32], codes: Codes) -> NDArray[np.float32]:
    """Table look-up; Arrow takes indices of 8 or 16 bits as they are, numpy would widen them.

    The table has an entry for each possible cell, so that Arrow need not look for indices out of
    it. The system's allocator keeps the memory of one film for the next where readers told it so.
    """
    cells = np.ascontiguousarray(codes).ravel()
    pool = pa.system_memory_pool()
    found = pc.take(_as_arrow(table), _as_arrow(cells), memory_pool=pool)
    pixels = np.frombuffer(found.buffers()[1], dtype=np.float32, count=codes.size)
    return pixels.reshape(codes.shape)


def _as_arrow(values: NDArray[np.generic]) -> pa.Array:
    # Arrow's own conversions from and to numpy import pandas.
    buffers = [None, pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), values.size, buffers)
