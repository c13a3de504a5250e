"""A FHIR R4 server in small: transactions with conditional creates and updates (R4 3.1.0.11)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from fhir.resources.R4B.bundle import Bundle
from http_peer import Quiet, answering

JSON = "application/fhir+json"


@dataclass
class FhirPeer:
    """What it holds, and what it answers instead.

    Attributes:
        held: Resources by type and first identifier.
        odd: (status, content type, body) of each answer, or None.
    """

    held: dict[tuple[str, str], dict] = field(default_factory=dict)
    odd: tuple[int, str, bytes] | None = None

    def of(self, kind: str) -> list[dict]:
        """The resources of a type."""
        return [resource for (one, _), resource in self.held.items() if one == kind]

    def take(self, text: bytes) -> tuple[int, dict]:
        """Do a transaction: all of it or nothing."""
        bundle = json.loads(text)
        try:
            Bundle.model_validate(bundle)
        except ValueError:
            return 422, {"resourceType": "OperationOutcome"}
        assert bundle["type"] == "transaction"
        said, held = [], dict(self.held)
        for entry in bundle["entry"]:
            resource, request = entry["resource"], entry["request"]
            kind, name = resource["resourceType"], resource["identifier"][0]
            condition = f"identifier={name['system']}|{name['value']}"
            is_known = (kind, name["value"]) in held
            if request["method"] == "POST":
                assert (request["url"], request["ifNoneExist"]) == (kind, condition)
                status = "200 OK" if is_known else "201 Created"
                held.setdefault((kind, name["value"]), resource)
            else:
                assert (request["method"], request["url"]) == ("PUT", f"{kind}?{condition}")
                status = "200 OK" if is_known else "201 Created"
                held[kind, name["value"]] = resource
            said.append({"response": {"status": status}})
        self.held = held
        return 200, {"resourceType": "Bundle", "type": "transaction-response", "entry": said}


@contextlib.contextmanager
def running(peer: FhirPeer) -> Iterator[str]:
    """Run it on the loopback interface; gives its address."""

    class Handler(Quiet):
        def do_POST(self) -> None:  # noqa: N802
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            if peer.odd:
                return self.answer(*peer.odd)
            status, said = peer.take(sent)
            return self.answer(status, JSON, json.dumps(said).encode())

        def do_GET(self) -> None:  # noqa: N802
            said = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"}
            self.answer(*(peer.odd or (200, JSON, json.dumps(said).encode())))

    with answering(Handler) as url:
        yield f"{url}/fhir"
