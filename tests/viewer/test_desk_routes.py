"""Desk routes: one record of two tabs, a session in use, who reads, and the reader's word first."""

from __future__ import annotations

from dataclasses import replace

import pytest
from viewer_service import READER, analysed, make_client

from clinical_app.admission.access import Identity
from clinical_app.comparison import with_priors
from clinical_app.desk import study
from clinical_app.session import reader_id
from monai_cxr.review.priors import PRIOR, ComparedStudy, Comparisons
from monai_cxr.review.worklist import by_study, case_status, closing, worklist


@pytest.fixture
def case(service):
    return analysed(service)[0]


@pytest.fixture
def url(link):
    return f"/cxr/review/{link()}"


def reviews_of(service, case):
    return service.reviews_of(case)


class TestTwoTabs:
    def test_two_tabs_overwrite(self, client, url, service, case):
        """The second tab adds to the first one's review and takes nothing of it back."""
        first = {"findings": {"Effusion": {"opinion": "agree", "label": "present"}},
                 "note": "PTX right, called ward", "note_before": "", "finished": True}  # fmt: skip
        assert client.post(url, json=first).status_code == 200
        second = {"findings": {"Mass": {"opinion": "disagree", "label": "absent"}}}
        answer = client.post(url, json=second).json()
        (review,) = reviews_of(service, case)
        assert {name: item.opinion for name, item in review.findings.items()} == {
            "Effusion": "agree", "Mass": "disagree",
        }  # fmt: skip
        assert (review.note, review.finished) == ("PTX right, called ward", True)
        assert answer["review"]["note"] == review.note
        assert answer["review"]["finished"]

    def test_notes_of_two_tabs_are_both_kept(self, client, url, service, case):
        client.post(url, json={"note": "one", "note_before": ""})
        answer = client.post(url, json={"note": "two", "note_before": ""}).json()
        assert answer["review"]["note"] == "one\n\ntwo"
        client.post(url, json={"note": "three", "note_before": "one\n\ntwo"})
        assert reviews_of(service, case)[0].note == "three"

    def test_a_stale_tab_does_not_open_a_finished_study(self, client, url, service, case):
        client.post(url, json={"finished": True})
        client.post(url, json={"finished": False, "seconds": 3})
        assert reviews_of(service, case)[0].finished
        client.post(url, json={"reopen": True})
        assert not reviews_of(service, case)[0].finished

    def test_one_deed_is_one_line(self, client, url, service):
        for _ in range(3):
            client.post(url, json={"finished": True})
        actions = [line.action for line in service.store.accesses(20)]
        assert actions.count("finished") == 1
        assert actions.count("reviewed") == 1

    def test_a_word_can_be_taken_back(self, client, url, service, case):
        client.post(url, json={"findings": {"Mass": {"opinion": "agree", "label": "present"}}})
        client.post(url, json={"findings": {"Mass": {"opinion": "", "label": ""}}})
        assert reviews_of(service, case)[0].findings == {}


class TestMarks:
    def mark(self, case, **values):
        return {"film": case.images[0].film_id, "kind": "length", "text": "32.1 mm",
                "points": [[1, 2], [3.5, 4]], **values}  # fmt: skip

    def test_rulers_are_not_kept(self, client, url, link, service, case):
        """They are: with the review, in the text and in the report; and one can be taken away."""
        client.post(url, json={"marks": {"a": self.mark(case), "b": self.mark(case)}})
        client.post(url, json={"marks": {"b": None}})
        (review,) = reviews_of(service, case)
        assert [mark.text for mark in review.marks.values()] == ["32.1 mm"]
        assert "length 32.1 mm" in client.get(f"/cxr/text/{link()}").text
        assert "length 32.1 mm" in client.get(f"/cxr/report/{link()}").text
        again = study(service, case, READER, "s", service.reviews_of(case))["review"]["marks"]
        assert again["a"]["points"] == [[1.0, 2.0], [3.5, 4.0]]

    @pytest.mark.parametrize(
        "change",
        [{"film": "0"}, {"kind": "area"}, {"text": "<b>"}, {"points": [[1, 2]]},
         {"points": [[1, "2"], [3, 4]]}, {"points": [[1e9, 2], [3, 4]]}],
    )  # fmt: skip
    def test_of_another_shape_are_a_sentence(self, client, url, service, case, change):
        answer = client.post(url, json={"marks": {"a": self.mark(case, **change)}})
        assert answer.status_code == 422
        assert list(service.store.reviews()) == []


