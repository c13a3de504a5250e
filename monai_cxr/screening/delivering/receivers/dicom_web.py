"""DICOMweb: results by STOW-RS, one request an object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monai_cxr.dicom.results.report_document import BEST_REPORT_CLASS
from monai_cxr.screening.delivering.receivers.destination import Made, instances_of
from monai_cxr.screening.network import dicomweb
from monai_cxr.screening.network.storage_scu import Answer


@dataclass(frozen=True, slots=True)
class DicomWeb:
    """A service that takes STOW-RS.

    Attributes:
        name: Name of the destination.
        server: Its address.
        sr_class: The class that reports are sent in first.
    """

    name: str
    server: dicomweb.DicomWebServer
    sr_class: str = BEST_REPORT_CLASS

    def send(self, made: Sequence[Made]) -> list[Answer]:
        """Send one request an object."""
        return dicomweb.store(instances_of(made), self.server, sr_class=self.sr_class)
