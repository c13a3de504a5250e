"""Storage SCU: results to a PACS by C-STORE; sent means that the peer answered 0x0000."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pydicom
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from monai_cxr.dicom.results.instances import DicomInstance
from monai_cxr.errors import DeliveryError
from monai_cxr.picture.bounds import MALFORMED
from monai_cxr.picture.quiet import quiet
from monai_cxr.screening.network.dicom_network import Peer, application, associate, why_not

_STORED = frozenset({0x0000, 0xB000, 0xB006, 0xB007})  # PS3.4 B.2.3: success, or with a warning
_HOPELESS = frozenset({0x0122, 0x0124})  # SOP class not supported; not authorized


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said of one object.

    Attributes:
        stored: Whether it has it.
        status: Its own words: ``"0x0000"``, ``"200"`` ...
        error: Kind of the failure, ``""`` when stored.
        permanent: A retry cannot help.
    """

    stored: bool
    status: str = ""
    error: str = ""
    permanent: bool = False


def store(instances: Sequence[DicomInstance], peer: Peer, *, calling_ae: str) -> list[Answer]:
    """Send objects in one association.

    Args:
        instances: The objects.
        peer: The PACS.
        calling_ae: Our AE title.

    Returns:
        One answer an object. An object without an answer, because the association broke or the
        answer timed out, is not stored.

    Raises:
        DeliveryError: If no association could be opened.
    """
    entity = application(calling_ae, peer.timeout_seconds)
    with quiet():
        datasets = [pydicom.dcmread(io.BytesIO(instance.data)) for instance in instances]
    for class_uid, syntax in sorted({_context(dataset) for dataset in datasets}):
        entity.add_requested_context(class_uid, [syntax])
        if UID(syntax).is_encapsulated:
            entity.add_requested_context(
                class_uid, [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
            )
    association = associate(entity, peer)
    if not association.is_established:
        raise DeliveryError(why_not(association, peer))
    try:
        return [_send(association, dataset) for dataset in datasets]
    finally:
        if association.is_established:
            association.release()


def echo(peer: Peer, *, calling_ae: str) -> str:
    """Ask a peer whether it is there (C-ECHO).

    Returns:
        ``"0x0000"`` when it is.

    Raises:
        DeliveryError: If no association could be opened, or nothing was answered.
    """
    entity = application(calling_ae, peer.timeout_seconds)
    entity.add_requested_context("1.2.840.10008.1.1")
    association = associate(entity, peer)
    if not association.is_established:
        raise DeliveryError(why_not(association, peer))
    try:
        answer = association.send_c_echo()
    finally:
        if association.is_established:
            association.release()
    if "Status" not in answer:
        raise DeliveryError("no_answer")
    return f"0x{answer.Status:04X}"


def _context(dataset: pydicom.Dataset) -> tuple[str, str]:
    return str(dataset.SOPClassUID), str(dataset.file_meta.TransferSyntaxUID)


def _send(association: Any, dataset: pydicom.Dataset) -> Answer:
    if not association.is_established:
        return Answer(False, error="association_lost")
    class_uid, syntax = _context(dataset)
    accepted = {
        str(context.transfer_syntax[0])
        for context in association.accepted_contexts
        if context.abstract_syntax == class_uid
    }
    if not accepted:
        return Answer(False, status="0x0122", error="sop_class_not_accepted")
    try:
        with quiet():
            if syntax not in accepted and UID(syntax).is_encapsulated:
                dataset.decompress(generate_instance_uid=False)
            answer = association.send_c_store(dataset)
    except MALFORMED as error:  # what the peer negotiated or answered fits no object of ours
        return Answer(False, error=type(error).__name__)
    if "Status" not in answer:  # timed out, aborted, or not understood: nothing was promised
        return Answer(False, error="no_answer")
    status = int(answer.Status)
    stored = status in _STORED
    return Answer(
        stored,
        status=f"0x{status:04X}",
        error="" if stored else "refused",
        permanent=status in _HOPELESS or status & 0xFF00 == 0xA900,
    )
