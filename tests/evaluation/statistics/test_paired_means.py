"""The difference of two Brier scores, bounded with the skewness of patients."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t as student

from monai_cxr.evaluation.statistics.paired_means import mean_gap, mean_means, paired_brier


def scored(n: int, rng: np.random.Generator, *, prevalence: float = 0.3, factor: float = 0.8):
    """Probabilities that are true, and others that are too low by a factor."""
    truth = rng.beta(0.3, 0.3 * (1.0 - prevalence) / prevalence, n)
    labels = (rng.random(n) < truth).astype(float)
    return truth, truth * factor, labels


def test_it_is_the_difference_of_brier_scores_and_labels_may_be_missing():
    first, second, labels = scored(200, np.random.default_rng(0))
    labels[::7] = np.nan
    made = paired_brier(first, second, labels, np.arange(200), 200)
    known = ~np.isnan(labels)
    wanted = [np.mean((p[known] - labels[known]) ** 2) for p in (first, second)]
    assert made.estimates == pytest.approx(wanted)
    gap = mean_gap(made)
    assert gap.estimate == pytest.approx(wanted[1] - wanted[0])
    assert gap.low < gap.estimate < gap.high


def test_no_bound_is_nearer_than_student_s_and_the_heavy_side_is_further():
    first, second, labels = scored(400, np.random.default_rng(1), prevalence=0.05)
    made = paired_brier(first, second, labels, np.arange(400), 400)
    gap = mean_gap(made)
    error = math.sqrt(float((made.influence**2).sum()))
    plain = error * student.ppf(0.975, made.worth - 1.0)
    assert (made.influence**3).sum() > 0.0  # films with the finding cost much, and are few
    assert gap.high - gap.estimate > plain
    assert gap.estimate - gap.low >= plain * (1.0 - 1e-12)
    turned = mean_gap(paired_brier(second, first, labels, np.arange(400), 400))
    assert (-turned.high, -turned.low) == pytest.approx((gap.low, gap.high))


def test_films_of_one_patient_are_one_patient():
    first, second, labels = scored(120, np.random.default_rng(2))
    thrice = [np.repeat(values, 3) for values in (first, second, labels)]
    alone = mean_gap(paired_brier(first, second, labels, np.arange(120), 120))
    together = mean_gap(paired_brier(*thrice, np.repeat(np.arange(120), 3), 120))
    assert (together.low, together.high) == pytest.approx((alone.low, alone.high))


def test_equal_models_differ_by_nothing_and_one_patient_tells_nothing():
    first, _, labels = scored(50, np.random.default_rng(3))
    same = mean_gap(paired_brier(first, first, labels, np.arange(50), 50))
    assert (same.low, same.estimate, same.high) == (0.0, 0.0, 0.0)
    one = mean_gap(paired_brier(first, first + 0.1, labels, np.zeros(50, dtype=np.intp), 1))
    assert math.isnan(one.low)
    assert math.isnan(mean_gap(paired_brier(first, first, labels * np.nan, np.arange(50), 50)).low)


def test_a_loss_of_the_margin_passes_as_seldom_as_promised_where_the_finding_is_rare():
    rng, passed, runs, n = np.random.default_rng(4), 0, 1500, 1000
    shape, rest = 0.3, 0.3 * 0.95 / 0.05
    loss = 0.2**2 * shape * (shape + 1.0) / ((shape + rest) * (shape + rest + 1.0))
    for _ in range(runs):
        made = paired_brier(*scored(n, rng, prevalence=0.05), np.arange(n), n)
        passed += mean_gap(made).high < loss
    assert passed / runs <= 0.025 + 2.0 * math.sqrt(0.025 * 0.975 / runs)


def test_a_mean_over_findings_is_worth_its_smallest_part():
    rng = np.random.default_rng(5)
    parts = [paired_brier(*scored(150, rng, prevalence=p), np.arange(150), 150) for p in (0.4, 0.1)]
    mean = mean_means(parts)
    assert mean.worth == min(part.worth for part in parts)
    gaps = [mean_gap(part) for part in parts]
    assert mean_gap(mean).estimate == pytest.approx(np.mean([gap.estimate for gap in gaps]))
    assert mean_gap(mean).high - mean_gap(mean).low < max(gap.high - gap.low for gap in gaps)
