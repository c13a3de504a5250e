"""Store SCU: a sender of films for the tests of the listener."""

from __future__ import annotations

import io

import pydicom
from pynetdicom import AE
from pynetdicom.presentation import build_context

DX = "1.2.840.10008.5.1.4.1.1.1.1"


def associate(port: int, *, calling: str = "CXRSCU", called: str = "MONAI_CXR", contexts=None):
    entity = AE(ae_title=calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 60
    return entity.associate(
        "127.0.0.1", port, ae_title=called, contexts=contexts or [build_context(DX)]
    )


def send(port: int, data: bytes, **options) -> int | None:
    """Send one object; gives the status, None without an answer."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    syntax = dataset.file_meta.TransferSyntaxUID
    contexts = [build_context(dataset.SOPClassUID, syntax)]
    association = associate(port, contexts=contexts, **options)
    assert association.is_established
    status = association.send_c_store(dataset)
    association.release()
    return status.get("Status")


def encoded(data: bytes, syntax: str) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset.compress(syntax, generate_instance_uid=False)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()
