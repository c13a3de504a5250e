"""ChestX-ray14: the official tables and their versions."""

from __future__ import annotations

import pandas as pd
import pytest

from monai_cxr.data.sets import chestxray14
from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.findings import FINDING_NAMES


class TestOfficialTables:
    def test_labels_have_the_published_counts(self):
        labels = chestxray14.read_labels()
        assert len(labels) == 112_120
        assert labels["patient_id"].nunique() == 30_805
        counts = {name: int(labels[name].sum()) for name in FINDING_NAMES}
        # Data_Entry_2017_v2020.csv, counted by splitting its Finding Labels column at '|'.
        table = pd.read_csv(chestxray14.wheel_table("v2020"))
        witness = table["Finding Labels"].str.split("|").explode().value_counts()
        assert counts == {name: int(witness[name]) for name in FINDING_NAMES}
        assert counts["Hernia"] == 227

    def test_ages_are_years(self):
        labels = chestxray14.read_labels()
        assert labels["age"].between(0, 100).mean() > 0.999

    def test_v2017_ages(self, tmp_path):
        table = pd.DataFrame(
            {
                "Image Index": ["a.png", "b.png", "c.png"],
                "Finding Labels": ["Mass|Nodule", "No Finding", "Hernia"],
                "Patient ID": [1, 2, 3],
                "Patient Age": ["058Y", "006M", "073D"],
            }
        )
        table.to_csv(tmp_path / "entry.csv", index=False)
        labels = chestxray14.read_labels(tmp_path / "entry.csv")
        assert labels["age"].tolist() == pytest.approx([58, 0.5, 73 / 365.25])
        assert labels["Mass"].tolist() == [1, 0, 0]
        assert labels["patient_id"].tolist() == ["00000001", "00000002", "00000003"]

    def test_boxes(self):
        boxes = chestxray14.read_boxes()
        assert len(boxes) == 984
        assert set(boxes["finding"]) <= set(FINDING_NAMES)
        assert "Infiltration" in set(boxes["finding"])  # the file says Infiltrate
        assert (boxes[["width", "height"]] > 0).all().all()

    def test_adjudicated_labels(self):
        labels = chestxray14.read_adjudicated()
        assert len(labels) == 4376
        assert labels["Pneumothorax"].isin([0, 1]).all()
        assert labels["Mass"].isna().all()

    def test_unknown_finding_is_named(self, tmp_path):
        text = "Image Index,Finding Labels,Patient ID\na.png,Gout,1\n"
        (tmp_path / "entry.csv").write_text(text, encoding="utf-8")
        with pytest.raises(InvalidTable, match="Gout"):
            chestxray14.read_labels(tmp_path / "entry.csv")

    def test_not_a_data_entry_table(self, tmp_path):
        (tmp_path / "entry.csv").write_text("a,b\n1,2\n", encoding="utf-8")
        with pytest.raises(InvalidTable, match="NIH metadata lacks"):
            chestxray14.read_labels(tmp_path / "entry.csv")

    def test_unknown_table(self):
        with pytest.raises(SettingsError, match="v2020"):
            chestxray14.wheel_table("v2030")


class TestLabelVersion:
    def _changed(self, n, age):
        table = pd.read_csv(chestxray14.wheel_table("v2020")).head(200)
        table.loc[: n - 1, "Finding Labels"] = "Hernia"
        table["Patient Age"] = table["Patient Age"].map(age)
        return table

    @pytest.mark.parametrize(
        ("n", "age", "expected"),
        [(0, str, "v2020"), (3, "{:03d}Y".format, "v2017"), (3, str, "other")],
    )
    def test_is_told_by_labels_and_ages(self, tmp_path, n, age, expected):
        self._changed(n, age).to_csv(tmp_path / "entry.csv", index=False)
        labels = chestxray14.read_labels(tmp_path / "entry.csv")
        assert chestxray14.label_version(labels) == (expected, n)

    def test_the_full_table_of_2017_by_its_pneumonia(self):
        labels = chestxray14.read_labels()
        sick = labels.index[labels["Pneumonia"] == 1]
        labels.loc[sick[: 1_431 - 1_353], "Pneumonia"] = 0.0
        assert chestxray14.label_version(labels) == ("v2017", 1_431 - 1_353)

    def test_of_another_data_set(self):
        labels = chestxray14.read_labels().head(2).assign(sop_uid=["a.png", "b.png"])
        assert chestxray14.label_version(labels) == ("other", 2)


def test_missing_label_is_negative(tmp_path):
    """An empty "Finding Labels" cell says nothing; only "No Finding" says that there is none."""
    text = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Sex,View Position\n"
        "00000001_000.png,Mass|Effusion,0,1.0,58,M,PA\n"
        "00000001_001.png,,1,1.0,411,M,PA\n"
        "00000002_000.png,No Finding,0,2.0,81,F,PA\n"
    )
    (tmp_path / "e.csv").write_text(text, encoding="utf-8")
    table = chestxray14.read_labels(tmp_path / "e.csv").set_index("sop_uid")
    labels = table[list(FINDING_NAMES)]
    assert labels.loc["00000001_001.png"].isna().all()
    assert (labels.loc["00000002_000.png"] == 0).all()
    assert labels.loc["00000001_000.png"].sum() == 2
    assert table["patient_id"].tolist() == ["00000001", "00000001", "00000002"]
    assert table["age"].isna().tolist() == [False, True, False]
