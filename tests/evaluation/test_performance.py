from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from evaluation_data import made_up_table
from jsonschema import Draft202012Validator
from sklearn import metrics

from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.evaluation.calibration.calibrator import fit_calibrator
from monai_cxr.evaluation.decisions.conformal import fit_conformal
from monai_cxr.evaluation.decisions.operating_points import choose_operating_points
from monai_cxr.evaluation.performance import evaluate
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
from monai_cxr.evaluation.results import EvaluationIdentity
from monai_cxr.evaluation.statistics.reliability import expected_calibration_error
from monai_cxr.evaluation.subgroups import LEAST_PATIENTS
from monai_cxr.report.performance_schema import PERFORMANCE_SCHEMA


@pytest.fixture
def halves(predictions):
    even = np.array([int(name[1:]) % 2 == 0 for name in predictions.patient_ids])
    return predictions.where(even), predictions.where(~even)


class TestNumbers:
    def test_each_finding_against_scikit_learn(self, predictions):
        performance = evaluate(predictions, n_bootstrap=50)
        for i, item in enumerate(performance):
            p, y = predictions.probabilities[:, i], predictions.labels[:, i]
            assert item.auroc.estimate == pytest.approx(metrics.roc_auc_score(y, p), abs=1e-12)
            assert item.average_precision.estimate == pytest.approx(
                metrics.average_precision_score(y, p), abs=1e-12
            )
            assert item.brier.estimate == pytest.approx(metrics.brier_score_loss(y, p), abs=1e-12)
            assert item.log_loss == pytest.approx(metrics.log_loss(y, p), abs=1e-9)
            assert item.ece.estimate == expected_calibration_error(p, y)
            assert (item.n, item.n_positive) == (len(y), y.sum())
            for interval in (item.auroc, item.average_precision, item.brier, item.ece):
                assert interval.low <= interval.estimate <= interval.high

    def test_published_predictions_by_name(self, published):
        performance = evaluate(published, n_bootstrap=0, subgroups=False)
        for i, name in enumerate(published.findings):
            expected = metrics.roc_auc_score(published.labels[:, i], published.probabilities[:, i])
            assert performance[name].auroc.estimate == pytest.approx(expected, abs=1e-9)
        assert math.isnan(performance["Mass"].auroc.low)
        with pytest.raises(KeyError):
            performance["Fracture"]

    def test_aggregates(self, predictions):
        performance = evaluate(predictions, n_bootstrap=50)
        areas = [item.auroc.estimate for item in performance]
        positives = [item.n_positive for item in performance]
        macro = performance.macro
        assert macro.auroc.estimate == pytest.approx(np.mean(areas), abs=1e-12)
        assert macro.auroc_weighted.estimate == pytest.approx(
            np.average(areas, weights=positives), abs=1e-12
        )
        assert macro.auroc.low < macro.auroc.estimate < macro.auroc.high
        y = predictions.labels.max(axis=1)
        p = 1 - np.prod(1 - predictions.probabilities, axis=1)
        assert performance.any_finding.auroc.estimate == pytest.approx(
            metrics.roc_auc_score(y, p), abs=1e-12
        )

    def test_the_same_seed_gives_the_same_numbers(self, predictions):
        first, second = (
            evaluate(predictions, n_bootstrap=40, seed=5, n_threads=n).to_json() for n in (1, 3)
        )
        assert first == second
        assert evaluate(predictions, n_bootstrap=40, seed=6).to_json() != first

    def test_patients_make_wider_intervals_than_images_when_films_repeat(self, predictions):
        """Five copies of each film are no new evidence; DeLong takes them for it."""
        rows = np.repeat(np.arange(len(predictions)), 5)
        copies = dataclasses.replace(
            predictions.select(rows, predictions.findings),
            image_ids=np.array([f"{i}" for i in range(len(rows))]),
        )
        item = evaluate(copies, n_bootstrap=300, subgroups=False)["Mass"]
        once = evaluate(predictions, n_bootstrap=300, subgroups=False)["Mass"]
        assert item.auroc.high - item.auroc.low == pytest.approx(
            once.auroc.high - once.auroc.low, abs=1e-6
        )
        narrow = item.auroc_delong.high - item.auroc_delong.low
        assert narrow < 0.6 * (item.auroc.high - item.auroc.low)


