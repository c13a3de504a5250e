"""DICOM network: what listener, sender and query share: peers, TLS, prompt packets, silence."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_cxr.errors import DeliveryError, SettingsError
from monai_cxr.optional import require

_VERDICT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Files of mutual TLS (PS3.15 B.12), all PEM; also the settings' table ``tls``.

    Attributes:
        certificate: Our certificate, with its chain.
        private_key: Its key.
        authorities: Certificates of those who may sign the peer's.
        check_host_name: Whether a server's certificate must name its host in its Subject
            Alternative Name. DICOM's profiles ask for no host name, and certificates of older
            systems have a Common Name only: false accepts any that an authority has signed.
    """

    certificate: Path
    private_key: Path
    authorities: Path
    check_host_name: bool = True


@dataclass(frozen=True, slots=True)
class Peer:
    """A DICOM application on another host.

    Attributes:
        ae_title: Its AE title.
        host: Its host name or address.
        port: Where it listens.
        tls: TLS files, or None for plain DICOM.
        timeout_seconds: For connecting, for an answer, and for silence on the line.
    """

    ae_title: str
    host: str
    port: int
    tls: TlsFiles | None = None
    timeout_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class AllowedSender:
    """Who may send; also the settings' table ``[[listener.senders]]``.

    Attributes:
        ae_title: Its calling AE title.
        host: Host name or address it must call from; ``""`` for any.
        port: Where it takes Storage Commitment reports; 0 for nowhere.
        tls: TLS files for those reports, or None.
    """

    ae_title: str
    host: str = ""
    port: int = 0
    tls: TlsFiles | None = None


def client_tls(files: TlsFiles) -> ssl.SSLContext:
    """A context for connecting.

    Raises:
        SettingsError: If a file is absent or unfit.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    _load(context, files)
    context.check_hostname = files.check_host_name
    return context


def server_tls(files: TlsFiles) -> ssl.SSLContext:
    """A context for listening; the peer must show a certificate of a known authority.

    Raises:
        SettingsError: If a file is absent or unfit.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _load(context, files)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _load(context: ssl.SSLContext, files: TlsFiles) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # BCP 195, PS3.15 B.12
    try:
        context.load_cert_chain(files.certificate, files.private_key)
        context.load_verify_locations(files.authorities)
    except (OSError, ssl.SSLError) as error:
        kind = getattr(error, "strerror", None) or type(error).__name__
        raise SettingsError(
            f"The TLS files cannot be used: {kind}. Expected PEM files of a certificate "
            f"('{files.certificate.name}'), its key ('{files.private_key.name}') and the "
            f"authorities ('{files.authorities.name}')."
        ) from None


def pynetdicom() -> Any:
    """The library, with its logging off: it quotes identifiers of queries and data sets.

    Raises:
        MissingDependency: Without the extra ``pacs``.
    """
    library = require("pynetdicom", extra="pacs")
    configuration: Any = require("pynetdicom._config", extra="pacs")
    configuration.LOG_REQUEST_IDENTIFIERS = False
    configuration.LOG_RESPONSE_IDENTIFIERS = False
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
    return library


def send_at_once(event: Any) -> None:
    """Switch off Nagle's algorithm on a connection.

    It waits for a peer that waits for it: 51 ms an object instead of 8 between two pynetdicom.
    """
    wrapped = event.assoc.dul.socket
    if wrapped is not None and wrapped.socket is not None:
        wrapped.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def poll_calmly(event: Any) -> None:
    """Look at a silent connection every 10 ms instead of every millisecond.

    pynetdicom polls each association from a thread, and the objects of a busy one wait while fifty
    silent ones are asked. A connection that brings data is read without a pause either way.
    """
    event.assoc.dul._run_loop_delay = 0.01


def why_not(association: Any, peer: Peer) -> str:
    """Why there is no association, in words without an identity; asks the network once more."""
    if association.is_rejected:
        primitive = association.acceptor.primitive
        return f"rejected_{primitive.result}_{primitive.result_source}_{primitive.diagnostic}"
    if association.rejected_contexts and not association.accepted_contexts:
        return "aborted: no SOP class was accepted"
    return connection_error(peer) or ("aborted" if association.is_aborted else "no_connection")


def connection_error(peer: Peer) -> str:
    """Why a peer cannot be connected to, ``""`` where it can; pynetdicom keeps it to itself."""
    try:
        with socket.create_connection((peer.host, peer.port), peer.timeout_seconds) as plain:
            if peer.tls is None:
                return ""
            with client_tls(peer.tls).wrap_socket(plain, server_hostname=peer.host) as secured:
                secured.settimeout(_VERDICT_SECONDS)
                secured.recv(1)  # TLS 1.3: what the peer thinks of our certificate comes now
    except ssl.SSLCertVerificationError as error:
        return f"certificate verify failed: {error.verify_message}"
    except ssl.SSLError as error:
        return f"TLS: {(error.reason or type(error).__name__).replace('_', ' ').lower()}"
    except TimeoutError as error:
        return "" if peer.tls is not None and "read" in str(error) else "connection timed out"
    except socket.gaierror:
        return "the host name is not known"
    except OSError as error:
        return (error.strerror or type(error).__name__).lower()
    return ""


def application(ae_title: str, timeout_seconds: float) -> Any:
    """An application entity with one timeout for everything."""
    entity = pynetdicom().AE(ae_title=ae_title)
    entity.acse_timeout = entity.dimse_timeout = timeout_seconds
    entity.network_timeout = entity.connection_timeout = timeout_seconds
    return entity


@contextmanager
def associated(entity: Any, peer: Peer) -> Iterator[Any]:
    """An association that is established, and released at the end.

    Raises:
        DeliveryError: If it could not be opened.
    """
    association = associate(entity, peer)
    if not association.is_established:
        raise DeliveryError(why_not(association, peer))
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def associate(entity: Any, peer: Peer, **options: Any) -> Any:
    """Open an association; the result may not be established.

    Raises:
        DeliveryError: If the host's name is not known, or our own address cannot be used.
    """
    event = require("pynetdicom.events", extra="pacs")
    tls = None if peer.tls is None else (client_tls(peer.tls), peer.host)
    handlers = [(event.EVT_CONN_OPEN, send_at_once), *options.pop("evt_handlers", [])]
    try:
        return entity.associate(
            peer.host,
            peer.port,
            ae_title=peer.ae_title,
            tls_args=tls,
            evt_handlers=handlers,
            **options,
        )
    except socket.gaierror:
        raise DeliveryError("the host name is not known") from None
    except OSError as error:
        raise DeliveryError((error.strerror or type(error).__name__).lower()) from None
