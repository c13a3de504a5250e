"""A folder of ChestX-ray14: what is there, what is missing, what is damaged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from monai_cxr.data.sets import chestxray14, nih_folder
from monai_cxr.errors import InvalidTable, SettingsError, UnreadableImage
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.phantom import PhantomSettings, write_nih_archive


class TestArchives:
    def test_a_missing_archive_is_named(self):
        names = chestxray14.read_labels()["sop_uid"]
        here = [name for name in names if not "00011558_008" <= name[:12] <= "00013774_025"]
        parts = nih_folder.count_archives(names, here[1:])
        states = {part.archive: part.state for part in parts}
        assert states.pop("images_006") == "missing"
        assert states.pop("images_001") == "incomplete"
        assert set(states.values()) == {"complete"}
        assert len(states) == 10
        assert sum(part.n_expected for part in parts) == len(names)

    def test_are_unknown_of_other_tables(self):
        assert nih_folder.count_archives(pd.Series(["a.png"]), ["a.png"]) == ()


def truncate(path):
    path.write_bytes(path.read_bytes()[:-20])


class TestIndex:
    def _image(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)

    def test_counts_what_is_wrong(self, tmp_path):
        self._image(tmp_path / "images_001" / "images" / "00000001_000.png")
        self._image(tmp_path / "images_002" / "images" / "00000001_000.png")
        self._image(tmp_path / "images_002" / "images" / "holiday.png")
        (tmp_path / "00000002_000.png").write_bytes(b"")
        self._image(tmp_path / "00000003_000.png")
        truncate(tmp_path / "00000003_000.png")
        index, summary = nih_folder.index_nih(tmp_path)
        assert index["sop_uid"].tolist() == ["00000001_000.png"]
        assert (summary.n_images, summary.n_duplicates) == (1, 1)
        assert (summary.n_unlisted, summary.n_unreadable) == (1, 2)
        assert (summary.n_listed, summary.n_missing) == (112_120, 112_117)
        reasons = {"00000002_000.png": "empty_file", "00000003_000.png": "truncated"}
        assert dict(summary.unreadable) == reasons
        assert summary.archives[0].n_found == 3
        assert summary.missing_archives == tuple(f"images_{i:03d}" for i in range(2, 13))
        assert summary.label_version == "v2020"

    def test_stops_where_that_is_asked_for(self, tmp_path):
        for i in (1, 2):
            self._image(tmp_path / f"0000000{i}_000.png")
        truncate(tmp_path / "00000002_000.png")
        with pytest.raises(UnreadableImage, match=r"1 of 2 images.*'00000002_000.png'") as caught:
            nih_folder.index_nih(tmp_path, on_unreadable="stop")
        assert caught.value.reason == "truncated"
        with pytest.raises(SettingsError, match="skip or stop"):
            nih_folder.index_nih(tmp_path, on_unreadable="pass")

    def test_pixels_are_decoded_on_request(self, tmp_path):
        for i in (1, 2):
            self._image(tmp_path / f"0000000{i}_000.png")
        bad = tmp_path / "00000002_000.png"
        bad.write_bytes(bad.read_bytes().replace(b"IDAT", b"IDAX"))
        assert nih_folder.index_nih(tmp_path)[1].n_unreadable == 0
        _, summary = nih_folder.index_nih(tmp_path, check_pixels=True)
        assert dict(summary.unreadable) == {"00000002_000.png": "damaged_pixels"}

    def test_boxes_and_lists_that_lie_beside(self, tmp_path):
        images = tmp_path / "images"
        self._image(images / "00000001_000.png")
        (tmp_path / "train_val_list.txt").write_text("00000001_000.png\n00000009_000.png\n")
        header = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
        (tmp_path / "BBox_List_2017.csv").write_text(
            f"{header}00000001_000.png,Infiltrate,1,2,3,4\n00000009_000.png,Mass,1,2,3,4\n"
        )
        _, summary = nih_folder.index_nih(images)
        assert summary.n_boxes == 1
        assert summary.lists == {"train_val": 1}

    def test_empty_and_missing_folders(self, tmp_path):
        with pytest.raises(InvalidTable, match=r"holds no PNG file. Unpack"):
            nih_folder.index_nih(tmp_path)
        (tmp_path / "other.png").write_bytes(b"")
        with pytest.raises(InvalidTable, match="None of the 1 PNG files here is listed"):
            nih_folder.index_nih(tmp_path)
        with pytest.raises(InvalidTable, match="not a folder"):
            nih_folder.index_nih(tmp_path / "none")

    def test_a_phantom_archive_in_nih_s_layout(self, tmp_path):
        settings = PhantomSettings(n_patients=4, size=64, seed=2)
        write_nih_archive(tmp_path, settings, workers=1)
        index, summary = nih_folder.index_nih(tmp_path, tmp_path / "Data_Entry_2017_v2020.csv")
        assert summary.n_patients == 4
        assert summary.n_missing == summary.n_unlisted == 0
        assert set(index["view"]) <= {"PA", "AP"}
        assert not index[list(FINDING_NAMES)].isna().any().any()
