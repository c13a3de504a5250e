"""Overlay planes and shutters: read as the header means them, counted where they cannot be."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from pydicom.dataset import Dataset

from monai_cxr.dicom.pixels.overlay_planes import drawn_over
from monai_cxr.phantom.synthetic import synthetic_dicom
from monai_cxr.reading.files import read_display
from monai_cxr.review.payload import film_payload

SIDE = 64


def header(bits, *, rows: int | None = None, origin=(1, 1), data: bytes | None = None) -> Dataset:
    dataset = Dataset()
    dataset.add_new(0x60000010, "US", bits.shape[0] if rows is None else rows)
    dataset.add_new(0x60000011, "US", bits.shape[1])
    dataset.add_new(0x60000050, "SS", list(origin))
    dataset.add_new(0x60000100, "US", 1)
    dataset.add_new(0x60000102, "US", 0)
    if data is None:
        data = np.packbits(bits, bitorder="little").tobytes()
    dataset.add_new(0x60003000, "OW", data + b"\0" * (len(data) % 2))
    return dataset


def film(**attributes) -> bytes:
    values = np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE)
    return synthetic_dicom(values, **attributes)


@pytest.fixture
def bits():
    made = np.zeros((SIDE, SIDE), dtype=bool)
    made[3:9, 5:40] = True
    made[40, 63] = True
    return made


class TestOverlayAndShutterNotShown:
    def test_overlay_is_read_with_its_place(self, bits):
        drawn = drawn_over(header(bits, origin=(-2, 11)), little_endian=True)
        (overlay,) = drawn.overlays
        np.testing.assert_array_equal(overlay.bits, bits)
        assert (overlay.top, overlay.left, drawn.unread) == (-3, 10, 0)

    def test_of_a_big_endian_file_is_the_same(self, bits):
        packed = np.packbits(bits, bitorder="little").reshape(-1, 2)[:, ::-1].tobytes()
        (overlay,) = drawn_over(header(bits, data=packed), little_endian=False).overlays
        np.testing.assert_array_equal(overlay.bits, bits)

    @pytest.mark.parametrize(("rows", "data"), [(0, None), (60_000, None), (SIDE, b"\1\0")])
    def test_a_malformed_one_is_counted(self, bits, rows, data):
        drawn = drawn_over(header(bits, rows=rows, data=data), little_endian=True)
        assert (drawn.overlays, drawn.unread) == ((), 1)

    def test_one_in_the_pixels_unused_bits_is_counted(self, bits):
        dataset = header(bits)
        del dataset[0x60003000]
        assert drawn_over(dataset, little_endian=True).unread == 1

    @pytest.mark.parametrize(
        ("attributes", "rectangle", "circle", "polygon"),
        [
            ({"ShutterShape": "RECTANGULAR", "ShutterLeftVerticalEdge": 3,
              "ShutterRightVerticalEdge": 60, "ShutterUpperHorizontalEdge": 5,
              "ShutterLowerHorizontalEdge": 50}, (2, 4, 60, 50), (), ()),
            ({"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [20, 30],
              "RadiusOfCircularShutter": 9}, (), (29.5, 19.5, 9), ()),
            ({"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [1, 1, 1, 9, 9, 9]},
             (), (), ((0.5, 0.5), (8.5, 0.5), (8.5, 8.5))),
        ],
    )  # fmt: skip
    def test_shutters(self, attributes, rectangle, circle, polygon):
        shutter = read_display(film(**attributes)).drawn.shutter
        assert (shutter.rectangle, shutter.circle, shutter.polygon) == (rectangle, circle, polygon)

    @pytest.mark.parametrize(
        "attributes",
        [
            {},
            {"ShutterShape": "RECTANGULAR"},
            {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [1, 1],
             "RadiusOfCircularShutter": 0},
            {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [1, 2, 3]},
        ],
    )  # fmt: skip
    def test_without_a_usable_shape_nothing_is_covered(self, attributes):
        assert read_display(film(**attributes)).drawn.shutter is None

    def test_both_travel_to_the_browser(self, bits):
        attributes = {"ShutterShape": "RECTANGULAR", "ShutterLeftVerticalEdge": 1,
                      "ShutterRightVerticalEdge": 9, "ShutterUpperHorizontalEdge": 1,
                      "ShutterLowerHorizontalEdge": 9}  # fmt: skip
        import io

        import pydicom

        dataset = pydicom.dcmread(io.BytesIO(film(**attributes)))
        dataset.update(header(bits))
        stream = io.BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
        payload = film_payload(stream.getvalue())
        (length,) = struct.unpack_from("<I", payload)
        said = json.loads(payload[4 : 4 + length])
        assert said["overlays"] == [{"rows": SIDE, "columns": SIDE, "top": 0, "left": 0}]
        assert said["shutter"]["rectangle"] == [0, 0, 9, 9]
        packed = np.frombuffer(payload[-SIDE * SIDE // 8 :], dtype=np.uint8)
        drawn = np.unpackbits(packed, bitorder="little").reshape(SIDE, SIDE).astype(bool)
        np.testing.assert_array_equal(drawn, bits)


def test_pixel_aspect_ratio():
    """Without a spacing the aspect of a pixel is that of (0028,0034), and is sent."""
    data = film(PixelSpacing=None, ImagerPixelSpacing=None, PixelAspectRatio=["2", "1"])
    assert read_display(data).pixel_aspect == 2.0
    assert b'"aspect": 2.0' in film_payload(data)
