"""Cases: the corners of the grayscale chain that the matrix does not hold."""

import numpy as np
import pytest

from monai_cxr.dicom.pixels.grayscale import DEFAULT_POLICY, POLICIES, GrayscalePolicy
from monai_cxr.dicom.reader import read_dicom
from monai_cxr.errors import UnsupportedImage
from monai_cxr.phantom.synthetic import lut_item, sequence, synthetic_dicom

RAMP = np.linspace(0, 4095, 64 * 64).round().reshape(64, 64).astype(np.uint16)
TWELVE = {"BitsStored": 12, "HighBit": 11}
FOR_PROCESSING = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1"}
IDENTITY_12 = np.arange(4096, dtype=np.uint16)


def pixels(policy=DEFAULT_POLICY, stored=RAMP, **attributes):
    return read_dicom(synthetic_dicom(stored, **{**TWELVE, **attributes}), policy).pixels


def flags(policy=DEFAULT_POLICY, stored=RAMP, **attributes):
    return read_dicom(synthetic_dicom(stored, **{**TWELVE, **attributes}), policy).flags


class TestPolarity:
    @pytest.mark.parametrize(
        ("photometric", "shape", "inverted", "conflict"),
        [
            ("MONOCHROME2", None, False, False),
            ("MONOCHROME1", None, True, False),
            ("MONOCHROME2", "IDENTITY", False, False),
            ("MONOCHROME1", "INVERSE", True, False),
            ("MONOCHROME1", "IDENTITY", False, True),
            ("MONOCHROME2", "INVERSE", True, True),
        ],
    )
    def test_shape_before_photometric_interpretation(self, photometric, shape, inverted, conflict):
        attributes = {"PhotometricInterpretation": photometric, "PresentationLUTShape": shape}
        film = pixels(POLICIES["none"], **attributes)
        expected = RAMP / 4095.0
        np.testing.assert_allclose(film, 1 - expected if inverted else expected, atol=1e-6)
        assert ("polarity_conflict" in flags(**attributes)) == conflict

    def test_padding_is_black_in_both_polarities(self):
        for photometric in ("MONOCHROME1", "MONOCHROME2"):
            film = pixels(PhotometricInterpretation=photometric, PixelPaddingValue=4095)
            assert film[-1, -1] == 0.0


