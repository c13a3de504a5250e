"""Asking: one request to a DICOMweb service, and whether a failure is the service's own.

Whatever a service answers is a failed attempt of one object or one query: nothing that it says is
raised as anything but a :class:`~monai_cxr.errors.DeliveryError`.
"""

from __future__ import annotations

from typing import Any

from monai_cxr.errors import DeliveryError
from monai_cxr.optional import require
from monai_cxr.picture.quiet import quiet
from monai_cxr.screening.network.dicomweb.session import (
    DicomWebServer,
    exchange_errors,
    open_session,
    reason_of,
)

_AWAY = frozenset(f"HTTP {status}" for status in (401, 403, 407, 429, 502, 503, 504))


def ask(server: DicomWebServer, session: Any, method: str, **options: Any) -> Any:
    """One request by a method of ``dicomweb_client``.

    Raises:
        DeliveryError: Whatever goes wrong with it.
    """
    client_module: Any = require("dicomweb_client.api", extra="pacs")
    try:
        client = client_module.DICOMwebClient(
            server.url,
            session=session,
            timeout=server.timeout_seconds,
            permissive_uid=True,
        )
        client.set_http_retry_params(retry=False)
        return getattr(client, method)(**options)
    except exchange_errors() as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        reason = reason_of(error) if status is None or status < 300 else f"HTTP {status}"
        raise DeliveryError(reason) from None


def probe(server: DicomWebServer) -> None:
    """Ask for one study, to see whether the service answers us.

    Raises:
        DeliveryError: If it cannot be reached or refuses.
    """
    with open_session(server) as session, quiet():
        ask(server, session, "search_for_studies", limit=1)


def refuse_if_away(server: DicomWebServer, error: DeliveryError) -> None:
    """After a failure: return if it is of one object, raise if the service itself is away.

    Raises:
        DeliveryError: If the service lets nobody in, or does not answer at all.
    """
    if str(error) in _AWAY:
        raise error
    if str(error).startswith("HTTP "):
        return
    try:
        probe(server)
    except DeliveryError as failure:
        # Orthanc answers each query that meets a damaged study with HTTP 500: it is there.
        if str(failure) in _AWAY or not str(failure).startswith("HTTP "):
            raise
