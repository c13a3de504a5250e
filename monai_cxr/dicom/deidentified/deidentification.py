"""De-identification: the Basic Application Level Confidentiality Profile (PS3.15 E), keyed.

The table of the standard comes with dicom-anonymizer; it is applied here to every level of every
sequence. A new data set is built from what may stay, so an attribute that nobody thought of stays
out: of free text only a short list is kept. The same key gives the same pseudonyms, UIDs and date
shifts, so a project can be added to; without the key they lead nowhere.
"""

from __future__ import annotations

import importlib.metadata
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

import pydicom
from pydicom import DataElement, Dataset
from pydicom.config import IGNORE
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from monai_cxr.dicom.deidentified.identity_traces import IdentityTraces
from monai_cxr.dicom.deidentified.pseudonyms import date_shift_days, pseudonym, pseudonymous_uid
from monai_cxr.dicom.header import elements, parsing
from monai_cxr.dicom.results.instances import DicomInstance, add_file_meta, written
from monai_cxr.errors import SettingsError, UnreadableImage, UnsupportedImage
from monai_cxr.optional import require
from monai_cxr.picture.quiet import quiet

TABLE = "dicomfields_2026c"
"""Edition of Table E.1-1."""

SMALLEST_KEY_BYTES = 16
_PIXEL_DATA = 0x7FE00010
_OLDEST_STATED_AGE = 89  # older patients are so few that an age points at one
_TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT", "AE"})
_BULK_VRS = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN"})
_KEPT_TEXT = frozenset(
    {
        "Manufacturer", "ManufacturerModelName", "SoftwareVersions", "CodeValue",
        "CodingSchemeDesignator", "CodeMeaning", "CodingSchemeVersion", "LUTExplanation",
        "RescaleType", "WindowCenterWidthExplanation",
    }
)  # fmt: skip
_KEPT_BULK = frozenset({"LUTData", "RedPaletteColorLookupTableData",
                        "GreenPaletteColorLookupTableData",
                        "BluePaletteColorLookupTableData"})  # fmt: skip
_DROPPED = frozenset({"IconImageSequence", "SpecificCharacterSet", "PixelData",
                      "DataSetTrailingPadding"})  # fmt: skip
_METHODS = {
    "basic": ("113100", "Basic Application Confidentiality Profile"),
    "dates": ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    "characteristics": ("113108", "Retain Patient Characteristics Option"),
}


@dataclass(frozen=True, slots=True)
class DeidentificationPolicy:
    """What is done with a file.

    Attributes:
        key: Secret of the project, at least 16 bytes.
        keep_age_and_sex: Keep PatientAge, with 89 for older patients, and PatientSex.
        accept_unknown_annotation: Accept films that do not say whether text is burned into their
            pixels. Films that say YES are always refused.
    """

    key: bytes = field(repr=False)
    keep_age_and_sex: bool = False
    accept_unknown_annotation: bool = False

    def __post_init__(self) -> None:
        """Refuse a short key.

        Raises:
            SettingsError: If the key is shorter than 16 bytes.
        """
        if len(self.key) < SMALLEST_KEY_BYTES:
            raise SettingsError(
                f"Expected a key of at least {SMALLEST_KEY_BYTES} bytes, but got {len(self.key)}."
            )


@dataclass(frozen=True, slots=True)
class Deidentified:
    """A de-identified film.

    Attributes:
        instance: The file, with its new UIDs.
        patient: Pseudonym, also in PatientID and PatientName.
    """

    instance: DicomInstance
    patient: str


