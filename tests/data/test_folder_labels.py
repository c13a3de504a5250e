"""Folder labels: every label given is used or named, whatever tables and folders look like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from monai_cxr.cli import app
from monai_cxr.data.folder import index_folder
from monai_cxr.data.folder_labels import with_labels
from monai_cxr.data.join import join_indexes
from monai_cxr.data.splits import split_by_patient
from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.label_policy import LabelPolicy
from monai_cxr.tables import (
    columns_left_out,
    looks_like_labels,
    normalise_index,
    read_table,
    write_table,
)


def png(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    number = len(list(path.parent.parent.rglob("*.png")))
    pixels = np.linspace(number, 255, 32 * 32).reshape(32, 32).astype(np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def wards(tmp_path) -> Path:
    """CheXpert's layout: every film of every patient is called view1_frontal.png."""
    for i in range(4):
        png(tmp_path / f"films/patient{i:05d}/study1/view1_frontal.png")
    return tmp_path / "films"


def wards_table(prefix: str = "") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Path": [f"{prefix}patient{i:05d}/study1/view1_frontal.png" for i in range(4)],
            "subject_id": [f"p{i}" for i in range(4)],
            "Effusion": [0, 1, 0, 1],
            "Fracture": [1, 0, 0, 0],
        }
    )


class TestNames:
    @pytest.mark.parametrize("prefix", ["", "CheXpert-v1.0-small/train/", "/data/x y/"])
    @pytest.mark.parametrize("suffix", [".png", ".jpg", ""])
    def test_same_file_name_in_folders(self, wards, tmp_path, prefix, suffix):
        table = wards_table(prefix)
        table["Path"] = table["Path"].str.replace(".png", suffix)
        table.iloc[::-1].to_csv(tmp_path / "labels.csv", index=False)
        index, summary = index_folder(wards, tmp_path / "labels.csv")
        assert summary.n_labels_without_film == 0
        by_patient = index.set_index("patient_id")
        assert by_patient["Effusion"].to_dict() == {"p0": 0, "p1": 1, "p2": 0, "p3": 1}
        for patient, path in by_patient["path"].items():
            assert f"patient0000{patient[1]}" in path
        assert index["sop_uid"].is_unique

    @given(
        st.lists(st.tuples(*[st.sampled_from("ab")] * 3).map("/".join), unique=True, min_size=1),
        st.sampled_from(["", "/data/", "x/y/z/"]),
        st.randoms(),
    )
    def test_the_longest_unique_tail_finds_the_film_and_no_other(self, names, prefix, random):
        films = pd.DataFrame({"relative_path": names, "sop_uid": names, "patient_id": "p"})
        labels = pd.DataFrame({"path": [prefix + name for name in names], "Mass": 0})
        labels["Mass"] = [float(i % 2) for i in range(len(names))]
        order = list(range(len(names)))
        random.shuffle(order)
        found, absent, _ = with_labels(films, labels.iloc[order])
        assert absent == 0
        assert found["Mass"].tolist() == labels["Mass"].tolist()

    def test_one_image_a_patient(self, wards):
        with pytest.raises(InvalidTable, match="have no patient_id"):
            index_folder(wards)
        index, summary = index_folder(wards, one_image_a_patient=True)
        assert summary.n_patients == len(index) == 4


