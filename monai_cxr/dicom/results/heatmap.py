"""Heat map: where the model looked, as a Secondary Capture or a fractional Segmentation.

A Secondary Capture is what every viewer can show; it carries its own caption, because a picture is
soon seen without its report. The Segmentation is for viewers that lay it over the film.
"""

from __future__ import annotations

import io
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.sr.coding import Code as DicomCode
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from monai_cxr import findings
from monai_cxr.dicom.results.codes import dicom_code
from monai_cxr.dicom.results.evidence import film_evidence, repeat_study, sop_reference
from monai_cxr.dicom.results.instances import (
    DicomInstance,
    derived_uid,
    header_of,
    stamp,
    writing,
    written,
    written_name,
)
from monai_cxr.dicom.results.report_document import equipment
from monai_cxr.dicom.results.structured_report import ReportedFilm
from monai_cxr.errors import SettingsError, UnsupportedImage
from monai_cxr.optional import require
from monai_cxr.picture.gray import heat_share
from monai_cxr.picture.quiet import keep_quiet
from monai_cxr.prediction import FindingScore, ModelIdentity

CAPTURE_SERIES_NUMBER = 901
SEGMENTATION_SERIES_NUMBER = 902
MAX_SIDE = 1024
"""Longer side of a Secondary Capture; a heat map holds no finer detail."""


def heatmap_capture(
    film: ReportedFilm,
    picture: NDArray[np.uint8],
    finding: str,
    *,
    method: str = "cam",
    created: datetime | None = None,
    transfer_syntax: str = JPEG2000Lossless,
) -> DicomInstance:
    """File a picture of a heat map in the film's study, as a Secondary Capture.

    Args:
        film: The film and its prediction.
        picture: The film under its map, uint8, shape (rows, columns, 3); in the geometry of the
            film, of any size.
        finding: Whose map.
        method: ``"cam"``, ``"grad_cam"`` or ``"occlusion"``.
        created: As for :func:`~monai_cxr.dicom.results.structured_report.structured_report`.
        transfer_syntax: JPEG 2000 Lossless, RLE Lossless, or Explicit VR Little Endian.

    Returns:
        The Secondary Capture, at most 1024 pixels a side plus its caption.

    Raises:
        SettingsError: If the picture has another form, or the method or finding is unknown.
        UnsupportedImage: As for a structured report.
        MissingDependency: Without the extra ``pacs``.
    """
    _require_picture(picture)
    score, code = film.prediction[finding], _method(method)
    sc: Any = require("highdicom.sc", extra="pacs")
    keep_quiet("highdicom")
    caption = _caption(score, written_name(film.prediction.model))
    is_jpeg_2000 = transfer_syntax == JPEG2000Lossless
    with writing():
        header = header_of(film.source)
        image = film_evidence(header)
        drawn = captioned(picture, caption)
        capture = sc.SCImage.from_ref_dataset(
            image,
            pixel_array=drawn,
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            series_number=CAPTURE_SERIES_NUMBER,
            patient_orientation=image.get("PatientOrientation", ["L", "F"]),
            transfer_syntax_uid=ExplicitVRLittleEndian if is_jpeg_2000 else transfer_syntax,
            **_identity(film, image, "sc", finding, method),
        )
        capture.PatientOrientation = image.get("PatientOrientation", "")  # never a guess
        capture.BodyPartExamined = "CHEST"
        capture.BurnedInAnnotation = "NO"  # the caption identifies no patient (PS3.3 C.7.6.1.1.8)
        capture.ImageComments = caption
        capture.SourceImageSequence = [sop_reference(image.SOPClassUID, image.SOPInstanceUID)]
        capture.DerivationDescription = f"{code.meaning} of {findings.finding_of(finding).name}"
        if is_jpeg_2000:
            _encode_jpeg_2000(capture, drawn)
        repeat_study(capture, header)
        stamp(capture, created or datetime.now(timezone.utc))
        return written(capture)


def _require_picture(picture: NDArray[np.uint8]) -> None:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise SettingsError(
            "Expected a picture as uint8 of shape (rows, columns, 3), but got "
            f"{picture.dtype} of shape {picture.shape}."
        )


def heatmap_segmentation(
    film: ReportedFilm,
    heat: NDArray[np.float32],
    finding: str,
    *,
    method: str = "cam",
    created: datetime | None = None,
) -> DicomInstance:
    """File a heat map in the film's study, as a FRACTIONAL Segmentation of occupancy.

    Args:
        film: The film and its prediction.
        heat: The map, float32, shape (rows, columns) of the film; negative values speak against
            the finding and become 0, the hottest becomes 1.
        finding: Whose map.
        method: As for :func:`heatmap_capture`.
        created: As for :func:`heatmap_capture`.

    Returns:
        The Segmentation, RLE Lossless, with one segment.

    Raises:
        SettingsError: If the method or finding is unknown.
        UnsupportedImage: ``"bad_shape"`` if the map has not the film's shape; as for a report.
        MissingDependency: Without the extra ``pacs``.
    """
    score, code = film.prediction[finding], _method(method)
    seg: Any = require("highdicom.seg", extra="pacs")
    keep_quiet("highdicom")
    model = written_name(film.prediction.model)
    with writing():
        header = header_of(film.source)
        image = film_evidence(header)
        if heat.shape != (image.Rows, image.Columns):
            raise UnsupportedImage(
                f"The map has shape {heat.shape}, the film {(image.Rows, image.Columns)}.",
                reason="bad_shape",
            )
        result = seg.Segmentation(
            source_images=[image],
            pixel_array=heat_share(heat)[None],
            segmentation_type="FRACTIONAL",
            fractional_type="OCCUPANCY",
            segment_descriptions=[_segment(image, model, score.finding, code.meaning)],
            series_number=SEGMENTATION_SERIES_NUMBER,
            transfer_syntax_uid=RLELossless,
            omit_empty_frames=False,
            **_identity(film, image, "seg", finding, method),
        )
        _make_readable(result, image)
        kind = f"seg:{score.finding}:{method}:dimensions"
        dimensions = derived_uid(image.SOPInstanceUID, model.digest, kind)
        for keyword in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
            for item in result.get(keyword, ()):
                item.DimensionOrganizationUID = dimensions
        repeat_study(result, header)
        stamp(result, created or datetime.now(timezone.utc))
        return written(result)


