"""Plain images: PNG, JPEG, TIFF and NIfTI pictures to a Radiograph.

The nominal maximum of the format is 1.0, never the data's maximum: 255, or 65535 where a cell has
16 bits or more. A deep cell need not be full, and no header says so (PNG's sBIT does, 11.3.3.4):
:mod:`monai_cxr.reading.depth` looks at the values. Floating-point data have no nominal maximum:
they must lie in [0, 1], or hold whole numbers.
"""

from __future__ import annotations

import io
import math
import warnings
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from monai_cxr.dicom.header.parsing import is_dicom
from monai_cxr.errors import UnreadableImage, UnsupportedImage
from monai_cxr.optional import require
from monai_cxr.picture.bounds import MALFORMED, MAX_FILE_BYTES, MAX_PIXELS
from monai_cxr.picture.gray import as_unit, gray_of_color
from monai_cxr.picture.inflation import inflate
from monai_cxr.picture.quality import measure, sampled
from monai_cxr.picture.quiet import keep_quiet, quiet
from monai_cxr.picture.roughness import is_byte_swapped, some_rows
from monai_cxr.radiograph import InstanceKey, Radiograph, ViewPosition
from monai_cxr.reading.depth import depth_of, unfilled
from monai_cxr.reading.nifti_pose import as_film
from monai_cxr.reading.png_pixels import decode_plain_png, require_all_rows, significant_bits
from monai_cxr.reading.unsupported import is_deep_color, why_not_read

_SIGNATURES = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"
)  # fmt: skip
_FORMATS = ("PNG", "JPEG", "TIFF")
_DAMAGED: tuple[type[Exception], ...] = (*MALFORMED, SyntaxError)
_GZIP = b"\x1f\x8b"
_ROUNDING = 1e-5
_EXIF_ORIENTATION = 0x0112
_SMALL = 0.5

_Gray = tuple[NDArray[np.float32], tuple[str, ...]]
"""Pixels in [0, 1], and flags."""


def is_plain_image(data: bytes) -> bool:
    """Whether the content is a PNG, JPEG or TIFF file."""
    return data.startswith(_SIGNATURES)


def is_nifti(data: bytes) -> bool:
    """Whether the content is a single-file NIfTI-1 or -2 image, or gzip, in which NIfTI comes."""
    return data.startswith(_GZIP) or data[344:348] == b"n+1\x00" or data[4:8] == b"n+2\x00"


def read_plain_image(data: bytes, name: str = "") -> Radiograph:
    """Read a PNG, JPEG or TIFF picture.

    Args:
        data: The whole file.
        name: Base name; it becomes the SOP Instance UID, as image names do in data sets.

    Returns:
        The film as the file shows it, bright taken as dense.

    Raises:
        UnreadableImage: ``"damaged_pixels"`` or ``"too_large"``.
        UnsupportedImage: ``"color"``, ``"multi_frame"`` or ``"bit_depth"``.
    """
    pixels, flags = _plain_png(data) or _by_pillow(data)
    sample = sampled(pixels)
    return Radiograph(
        pixels,
        _key(name),
        flags=flags,
        quality=measure(sample),
        source_format="image",
        sample=sample,
        in_range=True,
    )


def _by_pillow(data: bytes) -> _Gray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large or odd files; bounds are ours
        try:
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                _check_image(image)
                return _decoded(data, image)
        except (UnreadableImage, UnsupportedImage):
            raise
        except Image.DecompressionBombError:  # twice Pillow's own limit, seen in the header
            raise UnreadableImage(
                f"Expected at most {MAX_PIXELS:,} pixels, but the picture claims more.",
                reason="too_large",
            ) from None
        except UnidentifiedImageError:
            raise why_not_read(data) from None
        except _DAMAGED:
            raise UnreadableImage(
                "The picture is damaged: its data cannot be followed to their end. Send the file "
                "again.",
                reason="damaged_pixels",
            ) from None


def _key(name: str) -> InstanceKey:
    return InstanceKey("", "", "", name)


