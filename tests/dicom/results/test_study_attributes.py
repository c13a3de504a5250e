"""Study attributes: a result repeats those of its film byte for byte, on any host."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_peers import errors_of_dciodvfy
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from monai_cxr.dicom.reader import open_dicom
from monai_cxr.dicom.results.evidence import STUDY_KEYWORDS
from monai_cxr.dicom.results.heatmap import heatmap_capture, heatmap_segmentation
from monai_cxr.dicom.results.instances import DicomInstance
from monai_cxr.dicom.results.structured_report import ReportedFilm, structured_report
from monai_cxr.errors import UnsupportedImage
from monai_cxr.phantom.synthetic import synthetic_dicom
from monai_cxr.prediction import FindingScore, ModelIdentity, Prediction

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning")  # pydicom's, of odd values

MADE = datetime(2026, 1, 2, 23, 30, tzinfo=timezone.utc)
MODEL = ModelIdentity("Thorax-Modell für Füße", "1", "ab" * 32)
SHAPE = (48, 40)


def film_with(values: dict[str, bytes], **attributes: object) -> bytes:
    """A film whose header holds these bytes, whatever the standard says of them."""
    dataset = pydicom.dcmread(io.BytesIO(synthetic_dicom(np.zeros(SHAPE, np.uint16), **attributes)))
    for keyword, value in values.items():
        tag = Tag(keyword)
        padded = value + b" " * (len(value) % 2)
        vr = pydicom.datadict.dictionary_VR(tag)
        dataset[tag] = RawDataElement(tag, vr, len(padded), padded, 0, False, True)
    dataset.set_original_encoding(False, True, dataset._character_set)  # written as it is
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def reported(data: bytes) -> ReportedFilm:
    scores = (FindingScore("Mass", 0.0, 0.5, True),)
    return ReportedFilm(data, Prediction(open_dicom(data).facts.key, MODEL, scores))


def results_of(data: bytes) -> list[DicomInstance]:
    """A film's report, Secondary Capture and Segmentation."""
    film = reported(data)
    picture = np.zeros((*SHAPE, 3), np.uint8)
    return [
        structured_report(film, created=MADE),
        heatmap_capture(film, picture, "Mass", created=MADE),
        heatmap_segmentation(film, np.ones(SHAPE, np.float32), "Mass", created=MADE),
    ]


def stored(data: bytes, keyword: str) -> bytes | None:
    """The bytes of a value as the file has them, without padding."""
    dataset = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    if keyword not in dataset:
        return None
    element = dataset.get_item(Tag(keyword))
    value = element.value if isinstance(element, RawDataElement) else _joined(element.value)
    return bytes(value or b"").rstrip(b" \0")


def _joined(value: object) -> bytes:
    """What pydicom has already decoded: the character set, which is ASCII, and sequences."""
    return (value if isinstance(value, str) else "\\".join(map(str, value))).encode()  # type: ignore[call-overload]


ODD = {
    "hhmm": {"StudyTime": b"1430"},
    "fraction": {"StudyTime": b"143015.123456"},
    "dashes": {"StudyDate": b"2026-01-02"},
    "accession": {"AccessionNumber": b"RADIOLOGY-2026-00012345"},
    "study-id": {"StudyID": b"STUDY-0123456789-ABCDEF"},
    "leading-zero": {"StudyInstanceUID": b"1.2.840.113619.2.05.1.1"},
    "leading-space": {"PatientID": b"  4711"},
    "backslash": {"PatientID": rb"A\B"},
    "long-id": {"PatientID": b"X" * 70},
    "sex": {"PatientSex": b"female"},
    "birth": {"PatientBirthDate": b"1950.01.02"},
    "carets": {"PatientName": b"DOE^JOHN^^^"},
    "description": {"StudyDescription": b"Thorax " * 10},
    "cp1251": {"PatientName": "Иванов^Иван".encode("cp1251")},
    "gbk": {"PatientName": "王^小东".encode("gbk")},
    "utf-8": {"PatientName": "Müller^Jörg".encode()},
    "shift-jis": {"PatientName": "山田^太郎".encode("shift_jis")},
    "gbk-as-utf-8": {"SpecificCharacterSet": b"ISO_IR 192", "PatientName": "王^小东".encode("gbk")},
    "gbk-text-as-utf-8": {
        "SpecificCharacterSet": b"ISO_IR 192",
        "StudyDescription": "胸部正位".encode("gbk"),
        "AccessionNumber": "门诊1".encode("gbk"),
    },
    "unknown-set": {"SpecificCharacterSet": b"ISO_IR 999", "PatientName": b"\xe4\xf6"},
    "kanji": {
        "SpecificCharacterSet": rb"\ISO 2022 IR 87",
        "PatientName": "Yamada^Tarou=山田^太郎".encode("iso2022_jp"),
    },
    "empty": {"PatientName": b"", "PatientID": b"", "StudyDate": b"", "AccessionNumber": b""},
}