def _segment(image: Dataset, model: ModelIdentity, finding: str, method: str) -> Any:
    """What the one segment shows, and which algorithm drew it (PS3.3 C.8.20.4)."""
    seg: Any = require("highdicom.seg", extra="pacs")
    content: Any = require("highdicom.content", extra="pacs")
    return seg.SegmentDescription(
        segment_number=1,
        segment_label=f"{findings.finding_of(finding).title} ({method.lower()})"[:64],
        segmented_property_category=dicom_code(findings.CLINICAL_FINDING),
        segmented_property_type=dicom_code(findings.finding_of(finding).code),
        algorithm_type="AUTOMATIC",
        algorithm_identification=content.AlgorithmIdentificationSequence(
            name=model.name,
            family=dicom_code(findings.ARTIFICIAL_INTELLIGENCE),
            version=model.version or "unknown",
            parameters={"model_sha256": model.digest, "method": method},
        ),
        tracking_uid=derived_uid(image.SOPInstanceUID, model.digest, finding),
        tracking_id=f"monai_cxr:{findings.finding_of(finding).name}",
    )


def _encode_jpeg_2000(capture: Dataset, drawn: NDArray[np.uint8]) -> None:
    """Compress a capture by Pillow, which may encode in several threads at a time.

    pylibjpeg-openjpeg, which pydicom would take, may not: two threads end the process by SIGSEGV.
    JPEG 2000 transforms colour losslessly on its own (PS3.5 8.2.4).
    """
    stream = io.BytesIO()
    Image.fromarray(drawn).save(stream, "JPEG2000", irreversible=False, no_jp2=True, mct=1)
    capture.PhotometricInterpretation = "YBR_RCT"
    capture.PixelData = encapsulate([stream.getvalue()])
    capture["PixelData"].VR = "OB"
    capture["PixelData"].is_undefined_length = True
    capture.file_meta.TransferSyntaxUID = JPEG2000Lossless


def captioned(picture: NDArray[np.uint8], caption: str) -> NDArray[np.uint8]:
    """Shrink a picture to at most 1024 pixels a side and write a caption under it."""
    image = Image.fromarray(picture)
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    size = max(image.width // 48, 9)
    font = ImageFont.load_default(size)
    while size > 6 and font.getlength(caption) > image.width - size:
        size -= 1
        font = ImageFont.load_default(size)
    result = Image.new("RGB", (image.width, image.height + 2 * size))
    result.paste(image, (0, 0))
    draw = ImageDraw.Draw(result)
    draw.text((size // 2, image.height + size // 2), caption, fill=(255, 255, 255), font=font)
    return np.asarray(result, dtype=np.uint8)


def _caption(score: FindingScore, model: ModelIdentity) -> str:
    name = findings.finding_of(score.finding).title
    return f"AI: {name} {score.probability:.2f} - {model.name} {model.version} - not for diagnosis"


def _identity(
    film: ReportedFilm, image: Dataset, kind: str, finding: str, method: str
) -> dict[str, Any]:
    """Which object of which series this is, and which device made it."""
    name, model = film.prediction[finding].finding, written_name(film.prediction.model)
    uid, digest = image.SOPInstanceUID, model.digest
    return {
        "series_instance_uid": derived_uid(uid, digest, f"{kind}-series"),
        "sop_instance_uid": derived_uid(uid, digest, f"{kind}:{name}:{method}"),
        "instance_number": findings.number_of(name, [s.finding for s in film.prediction.scores]),
        "series_description": "AI heat maps (research use, not for diagnosis)",
        **equipment(model),
    }


def _method(name: str) -> DicomCode:
    known = findings.MAP_METHODS
    if name not in known:
        raise SettingsError(f"Unknown method '{name}'. Expected one of: {', '.join(known)}.")
    return dicom_code(known[name])


def _make_readable(result: Dataset, image: Dataset) -> None:
    """Close the gaps that highdicom leaves for a film, which has no Frame of Reference.

    It writes a Pixel Measures Sequence that its own reader refuses, and no Patient Orientation.
    """
    shared = result.SharedFunctionalGroupsSequence[0]
    if "PixelMeasuresSequence" in shared:
        del shared.PixelMeasuresSequence
    result.PatientOrientation = image.get("PatientOrientation", "")
