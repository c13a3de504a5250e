"""Losses: against torch's own, against formulas written out, and with unknown labels."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy_with_logits

from monai_cxr.errors import SettingsError
from monai_cxr.training.losses import LOSSES, FindingLoss
from monai_cxr.training.weighting import WEIGHTINGS

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


def masked_witness(loss: FindingLoss, logits, labels, weight=1.0):
    """torch's binary cross-entropy with pos_weight, over the known cells."""
    known = ~labels.isnan()
    cells = binary_cross_entropy_with_logits(
        logits, labels.nan_to_num(), pos_weight=loss.positive_weight, reduction="none"
    )
    return cells[known].sum() / max(int(known.sum()), 1)


class TestWeights:
    def weights(self, name: str, cap: float = 20.0):
        loss = FindingLoss(TRAINING, name, cap=cap)
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
            FindingLoss(TRAINING, "focal")

    @pytest.mark.parametrize("name", WEIGHTINGS)
    def test_weights_are_finite_without_any_label(self, name):
        loss = FindingLoss(torch.full((4, 2), math.nan), name)
        assert loss.positive_weight.isfinite().all()
        assert loss.negative_weight.isfinite().all()


class TestValues:
    @settings(max_examples=60, deadline=None)
    @given(rows=ROWS, name=st.sampled_from(["none", "pos_weight", "pos_weight_sqrt"]))
    def test_as_torch_over_known_labels(self, rows, name):
        logits = torch.tensor([row for row, _ in rows])
        labels = torch.tensor([row for _, row in rows])
        loss = FindingLoss(TRAINING, name)
        torch.testing.assert_close(
            loss(logits, labels), torch.as_tensor(masked_witness(loss, logits, labels))
        )

    @settings(max_examples=30, deadline=None)
    @given(logit=st.floats(-30, 30), label=st.sampled_from([0.0, 1.0]))
    def test_chexnet_is_its_formula(self, logit, label):
        p = 1 / (1 + math.exp(-logit))
        expected = -(0.8 * label * math.log(p) + 0.2 * (1 - label) * math.log1p(-p))
        loss = FindingLoss(TRAINING[:, :1].double(), "chexnet")
        actual = loss(torch.tensor([[logit]]).double(), torch.tensor([[label]]).double())
        assert float(actual) == pytest.approx(expected, rel=1e-5, abs=1e-7)

    @settings(max_examples=20, deadline=None)
    @given(logit=st.floats(-10, 10), s=st.floats(0, 0.5), label=st.sampled_from([0.0, 1.0]))
    def test_label_smoothing(self, logit, s, label):
        target = torch.tensor([[label * (1 - s) + s / 2]])
        expected = binary_cross_entropy_with_logits(torch.tensor([[logit]]), target)
        loss = FindingLoss(TRAINING[:, :1], "none", label_smoothing=s)
        actual = loss(torch.tensor([[logit]]), torch.tensor([[label]]))
        torch.testing.assert_close(actual, expected)

    def test_huge_logits_stay_finite(self):
        loss = FindingLoss(TRAINING)
        value = loss(torch.tensor([[1e4, -1e4, 0.0]]), torch.tensor([[0.0, 1.0, 1.0]]))
        assert value.isfinite()


class TestUnknown:
    def test_an_unknown_label_has_no_gradient(self):
        logits = torch.zeros(2, 3, requires_grad=True)
        labels = torch.tensor([[1.0, math.nan, 0.0], [math.nan] * 3])
        FindingLoss(TRAINING)(logits, labels).backward()
        assert (logits.grad != 0).tolist() == [[True, False, True], [False] * 3]

    def test_no_known_label_is_a_loss_of_nought(self):
        logits = torch.ones(2, 3, requires_grad=True)
        loss = FindingLoss(TRAINING)(logits, torch.full((2, 3), math.nan))
        loss.backward()
        assert loss == 0
        assert torch.equal(logits.grad, torch.zeros(2, 3))


def cells(seed: int = 0, n: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, N_FINDINGS, generator=generator, dtype=torch.float64) * 3
    labels = (torch.rand(n, N_FINDINGS, generator=generator) < 0.4).double()
    labels[::7, 1] = math.nan
    return logits, labels


