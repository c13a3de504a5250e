import numpy as np
import pytest
from monai.transforms import Compose, EnsureChannelFirstd, LoadImage, LoadImaged
from PIL import Image

from monai_cxr.data.reader import RadiographReader
from monai_cxr.errors import SettingsError, UnsupportedImage
from monai_cxr.phantom.synthetic import synthetic_dicom
from monai_cxr.reading.files import read_radiograph

STORED = np.linspace(0, 4095, 40 * 30).reshape(40, 30).astype(np.uint16)
SECRET = {"PatientID": "SECRET", "PatientName": "DOE^JANE", "ImagerPixelSpacing": [0.1, 0.2]}

# MONAI constructs its own readers too, and one of them warns that its codec is absent.
pytestmark = pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")


@pytest.fixture
def paths(tmp_path):
    dicom = tmp_path / "film"
    dicom.write_bytes(
        synthetic_dicom(
            STORED, PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11, **SECRET
        )
    )
    png = tmp_path / "film.png"
    Image.fromarray((STORED // 16).astype(np.uint8)).save(png)
    return dicom, png


@pytest.mark.parametrize("reader", [RadiographReader, "monai_cxr.data.reader.RadiographReader"])
def test_load_imaged_gives_the_pixels_of_read_radiograph(paths, reader):
    load = Compose([LoadImaged(keys="image", reader=reader), EnsureChannelFirstd(keys="image")])
    for path in paths:
        image = load({"image": str(path)})["image"]
        assert image.shape == (1, 40, 30)
        np.testing.assert_array_equal(image[0].numpy(), read_radiograph(path).pixels)


def test_metadata_hold_no_identity(paths):
    reader = RadiographReader()
    _, metadata = reader.get_data(reader.read(paths[0]))
    assert "SECRET" not in str(metadata)
    assert "JANE" not in str(metadata)
    np.testing.assert_array_equal(np.diag(metadata["affine"]), [0.1, 0.2, 1.0, 1.0])


def test_several_films_become_channels(paths):
    image = LoadImage(reader=RadiographReader, image_only=True)([paths[0], paths[0]])
    assert image.shape == (2, 40, 30)


def test_policy_by_name(paths):
    plain = RadiographReader("none")
    pixels, _ = plain.get_data(plain.read(paths[0]))
    np.testing.assert_allclose(pixels, 1 - STORED / 4095.0, atol=1e-6)
    with pytest.raises(SettingsError, match="percentile"):
        RadiographReader("best")


def test_scope_on_request(paths):
    reader = RadiographReader(check_scope=True)
    with pytest.raises(UnsupportedImage):
        reader.get_data(reader.read(paths[0]))
