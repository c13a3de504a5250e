"""De-identification: no byte of the output tells who the patient was; one key, one pseudonym."""

from __future__ import annotations

import csv
import io
import json
from datetime import date

import numpy as np
import pydicom
import pytest
from dicom_peers import errors_of_dciodvfy
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.config import IGNORE

from monai_cxr.cli import app
from monai_cxr.dicom.deidentified.deidentification import DeidentificationPolicy, deidentify
from monai_cxr.dicom.deidentified.export import export, read_key
from monai_cxr.dicom.deidentified.pseudonyms import date_shift_days, pseudonym, pseudonymous_uid
from monai_cxr.errors import InputError, SettingsError, UnsupportedImage
from monai_cxr.phantom.synthetic import sequence, synthetic_dicom
from monai_cxr.reading.files import read_radiograph

KEY = bytes(range(32))
POLICY = DeidentificationPolicy(KEY)
NAMES = {  # name, character set, encodings that its parts may stand in
    "german": ("Müllermann^Jörgfried", "ISO_IR 100"),
    "latin2": ("Wałęsowski^Łukasz", "ISO_IR 101"),
    "cyrillic": ("Люкceмбypг^Анна", "ISO_IR 144"),
    "greek": ("Διονυσιος^Αλέξανδρος", "ISO_IR 126"),
    "arabic": ("قباني^لنزار", "ISO_IR 127"),
    "hebrew": ("שרון^דבורה", "ISO_IR 138"),
    "thai": ("สมชาย^วงศ์สวัสดิ์", "ISO_IR 166"),
    "kanji": ("Yamadax^Tarouy=山田^太郎=やまだ^たろう", ["", "ISO 2022 IR 87"]),
    "korean": ("Hongg^Gildongg=洪^吉洞=홍길^길동", ["", "ISO 2022 IR 149"]),
    "chinese": ("Wangx^XiaoDongg=王小^小东", "GB18030"),
    "utf8": ("Wangx^XiaoDongg=王小^小東", "ISO_IR 192"),
}


def film(name: str = "Geheimnis^Annabella", charset: object = "ISO_IR 192", **attributes) -> bytes:
    values = {
        "SpecificCharacterSet": charset, "PatientName": name, "PatientID": "PID-778812",
        "PatientBirthDate": "19480713", "PatientSex": "F", "PatientAge": "077Y",
        "StudyDate": "20260105", "StudyTime": "081500", "AccessionNumber": "ACC-99120",
        "ReferringPhysicianName": "Doktor^Ueberweiser", "OperatorsName": "Operatrix^Zoe",
        "InstitutionName": "Klinikum Nirgendwo", "StationName": "RAUM-17X",
        "StudyDescription": "Thorax, Frau Geheimnis", "BurnedInAnnotation": "NO",
        "Manufacturer": "Maker AG", **attributes,
    }  # fmt: skip
    return synthetic_dicom(np.arange(6400, dtype=np.uint16).reshape(80, 80), **values)


SECRETS = ("778812", "19480713", "ACC-99120", "Doktor", "berweiser", "Operatrix", "Nirgendwo",
           "RAUM-17X", "Geheimnis", "Annabella", "3680043.10.1479", "20260105")  # fmt: skip


def read(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data))


def assert_no_trace(data: bytes, secrets=SECRETS) -> None:
    lowered = data.lower()
    for secret in secrets:
        for encoding in ("utf-8", "latin-1", "utf-16-le"):
            try:
                encoded = secret.lower().encode(encoding)
            except UnicodeEncodeError:
                continue
            assert encoded not in lowered, secret


def test_no_byte_names_the_patient():
    assert_no_trace(deidentify(film(), POLICY).instance.data)


