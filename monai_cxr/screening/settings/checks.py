"""Settings: one TOML file; an unknown key names its neighbours, a secret stays out of the file."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_cxr.dicom.results.report_document import REPORT_CLASS_NAMES
from monai_cxr.errors import SettingsError
from monai_cxr.reading.reader_limits import ReaderLimits
from monai_cxr.screening.settings.tables import (
    AlarmsTable,
    DestinationTable,
    Hl7Table,
    LedgerTable,
    ModelTable,
    PullTable,
    ScreeningSettings,
)
from monai_cxr.settings_reader import TableReader

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


VIEWER_TABLE = "viewer"
"""The viewer's table, so that one file serves both; the viewer checks it."""

_DESTINATION_NEEDS = {
    **{"folder": ("path",), "pacs": ("ae_title", "host"), "dicomweb": ("url",)},
    "mllp": ("host",),
    "fhir": ("url",),
}
_PULL_NEEDS = {"pacs": ("ae_title", "host"), "dicomweb": ("url",)}
_COMMON_KEYS = ("name", "kind", "objects", "every_seconds", "days", "priority", "modalities")
_KEYS = {
    "folder": ("path", "file_mode", "sr_class"),
    "pacs": (
        *("ae_title", "calling_ae", "move_destination", "host", "port", "tls"),
        *("timeout_seconds", "retrieve_seconds", "sr_class"),
    ),
    "dicomweb": (
        *("url", "username", "password", "token", "tls", "authorities", "timeout_seconds"),
        "sr_class",
    ),
    "mllp": ("host", "port", "tls", "timeout_seconds"),
    "fhir": ("url", "username", "password", "token", "tls", "authorities", "timeout_seconds"),
}
"""Keys that each kind of destination and pull uses, beside the common ones."""

FILE_MODES = ("0600", "0640", "0660")
"""Modes of files in a folder; what holds patients is never readable by everybody."""

SR_CLASSES = tuple(REPORT_CLASS_NAMES)
"""Classes that a structured report may be sent in first."""

_DICOM_OBJECTS, _MESSAGES = ("sr", "study_sr", "sc", "seg", "pdf"), ("fhir", "hl7")
_TAKEN_BY = {
    "folder": (*_DICOM_OBJECTS, *_MESSAGES),
    "pacs": _DICOM_OBJECTS,
    "dicomweb": _DICOM_OBJECTS,
    "mllp": ("hl7",),
    "fhir": ("fhir",),
}
_PRIORITIES = ("STAT", "HIGH", "ROUTINE", "LOW")
_SQLITE = "sqlite:///"
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
        raise SettingsError(f"The settings '{path.name}' are not valid TOML: {error}.") from None
    return settings_of(content, folder=path.absolute().parent)


def settings_of(
    content: Mapping[str, Any], *, folder: Path, environment: Mapping[str, str] | None = None
) -> ScreeningSettings:
    """Check a parsed file; see :func:`read_settings`."""
    reader = TableReader(folder, os.environ if environment is None else environment)
    own = {key: value for key, value in content.items() if key != VIEWER_TABLE}
    _refuse_written_password(own.get("ledger"))
    settings: ScreeningSettings = reader.table(ScreeningSettings, own, "")
    _check(settings)
    ledger = replace(settings.ledger, url=url_beside(settings.ledger.url, folder))
    return replace(settings, ledger=ledger)


def pull_named(settings: ScreeningSettings, name: str) -> PullTable:
    """The pull of that name.

    Raises:
        SettingsError: If there is none.
    """
    tables = {table.name: table for table in settings.pulls}
    if name not in tables:
        known = ", ".join(tables) or "none; add [[pulls]]"
        raise SettingsError(f"The settings have no pull '{name}'. Known: {known}.")
    return tables[name]


def ledger_of(
    content: Mapping[str, Any], *, folder: Path, environment: Mapping[str, str] | None = None
) -> str | None:
    """The address that a parsed file's ``[ledger]`` names, or None without that table."""
    if "ledger" not in content:
        return None
    _refuse_written_password(content["ledger"])
    reader = TableReader(folder, os.environ if environment is None else environment)
    url: str = reader.table(LedgerTable, content["ledger"], "ledger").url
    return url_beside(url, folder)


def bundle_of(content: Mapping[str, Any], *, folder: Path) -> Path | None:
    """The bundle that a parsed file's ``[model]`` names, or None without that table."""
    if "model" not in content:
        return None
    bundle: Path = TableReader(folder, {}).table(ModelTable, content["model"], "model").bundle
    return bundle


def url_beside(url: str, folder: Path) -> str:
    """A database's address; the relative path of a SQLite file is relative to ``folder``."""
    name = url.removeprefix(_SQLITE)
    if name == url or not name or name.startswith(("/", ":memory:")):
        return url
    return f"{_SQLITE}{folder / name}"


