from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from monai_cxr.errors import InvalidTable
from monai_cxr.evaluation.comparison import compare, write_comparison
from monai_cxr.evaluation.statistics.clusters import clusters_of
from monai_cxr.evaluation.statistics.delong import delong_covariance, delong_difference, delong_p
from monai_cxr.evaluation.statistics.discrimination import auroc
from monai_cxr.evaluation.statistics.intervals import Resampled
from monai_cxr.evaluation.statistics.significance import bootstrap_p, holm


@pytest.fixture
def better(predictions):
    """The same model with some of its noise taken away."""
    return predictions.with_probabilities(
        0.8 * predictions.probabilities + 0.2 * predictions.labels
    )


class TestSignificance:
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
    @settings(max_examples=25, deadline=None)
    def test_holm_against_statsmodels(self, p_values):
        expected = multipletests(p_values, method="holm")[1]
        np.testing.assert_allclose(holm(p_values), expected, atol=1e-9)

    def test_holm_leaves_gaps_out(self):
        np.testing.assert_array_equal(holm([0.01, np.nan, 0.04]), [0.02, np.nan, 0.04])

    def test_delong_is_the_z_test_of_the_paired_difference(self):
        rng = np.random.default_rng(0)
        y = (rng.random(300) < 0.3).astype(float)
        a, b = y + rng.normal(size=300), 0.5 * y + rng.normal(size=300)
        areas, c = delong_covariance(np.stack([a, b]), y)
        z = (areas[1] - areas[0]) / math.sqrt(c[0, 0] + c[1, 1] - 2 * c[0, 1])
        assert delong_p(a, b, y) == pytest.approx(2 * stats.norm.sf(abs(z)), abs=1e-12)
        between = delong_difference(a, b, y)
        assert between.estimate == pytest.approx(areas[0] - areas[1])
        z_of_interval = between.estimate / (
            (between.high - between.low) / (2 * stats.norm.isf(0.025))
        )
        assert abs(z_of_interval) == pytest.approx(abs(z))

    def test_equal_models(self):
        y, a = np.array([0, 1, 0, 1, 1.0]), np.array([0.1, 0.4, 0.5, 0.2, 0.9])
        assert delong_p(a, 2 * a, y) == 1.0

    def test_gaps(self):
        assert math.isnan(delong_p([0.1, 0.2], [0.2, 0.1], [0, 1]))

    def test_the_bootstrap_agrees_with_delong_on_independent_images(self):
        from monai_cxr.evaluation.statistics.bootstrap import BootstrapPlan
        from monai_cxr.evaluation.statistics.replicates import compile_ranking, replicate

        rng = np.random.default_rng(3)
        y = (rng.random(600) < 0.3).astype(float)
        a, b = y + rng.normal(size=600), 0.8 * y + rng.normal(size=600)
        rankings = [compile_ranking(s, y, np.arange(600), 600) for s in (a, b)]
        first, second = replicate(rankings, BootstrapPlan(600, 2000))
        everyone = clusters_of(np.arange(600))
        p = bootstrap_p(Resampled(auroc(b, y) - auroc(a, y), (second - first)[0], everyone))
        assert stats.norm.isf(p / 2) == pytest.approx(
            stats.norm.isf(delong_p(a, b, y) / 2), rel=0.1
        )


class TestCompare:
    def test_the_better_model_wins(self, predictions, better):
        comparison = compare(predictions, better, names=("old", "new"), n_bootstrap=200)
        for i, item in enumerate(comparison.findings):
            y = predictions.labels[:, i]
            difference = auroc(better.probabilities[:, i], y) - auroc(
                predictions.probabilities[:, i], y
            )
            assert item.difference.estimate == pytest.approx(difference, abs=1e-12)
            assert item.difference.low > 0
            assert item.p_adjusted >= item.p_patient
        assert comparison.macro_p == 1 / 201  # what 200 replicates resolve

    def test_turning_round_turns_the_sign(self, predictions, better):
        there = compare(predictions, better, n_bootstrap=50)
        back = compare(better, predictions, n_bootstrap=50)
        assert there.macro.estimate == pytest.approx(-back.macro.estimate, abs=1e-12)
        assert there.macro.low == pytest.approx(-back.macro.high, abs=1e-9)

    def test_a_model_against_itself(self, predictions):
        comparison = compare(predictions, predictions, n_bootstrap=50)
        assert {item.p_adjusted for item in comparison.findings} == {1.0}
        assert comparison.macro.low == comparison.macro.high == 0.0

    def test_aligned_by_image_and_finding(self, predictions, better):
        order = np.random.default_rng(0).permutation(len(better))[:-7]
        shuffled = dataclasses.replace(
            better.select(order, better.findings),
            findings=("Hernia", "Mass", "Edema"),
            probabilities=better.probabilities[order][:, [2, 0, 1]],
            labels=better.labels[order][:, [2, 0, 1]],
            logits=None,
        )
        comparison = compare(predictions, shuffled, n_bootstrap=20)
        assert comparison.n_images == len(predictions) - 7
        assert [item.finding for item in comparison.findings] == list(predictions.findings)
        assert "7 images" in comparison.warnings[-1]

    def test_a_finding_without_positives(self, predictions, better):
        labels = predictions.labels.copy()
        labels[:, 1] = 0.0
        gap = [dataclasses.replace(p, labels=labels) for p in (predictions, better)]
        comparison = compare(*gap, n_bootstrap=30)
        assert math.isnan(comparison.findings[1].p_adjusted)
        assert not math.isnan(comparison.macro.estimate)

    def test_files(self, predictions, better, tmp_path):
        comparison = compare(predictions, better, n_bootstrap=20)
        target, table = write_comparison(comparison, tmp_path)
        assert set(json.loads(target.read_text())["findings"]) == set(predictions.findings)
        assert pd.read_csv(table)["finding"].tolist() == [*predictions.findings, "macro"]

    def test_refuses_what_cannot_be_paired(self, predictions, better):
        strangers = dataclasses.replace(better, image_ids=np.char.add(better.image_ids, "x"))
        relabelled = dataclasses.replace(better, labels=1.0 - better.labels)
        moved = dataclasses.replace(better, patient_ids=better.patient_ids[::-1])
        for other, match in ((strangers, "share 0"), (relabelled, "labels"), (moved, "patients")):
            with pytest.raises(InvalidTable, match=match):
                compare(predictions, other)
