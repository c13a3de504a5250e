"""Archive from a PACS: the films of a range of study dates, fetched while others are screened."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from sqlalchemy import select

from monai_cxr.errors import DeliveryError, InputError, SettingsError
from monai_cxr.screening.arriving import intake, retention
from monai_cxr.screening.arriving.pull import (
    IncompletePull,
    Pulled,
    Source,
    not_delivered,
    pulled_batches,
)
from monai_cxr.screening.arriving.spool import GIB, Spool
from monai_cxr.screening.ledger import Ledger, jobs
from monai_cxr.screening.ledger.schema import films
from monai_cxr.screening.ledger.watching import counts
from monai_cxr.screening.network.dicom_network import AllowedSender
from monai_cxr.screening.service.parts import listener_of, pull_source_of
from monai_cxr.screening.settings.checks import pull_named, read_settings, refuse_userinfo
from monai_cxr.screening.settings.listener import ListenerSettings
from monai_cxr.screening.settings.tables import PullTable, ScreeningSettings

DICOMWEB, DIMSE = ("http://", "https://"), "dimse://"
SPOOL_NAME = "spool"
SECRETS = ("MONAI_CXR_DICOMWEB_USERNAME", "MONAI_CXR_DICOMWEB_PASSWORD", "MONAI_CXR_DICOMWEB_TOKEN")
"""Variables that hold what a DICOMweb service asks for."""

_ADDRESS = re.compile(r"(?P<ae>[^@/\\]{1,16})@(?P<host>[^@:/]+):(?P<port>[0-9]{1,5})/?")
_PATIENCE, _PAUSE_SECONDS = 5, 4.0


@dataclass(frozen=True, slots=True)
class PacsArchive:
    """A range of study dates of a PACS.

    Attributes:
        pull: Where from.
        first: First study date.
        last: Last study date, included.
        listener: Where C-MOVE sends to; None for DICOMweb.
        discard: Whether a fetched film is deleted when it is finished.
        reserve_gib: Free space below which nothing more is fetched; that of ``[spool]`` where the
            source is a pull of settings.
    """

    pull: PullTable
    first: date
    last: date
    listener: ListenerSettings | None = None
    discard: bool = False
    reserve_gib: float = 1.0

    def spool(self, out: Path) -> Spool:
        """The fetched files of an archive in ``out``."""
        return Spool(out / SPOOL_NAME, reserve_bytes=int(self.reserve_gib * GIB))


def is_pacs(source: str) -> bool:
    """Whether a source is the address of a PACS."""
    return source.startswith((*DICOMWEB, DIMSE))


def pacs_archive(
    source: str,
    first: date | None,
    last: date | None,
    *,
    listener: str = "MONAI_CXR@127.0.0.1:11112",
    settings: Path | None = None,
    discard: bool = False,
    environment: Mapping[str, str] | None = None,
) -> PacsArchive:
    """Read where films are to be fetched from.

    Args:
        source: ``https://HOST/ROOT`` (DICOMweb), ``dimse://AET@HOST:PORT`` (C-FIND and C-MOVE), or
            with ``settings`` the name of a pull.
        first: First study date.
        last: Last study date, included.
        listener: ``AET@HOST:PORT`` where we take what C-MOVE sends; the PACS must know it.
        settings: TOML with ``[[pulls]]`` and, for C-MOVE, ``[listener]``: for TLS and secrets.
        discard: Whether a fetched film is deleted when it is finished.
        environment: Where :data:`SECRETS` are looked up.

    Raises:
        SettingsError: If an address is malformed, the range is absent, or the pull is unknown.
    """
    if first is None or last is None or last < first:
        raise SettingsError(
            f"A PACS needs --first and --last, two study dates in order, but got {first} and "
            f"{last}."
        )
    if settings is not None:
        read = read_settings(settings)
        pull, door = _of_settings(source, read)
        return PacsArchive(pull, first, last, door, discard, read.spool.reserve_gib)
    if source.startswith(DIMSE):
        pull, door = _of_dimse(source, listener)
    else:
        known = os.environ if environment is None else environment
        pull, door = _of_dicomweb(source, known), None
    return PacsArchive(pull, first, last, door, discard)


def fetched(source: PacsArchive, ledger: Ledger, out: Path) -> Iterator[int]:
    """Fetch films into the queue; gives the number of files known of after each batch.

    A PACS that does not answer is asked again after a pause, a few times.

    Raises:
        DeliveryError: If it still does not answer; the next run goes on from the day reached.
        InputError: ``"no_images"`` if there is nothing in the range.
        SpoolFull: If the disk is full or less than ``reserve_gib`` of it is free.
    """
    with ExitStack() as stack:
        spool = source.spool(out)
        intake.recover(ledger, spool)
        if source.listener is not None:
            stack.enter_context(listener_of(source.listener, ledger, spool))
        yield _n_arrived(ledger)  # before this run
        for done in _patiently(ledger, pull_source_of(source.pull, ledger, spool), source):
            if source.discard:
                retention.clean_spool(ledger, spool, keep_days=0)
            yield _n_arrived(ledger) + done.n_left
    if not _n_arrived(ledger):
        raise InputError(
            f"The PACS holds no CR or DX image from {source.first} to {source.last}.",
            reason="no_images",
        )


def discard_finished(source: PacsArchive, ledger: Ledger, out: Path) -> None:
    """Delete what was fetched and is finished, where that was asked for."""
    if source.discard:
        spool = source.spool(out)
        while retention.clean_spool(ledger, spool, keep_days=0):
            pass


def refuse_discarded(ledger: Ledger, model_digest: str) -> None:
    """Refuse another model where the films were discarded after the first.

    Raises:
        SettingsError: If a film has neither a file nor a result of this model.
    """
    query = select(films.c.id).where(jobs.unread_by(model_digest), films.c.path == "")
    with ledger.read() as connection:
        is_any = connection.execute(query.limit(1)).first() is not None
    if is_any:
        raise SettingsError(
            "Films of this folder were discarded after another model had read them. Choose another "
            "--out for this bundle."
        )


def _patiently(ledger: Ledger, pacs: Source, source: PacsArchive) -> Iterator[Pulled]:
    n_failures = 0
    while True:
        try:
            for done in pulled_batches(ledger, pacs, source.first, source.last):
                n_failures = 0
                yield done
            return
        except IncompletePull:  # noted in the quarantine; the command says so at its end
            return
        except DeliveryError as error:
            n_failures += 1
            if n_failures >= _PATIENCE:
                raise not_delivered(error) from None
            time.sleep(_PAUSE_SECONDS * n_failures)


def _n_arrived(ledger: Ledger) -> int:
    return sum(counts.count(ledger).arrivals.values())


def _of_settings(
    name: str, settings: ScreeningSettings
) -> tuple[PullTable, ListenerSettings | None]:
    table = pull_named(settings, name)
    if table.kind == "pacs" and settings.listener is None:
        raise SettingsError("A pull by C-MOVE needs [listener] in the settings.")
    return table, settings.listener if table.kind == "pacs" else None


def _of_dicomweb(source: str, environment: Mapping[str, str]) -> PullTable:
    refuse_userinfo("SOURCE", source)
    username, password, token = (environment.get(name, "") for name in SECRETS)
    return PullTable(
        f"archive {source}",
        "dicomweb",
        url=source,
        username=username,
        password=password,
        token=token,
    )


def _of_dimse(source: str, listener: str) -> tuple[PullTable, ListenerSettings]:
    pacs = _ADDRESS.fullmatch(source.removeprefix(DIMSE))
    ours = _ADDRESS.fullmatch(listener)
    if pacs is None or ours is None:
        raise SettingsError(
            f"Expected a source dimse://AET@HOST:PORT and --listener AET@HOST:PORT, but got "
            f"'{source}' and '{listener}'."
        )
    pull = PullTable(
        f"archive {source}",
        "pacs",
        ae_title=pacs["ae"],
        host=pacs["host"],
        port=int(pacs["port"]),
        calling_ae=ours["ae"],
        move_destination=ours["ae"],
    )
    sender = AllowedSender(pacs["ae"], pacs["host"])
    door = ListenerSettings(ours["ae"], ours["host"], int(ours["port"]), (sender,))
    return pull, door
