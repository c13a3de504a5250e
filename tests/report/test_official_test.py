"""Whether films are of NIH's official test split: `split-name-misread`, held against the lists."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

import pytest

from monai_cxr.errors import InvalidTable
from monai_cxr.report.official_test import (
    official_test_patients,
    patients_to_text,
    require_official_names,
)

LISTS = Path(os.environ.get("MONAI_CXR_DATA", "../shared/data")) / "chestxray14"


def listed(name):
    path = LISTS / f"{name}_list.txt"
    if not path.is_file():
        pytest.skip(f"NIH's {path.name} is not there (MONAI_CXR_DATA)")
    return path.read_text().split()


class TestPatients:
    def test_they_are_those_of_the_lists(self):
        test, train_val = listed("test"), listed("train_val")
        patients = {int(name[:8]) for name in test}
        assert official_test_patients() == patients
        assert not patients & {int(name[:8]) for name in train_val}
        text = files("monai_cxr.report").joinpath("official_test_patients.txt").read_text()
        assert text == patients_to_text(patients)

    def test_their_number(self):
        assert len(official_test_patients()) == 2797


class TestClaims:
    """A split that is called the official test."""

    OFFICIAL, OTHER = "00000003_000.png", "00000001_000.png"

    @pytest.mark.parametrize("data", ["ChestX-ray14", ""])
    def test_split_name_misread_one_film_of_the_other_list(self, data):
        names = [self.OFFICIAL, f"images/{self.OTHER}"]
        with pytest.raises(InvalidTable, match=r"1 of 2 films .* '00000001_000\.png'") as caught:
            require_official_names(names, data, "official test")
        assert caught.value.reason == "not_official_test"

    def test_all_of_its_list(self):
        names = [self.OFFICIAL, "a/00000013_004.png", "00000013_005"]
        assert require_official_names(names, "ChestX-ray14", "official test") == []

    def test_names_that_are_not_nih_s_cannot_be_checked(self):
        (sentence,) = require_official_names(["1.2.3", self.OFFICIAL], "", "official test")
        assert "1 of 2 films have no name of NIH's" in sentence

    def test_other_claims_are_their_own(self):
        assert require_official_names([self.OTHER], "ChestX-ray14", "half of the patients") == []
        assert require_official_names([self.OTHER], "PadChest", "official test") == []