def deidentify(data: bytes, policy: DeidentificationPolicy) -> Deidentified:
    """De-identify a DICOM film; pixels stay as they are.

    Args:
        data: A DICOM Part 10 file.
        policy: Key and choices.

    Returns:
        The file without identity, in its own transfer syntax.

    Raises:
        UnreadableImage: If it is not a DICOM file, or damaged.
        UnsupportedImage: ``"burned_in_annotation"``, ``"annotation_unknown"``, ``"no_pixels"``,
            ``"no_identity"`` without UIDs, or ``"identity_left"`` if a part of the patient's
            identity is still found in the result.
        MissingDependency: Without the extra ``deid``.
    """
    parsed = parsing.parse(data)  # within bounds, before anything else reads it
    require("dicomanonymizer", extra="deid")
    with quiet():
        try:
            source = pydicom.dcmread(io.BytesIO(data))
            _check(source, policy)
            result, patient = _rebuilt(source, policy, parsed.transfer_syntax)
            traces = IdentityTraces.of(source)
            traces.remove_from(result)
            instance = written(result)
        except (UnsupportedImage, UnreadableImage):
            raise
        except elements.MALFORMED as error:
            raise UnreadableImage(
                f"The DICOM file is damaged ({type(error).__name__}). Send the file again.",
                reason="damaged_header",
            ) from None
    if traces.are_in(instance.data, n_pixel_bytes=len(result[_PIXEL_DATA].value)):
        raise UnsupportedImage(
            "A part of the patient's identity is still in the file, in a place that cannot be "
            "cleaned. Leave it out.",
            reason="identity_left",
        )
    return Deidentified(instance, patient)


def _check(source: Dataset, policy: DeidentificationPolicy) -> None:
    burned = elements.text(source, "BurnedInAnnotation").upper()
    if burned == "YES":
        raise UnsupportedImage(
            "BurnedInAnnotation is YES: the pixels may name the patient. Leave the film out, or "
            "mask it first.",
            reason="burned_in_annotation",
        )
    if burned != "NO" and not policy.accept_unknown_annotation:
        raise UnsupportedImage(
            "BurnedInAnnotation does not say NO, so the pixels may name the patient. Look at the "
            "films of this source, then accept unknown annotation.",
            reason="annotation_unknown",
        )
    if "PixelData" not in source:
        raise UnsupportedImage("The file holds no pixels.", reason="no_pixels")
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        if not elements.text(source, keyword):
            raise UnsupportedImage(f"{keyword} is missing.", reason="no_identity")


def _rebuilt(source: Dataset, policy: DeidentificationPolicy, syntax: str) -> tuple[Dataset, str]:
    patient_id = elements.identifier(source, "PatientID")
    known = patient_id or elements.identifier(source, "StudyInstanceUID")
    patient = pseudonym(policy.key, known, elements.identifier(source, "IssuerOfPatientID"))
    result = _cleaned(source, policy.key, date_shift_days(policy.key, patient))
    result.PatientID = result.PatientName = patient
    result.PatientBirthDate = ""
    result.PatientSex = ""
    methods = ["basic", "dates"]
    if policy.keep_age_and_sex:
        methods.append("characteristics")
        _keep_age_and_sex(result, source)
    result.PatientIdentityRemoved = "YES"
    result.LongitudinalTemporalInformationModified = "MODIFIED"
    result.BurnedInAnnotation = elements.text(source, "BurnedInAnnotation").upper() or None
    library = importlib.metadata.version("dicom-anonymizer")
    result.DeidentificationMethod = [
        f"monai_cxr with dicom-anonymizer {library}",
        f"PS3.15 E.1-1, {TABLE[-5:]}",
    ]
    result.DeidentificationMethodCodeSequence = [_method(*_METHODS[name]) for name in methods]
    pixels = source["PixelData"]
    result[_PIXEL_DATA] = DataElement(
        pixels.tag, pixels.VR, pixels.value, is_undefined_length=pixels.is_undefined_length
    )
    texts = [str(e.value) for e in result.iterall() if e.VR in _TEXT_VRS]
    if not all(text.isascii() for text in texts):
        result.SpecificCharacterSet = "ISO_IR 192"
    inflated = syntax == DeflatedExplicitVRLittleEndian
    add_file_meta(result, ExplicitVRLittleEndian if inflated else syntax)
    return result, patient


