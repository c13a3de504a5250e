"""Listener settings: where to listen, and who may send."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass

from monai_cxr.errors import SettingsError
from monai_cxr.screening.network.dicom_network import AllowedSender, TlsFiles


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
    """

    ae_title: str = "MONAI_CXR"
    host: str = "127.0.0.1"
    port: int = 11112
    senders: tuple[AllowedSender, ...] = ()
    tls: TlsFiles | None = None
    max_associations: int = 64
    timeout_seconds: float = 60.0
    priority: str = "ROUTINE"

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
