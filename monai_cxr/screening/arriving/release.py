"""Release: a person's word on what lies in quarantine: try it again, or take the newcomer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from monai_cxr.errors import InputError
from monai_cxr.screening.arriving import intake
from monai_cxr.screening.ledger import Ledger, arrivals, quarantine


def release(ledger: Ledger, ids: Sequence[int], *, actor: str) -> int:
    """Schedule quarantined films again; gives how many there were.

    The newcomer of a conflict, which has other pixels than the film of its UID, takes that film's
    place. What never became a film is only closed: the next pull asks for it again; where it was
    sent, its sender has to send it again.

    Args:
        ledger: The ledger.
        ids: Numbers of entries.
        actor: Who decides.
    """
    n_taken = 0
    for entry in quarantine.entries_of(ledger, ids):
        if entry.film_id is not None or entry.reason != arrivals.SAME_UID_REASON:
            continue
        try:
            film = intake.describe(Path(entry.path), name=entry.path, source=entry.source)
        except InputError:
            continue
        arrivals.enqueue(
            ledger,
            replace(film, calling_ae=entry.calling_ae),
            judgement=arrivals.Judgement(prefers_newcomer=True),
        )
        n_taken += 1
    return n_taken + quarantine.release(ledger, ids, actor=actor)
