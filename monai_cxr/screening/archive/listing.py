"""Archive listing: the files of an archive into the queue, each once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from monai_cxr.errors import InputError
from monai_cxr.reading.listing import ArchiveFile, archive_files
from monai_cxr.screening.arriving import intake
from monai_cxr.screening.ledger import Ledger, arrivals, quarantine
from monai_cxr.screening.ledger.records import ReceivedFilm

SOURCE = "archive"
"""Name of the door that an archive's files come through."""

_CHUNK = 64
_JUDGEMENT = arrivals.Judgement(intake.same_pixels, is_sound=intake.is_sound)
"""Of two files of one archive, none is the correction of the other."""


def enqueue_listed(source: Path, ledger: Ledger, out: Path) -> Iterator[int]:
    """Enqueue the files that have not been seen before; gives the number looked at, in steps.

    Args:
        source: See :func:`monai_cxr.reading.listing.archive_files`.
        ledger: The ledger.
        out: Folder of the results, which is not part of the archive.
    """
    files = archive_files(source, excluded=[out])
    n_seen = 0
    while chunk := list(islice(files, _CHUNK)):
        known = arrivals.known_paths(ledger, [str(file.path) for file in chunk])
        _enqueue(ledger, [file for file in chunk if str(file.path) not in known])
        n_seen += len(chunk)
        yield n_seen


def _enqueue(ledger: Ledger, files: list[ArchiveFile]) -> None:
    """Enqueue readable files; whatever else there is goes to quarantine, in the same order."""
    waiting: list[ReceivedFilm] = []
    for file in files:
        try:
            waiting.append(intake.describe(file.path, name=file.name, source=SOURCE))
        except InputError as error:
            arrivals.enqueue_many(ledger, waiting, judgement=_JUDGEMENT)
            waiting.clear()
            quarantine.refuse(ledger, str(file.path), error.reason, str(error), source=SOURCE)
    if waiting:
        arrivals.enqueue_many(ledger, waiting, judgement=_JUDGEMENT)
