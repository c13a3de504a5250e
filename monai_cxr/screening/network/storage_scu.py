"""Storage SCU: results to a PACS by C-STORE; sent means that the peer answered 0x0000."""

from __future__ import annotations

import io
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import pydicom
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from monai_cxr.dicom.results.instances import DicomInstance, make_implicit
from monai_cxr.dicom.results.report_document import BEST_REPORT_CLASS, REPORT_CLASSES, alternatives
from monai_cxr.errors import DeliveryError
from monai_cxr.picture.bounds import MALFORMED
from monai_cxr.picture.quiet import quiet
from monai_cxr.screening.network.dicom_network import Peer, application, associated

_STORED = frozenset({0x0000, 0xB000, 0xB006, 0xB007})  # PS3.4 B.2.3: success, or with a warning
_DUPLICATE = 0x0111  # PS3.7 C.5.7: it has this instance; only we make its UID
_HOPELESS = frozenset({0x0122, 0x0124})  # SOP class not supported; not authorized


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said of one object.

    Attributes:
        stored: Whether it has it.
        status: Its own words: ``"0x0000"``, ``"200"`` ...
        error: Kind of the failure, ``""`` when stored.
        permanent: A retry cannot help.
        object_uid: SOP Instance UID of what it has, where that is another encoding of the object.
    """

    stored: bool
    status: str = ""
    error: str = ""
    permanent: bool = False
    object_uid: str = ""


def store(
    instances: Sequence[DicomInstance],
    peer: Peer,
    *,
    calling_ae: str,
    sr_class: str = BEST_REPORT_CLASS,
) -> list[Answer]:
    """Send objects in one association.

    Args:
        instances: The objects.
        peer: The PACS.
        calling_ae: Our AE title.
        sr_class: The class that reports go in, where the peer takes it.

    Returns:
        One answer an object. An object without an answer, because the association broke or the
        answer timed out, is not stored.

    Raises:
        DeliveryError: If no association could be opened.
    """
    entity = application(calling_ae, peer.timeout_seconds)
    sent = [replace(one, sop_class_uid=_of(one)[0]) for one in instances]
    for context in _contexts([_of(one) for one in sent]):
        entity.add_requested_context(*context)
    with associated(entity, peer) as association:
        return [_send(association, instance, sr_class) for instance in sent]


def negotiate(classes: Sequence[str], peer: Peer, *, calling_ae: str) -> list[str]:
    """Ask a peer which SOP Classes it takes, without storing anything.

    Args:
        classes: SOP Class UIDs.
        peer: The PACS.
        calling_ae: Our AE title.

    Returns:
        Those that it takes, or takes as another class that says the same.

    Raises:
        DeliveryError: If no association could be opened.
    """
    entity = application(calling_ae, peer.timeout_seconds)
    entity.add_requested_context("1.2.840.10008.1.1")
    for context in _contexts([(uid, str(ExplicitVRLittleEndian)) for uid in classes]):
        entity.add_requested_context(*context)
    with associated(entity, peer) as association:
        taken = {str(context.abstract_syntax) for context in association.accepted_contexts}
    return [uid for uid in classes if taken & {uid, *_other_classes(uid)}]


def echo(peer: Peer, *, calling_ae: str) -> str:
    """Ask a peer whether it is there (C-ECHO).

    Returns:
        ``"0x0000"`` when it is.

    Raises:
        DeliveryError: If no association could be opened, or nothing was answered.
    """
    entity = application(calling_ae, peer.timeout_seconds)
    entity.add_requested_context("1.2.840.10008.1.1")
    with associated(entity, peer) as association:
        answer = association.send_c_echo()
    if "Status" not in answer:
        raise DeliveryError("no_answer")
    return f"0x{answer.Status:04X}"


def _contexts(wanted: Sequence[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Presentation contexts of objects by (SOP Class, Transfer Syntax).

    Implicit VR Little Endian is offered for every class, as PS3.5 10.1 demands, and each syntax in
    a context of its own, so that the acceptor's answer says what it takes.
    """
    contexts: dict[tuple[str, str], None] = {}
    for class_uid, syntax in sorted(set(wanted)):
        for uid in (class_uid, *_other_classes(class_uid)):
            for each in (syntax, str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)):
                contexts[uid, each] = None
    return [(uid, [syntax]) for uid, syntax in contexts]


def _other_classes(class_uid: str) -> tuple[str, ...]:
    return tuple(map(str, REPORT_CLASSES[1:])) if class_uid == REPORT_CLASSES[0] else ()


def _of(instance: DicomInstance) -> tuple[str, str]:
    """SOP Class and Transfer Syntax, as the file itself says."""
    with quiet():
        header = pydicom.dcmread(io.BytesIO(instance.data), specific_tags=["SOPClassUID"])
        return str(header.SOPClassUID), str(header.file_meta.TransferSyntaxUID)


def _send(association: Any, instance: DicomInstance, sr_class: str) -> Answer:
    if not association.is_established:
        return Answer(False, error="association_lost")
    accepted: dict[str, set[str]] = {}
    for context in association.accepted_contexts:
        syntax = str(context.transfer_syntax[0])
        accepted.setdefault(str(context.abstract_syntax), set()).add(syntax)
    offered = alternatives(instance, sr_class)
    fitting = (one for one in offered if accepted.get(one.sop_class_uid))
    chosen = next(fitting, None)
    if chosen is None:
        return Answer(False, status="0x0122", error="sop_class_not_accepted")
    try:
        with quiet():
            dataset = _in_syntax(chosen, accepted[chosen.sop_class_uid])
            answer = association.send_c_store(dataset)
    except MALFORMED as error:  # what the peer negotiated or answered fits no object of ours
        is_lost = not association.is_established  # it may end at any moment
        return Answer(False, error="association_lost" if is_lost else type(error).__name__)
    if "Status" not in answer:  # timed out, aborted, or not understood: nothing was promised
        return Answer(False, error="no_answer")
    status = int(answer.Status)
    stored = status in _STORED or status == _DUPLICATE
    return Answer(
        stored,
        status=f"0x{status:04X}",
        error="" if stored else "refused",
        permanent=status in _HOPELESS or status & 0xFF00 == 0xA900,
        object_uid="" if chosen is instance else chosen.sop_uid,
    )


def _in_syntax(instance: DicomInstance, accepted: Set[str]) -> pydicom.Dataset:
    """The object in a transfer syntax that was accepted for its class."""
    dataset = pydicom.dcmread(io.BytesIO(instance.data))
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in accepted and syntax.is_encapsulated:
        dataset.decompress(generate_instance_uid=False)
        syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in accepted and ImplicitVRLittleEndian in accepted:
        make_implicit(dataset)
    return dataset
