"""Review routes: a reader's word is kept whole or not at all, whatever the disk and others do."""

from __future__ import annotations

import resource
import sqlite3

import pytest
from viewer_service import analysed, make_client

from clinical_app.admission.access import Identity
from monai_cxr.review.worklist import study_name


class TestReview:
    def body(self, **values):
        finding = {"opinion": "disagree", "label": "absent", "location": ""}
        return {"findings": {"Effusion": finding}, "note": "n", "seconds": 3, "finished": True,
                **values}  # fmt: skip

    def test_is_kept_with_reader_model_and_probability(self, client, link, service):
        answer = client.post(f"/cxr/review/{link()}", json=self.body())
        assert answer.status_code == 200
        case = analysed(service)[0]
        (review,) = service.store.of_study(study_name(case))
        assert (review.reader, review.finished, review.note) == ("anna", True, "n")
        assert review.model_digest == case.prediction.model.digest
        assert review.findings["Effusion"].probability == case.prediction["Effusion"].probability
        assert service.store.accesses(1)[0].action == "finished"

    def test_of_two_readers_at_once_are_both_kept(self, client, link, service):
        mine = link()
        other = service.grants.give(
            "case", analysed(service)[0].case_id, "bob-s", Identity("bob", "reader")
        )
        client.post(f"/cxr/review/{mine}", json=self.body(note="a"))
        make_client(service, "bob-s").post(f"/cxr/review/{other}", json=self.body(note="b"))
        client.post(f"/cxr/review/{mine}", json=self.body(note="a2"))
        kept = service.store.of_study(study_name(analysed(service)[0]))
        assert {review.reader: review.note for review in kept} == {"anna": "a2", "bob": "b"}

    @pytest.mark.parametrize("role", ["viewer", "operator"])
    def test_of_a_role_without_it_is_refused(self, client, link, role):
        token = link(identity=Identity("vera", role))
        assert client.post(f"/cxr/review/{token}", json=self.body()).status_code == 403

    @pytest.mark.parametrize(
        ("content", "status"),
        [
            (b"{", 422), (b"[]", 422), (b'{"findings": 3}', 422), (b'{"seconds": "x"}', 422),
            (b'{"note": {}}', 422), (b'{"findings": {"Nonsense": {}}}', 422),
            (b'"' + b"x" * 70_000 + b'"', 413), (b"\xff\xfe", 422),
        ],
    )  # fmt: skip
    def test_of_another_shape_is_a_sentence(self, client, link, service, content, status):
        answer = client.post(
            f"/cxr/review/{link()}", content=content, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == status
        assert answer.json()["message"]
        assert list(service.store.reviews()) == []

    def test_from_a_form_of_another_site_is_refused(self, client, link):
        answer = client.post(f"/cxr/review/{link()}", data={"note": "x"})
        assert answer.status_code == 415

    def test_into_a_locked_store_asks_to_try_again(self, client, link, service):
        with sqlite3.connect(service.store.path) as other:
            other.execute("begin exclusive")
            answer = client.post(f"/cxr/review/{link()}", json=self.body())
        other.close()
        assert answer.status_code == 503
        assert "try again" in answer.json()["message"]

    def test_onto_a_full_disk_is_told_and_can_be_sent_again(self, client, link, service):
        """No byte more can be written: nothing is half stored; the next try stores it."""
        url, body = f"/cxr/review/{link()}", {**self.body(), "finished": True}
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
        try:
            answer = client.post(url, json=body)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert answer.status_code == 503
        assert answer.json()["message"]
        assert list(service.store.reviews()) == []
        assert client.post(url, json=body).status_code == 200
        (review,) = service.store.reviews()
        assert review.finished
        assert len(review.findings) == len(body["findings"])
