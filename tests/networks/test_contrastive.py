"""Contrastive: embeddings, momentum and queue, and what the losses make of them."""

from __future__ import annotations

import copy

import pytest
import torch
from monai.losses import BarlowTwinsLoss
from torch import nn
from torch.nn import functional

from monai_cxr.data.pairs import PairedFilms, PairSampler
from monai_cxr.errors import SettingsError
from monai_cxr.networks.contrastive import Embedder, MomentumQueue, TwoViews, pretext_network
from monai_cxr.networks.small import SmallResNet
from monai_cxr.training.pretext import Collapse, PretextLoss


@pytest.fixture
def network():
    torch.manual_seed(0)
    return SmallResNet(1, 1, width=4, blocks=(1, 1))


@pytest.fixture
def images():
    return torch.randn(12, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def test_the_embedding_is_what_enters_the_head(network, images):
    network.eval()
    embedding = Embedder(network)(images)
    assert torch.allclose(network.classifier(embedding), network(images), atol=1e-6)
    assert not any(p.requires_grad for p in network.classifier.parameters())


def test_twins_learn_and_leave_the_head(network, images):
    model = pretext_network(Embedder(network), "barlow_twins", {"width": 16})
    assert isinstance(model, TwoViews)
    head = copy.deepcopy(network.classifier.state_dict())
    loss = PretextLoss("barlow_twins")
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 0.01)
    values = []
    for _ in range(8):
        optimizer.zero_grad()
        value = loss(model(torch.cat([images, images.flip(3)])), torch.empty(0))
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < values[0]
    assert all(torch.equal(v, head[k]) for k, v in network.classifier.state_dict().items())


@pytest.mark.parametrize("n", [2, 6])
def test_the_loss_of_twins_is_monai_s_and_so_are_its_gradients(n):
    outputs = torch.randn(2 * n, 5, generator=torch.Generator().manual_seed(n), requires_grad=True)
    ours = PretextLoss("barlow_twins", redundancy=0.1)(outputs, torch.empty(0))
    theirs = BarlowTwinsLoss(lambd=0.1)(*outputs.chunk(2)) / 5
    gradients = [torch.autograd.grad(value, outputs)[0] for value in (ours, theirs)]
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(*gradients)


class TestQueue:
    def model(self, network, **options):
        return MomentumQueue(Embedder(network), 8, **{"queue": 10, "momentum": 0.5} | options)

    def test_holds_the_latest_keys_in_order(self, network, images):
        model = self.model(network)
        for _ in range(2):
            model(torch.cat([images[:6], images[6:]]))
        assert int(model.place) == 2
        norms = model.queue.norm(dim=1)
        assert torch.allclose(norms, torch.ones(10), atol=1e-5)

    def test_more_keys_than_places(self, network, images):
        model = self.model(network, queue=4)
        model(torch.cat([images, images]))
        assert torch.isfinite(model.queue).all()

    def test_the_copy_follows_slowly(self, network, images):
        model = self.model(network)
        before = model.slow[1][0].weight.clone()
        with torch.no_grad():
            model.projector[0].weight.add_(1.0)
        model(torch.cat([images, images]))
        assert torch.allclose(model.slow[1][0].weight, before + 0.5, atol=1e-5)

    def test_keys_keep_their_films(self, network, images):
        """In the order in which they came, whatever order they were computed in."""
        model = self.model(network)
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d | nn.BatchNorm1d):
                part.eval()
                part.train = lambda mode=True: None
        with torch.no_grad():
            shuffled = model._keys(images)
            plain = model.slow(images)
        assert torch.allclose(shuffled, plain, atol=1e-5)

    def test_evaluation_changes_nothing(self, network, images):
        model = self.model(network).eval()
        state = copy.deepcopy(model.state_dict())
        model(images)
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())

    def test_the_loss_is_that_of_finding_oneself(self, network, images):
        model = self.model(network, temperature=0.1).eval()
        outputs = model(torch.cat([images, images])).detach()
        expected = functional.cross_entropy(outputs, torch.zeros(12, dtype=torch.long))
        assert PretextLoss("moco")(outputs, torch.empty(0)) == pytest.approx(float(expected))
        assert torch.allclose(outputs[:, 0], torch.full((12,), 10.0), atol=1e-3)

    @pytest.mark.parametrize("wrong", [{"queue": 0}, {"momentum": 1.0}, {"temperature": 0.0}])
    def test_numbers_out_of_range(self, network, wrong):
        with pytest.raises(SettingsError, match="Expected a queue"):
            self.model(network, **wrong)


def test_collapse_tells_one_point_from_many():
    generator = torch.Generator().manual_seed(0)
    spread = torch.randn(200, 8, generator=generator)
    point = torch.ones(200, 8) + 1e-4 * torch.randn(200, 1, generator=generator)
    values = []
    for embeddings in (spread, point):
        metric = Collapse()
        metric.update((embeddings, torch.empty(200, 0)))
        values.append(metric.compute())
    assert values[0] < 0.1
    assert values[1] > 0.85  # one of eight dimensions


class TestPairs:
    DATA = ({"study": "a"}, {"study": "a"}, {"study": "b"}, {"study": "c"}, {"study": "a"})

    def test_are_of_one_study_and_another_film(self):
        sampler = PairSampler(self.DATA, seed=3)
        seen = set()
        for epoch in range(20):
            sampler.set_epoch(epoch)
            pairs = list(sampler)
            assert sorted(first for first, _ in pairs) == [0, 1, 2, 3, 4]
            for first, second in pairs:
                assert self.DATA[first] == self.DATA[second]
                alone = self.DATA[first]["study"] != "a"
                assert (first == second) == alone
            seen |= set(pairs)
        assert {(0, 1), (0, 4), (1, 0), (1, 4), (4, 0), (4, 1)} <= seen

    def test_are_a_function_of_the_epoch(self):
        orders = []
        for _ in range(2):
            sampler = PairSampler(self.DATA, seed=3)
            sampler.set_epoch(5)
            orders.append(list(sampler))
        assert orders[0] == orders[1]

    def test_come_whole_where_films_do(self):
        class Films:
            data = TestPairs.DATA

            def __len__(self):
                return 5

            def __getitems__(self, places):
                return {"image": torch.tensor(places), "label": torch.empty(len(places), 0)}

        batch = PairedFilms(Films()).__getitems__([(0, 1), (2, 2)])
        assert batch["image"].tolist() == [0, 2]
        assert batch["partner"].tolist() == [1, 2]
