"""Destination: what a delivery asks of a receiver, whatever its kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from monai_cxr.dicom.results.instances import DicomInstance
from monai_cxr.errors import SettingsError
from monai_cxr.screening.delivering.study_message import Message
from monai_cxr.screening.network.storage_scu import Answer

Made = DicomInstance | Message
"""What is delivered."""


class Destination(Protocol):
    """Where objects go."""

    @property
    def name(self) -> str:
        """Its name in the settings and in the outbox."""

    def send(self, made: Sequence[Made]) -> list[Answer]:
        """Send objects; one answer each.

        Raises:
            DeliveryError: If none could be sent.
        """


def instances_of(made: Sequence[Made]) -> list[DicomInstance]:
    """What is sent, to a receiver that takes DICOM objects.

    Raises:
        SettingsError: If one is a message.
    """
    instances = [one for one in made if isinstance(one, DicomInstance)]
    if len(instances) != len(made):
        raise SettingsError("A PACS takes DICOM objects only; messages go to a folder or by MLLP.")
    return instances
