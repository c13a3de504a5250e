"""Folder: results as files, for another system to fetch."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_cxr.atomic import PRIVATE_FILE, private_folder, write_durably
from monai_cxr.dicom.results.instances import DicomInstance
from monai_cxr.dicom.results.report_document import BEST_REPORT_CLASS, alternatives
from monai_cxr.screening.delivering.receivers.destination import Made
from monai_cxr.screening.network.storage_scu import Answer


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder, for another system to fetch from.

    Attributes:
        name: Name of the destination.
        path: The folder; files are named by their identifier, such as ``<SOP Instance UID>.dcm``,
            and appear whole. A folder that is made here, and its files, are for this user alone;
            in one that is here already, its default ACL may say otherwise.
        file_mode: Mode of its files, ``0o640`` for an interface engine in this user's group.
        sr_class: The class that reports are written in.
    """

    name: str
    path: Path
    file_mode: int = PRIVATE_FILE
    sr_class: str = BEST_REPORT_CLASS

    def send(self, made: Sequence[Made]) -> list[Answer]:
        """Write files durably."""
        return [self.write(one) for one in made]

    def write(self, made: Made) -> Answer:
        """Write one file durably."""
        one: Made = made
        if isinstance(made, DicomInstance):
            one = next(alternatives(made, self.sr_class))
        target = self.path / one.file_name
        part = target.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
        try:
            private_folder(self.path, file_mode=self.file_mode)
            write_durably(one.data, part, target, file_mode=self.file_mode)
        except OSError as error:
            return Answer(False, error=os.strerror(error.errno or 0))
        return Answer(True, status="written", object_uid="" if one is made else one.identifier)
