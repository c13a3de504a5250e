"""Raw C-STORE: an announcement and a data set that need not agree, nor be DICOM at all."""

from __future__ import annotations

import io
import threading
from typing import Any

import pydicom


def store_raw(
    association: Any,
    data: bytes,
    *,
    announced: str = "",
    raw: bytes | None = None,
    sop_class: str = "1.2.840.10008.5.1.4.1.1.1.1",
) -> int | None:
    """Send a data set as it is; gives the status, None without an answer.

    Args:
        association: An established one.
        data: A DICOM Part 10 file, for what ``raw`` and ``announced`` do not say.
        announced: SOP Instance UID of the message.
        raw: The encoded data set.
        sop_class: SOP Class UID of the message.
    """
    from pynetdicom.dimse_primitives import C_STORE

    request = C_STORE()
    request.MessageID, request.Priority = 7, 2
    request.AffectedSOPClassUID = sop_class
    if raw is None:
        dataset = pydicom.dcmread(io.BytesIO(data))
        raw = data[data.index(b"\x08\x00\x16\x00") :]
        announced = announced or str(dataset.SOPInstanceUID)
    request.AffectedSOPInstanceUID = announced or "1.2.3"
    request.DataSet = io.BytesIO(raw)
    context = association.accepted_contexts[0]
    association._reactor_checkpoint.clear()
    while not association._is_paused:
        threading.Event().wait(0.001)
    association.dimse.send_msg(request, context.context_id)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    return None if answer is None else answer.Status
