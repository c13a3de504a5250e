"""Settings: one TOML file; an unknown key names its neighbours, a secret stays out of the file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_cxr.errors import SettingsError
from monai_cxr.screening.settings_reader import SECRET, TableReader

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True, slots=True)
class LedgerTable:
    """``[ledger]``.

    Attributes:
        url: ``sqlite:///FILE`` or ``postgresql://...``; or ``url_env``, ``url_file``.
    """

    url: str = field(metadata=SECRET, repr=False)


@dataclass(frozen=True, slots=True)
class SpoolTable:
    """``[spool]``.

    Attributes:
        folder: Where received files are kept.
        reserve_gib: Low-water mark of its disk; below it nothing is accepted.
        keep_days: Spooled files of completed films are deleted after so many days; 0 keeps them.
    """

    folder: Path
    reserve_gib: float = 5.0
    keep_days: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelTable:
    """``[model]``.

    Attributes:
        bundle: Folder of a packaged bundle.
        device: ``"auto"``, ``"cpu"``, ``"cuda:0"`` ...
        batch_size: Films at a time.
        readers: Threads that read ahead.
        lease_seconds: How long a worker may be silent before others take its films.
        max_attempts: Then a film is quarantined.
    """

    bundle: str
    device: str = "auto"
    batch_size: int = 8
    readers: int = 2
    lease_seconds: float = 300.0
    max_attempts: int = 5


@dataclass(frozen=True, slots=True)
class WatchTable:
    """``[watch]``.

    Attributes:
        folder: Searched with its subfolders.
        settle_seconds: A file is taken when it has not changed for so long.
        delete: Whether a file is deleted when it is durable in the spool.
        priority: Priority class of what arrives here.
    """

    folder: Path
    settle_seconds: float = 5.0
    delete: bool = False
    priority: str = "ROUTINE"


@dataclass(frozen=True, slots=True)
class SenderTable:
    """``[[listener.senders]]``: who may send.

    Attributes:
        ae_title: Calling AE title.
        host: Its host name or address; ``""`` for any.
        port: Where it takes Storage Commitment reports; 0 for nowhere.
    """

    ae_title: str
    host: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class TlsTable:
    """``tls``: PEM files.

    Attributes:
        certificate: Ours.
        private_key: Ours.
        authorities: Whom we trust.
    """

    certificate: Path
    private_key: Path
    authorities: Path


@dataclass(frozen=True, slots=True)
class ListenerTable:
    """``[listener]``: films by C-STORE.

    Attributes:
        ae_title: Our AE title.
        host: Address to listen on.
        port: Port.
        senders: Who may send; empty allows nobody.
        max_associations: At a time.
        priority: Priority class of what arrives here.
        tls: Mutual TLS.
    """

    ae_title: str = "MONAI_CXR"
    host: str = "127.0.0.1"
    port: int = 11112
    senders: tuple[SenderTable, ...] = ()
    max_associations: int = 64
    priority: str = "ROUTINE"
    tls: TlsTable | None = None


@dataclass(frozen=True, slots=True)
class DestinationTable:
    """``[[destinations]]``: where results go.

    Attributes:
        name: Unique name.
        kind: ``"folder"``, ``"pacs"`` (C-STORE) or ``"dicomweb"`` (STOW-RS).
        objects: What is sent: ``"sr"`` (structured report), ``"sc"`` (heat map of the most
            probable positive finding).
        path: Of a folder.
        ae_title: Called AE title of a PACS.
        calling_ae: Our AE title.
        host: Of a PACS.
        port: Of a PACS.
        tls: Mutual TLS with a PACS.
        url: Root of a DICOMweb service.
        username: For HTTP Basic.
        password: By ``password_env`` or ``password_file``.
        token: By ``token_env`` or ``token_file``.
    """

    name: str
    kind: str
    objects: tuple[str, ...] = ("sr",)
    path: Path | None = None
    ae_title: str = ""
    calling_ae: str = "MONAI_CXR"
    host: str = ""
    port: int = 104
    tls: TlsTable | None = None
    url: str = ""
    username: str = ""
    password: str = field(default="", metadata=SECRET, repr=False)
    token: str = field(default="", metadata=SECRET, repr=False)


@dataclass(frozen=True, slots=True)
class PullTable:
    """``[[pulls]]``: films that we fetch from a PACS by study date.

    Attributes:
        name: Unique name.
        kind: ``"dicomweb"`` (QIDO-RS, WADO-RS) or ``"pacs"`` (C-FIND, and C-MOVE to the listener).
        every_seconds: Ask again after so long; 0 asks only when ``screen pull`` is run.
        days: How many days back ``screen run`` asks for, today included.
        priority: Priority class of what a DICOMweb service gives.
        url: Root of a DICOMweb service.
        username: For HTTP Basic.
        password: By ``password_env`` or ``password_file``.
        token: By ``token_env`` or ``token_file``.
        ae_title: Called AE title of a PACS.
        calling_ae: Our AE title.
        move_destination: AE title of our listener, as the PACS knows it.
        host: Of a PACS.
        port: Of a PACS.
        tls: Mutual TLS with a PACS.
    """

    name: str
    kind: str
    every_seconds: float = 0.0
    days: int = 2
    priority: str = "ROUTINE"
    url: str = ""
    username: str = ""
    password: str = field(default="", metadata=SECRET, repr=False)
    token: str = field(default="", metadata=SECRET, repr=False)
    ae_title: str = ""
    calling_ae: str = "MONAI_CXR"
    move_destination: str = "MONAI_CXR"
    host: str = ""
    port: int = 104
    tls: TlsTable | None = None


@dataclass(frozen=True, slots=True)
class HealthTable:
    """``[health]``: /healthz, /readyz and /metrics.

    Attributes:
        host: Address to listen on.
        port: Port; 0 for any free one.
    """

    host: str = "127.0.0.1"
    port: int = 9180


@dataclass(frozen=True, slots=True)
class RollUpTable:
    """``[rollup]``: when a study counts as complete.

    Attributes:
        quiet_seconds: Without a new film.
        force_seconds: At the latest.
    """

    quiet_seconds: float = 60.0
    force_seconds: float = 900.0


@dataclass(frozen=True, slots=True)
class ScreeningSettings:
    """The whole file.

    Attributes:
        ledger: Required.
        spool: Required.
        model: Required where films are read.
        watch: A folder to watch.
        listener: C-STORE.
        destinations: Where results go.
        pulls: Where films are fetched from.
        health: HTTP.
        rollup: Studies.
        log_level: ``"DEBUG"``, ``"INFO"``, ``"WARNING"`` or ``"ERROR"``.
    """

    ledger: LedgerTable
    spool: SpoolTable
    model: ModelTable | None = None
    watch: WatchTable | None = None
    listener: ListenerTable | None = None
    destinations: tuple[DestinationTable, ...] = ()
    pulls: tuple[PullTable, ...] = ()
    health: HealthTable = HealthTable()
    rollup: RollUpTable = RollUpTable()
    log_level: str = "INFO"


VIEWER_TABLE = "viewer"
"""The viewer's table, so that one file serves both; the viewer checks it."""

