"""Robustness: bombs, damage and lies cost one exception of our tree, and little else."""

import io
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from monai_cxr.dicom.pixels import decoding
from monai_cxr.dicom.pixels.codestream import codestream_size
from monai_cxr.dicom.reader import read_dicom
from monai_cxr.errors import InputError, UnreadableImage, UnsupportedImage
from monai_cxr.phantom.synthetic import synthetic_dicom
from monai_cxr.picture.inflation import inflate
from monai_cxr.picture.quiet import quiet

RAMP = np.linspace(0, 4095, 64 * 48).round().reshape(64, 48).astype(np.uint16)
TWELVE = {"BitsStored": 12, "HighBit": 11}
JPEG_2000 = "1.2.840.10008.1.2.4.90"


def reason(file, **options):
    with pytest.raises(InputError) as caught:
        read_dicom(file, **options)
    return caught.value.reason


@pytest.fixture
def at_most_50_mb():
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * 2**20


@pytest.mark.usefixtures("at_most_50_mb")
class TestBombs:
    def test_rows_by_columns(self):
        assert reason(synthetic_dicom(RAMP, Rows=65535, Columns=65535)) == "too_large"

    def test_rows_by_columns_below_the_limit_without_the_bytes(self):
        assert reason(synthetic_dicom(RAMP, Rows=7000, Columns=7000)) == "damaged_pixels"

    def test_colour_counts_each_sample(self):
        """A constant 7,000 x 7,000 colour JPEG is small, and takes gigabytes to decode."""
        gray = np.zeros((8, 8, 3), dtype=np.uint8)
        assert reason(synthetic_dicom(gray, Rows=7000, Columns=7000)) == "too_large"

    def test_number_of_frames(self):
        file = synthetic_dicom(RAMP, NumberOfFrames=2**31 - 1)
        assert reason(file) == "multi_frame"
        assert reason(file, frame=10**6) == "damaged_pixels"

    def test_a_codestream_larger_than_the_header_says(self):
        file = synthetic_dicom(RAMP, transfer_syntax=JPEG_2000, **TWELVE)
        at = file.index(b"\xff\x4f\xff\x51") + 8
        lying = file[:at] + (60000).to_bytes(4, "big") * 2 + file[at + 8 :]
        assert reason(lying) == "damaged_pixels"

    def test_sequences_nested_a_thousand_deep(self):
        item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff"
        file = synthetic_dicom(RAMP, **TWELVE)
        at = file.index(b"\x08\x00\x60\x00CS")
        nested = file[:at] + b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + item * 3000
        assert reason(nested) in ("damaged_header", "no_pixels")

    def test_a_swarm_of_fragments(self):
        item = b"\xfe\xff\x00\xe0\0\0\0\0"
        file = synthetic_dicom(RAMP, transfer_syntax="1.2.840.10008.1.2.5", **TWELVE)
        at = file.index(b"\xe0\x7f\x10\x00") + 12
        assert reason(file[:at] + item * 70_000) == "damaged_pixels"

    def test_a_million_numbers_in_one_element(self):
        file = synthetic_dicom(RAMP, transfer_syntax="1.2.840.10008.1.2", **TWELVE)
        at = file.index(b"\xe0\x7f\x10\x00")
        numbers = b"1\\" * 1_000_000
        window = b"\x28\x00\x50\x10" + len(numbers).to_bytes(4, "little") + numbers
        assert read_dicom(file[:at] + window + file[at:]).flags == ("no_window",)


def test_deflated_zeros():
    deflated = synthetic_dicom(RAMP, transfer_syntax="1.2.840.10008.1.2.1.99", **TWELVE)
    deflater = zlib.compressobj(wbits=-15)
    zeros = b"\0" * 2**20
    body = b"".join(deflater.compress(zeros) for _ in range(8)) + deflater.flush()
    meta = deflated[: deflated.index(b"1.2.840.10008.1.2.1.99") + 22]
    with pytest.raises(UnreadableImage) as caught:
        inflate(body, wbits=-15, limit=2**20)
    assert caught.value.reason == "too_large"
    assert reason(meta + body) == "too_large"  # two million empty elements


