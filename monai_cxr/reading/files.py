"""Files: any image file to a Radiograph, told apart by content, never by name."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from monai_cxr.dicom.display import DisplayFilm, display_dicom, display_radiograph
from monai_cxr.dicom.header import parsing, scope
from monai_cxr.dicom.pixels.grayscale import DEFAULT_POLICY, GrayscalePolicy
from monai_cxr.dicom.reader import open_dicom, read_opened
from monai_cxr.errors import UnreadableImage
from monai_cxr.folders import path_text
from monai_cxr.picture.bounds import MAX_FILE_BYTES
from monai_cxr.radiograph import Radiograph
from monai_cxr.reading.plain_images import is_nifti, is_plain_image, read_nifti, read_plain_image

Source = Path | str | bytes | BinaryIO


def read_radiograph(
    source: Source,
    *,
    policy: GrayscalePolicy = DEFAULT_POLICY,
    frame: int | None = None,
    min_side: int | None = None,
) -> Radiograph:
    """Read a film from a DICOM, PNG, JPEG, TIFF or NIfTI file.

    Args:
        source: Path of a file, its bytes, or a binary stream.
        policy: Which values of interest of a DICOM image to show.
        frame: Which frame of a multi-frame DICOM image.
        min_side: JPEG 2000 may be decoded at 1/2, 1/4 or 1/8 of its resolution where the shorter
            side keeps so many pixels (``dicom.pixels.reduction``); None decodes exactly.

    Returns:
        The film: float32 (rows, columns) in [0, 1], bright = dense when the file tells the truth.

    Raises:
        UnreadableImage: With a reason such as ``"missing_file"``, ``"empty_file"``,
            ``"not_an_image"`` or ``"damaged_pixels"``.
        UnsupportedImage: If it decodes, but is not a single gray picture.

    Example:
        >>> film = read_radiograph("film.dcm")
        >>> film.pixels.dtype.name, film.pixels.ndim
        ('float32', 2)
    """
    data, name = read_bytes(source)
    if parsing.is_dicom(data):
        return read_opened(open_dicom(data), policy, frame=frame, min_side=min_side)
    return _read_other(data, name)


def read_for_model(
    source: Source, *, policy: GrayscalePolicy = DEFAULT_POLICY, min_side: int | None = None
) -> Radiograph:
    """Read a film that the model may read, and refuse every other image with a reason.

    The header decides first, before pixels are decoded; then the pixels are looked at.

    Args:
        source: Path of a file, its bytes, or a binary stream.
        policy: Which values of interest of a DICOM image to show.
        min_side: As for :func:`read_radiograph`.

    Returns:
        A frontal chest radiograph, with flags for what asks for caution.

    Raises:
        UnreadableImage: See :func:`read_radiograph`.
        UnsupportedImage: With the reason code of :mod:`monai_cxr.dicom.header.scope`.

    Example:
        >>> film = read_for_model("film.dcm")
        >>> float(film.pixels.min()) >= 0.0 and float(film.pixels.max()) <= 1.0
        True
    """
    data, name = read_bytes(source)
    if not parsing.is_dicom(data):
        return scope.require_in_scope(_read_other(data, name), None)
    dicom = open_dicom(data)
    scope.require_header_in_scope(dicom.facts)
    return scope.require_in_scope(read_opened(dicom, policy, min_side=min_side), dicom.facts)


def read_display(source: Source) -> DisplayFilm:
    """Read a film at its full bit depth, for a viewer; whether a model may read it is not asked.

    Args:
        source: Path of a file, its bytes, or a binary stream.

    Returns:
        Stored values with the windows of the header and of the picture.

    Raises:
        UnreadableImage: See :func:`read_radiograph`.
        UnsupportedImage: See :func:`read_radiograph`.
    """
    data, name = read_bytes(source)
    if parsing.is_dicom(data):
        return display_dicom(open_dicom(data))
    return display_radiograph(_read_other(data, name))


def read_bytes(source: Source) -> tuple[bytes, str]:
    """Read a whole file into memory, within bounds.

    Returns:
        Its bytes and its base name, which is empty for bytes and nameless streams.

    Raises:
        UnreadableImage: ``"missing_file"``, ``"not_a_file"``, ``"empty_file"``, ``"too_large"`` or
            ``"unreadable"``.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        data, name = bytes(source), ""
    elif isinstance(source, str | Path):
        data, name = _read_path(Path(source)), path_text(Path(source).name)
    else:
        data = source.read(MAX_FILE_BYTES + 1)
        name = path_text(Path(str(getattr(source, "name", ""))).name)
    if not data:
        raise UnreadableImage("The file is empty. Send it again.", reason="empty_file")
    if len(data) > MAX_FILE_BYTES:
        raise _too_large(len(data))
    return data, name


def _read_path(path: Path) -> bytes:
    try:
        if not path.exists():
            raise UnreadableImage("The file does not exist.", reason="missing_file")
        if not path.is_file():
            raise UnreadableImage(
                "Expected a file, but this is a folder or a device.", reason="not_a_file"
            )
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise _too_large(size)
        return path.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, UnreadableImage):
            raise
        kind = getattr(error, "strerror", None) or type(error).__name__
        raise UnreadableImage(f"The file cannot be read: {kind}.", reason="unreadable") from None


def _too_large(n_bytes: int) -> UnreadableImage:
    limit = MAX_FILE_BYTES // 2**20
    return UnreadableImage(
        f"Expected a file of at most {limit} MiB, but got {n_bytes // 2**20} MiB.",
        reason="too_large",
    )


def _read_other(data: bytes, name: str) -> Radiograph:
    if is_plain_image(data):
        return read_plain_image(data, name)
    if is_nifti(data):
        return read_nifti(data, name)
    raise UnreadableImage(
        "Expected a DICOM, PNG, JPEG, TIFF or NIfTI file, but the content is none of them.",
        reason="not_an_image",
    )
