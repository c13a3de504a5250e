"""Fifty readers at once on one ledger: no review is lost, and none is there twice."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from ledger_data import finish_all, received
from viewer_service import make_client

from clinical_app.admission.access import Identity
from clinical_app.service import Service, configure
from clinical_app.settings import ViewerSettings
from monai_cxr.review.ledger_cases import LedgerCases
from monai_cxr.review.ledger_store import LedgerStore
from monai_cxr.screening.ledger import arrivals, open_ledger
from monai_cxr.screening.ledger.people import reviews

READERS, STUDIES = 50, 1
FINDINGS = ("Effusion", "Mass")


@pytest.fixture
def hospital(tmp_path):
    """A service over a ledger of a few studies that were read."""
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}") as ledger:
        arrivals.enqueue_many(ledger, [received(number) for number in range(STUDIES)])
        finish_all(ledger, positive=("Effusion",))
        source = LedgerCases(ledger, secret=b"test")
        yield configure(Service(source, LedgerStore(ledger), ViewerSettings())), ledger


def test_fifty_readers_in_two_tabs_each_lose_and_double_nothing(hospital):
    """All judge all studies; each sends every word from two tabs."""
    service, ledger = hospital
    cases = service.source.cases()
    assert len(cases) == STUDIES

    def read(number: int) -> list[int]:
        name, session = f"reader{number}", f"session{number}"
        client, answers = make_client(service, session), []
        for case in cases:
            token = service.grants.give("case", case.case_id, session, Identity(name, "reader"))
            said = {one: {"opinion": "agree", "label": "present"} for one in FINDINGS}
            words = [{"findings": said, "note": name}, {"finished": True, "note": name}]

            def send(change: dict, to: str = f"/cxr/review/{token}") -> int:
                return client.post(to, json=change | {"seconds": 2}).status_code

            for change in words:  # in two tabs at once
                with ThreadPoolExecutor(2) as tabs:
                    answers += tabs.map(send, [change, change])
        return answers

    with ThreadPoolExecutor(READERS) as pool:
        answers = [status for said in pool.map(read, range(READERS)) for status in said]
    assert Counter(answers) == {200: READERS * STUDIES * 4}
    known = service.store.reviews()
    names = {one.reader for one in known}
    assert len(known) == READERS * STUDIES
    assert all(one.finished and one.note == one.reader for one in known)
    assert all(set(one.findings) == set(FINDINGS) for one in known)
    rows = Counter((row.reader, row.study_uid, row.finding) for row in reviews.since(ledger))
    assert {key[2]: count for key, count in rows.items() if key[2]} == dict.fromkeys(FINDINGS, 1)
    assert {count for key, count in rows.items() if not key[2]} == {2}  # the note, the closing
    lines = Counter(
        (one.user, one.study_uid, one.action) for one in service.store.accesses(100_000)
    )
    finished = {
        key: count for key, count in lines.items() if key[2] == "finished" and key[0] in names
    }
    assert len(finished) == READERS * STUDIES
    assert set(finished.values()) == {1}
    assert service.audit_gaps == 0
