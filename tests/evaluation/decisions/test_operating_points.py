from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from evaluation_data import scored_labels
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.evaluation.curves import decision_curve, net_benefit
from monai_cxr.evaluation.decisions.criteria import choose_threshold, parse_criterion
from monai_cxr.evaluation.decisions.decision_rules import DecisionRules, read_rules, write_rules
from monai_cxr.evaluation.decisions.operating_points import (
    check_operating_points,
    choose_operating_points,
    prevalence_what_if,
)
from monai_cxr.evaluation.statistics.rates import rates_at


class TestCriterion:
    @pytest.mark.parametrize(
        ("text", "written"),
        [
            ("sensitivity>=0.90", "sensitivity >= 0.90"),
            ("Specificity >= .95", "specificity >= 0.95"),
            ("ppv>=0.3 at 0.02", "ppv >= 0.30 at prevalence 0.02"),
            ("npv >= 0.99 at prevalence 0.1", "npv >= 0.99 at prevalence 0.1"),
            ("sensitivity>=0.995", "sensitivity >= 0.995"),
            ("youden", "youden"),
            ("net_benefit@0.1", "net_benefit@0.10"),
        ],
    )
    def test_reads_and_writes(self, text, written):
        assert str(parse_criterion(text)) == written
        assert str(parse_criterion(written)) == written

    @pytest.mark.parametrize(
        "text", ["", "accuracy>=0.9", "sensitivity>=90", "ppv>=0.3", "npv>=1 at 0.2"]
    )
    def test_refuses(self, text):
        with pytest.raises(SettingsError):
            parse_criterion(text)


def candidates(scores):
    return np.unique(scores)


class TestThreshold:
    @given(scored_labels(), st.sampled_from([0.3, 0.5, 0.9]))
    @settings(max_examples=60)
    def test_sensitivity_is_the_highest_threshold_that_meets_it(self, data, least):
        scores, labels = data
        threshold = choose_threshold(scores, labels, parse_criterion(f"sensitivity>={least}"))
        met = [t for t in candidates(scores) if rates_at(scores, labels, t).sensitivity >= least]
        assert rates_at(scores, labels, threshold) == rates_like(
            scores, labels, max(met), threshold
        )

    @given(scored_labels(), st.sampled_from([0.3, 0.5, 0.9]))
    @settings(max_examples=60)
    def test_specificity_is_the_lowest_threshold_that_meets_it(self, data, least):
        scores, labels = data
        threshold = choose_threshold(scores, labels, parse_criterion(f"specificity>={least}"))
        met = [t for t in candidates(scores) if rates_at(scores, labels, t).specificity >= least]
        if not met:
            assert threshold is None
        else:
            assert rates_at(scores, labels, threshold) == rates_like(
                scores, labels, min(met), threshold
            )

    @given(scored_labels())
    @settings(max_examples=60)
    def test_youden_is_the_best_sum(self, data):
        scores, labels = data
        threshold = choose_threshold(scores, labels, parse_criterion("youden"))
        sums = [
            rates_at(scores, labels, t).sensitivity + rates_at(scores, labels, t).specificity
            for t in candidates(scores)
        ]
        chosen = rates_at(scores, labels, threshold)
        assert chosen.sensitivity + chosen.specificity == pytest.approx(max(sums))

    @given(scored_labels(), st.sampled_from(["ppv", "npv"]), st.sampled_from([0.3, 0.6]))
    @settings(max_examples=60)
    def test_predictive_values_are_met_at_the_prevalence(self, data, kind, least):
        scores, labels = data
        threshold = choose_threshold(scores, labels, parse_criterion(f"{kind}>={least} at 0.2"))
        values = [
            getattr(rates_at(scores, labels, t), f"{kind}_at")(0.2) for t in candidates(scores)
        ]
        if threshold is None:
            assert not any(value >= least for value in values)
        else:
            met = getattr(rates_at(scores, labels, threshold), f"{kind}_at")(0.2)
            assert met >= least - 1e-9

    @given(scored_labels())
    @settings(max_examples=60)
    def test_net_benefit_is_the_largest(self, data):
        scores, labels = data
        threshold = choose_threshold(scores, labels, parse_criterion("net_benefit@0.2"))

        def benefit(t):
            rates = rates_at(scores, labels, t)
            return rates.true_positives - 0.25 * rates.false_positives

        assert benefit(threshold) == pytest.approx(max(benefit(t) for t in candidates(scores)))

    def test_rounding_to_single_precision_changes_no_decision(self):
        rng = np.random.default_rng(0)
        scores, labels = rng.random(500), rng.integers(0, 2, 500)
        threshold = choose_threshold(scores, labels, parse_criterion("youden"))
        rounded = scores.astype(np.float32).astype(np.float64)
        np.testing.assert_array_equal(scores >= threshold, rounded >= threshold)

    def test_no_positives_have_no_threshold(self):
        assert choose_threshold([0.1, 0.2], [0, 0], parse_criterion("youden")) is None


