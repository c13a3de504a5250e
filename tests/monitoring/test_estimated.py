"""Estimates without labels: right where they should be, silent where prevalence changed."""

from __future__ import annotations

import numpy as np
import pytest

from monai_cxr.errors import SettingsError
from monai_cxr.monitoring.alarm_budget import expected_by, kept, thresholds_within
from monai_cxr.monitoring.estimated import estimate
from monai_cxr.monitoring.prevalence import em_prevalence


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


def test_a_ppv_is_withheld_where_scores_leave_the_prevalence_open():
    """A finding that scores hardly tell may be more frequent without a trace."""
    generator = np.random.default_rng(5)
    logits = generator.normal(-1.5, 0.4, 800)
    p = 1 / (1 + np.exp(-logits))
    old = 1 / (1 + np.exp(-generator.normal(-1.5, 0.4, 800)))
    made = estimate(
        "Fibrosis",
        p,
        threshold=0.25,
        reference_prevalence=float(old.mean()),
        reference_probabilities=old,
    )
    assert made.reason == ""
    assert "open between" in made.ppv_reason
    assert np.isnan(made.ppv.estimate)
    assert made.auroc.low < made.auroc.estimate < made.auroc.high


def test_the_interval_of_a_ppv_holds_what_the_prevalence_may_be():
    generator = np.random.default_rng(6)
    (p, y), (old, z) = calibrated(6000, generator), calibrated(6000, generator)
    options = {"threshold": 0.3, "seed": 1}
    plain = estimate("Effusion", p, **options)
    known = {"reference_prevalence": float(z.mean()), "reference_probabilities": old}
    made = estimate("Effusion", p, **options, **known)
    assert made.ppv.estimate == plain.ppv.estimate
    assert made.ppv.low < plain.ppv.low
    assert made.ppv.high > plain.ppv.high
    assert made.ppv.low <= y[p >= 0.3].mean() <= made.ppv.high


def test_other_scores_silence_it():
    """A prevalence that stands still does not help where the scores have another shape."""
    generator = np.random.default_rng(7)
    (p, _), (old, z) = calibrated(3000, generator), calibrated(3000, generator)
    flat = np.where(p < np.median(p), float(z.mean()) * 0.9, float(z.mean()) * 1.1)
    known = {"reference_prevalence": float(z.mean()), "reference_probabilities": old}
    made = estimate("Effusion", flat, threshold=0.3, **known)
    assert "distributed otherwise" in made.reason
    assert np.isnan(made.auroc.estimate)


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
