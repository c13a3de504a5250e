"""WADO-RS: films from a DICOMweb service, as it keeps them (PS3.18 10.4)."""

from __future__ import annotations

import io
from contextlib import ExitStack
from typing import Any

import pydicom

from monai_cxr.errors import DeliveryError
from monai_cxr.picture.quiet import quiet
from monai_cxr.screening.network.dicomweb.asking import ask
from monai_cxr.screening.network.dicomweb.session import UNREADABLE, DicomWebServer, open_session
from monai_cxr.screening.network.study_search import FoundInstance


def retrieve(server: DicomWebServer, found: FoundInstance, *, session: Any = None) -> bytes:
    """Get an image by WADO-RS, in the transfer syntax that the service keeps it in.

    Args:
        server: The service.
        found: Which image.
        session: An open session of the service; default: one of its own.

    Returns:
        A DICOM Part 10 file of that image.

    Raises:
        DeliveryError: If the service cannot be reached, refuses, or gives something else.
    """
    with ExitStack() as stack:
        session = session or stack.enter_context(open_session(server))
        stack.enter_context(quiet())
        dataset = ask(
            server,
            session,
            "retrieve_instance",
            study_instance_uid=found.study_uid,
            series_instance_uid=found.series_uid,
            sop_instance_uid=found.sop_uid,
            media_types=(("application/dicom", "*"),),
        )
        try:
            if str(dataset.SOPInstanceUID) != found.sop_uid:
                raise DeliveryError("another object")
            stream = io.BytesIO()
            pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
        except UNREADABLE as error:
            raise DeliveryError(f"not a DICOM file ({type(error).__name__})") from None
    return stream.getvalue()
