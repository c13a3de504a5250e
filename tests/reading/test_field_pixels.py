"""Films from the field, pixels: each was misread or refused, and has the name of its case.

The input of each is made here, from one phantom film; what is right is the film itself.
"""

from __future__ import annotations

import gzip
import io
import struct
import zlib

import numpy as np
import pytest
from field_films import EXPLICIT, J2K, JPEG_LS, dicom, reason, same
from PIL import Image

from monai_cxr.errors import InputError
from monai_cxr.phantom.settings import PhantomSettings
from monai_cxr.phantom.solid import project, slice_of, solid_thorax
from monai_cxr.phantom.synthetic import synthetic_dicom
from monai_cxr.reading.files import read_for_model, read_radiograph


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