class TestCalibration:
    def test_before_and_after(self, halves):
        fit, test = halves
        calibrator = fit_calibrator(fit)
        performance = evaluate(test, n_bootstrap=20, calibrator=calibrator)
        expected = calibrator.apply_to(test).probabilities[:, 0]
        assert performance["Mass"].brier.estimate == pytest.approx(
            metrics.brier_score_loss(test.labels[:, 0], expected)
        )
        assert performance["Mass"].ece_uncalibrated == pytest.approx(
            expected_calibration_error(test.probabilities[:, 0], test.labels[:, 0])
        )
        assert set(performance.identity.calibration) == set(test.findings)

    def test_patients_that_fitted_the_calibration_are_refused_or_marked(self, halves, predictions):
        calibrator = fit_calibrator(halves[0])
        with pytest.raises(InvalidTable, match="also fitted the calibration") as caught:
            evaluate(predictions, calibrator=calibrator)
        assert caught.value.reason == "patient_overlap"
        marked = evaluate(predictions, n_bootstrap=10, calibrator=calibrator, allow_overlap=True)
        assert marked.warnings[0].startswith("OVERLAP: 60 of 120 patients")

    @pytest.mark.parametrize("marked", [False, True])
    def test_strangers_taken_for_patients(self, table, marked):
        """NIH's patients and a hospital's, both counted from 1: other films, other people."""
        ids = [f"{i % 60 + 1:08d}" for i in range(len(table))]
        nih = table.assign(patient_id=ids, sop_uid=[f"{p}_{i:03d}.png" for i, p in enumerate(ids)])
        site = table.assign(
            patient_id=[str(int(p)) for p in ids], sop_uid=[f"s{i}.png" for i in range(len(ids))]
        )
        calibrator = fit_calibrator(load_predictions(nih.drop(columns="path", errors="ignore")))
        calibrator = type(calibrator).from_json(json.loads(json.dumps(calibrator.to_json())))
        others = load_predictions(site.drop(columns="path", errors="ignore"))
        options = {"n_bootstrap": 10, "calibrator": calibrator, "allow_overlap": marked}
        said = " ".join(evaluate(others, **options).warnings)
        assert "OVERLAP" not in said
        assert "60 of 60 patients have the number of a patient who fitted" in said
        with pytest.raises(InvalidTable, match="also fitted the calibration"):
            evaluate(load_predictions(nih), calibrator=calibrator)


class TestGaps:
    def test_a_finding_without_positives_is_a_marked_gap(self, table):
        table["label_Edema"] = 0.0
        table["label_Hernia"] = np.nan
        performance = evaluate(load_predictions(table), n_bootstrap=20)
        edema, hernia = performance["Edema"], performance["Hernia"]
        assert math.isnan(edema.auroc.estimate)
        assert not math.isnan(edema.ece.estimate)
        assert hernia.n == 0
        assert performance.macro.findings == ("Mass",)
        assert performance.macro.auroc.estimate == performance["Mass"].auroc.estimate
        assert "no positive images" in " ".join(performance.warnings)
        assert performance.to_json()["findings"]["Edema"]["auroc"]["estimate"] is None

    def test_all_positive(self, table):
        table["label_Edema"] = 1.0
        assert "no negative" in evaluate(load_predictions(table), n_bootstrap=5)["Edema"].gaps[0]

    def test_equal_scores(self, table):
        table["logit_Edema"], table["probability_Edema"] = 0.0, 0.5
        edema = evaluate(load_predictions(table), n_bootstrap=20)["Edema"]
        assert (edema.auroc.estimate, edema.auroc.low, edema.auroc.high) == (0.5, 0.5, 0.5)
        assert "equal" in edema.gaps[0]
        assert math.isnan(edema.calibration_slope)

    def test_one_positive_patient_has_no_interval(self, table):
        table["label_Hernia"] = (table["patient_id"] == "P0007").astype(float)
        hernia = evaluate(load_predictions(table), n_bootstrap=100)["Hernia"]
        assert not math.isnan(hernia.auroc.estimate)
        assert math.isnan(hernia.auroc.low)
        assert "too few patients" in hernia.gaps[0]