def mean_over_known(values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return values[~labels.isnan()].mean()


class TestNamedLosses:
    """Each against another implementation, or its paper's formula written out."""

    def loss(self, name: str, **options) -> torch.Tensor:
        return FindingLoss(TRAINING, "none", name=name, options=options)(*cells())

    @pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
    def test_focal_is_torchvision_s_and_monai_s(self, gamma):
        from monai.losses import FocalLoss
        from torchvision.ops import sigmoid_focal_loss

        logits, labels = cells()
        other = sigmoid_focal_loss(logits, labels.nan_to_num(), alpha=-1, gamma=gamma)
        torch.testing.assert_close(self.loss("focal", gamma=gamma), mean_over_known(other, labels))
        monai = FocalLoss(gamma=gamma, reduction="none")(logits, labels.nan_to_num())
        torch.testing.assert_close(
            self.loss("focal", gamma=gamma), mean_over_known(monai.double(), labels)
        )

    @pytest.mark.parametrize("clip", [0.0, 0.05])
    def test_asymmetric_is_its_formula(self, clip):
        logits, labels = cells()
        p = logits.sigmoid().clamp(1e-12, 1 - 1e-12)
        low = (p - clip).clamp(min=0)
        expected = torch.where(
            labels == 1, -((1 - p) ** 1.0) * p.log(), -(low**4.0) * (1 - low).log()
        )
        torch.testing.assert_close(
            self.loss("asymmetric", clip=clip), mean_over_known(expected, labels)
        )

    @pytest.mark.parametrize("q", [0.3, 0.7, 1.0])
    def test_generalised_is_its_formula(self, q):
        logits, labels = cells()
        p = logits.sigmoid()
        right = torch.where(labels == 1, p, 1 - p)
        expected = mean_over_known((1 - right**q) / q, labels)
        torch.testing.assert_close(self.loss("generalised_cross_entropy", q=q), expected)

    def test_generalised_tends_to_cross_entropy(self):
        near = self.loss("generalised_cross_entropy", q=1e-5)
        torch.testing.assert_close(near, self.loss("bce"), atol=1e-3, rtol=1e-3)

    def test_symmetric_adds_the_reverse_cross_entropy(self):
        logits, labels = cells()
        p, y = logits.sigmoid(), labels
        two = torch.stack((p, 1 - p))
        truth = torch.stack((y, 1 - y))
        reverse = -(two * torch.where(truth == 1, 0.0, -4.0)).sum(dim=0)
        expected = 0.5 * self.loss("bce") + mean_over_known(reverse, labels)
        torch.testing.assert_close(self.loss("symmetric_cross_entropy"), expected)

    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    def test_softmax_is_torch_s_cross_entropy(self, smoothing):
        from monai_cxr.networks.wrappers import OneVersusRest

        scores = torch.randn(20, 4, dtype=torch.float64)
        classes = torch.arange(20) % 4
        labels = torch.eye(4, dtype=torch.float64)[classes]
        loss = FindingLoss(labels, "none", name="softmax", label_smoothing=smoothing)
        expected = torch.nn.functional.cross_entropy(scores, classes, label_smoothing=smoothing)
        odds = OneVersusRest(torch.nn.Identity())(scores)
        torch.testing.assert_close(loss(odds, labels), expected)

    def test_auc_margin_is_monai_s_at_the_optimum_of_its_inner_problem(self):
        from monai.losses import AUCMLoss

        logits, labels = cells()
        expected = []
        for i in range(N_FINDINGS):
            known = ~labels[:, i].isnan()
            scores, truth = logits[known, i].sigmoid(), labels[known, i]
            monai = AUCMLoss(version="v2")
            a, b = scores[truth == 1].mean(), scores[truth == 0].mean()
            with torch.no_grad():
                monai.a.fill_(a), monai.b.fill_(b), monai.alpha.fill_((1 + b - a).clamp(min=0))
            expected.append(monai(scores[:, None], truth[:, None]))
        torch.testing.assert_close(
            self.loss("auc_margin"), torch.stack(expected).mean().detach(), atol=1e-6, rtol=1e-5
        )

    def test_auc_margin_needs_both_classes(self):
        logits = torch.randn(4, 1, requires_grad=True)
        loss = FindingLoss(TRAINING[:, :1], name="auc_margin")(logits, torch.ones(4, 1))
        loss.backward()
        assert loss == 0
        assert torch.equal(logits.grad, torch.zeros(4, 1))

    def test_batch_balanced_counts_the_batch(self):
        logits, labels = cells()
        logits, labels = logits[:, :1], labels[:, :1]
        positive, negative = int((labels == 1).sum()), int((labels == 0).sum())
        n = positive + negative
        weight = torch.where(labels == 1, n / positive, n / negative)
        expected = binary_cross_entropy_with_logits(logits, labels, weight=weight)
        loss = FindingLoss(TRAINING[:, :1], "batch_balanced")
        torch.testing.assert_close(loss(logits, labels), expected)

    @pytest.mark.parametrize("name", LOSSES)
    def test_unknown_labels_have_no_gradient_and_huge_logits_a_finite_one(self, name):
        logits = torch.tensor([[60.0, -60.0, 0.5], [1.0, -2.0, 30.0]], requires_grad=True)
        labels = torch.tensor([[0.0, 1.0, math.nan], [1.0, 0.0, math.nan]])
        FindingLoss(TRAINING, name=name)(logits, labels).backward()
        assert torch.isfinite(logits.grad).all()
        assert torch.equal(logits.grad[:, 2], torch.zeros(2))

    @pytest.mark.parametrize("name", LOSSES)
    def test_half_precision_is_computed_in_single(self, name):
        logits, labels = cells()
        half = FindingLoss(TRAINING, name=name)(logits.bfloat16(), labels.float())
        assert half.dtype == torch.float32

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"name": "hinge"}, "Unknown loss 'hinge'.*bce"),
            ({"name": "focal", "options": {"alpha": 1}}, "no option 'alpha'. It has: gamma"),
            ({"name": "bce", "options": {"q": 1}}, "It has: none"),
            ({"label_smoothing": 1.5}, "label_smoothing in"),
            ({"forget_rate": -0.1}, "forget_rate in"),
        ],
    )
    def test_what_is_unknown_is_refused(self, arguments, message):
        with pytest.raises(SettingsError, match=message):
            FindingLoss(TRAINING, **arguments)


