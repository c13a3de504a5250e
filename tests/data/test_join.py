"""Join: patients of different sets stay different, films and labels stay what they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monai_cxr.data.join import join_indexes
from monai_cxr.data.splits import split_by_patient
from monai_cxr.errors import InvalidTable, SettingsError


def index(folder, n=3, **columns):
    return pd.DataFrame(
        {
            "path": [f"{folder}/{i}.png" for i in range(n)],
            "patient_id": [str(i) for i in range(n)],
            "sop_uid": [f"{folder}{i}" for i in range(n)],
            "Mass": [1.0, 0.0, np.nan][:n],
            **columns,
        }
    )


def test_patients_of_two_sets_are_different_people():
    joined = join_indexes({"nih": index("a"), "chexpert": index("b")})
    assert joined["patient_id"].tolist() == [f"{s}:{i}" for s in ("nih", "chexpert") for i in "012"]
    assert joined["sop_uid"].tolist() == [f"{s}{i}" for s in "ab" for i in range(3)]
    assert joined["study_uid"].eq("").all()
    np.testing.assert_array_equal(joined["Mass"], [1, 0, np.nan] * 2)
    assert split_by_patient(joined)["split"].ne("").all()


def test_films_of_one_name_get_a_prefix_and_others_keep_theirs():
    joined = join_indexes({"x": index("a"), "y": index("b", sop_uid=["a0", "b1", "b2"])})
    assert joined["sop_uid"].tolist() == ["x:a0", "a1", "a2", "y:a0", "b1", "b2"]


def test_a_finding_that_one_set_lacks_is_unknown():
    joined = join_indexes({"x": index("a", Edema=[1.0] * 3), "y": index("b")})
    np.testing.assert_array_equal(joined["Edema"], [1, 1, 1, np.nan, np.nan, np.nan])


def test_splits_are_kept():
    parts = {"x": index("a", split=["train"] * 3), "y": index("b", split=["test"] * 3)}
    assert join_indexes(parts)["split"].tolist() == ["train"] * 3 + ["test"] * 3


def test_refusals():
    with pytest.raises(SettingsError, match="two or more"):
        join_indexes({"x": index("a")})
    with pytest.raises(InvalidTable, match="3 films are in more than one of x, y"):
        join_indexes({"x": index("a"), "y": index("a")})
    leaking = index("b", patient_id=["1", "1", "2"], split=["train", "test", "train"])
    with pytest.raises(InvalidTable) as caught:
        join_indexes({"x": index("a"), "y": leaking})
    assert caught.value.reason == "split_leaks"
