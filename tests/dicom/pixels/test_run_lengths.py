"""Run lengths: RLE by imagecodecs against the encoders and the decoder of pydicom."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.pixels.decoders import pylibjpeg
from pydicom.pixels.decoders.rle import _rle_decode_frame
from pydicom.pixels.encoders.base import RLELosslessEncoder
from pydicom.uid import RLELossless

from monai_cxr.dicom.pixels.run_lengths import decode_gray_rle
from monai_cxr.dicom.reader import read_dicom
from monai_cxr.errors import UnreadableImage
from monai_cxr.phantom.synthetic import synthetic_dicom

pytest.importorskip("imagecodecs")
ENCODERS = ("pydicom", "pylibjpeg")


def encoded(cells, encoder="pydicom"):
    rows, columns = cells.shape[:2]
    bits = 8 * cells.dtype.itemsize
    return bytes(
        RLELosslessEncoder.encode(
            cells, rows=rows, columns=columns, samples_per_pixel=1, number_of_frames=1,
            photometric_interpretation="MONOCHROME2", bits_allocated=bits, bits_stored=bits,
            pixel_representation=0, encoding_plugin=encoder,
        )
    )  # fmt: skip


@st.composite
def films(draw):
    cell = draw(st.sampled_from([np.uint8, np.uint16]))
    shape = draw(st.tuples(st.integers(1, 19), st.integers(1, 19)))
    levels = draw(st.sampled_from([1, 3, np.iinfo(cell).max]))
    seed = draw(st.integers(0, 2**32 - 1))
    return np.random.default_rng(seed).integers(0, levels, shape, dtype=cell, endpoint=True)


@given(films(), st.sampled_from(ENCODERS))
def test_gives_back_what_was_encoded(cells, encoder):
    decoded = decode_gray_rle(encoded(cells, encoder), cells.size, cells.dtype.itemsize)
    assert decoded is not None
    assert decoded.dtype == cells.dtype
    np.testing.assert_array_equal(decoded.reshape(cells.shape), cells)


@given(films(), st.data())
def test_a_damaged_frame_is_refused_or_read_as_pydicom_reads_it(cells, data):
    frame = bytearray(encoded(cells))
    for _ in range(data.draw(st.integers(0, 3))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    frame = bytes(frame[: data.draw(st.integers(0, len(frame)))])
    decoded = decode_gray_rle(frame, cells.size, cells.dtype.itemsize)
    if decoded is None:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = _rle_decode_frame(frame, *cells.shape, 1, 8 * cells.dtype.itemsize)
    assert decoded.tobytes() == bytes(theirs)


@pytest.mark.parametrize("other", [1, 3])
def test_a_frame_of_another_number_of_segments(other):
    cells = np.arange(60, dtype=np.uint16).reshape(6, 10)
    assert decode_gray_rle(encoded(cells), cells.size, other) is None


class TestInAFile:
    cells = np.tile(np.arange(0, 4096, 64, dtype=np.uint16), (64, 1))

    def read(self, stream=None, cells=cells, **facts):
        facts = {"BitsStored": 12, "HighBit": 11, **facts}
        return read_dicom(
            synthetic_dicom(cells, transfer_syntax=str(RLELossless), codestream=stream, **facts)
        )

    def test_gray_asks_no_other_decoder(self, monkeypatch):
        exact = read_dicom(synthetic_dicom(self.cells, BitsStored=12, HighBit=11))
        monkeypatch.setattr(pylibjpeg, "_decode_frame", lambda *_: pytest.fail("not asked"))
        np.testing.assert_array_equal(self.read().pixels, exact.pixels)

    def test_colour_is_the_next_decoders(self):
        gray = (self.cells >> 4).astype(np.uint8)
        facts = {"BitsStored": 8, "HighBit": 7, "PhotometricInterpretation": "RGB"}
        facts |= {"SamplesPerPixel": 3, "PlanarConfiguration": 0}
        rgb = np.stack([gray, gray, gray + 1], axis=2)
        stream = bytes(
            RLELosslessEncoder.encode(
                rgb, rows=64, columns=64, samples_per_pixel=3, number_of_frames=1,
                photometric_interpretation="RGB", bits_allocated=8, bits_stored=8,
                pixel_representation=0, planar_configuration=0, encoding_plugin="pydicom",
            )
        )  # fmt: skip
        found = self.read(stream, rgb, **facts)
        np.testing.assert_array_equal(found.pixels, gray / np.float32(255))

    def test_a_run_behind_the_last_pixel_is_forgiven_as_before(self):
        stream = encoded(self.cells) + b"\xff\x07"
        assert decode_gray_rle(stream, self.cells.size, 2) is None
        np.testing.assert_array_equal(self.read(stream).pixels, self.read().pixels)

    @pytest.mark.parametrize("keep", [10, 64, 90])
    def test_a_cut_frame_is_refused(self, keep):
        with pytest.raises(UnreadableImage, match="no decoder can follow"):
            self.read(encoded(self.cells)[:keep])