def _check_image(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableImage(
            f"Expected at most {MAX_PIXELS:,} pixels, but got {image.height} x {image.width}.",
            reason="too_large",
        )
    if getattr(image, "n_frames", 1) > 1 and image.format == "TIFF":
        raise UnsupportedImage("Expected one picture, but got several pages.", reason="multi_frame")


def _plain_png(data: bytes) -> _Gray | None:
    cells = decode_plain_png(data, MAX_PIXELS)
    return None if cells is None else _nominal(cells, significant_bits(data))


def _decoded(data: bytes, image: Image.Image) -> _Gray:
    """Upright pixels, and flags."""
    pixels, flags = _gray(data, image)
    pixels, turned = _upright(image, pixels)
    if image.format == "PNG":
        require_all_rows(data)
    return pixels, (*flags, *turned)


def _gray(data: bytes, image: Image.Image) -> _Gray:
    """Decode to float32 in [0, 1], and flags; an alpha channel is dropped (NIH's is opaque)."""
    inverted = image.format == "TIFF" and image.tag_v2.get(262) == 0  # type: ignore[attr-defined]
    if image.mode == "I" or image.mode.startswith("I;16"):
        pixels, flags = _nominal(np.asarray(image), significant_bits(data))
        # Pillow inverts 8-bit WhiteIsZero pictures itself, and leaves deep ones as stored.
        return (np.float32(1.0) - pixels if inverted else pixels), flags
    if image.mode in ("1", "L", "LA", "La"):
        gray = image if image.mode == "L" else image.convert("L")
        return as_unit(np.asarray(gray), 255.0), ()
    if image.mode == "F":
        return _nominal(np.asarray(image))
    if is_deep_color(data, image):  # Pillow would keep the upper byte of each sample alone
        raise UnsupportedImage(
            "A colour picture of 16 bits a sample is not read in this form. Save it as a gray PNG "
            "of 16 bits, or send the DICOM file.",
            reason="bit_depth",
        )
    return gray_of_color(np.asarray(image.convert("RGB"))), ()


def _upright(image: Image.Image, pixels: NDArray[np.float32]) -> _Gray:
    """Turn as the EXIF Orientation of a PNG or JPEG says; Pillow turns TIFFs itself."""
    orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    if image.format == "TIFF" or orientation not in range(2, 9):
        return pixels, ()
    turned = pixels.T if orientation >= 5 else pixels
    turned = turned[::-1] if orientation in (3, 4, 7, 8) else turned
    turned = turned[:, ::-1] if orientation in (2, 3, 6, 7) else turned
    return np.ascontiguousarray(turned), ("orientation_by_exif",)


def _nominal(values: NDArray[np.generic], told_bits: int | None = None) -> _Gray:
    """Scale by the nominal maximum of the cells, or of the depth that the values show."""
    is_color = values.ndim == 3
    if values.dtype.kind not in "uif":
        raise UnsupportedImage(
            f"Expected integers or floating point, but got {values.dtype}.", reason="bit_depth"
        )
    if values.dtype.itemsize == 1:
        return gray_of_color(values) if is_color else as_unit(values, 255.0), ()
    low, high = float(values.min()), float(values.max())
    is_float = values.dtype.kind == "f"
    if is_float and low >= 0.0 and high <= 1.0 + _ROUNDING:
        unit = np.minimum(np.ascontiguousarray(values, dtype=np.float32), np.float32(1.0))
        return unit, unfilled(sampled(unit), 1.0)
    is_whole = not is_float or (math.isfinite(high - low) and not np.mod(values, 1.0).any())
    if not is_whole or low < 0.0:
        raise UnsupportedImage(
            "Expected whole numbers from 0, or floating point in [0, 1], but got a range of "
            f"[{low:.4g}, {high:.4g}]. Scale the pixels to [0, 1].",
            reason="bad_range",
        )
    if high > 65535.0:
        raise UnsupportedImage(
            f"Expected at most 16 bits a pixel, but got a value of {high:.0f}.", reason="bit_depth"
        )
    flags: tuple[str, ...] = ()
    if not is_color and is_byte_swapped(some_rows(values)):
        values, flags = values.byteswap(), ("byte_order_disagrees",)
    channel = values[..., 1] if is_color else values
    bits, noticed = depth_of(sampled(channel), int(values.max()), told_bits)
    if is_color:
        return gray_of_color(values, bits), (*flags, *noticed)
    unit = as_unit(values, 2.0**bits - 1.0)
    return np.minimum(unit, np.float32(1.0), out=unit), (*flags, *noticed)


def read_nifti(data: bytes, name: str = "") -> Radiograph:
    """Read a NIfTI film: an array of shape (i, j), or of three axes of which one has length 1.

    The affine says in RAS+ millimetres where the axes point. The axis nearest to left-right gives
    the columns, the other the rows. The film is returned as it is read: patient's left on the
    viewer's right, and up where z grows (a coronal plane) or y grows (a picture in the x-y plane;
    ITK and SimpleITK write films so). A plane without a left-right axis is a lateral film. An
    identity affine, or one whose codes are both 0, states nothing: the picture then decides, see
    :mod:`monai_cxr.reading.nifti_pose`.

    Args:
        data: The whole file, gzipped or not.
        name: Base name; it becomes the SOP Instance UID.

    Returns:
        The film, scaled as the module says.

    Raises:
        UnreadableImage: ``"damaged_pixels"``, ``"not_an_image"`` or ``"too_large"``.
        UnsupportedImage: ``"not_a_film"`` for volumes, ``"bad_range"``, ``"bit_depth"``.
    """
    nibabel = require("nibabel", extra="nifti")
    keep_quiet("nibabel")
    data = _unpacked(data)
    kind = nibabel.Nifti1Image if data[344:348] == b"n+1\x00" else nibabel.Nifti2Image
    try:
        with quiet():
            image = kind.from_bytes(data)
            plane = _plane(tuple(int(n) for n in image.shape))
            values = np.asanyarray(image.dataobj)
            values = values.reshape([values.shape[axis] for axis in plane])
            axes = _stated_axes(image, plane)
    except (UnreadableImage, UnsupportedImage):
        raise
    except (*MALFORMED, *_nibabel_errors(nibabel)):
        raise UnreadableImage(
            "The NIfTI image is damaged: header and data cannot be followed. Send the file again.",
            reason="damaged_pixels",
        ) from None
    if values.dtype.names == ("R", "G", "B"):
        values = np.stack([values[channel] for channel in "RGB"], axis=2)
    pixels, flags = (gray_of_color(values), ()) if values.ndim == 3 else _nominal(values)
    pixels, posed = as_film(pixels, axes)
    is_lateral = axes is not None and not np.abs(axes[0]).max() > _SMALL * np.abs(axes).max()
    return Radiograph(
        pixels,
        _key(name),
        view=ViewPosition.LATERAL if is_lateral else ViewPosition.UNKNOWN,
        flags=(*flags, *posed),
        quality=measure(pixels),
        source_format="nifti",
        in_range=True,
    )


def _unpacked(data: bytes) -> bytes:
    """What a gzip file holds, if that is a NIfTI image."""
    if data.startswith(_GZIP):
        data = inflate(data, wbits=zlib.MAX_WBITS | 16, limit=MAX_FILE_BYTES)
    if is_nifti(data) and not data.startswith(_GZIP):
        return data
    held = "a DICOM file" if is_dicom(data) else "a picture" if is_plain_image(data) else ""
    raise UnreadableImage(
        f"The gzip file holds {held}. Unpack it (gunzip) and send what is inside."
        if held
        else "The gzip file holds no NIfTI image.",
        reason="not_an_image",
    )


def _nibabel_errors(nibabel: Any) -> tuple[type[Exception], ...]:
    """What nibabel raises on a damaged file; its errors have no common base."""
    spatial = nibabel.spatialimages
    return (
        nibabel.filebasedimages.ImageFileError,
        nibabel.wrapstruct.WrapStructError,
        spatial.HeaderDataError,
        spatial.HeaderTypeError,
        spatial.ImageDataError,
    )


def _plane(shape: tuple[int, ...]) -> tuple[int, int]:
    """The two axes of a film."""
    spatial, rest = shape[:3], shape[3:]
    plane = [axis for axis, n in enumerate(spatial) if n != 1]
    plane += [axis for axis in range(len(spatial)) if axis not in plane][: max(0, 2 - len(plane))]
    if len(plane) != 2 or any(n != 1 for n in rest) or 0 in shape:
        raise UnsupportedImage(
            f"Expected a film of shape (i, j) or (i, j, 1), but got {shape}.", reason="not_a_film"
        )
    first, second = sorted(plane)
    if shape[first] * shape[second] > MAX_PIXELS:
        raise UnreadableImage(f"Expected at most {MAX_PIXELS:,} pixels.", reason="too_large")
    return first, second


def _stated_axes(image: Any, plane: tuple[int, int]) -> NDArray[np.float64] | None:
    """Where the axes of the plane point, shape (3, 2), in RAS+; None when nothing is stated."""
    affine = np.asarray(image.affine, dtype=np.float64)[:3, :3]
    codes = int(image.header["sform_code"]) or int(image.header["qform_code"])
    axes = affine[:, plane]
    is_usable = np.isfinite(affine).all() and np.abs(axes).max(axis=0).all()
    if not codes or not is_usable or (plane == (0, 1) and np.allclose(affine, np.eye(3))):
        return None
    return axes
