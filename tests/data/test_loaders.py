"""Loaders: the rows of a split as data dictionaries, in an order that can be repeated."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from monai.transforms import Compose, LoadImaged
from PIL import Image

from monai_cxr.data.loaders import film_dataset, index_items, label_array
from monai_cxr.data.transforms import PrepareRadiographd
from monai_cxr.errors import InputError, InvalidTable, UnreadableImage
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.reading.files import read_radiograph
from monai_cxr.tables import write_table

pytestmark = pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")


@pytest.fixture
def index(tmp_path):
    table = pd.DataFrame(
        {
            "path": ["a.png", "b.png", "c.png", "d.png"],
            "patient_id": ["1", "1", "2", "3"],
            "sop_uid": ["a", "b", "c", "d"],
            "split": ["train", "train", "val", ""],
            "Effusion": [1.0, 0.0, np.nan, 1.0],
            "Mass": [0.0, np.nan, 1.0, 1.0],
        }
    )
    path = tmp_path / "index.parquet"
    write_table(table, path)
    return path


class TestIndexItems:
    def test_rows_of_a_split_in_order(self, index):
        items = index_items(index, "train", ("Mass", "Effusion"))
        assert [item["image"] for item in items] == ["a.png", "b.png"]
        assert [item["sop_uid"] for item in items] == ["a", "b"]
        assert items[0]["label"].tolist() == [0.0, 1.0]
        assert items[0]["label"].dtype == torch.float32

    def test_an_unknown_label_stays_unknown(self, index):
        labels = label_array(index_items(index, "train", ("Mass", "Effusion")))
        assert labels.isnan().tolist() == [[False, False], [True, False]]

    def test_absent_findings_are_unknown(self, index):
        labels = label_array(index_items(index, "val"))
        assert labels.shape == (1, len(FINDING_NAMES))
        assert int(labels.isnan().sum()) == len(FINDING_NAMES) - 1

    def test_no_split_means_all_rows(self, index):
        assert len(index_items(index, None)) == 4
        assert len(index_items(str(index), None, limit=3)) == 3

    def test_an_absent_split_is_named_with_those_present(self, index):
        with pytest.raises(InvalidTable, match=r"no row of split 'test'.*'train', 'val'") as caught:
            index_items(index, "test")
        assert caught.value.reason == "no_split"

    def test_a_split_that_leaks_is_refused(self, index, tmp_path):
        table = pd.read_parquet(index)
        table.loc[1, "split"] = "val"
        write_table(table, tmp_path / "leaks.csv")
        with pytest.raises(InvalidTable, match=r"1 of \d patients") as caught:
            index_items(tmp_path / "leaks.csv", "train")
        assert caught.value.reason == "split_leaks"


class TestRefusedFilms:
    """What our reader refuses is not trained on, whichever way the films come."""

    @pytest.fixture
    def index(self, phantom_index, tmp_path):
        """Twelve training films, the first three of which only MONAI's readers would read."""
        gray = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
        picture = Image.fromarray(gray)
        picture.save(tmp_path / "two_pages.tif", save_all=True, append_images=[picture])
        rainbow = picture.convert("P")
        rainbow.putpalette([value for i in range(256) for value in (255 - i, i * 7 % 256, i)])
        rainbow.save(tmp_path / "palette.png")
        turned = [picture.rotate(angle) for angle in (0, 90, 180)]
        Image.merge("RGB", turned).save(tmp_path / "color.png")
        table = phantom_index.rows("train").head(12)
        for row, name in enumerate(("two_pages.tif", "palette.png", "color.png")):
            with pytest.raises(InputError):
                read_radiograph(tmp_path / name)
            table.loc[row, "path"] = str(tmp_path / name)
        write_table(table, tmp_path / "index.parquet")
        return tmp_path / "index.parquet"

    @pytest.mark.parametrize(
        "how", [{}, {"cache_rate": 0.0}, {"cache_rate": 0.5}, {"cache_dir": "cache"}]
    )
    def test_refused_film_scored_or_trained_on(self, index, tmp_path, capfd, how):
        load = LoadImaged("image", "monai_cxr.data.reader.RadiographReader", image_only=True)
        steps = Compose([load, PrepareRadiographd("image", 32)])
        how = {name: tmp_path / v if name == "cache_dir" else v for name, v in how.items()}
        items = index_items(index, "train")
        dataset = film_dataset(items, steps, index=index, progress=False, **how)
        kept = [dataset[i]["sop_uid"] for i in range(len(dataset))]
        assert kept == [item["sop_uid"] for item in items[3:]]
        assert "3 of 12 films cannot be read" in capfd.readouterr().err
        with pytest.raises(UnreadableImage, match="on_unreadable=skip"):
            film_dataset(items, steps, index=index, progress=False, on_unreadable="stop", **how)
