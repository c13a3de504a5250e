"""Reader: a DICOM file to a Radiograph."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monai_cxr.dicom.header import parsing
from monai_cxr.dicom.header.attributes import HeaderFacts, header_facts
from monai_cxr.dicom.pixels import decoding, presentation, reduction
from monai_cxr.dicom.pixels.grayscale import DEFAULT_POLICY, GrayscalePolicy, Rendering, render
from monai_cxr.dicom.pixels.palette import palette_to_rgb
from monai_cxr.dicom.pixels.second_look import look_again
from monai_cxr.errors import UnsupportedImage
from monai_cxr.picture.gray import gray_of_color
from monai_cxr.picture.quality import measure, sampled
from monai_cxr.picture.quiet import quiet
from monai_cxr.radiograph import Radiograph


@dataclass(frozen=True, slots=True, eq=False)
class DicomFile:
    """A parsed file whose pixels are not decoded yet.

    Attributes:
        parsed: Header and place of the pixels.
        facts: Facts of the header.
    """

    parsed: parsing.ParsedFile
    facts: HeaderFacts


def open_dicom(data: bytes) -> DicomFile:
    """Parse the header and leave the pixels.

    Raises:
        UnreadableImage: If it is not a DICOM file, or its header is damaged.
    """
    parsed = parsing.parse(data)
    with quiet():
        return DicomFile(parsed, header_facts(parsed.dataset))


def read_dicom(
    data: bytes, policy: GrayscalePolicy = DEFAULT_POLICY, *, frame: int | None = None
) -> Radiograph:
    """Read a DICOM radiograph.

    Args:
        data: The whole file.
        policy: Which values of interest to show.
        frame: Which frame of a multi-frame image, counted from 0; a film has one.

    Returns:
        The film: float32 (rows, columns) in [0, 1], bright = dense; with flags and quality.

    Raises:
        UnreadableImage: If the bytes cannot be decoded.
        UnsupportedImage: If they can, but are not a single gray picture.
    """
    return read_opened(open_dicom(data), policy, frame=frame)


def read_opened(
    dicom: DicomFile,
    policy: GrayscalePolicy = DEFAULT_POLICY,
    *,
    frame: int | None = None,
    min_side: int | None = None,
) -> Radiograph:
    """Decode and render an opened file; see :func:`read_dicom`.

    Args:
        dicom: The file.
        policy: Which values of interest to show.
        frame: Which frame.
        min_side: Decode JPEG 2000 at reduced resolution where the shorter side keeps so many
            pixels; see :mod:`monai_cxr.dicom.pixels.reduction`. None: exactly.
    """
    facts = dicom.facts
    if frame is None and facts.n_frames > 1:
        raise UnsupportedImage(
            f"Expected a single image, but NumberOfFrames is {facts.n_frames}. Name the frame.",
            reason="multi_frame",
        )
    if not 0 <= (frame or 0) < facts.n_frames:
        raise UnsupportedImage(
            f"Expected a frame below {facts.n_frames}, but got {frame}.", reason="multi_frame"
        )
    rendering, step = _reduced(dicom, policy, frame or 0, min_side)
    if rendering is None:
        rendering = _render(dicom, decoding.decode(dicom.parsed, facts, frame=frame or 0), policy)
    quality = measure(rendering.sample)
    quality["clipped_fraction"] = rendering.clipped_fraction
    quality["padding_fraction"] = rendering.padding_fraction
    reduced = (reduction.FLAG,) if step > 1 else ()
    spacing = facts.pixel_spacing_mm
    return Radiograph(
        pixels=rendering.pixels,
        key=facts.key,
        view=facts.view,
        pixel_spacing_mm=None if spacing is None else (step * spacing[0], step * spacing[1]),
        patient_sex=facts.patient_sex,
        patient_age_years=facts.patient_age_years,
        manufacturer=facts.manufacturer,
        flags=tuple(dict.fromkeys((*dicom.parsed.flags, *reduced, *rendering.flags))),
        quality=quality,
        source_format="dicom",
        step=step,
        file_shape=(facts.rows, facts.columns) if step > 1 else None,
        sample=rendering.sample,
        in_range=rendering.in_range,
    )


def _reduced(
    dicom: DicomFile, policy: GrayscalePolicy, frame: int, min_side: int | None
) -> tuple[Rendering | None, int]:
    """The film at reduced resolution, and its step; None where it must be decoded exactly."""
    if min_side is None:
        return None, 1
    parsed = dicom.parsed
    with quiet():
        chain = presentation.grayscale(parsed.dataset, little_endian=parsed.little_endian)
        found = reduction.decode_reduced(
            parsed, dicom.facts, chain, policy, min_side=min_side, frame=frame
        )
        if found is None:
            return None, 1
        rendering = render(found[0], chain, policy)  # type: ignore[arg-type]
    if rendering.voi == "percentile":  # the header's window did not fit: percentiles of all pixels
        return None, 1
    return rendering, found[1]


def _render(dicom: DicomFile, frame: decoding.Frame, policy: GrayscalePolicy) -> Rendering:
    parsed, facts = dicom.parsed, dicom.facts
    cells = frame.cells
    with quiet():
        if facts.photometric_interpretation == "PALETTE COLOR":
            palette = palette_to_rgb(cells, parsed.dataset, little_endian=parsed.little_endian)
            return _of_color(palette, 16, frame.flags)
        if cells.ndim == 2:
            codes, chain = look_again(frame, parsed.dataset, little_endian=parsed.little_endian)
            rendering = render(codes, chain, policy)
            return replace(rendering, flags=(*frame.flags, *rendering.flags))
    return _of_color(cells, facts.bits_stored if facts.bits_stored > 8 else None, frame.flags)


def _of_color(cells: NDArray[np.generic], bits: int | None, flags: tuple[str, ...]) -> Rendering:
    gray = gray_of_color(cells, bits)
    clipped = float(np.mean((gray <= 0.0) | (gray >= 1.0)))
    flags = (*flags, "color_encoded")
    return Rendering(gray, sampled(gray), flags, "nominal", clipped, 0.0)
