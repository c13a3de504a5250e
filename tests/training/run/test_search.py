"""Search: knobs as people write them, trials that are runs, a study that goes on."""

from __future__ import annotations

import numpy as np
import pytest

from monai_cxr.data.sets.medmnist import index_medmnist
from monai_cxr.errors import SettingsError
from monai_cxr.tables import write_table
from monai_cxr.training.run import search as module
from monai_cxr.training.run.search import Knob, parse_knob, search
from monai_cxr.training.run.workflow import TrainingFailed


class TestKnobs:
    @pytest.mark.parametrize(
        ("text", "knob"),
        [
            ("learning_rate=log:1e-4:1e-2", Knob("learning_rate", "log", 1e-4, 1e-2)),
            ("label_smoothing=float:0:0.2", Knob("label_smoothing", "float", 0.0, 0.2)),
            ("batch_size=int:8:64", Knob("batch_size", "int", 8.0, 64.0)),
            ("weighting=none,chexnet", Knob("weighting", "choice", 0, 0, ('"none"', '"chexnet"'))),
            ("image_size=64,96", Knob("image_size", "choice", 0, 0, ("64", "96"))),
        ],
    )
    def test_are_read(self, text, knob):
        assert parse_knob(text) == knob

    @pytest.mark.parametrize(
        "text", ["", "lr", "=a,b", "lr=log:0:1", "lr=float:2:1", "lr=int:a:b", "lr=log:1", "lr="]
    )
    def test_others_are_refused(self, text):
        with pytest.raises(SettingsError, match="Cannot read the knob"):
            parse_knob(text)


SETTINGS = {
    "findings": ["Pneumonia"],
    "architecture": "lenet",
    "image_size": 28,
    "batch_size": 8,
    "max_epochs": 1,
    "num_workers": 0,
}


@pytest.fixture
def index(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "val"):
        arrays[f"{split}_images"] = rng.integers(0, 255, (16, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(16) % 2)[:, None].astype(np.uint8)
    np.savez(tmp_path / "a.npz", **arrays)
    write_table(index_medmnist(tmp_path / "a.npz", tmp_path / "films"), tmp_path / "index.parquet")
    return tmp_path / "index.parquet"


@pytest.fixture
def by_hand(monkeypatch):
    """Trials that only say what they would have trained with; one can be told to fail."""
    trained: list[dict] = []
    failing: list[bool] = []

    def train(_bundle, _index, _run, settings):
        trained.append(settings)
        if failing and failing.pop(0):
            raise TrainingFailed("status 1")
        return 0.5

    monkeypatch.setattr(module, "_train", train)
    return trained, failing


def go(out, n: int, said: list[str], index=None, knobs=("learning_rate=log:1e-4:1e-2",)):
    chosen = [parse_knob(text) for text in knobs]
    options = {"n_trials": n, "settings": SETTINGS, "say": said.append}
    return search("chest_xray_classification", index, out, chosen, **options)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_trial_is_a_run(index, tmp_path):
    said: list[str] = []
    knobs = ("weighting=none,chexnet", "learning_rate=log:1e-4:1e-2")
    best = go(tmp_path / "study", 1, said, index, knobs)
    assert (best / "models" / "model.pt").is_file()
    assert go(tmp_path / "study", 1, said, index, knobs) == best
    assert len(said) == 1
    with pytest.raises(SettingsError, match="at least one knob"):
        search("chest_xray_classification", index, tmp_path, [])


def test_a_study_that_goes_on_suggests_what_it_would_have(by_hand, tmp_path):
    trained, _ = by_hand
    go(tmp_path / "whole", 4, [])
    whole, trained[:] = list(trained), []
    for n in (1, 2, 4):
        go(tmp_path / "in_parts", n, [])
    assert trained == whole
    assert len({settings["learning_rate"] for settings in trained}) == 4


def test_a_trial_that_fails_is_said_and_passed_over(by_hand, tmp_path):
    trained, failing = by_hand
    failing[:] = [False, True, True, False]
    said: list[str] = []
    go(tmp_path / "study", 2, said)
    assert ["failed" in line for line in said] == [False, True, True, False]
    assert len({settings["learning_rate"] for settings in trained}) == 4
    failing[:] = [True] * 3
    with pytest.raises(SettingsError, match="3 trials in a row failed"):
        go(tmp_path / "study", 3, said)
    go(tmp_path / "study", 3, said)
