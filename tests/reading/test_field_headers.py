"""Films from the field, headers: each was misread or refused, and has the name of its case.

The input of each is made here, from one phantom film; what is right is the film itself.
"""

from __future__ import annotations

import struct

import pytest
from field_films import (
    DELIMITER,
    EXPLICIT,
    IMPLICIT,
    PIXELS_AT,
    dataset_at,
    dicom,
    reason,
    same,
    with_meta_syntax,
)
from pydicom import Dataset

from monai_cxr.phantom.synthetic import sequence
from monai_cxr.picture.quiet import quiet
from monai_cxr.reading.files import read_for_model, read_radiograph


class TestHeaders:
    """Data sets that begin or are coded otherwise than they say, and damaged elements."""

    def test_unusual_start_not_recognised(self, stored):
        explicit = dicom(stored)
        bare = explicit[dataset_at(explicit) :]
        meta = struct.pack("<HHI", 2, 0, 4) + struct.pack("<I", 28)
        meta += struct.pack("<HHI", 2, 0x10, 20) + EXPLICIT.encode() + b"\0"
        same(meta + bare, stored)
        command = struct.pack("<HHII", 0, 0, 4, 10) + struct.pack("<HHIH", 0, 0x100, 2, 1)
        same(command + bare, stored, "transfer_syntax_assumed")
        same(explicit[128:], stored)  # no preamble before the prefix

    def test_the_prefix_by_chance(self, stored):
        bare = dicom(stored)[dataset_at(dicom(stored)) :]
        for length in range(2, 120, 2):  # a maker's name that puts the letters at byte 128
            file = bare[: bare.index(b"\x08\x00\x60\x00")]
            file += b"\x08\x00\x08\x10LO" + struct.pack("<H", length) + b"D" * length
            if len(file) >= 132:
                file = file[:128] + b"DICM" + file[132:]
                rest = bare[bare.index(b"\x08\x00\x60\x00") :]
                assert read_radiograph(file + rest).pixels.shape == stored.shape
                return
        pytest.fail("never long enough")

    @pytest.mark.parametrize("said", [EXPLICIT, IMPLICIT, "1.2.840.10008.1.2.2"])
    @pytest.mark.parametrize("coded", [EXPLICIT, IMPLICIT, "1.2.840.10008.1.2.2"])
    def test_vr_encoding_other_than_declared_refused(self, stored, said, coded):
        file = dicom(stored, transfer_syntax=coded)
        flag = "" if said == coded else "transfer_syntax_disagrees"
        same(with_meta_syntax(file, said), stored, flag)

    def test_deflated_in_name_alone(self, stored):
        file = with_meta_syntax(dicom(stored), "1.2.840.10008.1.2.1.99")
        same(file, stored, "transfer_syntax_disagrees")

    @pytest.mark.parametrize("vr", [b"--", b"\0\0", b"zz"])
    def test_odd_elements_told_no_pixel_data_vr(self, stored, vr):
        file = dicom(stored, KVP=80).replace(b"\x18\x00\x60\x00DS", b"\x18\x00\x60\x00" + vr)
        same(file, stored, "header_repaired")

    @pytest.mark.parametrize("stray", [DELIMITER, b"\xfe\xff\x0d\xe0"])
    def test_odd_elements_told_no_pixel_data_stray(self, stored, stray):
        file = dicom(stored)
        at = file.index(b"\x10\x00\x20\x00")
        same(file[:at] + stray + bytes(4) + file[at:], stored, "header_repaired")

    def test_odd_elements_told_no_pixel_data_length(self, stored):
        file = dicom(stored, KVP=80)
        at = file.index(b"\x18\x00\x60\x00DS")
        same(file[: at + 6] + b"\xff\xff" + file[at + 8 :], stored, "header_repaired")

    def test_a_header_that_cannot_be_followed_is_told_so(self, stored):
        file = dicom(stored)
        at = file.index(b"\x28\x00\x02\x00")
        damaged = (
            file[:at] + b"\x07" * (file.rindex(PIXELS_AT) - at) + file[file.rindex(PIXELS_AT) :]
        )
        assert reason(damaged)[0] != "no_pixels"

    def test_age_000Y_refused_pediatric(self, stored):  # noqa: N802 - the name of the case
        for age in ("000Y", "000", "0"):
            with quiet():
                file = dicom(stored, PatientAge=age)
            same(file, stored, "age_unknown")
        born_today = {"PatientAge": None, "PatientBirthDate": "20200101", "StudyDate": "20200101"}
        same(dicom(stored, **born_today), stored, "age_unknown")
        for age in ("005D", "002W", "003M", "001Y", "017Y"):
            assert reason(dicom(stored, PatientAge=age))[0] == "pediatric"

    def test_modality_dr_refused(self, stored):
        same(dicom(stored, Modality="DR"), stored, "modality_not_standard")
        same(dicom(stored, Modality="OT"), stored, "modality_not_standard")  # by its SOP Class
        capture = {"Modality": "OT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}
        assert reason(dicom(stored, **capture))[0] == "modality"
        for other in ("CT", "MR", "US", "MG", "RF"):
            assert reason(dicom(stored, Modality=other))[0] == "modality"

    @pytest.mark.parametrize(
        ("part", "encoding", "character_set"),
        [
            ("胸部", "utf-8", "ISO_IR 192"),
            ("胸部", "gb18030", "GB18030"),
            ("胸部", "gb18030", None),
            ("ОГК", "utf-8", "ISO_IR 192"),
            ("ОГК", "cp1251", None),
            ("ОГК", "iso8859-5", "ISO_IR 144"),
            ("흉부", "utf-8", None),
            ("TÓRAX", "utf-8", "ISO_IR 192"),
            ("TÓRAX", "utf-8", "ISO_IR 100"),
            ("TÓRAX", "latin-1", "ISO_IR 100"),
            ("TÓRAX", "cp850", None),
            ("胸部", "big5", None),
            ("ОГК", "koi8_r", None),
            ("ОГК", "cp866", None),
            ("ｷｮｳﾌﾞ", "shift_jis", "ISO_IR 13"),
            ("흉곽", "euc_kr", "ISO_IR 149"),
            ("гръден кош", "utf-8", None),
            ("قفسه سینه", "utf-8", None),
            ("หน้าอก", "utf-8", None),
            ("RTG KLP", "ascii", None),
        ],
    )
    def test_bodypart_in_local_script_refused(self, stored, part, encoding, character_set):
        film = same(_spelled(stored, "BodyPartExamined", part, encoding, character_set), stored)
        assert "body_part_unknown" not in film.flags

    @pytest.mark.parametrize("part", ["1", "-", "*", "XX", "NOT SPECIFIED", "不明", "UNBEKANNT"])
    def test_a_placeholder_is_no_body_part(self, stored, part):
        film = same(_spelled(stored, "BodyPartExamined", part, "utf-8", None), stored)
        assert "body_part_unknown" in film.flags

    @pytest.mark.parametrize(
        "part", ["胸椎", "Грудной отдел позвоночника", "COLUMNA TORACICA", "THORACIC SPINE", "腹部"]
    )
    def test_the_thoracic_spine_is_no_chest(self, stored, part):
        assert reason(_spelled(stored, "BodyPartExamined", part, "utf-8", None))[0] == "body_part"

    @pytest.mark.parametrize(
        "text",
        [
            "胸部側", "胸部(側)", "胸部 L→R", "胸部ｿｸﾒﾝ", "XIONG CE", "TORACE L-L", "thorax zij",
            "mellkas oldal", "חזה צד", "نمای جانبی", "ปอดด้านข้าง", "CHEST LDECUB", "SAGITTAL",
            "胸部侧位", "胸部側面", "흉부 측면", "CHESTLATERAL", "TORACE LL", "боковая", "RTG bok",
            "hrudník boční", "thorax dwars", "ngực nghiêng", "CHEST LAT", "LATCHEST",
            "ThoraxSeitlich",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("keyword", ["SeriesDescription", "StudyDescription", "ProtocolName"])
    def test_lateral_by_description_scored(self, stored, text, keyword):
        file = _spelled(stored, keyword, text, "utf-8", "ISO_IR 192", ViewPosition=None)
        assert reason(file)[0] == "lateral"

    def test_lateral_by_description_scored_in_the_body_part(self, stored):
        file = dicom(stored, ViewPosition=None, BodyPartExamined="CHEST LAT")
        assert reason(file)[0] == "lateral"
        chinese = _spelled(stored, "SeriesDescription", "胸部侧位", "gb18030", "GB18030")
        assert read_for_model(chinese).view.value == "PA"  # ViewPosition goes first

    @pytest.mark.parametrize(
        "text", ["CHEST PA AND LATERAL", "胸部正侧位", "CHEST FRONTAL & LAT", "BILATERAL RIBS",
                 "THORAX 2 EBENEN SEITL", "LEFT LUNG", "TORACE", "胸部 両側", "LATERALITY L"],
    )  # fmt: skip
    def test_what_names_both_or_none_is_no_lateral(self, stored, text):
        file = _spelled(stored, "StudyDescription", text, "utf-8", "ISO_IR 192", ViewPosition=None)
        assert read_for_model(file).view.value in ("UNKNOWN", "PA")

    @pytest.mark.parametrize("keyword", ["DerivationDescription", "ImageType", "ViewPosition"])
    def test_every_element_that_can_name_a_projection(self, stored, keyword):
        words = {"ImageType": ["ORIGINAL", "PRIMARY", "LATERAL"], "ViewPosition": "XTL"}
        named = {"ViewPosition": None, keyword: words.get(keyword, "Chest lateral")}
        assert reason(dicom(stored, **named))[0] == "lateral"

    def test_every_sequence_that_can_name_a_projection(self, stored):
        lateral = Dataset()
        lateral.CodeValue, lateral.CodeMeaning = "399067008", "lateral projection"
        view, request = Dataset(), Dataset()
        view.CodeValue, view.ViewModifierCodeSequence = "272479007", sequence(lateral)
        request.ScheduledProtocolCodeSequence = sequence(lateral)
        for keyword, item in (("ViewCode", view), ("RequestAttributes", request)):
            file = dicom(stored, ViewPosition=None, **{f"{keyword}Sequence": sequence(item)})
            assert reason(file)[0] == "lateral"


def _spelled(stored, keyword, text, encoding, character_set, **attributes):
    """A film with a text element in bytes of a character set, whatever its VR allows."""
    raw = text.encode(encoding)
    raw += b" " * (len(raw) % 2)
    place = "Z" * len(raw)
    with quiet():  # longer than its VR allows
        file = dicom(stored, SpecificCharacterSet=character_set, **{**attributes, keyword: place})
    return file.replace(place.encode(), raw)
