"""Radiograph: one film as the model sees it, with the facts of its acquisition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, asdict, dataclass, field
from enum import Enum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from monai_cxr.errors import UnsupportedImage

QUALITY_MEASURES = (
    "clipped_fraction",
    "padding_fraction",
    "border_fraction",
    "entropy_bits",
    "inversion_suspicion",
    "mean",
    "standard_deviation",
)
"""Measures of a picture, kept with each result: see ``monai_cxr.picture.quality``."""

_ONE = int(np.float32(1.0).view(np.uint32))
"""Bits of 1.0: floats from 0 to 1 have no larger ones; those of others, and of NaN, are larger."""

_NO_QUALITY: Mapping[str, float] = MappingProxyType({})


class ViewPosition(str, Enum):
    """Projection of the film, after DICOM ViewPosition (0018,5101).

    Example:
        >>> ViewPosition("PA") is ViewPosition.PA
        True
    """

    PA = "PA"
    AP = "AP"
    LATERAL = "LATERAL"
    OBLIQUE = "OBLIQUE"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def of(cls, text: str) -> ViewPosition:
        """The projection that a table names; UNKNOWN for any other text.

        Example:
            >>> ViewPosition.of("PA").value, ViewPosition.of("").value
            ('PA', 'UNKNOWN')
        """
        return cls(text) if text in cls.__members__ else cls.UNKNOWN


@dataclass(frozen=True, slots=True)
class InstanceKey:
    """Who and which image; the only place where identity travels.

    Its repr shows the SOP Instance UID alone, so that a key can stand in a message or a log.

    Attributes:
        patient_id: DICOM PatientID (0010,0020), or the data set's own patient number.
        study_uid: StudyInstanceUID, empty when unknown.
        series_uid: SeriesInstanceUID, empty when unknown.
        sop_uid: SOPInstanceUID, or an image name that is unique in its data set.

    Example:
        >>> InstanceKey("patient 7", "1.2.3", "1.2.3.1", "1.2.3.1.1")
        InstanceKey(sop_uid='1.2.3.1.1')
    """

    patient_id: str
    study_uid: str
    series_uid: str
    sop_uid: str

    def __repr__(self) -> str:
        """Show the SOP Instance UID alone: no patient, no study."""
        return f"InstanceKey(sop_uid={self.sop_uid!r})"


@dataclass(frozen=True, slots=True)
class FilmFacts:
    """What is kept of a film besides its pixels; passed on whole from the file to the results.

    Attributes:
        key: Identity of the image.
        view: Projection.
        patient_age_years: Age after DICOM PatientAge (0010,1010), or None.
        patient_sex: DICOM PatientSex (0010,0040): ``"M"``, ``"F"``, ``"O"`` or ``""``.
        manufacturer: DICOM Manufacturer (0008,0070), or ``""``.
        flags: Cautions found while reading, as stable codes, for example ``"window_fallback"``.
        quality: Measures of the picture by name (:data:`QUALITY_MEASURES`).
        source_format: ``"dicom"``, ``"image"`` or ``"nifti"``.
    """

    key: InstanceKey
    view: ViewPosition = ViewPosition.UNKNOWN
    patient_age_years: float | None = None
    patient_sex: str = ""
    manufacturer: str = ""
    flags: tuple[str, ...] = ()
    quality: Mapping[str, float] = field(default_factory=dict)
    source_format: str = "image"

    @property
    def columns(self) -> dict[str, str | float | None]:
        """What the header says, by the names that tables and the ledger have for it.

        Example:
            >>> FilmFacts(InstanceKey("", "", "", "film_1"), ViewPosition.AP).columns["view"]
            'AP'
        """
        return {
            **asdict(self.key),
            "view": self.view.value,
            "age": self.patient_age_years,
            "sex": self.patient_sex,
            "manufacturer": self.manufacturer,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Radiograph:
    """One film in the one form that this package knows.

    Attributes:
        pixels: float32, shape (rows, columns), range [0, 1]; bright = dense (bone is white).
        key: Identity of the image.
        view: Projection.
        pixel_spacing_mm: (between rows, between columns) in mm in the detector or patient plane;
            None when unknown.
        patient_sex: ``"M"``, ``"F"``, ``"O"`` or ``""``.
        patient_age_years: Age, or None.
        manufacturer: DICOM Manufacturer (0008,0070), or ``""``.
        flags: Cautions found while reading, as stable codes, for example ``"window_fallback"``.
        quality: Measures of the picture by name (:data:`QUALITY_MEASURES`); for reports and drift.
        source_format: ``"dicom"``, ``"image"`` or ``"nifti"``.
        step: Pixels of the file from one pixel here to the next, along both sides: 1, or 2, 4 or 8
            where a JPEG 2000 film was decoded at reduced resolution. Pixel (i, j) here lies at
            pixel (step * i, step * j) of the file.
        file_shape: (rows, columns) in the file; None for those of ``pixels``.
        sample: Some of ``pixels`` on a grid (``picture.quality.sampled``), where the reader
            has them at hand: they lie far apart in memory, and are asked for more than once.
        in_range: Not kept: whether the maker knows that all pixels lie in [0, 1]; they are looked
            at otherwise.

    Example:
        >>> import numpy as np
        >>> gray = np.full((4, 3), 0.5, np.float32)
        >>> Radiograph(gray, InstanceKey("", "", "", "film_1"), view=ViewPosition.PA)
        Radiograph(4x3, view=PA, sop_uid='film_1', flags=[])
    """

    pixels: NDArray[np.float32]
    key: InstanceKey
    view: ViewPosition = ViewPosition.UNKNOWN
    pixel_spacing_mm: tuple[float, float] | None = None
    patient_sex: str = ""
    patient_age_years: float | None = None
    manufacturer: str = ""
    flags: tuple[str, ...] = ()
    quality: Mapping[str, float] = field(default_factory=lambda: _NO_QUALITY)
    source_format: str = "image"
    step: int = 1
    file_shape: tuple[int, int] | None = None
    sample: NDArray[np.float32] | None = None
    in_range: InitVar[bool] = False

    def __post_init__(self, in_range: bool) -> None:
        """Refuse anything that is not the one image form, and freeze the pixels."""
        pixels = self.pixels
        if pixels.ndim != 2 or pixels.dtype != np.float32 or pixels.size == 0:
            raise UnsupportedImage(
                "Expected pixels as float32 of shape (rows, columns), but got "
                f"{pixels.dtype} of shape {pixels.shape}. Read films with read_radiograph().",
                reason="bad_shape",
            )
        if not in_range:
            _require_unit_range(pixels)
        view = pixels.view()
        view.flags.writeable = False
        object.__setattr__(self, "pixels", view)

    @property
    def facts(self) -> FilmFacts:
        """What is kept of the film when its pixels are gone."""
        return FilmFacts(
            key=self.key,
            view=self.view,
            patient_age_years=self.patient_age_years,
            patient_sex=self.patient_sex,
            manufacturer=self.manufacturer,
            flags=self.flags,
            quality=dict(self.quality),
            source_format=self.source_format,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return int(self.pixels.shape[0]), int(self.pixels.shape[1])

    @property
    def full_shape(self) -> tuple[int, int]:
        """(rows, columns) in the file."""
        return self.file_shape or self.shape

    def __repr__(self) -> str:
        """Name the image by its SOP Instance UID; no pixels, no patient."""
        return (
            f"Radiograph({self.shape[0]}x{self.shape[1]}, view={self.view.value}, "
            f"sop_uid={self.key.sop_uid!r}, flags={list(self.flags)})"
        )


def _require_unit_range(pixels: NDArray[np.float32]) -> None:
    if pixels.view(np.uint32).max() > _ONE and not (pixels.min() >= 0.0 and pixels.max() <= 1.0):
        low, high = float(pixels.min()), float(pixels.max())
        raise UnsupportedImage(
            f"Expected pixels in [0, 1], but got a range of [{low:.4g}, {high:.4g}]. "
            "Read films with read_radiograph().",
            reason="bad_range",
        )