class TestSmallLossSelection:
    def test_the_worst_labels_of_each_class_do_not_count(self):
        values = [[-9.0], [1.0], [2.0], [3.0], [9.0], [-1.0], [-2.0], [-3.0]]
        logits = torch.tensor(values, requires_grad=True)
        labels = torch.tensor([[1.0]] * 4 + [[0.0]] * 4)
        loss = FindingLoss(labels, "none", forget_rate=0.25, forget_epochs=2)
        everything = FindingLoss(labels, "none")
        assert loss(logits, labels) == everything(logits, labels)  # the first epoch forgets none
        loss.set_epoch(2)  # an eighth of four labels is less than one
        assert loss(logits, labels) == everything(logits, labels)
        loss.set_epoch(3)
        kept = [1, 2, 3, 5, 6, 7]
        torch.testing.assert_close(loss(logits, labels), everything(logits[kept], labels[kept]))
        validated = logits.detach()
        assert loss(validated, labels) == everything(validated, labels)


class TestLogitAdjustment:
    """Menon et al., ICLR 2021, by finding: the loss is of the logit plus the training log odds."""

    def test_is_its_formula(self):
        labels = torch.tensor([[1.0, 0.0, 0.0]])
        logits = torch.tensor([[0.5, -1.0, 2.0]])
        odds = torch.tensor([2.5 / 8.5, 5.5 / 5.5, 0.5 / 10.5]).log()
        for share in (0.5, 1.0):
            loss = FindingLoss(TRAINING, "none", logit_adjustment=share)
            expected = binary_cross_entropy_with_logits(logits + share * odds, labels)
            assert loss(logits, labels).item() == pytest.approx(expected.item(), abs=1e-6)

    def test_an_output_that_knows_nothing_begins_at_nought(self):
        """What the film adds to the log odds is nothing yet."""
        loss = FindingLoss(TRAINING, "none", logit_adjustment=1.0)
        assert loss.prior_logits.abs().max().item() < 1e-5

    def test_a_calibration_can_undo_it(self):
        """The odds that the run record states are those by which the output is off."""
        from monai_cxr.training.run.manifest import _loss

        names = ["a", "b", "c"]
        table = pd.DataFrame(TRAINING.numpy(), columns=names)
        config = {"weighting": "none", "logit_adjustment": 1.0}
        stated = _loss(table, names, config)["positive_weights"]
        assert stated["a"] == pytest.approx(8.5 / 2.5)
        assert stated["b"] == pytest.approx(1.0)

    def test_losses_of_a_whole_batch_take_none(self):
        with pytest.raises(SettingsError, match="auc_margin"):
            FindingLoss(TRAINING, "none", name="auc_margin", logit_adjustment=1.0)