def _check(settings: ScreeningSettings) -> None:
    _one_of("log_level", settings.log_level, _LEVELS)
    for name, table in (("watch", settings.watch), ("listener", settings.listener)):
        if table is not None:
            _one_of(f"{name}.priority", table.priority, _PRIORITIES)
    if settings.spool.reserve_gib < 0 or settings.spool.keep_days < 0:
        raise SettingsError("Expected spool.reserve_gib and spool.keep_days of at least 0.")
    if settings.ledger.keep_days < 0:
        raise SettingsError("Expected ledger.keep_days of at least 0.")
    if settings.model is not None and (
        settings.model.batch_size < 1
        or settings.model.readers < 1
        or settings.model.max_attempts < 1
    ):
        raise SettingsError(
            "Expected model.batch_size, model.readers and model.max_attempts of at least 1."
        )
    if settings.model is not None:
        ReaderLimits(settings.model.reader_timeout_seconds, settings.model.reader_memory_gib)
    names = [destination.name for destination in settings.destinations]
    if len(set(names)) != len(names):
        raise SettingsError("Expected destinations with different names.")
    for destination in settings.destinations:
        _check_destination(destination)
    _check_pulls(settings)
    _check_alarms(settings.alarms)
    if settings.listener is not None:
        for rule in settings.listener.rules:
            _one_of("listener.rules.priority", rule.priority, ("", *_PRIORITIES))
    if settings.hl7 is not None:
        _check_hl7(settings.hl7)
    if settings.reports.keep_text_days < 0:
        raise SettingsError("Expected reports.keep_text_days of at least 0.")
    if settings.watch is not None:
        watch, spool = settings.watch.folder.absolute(), settings.spool.folder.absolute()
        if watch == spool or watch in spool.parents or spool in watch.parents:
            raise SettingsError("Expected watch.folder and spool.folder apart from each other.")


def _check_alarms(table: AlarmsTable) -> None:
    if table.webhook and not table.webhook.startswith(("http://", "https://")):
        raise SettingsError("Expected alarms.webhook as an address with http:// or https://.")
    refuse_userinfo("alarms.webhook", table.webhook)
    if table.mail_to and not (table.mail_from and table.smtp_host):
        raise SettingsError("alarms.mail_to needs alarms.mail_from and alarms.smtp_host.")
    broken = [one for one in (*table.mail_to, table.mail_from) if "\n" in one or "\r" in one]
    if broken:
        raise SettingsError("Expected addresses of one line in alarms.mail_to and mail_from.")
    if table.username and not table.smtp_tls:
        raise SettingsError("alarms.username needs alarms.smtp_tls: a password is not sent open.")
    if table.timeout_seconds <= 0:
        raise SettingsError("Expected alarms.timeout_seconds above 0.")


def _check_hl7(table: Hl7Table) -> None:
    if not table.senders:
        raise SettingsError("hl7.senders is empty, so nobody may send. Name the senders' hosts.")
    if table.most_mib <= 0 or table.most_connections < 1 or table.timeout_seconds <= 0:
        raise SettingsError(
            "Expected hl7.most_mib and hl7.timeout_seconds above 0, and hl7.most_connections of at "
            "least 1."
        )


def _check_destination(destination: DestinationTable) -> None:
    where = f"destinations.{destination.name}"
    _one_of(f"{where}.kind", destination.kind, tuple(_DESTINATION_NEEDS))
    for item in destination.objects:
        _one_of(f"{where}.objects", item, (*_DICOM_OBJECTS, *_MESSAGES))
        if item not in _TAKEN_BY[destination.kind]:
            raise SettingsError(
                f"Expected {where}.objects of {', '.join(_TAKEN_BY[destination.kind])}, but got "
                f"'{item}', which a destination of kind {destination.kind} does not take: a "
                "message goes to one of kind folder, for an interface engine to fetch, hl7 by kind "
                "mllp, or fhir by kind fhir."
            )
    _one_of(f"{where}.file_mode", destination.file_mode, FILE_MODES)
    _one_of(f"{where}.sr_class", destination.sr_class, SR_CLASSES)
    for need in _DESTINATION_NEEDS[destination.kind]:
        if not getattr(destination, need):
            raise SettingsError(f"A destination of kind {destination.kind} needs {where}.{need}.")
    _check_connection(where, destination)


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
        _check_connection(where, pull)
        if not pull.modalities or pull.retrieve_seconds <= 0:
            raise SettingsError(
                f"Expected {where}.modalities with a modality, and {where}.retrieve_seconds "
                "above 0."
            )


def _refuse_written_password(ledger: Any) -> None:
    """A database's user may be written; its password comes from a variable or a file."""
    url = ledger.get("url", "") if isinstance(ledger, Mapping) else ""
    if not isinstance(url, str):
        return
    user = url.partition("://")[2].rpartition("@")[0]
    if ":" in user or "password=" in url.partition("?")[2]:
        raise SettingsError(
            "A password does not belong into the settings: replace ledger.url by url_env (a "
            "variable) or url_file, or leave it to PGPASSFILE."
        )


def refuse_userinfo(where: str, url: str) -> None:
    """Refuse a user name or a password in an address, which logs and names would repeat.

    Raises:
        SettingsError: If there is one.
    """
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise SettingsError(
            f"Expected {where} without a user name or a password. Use username and password_env, "
            "or the variables MONAI_CXR_DICOMWEB_USERNAME and MONAI_CXR_DICOMWEB_PASSWORD."
        )


def _check_connection(where: str, table: DestinationTable | PullTable) -> None:
    """What a table of this kind uses; a key that it does not use is refused, not ignored."""
    uses = _KEYS[table.kind]
    for entry in dataclasses.fields(table):
        given = getattr(table, entry.name)
        if given != entry.default and entry.name not in uses and entry.name not in _COMMON_KEYS:
            raise SettingsError(
                f"{where}.{entry.name} is not used by kind {table.kind}, so it would be without "
                f"effect. Remove it. Used: {', '.join(uses)}."
            )
    if table.timeout_seconds <= 0:
        raise SettingsError(f"Expected {where}.timeout_seconds above 0.")
    refuse_userinfo(f"{where}.url", table.url)


def _one_of(where: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SettingsError(f"Expected {where} of {', '.join(allowed)}, but got '{value}'.")