def _cleaned(source: Dataset, key: bytes, shift: int) -> Dataset:
    """The elements that may stay, of this data set and of every item in it."""
    result = Dataset()
    for tag in source.keys():  # noqa: SIM118 - iterating a Dataset converts every element
        keyword = pydicom.datadict.keyword_for_tag(tag)
        if not keyword or keyword in _DROPPED or tag.is_private:
            continue
        try:
            element = source[tag]
        except elements.MALFORMED:
            continue
        value = _value(element, keyword, _action(tag), key, shift)
        if value is not None:
            result[tag] = DataElement(tag, element.VR, value, validation_mode=IGNORE)
    return result


def _value(element: DataElement, keyword: str, action: str, key: bytes, shift: int) -> Any:
    """What becomes of an element: its new value, or None to leave it out."""
    vr = element.VR
    if vr == "SQ":
        if action not in ("", "keep", "replace", "delete_or_empty_or_replace_UID"):
            return None
        return [_cleaned(item, key, shift) for item in element.value]
    if vr == "UI":
        return _uids(element.value, key)
    if vr == "DA":
        return _shifted(str(element.value or ""), shift)
    if vr == "DT":
        return _shifted(str(element.value or "")[:8], shift)
    if action:
        # What the table removes is left out, or empty where an IOD may ask for it (Type 2).
        return "" if "empty" in action and vr not in _BULK_VRS else None
    if vr in _TEXT_VRS and keyword not in _KEPT_TEXT:
        return None
    if vr in _BULK_VRS and keyword not in _KEPT_BULK:
        return None
    return element.value


@lru_cache(maxsize=1)
def _table() -> tuple[Mapping[int, str], tuple[tuple[int, int, int, int, str], ...]]:
    """Table E.1-1: action by tag, and by ranges of tags (group, element and their masks)."""
    library: Any = require("dicomanonymizer.simpledicomanonymizer", extra="deid")
    single, ranges = {}, []
    for tag, action in library.initialize_actions(TABLE).items():
        if len(tag) == 2:
            single[(tag[0] << 16) | tag[1]] = action.__name__
        else:
            ranges.append((*tag, action.__name__))
    return single, tuple(ranges)


def _action(tag: BaseTag) -> str:
    single, ranges = _table()
    action = single.get(int(tag), "")
    for group, element, group_mask, element_mask, name in ranges:
        if tag.group & group_mask == group & group_mask and (
            tag.element & element_mask == element & element_mask
        ):
            action = name
    return action


def _uids(value: Any, key: bytes) -> Any:
    """UIDs of the standard stay; every other one is replaced, in the table or not."""
    values = [str(v) for v in (value if type(value).__name__ == "MultiValue" else [value or ""])]
    new = [
        UID(v) if not v or v.startswith("1.2.840.10008.") else UID(pseudonymous_uid(key, v))
        for v in values
    ]
    return new if len(new) > 1 else new[0]


def _shifted(text: str, days: int) -> str:
    match = re.match(r"(\d{4})\.?(\d{2})\.?(\d{2})", text)
    try:
        moved = date(*(int(part) for part in match.groups())) if match else None
        return "" if moved is None else (moved + timedelta(days=days)).strftime("%Y%m%d")
    except (ValueError, OverflowError):
        return ""


def _keep_age_and_sex(result: Dataset, source: Dataset) -> None:
    sex = elements.text(source, "PatientSex").upper()[:1]
    result.PatientSex = sex if sex in ("M", "F", "O") else ""
    age = re.fullmatch(r"(\d{3})([DWMY])", elements.text(source, "PatientAge"))
    if age is not None:
        too_old = age[2] == "Y" and int(age[1]) > _OLDEST_STATED_AGE
        result.PatientAge = f"{_OLDEST_STATED_AGE:03d}Y" if too_old else age[0]


def _method(value: str, meaning: str) -> Dataset:
    code = {"CodeValue": value, "CodingSchemeDesignator": "DCM", "CodeMeaning": meaning}
    return elements.data_set(**code)