class TestFilms:
    def test_nothing_is_stored_for_a_film_that_is_not_there(self, client, url, service):
        answer = client.post(url, json={"film": "f" * 20, "finished": True})
        assert answer.status_code == 422
        assert "nothing was stored" in answer.json()["message"]
        assert list(service.store.reviews()) == []

    def test_a_place_in_a_list_is_no_name_of_a_film(self, client, link):
        assert client.get(f"/cxr/film/{link()}/0").status_code == 422

    def test_new_film_of_a_finished_study_stays_read(self, client, url, service, case):
        """It does not: what came since is said, and the study is new again."""
        client.post(url, json={"finished": True})
        known = by_study(service.store.reviews())
        assert case_status(case, known) == "read"
        other = replace(case.images[0], key=replace(case.images[0].key, sop_uid="1.9"))
        more = replace(case, images=(*case.images, other))
        assert case_status(more, known) == "new"
        assert closing(more, known).since == "1 film since"
        row = worklist([more], service.store.reviews(), now=0, longest_wait_seconds=1)["rows"][0]
        assert (row["status"], row["since"], row["readers"]) == ("new", "1 film since", ["anna"])

    def test_flags_that_came_later_open_a_study_too(self, client, url, service, case):
        client.post(url, json={"finished": True})
        scores = tuple(replace(score, positive=True) for score in case.prediction.scores)
        flagged = replace(case, prediction=replace(case.prediction, scores=scores))
        known = by_study(service.store.reviews())
        assert case_status(flagged, known) == "new"
        assert closing(flagged, known).since.endswith("flagged since")


class TestPresence:
    def test_nobody_knows_who_reads(self, client, link, service, case):
        """The list says who reads a study, and each reader who else does and what they did."""
        rita, token = make_client(service, "rita-s"), link()
        theirs = service.grants.give("case", case.case_id, "rita-s", Identity("rita", "reader"))
        rows = client.get(f"/cxr/worklist/{link('worklist')}")
        rita.post(f"/cxr/touch/{theirs}", json={})
        tag = {"If-None-Match": rows.headers["etag"]}
        now = client.get(f"/cxr/worklist/{link('worklist')}", headers=tag).json()["rows"]
        assert [row["reading"] for row in now if row["id"] == case.case_id] == [["rita"]]
        assert client.post(f"/cxr/touch/{token}", json={}).json()["reading"] == ["rita"]
        rita.post(f"/cxr/review/{theirs}", json={"finished": True})
        assert "Finished by rita" in client.get(f"/cxr/touch/{token}").json()["others"]

    def test_active_reader_locked_out(self, client, link, service):
        """A hand on the desk renews the session; a look at the clock does not."""
        clock = [0.0]
        service.grants._clock = lambda: clock[0]
        service.grants.use("session-of-anna", READER)
        token, idle = link(), service.settings.idle_minutes * 60
        for _ in range(4):
            clock[0] += idle * 0.6
            assert client.post(f"/cxr/touch/{token}", json={}).status_code == 200
        clock[0] += idle * 0.6
        assert client.get(f"/cxr/touch/{token}").json()["idle_seconds_left"] < idle * 0.5
        clock[0] += idle * 0.6
        assert client.post(f"/cxr/touch/{token}", json={}).status_code == 403

    def test_touches_of_strangers_and_forms_are_refused(self, client, link):
        assert client.post("/cxr/touch/guess", json={}).status_code == 403
        assert client.post(f"/cxr/touch/{link()}", data={"a": "b"}).status_code == 415


