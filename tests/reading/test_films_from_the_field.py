"""Films from the field: inputs that were misread or refused, each under the name of its case.

The input of each is made here, from one phantom film; what is right is the film itself.
"""

from __future__ import annotations

import gzip
import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset

from monai_cxr.data.folder import index_folder
from monai_cxr.errors import InputError, InvalidTable
from monai_cxr.folders import files_below, path_text
from monai_cxr.phantom.film import render_film
from monai_cxr.phantom.settings import PhantomSettings
from monai_cxr.phantom.solid import project, slice_of, solid_thorax
from monai_cxr.phantom.synthetic import sequence, synthetic_dicom
from monai_cxr.picture.quiet import quiet
from monai_cxr.reading.files import read_for_model, read_radiograph
from monai_cxr.reading.listing import film_paths

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
JPEG_LOSSLESS, JPEG_LS, J2K = (f"1.2.840.10008.1.2.4.{n}" for n in (70, 80, 90))
ITEM, DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
PIXELS_AT = b"\xe0\x7f\x10\x00"


@pytest.fixture(scope="module")
def gray():
    return render_film(PhantomSettings(size=192, seed=3), patient=1).pixels


@pytest.fixture(scope="module")
def stored(gray):
    """12 bits, rows and columns even."""
    return np.round(gray * 4095).astype(np.uint16)


def dicom(stored, **attributes):
    bits = {"BitsStored": 12, "HighBit": 11, "WindowCenter": 2048, "WindowWidth": 4096}
    return synthetic_dicom(stored, **{**bits, **attributes})


def reason(data):
    with pytest.raises(InputError) as caught:
        read_for_model(data)
    return caught.value.reason, str(caught.value)


def same(data, stored, flag=""):
    film = read_for_model(data)
    right = read_radiograph(dicom(stored))
    np.testing.assert_allclose(film.pixels, right.pixels, atol=2e-3)
    assert flag in ("", *film.flags), film.flags
    return film


def jpeg_ls(stored, **attributes):
    return dicom(stored, transfer_syntax=JPEG_LS, **attributes)


def value_of(file):
    """Everything behind the head of Pixel Data."""
    at = file.rindex(PIXELS_AT) + 12
    return file[:at], file[at:]


def framed(file, value):
    return value_of(file)[0] + value


def stream_of(file):
    """The one codestream of a file, without its pad byte."""
    value = value_of(file)[1]
    at = 8 + struct.unpack_from("<I", value, 4)[0]  # behind the Basic Offset Table
    (length,) = struct.unpack_from("<I", value, at + 4)
    stream = value[at + 8 : at + 8 + length]
    return stream[: stream.rindex(b"\xff\xd9") + 2]


def items(*fragments, table=b"", end=DELIMITER + bytes(4)):
    parts = [ITEM + struct.pack("<I", len(part)) + part for part in (table, *fragments)]
    return b"".join(parts) + end


