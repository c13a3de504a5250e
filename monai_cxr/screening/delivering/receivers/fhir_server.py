"""FHIR server: messages as transactions, one request a message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monai_cxr.screening.delivering.receivers.destination import Made
from monai_cxr.screening.network import fhir_client
from monai_cxr.screening.network.dicomweb.session import DicomWebServer
from monai_cxr.screening.network.storage_scu import Answer


@dataclass(frozen=True, slots=True)
class FhirServer:
    """A FHIR R4 server that takes transactions.

    Attributes:
        name: Name of the destination.
        server: Its address.
    """

    name: str
    server: DicomWebServer

    def send(self, made: Sequence[Made]) -> list[Answer]:
        """Send one transaction a message."""
        return fhir_client.send([one.data for one in made], self.server)
