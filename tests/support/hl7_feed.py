"""HL7 feed: messages as a hospital's systems send them, and what our answers say."""

from __future__ import annotations

import hl7

from monai_cxr.labels.lexicon import read_lexicon
from monai_cxr.screening.ledger.people import signed_reports
from monai_cxr.screening.network.mllp import MllpFrame

LEXICON = read_lexicon("en")
YES = "IMPRESSION: Large right pneumothorax."
SECRET = "Geheimnis"


def oru(accession="A1", said=YES, *, patient="PID1", number="77", head="ORU^R01", version="2.5.1"):
    return "\r".join(
        (
            f"MSH|^~\\&|RIS|HOSP|||20260301||{head}|{number}|P|{version}",
            f"PID|1||{patient}^^^HOSP||{SECRET}^Max",
            f"OBR|1||{accession}|36554-4^XR|||20260301120000||||||||||||||20260301120000|||F",
            f"OBX|1|TX|18748-4^Report||{said}||||||F",
            "",
        )
    ).encode()


def merge(prior="OLD", surviving="NEW", *, by="HOSP", kept_by=None, trigger="A40"):
    return (
        f"MSH|^~\\&|ADT|HOSP|||20260301||ADT^{trigger}^ADT_A39|78|P|2.5.1\rEVN||20260301\r"
        f"PID|1||X^^^OTHER~{surviving}^^^{by if kept_by is None else kept_by}||{SECRET}\r"
        f"MRG|{prior}^^^{by}\r"
    ).encode()


def verdict(message: hl7.Message) -> tuple[str, str]:
    errors = [s for s in message if str(s[0]) == "ERR"]
    return str(message.segment("MSA")[1]), str(errors[0][3]).split("^")[0] if errors else ""


def told(taking, message: bytes) -> tuple[str, str]:
    return verdict(hl7.parse(taking.answer(MllpFrame(message)).decode()))


def kept(ledger) -> list[tuple[str, dict]]:
    found = [match.report for match in signed_reports.matches(ledger)]
    return [(report.accession_number, dict(report.states)) for report in found]