class TestDamage:
    @pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.98])
    @pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5", JPEG_2000])
    def test_truncated_anywhere(self, share, syntax):
        file = synthetic_dicom(RAMP, transfer_syntax=syntax, **TWELVE)
        assert reason(file[: int(len(file) * share)]) in (
            "not_dicom", "damaged_header", "no_transfer_syntax", "no_pixels", "damaged_pixels",
            "photometric",
        )  # fmt: skip

    def test_lossless_jpeg_that_ends_early_is_no_gray_film(self):
        codecs = pytest.importorskip("imagecodecs")
        stream = bytes(codecs.jpeg8_encode(RAMP, lossless=True))[:-40]
        syntax = "1.2.840.10008.1.2.4.70"
        file = synthetic_dicom(RAMP, transfer_syntax=syntax, codestream=stream, **TWELVE)
        assert reason(file) == "damaged_pixels"

    def test_a_panic_of_a_rust_decoder_is_a_damaged_file(self, monkeypatch):
        class PanicException(BaseException):
            pass

        class Decoder:
            is_available = True
            available_plugins = ()

            def as_array(self, *_, **__):
                raise PanicException

        monkeypatch.setattr(decoding, "get_decoder", lambda syntax: Decoder())
        file = synthetic_dicom(RAMP, transfer_syntax="1.2.840.10008.1.2.5", **TWELVE)
        assert reason(file) == "damaged_pixels"

    def test_an_interrupt_passes(self, monkeypatch):
        class Decoder:
            is_available = True

            def as_array(self, *_, **__):
                raise KeyboardInterrupt

        monkeypatch.setattr(decoding, "get_decoder", lambda syntax: Decoder())
        file = synthetic_dicom(RAMP, transfer_syntax="1.2.840.10008.1.2.5", **TWELVE)
        with pytest.raises(KeyboardInterrupt):
            read_dicom(file)

    def test_native_pixels_under_a_compressed_syntax_are_read(self):
        file = synthetic_dicom(RAMP, **TWELVE)
        lying = file.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")
        film = read_dicom(lying)
        np.testing.assert_array_equal(film.pixels, read_dicom(file).pixels)
        assert "transfer_syntax_disagrees" in film.flags

    def test_half_a_film_under_a_compressed_syntax_is_damaged(self):
        lying = synthetic_dicom(RAMP, **TWELVE).replace(
            b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0"
        )
        assert reason(lying[:-4000]) == "damaged_pixels"

    @pytest.mark.parametrize(
        ("attributes", "expected"),
        [
            ({"BitsAllocated": 32, "BitsStored": 32}, "bit_depth"),
            ({"BitsStored": 1}, "bit_depth"),
            ({"PhotometricInterpretation": "HSV"}, "photometric"),
            ({"PhotometricInterpretation": None}, "photometric"),
            ({"SamplesPerPixel": 3}, "photometric"),
            ({"Rows": 0}, "damaged_header"),
            ({"Rows": None}, "damaged_header"),
        ],
    )
    def test_impossible_headers(self, attributes, expected):
        assert reason(synthetic_dicom(RAMP, **attributes)) == expected

    def test_floating_point_pixels(self):
        file = synthetic_dicom(RAMP).replace(b"\xe0\x7f\x10\x00OW", b"\xe0\x7f\x08\x00OF")
        with pytest.raises(UnsupportedImage) as caught:
            read_dicom(file)
        assert caught.value.reason == "bit_depth"

    @pytest.mark.parametrize(
        ("syntax", "expected"),
        [
            ("1.2.840.10008.1.2.4.100", "unknown_transfer_syntax"),
            ("1.2.3.4.5.6.7.8.9.10.11", "unknown_transfer_syntax"),
        ],
    )
    def test_transfer_syntaxes_that_are_no_image(self, syntax, expected):
        file = synthetic_dicom(RAMP, transfer_syntax=JPEG_2000, **TWELVE)
        padded = syntax.encode() + b"\0" * (len(syntax) % 2)
        at = file.index(JPEG_2000.encode())
        old = file[at - 2 : at + len(JPEG_2000) + len(JPEG_2000) % 2]
        new = len(padded).to_bytes(2, "little") + padded
        assert reason(file.replace(old, new, 1)) in (expected, "damaged_pixels")


class TestCodestream:
    def test_sizes(self):
        from PIL import Image

        stream = io.BytesIO()
        Image.fromarray((RAMP // 16).astype(np.uint8)).save(stream, format="JPEG")
        assert codestream_size(stream.getvalue()) == (64, 48, 1, 8)
        stream = io.BytesIO()
        Image.fromarray((RAMP // 16).astype(np.uint8)).save(stream, format="JPEG2000")
        assert codestream_size(stream.getvalue()) == (64, 48, 1, 8)

    @pytest.mark.parametrize(
        "data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xff\xff", b"\xff\x4f\xff\x51"]
    )
    def test_none(self, data):
        assert codestream_size(data) is None


def test_warnings_and_log_lines_stay_in(caplog, recwarn):
    with quiet():
        file = synthetic_dicom(RAMP, PatientAge="SECRET", WindowCenter="1", **TWELVE)
    read_dicom(file.replace(b"SECRET", b"SECRE\xff"))
    assert "SECRE" not in caplog.text
    assert not recwarn.list


@pytest.mark.slow
def test_short_fuzz():
    script = Path(__file__).parents[2] / "benchmarks/fuzz_reading.py"
    command = [sys.executable, str(script), "--count", "150", "--first", "30000"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=script.parents[1]
    )
    assert done.returncode == 0, done.stderr[-3000:]
