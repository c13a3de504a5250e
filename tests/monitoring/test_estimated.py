"""Estimates without labels: right where they should be, silent where prevalence changed."""

from __future__ import annotations

import numpy as np
import pytest

from monai_cxr.errors import SettingsError
from monai_cxr.monitoring.alarm_budget import expected_by, kept, thresholds_within
from monai_cxr.monitoring.estimated import em_prevalence, estimate


def calibrated(n, generator, level=-2.0, shift=0.0):
    """Calibrated probabilities and their labels; ``shift`` moves the calibration's logits."""
    logits = generator.normal(level, 1.5, n)
    labels = (generator.random(n) < 1 / (1 + np.exp(-logits))).astype(float)
    return 1 / (1 + np.exp(-(logits + shift))), labels


def test_intervals_cover_where_calibration_errs_as_much_as_stated():
    from sklearn.metrics import roc_auc_score

    generator = np.random.default_rng(0)
    held = []
    for trial in range(24):
        p, y = calibrated(300, generator, shift=generator.normal(0, 0.15))
        made = estimate("Effusion", p, threshold=0.3, seed=trial)
        flagged = p >= 0.3
        truth = (roc_auc_score(y, p), y[flagged].sum() / y.sum(), y[flagged].mean())
        held.append(
            [
                i.low <= t <= i.high
                for i, t in zip((made.auroc, made.sensitivity, made.ppv), truth, strict=True)
            ]
        )
    assert (np.mean(held, axis=0) >= 0.83).all()


def test_a_changed_prevalence_silences_it():
    generator = np.random.default_rng(1)
    p, y = calibrated(4000, generator)
    keep = (y == 1) | (generator.random(len(y)) < 1 / 3)
    made = estimate("Effusion", p[keep], threshold=0.3, reference_prevalence=float(y.mean()))
    assert "prevalence" in made.reason
    assert np.isnan(made.auroc.estimate)
    assert made.prevalence.estimate == pytest.approx(y[keep].mean(), abs=0.06)


def test_prevalence_by_expectation_maximisation():
    generator = np.random.default_rng(2)
    p, y = calibrated(60_000, generator)
    keep = (y == 0) | (generator.random(len(y)) < 0.4)
    assert em_prevalence(p[keep], float(y.mean())) == pytest.approx(y[keep].mean(), abs=0.01)


def test_few_films_say_how_many_are_needed():
    assert "200" in estimate("Effusion", np.full(20, 0.1)).reason


class TestAlarmBudget:
    def test_the_budget_is_kept_and_its_price_told(self):
        generator = np.random.default_rng(3)
        p, y = calibrated(5000, generator)
        (made,) = thresholds_within({"A": p}, {"A": y}, budget=2.0, films_a_shift=100)
        false = ((p >= made.threshold) & (y == 0)).mean() * 100
        assert made.false_alarms.estimate == pytest.approx(false)
        assert 1.5 < false <= 2.0
        lower = np.sort(p[p < made.threshold])[-1]
        assert ((p >= lower) & (y == 0)).mean() * 100 > 2.0
        assert made.sensitivity.estimate == pytest.approx(y[p >= made.threshold].sum() / y.sum())

    def test_findings_share_it(self):
        generator = np.random.default_rng(4)
        (p, y), (q, z) = calibrated(3000, generator), calibrated(3000, generator)
        made = thresholds_within({"A": p, "B": q}, {"A": y, "B": z}, budget=4.0, films_a_shift=100)
        assert sum(one.false_alarms.estimate for one in made) <= 4.0

    def test_what_happened(self):
        assert kept(2.0, 18, 10)[1]
        assert not kept(2.0, 40, 10)[1]
        assert expected_by([True, True], [0, 1], ["a", "b"], 10) == {"a": 5.0, "b": 0.0}

    def test_no_budget(self):
        with pytest.raises(SettingsError):
            thresholds_within({"A": [0.1]}, {"A": [0]}, budget=0.0, films_a_shift=1)
