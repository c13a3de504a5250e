"""Plain images: PNG, JPEG, TIFF and NIfTI pictures to a Radiograph.

The nominal maximum of the format (255 or 65535) is 1.0, never the data's maximum. NIfTI has no
nominal maximum for floating-point data: they must lie in [0, 1].
"""

from __future__ import annotations

import io
import warnings
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from monai_cxr.dicom import parsing
from monai_cxr.dicom.color import as_unit, gray_of_color
from monai_cxr.dicom.decoding import MAX_PIXELS
from monai_cxr.dicom.elements import MALFORMED
from monai_cxr.dicom.quality import measure
from monai_cxr.errors import UnreadableImage, UnsupportedImage
from monai_cxr.optional import require
from monai_cxr.radiograph import InstanceKey, Radiograph

_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*")
_FORMATS = ("PNG", "JPEG", "TIFF")
_DAMAGED: tuple[type[Exception], ...] = (*MALFORMED, SyntaxError)
_GZIP = b"\x1f\x8b"


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large or odd files; bounds are ours
        try:
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                _check_image(image)
                pixels = _gray(image)
        except (UnreadableImage, UnsupportedImage):
            raise
        except Image.DecompressionBombError:  # twice Pillow's own limit, seen in the header
            raise UnreadableImage(
                f"Expected at most {MAX_PIXELS:,} pixels, but the picture claims more.",
                reason="too_large",
            ) from None
        except _DAMAGED as error:
            raise UnreadableImage(
                f"The picture is damaged ({type(error).__name__}). Send the file again.",
                reason="damaged_pixels",
            ) from None
    return Radiograph(pixels, _key(name), quality=measure(pixels), source_format="image")


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


def _gray(image: Image.Image) -> NDArray[np.float32]:
    """Decode to float32 in [0, 1]; an alpha channel is dropped (NIH's is opaque)."""
    inverted = image.format == "TIFF" and image.tag_v2.get(262) == 0  # type: ignore[attr-defined]
    if image.mode.startswith("I;16"):
        pixels = as_unit(np.asarray(image), 65535.0)
        # Pillow inverts 8-bit WhiteIsZero pictures itself, and leaves 16-bit ones as stored.
        return 1.0 - pixels if inverted else pixels
    if image.mode == "I":  # 16-bit PNG, in Pillow's signed 32-bit form
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise UnsupportedImage("Expected at most 16 bits a pixel.", reason="bit_depth")
        return as_unit(values, 65535.0)
    if image.mode in ("1", "L", "LA", "La"):
        cells = np.asarray(image.convert("L"))
        return as_unit(cells, 255.0)
    if image.mode == "F":
        return _unit_range(np.asarray(image))
    return gray_of_color(np.asarray(image.convert("RGB")))


def _unit_range(values: NDArray[np.floating]) -> NDArray[np.float32]:
    low, high = float(values.min()), float(values.max())
    if not (low >= 0.0 and high <= 1.0):
        raise UnsupportedImage(
            f"Floating-point pixels have no nominal maximum: expected [0, 1], but got "
            f"[{low:.4g}, {high:.4g}]. Scale them, or store integers.",
            reason="bad_range",
        )
    return np.ascontiguousarray(values, dtype=np.float32)


def read_nifti(data: bytes, name: str = "") -> Radiograph:
    """Read a NIfTI film: an array of shape (i, j) or (i, j, 1).

    The affine says in RAS+ millimetres where the axes point. The axis nearest to left-right gives
    the columns, the other the rows. The film is returned as it is read: patient's left on the
    viewer's right, and up where z grows (a coronal plane) or y grows (a picture in the x-y plane;
    ITK and SimpleITK write films so). An identity affine states nothing: the axes are then taken
    as (columns, rows) from the top left, with the flag ``"orientation_assumed"``.

    Args:
        data: The whole file, gzipped or not.
        name: Base name; it becomes the SOP Instance UID.

    Returns:
        The film; unsigned integers are divided by their nominal maximum.

    Raises:
        UnreadableImage: ``"damaged_pixels"``, ``"not_an_image"`` or ``"too_large"``.
        UnsupportedImage: ``"not_a_film"`` for volumes, ``"bad_range"``, ``"bit_depth"``.
    """
    nibabel = require("nibabel", extra="nifti")
    parsing.keep_quiet("nibabel")
    if data.startswith(_GZIP):
        data = parsing.inflate(data, wbits=zlib.MAX_WBITS | 16)
    if not is_nifti(data) or data.startswith(_GZIP):
        raise UnreadableImage("The gzip file holds no NIfTI image.", reason="not_an_image")
    kind = nibabel.Nifti1Image if data[344:348] == b"n+1\x00" else nibabel.Nifti2Image
    try:
        with parsing.quiet():
            image = kind.from_bytes(data)
            shape = tuple(int(n) for n in image.shape)
            _check_film(shape)
            values = np.asanyarray(image.dataobj).reshape(shape[:2])
            affine = np.asarray(image.affine, dtype=np.float64)
    except (UnreadableImage, UnsupportedImage):
        raise
    except (*MALFORMED, nibabel.spatialimages.HeaderDataError) as error:
        raise UnreadableImage(
            f"The NIfTI image is damaged ({type(error).__name__}).", reason="damaged_pixels"
        ) from None
    pixels = _as_film(_nominal(values), affine)
    assumed = np.allclose(affine[:3, :3], np.eye(3))
    return Radiograph(
        pixels,
        _key(name),
        flags=("orientation_assumed",) if assumed else (),
        quality=measure(pixels),
        source_format="nifti",
    )


def _check_film(shape: tuple[int, ...]) -> None:
    if not 2 <= len(shape) <= 4 or any(n != 1 for n in shape[2:]) or 0 in shape:
        raise UnsupportedImage(
            f"Expected a film of shape (i, j) or (i, j, 1), but got {shape}.", reason="not_a_film"
        )
    if shape[0] * shape[1] > MAX_PIXELS:
        raise UnreadableImage(f"Expected at most {MAX_PIXELS:,} pixels.", reason="too_large")


def _nominal(values: NDArray[np.generic]) -> NDArray[np.float32]:
    if values.dtype.kind == "f":
        return _unit_range(values)  # type: ignore[arg-type]
    if values.dtype.kind not in "ui" or values.dtype.itemsize > 2:
        raise UnsupportedImage(
            f"Expected integers of 8 or 16 bits, or floating point in [0, 1]; got {values.dtype}.",
            reason="bit_depth",
        )
    if values.dtype.kind == "i" and int(values.min()) < 0:
        raise UnsupportedImage("Expected no negative values.", reason="bad_range")
    unsigned = np.dtype(f"u{values.dtype.itemsize}")
    return as_unit(values, float(np.iinfo(unsigned).max))


def _as_film(values: NDArray[np.float32], affine: NDArray[np.float64]) -> NDArray[np.float32]:
    """Turn (i, j) into rows by columns, as :func:`read_nifti` says."""
    axes = affine[:3, :2]
    if np.allclose(affine[:3, :3], np.eye(3)):
        return np.ascontiguousarray(values.T)
    first_is_x = abs(axes[0, 0]) >= abs(axes[0, 1])
    film = values.T if first_is_x else values
    x, other = (0, 1) if first_is_x else (1, 0)
    up = axes[2, other] if abs(axes[2, other]) > abs(axes[1, other]) else axes[1, other]
    if up > 0:
        film = film[::-1]
    if axes[0, x] > 0:
        film = film[:, ::-1]
    return np.ascontiguousarray(film)
