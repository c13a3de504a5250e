"""An audit folder of a few films, as ``labels audit`` leaves one, and a reader who answers it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
from viewer_service import Browser, make_client

from clinical_app.admission.access import Identity
from clinical_app.launch import NoCases
from clinical_app.service import Service, configure
from clinical_app.settings import ViewerSettings
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.labels.audit_folder import QUEUE, read_audit, with_digests, write_record
from monai_cxr.review.labelling.label_audit import AuditQuestions
from monai_cxr.review.local_store import LocalStore
from monai_cxr.tables import write_table

FINDINGS = ("Effusion", "Pneumothorax")
N_FILMS = 4


def write_audit(folder: Path, index: pd.DataFrame, *, flipped: bool = False) -> Path:
    """The audit of the first films of an index; flipped: everything that is secret is otherwise."""
    rows = []
    for finding in FINDINGS:
        for place, film in enumerate(index.head(N_FILMS).itertuples(index=False), start=1):
            given = int(getattr(film, finding)) ^ flipped
            score = 0.9 - 0.2 * place if flipped else 0.1 * place
            queue = "given_present" if given else "given_absent"
            rows.append((finding, queue, place, film.sop_uid, film.path, given, score, score))
    columns = ("finding", "queue", "place", "sop_uid", "path", "given", "probability", "suspicion")
    queue = pd.DataFrame(rows, columns=list(columns))
    if flipped:
        queue = queue.sample(frac=1.0, random_state=np.random.RandomState(3))
    write_table(with_digests(queue), folder / QUEUE)
    write_record(folder, index, FINDING_NAMES)
    return folder


def audit_service(folder: Path, store: Path, **settings: object) -> Service:
    """A viewer that shows nothing but the audit."""
    return configure(
        Service(
            source=NoCases(),
            store=LocalStore(store),
            settings=ViewerSettings(**settings),
            label_audit=AuditQuestions(read_audit(folder), secret=b"test"),
        )
    )


class Reader:
    """Somebody with the page of questions open, who keeps every byte that reaches their browser."""

    def __init__(self, service: Service, name: str, role: str = "reader", tab: str = "") -> None:
        session = f"session-of-{name}{tab}"
        self.client: Browser = make_client(service, session)
        self.token = service.grants.give("label_audit", "", session, Identity(name, role))
        self.received: list[bytes] = []

    def get(self, kind: str, query: str = ""):
        answer = self.client.get(f"/cxr/label-{kind}/{self.token}{query}")
        self._keep(answer.content)
        return answer

    def question(self, role: str = "reader") -> dict:
        return self.get("question", f"?role={role}").json()

    def film(self, state: dict):
        answer = self.client.get(state["question"]["image"]["film"])
        self._keep(answer.content)
        return answer

    def say(self, state: dict, word: str, **other: object):
        """Answer a question as the browser does, or with something else in its place."""
        asked = state["question"]
        film = asked["image"]["id"] if asked["image"] else ""
        content = {"item": asked["item"], "turn": asked["turn"], "answer": word, "film": film,
                   "seconds": 2.5, "role": state["role"], **other}  # fmt: skip
        return self.post(content)

    def post(self, content: object):
        answer = self.client.post(f"/cxr/label-answer/{self.token}", json=content)
        self._keep(answer.content)
        return answer

    def answer_all(self, words, role: str = "reader") -> int:
        """Answer until nothing is left; ``words`` says what, by finding and place."""
        state, n = self.question(role), 0
        while state["question"]:
            answer = self.say(state, words(state["question"], n))
            assert answer.status_code == 200, answer.text
            state, n = answer.json(), n + 1
        return n

    def _keep(self, content: bytes) -> None:
        self.received.append(re.sub(rb"(/cxr/[\w-]+/)[\w-]+", rb"\1TOKEN", content))
