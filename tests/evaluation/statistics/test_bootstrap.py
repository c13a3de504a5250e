from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.statistics.bootstrap import BootstrapPlan
from monai_cxr.evaluation.statistics.replicates import compile_ranking, replicate


class TestBootstrapPlan:
    def test_weights_are_multiplicities_of_patients(self):
        plan = BootstrapPlan(50, 70, 1)
        blocks = np.concatenate(list(plan.blocks()), axis=1)
        assert blocks.shape == (50, 70)
        np.testing.assert_array_equal(blocks.sum(axis=0), 50)
        assert len(np.unique(blocks, axis=1).T) == 70

    def test_the_seed_decides(self):
        first, second = BootstrapPlan(9, 5, 1), BootstrapPlan(9, 5, 2)
        np.testing.assert_array_equal(first.block(0), BootstrapPlan(9, 5, 1).block(0))
        assert not np.array_equal(first.block(0), second.block(0))

    def test_multiplicities_are_binomial(self):
        weights = BootstrapPlan(200, 320, 0).block(0).ravel()
        expected = stats.binom.pmf(np.arange(6), 200, 1 / 200)
        observed = np.bincount(weights.astype(int), minlength=6)[:6] / len(weights)
        np.testing.assert_allclose(observed, expected, atol=0.02)

    @pytest.mark.parametrize(("patients", "replicates"), [(0, 10), (10, -1)])
    def test_nothing_to_draw(self, patients, replicates):
        with pytest.raises(SettingsError):
            BootstrapPlan(patients, replicates)


def test_scipy_bootstrap_agrees_where_each_patient_has_one_image():
    rng = np.random.default_rng(0)
    labels = (rng.random(150) < 0.4).astype(float)
    scores = labels + rng.normal(size=150)
    ranking = compile_ranking(scores, labels, np.arange(150), 150)
    (ours,) = replicate([ranking], BootstrapPlan(150, 2000, 0))
    theirs = stats.bootstrap(
        (scores, labels),
        lambda s, y: roc_auc_score(y, s),
        paired=True,
        vectorized=False,
        n_resamples=600,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    assert ours.std() == pytest.approx(theirs.standard_error, rel=0.1)
