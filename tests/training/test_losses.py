"""Losses: against torch's own, against formulas written out, and with unknown labels."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy_with_logits

from monai_cxr.errors import SettingsError
from monai_cxr.training.losses import WEIGHTINGS, ClassWeightedBCE

N_FINDINGS = 3
CELLS = st.sampled_from([0.0, 1.0, math.nan])
ROWS = st.lists(
    st.tuples(
        st.lists(st.floats(-20, 20, width=32), min_size=N_FINDINGS, max_size=N_FINDINGS),
        st.lists(CELLS, min_size=N_FINDINGS, max_size=N_FINDINGS),
    ),
    min_size=1,
    max_size=12,
)


def counted(positive: list[int], negative: list[int]) -> torch.Tensor:
    """Training labels with so many positives and negatives a finding; the rest is unknown."""
    n = max(p + q for p, q in zip(positive, negative, strict=True))
    labels = torch.full((n, len(positive)), math.nan)
    for i, (p, q) in enumerate(zip(positive, negative, strict=True)):
        labels[:p, i], labels[p : p + q, i] = 1.0, 0.0
    return labels


TRAINING = counted([2, 5, 0], [8, 5, 10])


def masked_witness(loss: ClassWeightedBCE, logits, labels, weight=1.0):
    """torch's binary cross-entropy with pos_weight, over the known cells."""
    known = ~labels.isnan()
    cells = binary_cross_entropy_with_logits(
        logits, labels.nan_to_num(), pos_weight=loss.positive_weight, reduction="none"
    )
    return cells[known].sum() / max(int(known.sum()), 1)


class TestWeights:
    def weights(self, name: str, cap: float = 20.0):
        loss = ClassWeightedBCE(TRAINING, name, cap=cap)
        return loss.positive_weight.tolist(), loss.negative_weight.tolist()

    def test_none(self):
        assert self.weights("none") == ([1, 1, 1], [1, 1, 1])

    def test_pos_weight(self):  # negatives / positives; a finding without positives counts one
        assert self.weights("pos_weight") == ([4, 1, 10], [1, 1, 1])

    def test_pos_weight_is_capped(self):
        assert self.weights("pos_weight", cap=5) == ([4, 1, 5], [1, 1, 1])

    def test_pos_weight_sqrt(self):
        positive, negative = self.weights("pos_weight_sqrt")
        assert positive == pytest.approx([2, 1, math.sqrt(10)])
        assert negative == [1, 1, 1]

    def test_effective_number(self):  # E(n) = (1 - b^n) / (1 - b); weights go as 1 / E
        def effective(n):
            return sum(0.999**k for k in range(n))

        positive, _ = self.weights("effective_number")
        expected = [effective(8) / effective(2), 1, effective(10) / effective(1)]
        assert positive == pytest.approx(expected, rel=1e-3)

    def test_chexnet(self):  # |N| / (|P| + |N|) and |P| / (|P| + |N|)
        positive, negative = self.weights("chexnet")
        assert positive == pytest.approx([0.8, 0.5, 1.0])
        assert negative == pytest.approx([0.2, 0.5, 0.0])

    def test_an_unknown_weighting_names_the_known_ones(self):
        with pytest.raises(SettingsError, match=r"'focal'.*pos_weight_sqrt"):
            ClassWeightedBCE(TRAINING, "focal")

    @pytest.mark.parametrize("name", WEIGHTINGS)
    def test_weights_are_finite_without_any_label(self, name):
        loss = ClassWeightedBCE(torch.full((4, 2), math.nan), name)
        assert loss.positive_weight.isfinite().all()
        assert loss.negative_weight.isfinite().all()


class TestValues:
    @settings(max_examples=60, deadline=None)
    @given(rows=ROWS, name=st.sampled_from(["none", "pos_weight", "pos_weight_sqrt"]))
    def test_as_torch_over_known_labels(self, rows, name):
        logits = torch.tensor([row for row, _ in rows])
        labels = torch.tensor([row for _, row in rows])
        loss = ClassWeightedBCE(TRAINING, name)
        torch.testing.assert_close(
            loss(logits, labels), torch.as_tensor(masked_witness(loss, logits, labels))
        )

    @settings(max_examples=30, deadline=None)
    @given(logit=st.floats(-30, 30), label=st.sampled_from([0.0, 1.0]))
    def test_chexnet_is_its_formula(self, logit, label):
        p = 1 / (1 + math.exp(-logit))
        expected = -(0.8 * label * math.log(p) + 0.2 * (1 - label) * math.log1p(-p))
        loss = ClassWeightedBCE(TRAINING[:, :1].double(), "chexnet")
        actual = loss(torch.tensor([[logit]]).double(), torch.tensor([[label]]).double())
        assert float(actual) == pytest.approx(expected, rel=1e-5, abs=1e-7)

    @settings(max_examples=20, deadline=None)
    @given(logit=st.floats(-10, 10), s=st.floats(0, 0.5), label=st.sampled_from([0.0, 1.0]))
    def test_label_smoothing(self, logit, s, label):
        target = torch.tensor([[label * (1 - s) + s / 2]])
        expected = binary_cross_entropy_with_logits(torch.tensor([[logit]]), target)
        loss = ClassWeightedBCE(TRAINING[:, :1], "none", label_smoothing=s)
        actual = loss(torch.tensor([[logit]]), torch.tensor([[label]]))
        torch.testing.assert_close(actual, expected)

    def test_huge_logits_stay_finite(self):
        loss = ClassWeightedBCE(TRAINING)
        value = loss(torch.tensor([[1e4, -1e4, 0.0]]), torch.tensor([[0.0, 1.0, 1.0]]))
        assert value.isfinite()


class TestUnknown:
    def test_an_unknown_label_has_no_gradient(self):
        logits = torch.zeros(2, 3, requires_grad=True)
        labels = torch.tensor([[1.0, math.nan, 0.0], [math.nan] * 3])
        ClassWeightedBCE(TRAINING)(logits, labels).backward()
        assert (logits.grad != 0).tolist() == [[True, False, True], [False] * 3]

    def test_no_known_label_is_a_loss_of_nought(self):
        logits = torch.ones(2, 3, requires_grad=True)
        loss = ClassWeightedBCE(TRAINING)(logits, torch.full((2, 3), math.nan))
        loss.backward()
        assert loss == 0
        assert torch.equal(logits.grad, torch.zeros(2, 3))
