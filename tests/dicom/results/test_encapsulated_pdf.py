"""The page of a film: what it says, whose it is, and that it is the same wherever it is made."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone

import pydicom
import pytest
from dicom_peers import errors_of_dciodvfy
from hypothesis import given
from hypothesis import strategies as st
from pacs_films import film_bytes
from pdf_text import pdf_text

from monai_cxr.dicom.reader import open_dicom
from monai_cxr.dicom.results.encapsulated_pdf import encapsulated_pdf
from monai_cxr.dicom.results.instances import DicomInstance, is_own_result
from monai_cxr.dicom.results.pdf_pages import TextLine, pdf_document
from monai_cxr.dicom.results.structured_report import ReportedFilm, structured_report
from monai_cxr.errors import NotCalibrated, SettingsError, UnsupportedImage
from monai_cxr.prediction import FindingScore, Interval, ModelIdentity, OperatingPoint, Prediction

MODEL = ModelIdentity("chest_model", "1.2.0", "ab" * 32, "torch-cpu-fp32")
MADE = datetime(2026, 1, 5, 8, 15, tzinfo=timezone.utc)
POINT = OperatingPoint(
    "Effusion", 0.12, "youden", Interval(0.91, 0.85, 0.95), Interval(0.8, 0.77, 0.83), 900, 120
)
SCORES = (
    FindingScore("Effusion", 0.0, 0.345, True),
    FindingScore("Mass", 0.0, 0.00021, False),
    FindingScore("Hernia", 0.0, 0.5),
    FindingScore("Edema", 0.0, float("nan")),
)


def reported(data: bytes, scores=SCORES, model=MODEL, flags=()) -> ReportedFilm:
    return ReportedFilm(data, Prediction(open_dicom(data).facts.key, model, scores, flags))


def page(made: DicomInstance) -> tuple[pydicom.Dataset, list[str]]:
    read = pydicom.dcmread(io.BytesIO(made.data))
    assert len(read.EncapsulatedDocument) % 2 == 0
    document = read.EncapsulatedDocument[: read.EncapsulatedDocumentLength]
    assert set(read.EncapsulatedDocument[read.EncapsulatedDocumentLength :]) <= {0}
    return read, pdf_text(document)


def test_it_says_what_the_report_says(tmp_path):
    made = encapsulated_pdf(
        reported(film_bytes(1), flags=("no_window", "never_heard_of")),
        operating_points=[POINT],
        calibration={"Effusion": "platt", "Mass": "beta", "Hernia": "beta"},
        created=MADE,
    )
    read, lines = page(made)
    table = {
        name: lines[lines.index(name) : lines.index(name) + 6] for name in ("Effusion", "Mass")
    }
    assert table["Effusion"][1:] == [
        *("0.345", "present", "0.120", "0.910 (0.850-0.950)", "0.800 (0.770-0.830)")
    ]
    assert table["Mass"][1:] == ["2.1e-04", "absent", "", "", ""]
    assert lines[lines.index("Hernia") + 2] == "not stated"
    assert "Edema" not in lines  # as in the report: what has no probability is not reported
    assert "Model chest_model, version 1.2.0, SHA-256 abababababab, torch-cpu-fp32" in lines
    assert "Read on 2026-01-05 at 08:15 UTC" in lines
    assert "Threshold chosen by youden: Effusion" in lines
    assert "Probability calibrated by beta: Mass, Hernia" in lines
    assert {"The header has no window; the film's own range is used.", "Never heard of."} <= set(
        lines
    )
    assert sum("Research use only" in line for line in lines) == 1
    assert errors_of_dciodvfy(made.data, tmp_path) == []
    assert (read.MIMETypeOfEncapsulatedDocument, read.BurnedInAnnotation) == (
        "application/pdf",
        "NO",
    )
    assert is_own_result(read)
    film = pydicom.dcmread(io.BytesIO(film_bytes(1)))
    assert read.SourceInstanceSequence[0].ReferencedSOPInstanceUID == film.SOPInstanceUID
    for keyword in ("StudyInstanceUID", "PatientName", "PatientID", "AccessionNumber", "StudyDate"):
        assert read[keyword].value == film[keyword].value


def test_it_lies_beside_the_report_under_uids_of_its_own():
    film = reported(film_bytes(1))
    made, report = encapsulated_pdf(film, created=MADE), structured_report(film, created=MADE)
    assert made.study_uid == report.study_uid
    assert len({made.sop_uid, made.series_uid, report.sop_uid, report.series_uid}) == 4
    other = reported(film_bytes(1), model=ModelIdentity("chest_model", "1.2.0", "cd" * 32))
    assert encapsulated_pdf(other, created=MADE).sop_uid != made.sop_uid


def test_the_same_bytes_on_any_host(monkeypatch):
    data = film_bytes(1)
    one = encapsulated_pdf(reported(data), operating_points=[POINT], created=MADE).data
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        elsewhere = MADE.astimezone(timezone(timedelta(hours=9)))
        other = encapsulated_pdf(reported(data), operating_points=[POINT], created=elsewhere).data
    finally:
        monkeypatch.undo()
        time.tzset()
    assert one == other
    program = (
        "import sys; from datetime import datetime, timezone; "
        "from monai_cxr.dicom.results.pdf_pages import *; "
        "sys.stdout.buffer.write(pdf_document([[TextLine(1, 2, 'x')]], title='t', "
        "created=datetime(2026, 1, 5, 8, 15)))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "America/Lima", "LC_ALL": "C"}
    again = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, check=True
    ).stdout
    assert again == pdf_document([[TextLine(1, 2, "x")]], title="t", created=MADE)


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 192", "山田^太郎"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO_IR 100", "Größe^Ärztin("),
        ("ISO_IR 192", "محمد^" + "x" * 58),
    ],
)
def test_a_name_in_any_script_is_in_the_header_only(charset, name, tmp_path):
    data = film_bytes(1, SpecificCharacterSet=charset, PatientName=name)
    read, lines = page(encapsulated_pdf(reported(data), created=MADE))
    tag = pydicom.tag.Tag("PatientName")
    written = pydicom.dcmread(io.BytesIO(data)).get_item(tag).value
    assert read.get_item(tag).value.strip() == written.strip()
    assert str(read.PatientName) == str(pydicom.dcmread(io.BytesIO(data)).PatientName)
    assert not any("PID1" in line or "^" in line or "?" in line for line in lines)


def test_many_findings_of_ones_own_and_long_names_take_pages():
    names = ("骨折", "a|b^c\\d&e~f(", "W" * 70, *(f"own_{i}" for i in range(60)))
    scores = tuple(FindingScore(name, 0.0, 0.5, True) for name in names)
    model = ModelIdentity("モデル(" * 40, "9" * 200, "ab" * 32)
    read, lines = page(encapsulated_pdf(reported(film_bytes(1), scores, model), created=MADE))
    assert lines.count("present") == len(names)
    assert {"Page 1 of 2", "Page 2 of 2", "Own 59"} <= set(lines)
    assert read.EncapsulatedDocument.count(b"/Type /Page ") == 2


@given(st.lists(st.text(max_size=60), min_size=1, max_size=20))
def test_any_text_can_stand_on_a_page(texts):
    pages = [[TextLine(50.0, 10.0 * i, text)] for i, text in enumerate(texts)]
    document = pdf_document(pages, title=texts[0], created=MADE)
    lines = pdf_text(document)
    assert len(lines) == len(texts)
    for text, line in zip(texts, lines, strict=True):
        assert len(line) == len(text)
        if text.isascii() and text.isprintable():
            assert line == text


def test_what_cannot_be_reported_is_refused():
    data = film_bytes(1)
    with pytest.raises(NotCalibrated):
        encapsulated_pdf(reported(data, (SCORES[-1],)), created=MADE)
    with pytest.raises(SettingsError, match="The prediction is of"):
        encapsulated_pdf(ReportedFilm(film_bytes(2), reported(data).prediction), created=MADE)
    broken = film_bytes(1, StudyInstanceUID="")
    with pytest.raises(UnsupportedImage) as caught:
        encapsulated_pdf(ReportedFilm(broken, reported(data).prediction), created=MADE)
    assert caught.value.reason == "no_identity"
