"""Films from the field, framing: each was misread or refused, and has the name of its case.

The input of each is made here, from one phantom film; what is right is the film itself.
"""

from __future__ import annotations

import struct
import zlib

import pytest
from field_films import (
    DELIMITER,
    EXPLICIT,
    J2K,
    JPEG_LOSSLESS,
    PIXELS_AT,
    dicom,
    framed,
    items,
    jpeg_ls,
    reason,
    same,
    stream_of,
    value_of,
    with_meta_syntax,
)


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
        same(with_meta_syntax(dicom(stored), JPEG_LOSSLESS), stored, "transfer_syntax_disagrees")

    @pytest.mark.parametrize("undefined", [True, False])
    def test_raw_fragment_under_native_syntax(self, stored, undefined):
        head, cells = value_of(dicom(stored))
        value = items(cells)
        length = b"\xff" * 4 if undefined else struct.pack("<I", len(value))
        same(head[:-4] + length + value, stored, "transfer_syntax_disagrees")

    def test_a_codestream_under_a_native_syntax(self, stored):
        same(with_meta_syntax(jpeg_ls(stored), EXPLICIT), stored, "transfer_syntax_disagrees")

    @pytest.mark.parametrize("said", [EXPLICIT, JPEG_LOSSLESS])
    def test_run_lengths_under_another_syntax(self, stored, said):
        file = dicom(stored, transfer_syntax="1.2.840.10008.1.2.5")
        same(with_meta_syntax(file, said), stored, "transfer_syntax_disagrees")

    def test_plain_cells_of_undefined_length(self, stored):
        head, cells = value_of(dicom(stored))
        same(head[:-4] + b"\xff" * 4 + cells, stored, "encapsulation_repaired")

    def test_pixels_whose_vr_is_none(self, stored):
        same(dicom(stored).replace(PIXELS_AT + b"OW", PIXELS_AT + b"OX"), stored)

    @pytest.mark.parametrize("number", ["4.100", "4.107", "4.94", "4.110"])
    def test_unsupported_syntax_told_damaged(self, stored, number):
        code, message = reason(with_meta_syntax(jpeg_ls(stored), f"1.2.840.10008.1.2.{number}"))
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
            same(with_meta_syntax(file, f"1.2.840.10008.1.2.{number}"), stored)
