"""Splits: by patient, in proportion, official; leakage refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_cxr.data.splits import assert_no_leakage, split_by_patient, split_official
from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.tables import normalise_index


def _index(patients, seed=0, prevalence=0.2):
    rng = np.random.default_rng(seed)
    n = len(patients)
    table = pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(n)],
            "patient_id": [str(patient) for patient in patients],
            "sop_uid": [f"{i}.png" for i in range(n)],
        }
    )
    for name in FINDING_NAMES:
        table[name] = (rng.random(n) < prevalence).astype(float)
    return normalise_index(table)


class TestByPatient:
    @settings(max_examples=25, deadline=None)
    @given(patients=st.lists(st.integers(0, 30), min_size=3, max_size=90), seed=st.integers(0, 5))
    def test_never_leaks_and_assigns_everyone(self, patients, seed):
        result = split_by_patient(_index(patients), seed=seed)
        assert_no_leakage(result)
        assert set(result["split"]) <= {"train", "val", "test"}
        assert (result["split"] != "").all()

    def test_is_deterministic_by_seed(self):
        index = _index(np.arange(200) % 90)
        first = split_by_patient(index, seed=3)["split"]
        assert first.equals(split_by_patient(index, seed=3)["split"])
        assert not first.equals(split_by_patient(index, seed=4)["split"])

    def test_keeps_shares_of_patients_and_of_a_rare_finding(self):
        index = _index(np.arange(1000))
        index["Hernia"] = (np.arange(1000) < 20).astype(float)
        result = split_by_patient(index, (0.7, 0.1, 0.2))
        share = result["split"].value_counts(normalize=True)
        assert share["train"] == pytest.approx(0.7, abs=0.02)
        assert share["test"] == pytest.approx(0.2, abs=0.02)
        hernia = result[result["Hernia"] == 1]["split"].value_counts()
        assert (hernia["train"], hernia["val"], hernia["test"]) == (14, 2, 4)

    def test_a_share_of_nothing_gets_nothing(self):
        result = split_by_patient(_index(np.arange(50)), (0.8, 0.2, 0.0))
        assert set(result["split"]) == {"train", "val"}

    def test_chexnet_s_split_is_of_patients_at_random(self):
        index = _index(np.arange(2000) % 1000)
        result = split_by_patient(index, (0.7, 0.1, 0.2), seed=1, stratify=False)
        counts = result.groupby("split")["patient_id"].nunique().to_dict()
        assert counts == {"train": 700, "val": 100, "test": 200}
        again = split_by_patient(index, (0.7, 0.1, 0.2), seed=1, stratify=False)
        assert result["split"].equals(again["split"])
        other = split_by_patient(index, (0.7, 0.1, 0.2), seed=2, stratify=False)
        assert not result["split"].equals(other["split"])

    @pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.7, 0.2, 0.2), (1.2, -0.1, -0.1)])
    def test_impossible_shares(self, fractions):
        with pytest.raises(SettingsError, match="add up to 1"):
            split_by_patient(_index([1, 2, 3]), fractions)


class TestLeakage:
    def test_counts_patients_without_naming_them(self):
        index = _index([7, 7, 8, 9])
        index["split"] = ["train", "test", "train", "val"]
        with pytest.raises(InvalidTable, match="1 of 3 patients are in more than one") as caught:
            assert_no_leakage(index)
        assert caught.value.reason == "split_leaks"

    def test_unassigned_rows_do_not_count(self):
        index = _index([7, 7])
        index["split"] = ["train", ""]
        assert_no_leakage(index)


class TestOfficial:
    def _write(self, folder, **lists):
        for name, images in lists.items():
            (folder / f"{name}_list.txt").write_text("\n".join(images) + "\n", encoding="utf-8")

    def test_cuts_val_from_train_val_by_patient(self, tmp_path):
        index = _index(np.arange(100))
        names = index["sop_uid"].tolist()
        self._write(tmp_path, train_val=names[:80], test=names[80:])
        result = split_official(index, tmp_path, val_fraction=0.25)
        assert (result["split"][80:] == "test").all()
        assert result["split"][:80].value_counts().to_dict() == {"train": 60, "val": 20}

    def test_uses_a_published_cut(self, tmp_path):
        index = _index(np.arange(6))
        names = index["sop_uid"].tolist()
        self._write(tmp_path, train_val=names[:5], test=names[5:], train=names[:3], val=names[3:4])
        assert split_official(index, tmp_path)["split"].tolist() == [
            *["train"] * 3,
            "val",
            "",
            "test",
        ]

    def test_a_val_list_of_others(self, tmp_path):
        index = _index(np.arange(6))
        names = index["sop_uid"].tolist()
        self._write(tmp_path, train_val=names[:5], test=names[5:], train=names[:1], val=names[1:2])
        (tmp_path / "val_official.txt").write_text(f"{names[3]} 0 1 0\n\nimages/{names[4]} 1\n")
        split = split_official(index, tmp_path, val_list=tmp_path / "val_official.txt")["split"]
        assert split.tolist() == ["train"] * 3 + ["val"] * 2 + ["test"]

    @pytest.mark.parametrize(
        ("listed", "reason"), [("9.png", "labels_do_not_match"), ("5.png", "split_leaks")]
    )
    def test_a_val_list_that_does_not_fit(self, tmp_path, listed, reason):
        index = _index(np.arange(6))
        names = index["sop_uid"].tolist()
        self._write(tmp_path, train_val=names[:5], test=names[5:])
        (tmp_path / "v.txt").write_text(listed)
        with pytest.raises(InvalidTable, match=r"'v.txt'") as caught:
            split_official(index, tmp_path, val_list=tmp_path / "v.txt")
        assert caught.value.reason == reason

    def test_missing_list(self, tmp_path):
        with pytest.raises(InvalidTable, match=r"'train_val_list.txt'"):
            split_official(_index([1]), tmp_path)

    def test_lists_that_leak(self, tmp_path):
        index = _index([1, 1])
        self._write(tmp_path, train_val=["0.png"], test=["1.png"])
        with pytest.raises(InvalidTable, match="more than one split"):
            split_official(index, tmp_path, val_fraction=0.0)

    def test_real_lists(self, data_directory):
        from monai_cxr.data.sets.nih_folder import index_nih

        folder = data_directory / "chestxray14"
        index, summary = index_nih(folder)
        result = split_official(index, folder)
        assert summary.n_images == 1913
        assert result["split"].value_counts().to_dict() == {"train": 1613, "val": 286, "test": 14}