@pytest.mark.parametrize("label", NAMES)
def test_no_character_set_hides_a_name(label):
    name, charset = NAMES[label]
    data = film(name, charset)
    raw = [v for g in name.split("=") for v in g.split("^")]
    made = deidentify(data, POLICY).instance.data
    assert_no_trace(made, raw)
    header = data[: data.index(b"\xe0\x7f\x10\x00")]
    element = read(data).get_item("PatientName").value  # the very bytes of the source
    for part in element.replace(b"=", b"^").split(b"^"):
        assert part in header
        if len(part) >= 3:
            assert part not in made


def test_nested_private_and_unexpected_places():
    name = "Geheimnis^Annabella"
    inner = Dataset()
    inner.PatientName = name
    inner.add_new(0x00091001, "LO", "Geheimnis privat")
    inner.ReferencedSOPInstanceUID = "1.2.826.0.1.3680043.10.1479.1"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99X", "For Geheimnis"
    code.ContextIdentifier = "GEHEIMNIS"
    outer = Dataset()
    outer.ReferencedImageSequence = [inner]
    data = film(
        ViewCodeSequence=sequence(code, outer),
        SourceImageSequence=sequence(inner),
        RequestAttributesSequence=sequence(inner),
        IconImageSequence=sequence(inner),
        DerivationDescription="made from Geheimnis",
        TextValue="Annabella was here",
        BodyPartExamined="CHEST",
        AcquisitionDeviceProcessingDescription="Annabella",
        ImageComments="PID-778812",
        ImageType=["ORIGINAL", "GEHEIMNIS"],
    )
    dataset = read(data)
    dataset.add_new(0x00090010, "LO", "GEHEIM 1.0")
    dataset.add_new(0x00091001, "UN", b"Geheimnis^Annabella ")
    dataset.add_new(0x60000022, "LO", "Overlay Geheimnis")
    dataset.add_new(0x60003000, "OW", b"Annabella!")
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    made = deidentify(stream.getvalue(), POLICY)
    assert_no_trace(made.instance.data)
    result = read(made.instance.data)
    assert not any(element.tag.is_private for element in result.iterall())
    assert result.BodyPartExamined == "CHEST"
    reference = result.SourceImageSequence[0].ReferencedSOPInstanceUID
    assert reference == pseudonymous_uid(KEY, "1.2.826.0.1.3680043.10.1479.1")


@settings(max_examples=40, deadline=None)
@given(
    st.text(st.characters(min_codepoint=65, max_codepoint=122, categories=["Lu", "Ll"]),
            min_size=5, max_size=12),
    st.sampled_from(["StudyDescription", "ImageComments", "ProtocolName", "Manufacturer",
                     "DeviceDescription", "BodyPartExamined", "AdditionalPatientHistory"]),
)  # fmt: skip
def test_wherever_the_name_stands(name, keyword):
    data = film(f"{name}^X")
    dataset = read(data)
    tag = pydicom.datadict.tag_for_keyword(keyword)
    vr = pydicom.datadict.dictionary_VR(tag)
    dataset[tag] = pydicom.DataElement(tag, vr, f"a {name} b", validation_mode=IGNORE)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset)
    try:
        made = deidentify(stream.getvalue(), POLICY).instance.data
    except UnsupportedImage:  # refused is as good: a name that DICOM itself uses, for example
        return
    assert name.casefold() not in made.decode("utf-8", errors="replace").casefold()


