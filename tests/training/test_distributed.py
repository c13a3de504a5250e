"""Distributed: a wrapped network is saved, loaded and validated as the network itself.

Two real processes train in tests/monai_zoo/test_runs.py; here is one, in a group of its own.
"""

from __future__ import annotations

import pytest
import torch
from ignite.distributed import utils as ignite_state
from ignite.engine import Engine
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from monai_cxr.training.checkpoint import ResumableCheckpoint
from monai_cxr.training.distributed import SyncBuffers, gather_rows, plain


@pytest.fixture
def wrapped(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    store = f"file://{tmp_path}/store"
    distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield DistributedDataParallel(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)))
    distributed.destroy_process_group()
    ignite_state._set_model(ignite_state._SerialModel())  # it remembers the group


def test_plain(wrapped):
    assert plain(wrapped) is wrapped.module
    assert plain(wrapped.module) is wrapped.module


def test_a_checkpoint_holds_and_takes_the_network_itself(wrapped, tmp_path):
    def checkpoint(network: nn.Module) -> ResumableCheckpoint:
        paths = (str(tmp_path / "checkpoints"), str(tmp_path / "model.pt"))
        evaluator = Engine(lambda *_: None)
        return ResumableCheckpoint(*paths, network, {}, metric="auroc", evaluator=evaluator)

    def trainer(network: nn.Module) -> Engine:
        engine = Engine(lambda *_: None)
        checkpoint(network).attach(engine)
        return engine

    trainer(wrapped).run([0], max_epochs=1)
    weights = torch.load(tmp_path / "model.pt", weights_only=True)
    assert weights.keys() == wrapped.module.state_dict().keys()
    before = wrapped.module[0].weight.detach().clone()
    nn.init.zeros_(wrapped.module[0].weight)
    engine = trainer(wrapped)
    engine.run([0], max_epochs=1)  # nothing left to train: the weights are taken
    assert engine.state.epoch == 1
    assert torch.equal(wrapped.module[0].weight, before)


def test_one_process_needs_no_exchange(wrapped):
    rows = torch.rand(3, 2)
    assert gather_rows(rows) is rows
    evaluator = Engine(lambda *_: None)
    SyncBuffers(wrapped).attach(evaluator)
    before = {name: value.clone() for name, value in wrapped.module.named_buffers()}
    evaluator.run([0])
    assert all(torch.equal(value, before[name]) for name, value in wrapped.module.named_buffers())
