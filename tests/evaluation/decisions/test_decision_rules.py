from __future__ import annotations

import json

import numpy as np
import pytest
from evaluation_data import made_up_table

from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.calibration.patient_sketch import PatientSketch
from monai_cxr.evaluation.decisions.criteria import parse_prevalences
from monai_cxr.evaluation.decisions.decision_rules import (
    DecisionRules,
    choose_rules,
    read_rules,
    write_rules,
)
from monai_cxr.evaluation.decisions.operating_points import check_operating_points
from monai_cxr.evaluation.performance import evaluate
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
from monai_cxr.prediction import Interval, OperatingPoint


@pytest.fixture(scope="module")
def rules():
    return choose_rules(load_predictions(made_up_table()), "youden", alpha=0.1, n_bootstrap=40)


class TestFile:
    def test_round_trip(self, rules, tmp_path):
        write_rules(rules, tmp_path / "rules.json")
        read = read_rules(tmp_path / "rules.json")
        assert read.to_json() == rules.to_json()
        assert read.points == rules.points
        assert len(read.conformal) == len(read.points) == 3

    def test_a_file_of_points_alone_still_reads(self, tmp_path):
        rate = {"estimate": 0.9, "low": None, "high": None}
        point = {
            "finding": "Mass", "threshold": 0.25, "criterion": "sensitivity >= 0.90",
            "sensitivity": rate, "specificity": rate, "n": 250, "n_positive": 42,
        }  # fmt: skip
        old = {"format": "monai_cxr operating points", "format_version": "1.0", "points": [point]}
        (tmp_path / "old.json").write_text(json.dumps(old))
        read = read_rules(tmp_path / "old.json")
        assert (read.conformal, read.patients) == ((), None)
        assert read.by_finding["Mass"].threshold == 0.25
        assert read.to_json()["points"] == [point]

    def test_names_no_patient(self, rules):
        assert "P0001" not in json.dumps(rules.to_json())

    @pytest.mark.parametrize(
        "text", ["{}", "[]", "nonsense", '{"points": 3}', '{"points": [], "conformal": [{}]}']
    )
    def test_something_else(self, text, tmp_path):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(SettingsError):
            read_rules(tmp_path / "x.json")


class TestEvaluation:
    def test_the_patients_that_chose_them_are_marked(self, rules):
        own = evaluate(load_predictions(made_up_table()), n_bootstrap=0, rules=rules)
        assert any("also chose the operating points" in w for w in own.warnings)
        other = made_up_table(seed=1)
        other["patient_id"] = "Q" + other["patient_id"]
        fresh = evaluate(load_predictions(other), n_bootstrap=0, rules=rules)
        assert not any("OVERLAP" in warning for warning in fresh.warnings)
        assert (len(fresh.operating_points), len(fresh.conformal)) == (3, 3)

    def test_what_if(self, rules):
        stated = parse_prevalences(["0.05", "Mass=0.2"])
        checked = evaluate(
            load_predictions(made_up_table(seed=1)), n_bootstrap=0, rules=rules, prevalences=stated
        ).operating_points
        by_finding = {point.point.finding: point for point in checked}
        assert [row.prevalence for row in by_finding["Mass"].what_if] == [0.05, 0.2]
        assert [row.prevalence for row in by_finding["Edema"].what_if] == [0.05]
        point = by_finding["Edema"]
        hit = point.sensitivity.estimate * 0.05
        false = (1 - point.specificity.estimate) * 0.95
        assert point.what_if[0].ppv.estimate == pytest.approx(hit / (hit + false))

    def test_a_rate_of_one_still_has_an_interval(self):
        table = made_up_table()
        table["logit_Mass"] = np.where(table["label_Mass"] == 1, 3.0, -3.0)
        table["probability_Mass"] = np.where(table["label_Mass"] == 1, 0.95, 0.05)
        data = load_predictions(table)
        own = evaluate(data, n_bootstrap=50, rules=choose_rules(data, "youden", n_bootstrap=0))
        sensitivity = own.operating_points[0].sensitivity
        assert sensitivity.estimate == sensitivity.high == 1.0
        n = table.loc[table["label_Mass"] == 1, "patient_id"].nunique()
        assert sensitivity.low == pytest.approx(n / (n + 1.959964**2), abs=1e-6)


@pytest.mark.parametrize("text", ["5", "0", "Mass", "Mass=x", "Mass=1", "-0.1", "nan"])
def test_impossible_prevalences(text):
    with pytest.raises(SettingsError, match="prevalence"):
        parse_prevalences([text])


def test_a_sketch_knows_patients_with_and_without_leading_zeros():
    assert PatientSketch.of(["00000013", "7"]).seen(["13", "0007", "8"]).tolist() == [
        True, True, False,
    ]  # fmt: skip


def test_no_rules():
    assert DecisionRules().to_json()["points"] == []


def test_a_score_at_the_threshold_is_positive_in_every_replicate():
    labels = np.tile([1.0, 1.0, 0.0, 0.0], 40)[:, None]
    scores = np.tile([0.6, 0.2, 0.6, 0.2], 40)[:, None]
    unknown = Interval(float("nan"))
    point = OperatingPoint("Mass", 0.6, "youden", unknown, unknown, 0, 0)
    (check,) = check_operating_points(
        [point], scores, labels, np.arange(160), findings=["Mass"], n_bootstrap=200
    )
    for rate in (check.sensitivity, check.specificity, check.ppv):
        assert rate.estimate == 0.5
        assert rate.low < 0.5 < rate.high
