"""Listener settings: where to listen, and who may send."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass

from monai_cxr.errors import SettingsError
from monai_cxr.screening.network.dicom_network import AllowedSender, TlsFiles

ACCEPT, DROP = "accept", "drop"
DROPPED_REASON = "dropped_by_rule"


@dataclass(frozen=True, slots=True)
class ListenerRule:
    """What becomes of some objects; also ``[[listener.rules]]``. The first rule that fits decides.

    A rule fits when each of its lists names the object or is empty. What is dropped is answered
    with success, not kept, and counted as ignored with its reason, so that its sender goes on with
    the study. What no rule names is taken as before.

    Attributes:
        action: ``"accept"`` or ``"drop"``.
        calling_ae: Calling AE titles.
        sop_classes: SOP Class UIDs; one that ends with a dot names all that begin so.
        modalities: Modalities (0008,0060).
        reason: Stable code of what is dropped, in lower case with underscores.
        priority: Priority class of what is accepted, instead of the listener's.
    """

    action: str
    calling_ae: tuple[str, ...] = ()
    sop_classes: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    reason: str = DROPPED_REASON
    priority: str = ""

    def __post_init__(self) -> None:
        """Refuse a rule that says nothing, or nothing that can be done.

        Raises:
            SettingsError: Naming the key.
        """
        if self.action not in (ACCEPT, DROP):
            raise SettingsError(
                f"Expected listener.rules.action of accept or drop, but got '{self.action}'."
            )
        if not (self.calling_ae or self.sop_classes or self.modalities):
            raise SettingsError(
                "A rule of listener.rules names nothing. Expected calling_ae, sop_classes or "
                "modalities."
            )
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", self.reason):
            raise SettingsError(
                "Expected listener.rules.reason in lower case with underscores, such as "
                f"'mammography', but got '{self.reason}'."
            )
        if self.priority and self.action == DROP:
            raise SettingsError("What is dropped has no priority: remove listener.rules.priority.")

    def fits(self, calling_ae: str, sop_class_uid: str, modality: str) -> bool:
        """Whether it names an object."""
        in_class = not self.sop_classes or any(
            sop_class_uid == uid or (uid.endswith(".") and sop_class_uid.startswith(uid))
            for uid in self.sop_classes
        )
        from_caller = not self.calling_ae or calling_ae in self.calling_ae
        return in_class and from_caller and (not self.modalities or modality in self.modalities)


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """How to listen; also the settings' table ``[listener]``: films by C-STORE.

    Attributes:
        ae_title: Our AE title, which callers must name.
        host: Address to listen on.
        port: Port; 0 for any free one.
        senders: Who may send; an empty list allows nobody.
        tls: TLS files; senders must then show a certificate.
        max_associations: Associations at a time; more are rejected (local limit exceeded).
        timeout_seconds: Seconds of silence after which an association is ended.
        priority: Priority class of films that arrive here.
        rules: What is dropped, or more urgent, by caller, SOP class or modality.
    """

    ae_title: str = "MONAI_CXR"
    host: str = "127.0.0.1"
    port: int = 11112
    senders: tuple[AllowedSender, ...] = ()
    tls: TlsFiles | None = None
    max_associations: int = 64
    timeout_seconds: float = 60.0
    priority: str = "ROUTINE"
    rules: tuple[ListenerRule, ...] = ()

    def rule_for(self, calling_ae: str, sop_class_uid: str, modality: str) -> ListenerRule | None:
        """The rule that decides about an object, or None."""
        fitting = (rule for rule in self.rules if rule.fits(calling_ae, sop_class_uid, modality))
        return next(fitting, None)

    def __post_init__(self) -> None:
        """Refuse what DICOM does not allow.

        Raises:
            SettingsError: If an AE title is empty, longer than 16 characters or has a backslash.
        """
        for title in (self.ae_title, *(sender.ae_title for sender in self.senders)):
            if not re.fullmatch(r"[\x20-\x5b\x5d-\x7e]{1,16}", title) or not title.strip():
                raise SettingsError(
                    f"Expected an AE title of 1 to 16 ASCII characters without a backslash, "
                    f"but got '{title}'."
                )


def addresses_of(host: str) -> frozenset[str]:
    """Addresses of a host that may send.

    Raises:
        SettingsError: If the host is not known.
    """
    try:
        return frozenset(str(info[4][0]) for info in socket.getaddrinfo(host, None))
    except OSError:
        raise SettingsError(
            f"The host '{host}' of a sender is not known. Expected an address or a host name."
        ) from None