class TestOwnLabels:
    def test_own_label_columns_lost(self, wards, tmp_path):
        """As the verbs do it: index folder, split and join keep the column."""
        wards_table().assign(ward="north", weight=71.5).to_csv(tmp_path / "l.csv", index=False)
        run = CliRunner().invoke
        folder = ["index", "folder", str(wards), "--labels", str(tmp_path / "l.csv")]
        done = run(app, [*folder, "--out", str(tmp_path / "i.parquet")])
        assert done.exit_code == 0, done.output
        assert "Labels of your own: Fracture" in done.output
        assert "left out: ward, weight" in done.output
        table = read_table(tmp_path / "i.parquet")
        assert table.sort_values("patient_id")["Fracture"].tolist() == [1, 0, 0, 0]
        split = ["split", str(tmp_path / "i.parquet"), "--out", str(tmp_path / "s.parquet")]
        assert run(app, split).exit_code == 0
        assert read_table(tmp_path / "s.parquet")["Fracture"].sum() == 1
        other = table.assign(path=table["path"] + "2").drop(columns="Fracture")
        joined = join_indexes({"a": table, "b": other})
        assert joined["Fracture"].notna().sum() == 4  # unknown, not absent, in the other

    def test_text_instead_of_labels_is_refused(self, wards, tmp_path):
        wards_table().assign(Effusion=["Y", "N", "Y", "N"]).to_csv(tmp_path / "l.csv", index=False)
        with pytest.raises(InvalidTable, match="Column 'Effusion' holds text"):
            index_folder(wards, tmp_path / "l.csv")
        index = normalise_index(wards_index())
        with pytest.raises(InvalidTable, match="Column 'Mass' holds text"):
            normalise_index(index.assign(Mass="yes"))

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ([0, 1], True), ([True, False], True), ([1.0, None], True), ([-1, 0], True),
            (["0", "1"], True), ([None, None], False), ([0, 2], False), (["a", "b"], False),
            ([0.5, 1.0], False),
        ],
    )  # fmt: skip
    def test_what_looks_like_labels(self, values, expected):
        assert looks_like_labels(pd.Series(values)) is expected

    def test_a_split_balances_them_too(self):
        table = wards_index(200)
        table["Fracture"] = [float(i % 10 == 0) for i in range(200)]
        counts = split_by_patient(normalise_index(table)).groupby("split")["Fracture"].sum()
        assert counts.to_dict() == {"test": 4, "train": 14, "val": 2}

    def test_columns_left_out(self):
        table = wards_index().assign(note="x", Fracture=[0, 1, 0, 1])
        assert columns_left_out(table) == ("note",)


def wards_index(n: int = 4) -> pd.DataFrame:
    names = [str(i) for i in range(n)]
    return pd.DataFrame({"path": names, "patient_id": names, "sop_uid": names, "split": ""})


class TestPolicy:
    """One rule, through every door that takes labels."""

    LABELS = (1.0, 0.0, -1.0, np.nan)

    @pytest.mark.parametrize("uncertain", ["unknown", "absent", "present", "zeros", "ignore"])
    @pytest.mark.parametrize("blank", ["unknown", "absent"])
    def test_index_folder_and_join_and_evaluate_agree(self, wards, tmp_path, uncertain, blank):
        table = wards_table().assign(Effusion=self.LABELS)
        table.to_csv(tmp_path / "l.csv", index=False)
        policy = LabelPolicy(uncertain, blank)
        index, _ = index_folder(wards, tmp_path / "l.csv", policy=policy)
        expected = policy.apply(np.array(self.LABELS))
        np.testing.assert_array_equal(index["Effusion"], expected)
        raw = wards_index().assign(Effusion=self.LABELS)
        other = raw.assign(path=raw["path"] + "x")
        joined = join_indexes({"a": raw, "b": other}, policy=policy)
        np.testing.assert_array_equal(joined["Effusion"], [*expected, *expected])
        write_table(index, tmp_path / "i.parquet")
        stored = read_table(tmp_path / "i.parquet").attrs["label_policy"]
        assert stored == policy.to_json()  # and stays with what is made of it
        assert normalise_index(read_table(tmp_path / "i.parquet")).attrs["label_policy"] == stored

    def test_uncertain_labels_are_refused_until_it_is_said(self, wards, tmp_path):
        wards_table().assign(Effusion=self.LABELS).to_csv(tmp_path / "l.csv", index=False)
        with pytest.raises(InvalidTable, match="by a named policy"):
            index_folder(wards, tmp_path / "l.csv")

    @pytest.mark.parametrize("policy", [("maybe", "unknown"), ("unknown", "present")])
    def test_unknown_policies(self, policy):
        with pytest.raises(SettingsError, match=r"but got '(maybe|present)'"):
            LabelPolicy(*policy)
