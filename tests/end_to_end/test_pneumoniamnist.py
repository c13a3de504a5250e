"""PneumoniaMNIST as its page says: one command makes a bundle that answers on 28-px PNG files."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import numpy as np
import pandas as pd
import pytest
from PIL import Image

COMMAND = [sys.executable, "-c", "from monai_cxr.cli import main; main()"]


def monai_cxr(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=900,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pneumoniamnist")
    rng = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 128), ("val", 48), ("test", 24)):
        films = rng.integers(60, 130, (n, 28, 28))
        labels = np.arange(n) % 2
        films[labels == 1, 10:18, 6:14] += 90
        arrays[f"{split}_images"] = films.astype(np.uint8)
        arrays[f"{split}_labels"] = labels[:, None].astype(np.uint8)
    np.savez(folder / "pneumoniamnist.npz", **arrays)
    (folder / "images").mkdir()
    for i, film in enumerate(arrays["test_images"]):
        Image.fromarray(film).save(folder / "images" / f"{i:02d}.png")
    done = monai_cxr(
        *("train", "chest_xray_classification", "--preset", "pneumoniamnist"),
        *("--index", folder / "pneumoniamnist.npz", "--out", folder / "run"),
        *(
            "--package",
            folder / "bundle",
            "--tracking",
            "mlflow",
            "max_epochs=2",
            "batch_size=32",
            "ema_decay=0.5",
        ),
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_answers_on_small_pictures(folder):
    out = folder / "predictions.parquet"
    done = monai_cxr("predict", folder / "bundle", folder / "images", "--out", out)
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(out)
    assert (table["reason"] == "").all()
    assert table["probability_Pneumonia"].between(0, 1).all()


def test_mlflow_has_what_was_measured(folder):
    """By MONAI's own --tracking mlflow, in a local SQLite file."""
    with closing(sqlite3.connect(folder / "run" / "eval" / "mlruns.db")) as database:
        runs = database.execute("select status from runs").fetchall()
        counts = dict(database.execute("select key, count(*) from metrics group by key"))
        losses = database.execute("select value from metrics where key = 'train_loss'").fetchall()
    assert runs == [("FINISHED",)]
    assert counts["val_macro_auroc"] == counts["val_loss"] == 2
    assert counts["train_loss"] == counts["lr_group_0"] == 2 * (128 // 32)
    table = pd.read_csv(folder / "run" / "metrics.csv")
    assert np.mean(losses[:4]) == pytest.approx(table["loss"][0], abs=1e-6)


def test_says_its_probabilities_for_a_stated_prevalence(folder):
    value = json.loads((folder / "bundle" / "models" / "calibration.json").read_text())
    own, stated = value["findings"]["Pneumonia"]["parameters"]["stated_prevalence"]
    assert (own, stated) == (0.5, 0.25)


def test_decides_by_the_packaged_threshold(folder):
    from monai_cxr import BundleModel, read_radiograph

    model = BundleModel.load(folder / "bundle", device="cpu")
    point = model.operating_points["Pneumonia"]
    assert point.criterion == "sensitivity >= 0.95"
    score = model.predict([read_radiograph(folder / "images" / "01.png")])[0]["Pneumonia"]
    assert score.positive == (score.probability >= point.threshold)


def test_the_test_split_trains_nothing(folder):
    table = pd.read_parquet(folder / "run" / "index.parquet")
    assert table["split"].value_counts().to_dict() == {"train": 128, "val": 48, "test": 24}
    done = monai_cxr(
        *("predict", folder / "bundle", folder / "run" / "index.parquet", "--split", "test"),
        *("--out", folder / "test.parquet"),
    )
    assert done.returncode == 0, done.stderr
    assert len(pd.read_parquet(folder / "test.parquet")) == 24


def test_no_place_of_this_machine_is_packaged(folder):
    for path in (folder / "bundle").rglob("*.json"):
        assert str(folder) not in path.read_text()


@pytest.mark.parametrize(
    ("status", "arguments", "message"),
    [
        (1, ("train", "--index", "a.parquet", "--out", "run"), "Name a bundle to train"),
        (2, ("train", "chest_xray_classification"), "needs --index and --out"),
        (
            1,
            ("train", "chest_xray_classification", "--preset", "x", "--index", "a", "--out", "r"),
            "no preset 'x'",
        ),
    ],
)
def test_what_is_missing_is_said(status, arguments, message):
    done = monai_cxr(*arguments)
    assert done.returncode == status
    assert message in done.stderr.replace("\n", " ")
