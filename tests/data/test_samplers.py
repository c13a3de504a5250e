"""Samplers: a function of seed and epoch, balanced where asked, shared by processes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_cxr.data import samplers
from monai_cxr.data.augmentation import BatchAugmentation
from monai_cxr.data.samplers import EpochSampler, film_weights
from monai_cxr.errors import SettingsError

NAN = float("nan")
LABELS = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [NAN, 0.0], [1.0, NAN]])


def as_process(monkeypatch, rank, world_size):
    """Both parts ask the same function which process they are of."""
    for module in ("samplers", "augmentation"):
        monkeypatch.setattr(f"monai_cxr.data.{module}.process_share", lambda: (rank, world_size))


class TestOrder:
    @settings(max_examples=30, deadline=None)
    @given(n=st.integers(1, 60), seed=st.integers(0, 9), epoch=st.integers(0, 9))
    def test_each_film_once_and_repeatable(self, n, seed, epoch):
        one, two = EpochSampler(n, seed), EpochSampler(n, seed)
        one.set_epoch(epoch)
        two.set_epoch(epoch + 1)
        list(two)
        two.set_epoch(epoch)
        order = list(one)
        assert sorted(order) == list(range(n))
        assert list(two) == order
        assert len(one) == n

    def test_epochs_and_seeds_differ(self):
        orders = set()
        for seed, epoch in ((0, 0), (0, 1), (1, 0)):
            sampler = EpochSampler(100, seed)
            sampler.set_epoch(epoch)
            orders.add(tuple(sampler))
        assert len(orders) == 3

    def test_drawn_by_weight(self):
        weights = torch.tensor([0.0, 1.0, 3.0] + [0.0] * 997)
        sampler = EpochSampler(1000, seed=1, weights=weights)
        order = list(sampler)
        assert list(sampler) == order
        assert set(order) == {1, 2}
        assert 700 < order.count(2) < 800  # 3 in 4, five standard deviations are 68
        sampler.set_epoch(1)
        assert list(sampler) != order

    def test_weights_of_other_films(self):
        with pytest.raises(SettingsError, match="each of 3 films, got 2"):
            EpochSampler(3, weights=torch.ones(2))


class TestProcesses:
    @settings(max_examples=30, deadline=None)
    @given(n=st.integers(1, 60), world_size=st.integers(1, 4), batch=st.integers(1, 4))
    def test_see_together_what_one_sees_alone(self, n, world_size, batch):
        with pytest.MonkeyPatch.context() as patch:
            as_process(patch, 0, 1)
            alone = list(EpochSampler(n, 3))
            shares = []
            for rank in range(world_size):
                as_process(patch, rank, world_size)
                sampler = EpochSampler(n, 3)
                shares.append(list(sampler))
                assert len(shares[-1]) == len(sampler) == n // world_size
        # The k-th batches of all processes together are the k-th batch of one process.
        whole = n // (world_size * batch)
        for k in range(whole):
            together = {film for share in shares for film in share[k * batch : (k + 1) * batch]}
            size = world_size * batch
            assert together == set(alone[k * size : (k + 1) * size])

    def test_change_films_as_one_process_would(self, monkeypatch):
        films = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        change = {"flip_probability": 0.5, "crop": 0.2, "seed": 4}
        alone = BatchAugmentation(**change)(films)
        for rank in range(2):
            as_process(monkeypatch, rank, 2)
            torch.testing.assert_close(BatchAugmentation(**change)(films[rank::2]), alone[rank::2])

    def test_the_share_is_asked_of_torch(self, tmp_path):
        assert samplers.process_share() == (0, 1)
        store = f"file://{tmp_path}/store"
        torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
        try:
            assert samplers.process_share() == (0, 1)
        finally:
            torch.distributed.destroy_process_group()


class TestWeights:
    def test_uniform_has_none(self):
        assert film_weights(LABELS) is None

    def test_balanced_gives_each_class_one_unit(self):
        weights = film_weights(LABELS, "balanced")
        # Finding 0 has three films, finding 1 one film, none of them three (unknown counts as no).
        expected = np.array([1 / 3, 1 / 3, 1 / 3, 1 / 3 + 1, 1 / 3, 1 / 3])
        np.testing.assert_allclose(weights, expected)
        assert weights.sum() == pytest.approx(3)

    def test_balanced_raises_a_rare_finding(self):
        labels = torch.zeros(1000, 2)
        labels[:5, 0] = 1
        labels[5:500, 1] = 1
        order = torch.tensor(list(EpochSampler(1000, 0, film_weights(labels, "balanced"))))
        assert 0.25 < (labels[order, 0] == 1).double().mean() < 0.42

    def test_weighted_takes_the_largest_of_a_film(self):
        weights = film_weights(
            LABELS,
            "weighted",
            findings=("Mass", "Hernia"),
            finding_weights={"Mass": 2, "Hernia": 9},
        )
        assert weights.tolist() == [2, 1, 1, 9, 1, 2]

    def test_a_weight_below_one_makes_rarer(self):
        weights = film_weights(
            LABELS, "weighted", findings=("Mass", "Hernia"), finding_weights={"Mass": 0.5}
        )
        assert weights.tolist() == [0.5, 1, 1, 0.5, 1, 0.5]

    @pytest.mark.parametrize(
        ("sampling", "by_finding"),
        [
            ("fair", None),
            ("weighted", None),
            ("balanced", {"Mass": 2}),
            ("weighted", {"Gout": 2}),
            ("weighted", {"Mass": 0}),
            ("weighted", {"Mass": NAN}),
        ],
    )
    def test_refusals(self, sampling, by_finding):
        with pytest.raises(SettingsError):
            film_weights(LABELS, sampling, findings=("Mass", "Edema"), finding_weights=by_finding)