_DESTINATION_NEEDS = {"folder": ("path",), "pacs": ("ae_title", "host"), "dicomweb": ("url",)}
_PULL_NEEDS = {"pacs": ("ae_title", "host"), "dicomweb": ("url",)}
_OBJECTS = ("sr", "sc")
_PRIORITIES = ("STAT", "HIGH", "ROUTINE", "LOW")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def read_settings(path: Path | str) -> ScreeningSettings:
    """Read and check a settings file.

    Args:
        path: A TOML file. Relative paths in it are relative to its folder.

    Raises:
        SettingsError: Naming the key, what was expected, and the nearest known key.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"The settings '{path.name}' cannot be read: {error.strerror}."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings '{path.name}' are no TOML: {error}.") from None
    return settings_of(content, folder=path.absolute().parent)


def settings_of(
    content: Mapping[str, Any], *, folder: Path, environment: Mapping[str, str] | None = None
) -> ScreeningSettings:
    """Check a parsed file; see :func:`read_settings`."""
    reader = TableReader(folder, os.environ if environment is None else environment)
    own = {key: value for key, value in content.items() if key != VIEWER_TABLE}
    settings: ScreeningSettings = reader.table(ScreeningSettings, own, "")
    _check(settings)
    return settings


def _check(settings: ScreeningSettings) -> None:
    _one_of("log_level", settings.log_level, _LEVELS)
    for name, table in (("watch", settings.watch), ("listener", settings.listener)):
        if table is not None:
            _one_of(f"{name}.priority", table.priority, _PRIORITIES)
    if settings.spool.reserve_gib < 0 or settings.spool.keep_days < 0:
        raise SettingsError("Expected spool.reserve_gib and spool.keep_days of at least 0.")
    if settings.model is not None and (
        settings.model.batch_size < 1
        or settings.model.readers < 1
        or settings.model.max_attempts < 1
    ):
        raise SettingsError(
            "Expected model.batch_size, model.readers and model.max_attempts of at least 1."
        )
    names = [destination.name for destination in settings.destinations]
    if len(set(names)) != len(names):
        raise SettingsError("Expected destinations with different names.")
    for destination in settings.destinations:
        where = f"destinations.{destination.name}"
        _one_of(f"{where}.kind", destination.kind, tuple(_DESTINATION_NEEDS))
        for item in destination.objects:
            _one_of(f"{where}.objects", item, _OBJECTS)
        for need in _DESTINATION_NEEDS[destination.kind]:
            if not getattr(destination, need):
                raise SettingsError(
                    f"A destination of kind {destination.kind} needs {where}.{need}."
                )
    _check_pulls(settings)
    if settings.watch is not None:
        watch, spool = settings.watch.folder.absolute(), settings.spool.folder.absolute()
        if watch == spool or watch in spool.parents or spool in watch.parents:
            raise SettingsError("Expected watch.folder and spool.folder apart from each other.")


def _check_pulls(settings: ScreeningSettings) -> None:
    if len({pull.name for pull in settings.pulls}) != len(settings.pulls):
        raise SettingsError("Expected pulls with different names.")
    for pull in settings.pulls:
        where = f"pulls.{pull.name}"
        _one_of(f"{where}.kind", pull.kind, tuple(_PULL_NEEDS))
        _one_of(f"{where}.priority", pull.priority, _PRIORITIES)
        if pull.days < 1 or pull.every_seconds < 0:
            raise SettingsError(f"Expected {where}.days of at least 1, every_seconds of 0 or more.")
        for need in _PULL_NEEDS[pull.kind]:
            if not getattr(pull, need):
                raise SettingsError(f"A pull of kind {pull.kind} needs {where}.{need}.")


def _one_of(where: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SettingsError(f"Expected {where} of {', '.join(allowed)}, but got '{value}'.")
