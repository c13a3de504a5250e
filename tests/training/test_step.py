"""Step: clipping by the global norm, also under a loss scale; plateaus; averages; early stops."""

from __future__ import annotations

import math

import pytest
import torch
from ignite.engine import Engine, Events

from monai_cxr.errors import SettingsError
from monai_cxr.training.averaging import WeightAverage
from monai_cxr.training.checkpoint import EarlyStop, ResumableCheckpoint
from monai_cxr.training.failures import ExplainOutOfMemory
from monai_cxr.training.step import CpuAutocast, PlateauSchedule, clip_gradients, compiled


def test_clipping_is_by_the_global_norm():
    parameter = torch.nn.Parameter(torch.zeros(2))
    optimizer = clip_gradients(torch.optim.SGD([parameter], lr=1.0), 2.0)
    parameter.grad = torch.tensor([3.0, 4.0])
    optimizer.step()
    torch.testing.assert_close(parameter.detach(), torch.tensor([-1.2, -1.6]), atol=1e-5, rtol=1e-4)


def test_a_loss_scale_is_taken_into_account():
    parameter = torch.nn.Parameter(torch.zeros(2))
    optimizer = clip_gradients(torch.optim.AdamW([parameter], fused=True), 2.0)
    optimizer.grad_scale = torch.tensor(10.0)  # as the scaler hands it to a fused optimiser
    optimizer.found_inf = torch.tensor(0.0)
    parameter.grad = torch.tensor([30.0, 40.0])
    optimizer.step()
    first_moment = optimizer.state[parameter]["exp_avg"]
    torch.testing.assert_close(first_moment, 0.1 * torch.tensor([1.2, 1.6]), atol=1e-5, rtol=1e-4)


def test_nought_clips_nothing():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = clip_gradients(torch.optim.SGD([parameter], lr=1.0), 0)
    parameter.grad = torch.tensor([1e6])
    optimizer.step()
    assert parameter.item() == -1e6


def test_a_network_that_is_not_compiled_is_itself():
    network = torch.nn.Linear(1, 1)
    assert compiled(network, wanted=False) is network


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3.0, math.nan, 2.0, 2.0, 2.0], [1, 1, 1, 1, 0.1]),
        ([3.0, 2.0, None, None, 2.0], [1, 1, 1, 1, 1]),  # not validated: nothing is known
    ],
)
def test_the_rate_falls_when_validation_has_stopped_falling(values, expected):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=1)
    evaluator, trainer = Engine(lambda *_: None), Engine(lambda *_: None)
    rates = []

    @trainer.on(Events.EPOCH_COMPLETED)
    def validate(engine: Engine) -> None:
        value = values[engine.state.epoch - 1]
        if value is not None:
            evaluator.state.epoch = engine.state.epoch  # as MONAI's validation handler does
            evaluator.state.metrics["val_loss"] = value

    PlateauSchedule(scheduler, evaluator, "val_loss").attach(trainer)
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED, lambda: rates.append(optimizer.param_groups[0]["lr"])
    )
    trainer.run([0], max_epochs=5)
    assert rates == pytest.approx(expected)


class TestCpuAutocast:
    @pytest.mark.parametrize(("wanted", "within"), [(True, torch.bfloat16), (False, torch.float32)])
    def test_casts_within_the_network_alone(self, wanted, within):
        network, seen = torch.nn.Linear(3, 2), []
        network.register_forward_hook(lambda *given: seen.append(given[2].dtype))
        logits = CpuAutocast(wanted=wanted)(torch.ones(4, 3), network)
        assert seen == [within]
        assert logits.dtype == torch.float32
        logits.sum().backward()
        assert network.weight.grad.dtype == torch.float32

    def test_a_type_that_needs_a_scaled_loss_is_refused(self):
        with pytest.raises(SettingsError, match=r"bfloat16, but got 'float16'"):
            CpuAutocast(wanted=True, dtype="float16")
        CpuAutocast(wanted=False, dtype="float16")  # that of a GPU


