"""Doctor: tries what the settings name, one line each, before a film depends on it."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from monai_cxr.atomic import private_folder
from monai_cxr.errors import CXRError, DeliveryError, SettingsError
from monai_cxr.screening.arriving.spool import GIB, Spool
from monai_cxr.screening.ledger import audit, open_ledger
from monai_cxr.screening.settings.listener import ListenerSettings, addresses_of
from monai_cxr.screening.settings.tables import (
    DestinationTable,
    Hl7Table,
    PullTable,
    ReportsTable,
    ScreeningSettings,
)

if TYPE_CHECKING:
    from monai_cxr.screening.network.dicom_network import Peer
    from monai_cxr.screening.network.dicomweb import DicomWebServer

_CLASSES = {
    "sr": "1.2.840.10008.5.1.4.1.1.88.34",
    "study_sr": "1.2.840.10008.5.1.4.1.1.88.34",
    "sc": "1.2.840.10008.5.1.4.1.1.7",
    "seg": "1.2.840.10008.5.1.4.1.1.66.4",
    "pdf": "1.2.840.10008.5.1.4.1.1.104.1",
}
"""SOP Class of each kind of object."""

OK, WARNING, FAILED = "ok", "warning", "failed"
_SQLITE_FIXED = (3, 51, 3)


@dataclass(frozen=True, slots=True)
class DoctorCheck:
    """One check.

    Attributes:
        name: What was tried.
        state: ``"ok"``, ``"warning"`` or ``"failed"``.
        text: What was found, and what to do.
    """

    name: str
    state: str
    text: str


def examine(settings: ScreeningSettings, *, own: bool = False) -> Iterator[DoctorCheck]:
    """Try everything that the settings name, cheap things first.

    Args:
        settings: What to try.
        own: Only what is ours: a machine that starts the service must not wait for other people's
            systems. They are named, as warnings, and not asked.
    """
    yield _tried("ledger", lambda: _ledger(settings))
    if settings.ledger.url.startswith("sqlite") and sqlite3.sqlite_version_info < _SQLITE_FIXED:
        yield DoctorCheck(
            "sqlite",
            WARNING,
            f"SQLite {sqlite3.sqlite_version} has a rare race between checkpoints (fixed in "
            "3.51.3); the ledger lets one process at a time make them.",
        )
    yield _tried("spool", lambda: _spool(settings))
    if settings.watch is not None:
        folder = settings.watch.folder
        yield _tried("watch folder", lambda: _readable(folder))
    if settings.model is not None:
        bundle = settings.model.bundle
        yield _tried("bundle", lambda: _bundle(bundle))
    if settings.listener is not None:
        yield _tried("listener", partial(_listener, settings.listener))
    if settings.hl7 is not None:
        yield _tried("hl7", partial(_hl7, settings.hl7))
    if settings.reports.text_key:
        yield _tried("text of reports", partial(_report_text, settings.reports))
    for pull in settings.pulls:
        yield _of_peer(f"pull {pull.name}", pull, partial(_pull, pull), own=own)
    for table in settings.destinations:
        name = f"destination {table.name}"
        yield _of_peer(name, table, partial(_destination, table), own=own)


def _of_peer(
    name: str, table: DestinationTable | PullTable, attempt: Callable[[], str], *, own: bool
) -> DoctorCheck:
    """A destination or a pull: what we need for it, then whether the other side answers."""
    needs = _tried(name, partial(_needs, table))
    if needs.state != OK or (own and table.kind != "folder"):
        return (
            needs
            if needs.state != OK
            else DoctorCheck(name, WARNING, "not asked, because of --own.")
        )
    return _tried(name, attempt)


def _needs(table: DestinationTable | PullTable) -> str:
    from monai_cxr.screening.service.parts import require_extras

    require_extras(table)
    return ""


def _tried(name: str, attempt: Callable[[], str]) -> DoctorCheck:
    try:
        text = attempt()
    except DeliveryError as error:
        return DoctorCheck(name, FAILED, f"{error}. {_advice(str(error))}")
    except CXRError as error:
        return DoctorCheck(name, FAILED, str(error))
    except OSError as error:
        return DoctorCheck(name, FAILED, f"{error.strerror or type(error).__name__}.")
    return DoctorCheck(name, OK, text)


def _advice(reason: str) -> str:
    """What to look at after a failure of this kind."""
    if "certificate" in reason or "TLS" in reason:
        return (
            "Check authorities, the certificates and their host names; a PACS whose certificate "
            "names no host needs tls.check_host_name = false."
        )
    if any(word in reason for word in ("refused", "timed out", "Timeout", "host name", "route")):
        return "Check the address and the port, and what stands between."
    return "Check the AE titles or the password, and what it allows us."


def _ledger(settings: ScreeningSettings) -> str:
    with open_ledger(settings.ledger.url) as ledger:
        trail = audit.verify(ledger, from_checkpoint=True)
        kind = "SQLite" if ledger.is_sqlite else "PostgreSQL"
    if not trail.is_intact:
        raise SettingsError(
            f"The audit trail is broken at entry {trail.broken_at}: somebody changed the ledger. "
            "Keep it as evidence and restore a backup."
        )
    return f"{kind}, audit trail of {trail.n_entries} entries intact, head {trail.head[:12]}."


def _spool(settings: ScreeningSettings) -> str:
    spool = Spool(settings.spool.folder, reserve_bytes=int(settings.spool.reserve_gib * GIB))
    with tempfile.TemporaryFile(dir=spool.root) as stream:
        stream.write(b"written")
        stream.flush()
        os.fsync(stream.fileno())
    free = spool.free_bytes() / GIB
    if spool.is_low():
        raise SettingsError(
            f"{free:.1f} GiB are free, less than spool.reserve_gib = "
            f"{settings.spool.reserve_gib:g}: nothing would be accepted."
        )
    return f"writable, {free:.1f} GiB free."


def _readable(folder: Path) -> str:
    if not folder.is_dir():
        raise SettingsError("watch.folder is not a folder. Create it.")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise SettingsError("watch.folder cannot be read by this user.")
    return "readable."


def _bundle(folder: Path) -> str:
    from monai_cxr.bundle.model import require_findings
    from monai_cxr.bundle.verification import verify

    verified = verify(folder)
    require_findings(folder.name, verified.findings)
    return f"{verified.name} {verified.version}, digest {verified.digest[:12]}, verified."


def _listener(table: ListenerSettings) -> str:
    """Everything but the port, which a running service holds."""
    from monai_cxr.screening.network.dicom_network import server_tls

    for sender in table.senders:
        if sender.host:
            addresses_of(sender.host)
    if table.tls is not None:
        server_tls(table.tls)
    if not table.senders:
        raise SettingsError("listener.senders is empty, so nobody may send. Name the senders.")
    return f"{table.ae_title} on {table.host}:{table.port}, senders: {len(table.senders)}."


def _hl7(table: Hl7Table) -> str:
    """Everything but the port, which a running service holds."""
    from monai_cxr.labels.lexicon import read_lexicon
    from monai_cxr.screening.network.dicom_network import server_tls

    read_lexicon(table.lexicon or table.language)
    for sender in table.senders:
        addresses_of(sender)
    if table.tls is not None:
        server_tls(table.tls)
    return f"on {table.host}:{table.port}, senders: {len(table.senders)}."


def _report_text(table: ReportsTable) -> str:
    from monai_cxr.screening.service.parts import text_seal_of

    text_seal_of(table)
    days = f"for {table.keep_text_days:g} days" if table.keep_text_days else "for good"
    return f"kept encrypted {days}."


def _pull(table: PullTable) -> str:
    from monai_cxr.screening.service.parts import dicomweb_of, peer_of

    if table.kind == "pacs":
        return _echo(peer_of(table), table.calling_ae)
    return _query(dicomweb_of(table))


def _destination(table: DestinationTable) -> str:
    from monai_cxr.screening.network import fhir_client
    from monai_cxr.screening.network.mllp_client import connect
    from monai_cxr.screening.service.parts import dicomweb_of, mllp_of, peer_of

    if table.kind == "pacs":
        peer = peer_of(table)
        return f"{_echo(peer, table.calling_ae)} {_negotiated(peer, table)}"
    if table.kind == "dicomweb":
        return _query(dicomweb_of(table)) + " STOW-RS is not tried: it would store something."
    if table.kind == "fhir":
        version = fhir_client.probe(dicomweb_of(table))
        return f"FHIR {version} answered. A transaction is not tried: it would store something."
    if table.kind == "mllp":
        connect(mllp_of(table))
        return "connected. A message is not tried."
    assert table.path is not None
    private_folder(table.path, file_mode=int(table.file_mode, 8))
    with tempfile.TemporaryFile(dir=table.path):
        return "writable."


def _negotiated(peer: Peer, table: DestinationTable) -> str:
    """Whether the PACS takes the SOP Classes of what it is to get; nothing is stored."""
    from monai_cxr.screening.network.storage_scu import negotiate

    wanted = {kind: _CLASSES[kind] for kind in table.objects}
    taken = negotiate(list(wanted.values()), peer, calling_ae=table.calling_ae)
    refused = [kind for kind, class_uid in wanted.items() if class_uid not in taken]
    if refused:
        raise SettingsError(
            f"The PACS does not take {', '.join(refused)} as a Storage SCP. Enable it "
            f"there, or leave it out of destinations.{table.name}.objects."
        )
    return f"It takes {', '.join(wanted)}."


def _echo(peer: Peer, calling_ae: str) -> str:
    from monai_cxr.screening.network.storage_scu import echo

    return f"C-ECHO answered {echo(peer, calling_ae=calling_ae)}."


def _query(server: DicomWebServer) -> str:
    from monai_cxr.screening.network.dicomweb import probe

    probe(server)
    return "QIDO-RS answered."
