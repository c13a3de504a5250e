"""Presentation: raw images of a study that also has them for presentation get no report.

A DX system may send detector values (FOR PROCESSING) beside the image that people look at (PS3.3
A.26). Both are read; the study and its reports speak of the one for presentation, by the rule of
:func:`monai_cxr.dicom.header.scope.raw_beside_processed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from monai_cxr.dicom.header.scope import raw_beside_processed
from monai_cxr.radiograph import ViewPosition
from monai_cxr.screening.ledger.schema import films, results

if TYPE_CHECKING:
    from monai_cxr.screening.ledger.database import Ledger
    from monai_cxr.screening.ledger.records import Film, Result

RAW_FLAG = "for_processing"


def is_raw(flags: Sequence[str]) -> bool:
    """Whether a result is that of a raw image (detector values)."""
    return RAW_FLAG in flags


def needless(images: Sequence[tuple[str, Sequence[str]]]) -> tuple[bool, ...]:
    """Which of a study's results another one speaks for.

    Args:
        images: (view, flags) of each result of one study.
    """
    return raw_beside_processed(
        [("", ViewPosition.of(view), is_raw(flags)) for view, flags in images]
    )


def newest_results(connection: Connection, study_uid: str) -> Sequence[Any]:
    """The newest result of each film of a study, without its logits and measures."""
    table = results.c
    newest = (films.c.sop_uid == table.sop_uid) & (films.c.model_digest == table.model_digest)
    shown = (table.sop_uid, table.view, table.flags, table.findings)
    query = select(*shown, table.probabilities, table.positive).join(films, newest)
    return connection.execute(query.where(films.c.study_uid == study_uid)).all()


def spoken_for(ledger: Ledger, film: Film, result: Result) -> bool:
    """Whether the study of a raw image has the same view for presentation, with a result."""
    if not is_raw(result.prediction.flags) or not film.key.study_uid:
        return False
    with ledger.read() as connection:
        rows = newest_results(connection, film.key.study_uid)
    of_study = needless([(row.view, row.flags) for row in rows])
    return any(
        hit and row.sop_uid == film.key.sop_uid for hit, row in zip(of_study, rows, strict=True)
    )
