"""Checkpoint: what is best, and that a run which was stopped ends like one that was not."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from monai_cxr.data.samplers import EpochSampler
from monai_cxr.errors import InvalidBundle, SettingsError
from monai_cxr.training import checkpoint as module
from monai_cxr.training.checkpoint import EpochSeed, ResumableCheckpoint

DATA = torch.randn(24, 5, generator=torch.Generator().manual_seed(1))


class Stopped(Exception):
    """Stands for a process that is killed."""


class Toy:
    """A small network trained as the bundle's is: OneCycle, an order by epoch, a checkpoint."""

    def __init__(self, folder: Path, *, epochs: int = 4, values=(), width: int = 3) -> None:
        torch.manual_seed(0)
        self.folder = folder
        self.network = nn.Sequential(
            nn.Linear(5, width), nn.BatchNorm1d(width), nn.Dropout(0.3), nn.Linear(width, 1)
        )
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=0.05)
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, max_lr=0.05, total_steps=6 * epochs
        )
        self.epochs = epochs
        self.sampler = EpochSampler(len(DATA), seed=2)
        self.trainer = Engine(self._step)
        self.evaluator = Engine(lambda *_: None)
        self.values = dict(enumerate(values, start=1))
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self._validate)
        EpochSeed([self.sampler]).attach(self.trainer)
        self.checkpoint = ResumableCheckpoint(
            str(folder / "checkpoints"),
            str(folder / "models" / "model.pt"),
            self.network,
            {"optimizer": self.optimizer, "scheduler": self.scheduler},
            metric="auroc",
            evaluator=self.evaluator,
        )
        self.checkpoint.attach(self.trainer)

    def _step(self, engine: Engine, rows: torch.Tensor) -> float:
        films = DATA[rows]
        loss = (self.network(films).squeeze(1) - films.sum(1)).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()
        return float(loss.detach())

    def _validate(self, engine: Engine) -> None:
        if engine.state.epoch in self.values or not self.values:
            value = self.values.get(engine.state.epoch, engine.state.epoch / 10)
            self.evaluator.state.epoch = engine.state.epoch  # as MONAI's validation handler does
            self.evaluator.state.metrics["auroc"] = value

    def run(self, *, stop_at: int = 0) -> Toy:
        if stop_at:

            @self.trainer.on(Events.ITERATION_COMPLETED(once=stop_at))
            def stop() -> None:
                raise Stopped

        batches = torch.utils.data.BatchSampler(self.sampler, 4, drop_last=True)
        loader = torch.utils.data.DataLoader(range(len(DATA)), batch_sampler=batches)
        self.trainer.run(loader, max_epochs=self.epochs)
        return self

    @property
    def best(self) -> dict[str, torch.Tensor]:
        return torch.load(self.folder / "models" / "model.pt", weights_only=True)

    @property
    def last(self) -> dict:
        return torch.load(self.folder / "checkpoints" / "last.pt", weights_only=True)


