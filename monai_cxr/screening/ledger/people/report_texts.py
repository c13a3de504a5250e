"""Report texts: the words of signed reports, encrypted, or not kept at all.

The key lies outside the ledger, so that neither a copy of it nor a backup can be read without it. A
text is opened for a named person, with an entry in the audit trail, and is deleted after its time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from monai_cxr.errors import InputError, SettingsError
from monai_cxr.optional import require
from monai_cxr.screening.ledger import audit
from monai_cxr.screening.ledger.database import Ledger, insert_new
from monai_cxr.screening.ledger.schema import report_texts, reports

_DAY_SECONDS = 86_400.0
_MOST_TEXTS = 500
"""Deleted at a time; the rest follows with the next round."""


class TextSeal:
    """Closes and opens texts with Fernet (AES-128-CBC and HMAC-SHA-256, with random nonces).

    Args:
        keys: Keys of 32 bytes in URL-safe base64, one a line; the first closes, each of them opens.

    Raises:
        SettingsError: If one is no such key.
        MissingDependency: If the package ``cryptography`` is not installed.
    """

    def __init__(self, keys: str) -> None:
        fernet = require("cryptography.fernet", extra="pacs")
        self._wrong = fernet.InvalidToken
        try:
            known = [fernet.Fernet(key.strip()) for key in keys.split("\n") if key.strip()]
            self._keys = fernet.MultiFernet(known)
        except ValueError:
            raise SettingsError(
                "Expected the key of the reports' text as 32 bytes in URL-safe base64, one key a "
                "line. Make one with: openssl rand -base64 32 | tr '+/' '-_'"
            ) from None

    def close(self, digest: str, text: str) -> str:
        """Encrypt a report's text, bound to the digest of its row."""
        said: bytes = self._keys.encrypt(json.dumps([digest, text]).encode())
        return said.decode()

    def open(self, digest: str, sealed: str) -> str:
        """Decrypt the text of the report with this digest.

        Raises:
            InputError: If it was closed with another key, changed, or is of another report.
        """
        try:
            of, text = json.loads(self._keys.decrypt(sealed.encode()))
        except self._wrong:
            of, text = "", ""
        if of != digest:
            raise InputError(
                "The text of this report does not open: it was closed with another key, or was "
                "changed. Put the key of then on a line of its own behind the present one.",
                reason="text_key_differs",
            )
        return str(text)

    def __repr__(self) -> str:
        """Nothing of the key."""
        return "TextSeal()"


@dataclass(frozen=True, slots=True, repr=False)
class ReportText:
    """The text of one report.

    Attributes:
        status: Final, corrected and so on; see :data:`.signed_reports.STATUSES`.
        observed: When it was made, digits.
        text: What it says.
    """

    status: str
    observed: str
    text: str


def keep(connection: Connection, seal: TextSeal, digest: str, text: str, *, now: float) -> None:
    """Keep the text of a report, within the transaction that stores it."""
    found = select(reports.c.id).where(reports.c.digest == digest)
    number = connection.execute(found).scalar_one()
    row = {"report_id": number, "sealed": seal.close(digest, text), "kept_at": now}
    insert_new(connection, report_texts, [row], ["report_id"])


def read(
    ledger: Ledger, seal: TextSeal | None, accession_number: str, *, actor: str, why: str
) -> list[ReportText]:
    """Open the texts of a number, for a person who says why; the audit trail names both.

    Args:
        ledger: The ledger.
        seal: What opens them; None where the settings name no key.
        accession_number: Accession Number.
        actor: Name of the person.
        why: What it is read for; no patient's name.

    Returns:
        Texts of all kept versions, oldest first.

    Raises:
        SettingsError: If nobody is named, no reason is given, or there is no key.
        InputError: If no text is kept, or it does not open.
    """
    if not actor.strip() or not why.strip():
        raise SettingsError("Expected the name of the person and the reason, but one is empty.")
    if seal is None:
        raise SettingsError(
            "The settings name no key of the reports' text: expected reports.text_key_file or "
            "reports.text_key_env. Without it no text is kept, and none opens."
        )
    query = select(reports, report_texts.c.sealed).join(
        report_texts, report_texts.c.report_id == reports.c.id
    )
    query = query.where(reports.c.accession_number == accession_number).order_by(reports.c.id)
    with ledger.read() as connection:
        rows = connection.execute(query).all()
    if not rows:
        raise InputError(
            "No text is kept of a report under this number: none came while there was a key, or "
            "it was deleted after its time (reports.keep_text_days).",
            reason="no_report_text",
        )
    detail = {"reports": [row.id for row in rows], "why": why.strip()}
    try:
        found = [ReportText(r.status, r.observed, seal.open(r.digest, r.sealed)) for r in rows]
    except InputError:
        audit.append(ledger, actor.strip(), "report text not opened", rows[0].study_uid, detail)
        raise
    audit.append(ledger, actor.strip(), "report text read", rows[0].study_uid, detail)
    return found


def prune(ledger: Ledger, *, keep_days: float) -> int:
    """Delete texts that came so many days ago; gives how many. What reports say stays."""
    before = ledger.clock() - keep_days * _DAY_SECONDS
    query = select(report_texts.c.report_id).where(report_texts.c.kept_at < before)
    with ledger.read() as connection:
        old = list(connection.execute(query.limit(_MOST_TEXTS)).scalars())
    if not old:
        return 0
    with ledger.write() as connection:
        connection.execute(delete(report_texts).where(report_texts.c.report_id.in_(old)))
        detail = {"n": len(old), "of": "texts of reports"}
        audit.record(connection, "retention", "texts deleted", "", detail, now=ledger.clock())
    return len(old)
