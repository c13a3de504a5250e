"""HL7 reports: the text and keys of an unsolicited observation message (ORU^R01, HL7 v2.3 to 2.8).

Only what a report needs is read: MSH, PID, OBR and OBX segments by position, with the message's own
delimiters and the escapes of HL7 v2 2.7.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

_TEXT_TYPES = frozenset({"TX", "FT", "ST", "TXT", ""})
_ESCAPES = {".br": "\n", ".sp": "\n", "F": "|", "S": "^", "T": "&", "R": "~", "E": "\\"}


@dataclass(frozen=True, slots=True, repr=False)
class Hl7Report:
    """One report of a message.

    Attributes:
        accession_number: OBR-18 (placer field 1), else the filler or placer order number.
        patient_id: PID-3, its first identifier.
        study_uid: Study Instance UID where a ZDS segment or an OBX carries one, else ``""``.
        status: OBX-11 or OBR-25: ``"F"`` final, ``"C"`` corrected, ``"P"`` preliminary, ``"X"``
            withdrawn, ``""`` unknown.
        observed: OBR-22, else OBR-7: digits ``YYYYMMDDHHMMSS`` as far as given.
        text: Lines of the text observations.
    """

    accession_number: str
    patient_id: str
    study_uid: str
    status: str
    observed: str
    text: str


@dataclass(frozen=True, slots=True, repr=False)
class Hl7Segments:
    """Segments of one message, split by its own delimiters.

    Attributes:
        delimiters: Field, component, repetition and escape.
        segments: Fields of each segment; the first is the name. MSH-n is ``segments[0][n - 1]``.
    """

    delimiters: tuple[str, str, str, str]
    segments: tuple[tuple[str, ...], ...]

    def header(self, place: int) -> str:
        """Field MSH-n, whole; ``""`` where it is absent."""
        return _field(self.segments[0], place - 1)

    def all_of(self, name: str) -> list[tuple[str, ...]]:
        """Segments of a name."""
        return [fields for fields in self.segments if fields[0] == name]

    def components(self, fields: tuple[str, ...], place: int) -> list[list[str]]:
        """Repetitions of a field, each as its components; escapes are undone."""
        _, component, repeat, escape = self.delimiters
        return [
            [_unescaped(part, escape).strip() for part in one.split(component)]
            for one in _field(fields, place).split(repeat)
        ]


def messages_of(text: str) -> Iterator[Hl7Segments]:
    """Split the messages of a file or of an MLLP block into segments."""
    for lines in _messages(text):
        field, component, repeat, escape = _delimiters(lines[0])
        split = tuple(tuple(line.split(field)) for line in lines)
        yield Hl7Segments((field, component, repeat, escape), split)


def is_hl7(data: bytes) -> bool:
    """Whether the content is HL7 v2: an MSH segment, perhaps in MLLP's or a batch's envelope."""
    start = data[:512].lstrip(b"\x0b\r\n \t\xef\xbb\xbf")
    return start[:3] in (b"MSH", b"FHS", b"BHS") and len(start) > 8


def reports_of(message: str) -> Iterator[Hl7Report]:
    """Read each observation request of one or more messages.

    Args:
        message: Text of the file or of an MLLP block; segments end with CR, LF or both.

    Yields:
        One report an OBR segment that has observations, or one a message without OBR.
    """
    for segments in _messages(message):
        yield from _message(segments)


def _messages(text: str) -> Iterator[list[str]]:
    segments = [s for s in re.split(r"[\r\n\x0b\x1c]+", text) if s.strip()]
    starts = [index for index, line in enumerate(segments) if line.startswith("MSH")]
    for start, end in pairwise([*starts, len(segments)]):
        yield segments[start:end]


def _delimiters(head: str) -> tuple[str, str, str, str]:
    """Field, component, repetition and escape, as MSH-1 and MSH-2 state them."""
    parts = head[4:8] + "^~\\&"[len(head[4:8]) :]
    return head[3:4] or "|", parts[0], parts[1], parts[2]


def _field(fields: Sequence[str], place: int) -> str:
    return fields[place] if len(fields) > place else ""


def _message(segments: list[str]) -> Iterator[Hl7Report]:
    field, component, repeat, escape = _delimiters(segments[0])
    patient, study, status = "", "", ""
    order: list[str] = []
    lines: list[str] = []

    def made() -> Hl7Report:
        accession = next(
            (
                value
                for place in (18, 20, 3, 2)
                if (value := _part(order, place, component, repeat))
            ),
            "",
        )
        observed = next((v for p in (22, 7) if (v := _part(order, p, component, repeat))), "")
        final = status or _part(order, 25, component, repeat)
        return Hl7Report(accession, patient, study, final, observed, "\n".join(lines))

    for segment in segments[1:]:
        fields = segment.split(field)
        if fields[0] == "PID":
            patient = _part(fields, 3, component, repeat)
        elif fields[0] == "OBR":
            if lines:
                yield made()
            order, lines, status = fields, [], ""
        elif fields[0] == "OBX":
            value = _field(fields, 5)
            if len(fields) > 2 and fields[2] in _TEXT_TYPES:
                lines += [_unescaped(one, escape) for one in value.split(repeat)]
                status = _part(fields, 11, component, repeat) or status
            elif "1.2." in value or "2.25." in value:
                study = study or value.split(component)[0]
        elif fields[0] == "ZDS":
            study = _part(fields, 1, component, repeat)
    if lines or order:
        yield made()


def _part(fields: list[str], place: int, component: str, repeat: str) -> str:
    return _field(fields, place).split(repeat)[0].split(component)[0].strip()


def _unescaped(text: str, escape: str) -> str:
    """Undo the escapes of HL7 v2 2.7: delimiters and line breaks; others go."""
    mark = re.escape(escape)

    def meant(match: re.Match[str]) -> str:
        code = match[1]
        return _ESCAPES.get(code.rstrip("+0123456789 ") if code.startswith(".") else code, "")

    return re.sub(f"{mark}([^{mark}\n]{{1,12}}){mark}", meant, text)
