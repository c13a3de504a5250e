"""Display: a film at its full bit depth, with the windows that a viewer offers.

A model sees one fixed picture of a film; a reader turns the window. A viewer therefore needs what
the grayscale chain (PS3.3 C.11) starts from: one integer a pixel, how to read it as a modality
value, the values of interest that the header offers, and the polarity. Whoever draws it computes

    modality = slope * value + intercept
    level    = VOI of modality, in [0, 1]; 1 - level where the film is inverse; 0 for padding
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from monai_cxr.dicom.header.attributes import HeaderFacts
from monai_cxr.dicom.pixels import decoding
from monai_cxr.dicom.pixels.grayscale import (
    Codes,
    Grayscale,
    modality_values,
    render,
    stored_values,
)
from monai_cxr.dicom.pixels.overlay_planes import Drawn, drawn_over
from monai_cxr.dicom.pixels.palette import palette_to_rgb
from monai_cxr.dicom.pixels.second_look import look_again
from monai_cxr.dicom.pixels.window import Window, apply_window
from monai_cxr.dicom.reader import DicomFile
from monai_cxr.picture.gray import gray_of_color
from monai_cxr.picture.quality import sampled
from monai_cxr.picture.quiet import quiet
from monai_cxr.radiograph import Radiograph, ViewPosition

_LEVELS = 65536
_AUTOMATIC = (0.5, 99.5)
_LUNGS = (1.0, 62.0)
_MEDIASTINUM = (38.0, 99.8)


@dataclass(frozen=True, slots=True, eq=False)
class Preset:
    """One way to look at a film.

    Attributes:
        name: For the reader.
        center: Window Center in modality values; for a table, of the window nearest to it.
        width: Window Width, likewise.
        function: ``"LINEAR"``, ``"LINEAR_EXACT"`` or ``"SIGMOID"`` (0028,1056), or ``"TABLE"``.
        table: For ``"TABLE"`` the level of each value, float32, shape (65536,), [0, 1]; else None.
    """

    name: str
    center: float
    width: float
    function: str = "LINEAR_EXACT"
    table: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DisplayFilm:
    """A film before its values of interest are chosen.

    Attributes:
        values: uint16, shape (rows, columns); they grow with the stored value.
        slope: Modality values per step of ``values``.
        intercept: Modality value of 0.
        inverse: Whether low modality values are bright.
        padding: Inclusive range of ``values`` that are not an image, or None.
        presets: At least one; the first is how the film opens: the header's own where it is usable.
        unit: Unit of modality values, for the reader: ``""`` or ``"%"`` of the nominal range.
        view: Projection.
        pixel_spacing_mm: (between rows, between columns) in mm, or None.
        spacing_source: ``"patient"``, ``"magnification"``, ``"detector"`` or ``""``.
        orientation: Patient directions of the row and the column, such as ``("L", "F")``, or ().
        pixel_aspect: Height of a pixel over its width.
        drawn: What the header wants drawn over the film, or covered.
    """

    values: NDArray[np.uint16]
    slope: float
    intercept: float
    inverse: bool
    padding: tuple[int, int] | None
    presets: tuple[Preset, ...]
    unit: str = ""
    view: ViewPosition = ViewPosition.UNKNOWN
    pixel_spacing_mm: tuple[float, float] | None = None
    spacing_source: str = ""
    orientation: tuple[str, ...] = ()
    pixel_aspect: float = 1.0
    drawn: Drawn = field(default_factory=Drawn)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return int(self.values.shape[0]), int(self.values.shape[1])

    def __repr__(self) -> str:
        """Size and presets; no pixels, no patient."""
        names = [preset.name for preset in self.presets]
        return f"DisplayFilm({self.shape[0]}x{self.shape[1]}, presets={names})"


def levels(film: DisplayFilm, preset: Preset) -> NDArray[np.float32]:
    """The picture that a viewer draws, float32, shape (rows, columns), [0, 1]; for tests, prints.

    Args:
        film: The film.
        preset: One of its presets, or any window.
    """
    codes = np.arange(_LEVELS, dtype=np.float64)
    if preset.table is not None:
        table = preset.table.astype(np.float64)
    else:
        window = Window(preset.center, preset.width)
        modality = codes * film.slope + film.intercept
        shown = apply_window(modality, window, preset.function)
        table = np.zeros(_LEVELS) if shown is None else shown
    if film.inverse:
        table = 1.0 - table
    if film.padding is not None:
        table = np.where((codes >= film.padding[0]) & (codes <= film.padding[1]), 0.0, table)
    return table.astype(np.float32)[film.values]


def display_dicom(dicom: DicomFile) -> DisplayFilm:
    """Decode an opened DICOM file for display.

    Raises:
        UnreadableImage: If the pixels cannot be decoded.
        UnsupportedImage: If they are not a picture.
    """
    parsed, facts = dicom.parsed, dicom.facts
    frame = decoding.decode(parsed, facts)
    cells = frame.cells
    with quiet():
        if facts.photometric_interpretation == "PALETTE COLOR":
            cells = palette_to_rgb(cells, parsed.dataset, little_endian=parsed.little_endian)
        if cells.ndim == 2:
            codes, chain = look_again(frame, parsed.dataset, little_endian=parsed.little_endian)
            film = _gray(codes, chain, facts)
        else:
            film = _nominal(gray_of_color(cells), facts)
        drawn = drawn_over(parsed.dataset, little_endian=parsed.little_endian)
    return replace(film, drawn=drawn)


def display_radiograph(film: Radiograph) -> DisplayFilm:
    """A film without a header (PNG, NIfTI ...): its nominal range is 0 to 100 %."""
    facts = HeaderFacts(film.key, view=film.view, pixel_spacing_mm=film.pixel_spacing_mm)
    return _nominal(film.pixels, facts)


def _nominal(pixels: NDArray[np.float32], facts: HeaderFacts) -> DisplayFilm:
    values = np.rint(pixels * 65535.0).astype(np.uint16)
    slope = 100.0 / 65535.0
    shown = sampled(values).ravel() * slope
    full = Preset("Full range", 50.0, 100.0)
    presets = (full, *_by_percentile(np.asarray(shown, dtype=np.float64), inverse=False))
    return _film(values, slope, 0.0, False, None, presets, facts, unit="%")


def _gray(codes: Codes, chain: Grayscale, facts: HeaderFacts) -> DisplayFilm:
    values, cell_to_value = stored_values(codes.dtype.itemsize * 8, chain)
    modality = modality_values(values, chain)
    padding = np.zeros(values.shape, dtype=np.bool_)
    if chain.padding is not None:
        padding = (values >= chain.padding[0]) & (values <= chain.padding[1])
    code_of, slope, intercept, padded = _codes(values, modality, padding, chain)
    sample = cell_to_value[sampled(codes)]
    shown = modality[sample[~padding[sample]]]
    film_values = code_of[cell_to_value][codes]
    offered = _offered(chain, slope, intercept)
    low, high = float(modality.min()), float(modality.max())
    if chain.modality_lut is not None:
        low, high = 0.0, chain.modality_lut.maximum
    full = Preset("Full range", (low + high) / 2, max(high - low, 1e-9))
    automatic = _by_percentile(shown, inverse=chain.inverse) if shown.size else ()
    opened = render(codes, chain).voi
    ordered = {
        "lut": (*offered, *automatic, full),
        "window": (*offered, *automatic, full),
        "percentile": (*automatic, *offered, full),
        "nominal": (full, *offered, *automatic),
    }[opened]
    presets = ordered or (full,)
    return _film(film_values, slope, intercept, chain.inverse, padded, presets, facts)


def _codes(
    values: NDArray[np.float64],
    modality: NDArray[np.float64],
    padding: NDArray[np.bool_],
    chain: Grayscale,
) -> tuple[NDArray[np.uint16], float, float, tuple[int, int] | None]:
    """A 16-bit code for each stored value: the value itself, or a step of its modality value."""
    if chain.modality_lut is None and not chain.logarithm:
        first = float(values.min())
        codes = (values - first).astype(np.uint16)
        padded = (int(codes[padding].min()), int(codes[padding].max())) if padding.any() else None
        return codes, chain.slope, chain.slope * first + chain.intercept, padded
    low, high = float(modality.min()), float(modality.max())
    whole = high - low <= _LEVELS - 2 and bool(np.all(modality == np.rint(modality)))
    step = 1.0 if whole else max(high - low, 1e-9) / (_LEVELS - 2)
    codes = (np.rint((modality - low) / step) + 1).astype(np.uint16)  # 0 is left for padding
    codes[padding] = 0
    return codes, step, low - step, (0, 0) if padding.any() else None


def _offered(chain: Grayscale, slope: float, intercept: float) -> tuple[Preset, ...]:
    """The header's own VOI LUTs, then its windows (PS3.3 C.11.2); unusable ones left out."""
    presets: list[Preset] = []
    modality = np.arange(_LEVELS, dtype=np.float64) * slope + intercept
    for number, lut in enumerate(chain.voi_luts, start=1):
        table = (lut(modality) / lut.maximum).astype(np.float32)
        rising = modality[(table > 0.02) & (table < 0.98)]
        low, high = (rising.min(), rising.max()) if rising.size else (lut.first, lut.first + 1)
        center, width = float(low + high) / 2, max(float(high - low), 1.0)
        presets.append(Preset(_named(lut.explanation, number), center, width, "TABLE", table))
    for number, window in enumerate(chain.windows, start=len(presets) + 1):
        if apply_window(np.zeros(1), window, chain.voi_function) is not None:
            name = _named(window.explanation, number)
            function = chain.voi_function
            known = function if function in ("SIGMOID", "LINEAR_EXACT") else "LINEAR"
            presets.append(Preset(name, window.center, window.width, known))
    return tuple(presets)


