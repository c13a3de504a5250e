import gzip
import io
import itertools
import zlib

import nibabel
import numpy as np
import pytest
from PIL import Image, ImageOps

from monai_cxr.errors import InputError, UnreadableImage, UnsupportedImage
from monai_cxr.phantom.synthetic import synthetic_dicom
from monai_cxr.radiograph import ViewPosition
from monai_cxr.reading.files import read_for_model, read_radiograph

GRAY = np.arange(240, dtype=np.uint8).reshape(12, 20)
DEEP = (GRAY.astype(np.uint16) * 257).astype(np.uint16)


def saved(pixels, kind, mode=None, **options):
    image = Image.fromarray(pixels)
    stream = io.BytesIO()
    (image.convert(mode) if mode else image).save(stream, format=kind, **options)
    return stream.getvalue()


class TestPictures:
    @pytest.mark.parametrize("mode", [None, "RGB", "RGBA", "LA", "P"])
    def test_png_in_every_mode_is_the_same_film(self, mode):
        film = read_radiograph(saved(GRAY, "PNG", mode))
        np.testing.assert_allclose(film.pixels, GRAY / 255.0, atol=1e-7)
        assert film.source_format == "image"

    def test_the_maximum_is_nominal(self):
        assert read_radiograph(saved(GRAY // 4, "PNG")).pixels.max() == np.float32(59 / 255)

    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_16_bits(self, kind):
        film = read_radiograph(saved(DEEP, kind))
        np.testing.assert_allclose(film.pixels, DEEP / 65535.0, atol=1e-7)

    @pytest.mark.parametrize("bits", [8, 10, 12, 14])
    def test_a_deep_cell_that_is_not_full(self, bits):
        values = (GRAY.astype(np.int64) * (2**bits - 1) // 239).astype(np.uint16)
        for kind in ("PNG", "TIFF"):
            film = read_radiograph(saved(values, kind))
            np.testing.assert_allclose(film.pixels, values / (2**bits - 1), atol=1e-7)
            assert film.flags == ("depth_assumed",)

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
    def test_exif_orientation_is_followed(self, kind, orientation):
        """Pillow's own transposition is the witness."""
        exif = Image.Exif()
        exif[0x0112] = orientation
        file = saved(GRAY, kind, exif=exif)
        expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(file)))) / 255.0
        film = read_radiograph(file)
        np.testing.assert_allclose(film.pixels, expected, atol=1e-6)
        assert (film.flags != ()) == (orientation > 1 and kind != "TIFF")

    def test_big_tiff(self):
        film = read_radiograph(saved(GRAY, "TIFF", big_tiff=True))
        np.testing.assert_allclose(film.pixels, GRAY / 255.0, atol=1e-7)

    @pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
    def test_cmyk(self, kind):
        image = Image.fromarray(GRAY).convert("RGB").convert("CMYK")
        stream = io.BytesIO()
        image.save(stream, format=kind)
        film = read_radiograph(stream.getvalue())
        np.testing.assert_allclose(film.pixels, GRAY / 255.0, atol=0.02)

    def test_one_bit_and_floating_point(self):
        bits = read_radiograph(saved((GRAY > 99), "PNG"))
        np.testing.assert_array_equal(bits.pixels, GRAY > 99)
        unit = read_radiograph(saved((GRAY / 255.0).astype(np.float32), "TIFF"))
        np.testing.assert_allclose(unit.pixels, GRAY / 255.0, atol=1e-7)

    def test_white_is_zero(self):
        """Pillow inverts 8-bit pictures when it writes and reads them, 16-bit ones never."""
        eight = read_radiograph(saved(GRAY, "TIFF", tiffinfo={262: 0}))
        sixteen = read_radiograph(saved(DEEP, "TIFF", tiffinfo={262: 0}))
        np.testing.assert_allclose(eight.pixels, GRAY / 255.0, atol=1e-6)
        np.testing.assert_allclose(sixteen.pixels, 1 - DEEP / 65535.0, atol=1e-6)

    def test_jpeg(self):
        film = read_radiograph(saved(GRAY, "JPEG", quality=100))
        np.testing.assert_allclose(film.pixels, GRAY / 255.0, atol=0.02)

    def test_a_colour_photograph(self):
        photograph = np.stack([GRAY, GRAY[::-1], GRAY], axis=2)
        with pytest.raises(UnsupportedImage) as caught:
            read_radiograph(saved(photograph, "PNG"))
        assert caught.value.reason == "color"

    def test_several_pages(self):
        pages = Image.fromarray(GRAY)
        stream = io.BytesIO()
        pages.save(stream, format="TIFF", save_all=True, append_images=[pages])
        with pytest.raises(UnsupportedImage) as caught:
            read_radiograph(stream.getvalue())
        assert caught.value.reason == "multi_frame"

    def test_a_huge_picture_is_refused_before_it_is_decoded(self):
        png = bytearray(saved(GRAY, "PNG"))
        png[16:24] = (20000).to_bytes(4, "big") * 2
        png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
        with pytest.raises(UnreadableImage) as caught:
            read_radiograph(bytes(png))
        assert caught.value.reason == "too_large"

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
    def test_truncated(self, kind):
        data = saved(DEEP if kind == "TIFF" else GRAY, kind)
        with pytest.raises(InputError):
            read_radiograph(data[: len(data) * 2 // 3])


class TestNifti:
    def film(self, axes, values=GRAY, codes=True):
        affine = np.eye(4)
        affine[:3, :3] = np.asarray(axes, dtype=float)
        image = nibabel.Nifti1Image(values, affine)
        return read_radiograph(image.to_bytes())

    def test_as_itk_and_simpleitk_write_a_film(self):
        """i to the patient's left, j to the feet: in RAS+ both axes are negative."""
        film = self.film([[-0.2, 0, 0], [0, -0.2, 0], [0, 0, 1]], GRAY.T[:, :, None])
        np.testing.assert_allclose(film.pixels, GRAY / 255.0, atol=1e-7)
        assert film.flags == ()

    def test_a_coronal_plane(self):
        """i to the patient's right, j to the head: the film reads turned by 180 degrees."""
        film = self.film([[1, 0, 0], [0, 0, 1], [0, 1, 0]], GRAY.T[::-1, ::-1])
        np.testing.assert_allclose(film.pixels, GRAY / 255.0, atol=1e-7)

    def test_rows_first(self):
        film = self.film([[0, -1, 0], [-1, 0, 0], [0, 0, 1]], GRAY)
        np.testing.assert_allclose(film.pixels, GRAY / 255.0, atol=1e-7)

    def test_an_identity_affine_states_nothing(self):
        film = self.film(np.eye(3), GRAY.T)
        np.testing.assert_allclose(film.pixels, GRAY / 255.0, atol=1e-7)
        assert film.flags == ("orientation_assumed",)

    @pytest.mark.parametrize("names", ["xz", "zx", "xy", "yx"])
    @pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=2)))
    def test_every_orientation_of_a_frontal_plane(self, names, signs):
        """The canonical film: columns to the patient's left (-x), rows to the feet."""
        values = GRAY.T if names[0] == "x" else GRAY
        axes = np.zeros((3, 3))
        for axis, (name, sign) in enumerate(zip(names, signs, strict=True)):
            axes["xyz".index(name), axis] = 0.2 * sign
            values = np.flip(values, axis) if sign > 0 else values
        axes["xyz".index(next(iter(set("xyz") - set(names)))), 2] = 1.0
        film = self.film(axes, np.ascontiguousarray(values))
        np.testing.assert_allclose(film.pixels, GRAY / 255.0, atol=1e-7)
        assert film.flags == ()

    def test_a_coronal_slice_of_a_volume(self):
        film = self.film(np.eye(3), GRAY.T[::-1, ::-1][:, None, :])
        np.testing.assert_allclose(film.pixels, GRAY / 255.0, atol=1e-7)
        assert (film.flags, film.view) == ((), ViewPosition.UNKNOWN)

    def test_a_sagittal_slice_is_lateral(self):
        film = self.film(np.eye(3), GRAY[None])
        assert film.view is ViewPosition.LATERAL

    @pytest.mark.parametrize("place", [slice(280, 328), slice(252, 256)])
    def test_a_header_that_states_nothing(self, place):
        file = bytearray(nibabel.Nifti1Image(GRAY.T, np.diag([-1.0, 1, 1, 1])).to_bytes())
        file[place] = bytes(len(file[place]))
        file[252:254] = bytes(2)  # qform code
        film = read_radiograph(bytes(file))
        np.testing.assert_allclose(film.pixels, GRAY / 255.0, atol=1e-7)
        assert film.flags == ("orientation_assumed",)

    @pytest.mark.parametrize("kind", [np.int16, np.uint16, np.int32, np.float32])
    def test_twelve_bits_in_any_container(self, kind):
        values = (GRAY.astype(np.int32) * 4095 // 239).astype(kind)
        film = self.film(np.diag([-1, -1, 1]), values.T)
        np.testing.assert_allclose(film.pixels, values / 4095.0, atol=1e-6)
        assert film.flags == ("depth_assumed",)

    def test_scaled_integers_and_colours(self):
        file = bytearray(nibabel.Nifti1Image(GRAY.T, np.diag([-1.0, -1, 1, 1])).to_bytes())
        file[112:116] = np.float32(1 / 255).tobytes()
        scaled = read_radiograph(bytes(file))
        np.testing.assert_allclose(scaled.pixels, GRAY / 255.0, atol=1e-6)
        colours = np.zeros(GRAY.T.shape, dtype=[(channel, "u1") for channel in "RGB"])
        for channel in "RGB":
            colours[channel] = GRAY.T
        film = self.film(np.diag([-1, -1, 1]), colours)
        np.testing.assert_allclose(film.pixels, GRAY / 255.0, atol=1e-7)

    @pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
    @pytest.mark.parametrize("length", [8, 100, 347, 350, 400, 539, 541, 580])
    def test_truncated(self, kind, length):
        file = kind(GRAY.T, np.diag([-1.0, -1, 1, 1])).to_bytes()
        with pytest.raises(InputError):
            read_radiograph(file[:length])

    def test_gzip_and_floating_point(self):
        image = nibabel.Nifti1Image((GRAY / 255.0).astype(np.float32).T, np.diag([-1, -1, 1, 1]))
        film = read_radiograph(gzip.compress(image.to_bytes()))
        np.testing.assert_allclose(film.pixels, GRAY / 255.0, atol=1e-7)

    @pytest.mark.parametrize(
        ("values", "reason"),
        [
            (np.zeros((4, 4, 4), dtype=np.uint8), "not_a_film"),
            (np.zeros((4, 4, 1, 3), dtype=np.uint8), "not_a_film"),
            (np.full((4, 4), 7.5, dtype=np.float32), "bad_range"),
            (np.full((4, 4), np.nan, dtype=np.float32), "bad_range"),
            (np.full((4, 4), np.inf, dtype=np.float64), "bad_range"),
            (np.full((4, 4), -7, dtype=np.int16), "bad_range"),
            (np.full((4, 4), 65536, dtype=np.int32), "bit_depth"),
            (np.zeros((4, 4), dtype=np.complex64), "bit_depth"),
        ],
    )
    def test_refusals(self, values, reason):
        with pytest.raises(UnsupportedImage) as caught:
            self.film(np.diag([-1, -1, 1]), values)
        assert caught.value.reason == reason

    def test_a_gzip_bomb(self):
        bomb = gzip.compress(b"\0" * (300 * 2**20), compresslevel=1)
        with pytest.raises(UnreadableImage) as caught:
            read_radiograph(bomb)
        assert caught.value.reason == "too_large"


class TestBareDataSets:
    """Old archives hold data sets without preamble and meta information."""

    @staticmethod
    def bare(syntax):
        file = synthetic_dicom(DEEP, transfer_syntax=syntax)
        return file[file.index(b"\x08\0\x16\0", 132) :]

    @pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
    @pytest.mark.parametrize("start", [b"", b"\0" * 128 + b"DICM"])
    def test_the_first_element_tells_the_syntax(self, syntax, start):
        film = read_radiograph(start + self.bare(syntax))
        np.testing.assert_array_equal(film.pixels, read_radiograph(synthetic_dicom(DEEP)).pixels)
        assert film.flags[0] == "transfer_syntax_assumed"

    def test_meta_information_without_a_preamble(self):
        film = read_radiograph(synthetic_dicom(DEEP)[132:])
        assert film.flags == ("no_window",)

    def test_compressed_pixels_need_it(self):
        with pytest.raises(UnreadableImage) as caught:
            read_radiograph(self.bare("1.2.840.10008.1.2.5"))
        assert caught.value.reason == "no_transfer_syntax"


class TestSources:
    def test_path_text_bytes_and_stream_are_equal(self, tmp_path):
        path = tmp_path / "without_a_suffix"
        path.write_bytes(synthetic_dicom(DEEP))
        expected = read_radiograph(path).pixels
        with path.open("rb") as stream:
            for source in (str(path), path.read_bytes(), stream):
                np.testing.assert_array_equal(read_radiograph(source).pixels, expected)

    def test_the_name_of_a_picture_is_its_key(self, tmp_path):
        path = tmp_path / "00000002_000.png"
        path.write_bytes(saved(GRAY, "PNG"))
        key = read_radiograph(path).key
        assert (key.sop_uid, key.patient_id) == ("00000002_000.png", "")

    @pytest.mark.parametrize("read", [read_radiograph, read_for_model])
    def test_what_is_no_image(self, tmp_path, read):
        text = tmp_path / "Jane_Doe.dcm"
        text.write_text("a report " * 50)
        empty = tmp_path / "Jane_Doe_empty.dcm"
        empty.touch()
        cases = {
            tmp_path / "Jane_Doe_absent.dcm": "missing_file",
            tmp_path: "not_a_file",
            empty: "empty_file",
            text: "not_an_image",
        }
        for path, reason in cases.items():
            with pytest.raises(UnreadableImage) as caught:
                read(path)
            assert caught.value.reason == reason
            assert "Doe" not in str(caught.value)
            assert str(tmp_path) not in str(caught.value)

    def test_an_impossible_path(self):
        with pytest.raises(UnreadableImage):
            read_radiograph("nul\0byte")

    def test_too_large(self, tmp_path):
        path = tmp_path / "sparse"
        with path.open("wb") as stream:
            stream.truncate(2**30)
        with pytest.raises(UnreadableImage) as caught:
            read_radiograph(path)
        assert caught.value.reason == "too_large"