class TestWhatStays:
    def test_pixels_and_what_reading_them_needs(self):
        data = film(
            WindowCenter="3000",
            WindowWidth="2000",
            PhotometricInterpretation="MONOCHROME1",
            RescaleSlope="1",
            RescaleIntercept="0",
            ImagerPixelSpacing=["0.14", "0.14"],
        )
        made = deidentify(data, POLICY).instance.data
        assert read(made).PixelData == read(data).PixelData
        before, after = read_radiograph(data), read_radiograph(made)
        np.testing.assert_array_equal(before.pixels, after.pixels)
        assert (after.view, after.pixel_spacing_mm) == (before.view, before.pixel_spacing_mm)

    def test_compressed_pixels_are_not_touched(self):
        dataset = read(film())
        dataset.compress("1.2.840.10008.1.2.4.90", generate_instance_uid=False)
        stream = io.BytesIO()
        pydicom.dcmwrite(stream, dataset)
        made = read(deidentify(stream.getvalue(), POLICY).instance.data)
        assert made.PixelData == dataset.PixelData
        assert made.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.90"

    def test_it_says_what_was_done(self):
        made = read(deidentify(film(), POLICY).instance.data)
        assert made.PatientIdentityRemoved == "YES"
        assert made.LongitudinalTemporalInformationModified == "MODIFIED"
        codes = [item.CodeValue for item in made.DeidentificationMethodCodeSequence]
        assert codes == ["113100", "113107"]
        assert "2026c" in made.DeidentificationMethod[1]
        assert (made.PatientSex, "PatientAge" in made) == ("", False)

    def test_age_and_sex_on_request(self):
        policy = DeidentificationPolicy(KEY, keep_age_and_sex=True)
        made = read(deidentify(film(), policy).instance.data)
        assert (made.PatientSex, made.PatientAge) == ("F", "077Y")
        assert made.DeidentificationMethodCodeSequence[2].CodeValue == "113108"
        old = read(deidentify(film(PatientAge="096Y"), policy).instance.data)
        assert old.PatientAge == "089Y"

    def test_dciodvfy_finds_no_new_error(self, tmp_path):
        data = film()
        before = set(errors_of_dciodvfy(data, tmp_path))
        after = errors_of_dciodvfy(deidentify(data, POLICY).instance.data, tmp_path)
        assert set(after) <= before


class TestKeyed:
    def test_the_same_patient_is_the_same_pseudonym_and_the_distance_of_dates_stays(self):
        first = read(deidentify(film(), POLICY).instance.data)
        second = read(deidentify(film(StudyDate="20260119"), POLICY).instance.data)
        assert first.PatientID == second.PatientID == pseudonym(KEY, "PID-778812")
        days = [date.fromisoformat(f"{d[:4]}-{d[4:6]}-{d[6:]}")
                for d in (first.StudyDate, second.StudyDate)]  # fmt: skip
        assert (days[1] - days[0]).days == 14
        assert days[0] - date(2026, 1, 5) == date_shift(first.PatientID)
        assert days[0].weekday() == date(2026, 1, 5).weekday()

    def test_another_key_or_issuer_is_another_patient(self):
        ids = {pseudonym(KEY, "1"), pseudonym(KEY, "2"), pseudonym(KEY, "1", "other"),
               pseudonym(KEY[::-1], "1")}  # fmt: skip
        assert len(ids) == 4
        assert pseudonymous_uid(KEY, "1.2") != pseudonymous_uid(KEY[::-1], "1.2")
        assert pydicom.uid.UID(pseudonymous_uid(KEY, "1.2")).is_valid

    def test_the_same_bytes_each_time(self):
        assert deidentify(film(), POLICY).instance.data == deidentify(film(), POLICY).instance.data

    def test_short_key(self):
        with pytest.raises(SettingsError, match="at least 16 bytes"):
            DeidentificationPolicy(b"short")
        assert "\\x00" not in repr(POLICY)


def date_shift(patient: str):
    from datetime import timedelta

    shift = timedelta(days=date_shift_days(KEY, patient))
    assert -1093 < shift.days < 0
    return shift


