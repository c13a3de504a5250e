"""Metrics: scikit-learn's AUROC a finding, and the findings that have none left out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from ignite.exceptions import NotComputableError
from sklearn.metrics import roc_auc_score

from monai_cxr.training.metrics import MultiLabelAUROC, per_finding_auroc

FINDINGS = ("Mass", "Nodule", "Hernia")


@pytest.fixture
def scored():
    """Ties, an unknown label, and Hernia without a positive."""
    rng = np.random.default_rng(3)
    logits = np.round(rng.normal(size=(60, 3)), 1)
    labels = (rng.random((60, 3)) < 0.3).astype(float)
    labels[:, 2] = 0
    labels[5:9, 0] = np.nan
    return torch.from_numpy(logits).float(), torch.from_numpy(labels).float()


def evaluated(metric: MultiLabelAUROC, logits, labels, batch: int = 7) -> Engine:
    engine = Engine(lambda _, rows: (logits[rows], labels[rows]))
    metric.attach(engine, "auroc")
    engine.run([slice(i, i + batch) for i in range(0, len(logits), batch)])
    return engine


class TestPerFinding:
    def test_as_scikit_learn(self, scored):
        logits, labels = scored
        values = per_finding_auroc(logits, labels, FINDINGS)
        for i, name in enumerate(FINDINGS[:2]):
            known = ~labels[:, i].isnan()
            assert values[name] == roc_auc_score(labels[known, i], logits[known, i])

    def test_a_finding_of_one_class_has_none(self, scored):
        assert math.isnan(per_finding_auroc(*scored, FINDINGS)["Hernia"])
        ones = torch.ones(4, 1)
        assert math.isnan(per_finding_auroc(torch.rand(4, 1), ones, ["Mass"])["Mass"])

    def test_scores_that_are_no_numbers_are_left_out(self):
        logits = torch.tensor([[0.1], [0.9], [math.nan], [math.inf]])
        labels = torch.tensor([[0.0], [1.0], [0.0], [0.0]])
        assert per_finding_auroc(logits, labels, ["Mass"]) == {"Mass": 1.0}


class TestMultiLabelAUROC:
    def test_macro_leaves_out_what_cannot_be_computed(self, scored):
        engine = evaluated(MultiLabelAUROC(FINDINGS), *scored)
        values = per_finding_auroc(*scored, FINDINGS)
        assert engine.state.metrics["auroc"] == np.mean([values["Mass"], values["Nodule"]])
        assert engine.state.metrics["auroc_Mass"] == values["Mass"]
        assert math.isnan(engine.state.metrics["auroc_Hernia"])
        assert engine.state.metric_details["auroc"]["Nodule"] == values["Nodule"]

    @pytest.mark.parametrize("batch", [1, 13, 60])
    def test_batches_do_not_matter(self, scored, batch):
        engine = evaluated(MultiLabelAUROC(FINDINGS), *scored, batch=batch)
        assert engine.state.metrics["auroc"] == pytest.approx(
            evaluated(MultiLabelAUROC(FINDINGS), *scored).state.metrics["auroc"]
        )

    def test_nan_when_no_finding_has_both_classes(self, scored):
        logits, labels = scored
        engine = evaluated(MultiLabelAUROC(FINDINGS), logits, torch.zeros_like(labels))
        assert math.isnan(engine.state.metrics["auroc"])

    def test_one_finding(self, scored):
        logits, labels = scored
        engine = evaluated(MultiLabelAUROC(("Nodule",)), logits[:, 1:2], labels[:, 1:2])
        expected = per_finding_auroc(*scored, FINDINGS)["Nodule"]
        assert engine.state.metrics["auroc"] == expected

    def test_a_second_epoch_forgets_the_first(self, scored):
        logits, labels = scored
        metric = MultiLabelAUROC(FINDINGS)
        evaluated(metric, logits, labels)
        engine = evaluated(metric, -logits, labels)
        expected = per_finding_auroc(-logits, labels, FINDINGS)
        assert engine.state.metrics["auroc_Mass"] == expected["Mass"]

    def test_nothing_validated(self):
        with pytest.raises(NotComputableError):
            MultiLabelAUROC(FINDINGS).compute()
