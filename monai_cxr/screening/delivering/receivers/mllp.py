"""MLLP: messages to an interface engine, one connection a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monai_cxr.screening.delivering.receivers.destination import Made
from monai_cxr.screening.network import mllp_client
from monai_cxr.screening.network.mllp_client import MllpPeer
from monai_cxr.screening.network.storage_scu import Answer


@dataclass(frozen=True, slots=True)
class Mllp:
    """An interface engine that takes HL7 messages over MLLP.

    Attributes:
        name: Name of the destination.
        peer: Its address.
    """

    name: str
    peer: MllpPeer

    def send(self, made: Sequence[Made]) -> list[Answer]:
        """Send on one connection."""
        return mllp_client.send([one.data for one in made], self.peer)
