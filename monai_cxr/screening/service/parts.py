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
from monai_cxr.screening.delivering.delivery import Destination, DicomWeb, Folder, Pacs
from monai_cxr.screening.ledger import Ledger
from monai_cxr.screening.network.dicom_network import Peer
from monai_cxr.screening.network.dicomweb import DicomWebServer
from monai_cxr.screening.settings.listener import ListenerSettings
from monai_cxr.screening.settings.tables import DestinationTable, PullTable

_MODULES = {
    "pacs": ("pynetdicom", "pacs"),
    "dicomweb": ("dicomweb_client", "pacs"),
    "sr": ("highdicom", "pacs"),
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


def destination_of(table: DestinationTable) -> Destination:
    """Where results go.

    Raises:
        SettingsError: If a folder destination has no path.
    """
    if table.kind == "pacs":
        return Pacs(table.name, peer_of(table), table.calling_ae)
    if table.kind == "dicomweb":
        return DicomWeb(table.name, dicomweb_of(table))
    if table.path is None:
        raise SettingsError(f"A destination of kind folder needs destinations.{table.name}.path.")
    return Folder(table.name, table.path, int(table.file_mode, 8))


def listener_of(
    settings: ListenerSettings,
    ledger: Ledger,
    spool: Spool,
    on_store: Callable[[int], None] = lambda status: None,
) -> StorageScp:
    """The C-STORE listener, not yet started; it tells ``on_store`` each status it answers."""
    return StorageScp(settings, ledger, spool, on_store)


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


def dicomweb_of(table: DestinationTable | PullTable) -> DicomWebServer:
    """The DICOMweb service that a table names."""
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
