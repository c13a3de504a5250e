"""HL7 version 2: two independent libraries read the message; structure cannot be injected."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import hl7
import pytest
from hl7apy.parser import parse_message
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_cxr.findings import FINDING_NAMES, FINDINGS
from monai_cxr.prediction import FindingScore, ModelIdentity, Prediction
from monai_cxr.radiograph import InstanceKey
from monai_cxr.screening.delivering.hl7v2 import oru_message
from monai_cxr.screening.delivering.study_message import StudyReport

MODEL = ModelIdentity("chest_model", "1.2.0", "ab" * 32)
MADE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def report(patient: str = "0815", name: str = "Müller^Jörg^^Dr^Jr", accession: str = "A1"):
    scores = tuple(
        FindingScore(f, 0.0, 0.05 * i + 0.01, i > 5) for i, f in enumerate(FINDING_NAMES)
    )
    one = Prediction(InstanceKey(patient, "1.2.3", "1.2.4", "1.2.5"), MODEL, scores)
    return StudyReport((one,), MADE, accession, name, study_started=MADE)


def test_hl7apy_finds_it_valid(tmp_path):
    message = parse_message(oru_message(report()))
    notes = tmp_path / "notes.txt"
    assert message.validate(report_file=str(notes))
    assert "Error" not in notes.read_text()


def test_python_hl7_reads_every_value():
    message = hl7.parse(oru_message(report()))
    assert str(message.segment("MSH")[9]) == "ORU^R01^ORU_R01"
    assert str(message.segment("PID")[3]) == "0815"
    assert str(message.segment("PID")[5]) == "Müller^Jörg^^Jr^Dr"
    observations = message.segments("OBX")
    assert [str(o[1]) for o in observations] == [str(i) for i in range(1, 31)]
    study, film, *observations = observations
    assert (str(study[3]).split("^")[0], str(study[5])) == ("113014", "1.2.3")
    assert (str(film[4]), str(film[5])) == ("1", "1.2.5")
    scores = report().predictions[0].scores
    for decision, number, score in zip(observations[::2], observations[1::2], scores, strict=True):
        code = FINDINGS[score.finding].code.value
        assert str(decision[3]).split("^")[0] == code
        assert str(decision[5]).split("^")[1] == ("Present" if score.positive else "Absent")
        assert str(number[3]) == "122157^Probability^DCM"  # another concept than the finding
        assert float(str(number[5])) == pytest.approx(score.probability, abs=1e-6)
        assert str(decision[4]) == str(number[4])
        assert str(decision[11]) == str(number[11]) == "P"


def test_the_same_report_is_the_same_message():
    assert oru_message(report()) == oru_message(report())


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=16))
def test_no_value_can_add_a_field_or_a_segment(patient, name, accession):
    text = oru_message(report(patient, name, accession))
    segments = text.split("\r")
    assert [s[:3] for s in segments] == ["MSH", "PID", "PV1", "ORC", "OBR", *["OBX"] * 30, ""]
    assert "\n" not in text
    assert len(segments[1].split("|")) == 9
    assert len(segments[3].split("|")) == 4
    assert len(segments[4].split("|")) == 26


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20))
@settings(max_examples=25, deadline=None)
def test_a_patient_id_comes_back_unescaped(patient):
    message = hl7.parse(oru_message(report(patient)))
    assert message.unescape(str(message.segment("PID")[3])) == patient


def test_unknown_patient():
    assert "PID|1||UNKNOWN||UNKNOWN" in oru_message(report("", ""))


def test_hl7_without_study():
    """An interface engine files by study, order or patient: all three are named."""
    said = replace(
        report(), birth_date="19500102", sex="F", issuer=("HOSP", "1.2.3", "ISO"),
        placer_number="P|7", filler_number="F7",
    )  # fmt: skip
    text = oru_message(said)
    assert parse_message(text).validate()
    message = hl7.parse(text)
    assert str(message.segment("PID")[3]) == "0815^^^HOSP&1.2.3&ISO"
    assert (str(message.segment("PID")[7]), str(message.segment("PID")[8])) == ("19500102", "F")
    order, request = message.segment("ORC"), message.segment("OBR")
    assert message.unescape(str(order[2])) == message.unescape(str(request[2])) == "P|7"
    assert str(order[3]) == str(request[3]) == "F7"
    assert str(message.segment("PV1")[2]) == "U"
    for uid in ("1.2.3", "1.2.5"):
        assert f"|{uid}|" in text


def test_a_finding_without_a_decision_is_named():
    scores = (FindingScore("Mass", 0.0, 0.5),)
    one = Prediction(InstanceKey("P", "1.2.3", "1.2.4", "1.2.5"), MODEL, scores)
    message = hl7.parse(oru_message(StudyReport((one,), MADE)))
    named, number = message.segments("OBX")[2:]
    assert str(named[3]) == "121071^Finding^DCM"
    assert str(named[5]).split("^")[0] == FINDINGS["Mass"].code.value
    assert str(named[4]) == str(number[4])
