"""Arrivals: a film is enqueued once; what comes again under its UID is judged.

The same pixels with the same header are a duplicate; with another header a correction, which takes
the film's place. Other pixels take the place of a film that was refused or is damaged, and go to
quarantine where the film is sound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from monai_cxr.screening.ledger import (
    audit,
    patients,
    quarantine,
    rejections,
    sent_messages,
    studies,
)
from monai_cxr.screening.ledger.database import Ledger, insert_new
from monai_cxr.screening.ledger.records import PRIORITY_DELAY_SECONDS, ReceivedFilm
from monai_cxr.screening.ledger.schema import (
    COMPLETED,
    CORRECTED,
    DELIVERED,
    QUARANTINED,
    REPLACED,
    SCHEDULED,
    TAKES_PLACE,
    UNLEASED,
    arrivals,
    films,
    outbox,
    results,
    values_of,
)
from monai_cxr.screening.ledger.schema import quarantine as quarantined

NEW, DUPLICATE, CONFLICT, IGNORED = "new", "duplicate", "conflict", "ignored"
SAME_UID_REASON = "same_uid_other_pixels"

SamePixels = Callable[[str, str], bool]
"""(path kept, path offered) -> whether both show the same pixels."""

Changes = Callable[[str, str], Sequence[str]]
"""(path kept, path offered) -> keywords of the header that differ and matter."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a film is judged that comes again under a UID that is known.

    Attributes:
        same_pixels: Asked when the hashes are absent or differ, for example because the film came
            in another transfer syntax. Default: other hash, other pixels.
        changes: Asked of films with the same pixels. Default: no header is looked at.
        is_sound: Whether the file at a path can be decoded. Default: it can.
        prefers_newcomer: Whether a person has decided for the newcomer.
    """

    same_pixels: SamePixels | None = None
    changes: Changes | None = None
    is_sound: Callable[[str], bool] | None = None
    prefers_newcomer: bool = False


def enqueue(
    ledger: Ledger,
    film: ReceivedFilm,
    *,
    same_pixels: SamePixels | None = None,
    judgement: Judgement | None = None,
) -> str:
    """Enqueue one film; see :func:`enqueue_many`."""
    return enqueue_many(ledger, [film], same_pixels=same_pixels, judgement=judgement)[0]


def enqueue_many(
    ledger: Ledger,
    received: Sequence[ReceivedFilm],
    *,
    same_pixels: SamePixels | None = None,
    judgement: Judgement | None = None,
) -> list[str]:
    """Enqueue films in one transaction; when it returns, they are durable.

    Args:
        ledger: The ledger.
        received: Films that lie durably at their paths.
        same_pixels: Short for a judgement of pixels alone.
        judgement: How a film is judged whose UID is known.

    Returns:
        For each film ``"new"``; ``"duplicate"`` when its UID is known with the same pixels;
        ``"corrected"`` when these have another header, and ``"replaced"`` when the film that was
        here was refused or is damaged: the newcomer is then the film; or ``"conflict"`` when the
        UID is known with other pixels: the newcomer is then in quarantine.
    """
    now = ledger.clock()
    judgement = judgement or Judgement(same_pixels)
    outcomes: list[str] = []
    touched = {film.key.study_uid for film in received}
    with ledger.write() as connection:
        for film in received:
            outcomes.append(_enqueue(connection, film, now, judgement, touched))
        studies.refresh_all(connection, touched, now=now)
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
    """Which of these paths a film or an open entry of the quarantine lies at."""
    wanted = list(paths)
    with ledger.read() as connection:
        at_film = select(films.c.path).where(films.c.path.in_(wanted))
        at_entry = select(quarantined.c.path).where(
            quarantined.c.path.in_(wanted), quarantined.c.resolved_at.is_(None)
        )
        return set(connection.execute(at_film.union(at_entry)).scalars())


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
    """Record that an object came and was not kept, because it is not a film of anybody's."""
    now = ledger.clock()
    origin = {"sop_uid": sop_uid, "source": source, "calling_ae": calling_ae}
    arrival = {**origin, "outcome": IGNORED, "reason": reason, "arrived_at": now}
    with ledger.write() as connection:
        connection.execute(arrivals.insert().values(**arrival))
        audit.record(connection, "intake", "ignored", sop_uid, {"reason": reason}, now=now)


