"""Tests of the phantom's settings."""

from __future__ import annotations

from typing import Any

import pytest

from monai_cxr.errors import SettingsError
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.phantom import DEFAULT_PREVALENCE, PhantomSettings


class TestValues:
    def test_prevalences_left_out_keep_their_default(self) -> None:
        settings = PhantomSettings(prevalence={"Mass": 0.5})
        assert settings.prevalence["Mass"] == 0.5
        assert settings.prevalence["Hernia"] == DEFAULT_PREVALENCE["Hernia"]

    def test_prevalences_stand_in_nih_order(self) -> None:
        assert tuple(PhantomSettings(prevalence={"Hernia": 0.2}).prevalence) == FINDING_NAMES

    def test_every_finding_has_a_default_that_a_small_archive_reaches(self) -> None:
        assert tuple(DEFAULT_PREVALENCE) == FINDING_NAMES
        assert min(DEFAULT_PREVALENCE.values()) >= 0.05

    def test_settings_are_equal_by_value(self) -> None:
        assert PhantomSettings(seed=4) == PhantomSettings(seed=4)


class TestRefusals:
    @pytest.mark.parametrize(
        ("wrong", "named"),
        [
            ({"n_patients": 0}, "n_patients"),
            ({"n_patients": -3}, "-3"),
            ({"n_patients": 2.5}, "2.5"),
            ({"n_patients": True}, "True"),
            ({"seed": -1}, "seed"),
            ({"size": 63}, "64"),
            ({"label_noise": 1.01}, "label_noise"),
            ({"label_noise": float("nan")}, "nan"),
            ({"ap_share": -0.1}, "ap_share"),
            ({"mean_films_per_patient": 0.5}, "mean_films_per_patient"),
            ({"severity": (0.0, 1.0)}, "severity"),
            ({"severity": (0.8, 0.2)}, "severity"),
            ({"prevalence": {"Mass": 1.2}}, "prevalence of Mass"),
            ({"prevalence": {"Mas": 0.2}}, "Unknown finding 'Mas'"),
        ],
    )
    def test_a_wrong_value_is_named(self, wrong: dict[str, Any], named: str) -> None:
        with pytest.raises(SettingsError, match=named.replace("(", r"\(")):
            PhantomSettings(**wrong)

    def test_an_unknown_finding_is_told_the_choices(self) -> None:
        with pytest.raises(SettingsError, match="Pleural_Thickening"):
            PhantomSettings(prevalence={"Tumour": 0.1})
