"""Unsupported: why a PNG, JPEG or TIFF is not read although it is whole, and what helps.

The decoder says only that it does not know the picture. Its header tells a form that is not read
from damage.
"""

from __future__ import annotations

import struct

from PIL import Image

from monai_cxr.dicom.pixels.codestream import codestream_size
from monai_cxr.errors import InputError, UnreadableImage, UnsupportedImage

_BITS, _COMPRESSION, _SAMPLES, _FORMAT = 258, 259, 277, 339
_TAGS = frozenset({_BITS, _COMPRESSION, _SAMPLES, _FORMAT})
_COMPRESSIONS = {
    2: "CCITT", 3: "CCITT fax", 4: "CCITT fax", 6: "old JPEG", 7: "JPEG", 34712: "JPEG 2000",
    33003: "JPEG 2000", 33005: "JPEG 2000", 34887: "LERC", 34925: "LZMA", 50000: "Zstandard",
    50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
_READ_COMPRESSIONS = frozenset({0, 1, 5, 8, 32773, 32946})
_MAX_ENTRIES = 512


def why_not_read(data: bytes) -> InputError:
    """The refusal of a picture that the decoder does not know.

    Args:
        data: The whole file.

    Returns:
        ``"bit_depth"`` for a depth and ``"unsupported_picture"`` for a compression that is not
        read; else ``"damaged_pixels"``.
    """
    if data.startswith(b"\xff\xd8"):
        size = codestream_size(data)
        if size is not None and size.precision != 8:
            return _depth(f"This JPEG has {size.precision} bits a sample")
        if size is not None:
            return _form("This kind of JPEG")
    if data[:2] in (b"II", b"MM"):
        return _of_tiff(data)
    return UnreadableImage(
        "The picture is damaged: its header cannot be followed. Send the file again.",
        reason="damaged_pixels",
    )


def is_deep_color(data: bytes, image: Image.Image) -> bool:
    """Whether a colour picture has 16 bits a sample."""
    if image.format == "PNG":
        return data[24] == 16
    bits = image.tag_v2.get(_BITS, ()) if image.format == "TIFF" else ()  # type: ignore[attr-defined]
    return bool(bits) and max(bits) > 8


def _of_tiff(data: bytes) -> InputError:
    tags = _tiff_tags(data)
    if not tags:
        return UnreadableImage(
            "The TIFF picture is damaged: its directory cannot be followed. Send the file again.",
            reason="damaged_pixels",
        )
    bits, samples = tags.get(_BITS, 1), tags.get(_SAMPLES, 1)
    compression = tags.get(_COMPRESSION, 1)
    if compression not in _READ_COMPRESSIONS:
        name = _COMPRESSIONS.get(compression, f"compression {compression}")
        return _form(f"A TIFF with {name} inside")
    kind = {2: "signed", 3: "floating-point", 5: "complex"}.get(tags.get(_FORMAT, 1), "unsigned")
    many = f", {samples} samples a pixel" if samples > 1 else ""
    return _depth(f"This TIFF has {kind} samples of {bits} bits{many}")


def _tiff_tags(data: bytes) -> dict[int, int]:
    """First values of a few tags of the first directory (TIFF 6.0, section 2)."""
    order = "<" if data[:2] == b"II" else ">"
    found: dict[int, int] = {}
    try:
        (at,) = struct.unpack_from(order + "I", data, 4)
        (n_entries,) = struct.unpack_from(order + "H", data, at)
        for index in range(min(n_entries, _MAX_ENTRIES)):
            entry = at + 2 + 12 * index
            tag, kind, count = struct.unpack_from(order + "HHI", data, entry)
            if tag in _TAGS:
                size = {3: "H", 4: "I"}.get(kind, "H")
                fits = count * struct.calcsize(size) <= 4
                place = entry + 8 if fits else struct.unpack_from(order + "I", data, entry + 8)[0]
                (found[tag],) = struct.unpack_from(order + size, data, place)
    except struct.error:
        return {}
    return found


def _depth(what: str) -> UnsupportedImage:
    return UnsupportedImage(
        f"{what}, which is not read. Save it as a gray PNG of 8 or 16 bits, or send the DICOM "
        "file.",
        reason="bit_depth",
    )


def _form(what: str) -> UnsupportedImage:
    return UnsupportedImage(
        f"{what} is not read. Save it as a PNG, or send the DICOM file.",
        reason="unsupported_picture",
    )
