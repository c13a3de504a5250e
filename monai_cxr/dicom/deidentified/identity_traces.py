"""Identity traces: the strings that name a patient, looked for in what is to be given away."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pydicom import Dataset
from pydicom.charset import convert_encodings, encode_string

from monai_cxr.dicom.header import elements

_KEYWORDS = (
    "PatientName", "PatientID", "OtherPatientIDs", "OtherPatientNames", "PatientBirthName",
    "PatientMotherBirthName", "PatientAddress", "PatientTelephoneNumbers", "AccessionNumber",
    "ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName",
    "NameOfPhysiciansReadingStudy", "RequestingPhysician", "MilitaryRank", "MedicalRecordLocator",
    "PatientBirthDate", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID",
)  # fmt: skip
_SHORTEST, _SHORTEST_BYTES, _SHORTEST_IN_PIXELS = 4, 4, 8


@dataclass(frozen=True, slots=True)
class IdentityTraces:
    """What would give a patient away.

    Attributes:
        texts: Names, their parts, numbers, dates and UIDs, case-folded, 4 characters or more (2
            in scripts that write a name in two).
        encoded: The same as bytes, in the file's character set and in UTF-8.
    """

    texts: frozenset[str] = field(repr=False)
    encoded: frozenset[bytes] = field(repr=False)

    @classmethod
    def of(cls, source: Dataset) -> IdentityTraces:
        """Collect them from a header."""
        texts: set[str] = set()
        for keyword in _KEYWORDS:
            for value in _values(source, keyword):
                texts.update(_parts(value))
        charsets = elements.texts(source, "SpecificCharacterSet")
        try:
            encodings = convert_encodings(list(charsets) or "")
        except (LookupError, ValueError):
            encodings = ["latin-1"]
        encoded = {text.encode() for text in texts}
        for text in texts:
            try:
                encoded.add(encode_string(text, list(encodings)))
            except (UnicodeError, LookupError, ValueError):
                continue
        usable = frozenset(value for value in encoded if len(value) >= _SHORTEST_BYTES)
        return cls(frozenset(text.casefold() for text in texts), usable)

    def remove_from(self, dataset: Dataset) -> None:
        """Leave out every text that holds one of them, on every level."""
        for element in list(dataset):
            if element.VR == "SQ":
                for item in element.value:
                    self.remove_from(item)
            elif element.VR != "UI" and not isinstance(element.value, bytes):
                folded = str(element.value).casefold()
                if any(text in folded for text in self.texts):
                    del dataset[element.tag]

    def are_in(self, data: bytes, *, n_pixel_bytes: int) -> bool:
        """Whether a file still holds one.

        Args:
            data: The file.
            n_pixel_bytes: How many bytes at its end are pixels; there, chance writes short
                strings, so only those of 8 bytes or more count.
        """
        header = data[: len(data) - n_pixel_bytes]
        return any(
            value in header or (len(value) >= _SHORTEST_IN_PIXELS and value in data)
            for value in self.encoded
        )


def _values(source: Dataset, keyword: str) -> list[str]:
    """Every value of an element, whole."""
    try:
        value = source.get(keyword)
        many = value if type(value).__name__ == "MultiValue" else [value]
        return [str(one) for one in many if one]
    except elements.MALFORMED:
        return []


def _parts(value: str) -> set[str]:
    """A value, the groups of a name and their parts, if long enough to tell somebody."""
    pieces = {value, *re.split(r"[\^=\\ ,;]+", value)}
    return {
        piece
        for piece in (p.strip() for p in pieces)
        if len(piece) >= _SHORTEST or (len(piece) >= 2 and not piece.isascii())
    }
