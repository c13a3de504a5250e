"""Arrivals: a film is enqueued once; the same UID with other pixels goes to quarantine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, select

from monai_cxr.screening.ledger import audit, quarantine, studies
from monai_cxr.screening.ledger.database import Ledger, insert_new
from monai_cxr.screening.ledger.records import PRIORITY_DELAY_SECONDS, ReceivedFilm
from monai_cxr.screening.ledger.schema import SCHEDULED, arrivals, films
from monai_cxr.screening.ledger.schema import quarantine as quarantined

NEW, DUPLICATE, CONFLICT, IGNORED = "new", "duplicate", "conflict", "ignored"
SAME_UID_REASON = "same_uid_other_pixels"

SamePixels = Callable[[str, str], bool]
"""(path kept, path offered) -> whether both show the same pixels."""


def enqueue(ledger: Ledger, film: ReceivedFilm, *, same_pixels: SamePixels | None = None) -> str:
    """Enqueue one film; see :func:`enqueue_many`."""
    return enqueue_many(ledger, [film], same_pixels=same_pixels)[0]


def enqueue_many(
    ledger: Ledger, received: Sequence[ReceivedFilm], *, same_pixels: SamePixels | None = None
) -> list[str]:
    """Enqueue films in one transaction; when it returns, they are durable.

    Args:
        ledger: The ledger.
        received: Films that lie durably at their paths.
        same_pixels: Asked when a UID is known and the hashes are absent or differ, for example
            because the film came in another transfer syntax. Default: other hash, other pixels.

    Returns:
        For each film ``"new"``; ``"duplicate"`` when its UID is known with the same pixels; or
        ``"conflict"`` when it is known with other pixels: the newcomer is then in quarantine.
    """
    now = ledger.clock()
    outcomes: list[str] = []
    with ledger.write() as connection:
        for film in received:
            outcomes.append(_enqueue(connection, film, now, same_pixels))
        for study_uid in sorted({film.key.study_uid for film in received}):
            studies.refresh(connection, study_uid, now=now)
        subject = received[0].key.sop_uid if len(received) == 1 else ""
        detail: dict[str, Any] = dict(Counter(outcomes))
        if received:
            detail["source"] = received[0].source
            audit.record(connection, "intake", "received", subject, detail, now=now)
    return outcomes


def known_paths(ledger: Ledger, paths: Iterable[str]) -> set[str]:
    """Which of these paths have arrived before, whatever became of them."""
    wanted, known = list(paths), set[str]()
    with ledger.read() as connection:
        for start in range(0, len(wanted), 500):
            chunk = wanted[start : start + 500]
            query = select(arrivals.c.path).where(arrivals.c.path.in_(chunk))
            known.update(connection.execute(query).scalars())
    return known


def kept_paths(ledger: Ledger, paths: Iterable[str]) -> set[str]:
    """Which of these paths a film or an entry of the quarantine lies at."""
    wanted = list(paths)
    with ledger.read() as connection:
        at_film = select(films.c.path).where(films.c.path.in_(wanted))
        at_entry = select(quarantined.c.path).where(quarantined.c.path.in_(wanted))
        return {
            *connection.execute(at_film).scalars(),
            *connection.execute(at_entry).scalars(),
        }


def settled(ledger: Ledger, sop_uids: Iterable[str]) -> set[str]:
    """Which of these objects need not be fetched: it is known what became of them.

    A film that is here, one that was refused (until a person releases its entry), and one of our
    own results. An object that could not be retrieved is not among them.
    """
    wanted, known = list(sop_uids), set[str]()
    is_final = (quarantined.c.reason != quarantine.NOT_RETRIEVED) & (
        quarantined.c.resolution != quarantine.RELEASED
    )
    with ledger.read() as connection:
        for start in range(0, len(wanted), 500):
            chunk = wanted[start : start + 500]
            for query in (
                select(films.c.sop_uid).where(films.c.sop_uid.in_(chunk)),
                select(quarantined.c.sop_uid).where(quarantined.c.sop_uid.in_(chunk), is_final),
                select(arrivals.c.sop_uid).where(
                    arrivals.c.sop_uid.in_(chunk), arrivals.c.outcome == IGNORED
                ),
            ):
                known.update(connection.execute(query).scalars())
    return known


def ignore(
    ledger: Ledger, sop_uid: str, reason: str, *, source: str = "", calling_ae: str = ""
) -> None:
    """Record that an object came and was not kept, because it is no film of anybody's."""
    now = ledger.clock()
    with ledger.write() as connection:
        connection.execute(
            arrivals.insert().values(
                sop_uid=sop_uid,
                source=source,
                calling_ae=calling_ae,
                outcome=IGNORED,
                reason=reason,
                arrived_at=now,
            )
        )
        audit.record(connection, "intake", "ignored", sop_uid, {"reason": reason}, now=now)


def _enqueue(
    connection: Connection, film: ReceivedFilm, now: float, same_pixels: SamePixels | None
) -> str:
    key = film.key
    row = {
        "sop_uid": key.sop_uid,
        "study_uid": key.study_uid,
        "series_uid": key.series_uid,
        "patient_id": key.patient_id,
        "path": film.path,
        "pixel_sha256": film.pixel_sha256,
        "size_bytes": film.size_bytes,
        "sop_class_uid": film.sop_class_uid,
        "modality": film.modality,
        "study_date": film.study_date,
        "accession_number": film.accession_number,
        "source": film.source,
        "calling_ae": film.calling_ae,
        "priority": film.priority,
        "rank": now + PRIORITY_DELAY_SECONDS[film.priority],
        "state": SCHEDULED,
        "available_at": now,
        "received_at": now,
    }
    outcome = NEW
    if not insert_new(connection, films, [row], ["sop_uid"]):
        kept = connection.execute(select(films).where(films.c.sop_uid == key.sop_uid)).one()
        outcome = DUPLICATE if _is_same(kept, film, same_pixels) else CONFLICT
    _arrive(connection, film, outcome, now)
    if outcome == NEW:
        quarantine.retrieved(connection, key.study_uid, key.sop_uid, now=now)
    if outcome == CONFLICT:
        quarantine.put(
            connection,
            film,
            SAME_UID_REASON,
            "A film with this SOP Instance UID is here with other pixels. A UID names one image: "
            "correct it at the source, then send the film again.",
            now=now,
        )
    return outcome


def _is_same(kept: Any, film: ReceivedFilm, same_pixels: SamePixels | None) -> bool:
    if kept.pixel_sha256 and kept.pixel_sha256 == film.pixel_sha256:
        return True
    if kept.path == film.path:
        return not (kept.pixel_sha256 and film.pixel_sha256)
    return same_pixels is not None and same_pixels(kept.path, film.path)


def _arrive(connection: Connection, film: ReceivedFilm, outcome: str, now: float) -> None:
    connection.execute(
        arrivals.insert().values(
            sop_uid=film.key.sop_uid,
            path=film.path,
            source=film.source,
            calling_ae=film.calling_ae,
            outcome=outcome,
            reason=SAME_UID_REASON if outcome == CONFLICT else "",
            arrived_at=now,
        )
    )