class TestReadFirst:
    @pytest.fixture
    def service(self, make_service):
        return make_service(read_first={"reader": 1.0})

    def test_scores_order_and_maps_come_after_the_reader_s_word(self, client, link, service, case):
        film = case.images[0].film_id
        data = with_priors(service, case, READER, "session-of-anna", ())
        assert data["hidden"]
        assert data["images"][0]["heat"] is None
        assert {item["probability"] for item in data["statements"]} == {None}
        titles = [item["title"] for item in data["statements"]]
        assert titles == sorted(titles)
        for path in (f"heat/{link()}/{film}", f"text/{link()}", f"report/{link()}", f"sr/{link()}"):
            assert client.get(f"/cxr/{path}").status_code == 422, path
        assert client.get(f"/cxr/film/{link()}/{film}").status_code == 200
        rows = client.get(f"/cxr/worklist/{link('worklist')}").json()["rows"]
        assert {(row["urgency"], tuple(row["flagged"])) for row in rows} == {(4, ())}

    def test_the_word_is_stored_as_one_given_without_the_score(self, client, url, service, case):
        said = {"findings": {"Mass": {"label": "present"}}}
        refused = client.post(url, json=said)
        assert refused.status_code == 422
        assert list(service.store.reviews()) == []
        assert client.post(url, json={**said, "reveal": True, "finished": True}).status_code == 200
        (review,) = reviews_of(service, case)
        assert (review.score_seen, review.finished) == (False, False)
        after = study(service, case, READER, "session-of-anna", [review])
        assert not after["hidden"]
        assert after["images"][0]["heat"]
        client.post(url, json={"findings": {"Mass": {"label": "absent"}}})
        assert reviews_of(service, case)[0].score_seen is True

    def test_its_share_is_of_studies_and_the_same_each_time(self, make_service, case):
        service = make_service(read_first={"reader": 0.5})
        names = [replace(case, study=f"1.2.{i}") for i in range(400)]
        hidden = [service.is_hidden(READER, one, ()) for one in names]
        assert hidden == [service.is_hidden(READER, one, ()) for one in names]
        assert 140 < sum(hidden) < 260  # 6 standard deviations
        assert not any(service.is_hidden(Identity("vera", "viewer"), one, ()) for one in names)

    def test_the_place_in_the_list_tells_nothing(self, service):
        def places(positive):
            cases = [replace(case, received=float(i)) for i, case in enumerate(analysed(service))]
            last = cases[-1]
            scores = tuple(replace(score, positive=positive) for score in last.prediction.scores)
            cases[-1] = replace(last, prediction=replace(last.prediction, scores=scores))
            rows = worklist(cases, [], now=9, longest_wait_seconds=60, hidden=lambda _: True)
            return rows["rows"]

        assert places(True) == places(False)


def test_a_name_for_a_tab_s_memory_tells_nothing_of_the_reader():
    assert reader_id(READER) != reader_id(Identity("ben", "reader"))
    assert "anna" not in reader_id(READER)


class TestSinceThePrior:
    @pytest.mark.parametrize(
        ("before", "after", "words"),
        [
            (0.02, 0.31, "New since 2020-01-02: Mass (2 % to 31 %)."),
            (0.071, 0.074, "(7 % both times, on either side of its threshold)."),
        ],
    )
    def test_a_new_flag_has_the_numbers_that_differ(
        self, service, case, monkeypatch, before, after, words
    ):
        earlier = replace(said_of(case, "Mass", before, flagged=False), case_id="earlier")
        found = Comparisons((ComparedStudy(earlier, PRIOR, "20200102", ""),))
        monkeypatch.setattr(service.priors, "of", lambda _case: found)
        now = said_of(case, "Mass", after, flagged=True)
        (line,) = with_priors(service, now, READER, "session-of-anna", ())["comparison"]
        assert line.endswith(words)


def said_of(case, finding, probability, *, flagged):
    """The same study where the model said this of one finding."""
    scores = tuple(
        replace(score, probability=probability, positive=flagged)
        if score.finding == finding
        else score
        for score in case.prediction.scores
    )
    return replace(case, prediction=replace(case.prediction, scores=scores))