def equal(one: object, two: object) -> bool:
    """Whether nested states are the same to the bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(equal(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(equal, one, two))
    return one == two


class TestBest:
    def test_the_largest_value_wins(self, tmp_path):
        toy = Toy(tmp_path, values=[0.5, 0.7, 0.6, 0.65]).run()
        assert toy.last["best_epoch"] == 2
        assert toy.last["best_value"] == 0.7
        assert not equal(toy.best, toy.network.state_dict())
        assert equal(toy.last["network"], toy.network.state_dict())

    @pytest.mark.parametrize(
        ("values", "best_epoch"),
        [
            ([0.5, math.nan, 0.4, math.nan], 1),
            ([math.nan, 0.3, math.nan, math.nan], 2),
            ([math.nan] * 4, 4),
            ([0.5, 0.5, 0.5, 0.5], 1),
        ],
    )
    def test_a_value_that_is_none_never_wins(self, tmp_path, values, best_epoch):
        assert Toy(tmp_path, values=values).run().last["best_epoch"] == best_epoch

    def test_an_epoch_without_validation_never_wins(self, tmp_path):
        toy = Toy(tmp_path)
        toy.values = {2: 0.6}
        assert toy.run().last["best_epoch"] == 2

    def test_the_weights_are_a_plain_state_dictionary(self, tmp_path):
        toy = Toy(tmp_path).run()
        assert toy.best.keys() == toy.network.state_dict().keys()


class TestResume:
    @pytest.mark.parametrize("stop_at", [1, 6, 7, 13, 23])
    def test_ends_as_if_it_had_not_stopped(self, tmp_path, stop_at):
        whole = Toy(tmp_path / "whole").run()
        with pytest.raises(Stopped):
            Toy(tmp_path / "cut").run(stop_at=stop_at)
        resumed = Toy(tmp_path / "cut").run()
        assert equal(whole.network.state_dict(), resumed.network.state_dict())
        assert equal(whole.last, resumed.last)
        best = [(tmp_path / run / "models" / "model.pt").read_bytes() for run in ("whole", "cut")]
        assert best[0] == best[1]

    def test_keeps_the_best_of_before(self, tmp_path):
        with pytest.raises(Stopped):
            Toy(tmp_path, values=[0.5, 0.9, 0.6, 0.6]).run(stop_at=13)
        assert Toy(tmp_path, values=[0.5, 0.9, 0.6, 0.6]).run().last["best_epoch"] == 2

    def test_a_finished_run_trains_no_further(self, tmp_path):
        before = Toy(tmp_path).run().best
        again = Toy(tmp_path).run()
        assert again.trainer.state.iteration == 24
        assert equal(again.best, before)

    def test_a_finished_run_can_go_on_for_longer(self, tmp_path):
        Toy(tmp_path, epochs=2).run()
        longer = Toy(tmp_path, epochs=4).run()
        assert longer.last["epoch"] == 4
        assert longer.scheduler.last_epoch == 24
        whole = Toy(tmp_path / "whole", epochs=4).run()
        assert longer.scheduler.get_last_lr() == whole.scheduler.get_last_lr()

    def test_not_when_told_so(self, tmp_path):
        Toy(tmp_path, epochs=1).run()
        toy = Toy(tmp_path, epochs=1)
        toy.checkpoint.resume = False
        assert toy.run().trainer.state.iteration == 6

    def test_another_network_is_refused(self, tmp_path):
        Toy(tmp_path).run()
        with pytest.raises(SettingsError, match="another network"):
            Toy(tmp_path, width=4).run()

    @pytest.mark.parametrize("content", [b"", b"no weights", None])
    def test_a_damaged_one_is_told(self, tmp_path, content):
        Toy(tmp_path).run()
        last = tmp_path / "checkpoints" / "last.pt"
        last.write_bytes(last.read_bytes()[:-500] if content is None else content)
        with pytest.raises(InvalidBundle, match=r"'last\.pt' are damaged.*begins anew"):
            Toy(tmp_path, epochs=9).run()

    def test_the_scaler_of_mixed_precision_is_kept(self, tmp_path):
        class Scaler:
            def __init__(self, scale: float) -> None:
                self.scale = scale

            def state_dict(self) -> dict[str, float]:
                return {"scale": self.scale}

            def load_state_dict(self, state: dict[str, float]) -> None:
                self.scale = state["scale"]

        first, second = Toy(tmp_path, epochs=1), Toy(tmp_path, epochs=2)
        first.trainer.scaler = Scaler(512.0)
        first.run()
        second.trainer.scaler = Scaler(1.0)
        second.run()
        assert second.trainer.scaler.scale == 512.0


class TestFiles:
    def test_two_processes_do_not_train_one_run(self, tmp_path):
        lock = tmp_path / "checkpoints" / ".lock"
        lock.parent.mkdir()
        code = (
            "import filelock, sys; lock = filelock.FileLock(sys.argv[1]); lock.acquire();"
            "print(flush=True); sys.stdin.read()"
        )
        other = subprocess.Popen(
            [sys.executable, "-c", code, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        other.stdout.readline()
        with pytest.raises(SettingsError, match="Another process is training this run"):
            Toy(tmp_path).run()
        other.kill()
        other.communicate()
        assert Toy(tmp_path, epochs=1).run().last["epoch"] == 1

    def test_a_failed_run_goes_on_in_the_same_process(self, tmp_path):
        failed = Toy(tmp_path, epochs=2)  # a notebook keeps it
        with pytest.raises(Stopped):
            failed.run(stop_at=8)
        assert Toy(tmp_path, epochs=2).run().last["epoch"] == 2

    def test_rests_of_a_killed_process_are_removed(self, tmp_path):
        rest = tmp_path / "checkpoints" / ".last-abc123.pt"
        rest.parent.mkdir()
        rest.write_bytes(b"half")
        Toy(tmp_path, epochs=1).run()
        assert not rest.exists()
        assert sorted(path.name for path in rest.parent.iterdir()) == [".lock", "last.pt"]

    def test_a_full_disk_leaves_the_last_checkpoint(self, tmp_path, monkeypatch):
        Toy(tmp_path, epochs=1).run()
        before = (tmp_path / "checkpoints" / "last.pt").read_bytes()

        write = module._write
        monkeypatch.setattr(module, "_write", lambda state, _: write(state, Path("/dev/full")))
        with pytest.raises(SettingsError, match="No space left"):
            Toy(tmp_path, epochs=2).run()
        assert (tmp_path / "checkpoints" / "last.pt").read_bytes() == before
        assert len(list((tmp_path / "models").iterdir())) == 1

    def test_what_the_disk_said_is_not_hidden_by_torch(self):
        """Of a large tensor the first bytes fail, and then torch fails to end its archive."""
        with pytest.raises(OSError, match="No space left"):
            module._write({"weight": torch.zeros(2**20)}, Path("/dev/full"))