class TestFraming:
    """Intact films whose framing is not as PS3.5 A.4 has it."""

    def even(self, stored):
        stream = stream_of(jpeg_ls(stored))
        return stream + b"\0" * (len(stream) % 2)

    @pytest.mark.parametrize("kind", ["later", "past_the_end", "two_entries"])
    def test_basic_offset_table_wrong_refused(self, stored, kind):
        stream = self.even(stored)
        table = {"later": [8], "past_the_end": [2**31], "two_entries": [0, 999]}[kind]
        parts = (stream[:500], stream[500:1000], stream[1000:])
        value = items(*parts, table=struct.pack(f"<{len(table)}I", *table))
        same(framed(jpeg_ls(stored), value), stored, "encapsulation_repaired")

    @pytest.mark.parametrize("tail", [b"\xff" * 200, b"made by" * 40, bytes(1000)])
    def test_bytes_after_end_of_stream_refused(self, stored, tail):
        same(framed(jpeg_ls(stored), items(self.even(stored) + tail)), stored)

    def test_a_stream_that_ends_early_is_still_refused(self, stored):
        cut = self.even(stored)[:-600]
        assert reason(framed(jpeg_ls(stored), items(cut)))[0] == "damaged_pixels"

    @pytest.mark.parametrize("n_zeros", [8, 100, 70_000])
    def test_missing_sequence_delimiter_zeros_refused(self, stored, n_zeros):
        value = items(self.even(stored), end=bytes(n_zeros))
        same(framed(jpeg_ls(stored), value), stored, "encapsulation_repaired")

    def test_odd_fragment_pad_not_counted_refused(self, stored):
        stream = stream_of(jpeg_ls(stored))
        stream = stream if len(stream) % 2 else stream + b"\xff"
        value = items(stream, end=b"\0" + DELIMITER + bytes(4))
        same(framed(jpeg_ls(stored), value), stored, "encapsulation_repaired")

    def test_trailing_zeros_sector_padding(self, stored):
        same(jpeg_ls(stored) + bytes(2**20), stored)

    @pytest.mark.parametrize("pad", [b"", b"\0"])
    def test_j2k_psot0_with_pad_refused(self, stored, pad):
        stream = bytearray(stream_of(dicom(stored, transfer_syntax=J2K)))
        at = stream.index(b"\xff\x90")
        stream[at + 6 : at + 10] = bytes(4)  # Psot 0: to the end (ISO 15444-1 A.4.2)
        value = items(bytes(stream) + pad)
        same(framed(dicom(stored, transfer_syntax=J2K), value), stored)

    def test_native_pixels_under_jpeg_syntax_refused(self, stored):
        same(_with_meta_syntax(dicom(stored), JPEG_LOSSLESS), stored, "transfer_syntax_disagrees")

    @pytest.mark.parametrize("undefined", [True, False])
    def test_raw_fragment_under_native_syntax(self, stored, undefined):
        head, cells = value_of(dicom(stored))
        value = items(cells)
        length = b"\xff" * 4 if undefined else struct.pack("<I", len(value))
        same(head[:-4] + length + value, stored, "transfer_syntax_disagrees")

    def test_a_codestream_under_a_native_syntax(self, stored):
        same(_with_meta_syntax(jpeg_ls(stored), EXPLICIT), stored, "transfer_syntax_disagrees")

    @pytest.mark.parametrize("said", [EXPLICIT, JPEG_LOSSLESS])
    def test_run_lengths_under_another_syntax(self, stored, said):
        file = dicom(stored, transfer_syntax="1.2.840.10008.1.2.5")
        same(_with_meta_syntax(file, said), stored, "transfer_syntax_disagrees")

    def test_plain_cells_of_undefined_length(self, stored):
        head, cells = value_of(dicom(stored))
        same(head[:-4] + b"\xff" * 4 + cells, stored, "encapsulation_repaired")

    def test_pixels_whose_vr_is_none(self, stored):
        same(dicom(stored).replace(PIXELS_AT + b"OW", PIXELS_AT + b"OX"), stored)

    @pytest.mark.parametrize("number", ["4.100", "4.107", "4.94", "4.110"])
    def test_unsupported_syntax_told_damaged(self, stored, number):
        code, message = reason(_with_meta_syntax(jpeg_ls(stored), f"1.2.840.10008.1.2.{number}"))
        assert code == "unknown_transfer_syntax"
        assert "Export the image again" in message
        assert "Send the image again" not in message

    def test_encapsulated_uncompressed_and_deflated_frame_are_read(self, stored):
        cells = value_of(dicom(stored))[1]
        compressor = zlib.compressobj(wbits=-15)
        deflated = compressor.compress(cells) + compressor.flush()
        deflated += b"\0" * (len(deflated) % 2)
        for number, value in (("1.98", cells), ("8.1", deflated)):
            file = framed(jpeg_ls(stored), items(value))
            same(_with_meta_syntax(file, f"1.2.840.10008.1.2.{number}"), stored)


def _with_meta_syntax(file, uid):
    """The same file with another Transfer Syntax UID in its meta information."""
    at = file.index(b"\x02\x00\x10\x00UI", 132)
    (length,) = struct.unpack_from("<H", file, at + 6)
    new = uid.encode() + b"\0" * (len(uid) % 2)
    return file[: at + 6] + struct.pack("<H", len(new)) + new + file[at + 8 + length :]


