"""Routes: films, heatmaps and reviews go to whom a page granted them, and to nobody else."""

from __future__ import annotations

import io
import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from viewer_service import OWNER, READER, analysed, make_client

from clinical_app.admission.access import Identity
from clinical_app.admission.security import HEADERS
from clinical_app.desk import study
from monai_cxr.bundle.explaining.explanation import heat_share
from monai_cxr.bundle.explaining.saliency import saliency
from monai_cxr.dicom.display import levels
from monai_cxr.reading.files import read_display, read_radiograph
from monai_cxr.review.film_packing import from_differences


def film_of(service, place: int = 0) -> str:
    """What links call the first film of a study."""
    return analysed(service)[place].images[0].film_id


def unpacked(content: bytes):
    (length,) = struct.unpack_from("<I", content)
    header = json.loads(content[4 : 4 + length])
    return header, content[-(-(4 + length) // 8) * 8 :]


class OneCase:
    """A source whose one case was changed."""

    def __init__(self, case, source):
        self.kept, self.source = case, source

    def case(self, case_id):
        return self.kept if case_id == self.kept.case_id else None

    def cases(self):
        return [self.kept]

    def data(self, image):
        return self.source.data(image)


class TestFilm:
    def test_carries_the_stored_values(self, client, link, service):
        case = analysed(service)[0]
        header, body = unpacked(client.get(f"/cxr/film/{link()}/{film_of(service)}").content)
        film = read_display(service.data(case, 0))
        copy = header["preview"]
        start = 2 * copy["rows"] * copy["columns"]
        planes = np.frombuffer(body, np.uint8, 2 * film.values.size, start).reshape(2, *film.shape)
        np.testing.assert_array_equal(from_differences(*planes), film.values)
        assert header["inverse"] == film.inverse
        assert header["presets"][0]["center"] == film.presets[0].center
        assert levels(film, film.presets[0]).shape == (header["rows"], header["columns"])

    def test_is_not_kept_by_the_browser_and_is_small_on_the_wire(self, client, link, service):
        url = f"/cxr/film/{link()}/{film_of(service)}"
        answer = client.get(url)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-encoding"] == "gzip"
        assert int(answer.headers["content-length"]) < len(answer.content)
        assert int(answer.headers["x-film-bytes"]) == len(answer.content)
        plain = client.get(url, headers={"Accept-Encoding": "identity"})
        assert plain.headers["content-encoding"] == "identity"
        assert plain.content == answer.content

    def test_of_another_number_is_a_sentence(self, client, link, service):
        answer = client.get(f"/cxr/film/{link()}/7")
        assert answer.status_code == 422
        assert "1 film" in answer.json()["message"]

    def test_that_vanished_is_a_sentence(self, service, client, link, analysed_films, tmp_path):
        case = analysed(service)[1]
        path = next(
            path
            for path, film in service.source._films.items()
            if film.image.film_id == case.images[0].film_id
        )
        aside = tmp_path / "aside.dcm"
        path.rename(aside)
        try:
            answer = client.get(f"/cxr/film/{link(case_id=case.case_id)}/{film_of(service, 1)}")
        finally:
            aside.rename(path)
        assert answer.status_code == 422
        assert answer.json()["message"] == "The file does not exist."
        assert str(Path(path).name) not in answer.text


class TestHeat:
    def test_has_a_map_a_finding(self, client, link, model, service):
        header, body = unpacked(client.get(f"/cxr/heat/{link()}/{film_of(service)}").content)
        assert header["findings"] == list(model.findings)
        n = header["rows"] * header["columns"]
        maps = np.frombuffer(body, np.uint8, n * len(model.findings)).reshape(-1, n)
        assert max(header["rows"], header["columns"]) == 192
        film = read_radiograph(service.data(analysed(service)[0], 0))
        shape = (header["rows"], header["columns"])
        expected = heat_share(saliency(model, film, ["Mass"], shape=shape)[0])
        mass = maps[header["findings"].index("Mass")].reshape(shape)
        np.testing.assert_array_equal(mass, np.rint(expected * 255))
        assert all(box is None or box[2] * box[3] <= 0.15 for box in header["boxes"])

    def test_of_a_refused_film_is_a_sentence(self, client, link, service):
        bad = next(case for case in service.source.cases() if case.prediction is None)
        answer = client.get(f"/cxr/heat/{link(case_id=bad.case_id)}/{bad.images[0].film_id}")
        assert answer.status_code == 422


class TestThumbnails:
    def give(self, service, case, role="operator"):
        return service.grants.give(
            "thumbnail", case.case_id, "session-of-anna", Identity("olaf", role)
        )

    def test_are_too_small_to_read_in(self, client, service):
        case = analysed(service)[0]
        answer = client.get(f"/cxr/thumbnail/{self.give(service, case)}")
        picture = Image.open(io.BytesIO(answer.content))
        assert max(picture.size) == 96
        assert picture.getextrema()[1] > 100
        assert not picture.info

    def test_of_what_is_no_film_are_a_sentence(self, client, service):
        bad = next(case for case in service.source.cases() if case.prediction is None)
        assert client.get(f"/cxr/thumbnail/{self.give(service, bad)}").status_code == 422

    def test_open_no_film_and_a_film_opens_no_thumbnail(self, client, service, link):
        token = self.give(service, analysed(service)[0])
        assert client.get(f"/cxr/film/{token}/0").status_code == 403
        assert client.get(f"/cxr/thumbnail/{link()}").status_code == 403

    def test_are_not_for_readers(self, client, service):
        token = self.give(service, analysed(service)[0], role="reader")
        assert client.get(f"/cxr/thumbnail/{token}").status_code == 403


class TestLinks:
    def test_copied_into_another_session_are_refused(self, service, link):
        stranger = make_client(service, session="session-of-bob")
        answer = stranger.get(f"/cxr/film/{link()}/{film_of(service)}")
        assert answer.status_code == 403
        assert "session" in answer.json()["message"]

    def test_without_a_cookie_are_refused(self, service, link):
        assert (
            make_client(service, session="")
            .get(f"/cxr/film/{link()}/{film_of(service)}")
            .status_code
            == 403
        )

    @pytest.mark.parametrize("path", ["film/guess/0", "heat/guess/0", "worklist/guess",
                                      "report/guess", "sr/guess"])  # fmt: skip
    def test_that_were_guessed_are_refused(self, client, path):
        assert client.get(f"/cxr/{path}").status_code == 403

    def test_of_one_kind_do_not_open_another(self, client, link):
        assert client.get(f"/cxr/worklist/{link('case')}").status_code == 403
        assert client.get(f"/cxr/film/{link('worklist')}/0").status_code == 403

    @pytest.mark.parametrize("role", ["operator", ""])
    def test_of_a_role_that_may_not_read_are_refused(self, client, link, role):
        token = link(identity=Identity("olaf", role))
        assert client.get(f"/cxr/film/{token}/0").status_code == 403
        assert client.get(f"/cxr/report/{token}").status_code == 403


class TestWorklist:
    def test_answers_only_when_something_changed(self, client, link, service):
        url = f"/cxr/worklist/{link('worklist')}"
        first = client.get(url)
        assert first.json()["counts"]["failed"] == 2
        tag = {"If-None-Match": first.headers["etag"]}
        assert client.get(url, headers=tag).status_code == 304
        client.post(f"/cxr/review/{link()}", json={"finished": True})
        assert client.get(url, headers=tag).json()["counts"]["read"] == 1

    def test_holds_no_identifier(self, client, link, service):
        text = client.get(f"/cxr/worklist/{link('worklist')}").text
        for case in service.source.cases():
            for name in (case.key.patient_id, case.key.study_uid, case.key.sop_uid):
                assert not name or name not in text


class TestReports:
    def test_one_page_that_names_no_patient(self, client, link, service):
        answer = client.get(f"/cxr/report/{link()}")
        key = analysed(service)[0].key
        assert answer.headers["content-type"].startswith("text/html")
        assert "Findings by urgency" in answer.text
        assert "data:image/png;base64," in answer.text
        assert key.patient_id not in answer.text
        assert key.study_uid not in answer.text

    def test_structured_report_is_of_this_study(self, client, link, service):
        pytest.importorskip("highdicom")
        answer = client.get(f"/cxr/sr/{link()}")
        assert answer.status_code == 200
        report = pydicom.dcmread(io.BytesIO(answer.content))
        assert report.StudyInstanceUID == analysed(service)[0].key.study_uid
        assert report.Modality == "SR"
        assert client.get(f"/cxr/sr/{link()}").content == answer.content

    def test_structured_report_of_another_model_is_a_sentence(self, client, link, service):
        case = analysed(service)[0]
        other = replace(case.prediction.model, digest="f" * 64)
        changed = replace(case, prediction=replace(case.prediction, model=other))
        service.source = OneCase(changed, service.source)
        answer = client.get(f"/cxr/sr/{link(case_id=case.case_id)}")
        assert answer.status_code == 422
        assert "Another model" in answer.json()["message"]
        data = study(service, changed, READER, "s", ())
        assert "another model" in data["flags"][0]["text"]
        assert data["images"][0]["heat"] is None
        assert {item["threshold"] for item in data["statements"]} == {None}

    def test_text_says_what_the_reader_has_just_said(self, client, link):
        url = f"/cxr/text/{link()}"
        assert "Reader:" not in client.get(url).text
        said = {"findings": {"Mass": {"opinion": "agree", "label": "present"}}, "note": "See CT."}
        client.post(f"/cxr/review/{link()}", json=said)
        text = client.get(url).text
        assert "Reader: Mass present." in text
        assert "See CT." in text
        assert "Research use only" in text

    def test_structured_report_of_a_refused_film_is_a_sentence(self, client, link, service):
        bad = next(case for case in service.source.cases() if case.prediction is None)
        assert client.get(f"/cxr/sr/{link(case_id=bad.case_id)}").status_code == 422


class TestGuard:
    def test_every_answer_has_the_headers(self, client):
        answer = client.get("/cxr/health")
        own_socket = " ws://127.0.0.1"  # older browsers do not take 'self' for a websocket
        for name, value in HEADERS.items():
            assert answer.headers[name].replace(own_socket, "") == value

    def test_a_new_browser_gets_a_session_of_its_own(self, service):
        cookies = {make_client(service, "").get("/cxr/health").headers["set-cookie"]
                   for _ in range(2)}  # fmt: skip
        assert len(cookies) == 2
        assert all("HttpOnly" in cookie and "SameSite=Lax" in cookie for cookie in cookies)

    def test_behind_a_proxy_only_the_proxy_is_answered(self, make_service):
        service = make_service(
            authentication="proxy", proxy_secret="0123456789abcdef", roles={"reader": ("anna",)}
        )
        client = make_client(service)
        token = service.grants.give("case", analysed(service)[0].case_id, "session-of-anna", READER)
        path = f"/cxr/film/{token}/{film_of(service)}"
        assert client.get(path).status_code == 403
        spoofed = {"X-Forwarded-Email": "anna", "X-Viewer-Secret": "wrong"}
        assert client.get(path, headers=spoofed).status_code == 403
        proxied = {"X-Forwarded-Email": "anna", "X-Viewer-Secret": "0123456789abcdef"}
        assert client.get(path, headers=proxied).status_code == 200
        bob = proxied | {"X-Forwarded-Email": "bob"}
        assert client.get(path, headers=bob).status_code == 403
        assert client.get("/cxr/health").status_code == 200


class TestUploads:
    def test_are_read_in_memory_and_not_reviewed(self, client, link, service, analysed_films):
        data = (analysed_films / "0.dcm").read_bytes()
        case = service.uploads.add(data, service.model, OWNER)
        token = link(case_id=case.case_id)
        film = f"/cxr/film/{token}/{case.images[0].film_id}"
        assert client.get(film).status_code == 200
        assert client.post(f"/cxr/review/{token}", json={"finished": True}).status_code == 422
        service.uploads.forget(case.case_id)
        assert client.get(film).status_code == 422

    def test_are_bounded(self, service, analysed_films):
        data = (analysed_films / "0.dcm").read_bytes()
        names = [service.uploads.add(data, None).case_id for _ in range(10)]
        assert service.uploads.case(names[0]) is None
        assert service.uploads.case(names[-1]) is not None

    def test_out_of_scope_can_be_looked_at(self, service, model):
        from monai_cxr.phantom.synthetic import synthetic_dicom

        values = np.arange(128 * 128, dtype=np.uint16).reshape(128, 128)
        case = service.uploads.add(synthetic_dicom(values, ViewPosition="LL"), model)
        assert case.prediction is None
        assert case.refusal.reason == "lateral"
        assert service.film(case, 0)


def test_a_service_without_a_model_still_shows_films(make_service):
    service = make_service()
    bare = replace(service, model=None)
    case = analysed(service)[0]
    assert bare.film(case, 0)
    assert bare.heat(case, 0) == b""
