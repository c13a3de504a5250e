"""Tests of the archive in NIH's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from monai_cxr.errors import SettingsError
from monai_cxr.phantom import PhantomSettings, render_film, write_nih_archive

SETTINGS = PhantomSettings(n_patients=10, seed=37, size=64, prevalence={"Infiltration": 0.6})


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("nih")
    write_nih_archive(directory, SETTINGS, workers=1)
    return directory


class TestTables:
    def test_headers_are_those_of_nih(self, archive: Path) -> None:
        # As in the tables that torchxrayvision carries.
        entries = (archive / "Data_Entry_2017_v2020.csv").read_text().splitlines()[0]
        assert entries == (
            "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
            "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
        )
        boxes = (archive / "BBox_List_2017.csv").read_text().splitlines()[0]
        assert boxes == "Image Index,Finding Label,Bbox [x,y,w,h],,,"

    def test_entries_describe_the_images(self, archive: Path) -> None:
        entries = pd.read_csv(archive / "Data_Entry_2017_v2020.csv")
        images = archive / "images_001" / "images"
        assert sorted(entries["Image Index"]) == sorted(path.name for path in images.iterdir())
        for _, row in entries.iterrows():
            patient, follow_up = int(row["Patient ID"]) - 1, int(row["Follow-up #"])
            assert row["Image Index"] == f"{patient + 1:08d}_{follow_up:03d}.png"
            film = render_film(SETTINGS, patient=patient, follow_up=follow_up)
            with Image.open(images / row["Image Index"]) as image:
                assert image.mode == "L"
                assert image.size == (row["OriginalImage[Width"], row["Height]"])
                grey = np.asarray(image, dtype=np.float32) / 255.0
            np.testing.assert_allclose(grey, film.pixels, atol=0.5 / 255 + 1e-6)
            names = set(film.present)
            assert set(row["Finding Labels"].split("|")) == (names or {"No Finding"})

    def test_boxes_use_nih_own_name_for_infiltration(self, archive: Path) -> None:
        boxes = pd.read_csv(archive / "BBox_List_2017.csv")
        assert "Infiltrate" in set(boxes["Finding Label"])
        assert "Infiltration" not in set(boxes["Finding Label"])
        row = boxes[boxes["Finding Label"] == "Infiltrate"].iloc[0]
        patient, follow_up = (int(part) for part in row["Image Index"][:-4].split("_"))
        film = render_film(SETTINGS, patient=patient - 1, follow_up=follow_up)
        assert tuple(float(value) for value in row.iloc[2:6]) == film.boxes["Infiltration"]


class TestSplit:
    def test_lists_part_the_patients(self, archive: Path) -> None:
        train = (archive / "train_val_list.txt").read_text().split()
        test = (archive / "test_list.txt").read_text().split()
        entries = pd.read_csv(archive / "Data_Entry_2017_v2020.csv")
        assert sorted(train + test) == sorted(entries["Image Index"])
        assert not {name[:8] for name in train} & {name[:8] for name in test}
        assert len({name[:8] for name in test}) == 2

    def test_a_share_beyond_one_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="test_share"):
            write_nih_archive(tmp_path, SETTINGS, test_share=1.5)