def _dataset_at(file):
    return file.index(b"\x08\x00\x16\x00", 132)


class TestHeaders:
    """Data sets that begin or are coded otherwise than they say, and damaged elements."""

    def test_unusual_start_not_recognised(self, stored):
        explicit = dicom(stored)
        bare = explicit[_dataset_at(explicit) :]
        meta = struct.pack("<HHI", 2, 0, 4) + struct.pack("<I", 28)
        meta += struct.pack("<HHI", 2, 0x10, 20) + EXPLICIT.encode() + b"\0"
        same(meta + bare, stored)
        command = struct.pack("<HHII", 0, 0, 4, 10) + struct.pack("<HHIH", 0, 0x100, 2, 1)
        same(command + bare, stored, "transfer_syntax_assumed")
        same(explicit[128:], stored)  # no preamble before the prefix

    def test_the_prefix_by_chance(self, stored):
        bare = dicom(stored)[_dataset_at(dicom(stored)) :]
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
        same(_with_meta_syntax(file, said), stored, flag)

    def test_deflated_in_name_alone(self, stored):
        file = _with_meta_syntax(dicom(stored), "1.2.840.10008.1.2.1.99")
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


class TestPixels:
    """Pixels that were read wrong without a word."""

    @pytest.mark.parametrize("syntax", [EXPLICIT, JPEG_LS, J2K])
    def test_values_above_bits_stored_wrap(self, gray, stored, syntax):
        deep = np.round(gray * 16383).astype(np.uint16)
        window = {"WindowCenter": 8192, "WindowWidth": 16384}
        lying = dicom(deep, transfer_syntax=EXPLICIT, **{**window, "BitsStored": 14, "HighBit": 13})
        if syntax != EXPLICIT:
            lying = synthetic_dicom(
                deep, transfer_syntax=syntax, BitsStored=14, HighBit=13, **window
            )
        for keyword, said, true in ((b"\x01\x01US", 12, 14), (b"\x02\x01US", 11, 13)):
            head = b"\x28\x00" + keyword + b"\x02\x00"
            lying = lying.replace(head + struct.pack("<H", true), head + struct.pack("<H", said))
        same(lying, stored, "bits_stored_disagrees")

    @pytest.mark.parametrize(
        ("bits_above", "high_bit"), [(0, 15), (0, 13), (4, 11), (0, 200), (0, 65535)]
    )
    def test_high_bit_at_the_other_end_of_the_cell(self, stored, bits_above, high_bit):
        file = dicom(stored << bits_above)
        head = b"\x28\x00\x02\x01US\x02\x00"
        lying = file.replace(head + struct.pack("<H", 11), head + struct.pack("<H", high_bit))
        same(lying, stored, "bits_stored_disagrees")

    def test_a_window_of_deeper_cells(self, stored):
        dark = {"WindowCenter": 8192, "WindowWidth": 16384}  # of 14 bits
        assert "range_unfilled" in read_for_model(dicom(stored, **dark)).flags
        darker = {"WindowCenter": 32768, "WindowWidth": 65536}  # of 16
        assert "window_fallback" in read_for_model(dicom(stored, **darker)).flags

    def test_overlays_in_high_bits_stay_out(self, stored):
        graphics = stored.copy()
        graphics[20:40, 20:40] |= 0x8000
        np.testing.assert_allclose(
            read_radiograph(dicom(graphics)).pixels, read_radiograph(dicom(stored)).pixels
        )

    def test_unsigned_cells_that_are_called_signed(self, gray, stored):
        cells = np.round(gray * 65535).astype(np.uint16)
        window = {"BitsStored": 16, "HighBit": 15, "WindowCenter": 32768, "WindowWidth": 65536}
        film = same(dicom(cells, PixelRepresentation=1, **window), stored)
        assert "pixel_representation_disagrees" in film.flags

    def test_noise_pixels_scored(self, stored):
        same(dicom(stored.byteswap()), stored, "byte_order_disagrees")
        twice = dicom(stored, BitsAllocated=8, BitsStored=8, HighBit=7)
        code, message = reason(twice)
        assert code == "damaged_header"
        assert f"{2 * stored.size} are there" in message

    def test_noise_is_refused(self):
        rng = np.random.default_rng(0)
        assert reason(dicom(rng.integers(0, 4096, (192, 192)).astype(np.uint16)))[0] == "not_chest"

    @pytest.mark.parametrize(
        ("photometric", "shape"), [("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE")]
    )
    @pytest.mark.parametrize("negative", [False, True])
    def test_polarity_conflict_negative_scored(self, stored, photometric, shape, negative):
        cells = 4095 - stored if negative else stored
        says = {"PhotometricInterpretation": photometric, "PresentationLUTShape": shape}
        film = same(dicom(cells, **says), stored, "polarity_conflict")
        assert "probably_inverted" not in film.flags

    @pytest.mark.parametrize("bits", [8, 10, 12])
    def test_palette_16bit_entries_of_8bits(self, gray, stored, bits):
        entries = np.round(np.arange(256) * (2**bits - 1) / 255).astype("<u2").tobytes()
        palettes: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
        for color in ("Red", "Green", "Blue"):
            palettes[f"{color}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
            palettes[f"{color}PaletteColorLookupTableData"] = entries
        cells = np.round(gray * 255).astype(np.uint8)
        film = read_for_model(synthetic_dicom(cells, **palettes))
        np.testing.assert_allclose(film.pixels, gray, atol=4e-3)
        short = {key: v[:200] for key, v in palettes.items() if key.endswith("Data")}
        code, message = reason(synthetic_dicom(cells, **{**palettes, **short}))
        assert (code, "100 of its 256 entries" in message) == ("damaged_header", True)
        segmented = {f"Segmented{key}": v for key, v in palettes.items() if key.endswith("Data")}
        absent = dict.fromkeys(short)
        code, message = reason(synthetic_dicom(cells, **{**palettes, **absent, **segmented}))
        assert (code, "segments" in message) == ("photometric", True)

    @pytest.mark.parametrize("bits", [9, 10, 11, 12, 13, 14, 15])
    @pytest.mark.parametrize("kind", ["plain", "marker", "frame", "one", "rgb", "alpha"])
    def test_deep_plain_image_dark(self, gray, bits, kind):
        cells = np.round(gray * (2**bits - 1)).astype(np.uint16)
        if kind == "marker":
            cells[4:14, 4:10] = 65535
        elif kind == "one":
            cells[5, 5] = 2**bits
        elif kind == "frame":
            cells = np.pad(cells[12:-12, 12:-12], 12, constant_values=65535)
        if kind == "rgb":
            png = _png16(np.stack([cells] * 3, axis=2), 2)
        elif kind == "alpha":
            png = _png16(np.stack([cells, np.full_like(cells, 65535)], axis=2), 4)
        else:
            png = _png16(cells[..., None], 0)
        film = read_for_model(png)
        inside = np.s_[20:-20, 20:-20]
        assert np.abs(film.pixels[inside] - gray[inside]).mean() < 0.02
        assert "depth_assumed" in film.flags

    def test_a_film_that_leaves_half_of_its_range_empty_is_flagged(self, gray):
        cells = np.round(gray * 14_000).astype(np.uint16)
        cells[:40, :60] = 60_000  # too much for a mark
        assert "range_unfilled" not in read_radiograph(_png16(cells[..., None], 0)).flags
        dim = np.round(gray * 6_000).astype(np.uint16)
        dim[:14, :14] = np.linspace(20_000, 60_000, 196).reshape(14, 14)  # neither mark nor stray
        dim[14:20, :60] = 30_000
        flags = read_radiograph(_png16(dim[..., None], 0)).flags
        assert "range_unfilled" in flags

    def test_nifti_of_dcm2niix_upside_down(self, gray, stored):
        nibabel = pytest.importorskip("nibabel")
        for rows in (stored[::-1], stored):
            image = nibabel.Nifti1Image(np.ascontiguousarray(rows.T[..., None]), None)
            image.header["qform_code"] = image.header["sform_code"] = 0
            film = read_for_model(gzip.compress(image.to_bytes()))
            assert np.abs(film.pixels - gray).mean() < 0.01
            assert "orientation_assumed" in film.flags
            assert "probably_upside_down" not in film.flags
            negative = nibabel.Nifti1Image(4095 - np.asarray(image.dataobj), None)
            film = read_for_model(gzip.compress(negative.to_bytes()))  # MONOCHROME1 as it is
            assert np.abs(film.pixels - gray).mean() < 0.01
            assert "polarity_by_picture" in film.flags

    def test_plain_ct_and_lateral_scored(self):
        """Others of the kind are measured by `benchmarks/frontal_model.py --rates`."""
        accepted, reasons = 0, set()
        pictures = []
        for patient in range(3):
            solid = solid_thorax(PhantomSettings(size=128, seed=901), patient=patient)
            pictures += [project(solid, angle) for angle in (90.0, 270.0)]
            pictures += [slice_of(solid, "axial", at) for at in (0.45, 0.6)]
            pictures += [slice_of(solid, "sagittal", 0.3)]
        for picture in pictures:
            stream = io.BytesIO()
            Image.fromarray(np.round(picture * 255).astype(np.uint8)).resize((256, 256)).save(
                stream, "PNG"
            )
            try:
                read_for_model(stream.getvalue())
                accepted += 1
            except InputError as error:
                reasons.add(error.reason)
        assert accepted <= 1
        assert reasons == {"not_chest"}

    @pytest.mark.parametrize("kind", ["f64", "la16", "jp2k"])
    def test_unsupported_picture_told_damaged_tiff(self, kind):
        bits, samples, form, compression = {
            "f64": (64, 1, 3, 1), "la16": (16, 2, 1, 1), "jp2k": (8, 1, 1, 34712)
        }[kind]  # fmt: skip
        tags = [(256, 4, 8), (257, 4, 8), (258, 3, bits), (259, 3, compression), (262, 3, 1)]
        tags += [(273, 4, 200), (277, 3, samples), (278, 4, 8), (279, 4, 1024), (339, 3, form)]
        directory = b"".join(struct.pack("<HHII", tag, t, 1, v) for tag, t, v in tags)
        tiff = b"II*\0" + struct.pack("<IH", 8, len(tags)) + directory + bytes(4)
        code, message = reason(tiff.ljust(200, b"\0") + bytes(1024))
        assert code in ("bit_depth", "unsupported_picture")
        assert "Save it as" in message
        assert "Error" not in message

    def test_unsupported_picture_told_damaged_jpeg_and_gzip(self, stored):
        codecs = pytest.importorskip("imagecodecs")
        code, message = reason(codecs.jpeg8_encode(stored, bitspersample=12))
        assert (code, "12 bits" in message) == ("bit_depth", True)
        code, message = reason(gzip.compress(dicom(stored)))
        assert (code, "gunzip" in message) == ("not_an_image", True)


def _png16(cells, color):
    """A PNG of 16 bits: cells of shape (rows, columns, samples)."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(
            ">I", zlib.crc32(kind + content)
        )  # fmt: skip

    rows, columns = cells.shape[:2]
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in cells)
    header = struct.pack(">IIBBBBB", columns, rows, 16, color, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


class TestFolders:
    """What a folder holds, whatever it is called and however it is reached."""

    def test_folder_names_without_suffix(self, tmp_path, stored):
        names = ["a.dcm", "1.2.826.0.1.77.1", "DX.1.2.826.9", "IM0001.IMA", "IM0002", "x.bak"]
        for number, name in enumerate(names):
            (tmp_path / name).write_bytes(dicom(stored, SOPInstanceUID=f"1.2.{number}"))
        (tmp_path / "labels.csv").write_text("a,b\n")
        (tmp_path / "paper").write_bytes(b"%PDF-1.4\n")
        assert sorted(path.name for path in film_paths(tmp_path)) == sorted(names)
        index, summary = index_folder(tmp_path)
        assert (len(index), summary.skipped) == (len(names), ())

    def test_folder_symlinked_patients(self, tmp_path, stored):
        study, cohort = tmp_path / "study", tmp_path / "cohort"
        for patient in ("p1", "p2"):
            (study / patient).mkdir(parents=True)
            (study / patient / "1").write_bytes(dicom(stored, SOPInstanceUID=f"1.{patient[1]}"))
        cohort.mkdir()
        for patient in ("p1", "p2"):
            (cohort / patient).symlink_to(study / patient)
        (cohort / "loop").symlink_to(cohort)
        (cohort / "gone.dcm").symlink_to(study / "absent")
        found = [path.relative_to(cohort).as_posix() for path in film_paths(cohort)]
        assert sorted(found) == ["gone.dcm", "p1/1", "p2/1"]
        index, summary = index_folder(cohort)
        assert (len(index), summary.skipped) == (2, (("gone.dcm", "missing_file"),))

    def test_non_utf8_file_name_aborts_run(self, tmp_path, stored):
        (tmp_path / "good.dcm").write_bytes(dicom(stored))
        (tmp_path / os.fsdecode(b"odd\xff.dcm")).write_bytes(dicom(stored, SOPInstanceUID="1.2.3"))
        paths = list(files_below(tmp_path))
        assert [path_text(path.name) for path in sorted(paths)] == ["good.dcm", "odd\\xff.dcm"]
        for path in paths:
            read_for_model(path).key.sop_uid.encode("utf-8")
        index, summary = index_folder(tmp_path)
        assert (len(index), summary.skipped) == (1, (("odd\\xff.dcm", "path_name"),))

    def test_non_utf8_file_name_aborts_run_of_predict(self, tmp_path, stored, packaged_bundle):
        from monai_cxr.bundle.inference import input_table, predict_table
        from monai_cxr.bundle.model import BundleModel

        (tmp_path / os.fsdecode(b"odd\xff.dcm")).write_bytes(dicom(stored))
        model = BundleModel.load(packaged_bundle)
        table = predict_table(model, input_table([tmp_path], model.findings))
        assert (table["reason"][0], table["path"][0][-9:]) == ("", "d\\xff.dcm")
        table.to_csv(tmp_path / "x.csv")
        table.to_parquet(tmp_path / "x.parquet")

    def test_index_dicomdir_refuses_all(self, tmp_path, stored):
        (tmp_path / "IM1").write_bytes(dicom(stored))
        directory = dicom(stored, SOPClassUID="1.2.840.10008.1.3.10", PatientID=None)
        (tmp_path / "DICOMDIR").write_bytes(directory[: directory.rindex(PIXELS_AT)])
        index, summary = index_folder(tmp_path)
        assert (len(index), summary.skipped) == (1, (("DICOMDIR", "no_pixels"),))

    def test_index_duplicate_uid_refuses_all(self, tmp_path, stored):
        (tmp_path / "a.dcm").write_bytes(dicom(stored))
        (tmp_path / "a_copy.dcm").write_bytes(dicom(stored))
        (tmp_path / "a_small.dcm").write_bytes(jpeg_ls(stored))
        (tmp_path / "b.dcm").write_bytes(dicom(stored, SOPInstanceUID="1.2.9"))
        index, summary = index_folder(tmp_path)
        assert len(index) == 2
        assert [reason for _, reason in summary.skipped] == ["duplicate", "duplicate"]
        assert all("a.dcm" in name for name, _ in summary.skipped)
        (tmp_path / "c.dcm").write_bytes(dicom(4095 - stored, SOPInstanceUID="1.2.9"))
        with pytest.raises(InvalidTable, match=r"b\.dcm.*c\.dcm"):
            index_folder(tmp_path)

    def test_index_tiff_preamble(self, tmp_path, stored):
        (tmp_path / "film.dcm").write_bytes(b"II*\0" + dicom(stored)[4:])
        index, _ = index_folder(tmp_path)
        assert (index["patient_id"][0], index["view"][0]) == ("SYNTHETIC", "PA")
