"""Progress: a row an epoch, also of a run that was continued; a stop when the loss is lost."""

from __future__ import annotations

import math
import sys

import pandas as pd
import pytest
import torch
from ignite.engine import Engine, Events

from monai_cxr.errors import SettingsError
from monai_cxr.tables import write_table
from monai_cxr.training.failures import StopOnNaN, tell_in_words
from monai_cxr.training.progress import EpochProgress, EpochReport


def run(
    table, *, epochs: int, first: int = 1, losses=(0.5, 1.5), every: int = 1, terminal: bool = False
) -> Engine:
    """Epochs of two batches of three films; the metric is the epoch's number."""
    evaluator = Engine(lambda *_: None)
    trainer = Engine(lambda _, loss: {"loss": torch.tensor(loss), "label": torch.zeros(3, 2)})
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.25)
    progress = EpochProgress(evaluator, "auroc", str(table), optimizer)
    progress._console._force_terminal = terminal
    progress.attach(trainer)

    @trainer.on(Events.STARTED)
    def resume() -> None:  # as the checkpoint does: after the progress was attached
        trainer.state.epoch = first - 1

    @trainer.on(Events.EPOCH_COMPLETED(every=every))
    def validate() -> None:
        evaluator.state.epoch = trainer.state.epoch  # as MONAI's validation handler does
        evaluator.state.metrics["auroc"] = float(trainer.state.epoch)

    EpochReport(progress).attach(trainer)
    trainer.run(list(losses), max_epochs=epochs)
    return trainer


class TestTable:
    def test_a_row_an_epoch(self, tmp_path):
        run(tmp_path / "metrics.csv", epochs=2)
        table = pd.read_csv(tmp_path / "metrics.csv")
        assert table["epoch"].tolist() == [1, 2]
        assert table["loss"].tolist() == [1.0, 1.0]
        assert table["auroc"].tolist() == [1.0, 2.0]
        assert table["learning_rate"].tolist() == [0.25, 0.25]
        assert (table["images_per_second"] > 0).all()

    def test_an_epoch_without_validation_has_no_metric(self, tmp_path, capsys):
        run(tmp_path / "metrics.csv", epochs=5, every=2)
        found = pd.read_csv(tmp_path / "metrics.csv")["auroc"]
        assert found.fillna(0).tolist() == [0.0, 2.0, 0.0, 4.0, 0.0]
        assert ["macro AUROC" in line for line in capsys.readouterr().err.splitlines()] == [
            False, True, False, True, False
        ]  # fmt: skip

    def test_a_continued_run_continues_it(self, tmp_path):
        run(tmp_path / "metrics.csv", epochs=3)
        run(tmp_path / "metrics.csv", epochs=5, first=3, losses=(4.0, 4.0))
        table = pd.read_csv(tmp_path / "metrics.csv")
        assert table["epoch"].tolist() == [1, 2, 3, 4, 5]
        assert table["loss"].tolist() == [1.0, 1.0, 4.0, 4.0, 4.0]

    def test_a_new_run_begins_it_anew(self, tmp_path):
        write_table(pd.DataFrame({"epoch": [1, 2, 3], "loss": 9.0}), tmp_path / "metrics.csv")
        run(tmp_path / "metrics.csv", epochs=1)
        assert pd.read_csv(tmp_path / "metrics.csv")["loss"].tolist() == [1.0]


class TestLine:
    def test_says_loss_metric_and_time(self, tmp_path, capsys):
        run(tmp_path / "metrics.csv", epochs=1)
        out, err = capsys.readouterr()
        assert out == ""
        assert "epoch   1/1  loss 1.0000  macro AUROC 1.000" in err

    def test_a_bar_on_a_terminal(self, tmp_path, capsys):
        run(tmp_path / "metrics.csv", epochs=1, terminal=True)
        err = capsys.readouterr().err
        assert err.rindex("\x1b[?25h") > err.rindex("\x1b[?25l")  # the cursor is shown again


class TestStopOnNaN:
    @pytest.mark.parametrize("loss", [math.nan, math.inf])
    def test_stops_and_says_what_to_do(self, loss):
        trainer = Engine(lambda _, value: {"loss": value})
        StopOnNaN().attach(trainer)
        with pytest.raises(SettingsError, match=r"epoch 1, iteration 2.*Lower learning_rate"):
            trainer.run([0.3, loss, 0.3], max_epochs=2)

    @pytest.mark.parametrize(
        ("epoch", "kept"), [(1, "no epoch was complete"), (2, "train --from this run starts")]
    )
    def test_says_what_is_kept(self, epoch, kept):
        trainer = Engine(lambda e, _: {"loss": math.nan if e.state.epoch == epoch else 0.3})
        StopOnNaN().attach(trainer)
        with pytest.raises(SettingsError, match=f"epoch {epoch}.*{kept}"):
            trainer.run([0], max_epochs=3)

    def test_weights_that_the_last_step_broke_are_not_kept(self):
        """The loss of that step was still a number; it would be lost in the next epoch only."""
        trainer = Engine(lambda *_: {"loss": 0.3})
        trainer.network = torch.nn.Linear(1, 1)
        StopOnNaN().attach(trainer)
        kept = []
        trainer.add_event_handler(
            Events.EPOCH_COMPLETED, lambda engine: kept.append(engine.state.epoch)
        )

        @trainer.on(Events.ITERATION_COMPLETED(once=3))
        def breaks(engine: Engine) -> None:
            with torch.no_grad():
                engine.network.bias.fill_(math.inf)

        with pytest.raises(SettingsError, match="weights became infinite at epoch 2"):
            trainer.run([0, 0], max_epochs=3)
        assert kept == [1]

    def test_a_number_goes_on(self):
        trainer = Engine(lambda _, value: {"loss": torch.tensor(value)})
        StopOnNaN().attach(trainer)
        assert trainer.run([0.3, 0.0], max_epochs=2).iteration == 4


class TestWords:
    @pytest.fixture
    def told(self, monkeypatch, capsys):
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # put back at the end
        monkeypatch.delenv("MONAI_CXR_DEBUG", raising=False)
        tell_in_words()

        def end_with(error: Exception) -> str:
            sys.excepthook(type(error), error, error.__traceback__)
            return capsys.readouterr().err

        return end_with

    def test_the_reason_is_one_sentence(self, told):
        """MONAI's parser raises errors of its own, once for each config item around the reason."""
        error = RuntimeError("Failed to evaluate ConfigExpression")
        error.__cause__ = RuntimeError("applying transform")
        error.__cause__.__cause__ = SettingsError("The loss became nan.")
        assert told(error) == "monai-cxr: The loss became nan.\n"

    def test_the_engines_do_not_say_it_before(self, told, caplog):
        class SupervisedTrainer(Engine):
            """Loggers of engines are named by their class."""

        def fail(*_: object) -> None:
            raise SettingsError("why")

        engine = SupervisedTrainer(fail)
        with pytest.raises(SettingsError, match="why"):
            engine.run([0])
        engine.logger.error("Another error.")
        assert caplog.messages == ["Another error."]

    def test_other_errors_keep_their_traceback(self, told):
        assert "ValueError: shapes" in told(ValueError("shapes"))

    def test_a_debugger_sees_everything(self, told, monkeypatch):
        monkeypatch.setenv("MONAI_CXR_DEBUG", "1")
        assert "SettingsError: why" in told(SettingsError("why"))