def paths_of(ledger: Ledger, sop_uid: str) -> set[str]:
    """Where the files of a UID were put, whatever became of them."""
    query = select(arrivals.c.path).where(arrivals.c.sop_uid == sop_uid, arrivals.c.path != "")
    with ledger.read() as connection:
        return set(connection.execute(query).scalars())


def _enqueue(
    connection: Connection, film: ReceivedFilm, now: float, judgement: Judgement, touched: set[str]
) -> str:
    film = replace(
        film, key=replace(film.key, patient_id=patients.current(connection, film.key.patient_id))
    )
    key, row = film.key, _row(film, now)
    outcome = NEW
    if not insert_new(connection, films, [row], ["sop_uid"]):
        query = select(films).where(films.c.sop_uid == key.sop_uid).with_for_update()
        kept = connection.execute(query).one()
        outcome, changed = _judged(kept, film, judgement)
        if outcome in TAKES_PLACE:
            touched.add(kept.study_uid)
            _take_place(connection, kept, row, outcome, changed, now)
    _arrive(connection, film, outcome, now)
    if outcome == NEW:
        quarantine.retrieved(connection, key.study_uid, key.sop_uid, now=now)
        rejections.put_newcomer(connection, key.sop_uid, now=now)
    if outcome == CONFLICT:
        quarantine.put(
            connection,
            film,
            SAME_UID_REASON,
            "A film with this SOP Instance UID is here with other pixels. A UID names one image: "
            "release this entry to take it instead of the other one, or dismiss it.",
            now=now,
        )
    return outcome


def _row(film: ReceivedFilm, now: float) -> dict[str, Any]:
    return {
        **values_of(film.key, ("sop_uid", "study_uid", "series_uid", "patient_id")),
        **values_of(film, (name for name in film.__dataclass_fields__ if name != "key")),
        "rank": now + PRIORITY_DELAY_SECONDS[film.priority],
        "state": SCHEDULED,
        "available_at": 0.0,  # at once, whatever a clock says; only a failure makes it wait
        "received_at": now,
    }


def _judged(kept: Any, film: ReceivedFilm, judgement: Judgement) -> tuple[str, Sequence[str]]:
    """What a film is that comes under a known UID, and which of its attributes differ."""
    if judgement.prefers_newcomer:
        return REPLACED, ()
    if _is_same(kept, film, judgement.same_pixels):
        if judgement.changes is None or kept.path == film.path:
            return DUPLICATE, ()
        known = {name: getattr(film.key, name) for name in ("study_uid", "patient_id")}
        changed = [name for name, value in known.items() if getattr(kept, name) != value]
        changed += judgement.changes(kept.path, film.path) if kept.path else []
        return (CORRECTED if changed else DUPLICATE), changed
    if kept.state == QUARANTINED:
        return REPLACED, ()
    is_unread = kept.state != COMPLETED and judgement.is_sound is not None
    if is_unread and judgement.is_sound is not None and not judgement.is_sound(kept.path):
        return REPLACED, ()
    return CONFLICT, ()


def _take_place(
    connection: Connection,
    kept: Any,
    row: dict[str, Any],
    outcome: str,
    changed: Sequence[str],
    now: float,
) -> None:
    """Make the newcomer the film: read again, reported again; what was said before is withdrawn."""
    values = {name: value for name, value in row.items() if name not in ("received_at", "rank")}
    values |= {"attempts": 0, "reason": "", "finished_at": None, "model_digest": "", **UNLEASED}
    connection.execute(update(films).where(films.c.id == kept.id).values(**values))
    sent_messages.take_back(connection, kept.sop_uid, sent_messages.WRONG, now=now)
    said = (outbox.c.sop_uid == kept.sop_uid) & outbox.c.kind.not_in(sent_messages.WITHDRAWALS)
    is_delivered = said & (outbox.c.state == DELIVERED)
    n_delivered = connection.execute(
        select(func.count()).select_from(outbox).where(is_delivered)
    ).scalar_one()
    connection.execute(delete(outbox).where(said))
    connection.execute(delete(results).where(results.c.sop_uid == kept.sop_uid))
    quarantine.supersede(connection, kept.id, outcome, now=now)
    detail = {"outcome": outcome, "changed": list(changed), "n_delivered_before": n_delivered}
    audit.record(connection, "intake", "film replaced", kept.sop_uid, detail, now=now)


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
            **values_of(film, ("path", "source", "calling_ae")),
            outcome=outcome,
            reason=SAME_UID_REASON if outcome == CONFLICT else "",
            arrived_at=now,
        )
    )
