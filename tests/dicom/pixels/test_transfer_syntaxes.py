import imagecodecs
import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders import pyjpegls

from monai_cxr.dicom.pixels import fast_codecs
from monai_cxr.dicom.reader import read_dicom
from monai_cxr.errors import UnreadableImage
from monai_cxr.phantom.synthetic import synthetic_dicom

UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
DEFLATED = "1.2.840.10008.1.2.1.99"
BY_PYDICOM = {
    "rle": "1.2.840.10008.1.2.5",
    "jpeg_ls": "1.2.840.10008.1.2.4.80",
    "jpeg_2000": "1.2.840.10008.1.2.4.90",
}
JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
HTJ2K = ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203")
DEPTHS = ((8, False), (12, False), (12, True), (16, False), (16, True))

TWINS = [
    (syntax, bits, signed)
    for syntax in (*UNCOMPRESSED, DEFLATED, *BY_PYDICOM.values())
    for bits, signed in DEPTHS
    if not (signed and syntax == BY_PYDICOM["jpeg_ls"])  # pydicom cannot encode these
]


def film(bits, signed):
    low = -(2 ** (bits - 1)) if signed else 0
    ramp = np.linspace(low, low + 2**bits - 1, 48 * 64).round().reshape(48, 64)
    noisy = np.roll(ramp, 7, axis=1)
    noisy[::5] = ramp[::5]
    return noisy.astype(np.dtype(f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}"))


def facts(bits):
    center = {"WindowCenter": 2 ** (bits - 2), "WindowWidth": 2 ** (bits - 1)}
    return {"BitsStored": bits, "HighBit": bits - 1, **center}


def reference(bits, signed):
    return read_dicom(synthetic_dicom(film(bits, signed), **facts(bits))).pixels


@pytest.mark.parametrize(("syntax", "bits", "signed"), TWINS)
def test_lossless_twins_are_equal_bit_for_bit(syntax, bits, signed):
    file = synthetic_dicom(film(bits, signed), transfer_syntax=syntax, **facts(bits))
    np.testing.assert_array_equal(read_dicom(file).pixels, reference(bits, signed))


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("syntax", JPEG_LOSSLESS)
def test_lossless_jpeg(syntax, bits):
    pixels = film(bits, False)
    stream = bytes(imagecodecs.jpeg8_encode(pixels, lossless=True))
    file = synthetic_dicom(pixels, transfer_syntax=syntax, codestream=stream, **facts(bits))
    np.testing.assert_array_equal(read_dicom(file).pixels, reference(bits, False))


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("syntax", HTJ2K)
def test_high_throughput_jpeg_2000(syntax, bits):
    pixels = film(bits, False)
    if not hasattr(imagecodecs, "htj2k_encode"):
        pytest.skip("This imagecodecs has no HTJ2K encoder: install a newer one.")
    stream = bytes(imagecodecs.htj2k_encode(pixels))
    file = synthetic_dicom(pixels, transfer_syntax=syntax, codestream=stream, **facts(bits))
    np.testing.assert_array_equal(read_dicom(file).pixels, reference(bits, False))


@pytest.mark.parametrize(
    ("syntax", "bits"), [("1.2.840.10008.1.2.4.50", 8), ("1.2.840.10008.1.2.4.51", 12)]
)
def test_lossy_jpeg_is_near(syntax, bits):
    smooth = np.linspace(0, 2**bits - 1, 48 * 64).reshape(48, 64)
    pixels = smooth.astype(np.uint8 if bits == 8 else np.uint16)
    stream = bytes(imagecodecs.jpeg8_encode(pixels, level=98, bitspersample=bits))
    window = {"WindowCenter": 2 ** (bits - 1), "WindowWidth": 2**bits}
    depth = {"BitsStored": bits, "HighBit": bits - 1}
    plain = synthetic_dicom(pixels, **depth, **window)
    lossy = synthetic_dicom(pixels, transfer_syntax=syntax, codestream=stream, **depth, **window)
    np.testing.assert_allclose(read_dicom(lossy).pixels, read_dicom(plain).pixels, atol=0.02)


def test_near_lossless_jpeg_ls_and_lossy_jpeg_2000_take_the_same_decoders():
    pixels = film(12, False)
    for syntax, stream in (
        ("1.2.840.10008.1.2.4.81", imagecodecs.jpegls_encode(pixels)),
        ("1.2.840.10008.1.2.4.91", imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k")),
    ):
        file = synthetic_dicom(
            pixels, transfer_syntax=syntax, codestream=bytes(stream), **facts(12)
        )
        np.testing.assert_array_equal(read_dicom(file).pixels, reference(12, False))


def test_jpeg_2000_of_signed_pixels_that_were_coded_unsigned():
    pixels = film(12, True)
    shifted = (pixels.astype(np.int32) & 0xFFF).astype(np.uint16)
    stream = bytes(imagecodecs.jpeg2k_encode(shifted, level=0, codecformat="j2k", bitspersample=12))
    syntax = BY_PYDICOM["jpeg_2000"]
    file = synthetic_dicom(pixels, transfer_syntax=syntax, codestream=stream, **facts(12))
    np.testing.assert_array_equal(read_dicom(file).pixels, reference(12, True))


def test_bits_above_the_stored_ones_are_ignored():
    pixels = film(12, False)
    overlay = pixels | np.uint16(0xF000)
    file = synthetic_dicom(overlay, **facts(12))
    np.testing.assert_array_equal(read_dicom(file).pixels, reference(12, False))


def test_high_bit_at_the_top():
    pixels = film(12, False)
    file = synthetic_dicom((pixels << 4).astype(np.uint16), **{**facts(12), "HighBit": 15})
    np.testing.assert_array_equal(read_dicom(file).pixels, reference(12, False))


def test_lossless_jpeg_under_a_header_with_the_high_bit_at_the_top():
    """A codec gives values back at the bottom of the cell, whatever High Bit says."""
    pixels = film(12, False)
    stream = bytes(imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=12))
    attributes = {**facts(12), "HighBit": 15}
    file = synthetic_dicom(
        pixels, transfer_syntax=JPEG_LOSSLESS[1], codestream=stream, **attributes
    )
    np.testing.assert_array_equal(read_dicom(file).pixels, reference(12, False))


def test_an_8_bit_jpeg_in_cells_of_16():
    pixels = film(8, False)
    smooth = np.sort(pixels, axis=None).reshape(pixels.shape)
    stream = bytes(imagecodecs.jpeg8_encode(smooth, level=98))
    files = [
        synthetic_dicom(
            smooth.astype(cell), transfer_syntax="1.2.840.10008.1.2.4.50", codestream=stream,
            BitsStored=8, HighBit=7,
        )
        for cell in (np.uint8, np.uint16)
    ]  # fmt: skip
    np.testing.assert_array_equal(read_dicom(files[1]).pixels, read_dicom(files[0]).pixels)


@pytest.mark.parametrize("n_zeros", [0, 2, 500])
@pytest.mark.parametrize("syntax", ["jpeg_ls", "jpeg_2000"])
def test_zeros_behind_the_codestream(syntax, n_zeros):
    pixels = film(12, False)
    encode = imagecodecs.jpegls_encode if syntax == "jpeg_ls" else imagecodecs.jpeg2k_encode
    options = {} if syntax == "jpeg_ls" else {"level": 0, "codecformat": "j2k"}
    stream = bytes(encode(pixels, **options)) + bytes(n_zeros)
    file = synthetic_dicom(
        pixels, transfer_syntax=BY_PYDICOM[syntax], codestream=stream, **facts(12)
    )
    np.testing.assert_array_equal(read_dicom(file).pixels, reference(12, False))


@pytest.mark.parametrize("build", ["imagecodecs", "pyjpegls"])
def test_charls_always_meets_a_marker(monkeypatch, build):
    module, name = (
        (imagecodecs, "jpegls_decode") if build == "imagecodecs" else (pyjpegls, "_decode_frame")
    )
    decode, streams = getattr(module, name), []
    monkeypatch.setattr(module, name, lambda src, *rest: streams.append(src) or decode(src, *rest))
    if build == "pyjpegls":
        monkeypatch.setattr(fast_codecs, "find_spec", lambda name: None)
    pixels = film(12, False)
    stream = bytes(imagecodecs.jpegls_encode(pixels)) + bytes(60)
    file = synthetic_dicom(
        pixels, transfer_syntax=BY_PYDICOM["jpeg_ls"], codestream=stream, **facts(12)
    )
    np.testing.assert_array_equal(read_dicom(file).pixels, reference(12, False))
    assert [one.endswith(b"\xff\xd9") for one in streams] == [True]


def test_one_frame_in_several_fragments():
    pixels = film(12, False)
    stream = bytes(imagecodecs.jpegls_encode(pixels))
    whole = synthetic_dicom(
        pixels, transfer_syntax=BY_PYDICOM["jpeg_ls"], codestream=stream, **facts(12)
    )
    at = whole.index(b"\xfe\xff\x00\xe0", whole.index(b"\xe0\x7f\x10\x00"))
    parts = encapsulate([stream], fragments_per_frame=5)
    file = whole[:at] + parts + b"\xfe\xff\xdd\xe0\0\0\0\0"
    np.testing.assert_array_equal(read_dicom(file).pixels, reference(12, False))


def test_without_fast_codecs_12_bit_jpeg_names_the_extra(monkeypatch):
    syntax = "1.2.840.10008.1.2.4.51"
    decoder = fast_codecs.get_decoder(syntax)
    fast_codecs.choose(decoder.UID)
    if "imagecodecs" in decoder.available_plugins:
        decoder.remove_plugin("imagecodecs")
    monkeypatch.setattr(fast_codecs, "find_spec", lambda name: None)
    monkeypatch.setattr(fast_codecs, "_registered", set())
    pixels = film(12, False)
    stream = bytes(imagecodecs.jpeg8_encode(pixels, bitspersample=12))
    file = synthetic_dicom(pixels, transfer_syntax=syntax, codestream=stream, **facts(12))
    try:
        with pytest.raises(UnreadableImage, match="fast-codecs") as caught:
            read_dicom(file)
    finally:
        monkeypatch.undo()
        fast_codecs._registered.discard(syntax)
    assert caught.value.reason == "codec_missing"


def test_no_gpl_decoder_is_a_dependency():
    from importlib.metadata import requires

    try:
        required = " ".join(requires("monai-cxr") or [])
    except ModuleNotFoundError:
        pytest.skip("monai-cxr is not installed as a distribution")
    assert "libjpeg" not in required
    assert "gpl" not in required.casefold()
