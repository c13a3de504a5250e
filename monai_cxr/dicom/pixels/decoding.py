"""Decoding: the pixel cells of one frame, from any transfer syntax, within bounds.

What the file says of how its pixels are packed is believed where the pixels bear it out. Where they
do not (fragments under a native syntax, plain cells under a compressed one, a codestream of another
kind), what lies there decides, and a flag says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.config import IGNORE
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1

from monai_cxr.dicom.header import elements
from monai_cxr.dicom.header.attributes import HeaderFacts
from monai_cxr.dicom.header.elements import MALFORMED
from monai_cxr.dicom.header.parsing import ParsedFile
from monai_cxr.dicom.pixels import fast_codecs
from monai_cxr.dicom.pixels.fragments import as_fragment, damaged
from monai_cxr.dicom.pixels.packing import (
    DEFLATED_FRAME,
    ENCAPSULATED_UNCOMPRESSED,
    NATIVE,
    packed_frame,
)
from monai_cxr.errors import UnreadableImage, UnsupportedImage
from monai_cxr.picture.bounds import MAX_PIXELS
from monai_cxr.picture.quiet import quiet

_JPEG = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1})

_GRAY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_COLOR = frozenset(
    {"RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420"}
)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded frame.

    Attributes:
        cells: uint8 or uint16, shape (rows, columns), or (rows, columns, 3) for colour.
        precision: Bits of a sample as the codestream states them; None for cells without one.
        flags: What was forgiven on the way, as stable codes.
    """

    cells: NDArray[np.generic]
    precision: int | None = None
    flags: tuple[str, ...] = ()


def decode(parsed: ParsedFile, facts: HeaderFacts, *, frame: int = 0) -> Frame:
    """Decode one frame to its pixel cells.

    Args:
        parsed: Header and place of the pixels.
        facts: Facts of the same header.
        frame: Which frame, counted from 0.

    Returns:
        The cells, and what was noticed.

    Raises:
        UnreadableImage: ``"no_pixels"``, ``"damaged_pixels"``, ``"damaged_header"``,
            ``"too_large"``, ``"unknown_transfer_syntax"`` or ``"codec_missing"``.
        UnsupportedImage: ``"bit_depth"`` or ``"photometric"``.
    """
    check_layout(parsed, facts)
    packed = packed_frame(parsed, facts, frame)
    if packed.syntax in NATIVE:
        if facts.samples_per_pixel == 1:
            cells = _native(packed.data, facts, parsed)
        else:
            native = UID(packed.syntax, IGNORE)
            cells = _by_pydicom(native, bytes(packed.data), facts, parsed.dataset)[0]
        return Frame(cells, flags=packed.flags)
    precision = packed.precision
    if precision is not None and precision <= 8 < facts.bits_allocated and packed.syntax in _JPEG:
        facts = replace(facts, bits_allocated=8, bits_stored=min(facts.bits_stored, 8))
    data = as_fragment(bytes(packed.data))
    cells, flags = _by_pydicom(UID(packed.syntax, IGNORE), data, facts, parsed.dataset)
    if precision is not None:
        cells = at_high_bit(cells, precision, facts, parsed.dataset)
    return Frame(cells, precision, (*packed.flags, *flags))


def check_layout(parsed: ParsedFile, facts: HeaderFacts) -> None:
    """Refuse what cannot be decoded, from the header alone and before memory is taken.

    Raises:
        UnreadableImage: See :func:`decode`.
        UnsupportedImage: See :func:`decode`.
    """
    if parsed.has_float_pixels:
        raise UnsupportedImage(
            "The pixels are floating-point numbers (7FE0,0008); a radiograph has integers.",
            reason="bit_depth",
        )
    _check_syntax(UID(parsed.transfer_syntax, IGNORE))
    if parsed.pixels is None or len(parsed.pixels) == 0:
        raise UnreadableImage(
            "The file holds a header but no Pixel Data (7FE0,0010). Send the image itself.",
            reason="no_pixels",
        )
    if facts.rows < 1 or facts.columns < 1:
        raise UnreadableImage(
            f"Expected Rows and Columns of at least 1, but got {facts.rows} x {facts.columns}.",
            reason="damaged_header",
        )
    n_samples = facts.rows * facts.columns * max(facts.samples_per_pixel, 1)
    if n_samples > MAX_PIXELS:
        raise UnreadableImage(
            f"Expected at most {MAX_PIXELS:,} samples, but the header claims {facts.rows} x "
            f"{facts.columns} pixels of {facts.samples_per_pixel}.",
            reason="too_large",
        )
    _check_cells(facts)


def _check_cells(facts: HeaderFacts) -> None:
    photometric, samples = facts.photometric_interpretation, facts.samples_per_pixel
    expected = 3 if photometric in _COLOR and photometric != "PALETTE COLOR" else 1
    if photometric not in _GRAY | _COLOR or samples != expected:
        raise UnsupportedImage(
            f"PhotometricInterpretation is '{photometric[:16]}' with {samples} sample(s) a pixel; "
            "a chest radiograph has MONOCHROME1 or MONOCHROME2 with one.",
            reason="photometric",
        )
    if facts.bits_allocated not in (8, 16) or not 1 < facts.bits_stored <= facts.bits_allocated:
        raise UnsupportedImage(
            f"Expected 2 to 16 bits in cells of 8 or 16, but got BitsStored {facts.bits_stored} "
            f"in BitsAllocated {facts.bits_allocated}.",
            reason="bit_depth",
        )


