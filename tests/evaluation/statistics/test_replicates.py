from __future__ import annotations

import numpy as np
import pytest
from evaluation_data import scored_labels
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_cxr.evaluation.statistics.bootstrap import BootstrapPlan
from monai_cxr.evaluation.statistics.discrimination import auroc, average_precision
from monai_cxr.evaluation.statistics.reliability import bin_edges, brier_score
from monai_cxr.evaluation.statistics.replicates import (
    compile_calibration_errors,
    compile_ranking,
    replicate,
)


@given(scored_labels(unknown=True), st.data())
@settings(max_examples=60, deadline=None)
def test_a_replicate_is_the_statistic_of_the_repeated_patients(data, more):
    scores, labels = data
    n = len(scores)
    patients = np.array(more.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)))
    drawn = np.array(more.draw(st.lists(st.integers(0, 3), min_size=5, max_size=5)))
    weights = drawn.astype(np.float32)[:, None]
    times = drawn[patients]
    s, y = np.repeat(scores, times), np.repeat(labels, times)
    ranking = compile_ranking(scores, labels, patients, 5, with_precision=True)(weights)[:, 0]
    assert ranking[0] == pytest.approx(auroc(s, y), abs=1e-6, nan_ok=True)
    if np.isnan(auroc(s, y)):
        return
    assert ranking[1] == pytest.approx(average_precision(s, y), abs=1e-6)
    adaptive, equal, brier = compile_calibration_errors(scores, labels, patients, 5)(weights)[:, 0]
    known = ~np.isnan(y)
    assert brier == pytest.approx(brier_score(s, y), abs=1e-6)
    for value, binning in ((adaptive, "adaptive"), (equal, "equal_width")):
        edges = bin_edges(scores[~np.isnan(labels)], binning)
        bins = np.searchsorted(edges, s[known], side="right")
        gaps = [abs((s[known] - y[known])[bins == b].sum()) for b in np.unique(bins)]
        assert value == pytest.approx(sum(gaps) / known.sum(), abs=1e-6)


def test_weights_of_one_in_double_precision_give_the_estimate():
    rng = np.random.default_rng(0)
    scores, labels = rng.random(300).round(2), (rng.random(300) < 0.3).astype(float)
    ranking = compile_ranking(scores, labels, np.arange(300) // 3, 100, with_precision=True)
    area, precision = ranking(np.ones((100, 1)))[:, 0]
    assert area == pytest.approx(auroc(scores, labels), abs=1e-12)
    assert precision == pytest.approx(average_precision(scores, labels), abs=1e-12)


def test_threads_change_nothing():
    rng = np.random.default_rng(0)
    scores, labels = rng.random(200), (rng.random(200) < 0.3).astype(float)
    ranking = compile_ranking(scores, labels, np.arange(200) // 2, 100)
    plan = BootstrapPlan(100, 100, 3)
    (one,), (four,) = (replicate([ranking], plan, n_threads=n) for n in (1, 4))
    np.testing.assert_array_equal(one, four)
    assert one.shape == (1, 100)


def test_no_positives_give_no_number():
    ranking = compile_ranking(np.array([0.1, 0.2]), np.zeros(2), np.array([0, 1]), 2)
    assert np.isnan(ranking(np.ones((2, 3), dtype=np.float32))).all()


def test_no_replicates():
    ranking = compile_ranking(np.array([0.1, 0.2]), np.array([0.0, 1.0]), np.array([0, 1]), 2)
    (values,) = replicate([ranking], BootstrapPlan(2, 0))
    assert values.shape == (1, 0)