def rates_like(scores, labels, score, threshold):
    """The rates at a score, under the name of a threshold that decides alike."""
    return dataclasses.replace(rates_at(scores, labels, score), threshold=threshold)


class TestPoints:
    def test_chosen_on_one_half_and_checked_on_the_other(self, predictions):
        half = np.char.endswith(predictions.patient_ids, "1") | np.char.endswith(
            predictions.patient_ids, "3"
        )
        fit, test = predictions.where(half), predictions.where(~half)
        options = {"findings": predictions.findings, "n_bootstrap": 100}
        points = choose_operating_points(
            fit.probabilities, fit.labels, fit.patient_ids, "sensitivity>=0.8", **options
        )
        assert all(point.sensitivity.estimate >= 0.8 for point in points)
        assert all(
            p.sensitivity.low <= p.sensitivity.estimate <= p.sensitivity.high for p in points
        )
        checks = check_operating_points(
            points, test.probabilities, test.labels, test.patient_ids, **options
        )
        for i, check in enumerate(checks):
            expected = rates_at(test.probabilities[:, i], test.labels[:, i], check.point.threshold)
            assert check.sensitivity.estimate == expected.sensitivity
            assert check.n == len(test)

    def test_a_finding_without_positives_has_no_point(self, predictions):
        labels = predictions.labels.copy()
        labels[:, 1] = 0.0
        points = choose_operating_points(
            predictions.probabilities,
            labels,
            predictions.patient_ids,
            findings=predictions.findings,
            n_bootstrap=20,
        )
        assert [point.finding for point in points] == ["Mass", "Hernia"]

    def test_shapes_must_fit(self, predictions):
        with pytest.raises(InvalidTable, match="shape"):
            choose_operating_points(
                predictions.probabilities, predictions.labels, predictions.patient_ids
            )

    def test_files(self, predictions, tmp_path):
        points = choose_operating_points(
            predictions.probabilities,
            predictions.labels,
            predictions.patient_ids,
            findings=predictions.findings,
            n_bootstrap=20,
        )
        write_rules(DecisionRules(points), tmp_path / "points.json")
        assert read_rules(tmp_path / "points.json").points == points
        (tmp_path / "broken.json").write_text("{")
        for name in ("absent.json", "broken.json"):
            with pytest.raises(SettingsError):
                read_rules(tmp_path / name)
        with pytest.raises(SettingsError, match="criterion"):
            DecisionRules.from_json({"points": [{"finding": "Mass", "threshold": 0.5}]})

    def test_what_if(self, predictions):
        (check, *_) = check_operating_points(
            choose_operating_points(
                predictions.probabilities,
                predictions.labels,
                predictions.patient_ids,
                findings=predictions.findings,
                n_bootstrap=10,
            ),
            predictions.probabilities,
            predictions.labels,
            predictions.patient_ids,
            findings=predictions.findings,
            n_bootstrap=10,
        )
        here = check.n_positive / check.n
        (row,) = prevalence_what_if(check, [here])
        assert (row.ppv.estimate, row.npv.estimate) == pytest.approx(
            (check.ppv.estimate, check.npv.estimate), abs=1e-9
        )
        with pytest.raises(SettingsError):
            prevalence_what_if(check, [0.0])


class TestDecisionCurve:
    @given(scored_labels(), st.sampled_from([0.1, 0.25, 0.5]))
    @settings(max_examples=50)
    def test_against_the_definition(self, data, threshold):
        scores, labels = data
        flagged = scores >= threshold
        n, odds = len(scores), threshold / (1 - threshold)
        expected = (labels[flagged] == 1).sum() / n - (labels[flagged] == 0).sum() / n * odds
        model, everyone = decision_curve(scores, labels, [threshold])
        assert net_benefit(scores, labels, threshold) == pytest.approx(expected, abs=1e-12)
        assert model[0] == pytest.approx(expected, abs=1e-12)
        assert everyone[0] == pytest.approx(labels.mean() - (1 - labels.mean()) * odds, abs=1e-12)

    def test_no_labels(self):
        assert np.isnan(net_benefit([0.2], [np.nan], 0.1))
        assert np.isnan(decision_curve([0.2], [np.nan], [0.1])[0]).all()
