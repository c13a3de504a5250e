"""PACS: results by C-STORE, one association a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monai_cxr.dicom.results.report_document import BEST_REPORT_CLASS
from monai_cxr.screening.delivering.receivers.destination import Made, instances_of
from monai_cxr.screening.network import storage_scu
from monai_cxr.screening.network.dicom_network import Peer
from monai_cxr.screening.network.storage_scu import Answer


@dataclass(frozen=True, slots=True)
class Pacs:
    """A PACS that takes C-STORE.

    Attributes:
        name: Name of the destination.
        peer: Its address.
        calling_ae: Our AE title.
        sr_class: The class that reports go in, where the PACS takes it.
    """

    name: str
    peer: Peer
    calling_ae: str = "MONAI_CXR"
    sr_class: str = BEST_REPORT_CLASS

    def send(self, made: Sequence[Made]) -> list[Answer]:
        """Send in one association."""
        return storage_scu.store(
            instances_of(made), self.peer, calling_ae=self.calling_ae, sr_class=self.sr_class
        )