class TestSubgroups:
    def test_levels_and_estimates(self, predictions):
        performance = evaluate(predictions, n_bootstrap=30)
        groups = {(g.dimension, g.level): g for g in performance.subgroups}
        women = groups[("sex",), ("F",)]
        chosen = (predictions.facts["sex"] == "F").to_numpy()
        assert women.n == chosen.sum()
        for i, name in enumerate(predictions.findings):
            if name in women.auroc:
                expected = metrics.roc_auc_score(
                    predictions.labels[chosen, i], predictions.probabilities[chosen, i]
                )
                assert women.auroc[name].estimate == pytest.approx(expected, abs=1e-12)
        men = groups[("sex",), ("M",)]
        larger = max((men, women), key=lambda g: g.n)
        smaller = min((men, women), key=lambda g: g.n)
        common = set(larger.auroc) & set(smaller.auroc)
        gap = np.mean([smaller.auroc[n].estimate - larger.auroc[n].estimate for n in common])
        assert smaller.gap.estimate == pytest.approx(gap, abs=1e-12)
        assert smaller.gap.low < smaller.gap.estimate < smaller.gap.high
        assert math.isnan(larger.gap.estimate)
        assert (("view", "sex"), ("AP", "F")) in groups

    def test_ages_in_order(self, predictions):
        groups = evaluate(predictions, n_bootstrap=5).subgroups
        ages = [group.level[0] for group in groups if group.dimension == ("age",)]
        assert ages == ["0-17", "18-39", "40-59", "60-79", "80+"]

    def test_small_groups_are_suppressed(self, predictions):
        for group in evaluate(predictions, n_bootstrap=5).subgroups:
            chosen = np.ones(len(predictions), dtype=bool)
            if group.dimension == ("manufacturer",):
                chosen = (predictions.facts["manufacturer"] == group.level[0]).to_numpy()
                for i, name in enumerate(predictions.findings):
                    positive = chosen & (predictions.labels[:, i] == 1)
                    n = len(np.unique(predictions.patient_ids[positive]))
                    assert (name in group.auroc) == (n >= LEAST_PATIENTS)
            assert group.n_findings == len(group.auroc)

    def test_own_dimensions(self, predictions):
        groups = evaluate(
            predictions, n_bootstrap=5, subgroups=[("view", "manufacturer")]
        ).subgroups
        assert {group.dimension for group in groups} == {("view", "manufacturer")}
        with pytest.raises(SettingsError, match="weight"):
            evaluate(predictions, subgroups=[("weight",)])

    def test_unknown_facts_make_no_groups(self, table):
        table = table.drop(columns=["age", "view", "manufacturer", "follow_up"])
        groups = evaluate(load_predictions(table), n_bootstrap=5).subgroups
        assert {group.dimension for group in groups} == {("sex",)}


class TestJson:
    def full(self, halves):
        fit, test = halves
        calibrator = fit_calibrator(fit)
        fit = calibrator.apply_to(fit)
        points = choose_operating_points(
            fit.probabilities, fit.labels, fit.patient_ids, findings=fit.findings, n_bootstrap=20
        )
        rules = [
            fit_conformal(name, fit.probabilities[:, i], fit.labels[:, i])
            for i, name in enumerate(fit.findings)
        ]
        identity = EvaluationIdentity("Made up", "test", "drawn", {"name": "Model"}, created="2026")
        return evaluate(
            test,
            n_bootstrap=30,
            calibrator=calibrator,
            operating_points=points,
            conformal=rules,
            identity=identity,
        )

    def test_valid_by_its_schema_and_without_nan(self, halves):
        value = json.loads(json.dumps(self.full(halves).to_json(), allow_nan=False))
        Draft202012Validator.check_schema(PERFORMANCE_SCHEMA)
        Draft202012Validator(PERFORMANCE_SCHEMA).validate(value)
        assert len(value["operating_points"]) == len(value["conformal"]) == 3

    def test_gaps_are_valid_too(self):
        table = made_up_table(30).assign(label_Edema=0.0, label_Hernia=np.nan)
        value = evaluate(load_predictions(table), n_bootstrap=10).to_json()
        Draft202012Validator(PERFORMANCE_SCHEMA).validate(
            json.loads(json.dumps(value, allow_nan=False))
        )

    def test_the_outside_contract(self, halves):
        value = self.full(halves).to_json()
        for entry in value["findings"].values():
            assert isinstance(entry["n"], int)
            assert isinstance(entry["n_positive"], int)
            assert set(entry["auroc"]) == {"estimate", "low", "high"}
            assert all(isinstance(entry[k], float) for k in ("average_precision", "brier", "ece"))
        assert set(value["macro"]["auroc"]) == {"estimate", "low", "high"}