class TestRefusals:
    @pytest.mark.parametrize(
        ("attributes", "reason"),
        [
            ({"BurnedInAnnotation": "YES"}, "burned_in_annotation"),
            ({"BurnedInAnnotation": None}, "annotation_unknown"),
            ({"BurnedInAnnotation": "MAYBE"}, "annotation_unknown"),
            ({"SOPInstanceUID": None}, "no_identity"),
        ],
    )
    def test_reason(self, attributes, reason):
        with pytest.raises(UnsupportedImage) as caught:
            deidentify(film(**attributes), POLICY)
        assert caught.value.reason == reason

    def test_unknown_annotation_by_policy_but_never_yes(self):
        policy = DeidentificationPolicy(KEY, accept_unknown_annotation=True)
        assert deidentify(film(BurnedInAnnotation=None), policy)
        with pytest.raises(UnsupportedImage):
            deidentify(film(BurnedInAnnotation="YES"), policy)

    def test_a_name_within_the_codestream(self):
        dataset = read(film())
        dataset.compress("1.2.840.10008.1.2.4.90", generate_instance_uid=False)
        pixels = bytearray(dataset.PixelData)
        pixels[-200:-181] = b"Geheimnis^Annabella"
        dataset.PixelData = bytes(pixels)
        stream = io.BytesIO()
        pydicom.dcmwrite(stream, dataset)
        with pytest.raises(UnsupportedImage) as caught:
            deidentify(stream.getvalue(), POLICY)
        assert caught.value.reason == "identity_left"


class TestExport:
    @pytest.fixture
    def films(self, tmp_path):
        folder = tmp_path / "Geheimnis Annabella"
        folder.mkdir()
        (folder / "a.dcm").write_bytes(film())
        (folder / "b.dcm").write_bytes(film(SOPInstanceUID="1.2.3.7"))
        (folder / "c.dcm").write_bytes(film(PatientID="OTHER-1", BurnedInAnnotation="YES"))
        (folder / "notes.txt").write_text("no film")
        return folder

    def test_command(self, films, tmp_path, capsys):
        out, key = tmp_path / "out", tmp_path / "project.key"
        command = ["deidentify", str(films), "--out", str(out), "--key", str(key), "--json"]
        app(command, standalone_mode=False)
        said = json.loads(capsys.readouterr().out)
        assert (said["n_written"], said["n_patients"]) == (2, 1)
        assert said["refused"] == {"burned_in_annotation": 1, "not_dicom": 1}
        assert said["refused_numbers"] == {"burned_in_annotation": [3], "not_dicom": [4]}
        assert key.stat().st_mode & 0o077 == 0
        written = {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*.dcm")}
        for name, data in written.items():
            assert_no_trace(data)
            assert_no_trace(name.encode())
        rows = list(csv.DictReader((out / "index.csv").read_text().splitlines()))
        assert {row["path"] for row in rows} == set(written)
        assert {row["view"] for row in rows} == {"PA"}
        app(command, standalone_mode=False)  # the same key: the same files
        assert written == {
            p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*.dcm")
        }

    def test_wrong_places_and_keys(self, films, tmp_path):
        with pytest.raises(SettingsError, match="does not exist"):
            export(tmp_path / "nothing", tmp_path / "out", POLICY)
        with pytest.raises(SettingsError, match="must not lie within"):
            export(films, films / "out", POLICY)
        (tmp_path / "bad.key").write_text("not hexadecimal")
        with pytest.raises(SettingsError, match="no key"):
            read_key(tmp_path / "bad.key")
        with pytest.raises(SettingsError, match="cannot be used"):
            read_key(tmp_path / "absent" / "project.key")


def test_real_files(data_directory):
    """Real headers of many makers and character sets: nothing is left, or the file is refused."""
    policy = DeidentificationPolicy(KEY, accept_unknown_annotation=True)
    n_made = 0
    for path in sorted((data_directory / "dicom").glob("*.dcm")):
        data = path.read_bytes()
        try:
            made = deidentify(data, policy).instance.data
        except InputError:
            continue
        n_made += 1
        source, result = read(data), read(made)
        pixels = len(result.PixelData)
        header = made[: len(made) - pixels]
        for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
            assert str(source[keyword].value).encode() not in header
        for keyword in ("PatientID", "PatientName", "AccessionNumber"):
            value = source.get_item(keyword).value if keyword in source else b""
            value = value if isinstance(value, bytes) else str(value or "").encode()
            if len(value.strip()) >= 4:
                assert value.strip() not in header
    assert n_made > 30