def _named(explanation: str, number: int) -> str:
    if explanation.strip():
        return explanation.strip().capitalize()[:24]
    return "As sent" if number == 1 else f"As sent {number}"


def _by_percentile(shown: NDArray[np.float64], *, inverse: bool) -> tuple[Preset, ...]:
    """Windows by what is in the film; lungs are the dark end of the picture."""
    lungs, mediastinum = _LUNGS, _MEDIASTINUM
    if inverse:
        lungs, mediastinum = _mirrored(lungs), _mirrored(mediastinum)
    named = (("Automatic", _AUTOMATIC), ("Lungs", lungs), ("Mediastinum", mediastinum))
    presets = []
    for name, percentiles in named:
        low, high = (float(v) for v in np.percentile(shown, percentiles))
        if high > low:
            presets.append(Preset(name, (low + high) / 2, high - low))
    return tuple(presets)


def _mirrored(percentiles: Sequence[float]) -> tuple[float, float]:
    return 100.0 - percentiles[1], 100.0 - percentiles[0]


def _film(
    values: NDArray[np.uint16],
    slope: float,
    intercept: float,
    inverse: bool,
    padding: tuple[int, int] | None,
    presets: tuple[Preset, ...],
    facts: HeaderFacts,
    *,
    unit: str = "",
) -> DisplayFilm:
    return DisplayFilm(
        values=np.ascontiguousarray(values),
        slope=slope,
        intercept=intercept,
        inverse=inverse,
        padding=padding,
        presets=presets,
        unit=unit,
        view=facts.view,
        pixel_spacing_mm=facts.pixel_spacing_mm,
        spacing_source=facts.spacing_source,
        orientation=tuple(v for v in facts.patient_orientation if v)[:2],
        pixel_aspect=facts.pixel_aspect,
    )
