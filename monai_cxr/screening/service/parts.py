"""Destinations, listener and pulls: the settings' tables as the parts that they describe."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from monai_cxr.errors import SettingsError
from monai_cxr.optional import require
from monai_cxr.screening.arriving import intake
from monai_cxr.screening.arriving.pull import DicomWebSource, Source
from monai_cxr.screening.arriving.query_retrieve import QueryRetrieve
from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.arriving.storage_scp import StorageScp
from monai_cxr.screening.delivering.receivers.destination import Destination
from monai_cxr.screening.delivering.receivers.dicom_web import DicomWeb
from monai_cxr.screening.delivering.receivers.fhir_server import FhirServer
from monai_cxr.screening.delivering.receivers.folder import Folder
from monai_cxr.screening.delivering.receivers.mllp import Mllp
from monai_cxr.screening.delivering.receivers.pacs import Pacs
from monai_cxr.screening.ledger import Ledger
from monai_cxr.screening.ledger.people.report_texts import TextSeal
from monai_cxr.screening.network.dicom_network import Peer
from monai_cxr.screening.network.dicomweb import DicomWebServer
from monai_cxr.screening.network.mllp import MllpLimits, MllpServer
from monai_cxr.screening.network.mllp_client import MllpPeer
from monai_cxr.screening.settings.listener import ListenerSettings, addresses_of
from monai_cxr.screening.settings.tables import DestinationTable, Hl7Table, PullTable, ReportsTable

_MODULES = {
    "pacs": ("pynetdicom", "pacs"),
    "dicomweb": ("dicomweb_client", "pacs"),
    "sr": ("highdicom", "pacs"),
    "study_sr": ("highdicom", "pacs"),
    "sc": ("highdicom", "pacs"),
    "seg": ("highdicom", "pacs"),
    "fhir": ("fhir.resources.R4B.bundle", "fhir"),
}
"""What kinds and objects need: (module, extra)."""


def require_extras(table: DestinationTable | PullTable) -> None:
    """Import what a destination or a pull will need, so that it is missed now and not later.

    Raises:
        MissingDependency: Naming the extra that brings it.
    """
    for name in (table.kind, *getattr(table, "objects", ())):
        if name in _MODULES:
            module, extra = _MODULES[name]
            require(module, extra=extra)
    if table.kind == "fhir":
        require("requests", extra="pacs")


def destination_of(table: DestinationTable) -> Destination:
    """Where results go.

    Raises:
        SettingsError: If a folder destination has no path.
    """
    if table.kind == "pacs":
        return Pacs(table.name, peer_of(table), table.calling_ae, table.sr_class)
    if table.kind == "dicomweb":
        return DicomWeb(table.name, dicomweb_of(table), table.sr_class)
    if table.kind == "fhir":
        return FhirServer(table.name, dicomweb_of(table))
    if table.kind == "mllp":
        return Mllp(table.name, mllp_of(table))
    if table.path is None:
        raise SettingsError(f"A destination of kind folder needs destinations.{table.name}.path.")
    return Folder(table.name, table.path, int(table.file_mode, 8), table.sr_class)


def listener_of(
    settings: ListenerSettings,
    ledger: Ledger,
    spool: Spool,
    on_store: Callable[[int], None] = lambda status: None,
) -> StorageScp:
    """The C-STORE listener, not yet started; it tells ``on_store`` each status it answers."""
    return StorageScp(settings, ledger, spool, on_store)


def text_seal_of(table: ReportsTable) -> TextSeal | None:
    """What closes the text of reports; None where no text is kept.

    Raises:
        SettingsError: If the key is none.
    """
    return TextSeal(table.text_key) if table.text_key else None


def hl7_listener_of(table: Hl7Table, ledger: Ledger, reports: ReportsTable) -> MllpServer:
    """The HL7 listener; it runs when it is made.

    Raises:
        SettingsError: If the address is taken, a sender's host is unknown, or a file or a key is
            unfit.
    """
    from monai_cxr.labels.lexicon import read_lexicon
    from monai_cxr.screening.arriving.hl7_intake import Hl7Intake

    lexicon, seal = read_lexicon(table.lexicon or table.language), text_seal_of(reports)
    intake = Hl7Intake(ledger, lexicon, table.authority, seal)
    limits = MllpLimits(int(table.most_mib * 2**20), table.most_connections, table.timeout_seconds)
    allowed = frozenset[str]().union(*map(addresses_of, table.senders))
    address = (table.host, table.port)
    return MllpServer(address, intake.answer, allowed=allowed, tls=table.tls, limits=limits)


def pull_source_of(table: PullTable, ledger: Ledger, spool: Spool) -> Source:
    """Where films are fetched from."""
    if table.kind == "pacs":
        return QueryRetrieve(
            table.name,
            peer_of(table),
            table.calling_ae,
            table.move_destination,
            table.modalities,
            table.retrieve_seconds,
        )
    receive = partial(
        intake.receive, ledger, spool, source=f"pull {table.name}", priority=table.priority
    )
    return DicomWebSource(table.name, dicomweb_of(table), receive, table.modalities)


def peer_of(table: DestinationTable | PullTable) -> Peer:
    """The PACS that a table names."""
    return Peer(table.ae_title, table.host, table.port, table.tls, table.timeout_seconds)


def mllp_of(table: DestinationTable) -> MllpPeer:
    """The interface engine that a table names."""
    return MllpPeer(table.host, table.port, table.tls, table.timeout_seconds)


def dicomweb_of(table: DestinationTable | PullTable) -> DicomWebServer:
    """The DICOMweb service or the FHIR server that a table names."""
    tls = table.tls
    return DicomWebServer(
        table.url,
        username=table.username,
        password=table.password,
        token=table.token,
        authorities=table.authorities or (tls.authorities if tls is not None else None),
        certificate=(tls.certificate, tls.private_key) if tls is not None else None,
        timeout_seconds=table.timeout_seconds,
    )