class TestWeightAverage:
    def network(self) -> torch.nn.Module:
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))

    def test_nought_is_the_network_itself(self):
        network = self.network()
        assert WeightAverage(network, 0.0).network is network

    def test_follows_the_formula_after_the_warm_up(self):
        network = self.network()
        average = WeightAverage(network, 0.9, warm_up=1)
        values = [network[0].weight[0, 0].item()]

        def step(*_: object) -> None:
            with torch.no_grad():
                network[0].weight += 1
            values.append(network[0].weight[0, 0].item())

        trainer = Engine(step)
        average.attach(trainer)
        trainer.run([0] * 4)
        expected = values[0]
        for i, value in enumerate(values[1:]):
            momentum = 0.2 if i == 0 else 0.1
            expected = (1 - momentum) * expected + momentum * value
        assert average.network[0].weight[0, 0].item() == pytest.approx(expected, rel=1e-5)
        assert not average.network.training

    def test_a_decay_of_one_is_refused(self):
        with pytest.raises(SettingsError, match=r"\[0, 1\), but got 1"):
            WeightAverage(self.network(), 1.0)


class TestCheckpointAndEarlyStop:
    def run(self, folder, values, *, epochs: int = 9, patience: int = 2, mode: str = "max"):
        network, averaged = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
        evaluator = Engine(lambda *_: None)
        checkpoint = ResumableCheckpoint(
            str(folder),
            str(folder / "model.pt"),
            network,
            {},
            metric="value",
            evaluator=evaluator,
            averaged=averaged,
            mode=mode,
        )
        trainer = Engine(lambda *_: None)

        @trainer.on(Events.EPOCH_COMPLETED)
        def validate(engine: Engine) -> None:
            evaluator.state.epoch = engine.state.epoch
            evaluator.state.metrics["value"] = values[engine.state.epoch - 1]
            with torch.no_grad():
                averaged.weight.fill_(engine.state.epoch)
                network.weight.fill_(-1)

        checkpoint.attach(trainer)
        EarlyStop(checkpoint, patience).attach(trainer)
        trainer.run([0], max_epochs=epochs)
        return trainer, checkpoint, averaged

    def test_the_averaged_weights_are_kept_and_resumed(self, tmp_path):
        self.run(tmp_path, [1.0, 2.0], epochs=2)
        best = torch.load(tmp_path / "model.pt", weights_only=True)
        assert best["weight"].item() == 2
        _, checkpoint, averaged = self.run(tmp_path, [1.0, 2.0], epochs=2)
        assert checkpoint.network.weight.item() == -1
        assert averaged.weight.item() == 2

    def test_stops_after_so_many_epochs_without_a_better_one(self, tmp_path):
        trainer, checkpoint, _ = self.run(tmp_path, [0.5, 0.9, 0.8, 0.7, 0.99])
        assert (trainer.state.epoch, checkpoint.best_epoch) == (4, 2)

    def test_a_stopped_run_stays_stopped(self, tmp_path):
        self.run(tmp_path, [0.5, 0.9, 0.8, 0.7, 0.99])
        trainer, checkpoint, _ = self.run(tmp_path, [0.5, 0.9, 0.8, 0.7, 0.99])
        assert (trainer.state.epoch, checkpoint.best_epoch) == (4, 2)

    def test_the_smallest_is_best_where_asked(self, tmp_path):
        _, checkpoint, _ = self.run(tmp_path, [0.5, 0.1, 0.3, 0.4], mode="min")
        assert (checkpoint.best_epoch, checkpoint.best_value) == (2, 0.1)

    def test_an_unknown_mode_is_refused(self, tmp_path):
        with pytest.raises(SettingsError, match="max or min"):
            self.run(tmp_path, [1.0], mode="largest")


class TestOutOfMemory:
    def fail(self, error: Exception) -> None:
        def step(*_: object) -> None:
            raise error

        trainer = Engine(step)
        trainer.logger.disabled = True
        ExplainOutOfMemory(32, 224).attach(trainer)
        trainer.run([0])

    @pytest.mark.parametrize(
        "error",
        [
            torch.OutOfMemoryError("CUDA out of memory."),
            MemoryError(),
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
        ],
    )
    def test_says_which_knob(self, error):
        with pytest.raises(
            SettingsError, match=r"batch_size=16 with accumulation_steps=2.*same --out"
        ):
            self.fail(error)

    def test_other_errors_stay(self):
        with pytest.raises(RuntimeError, match="shapes"):
            self.fail(RuntimeError("shapes do not match"))
