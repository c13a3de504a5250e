"""Loaders: the rows of a split as data dictionaries, in an order that can be repeated."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from monai_cxr.data.loaders import index_items, label_array
from monai_cxr.errors import InvalidTable
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.tables import write_table


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
