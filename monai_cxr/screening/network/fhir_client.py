"""FHIR client: transaction Bundles to a FHIR server, one request each.

Whatever a server answers is a failed attempt of one bundle, unless it says that it took it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai_cxr.errors import DeliveryError
from monai_cxr.screening.network.dicomweb.session import (
    UNREADABLE,
    DicomWebServer,
    exchange_errors,
    open_session,
    reason_of,
)
from monai_cxr.screening.network.storage_scu import Answer

_JSON = "application/fhir+json"
_UNFIT = frozenset({400, 413, 422})
"""What a server answers to a bundle that it will never take (FHIR R4, RESTful API)."""


def send(bundles: Sequence[bytes], server: DicomWebServer) -> list[Answer]:
    """Send transactions to the root of a FHIR server.

    Args:
        bundles: JSON texts of Bundles of type transaction.
        server: Address and credentials.

    Returns:
        One answer each. Stored means: 200 or 201 with a Bundle of type transaction-response whose
        entries all say 2xx, or without a body. 400, 413 and 422 are for good: the same bundle has
        the same fault again. A redirection is not followed.

    Raises:
        DeliveryError: If the server cannot be reached.
    """
    answers: list[Answer] = []
    with open_session(server) as session:
        for bundle in bundles:
            try:
                response = session.post(
                    server.url.rstrip("/"),
                    data=bundle,
                    headers={"Content-Type": _JSON, "Accept": _JSON},
                    timeout=server.timeout_seconds,
                    allow_redirects=False,
                )
            except exchange_errors() as error:
                if not answers:
                    raise DeliveryError(reason_of(error)) from None
                answers.append(Answer(False, error=reason_of(error)))
            else:
                answers.append(_judged(response))
    return answers


def probe(server: DicomWebServer) -> str:
    """Ask for the capability statement; nothing is stored.

    Returns:
        The FHIR version that the server states.

    Raises:
        DeliveryError: If it does not answer, or is no FHIR server.
    """
    with open_session(server) as session:
        try:
            response = session.get(
                f"{server.url.rstrip('/')}/metadata",
                headers={"Accept": _JSON},
                timeout=server.timeout_seconds,
                allow_redirects=False,
            )
            said = response.json() if response.status_code == 200 else None
        except (*exchange_errors(), *UNREADABLE) as error:
            raise DeliveryError(reason_of(error)) from None
    if response.status_code != 200:
        raise DeliveryError(f"HTTP {response.status_code}")
    if not isinstance(said, dict) or said.get("resourceType") != "CapabilityStatement":
        raise DeliveryError("no CapabilityStatement, so this is no FHIR server")
    return str(said.get("fhirVersion", "unknown"))


def _judged(response: Any) -> Answer:
    status = f"HTTP {response.status_code}"
    if response.status_code in (200, 201, 204):
        if not response.content.strip() or _took_all(response):
            return Answer(True, status=status)
        return Answer(False, status=status, error="no transaction response")
    return Answer(False, status=status, error="refused", permanent=response.status_code in _UNFIT)


def _took_all(response: Any) -> bool:
    """Whether a body is a transaction response in which every entry was taken."""
    try:
        said = response.json()
        return said["type"] == "transaction-response" and all(
            str(entry["response"]["status"]).startswith("2") for entry in said["entry"]
        )
    except UNREADABLE:
        return False
