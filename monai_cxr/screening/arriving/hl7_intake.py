"""HL7 intake: signed reports (ORU) and merged patients (ADT) as they come, each acknowledged.

A report is labelled at once; its text is kept encrypted, or not at all. What is acknowledged as
accepted is durable. The answer tells a sender what to do: AE, the message has to be corrected; AR,
it is of no kind that is taken here, or it may be sent again as it is.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from sqlalchemy.exc import SQLAlchemyError

from monai_cxr.dicom.results.instances import MANUFACTURER
from monai_cxr.labels.hl7_reports import Hl7Segments, messages_of
from monai_cxr.labels.lexicon import Lexicon
from monai_cxr.labels.report_labels import read_report
from monai_cxr.labels.report_sources import decoded, hl7_reports
from monai_cxr.picture.bounds import MALFORMED
from monai_cxr.screening.ledger import Ledger, patients
from monai_cxr.screening.ledger.database import reason_of
from monai_cxr.screening.ledger.people import signed_reports
from monai_cxr.screening.ledger.people.report_texts import TextSeal
from monai_cxr.screening.network.mllp import MllpFrame

SOURCE = "mllp"
MERGES = ("A40", "A34", "A18")
"""Triggers that merge patients: by their identifiers (A40), and its older forms."""

_ACCEPTED, _ERROR, _REJECTED = "A", "E", "R"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hl7Verdict:
    """What is answered.

    Attributes:
        code: ``"A"`` accepted, ``"E"`` error, ``"R"`` rejected.
        condition: Of HL7 table 0357, ``""`` where accepted.
        text: For people, without identity.
    """

    code: str = _ACCEPTED
    condition: str = ""
    text: str = ""


class _Unfit(Exception):
    def __init__(self, code: str, condition: str, text: str) -> None:
        super().__init__(text)
        self.verdict = Hl7Verdict(code, condition, text)


_NO_HEADER = Hl7Verdict(_REJECTED, "100", "The message does not begin with MSH.")
_WIDE = Hl7Verdict(
    _ERROR, "102", "The message is in UTF-16, which MLLP cannot carry. Send it in UTF-8."
)
_TOO_LONG = Hl7Verdict(_ERROR, "207", "The message is longer than hl7.most_mib allows.")


@dataclass(frozen=True, slots=True)
class Hl7Intake:
    """Takes messages in.

    Attributes:
        ledger: Where labels and merges go.
        lexicon: Words of the reports' language.
        authority: Who must have assigned the patient IDs of a merge (CX.4, its namespace or its
            universal ID); ``""`` for whoever, as long as it is the same for both.
        seal: What closes the reports' text; None where it is not kept.
    """

    ledger: Ledger
    lexicon: Lexicon = field(repr=False)
    authority: str = ""
    seal: TextSeal | None = field(default=None, repr=False)

    def answer(self, frame: MllpFrame) -> bytes:
        """Take what is in a frame; gives one acknowledgment for each message in it."""
        if _is_wide(frame.data):
            _said(_WIDE, "")
            return _acknowledgment(None, _WIDE)
        messages = list(messages_of(decoded(frame.data)))
        if not messages:
            _said(_NO_HEADER, "")
            return _acknowledgment(None, _NO_HEADER)
        verdicts = [
            (one, _TOO_LONG if frame.is_too_long else self._verdict(one)) for one in messages
        ]
        for one, verdict in verdicts:
            _said(verdict, "^".join(_kind(one)))
        return b"".join(_acknowledgment(one, verdict) for one, verdict in verdicts)

    def _verdict(self, message: Hl7Segments) -> Hl7Verdict:
        try:
            self._take(message)
        except _Unfit as error:
            return error.verdict
        except SQLAlchemyError as error:  # the sender keeps it and sends it again
            text = f"The ledger cannot take it now ({reason_of(error)}). Send it again."
            return Hl7Verdict(_REJECTED, "207", text)
        except MALFORMED as error:  # one message must not stop the others
            kind = type(error).__name__
            _LOG.error("an HL7 message was not taken: an unexpected error", extra={"error": kind})
            return Hl7Verdict(_REJECTED, "207", f"An unexpected {kind}.")
        return Hl7Verdict()

    def _take(self, message: Hl7Segments) -> None:
        version = message.header(12).split(message.delimiters[1])[0]
        if version and not version.startswith("2"):
            raise _Unfit(_REJECTED, "203", "Only HL7 version 2 is taken.")
        kind, trigger = _kind(message)
        if message.header(3).split(message.delimiters[1])[0] == MANUFACTURER:
            return  # our own results came back: a model is not held against itself
        if kind == "ORU":
            self._take_reports(message)
        elif kind == "ADT" and trigger in MERGES:
            self._merge(message)
        elif kind == "ADT":
            raise _Unfit(_REJECTED, "201", f"Of ADT, only {', '.join(MERGES)} are taken.")
        else:
            raise _Unfit(_REJECTED, "200", "Only ORU and ADT messages are taken.")

    def _take_reports(self, message: Hl7Segments) -> None:
        text = "\r".join(message.delimiters[0].join(fields) for fields in message.segments)
        made = list(hl7_reports(text.encode()))
        if not made:
            raise _Unfit(_ERROR, "100", "The message holds no report: OBR and OBX are missing.")
        if any(not report.id for report in made):
            raise _Unfit(_ERROR, "101", "A report names no order: OBR-18, OBR-20, OBR-3 or OBR-2.")
        items = [(report, *read_report(report, self.lexicon)) for report in made]
        counts = signed_reports.add(self.ledger, items, source=SOURCE, seal=self.seal)
        if counts[signed_reports.REFUSED]:
            raise _Unfit(_ERROR, "204", "The film of this order is of another patient than PID-3.")

    def _merge(self, message: Hl7Segments) -> None:
        survivors, priors = message.all_of("PID"), message.all_of("MRG")
        if not priors or len(survivors) != len(priors):
            raise _Unfit(_ERROR, "100", "Each merge needs a PID and an MRG segment.")
        pairs = [  # all of them, before any is merged
            _same_assigner(self._named(message, mrg, 1), self._named(message, pid, 3))
            for pid, mrg in zip(survivors, priors, strict=True)
        ]
        for prior, surviving in pairs:
            n = patients.merge(self.ledger, prior, surviving, source=SOURCE)
            _LOG.info("patients merged", extra={"n": n})

    def _named(self, message: Hl7Segments, fields: tuple[str, ...], place: int) -> dict[str, str]:
        """Patient IDs by who assigned them."""
        found: dict[str, str] = {}
        for parts in message.components(fields, place):
            assigner = parts[3] if len(parts) > 3 else ""
            if parts[0] and (not self.authority or self.authority in assigner.split("&")):
                found.setdefault(assigner, parts[0])
        if found:
            return found
        wanted = f" of '{self.authority}'" if self.authority else ""
        raise _Unfit(_ERROR, "101", f"{fields[0]}-{place} holds no patient ID{wanted}.")


def _is_wide(data: bytes) -> bool:
    """Whether characters have several bytes each: a quotation mark then ends the frame (0x1C)."""
    return data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"M\0S\0H" in data[:10]


def _same_assigner(priors: Mapping[str, str], survivors: Mapping[str, str]) -> tuple[str, str]:
    """The prior and the surviving patient ID that one authority assigned."""
    for assigner, prior in priors.items():
        if assigner in survivors:
            if prior == survivors[assigner]:
                raise _Unfit(_ERROR, "101", "PID-3 and MRG-1 name the same patient ID.")
            return prior, survivors[assigner]
    raise _Unfit(_ERROR, "204", "PID-3 and MRG-1 are of different assigning authorities.")


def _kind(message: Hl7Segments) -> tuple[str, str]:
    kind, trigger, *_ = [*message.header(9).split(message.delimiters[1]), "", ""]
    return kind.strip().upper()[:3], trigger.strip().upper()[:3]


def _said(verdict: Hl7Verdict, kind: str) -> None:
    """One line a message, without identity."""
    level = logging.INFO if verdict.code == _ACCEPTED else logging.WARNING
    said = {"kind": kind, "status": f"A{verdict.code}", "error": verdict.text}
    _LOG.log(level, "HL7 message answered", extra=said)


def _acknowledgment(message: Hl7Segments | None, verdict: Hl7Verdict) -> bytes:
    """ACK (HL7 v2.5.1 2.9.2) in the sender's own delimiters; what it said is repeated raw."""
    field_, component, repeat, escape = message.delimiters if message else ("|", "^", "~", "\\")
    said = message.header if message else lambda place: ""
    now = datetime.now(timezone.utc).strftime("%Y%m%d%H%M%S%z")
    trigger = _kind(message)[1] if message else ""
    kind = f"ACK{component}{trigger}{component}ACK" if trigger else "ACK"
    number = uuid.uuid4().hex[:20].upper()
    mode = "C" if said(15).strip().upper() in ("AL", "SU", "ER") else "A"
    header = [
        *("MSH", f"{component}{repeat}{escape}&", "MONAI_CXR", "", said(3), said(4), now, ""),
        *(kind, number, said(11) or "P", said(12) or "2.5.1"),
    ]
    lines = [header, ["MSA", f"{mode}{verdict.code}", said(10)]]
    if verdict.condition:
        text = verdict.text.replace(field_, " ").replace(component, " ")
        condition = component.join((verdict.condition, text, "HL70357"))
        lines.append(["ERR", "", "", condition, "E", "", "", text])
    return "".join(f"{field_.join(parts)}\r" for parts in lines).encode()
