"""Search: knobs as people write them, trials that are runs, a study that goes on."""

from __future__ import annotations

import numpy as np
import pytest

from monai_cxr.data.medmnist import index_medmnist
from monai_cxr.errors import SettingsError
from monai_cxr.tables import write_table
from monai_cxr.training.search import Knob, parse_knob, search


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


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_study_goes_on(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "val"):
        arrays[f"{split}_images"] = rng.integers(0, 255, (16, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(16) % 2)[:, None].astype(np.uint8)
    np.savez(tmp_path / "a.npz", **arrays)
    write_table(index_medmnist(tmp_path / "a.npz", tmp_path / "films"), tmp_path / "index.parquet")
    settings = {
        "findings": ["Pneumonia"],
        "architecture": "lenet",
        "image_size": 28,
        "batch_size": 8,
        "max_epochs": 1,
        "num_workers": 0,
    }
    said: list[str] = []

    def go(n: int):
        return search(
            "chest_xray_classification",
            tmp_path / "index.parquet",
            tmp_path / "study",
            [parse_knob("weighting=none,chexnet"), parse_knob("learning_rate=log:1e-4:1e-2")],
            n_trials=n,
            settings=settings,
            say=said.append,
        )

    best = go(1)
    assert (best / "models" / "model.pt").is_file()
    assert go(1) == best
    assert len(said) == 1
    with pytest.raises(SettingsError, match="at least one knob"):
        search("chest_xray_classification", tmp_path / "index.parquet", tmp_path, [])