def _check_syntax(syntax: UID) -> None:
    """Tell a transfer syntax that is not decoded from pixels that are damaged."""
    if syntax in NATIVE or syntax in (ENCAPSULATED_UNCOMPRESSED, DEFLATED_FRAME):
        return
    try:
        get_decoder(syntax)
    except NotImplementedError:
        name = "" if syntax.name == str(syntax) else f" ({syntax.name})"
        raise UnreadableImage(
            f"The transfer syntax {str(syntax)[:64]}{name} is not read. Export the image again in "
            "Explicit VR Little Endian or a JPEG, JPEG-LS, JPEG 2000 or RLE syntax.",
            reason="unknown_transfer_syntax",
        ) from None


def _native(
    cells: bytes | memoryview, facts: HeaderFacts, parsed: ParsedFile
) -> NDArray[np.generic]:
    if facts.bits_allocated == 16:
        array = np.frombuffer(cells, dtype="<u2" if parsed.little_endian else ">u2")
        array = array if parsed.little_endian else array.astype("<u2")
    else:
        array = np.frombuffer(cells, dtype=np.uint8)
        is_swapped = not parsed.little_endian and parsed.value_representation == "OW"
        if is_swapped and array.size % 2 == 0:
            array = array.reshape(-1, 2)[:, ::-1].reshape(-1)  # 8-bit cells in swapped OW words
    return array.reshape(facts.rows, facts.columns)


def at_high_bit(
    array: NDArray[np.generic], precision: int, facts: HeaderFacts, dataset: Dataset
) -> NDArray[np.generic]:
    """Put decoded values where High Bit says: a codec gives them back at the bottom of the cell."""
    high_bit = elements.integer(dataset, "HighBit")
    shift = 0 if high_bit is None else high_bit + 1 - facts.bits_stored
    if array.dtype != np.uint16 or not 0 < shift < 16 or precision > facts.bits_stored:
        return array
    return np.left_shift(array, shift)  # type: ignore[no-any-return]


def _by_pydicom(
    syntax: UID, data: bytes, facts: HeaderFacts, dataset: Dataset
) -> tuple[NDArray[np.generic], tuple[str, ...]]:
    """Decode a single frame; where a decoder refuses it, the next one is asked."""
    decoder = get_decoder(syntax)
    names = fast_codecs.choose(syntax) if syntax.is_encapsulated else ("",)
    needs_12_bits = syntax == JPEGExtended12Bit and facts.bits_stored > 8
    if not decoder.is_available or (needs_12_bits and names == ("",)):
        raise UnreadableImage(
            f"No decoder for {syntax.name} is installed. Install one with: "
            "pip install 'monai-cxr[fast-codecs]'",
            reason="codec_missing",
        )
    options = _options(facts, dataset)
    raw = facts.samples_per_pixel == 1
    for name in names:
        with quiet():
            try:
                array, _ = decoder.as_array(data, index=0, raw=raw, decoding_plugin=name, **options)
                flags = () if name == names[0] else ("second_decoder",)
                return _as_cells(array, facts), flags
            except UnreadableImage:
                continue
            except MALFORMED:
                continue
            except BaseException as error:
                # A panic of a decoder written in Rust is no Exception, and cannot be imported.
                if type(error).__name__ != "PanicException":
                    raise
    raise damaged(f"no decoder can follow their {syntax.name} codestream")


def _options(facts: HeaderFacts, dataset: Dataset) -> dict[str, Any]:
    """What a pydicom decoder needs to know of the header."""
    options: dict[str, Any] = {
        "rows": facts.rows,
        "columns": facts.columns,
        "samples_per_pixel": facts.samples_per_pixel,
        "photometric_interpretation": facts.photometric_interpretation,
        "bits_allocated": facts.bits_allocated,
        "bits_stored": facts.bits_stored,
        "pixel_representation": int(elements.integer(dataset, "PixelRepresentation") == 1),
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
    }
    if facts.samples_per_pixel == 1:
        options["correct_unused_bits"] = False  # the grayscale chain looks at stored bits alone
    if facts.samples_per_pixel > 1:
        planar = elements.integer(dataset, "PlanarConfiguration") == 1
        options["planar_configuration"] = int(planar)
    return options


def _as_cells(array: NDArray[np.generic], facts: HeaderFacts) -> NDArray[np.generic]:
    shape = (facts.rows, facts.columns, 3)[: 2 if facts.samples_per_pixel == 1 else 3]
    if array.shape != shape or array.dtype.kind not in "ui" or array.dtype.itemsize > 2:
        raise damaged(f"decoded to {array.dtype} of shape {array.shape}, expected {shape}")
    return array.view(np.uint8 if array.dtype.itemsize == 1 else np.uint16)
