"""Patients: which patient ID stands for another since two were merged (HL7 ADT^A40)."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select, update

from monai_cxr.errors import SettingsError
from monai_cxr.screening.ledger import audit, sent_messages, studies
from monai_cxr.screening.ledger.database import Ledger, changed, insert_new
from monai_cxr.screening.ledger.schema import films, patient_merges, reports


def merge(ledger: Ledger, prior: str, surviving: str, *, source: str) -> int:
    """Let one patient ID take the place of another: for what is here, and for what comes later.

    Args:
        ledger: The ledger.
        prior: The patient ID that is given up.
        surviving: The one that stays.
        source: Name of what said so.

    Returns:
        How many films were filed under the prior one.

    Raises:
        SettingsError: If one is empty, or both are the same.
    """
    prior, surviving = prior.strip(), surviving.strip()
    if not prior or not surviving or prior == surviving:
        raise SettingsError("Expected two different patient IDs to merge.")
    now = ledger.clock()
    with ledger.write() as connection:
        # What was given up before and is kept now stands for itself again.
        gone = patient_merges.c.prior_id == surviving
        connection.execute(delete(patient_merges).where(gone))
        row = {"prior_id": prior, "surviving_id": surviving, "merged_at": now}
        insert_new(connection, patient_merges, [row], ["prior_id"])
        followed = (patient_merges.c.prior_id == prior) | (patient_merges.c.surviving_id == prior)
        connection.execute(
            update(patient_merges).where(followed).values(surviving_id=surviving, merged_at=now)
        )
        filed = select(films.c.study_uid).where(films.c.patient_id == prior)
        touched = set(connection.execute(filed).scalars())
        n, _ = (
            changed(
                connection,
                update(table).where(table.c.patient_id == prior).values(patient_id=surviving),
            )
            for table in (films, reports)
        )
        studies.refresh_all(connection, touched, now=now)
        again = sent_messages.send_again(connection, touched)
        detail = {"n_films": n, "n_messages": again}
        audit.record(connection, source, "patients merged", "", detail, now=now)
    return n


def current(connection: Connection, patient_id: str) -> str:
    """The patient ID that stands for this one now."""
    query = select(patient_merges.c.surviving_id).where(
        patient_merges.c.prior_id == patient_id.strip()
    )
    found = connection.execute(query).scalar_one_or_none() if patient_id else None
    return patient_id if found is None else str(found)


def has_prior(connection: Connection, patient_id: str) -> bool:
    """Whether files may name another patient ID for this one."""
    query = select(patient_merges.c.prior_id).where(patient_merges.c.surviving_id == patient_id)
    return bool(patient_id) and connection.execute(query.limit(1)).first() is not None