@pytest.mark.parametrize("values", ODD.values(), ids=ODD.keys())
def test_study_attributes_differ(values):
    film = film_with(values, SpecificCharacterSet=None)
    for result in results_of(film):
        for keyword in ("StudyInstanceUID", *STUDY_KEYWORDS):
            if keyword == "TimezoneOffsetFromUTC":
                continue
            expected = stored(film, keyword)
            found = stored(result.data, keyword)
            assert (found or b"") == (expected or b""), keyword
        has_set = "SpecificCharacterSet" in pydicom.dcmread(io.BytesIO(result.data))
        assert has_set == ("SpecificCharacterSet" in values)


def test_issuers_and_requests_are_repeated(tmp_path):
    issuer, order, request, other = (pydicom.Dataset() for _ in range(4))
    issuer.UniversalEntityID, issuer.UniversalEntityIDType = "1.2.3", "ISO"
    order.LocalNamespaceEntityID = "RIS"
    request.AccessionNumber, request.RequestedProcedureID = "A1", "RP1"
    other.PatientID, other.IssuerOfPatientID = "O1", "X"
    other.TypeOfPatientID = "TEXT"
    film = synthetic_dicom(
        np.zeros(SHAPE, np.uint16), IssuerOfPatientID="HOSP",
        IssuerOfPatientIDQualifiersSequence=[issuer], IssuerOfAccessionNumberSequence=[order],
        RequestAttributesSequence=[request], OtherPatientIDsSequence=[other],
        TimezoneOffsetFromUTC="+0300",
    )  # fmt: skip
    report, *others = results_of(film)
    read = pydicom.dcmread(io.BytesIO(report.data))
    assert read.ReferencedRequestSequence[0].RequestedProcedureID == "RP1"
    assert read.ReferencedRequestSequence[0].StudyInstanceUID == read.StudyInstanceUID
    assert (read.ContentDate, read.ContentTime) == ("20260103", "023000")  # in the film's zone
    for made in (report, *others):
        read = pydicom.dcmread(io.BytesIO(made.data))
        assert read.IssuerOfPatientIDQualifiersSequence[0].UniversalEntityID == "1.2.3"
        assert read.IssuerOfAccessionNumberSequence[0].LocalNamespaceEntityID == "RIS"
        assert read.OtherPatientIDsSequence[0].PatientID == "O1"
        assert read.TimezoneOffsetFromUTC == "+0300"
        assert errors_of_dciodvfy(made.data, tmp_path) == []


@pytest.mark.parametrize(
    "value",
    [b"1.2.3." + b"4" * 61 + b".1", b"1.2.3\x00.4", rb"1.2.3\1.2.4", b"1..2", b"a.b", b""],
    ids=["67", "nul", "two", "empty-component", "letters", "empty"],
)
@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_uid_over_64_wrong_study(keyword, value):
    film = film_with({keyword: value})
    with pytest.raises(UnsupportedImage) as caught:
        structured_report(reported(film))
    assert caught.value.reason == "no_identity"


def test_two_long_uids_are_two_identities():
    stem = b"1.2.3." + b"4" * 60
    keys = {
        open_dicom(
            film_with({"SOPInstanceUID": stem + end, "PatientID": b"P" * 64 + end})
        ).facts.key
        for end in (b".1", b".2")
    }
    assert len({key.sop_uid for key in keys}) == 2
    assert len({key.patient_id for key in keys}) == 2


def test_a_control_character_makes_no_other_identity():
    ids = [b"AB", b"A\x00B", b"A\x01B", rb"A\B"]
    keys = [open_dicom(film_with({"PatientID": value})).facts.key.patient_id for value in ids]
    assert len(set(keys)) == 4
    assert all("\x00" not in key for key in keys)  # no database takes it


PROGRAM = """
import sys
from datetime import datetime, timezone
sys.path[:0] = sys.argv[1:]
import test_study_attributes as own
import numpy as np, hashlib
film = own.synthetic_dicom(np.zeros(own.SHAPE, np.uint16))
for made in own.results_of(film):
    print(hashlib.sha256(made.data).hexdigest())
"""


def test_report_time_depends_on_host():
    """Three hosts in three zones write the same bytes: report, capture and segmentation."""
    here = Path(__file__).parent
    support = here.parents[1] / "support"
    said = set()
    for zone in ("UTC", "Europe/Berlin", "America/New_York"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, here, support],
            capture_output=True, text=True, env={**os.environ, "TZ": zone}, check=True,
        )  # fmt: skip
        said.add(done.stdout)
    assert len(said) == 1
    report = pydicom.dcmread(
        io.BytesIO(results_of(synthetic_dicom(np.zeros(SHAPE, np.uint16)))[0].data)
    )
    assert report.TimezoneOffsetFromUTC == "+0000"
    assert (report.ContentDate, report.ContentTime) == ("20260102", "233000")


def test_a_model_s_name_is_told_in_ascii():
    made = structured_report(reported(film_with({})), created=MADE)
    assert pydicom.dcmread(io.BytesIO(made.data)).ManufacturerModelName == "Thorax-Modell fur Fu?e"