class TestValuesOfInterest:
    def test_window_by_index_and_by_explanation(self):
        windows = {
            "WindowCenter": [1000, 3000],
            "WindowWidth": [500, 800],
            "WindowCenterWidthExplanation": ["LUNG", "BONE"],
        }
        alone = pixels(POLICIES["header"], WindowCenter=3000, WindowWidth=800)
        by_index = pixels(GrayscalePolicy("second", "header", index=1), **windows)
        by_name = pixels(GrayscalePolicy("bone", "header", explanation="bone"), **windows)
        np.testing.assert_array_equal(by_index, alone)
        np.testing.assert_array_equal(by_name, alone)

    def test_a_window_of_one_value(self):
        """C.11.2.1.2: above c - 0.5 is white, the rest black."""
        film = pixels(POLICIES["header"], WindowCenter=2000, WindowWidth=1)
        np.testing.assert_array_equal(film, RAMP >= 2000)

    def test_lut_before_window(self):
        table = sequence(lut_item(0, IDENTITY_12[::-1].copy(), 12))
        film = pixels(VOILUTSequence=table, WindowCenter=2000, WindowWidth=1000)
        np.testing.assert_allclose(film, 1 - RAMP / 4095.0, atol=1e-6)

    @pytest.mark.parametrize("window", [(60000, 10), (-5000, 100), (2000, 1)])
    def test_a_window_that_flattens_the_film_falls_back(self, window):
        attributes = {"WindowCenter": window[0], "WindowWidth": window[1]}
        np.testing.assert_array_equal(pixels(**attributes), pixels())
        assert "window_fallback" in flags(**attributes)
        assert "window_fallback" not in flags(POLICIES["header"], **attributes)

    @pytest.mark.parametrize(
        ("function", "width"), [("LINEAR", 0.5), ("LINEAR_EXACT", 0), ("SIGMOID", -3)]
    )
    def test_a_forbidden_width_is_no_window(self, function, width):
        attributes = {"WindowCenter": 2000, "WindowWidth": width, "VOILUTFunction": function}
        assert "invalid_window" in flags(**attributes)

    def test_one_malformed_window_leaves_the_others(self):
        windows = {"WindowCenter": ["", "3000"], "WindowWidth": ["500", "800"]}
        alone = pixels(POLICIES["header"], WindowCenter=3000, WindowWidth=800)
        second = GrayscalePolicy("second", "header", index=1)
        np.testing.assert_array_equal(pixels(second, **windows), alone)
        assert "invalid_window" in flags(POLICIES["header"], **windows)

    def test_a_decimal_comma(self):
        file = synthetic_dicom(RAMP, WindowCenter="2047.5", WindowWidth="2000.0", **TWELVE)
        written = file.replace(b"2047.5", b"2047,5").replace(b"2000.0", b"2000,0")
        np.testing.assert_array_equal(read_dicom(written).pixels, read_dicom(file).pixels)

    @pytest.mark.parametrize(
        "attributes",
        [
            {"RescaleSlope": "0"},
            {"RescaleSlope": "1e308", "RescaleIntercept": "1e308"},
            {"RescaleSlope": "1e-300"},
            {"RescaleIntercept": "-1e200"},
        ],
    )
    def test_an_impossible_rescale_is_left_out(self, attributes):
        window = {"WindowCenter": 2000, "WindowWidth": 3000}
        np.testing.assert_array_equal(pixels(**attributes, **window), pixels(**window))
        assert "invalid_rescale" in flags(**attributes, **window)

    def test_an_intercept_without_a_slope(self):
        shifted = pixels(RescaleIntercept="-1000", WindowCenter=1000, WindowWidth=3000)
        np.testing.assert_array_equal(shifted, pixels(WindowCenter=2000, WindowWidth=3000))

    def test_percentiles_without_a_window(self):
        low, high = np.percentile(RAMP, (0.5, 99.5))
        expected = np.clip((RAMP - low) / (high - low), 0, 1)
        np.testing.assert_allclose(pixels(), expected, atol=1e-6)
        assert "no_window" in flags()

    def test_eight_bits_without_a_window_are_shown_as_they_are(self):
        dim = (RAMP // 64).astype(np.uint8)
        film = read_dicom(synthetic_dicom(dim))
        np.testing.assert_allclose(film.pixels, dim / 255.0, atol=1e-7)
        assert film.flags == ()

    def test_the_range_is_nominal_and_never_the_maximum_of_the_data(self):
        dark = RAMP // 4
        assert pixels(POLICIES["none"], stored=dark).max() == pytest.approx(1023 / 4095)


class TestLookupTables:
    def test_65536_entries_are_written_as_zero(self):
        table = np.arange(65536, dtype=np.uint16)
        stored = np.linspace(0, 65535, 4096).reshape(64, 64).astype(np.uint16)
        file = synthetic_dicom(stored, VOILUTSequence=sequence(lut_item(0, table, 16)))
        np.testing.assert_allclose(read_dicom(file).pixels, stored / 65535.0, atol=1e-6)

    def test_8_bit_entries_packed_two_a_word(self):
        packed = (np.arange(256, dtype=np.uint16)[1::2] << 8) | np.arange(256)[::2].astype(
            np.uint16
        )
        item = lut_item(0, packed, 8)
        item.add_new("LUTDescriptor", "US", [256, 0, 8])
        film = read_dicom(synthetic_dicom((RAMP // 16).astype(np.uint8), VOILUTSequence=[item]))
        np.testing.assert_allclose(film.pixels, (RAMP // 16) / 255.0, atol=1e-6)

    def test_a_12_bit_table_under_a_descriptor_of_16(self):
        lut = {"VOILUTSequence": sequence(lut_item(0, IDENTITY_12, 16))}
        np.testing.assert_allclose(pixels(**lut), RAMP / 4095.0, atol=1e-6)
        assert "lut_depth" in flags(**lut)

    @pytest.mark.parametrize(("bits", "nominal"), [(12, 4095), (10, 1023), (16, 1023)])
    def test_a_dim_table_stays_dim_where_its_depth_is_stated(self, bits, nominal):
        """16 alone may be the size of the cells; then the values tell (C.11.2.1.1)."""
        dim = (IDENTITY_12 // 4 - IDENTITY_12 // 4096).astype(np.uint16)
        lut = {"VOILUTSequence": sequence(lut_item(0, dim, bits))}
        np.testing.assert_allclose(pixels(**lut), (RAMP // 4) / nominal, atol=1e-6)
        assert ("lut_depth" in flags(**lut)) == (bits == 16)

    def test_first_value_of_signed_input_under_an_unsigned_vr(self):
        signed = RAMP.astype(np.int16) - 2048
        film = pixels(stored=signed, VOILUTSequence=[lut_item(63488, IDENTITY_12, 12)])
        np.testing.assert_allclose(film, RAMP / 4095.0, atol=1e-6)

    def test_first_value_of_input_that_an_intercept_makes_negative(self):
        film = pixels(RescaleIntercept="-2048", VOILUTSequence=[lut_item(63488, IDENTITY_12, 12)])
        np.testing.assert_allclose(film, RAMP / 4095.0, atol=1e-6)

    def test_8_bit_entries_in_words_of_their_own(self):
        item = lut_item(0, IDENTITY_12 // 16, 8)
        np.testing.assert_allclose(pixels(VOILUTSequence=[item]), (RAMP // 16) / 255, atol=1e-6)

    def test_a_short_table_repeats_its_last_entry(self):
        item = lut_item(0, IDENTITY_12[:2049], 12)
        item.add_new("LUTDescriptor", "US", [4096, 0, 12])
        assert pixels(VOILUTSequence=[item]).max() == pytest.approx(2048 / 4095)
        assert "lut_short" in flags(VOILUTSequence=[item])

    def test_negative_first_value(self):
        signed = RAMP.astype(np.int16) - 2048
        item = lut_item(-2048, IDENTITY_12, 12, signed=True)
        film = pixels(stored=signed, VOILUTSequence=[item])
        np.testing.assert_allclose(film, RAMP / 4095.0, atol=1e-6)

    def test_a_malformed_table_is_left_out(self):
        item = lut_item(0, np.zeros(4096, dtype=np.uint16), 12)
        assert "lut_malformed" in flags(VOILUTSequence=[item])


class TestForProcessing:
    def test_sign_decides_the_polarity(self):
        raw = flags(**FOR_PROCESSING, PixelIntensityRelationshipSign=1)
        assert "for_processing" in raw
        dense_low = pixels(**FOR_PROCESSING, PixelIntensityRelationshipSign=1)
        dense_high = pixels(**FOR_PROCESSING, PixelIntensityRelationshipSign=-1)
        assert dense_low[0, 0] == 1.0
        assert dense_high[0, 0] == 0.0

    def test_linear_intensities_are_shown_as_attenuation(self):
        film = pixels(
            **FOR_PROCESSING, PixelIntensityRelationship="LIN", PixelIntensityRelationshipSign=1
        )
        values = np.log1p(RAMP.astype(float))
        low, high = np.percentile(values, (0.5, 99.5))
        np.testing.assert_allclose(
            film, 1 - np.clip((values - low) / (high - low), 0, 1), atol=1e-6
        )


class TestColor:
    def test_gray_in_three_channels_is_gray(self):
        gray = (RAMP // 16).astype(np.uint8)
        film = read_dicom(synthetic_dicom(np.stack([gray] * 3, axis=2)))
        np.testing.assert_allclose(film.pixels, gray / 255.0, atol=1e-7)
        assert film.flags == ("color_encoded",)

    def test_the_maximum_of_a_channel_is_its_stated_depth(self):
        film = read_dicom(synthetic_dicom(np.stack([RAMP] * 3, axis=2), **TWELVE))
        np.testing.assert_allclose(film.pixels, RAMP / 4095.0, atol=1e-6)

    def test_colour_is_refused(self):
        gray = (RAMP // 16).astype(np.uint8)
        with pytest.raises(UnsupportedImage) as caught:
            read_dicom(synthetic_dicom(np.stack([gray, gray, gray[::-1]], axis=2)))
        assert caught.value.reason == "color"

    def test_a_gray_palette(self):
        gray = (RAMP // 16).astype(np.uint8)
        table = (np.arange(256, dtype=np.uint16) * 257).astype("<u2").tobytes()
        palettes = {}
        for color in ("Red", "Green", "Blue"):
            palettes[f"{color}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
            palettes[f"{color}PaletteColorLookupTableData"] = table
        file = synthetic_dicom(gray, PhotometricInterpretation="PALETTE COLOR", **palettes)
        np.testing.assert_allclose(read_dicom(file).pixels, gray / 255.0, atol=1e-6)

    def test_an_8_bit_palette(self):
        gray = (RAMP // 16).astype(np.uint8)
        palettes = {}
        for color in ("Red", "Green", "Blue"):
            palettes[f"{color}PaletteColorLookupTableDescriptor"] = [256, 0, 8]
            palettes[f"{color}PaletteColorLookupTableData"] = bytes(range(256))
        file = synthetic_dicom(gray, PhotometricInterpretation="PALETTE COLOR", **palettes)
        np.testing.assert_allclose(read_dicom(file).pixels, gray / 255.0, atol=1e-6)


class TestFrames:
    def test_several_frames_need_a_name(self):
        file = synthetic_dicom(np.stack([RAMP, RAMP[::-1]]), **TWELVE)
        with pytest.raises(UnsupportedImage) as caught:
            read_dicom(file)
        assert caught.value.reason == "multi_frame"
        np.testing.assert_array_equal(read_dicom(file, frame=1).pixels, pixels(stored=RAMP[::-1]))
        with pytest.raises(UnsupportedImage):
            read_dicom(file, frame=2)
