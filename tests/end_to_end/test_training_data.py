"""Training data as the shell meets them: cache, other sets, joined indexes, the baseline."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from PIL import Image

from monai_cxr import cli
from monai_cxr.bundle.config import parse_setting
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
from monai_cxr.tables import read_table
from monai_cxr.training.run import workflow

BUNDLE = "chest_xray_classification"


def films(folder, n):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(1, n + 1):
        pixels = rng.integers(0, 256, (24, 24), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:08d}_000.png")


class TestIndexNih:
    def test_a_truncated_film_is_named_and_left_out_or_stopped_at(self, verb, tmp_path):
        films(tmp_path / "images", 12)
        bad = tmp_path / "images" / "00000007_000.png"
        bad.write_bytes(bad.read_bytes()[:-30])
        out = tmp_path / "index.csv"
        status, text, _ = verb("index", "nih", tmp_path, "--out", out)
        assert status == 0
        assert "00000007_000.png" in text
        assert "truncated" in text
        assert "images_012" in text
        assert len(pd.read_csv(out)) == 11
        status, text, _ = verb("index", "nih", tmp_path, "--out", out, "--json", "--check-pixels")
        found = json.loads(text)
        assert found["n_unreadable"] == 1
        assert list(found["unreadable"]) == ["00000007_000.png"]
        assert found["label_version"] == "v2020"
        assert found["archives"][0]["state"] == "incomplete"
        assert len(found["missing_archives"]) == 11
        status, _, err = verb("index", "nih", tmp_path, "--out", out, "--on-unreadable", "stop")
        assert status == cli.EXIT_INPUT
        assert "00000007_000.png" in err

    def test_labels_without_images(self, verb, tmp_path):
        status, _, err = verb("index", "nih", tmp_path, "--out", tmp_path / "index.csv")
        assert status == cli.EXIT_INPUT
        assert "holds no PNG file" in err


class TestCache:
    def test_is_made_once_and_named(self, verb, phantom_index, tmp_path):
        arguments = ("cache", phantom_index.path, "--size", 16, "--out", tmp_path, "--workers", 0)
        status, text, _ = verb(*arguments)
        assert status == 0
        assert f"cache_dir={tmp_path}" in text
        status, text, _ = verb(*arguments, "--json")
        made = json.loads(text)
        assert (made["n_made"], made["n_kept"]) == (0, len(phantom_index.table))
        assert made["unreadable"] == {}

    def test_stops_at_a_film_that_cannot_be_read(self, verb, phantom_index, tmp_path):
        table = phantom_index.table
        table.loc[2, "path"] = str(tmp_path / "absent.dcm")
        table.to_csv(tmp_path / "index.csv", index=False)
        arguments = ("cache", tmp_path / "index.csv", "--size", 16, "--out", tmp_path)
        status, _, err = verb(*arguments, "--workers", 0, "--on-unreadable", "stop")
        assert status == cli.EXIT_INPUT
        assert "missing_file" in err
        status, text, _ = verb(*arguments, "--workers", 0)
        assert status == 0
        assert "missing_file" in text

    def test_bad_settings(self, verb, phantom_index, tmp_path):
        for option, value in (("--resize", "squash"), ("--policy", "best")):
            status, _, err = verb("cache", phantom_index.path, "--out", tmp_path, option, value)
            assert status == cli.EXIT_INPUT
            assert f"got '{value}'" in err

    def test_a_network_trains_from_it(self, phantom_index, tmp_path):
        """MONAI's plain command, balanced sampling, films from the memory map."""
        settings = dict(
            parse_setting(text)
            for text in (
                "image_size=32",
                "batch_size=8",
                "max_epochs=1",
                "num_workers=0",
                f"cache_dir={tmp_path / 'cache'}",
                "sampling=balanced",
                "train::augmentation::crop=0.1",
            )
        )
        run = tmp_path / "run"
        workflow.train(workflow.prepare_run(BUNDLE, phantom_index.path, run, settings))
        assert len(pd.read_csv(run / "metrics.csv")) == 1
        (cache,) = (tmp_path / "cache").iterdir()
        assert np.load(cache / "films.npy", mmap_mode="r").shape == (
            len(phantom_index.table), 32, 32,
        )  # fmt: skip


def test_another_set_joined_with_nih(verb, tmp_path):
    ids = ["82193858-3906-4c2f-b5b4-8aa1280f6181", "a94dac79-854c-49a5-bae0-98397ecbef81"]
    table = f"patientId,x,y,width,height,Target\n{ids[0]},,,,,0\n{ids[1]},1,2,3,4,1\n"
    (tmp_path / "labels.csv").write_text(table)
    films(tmp_path / "nih", 3)
    films(tmp_path / "rsna", 2)
    for i, name in enumerate(ids, start=1):
        (tmp_path / "rsna" / f"{i:08d}_000.png").rename(tmp_path / "rsna" / f"{name}.png")
    nih, other = tmp_path / "nih.parquet", tmp_path / "rsna.parquet"
    assert verb("index", "nih", tmp_path / "nih", "--out", nih)[0] == 0
    status, text, _ = verb(
        "index", "xrv", "rsna", tmp_path / "rsna", "--csv", tmp_path / "labels.csv", "--out", other
    )
    assert status == 0
    assert "Lung Opacity" in text
    both = tmp_path / "both.parquet"
    status, text, _ = verb("index", "join", nih, other, "--out", both, "--json")
    assert json.loads(text)["sets"] == {
        "nih": {"images": 3, "patients": 3},
        "rsna": {"images": 2, "patients": 2},
    }
    joined = read_table(both)
    assert joined["Pneumonia"].tolist()[3:] == [0, 1]
    assert joined["Hernia"].isna().tolist() == [False] * 3 + [True] * 2
    status, _, err = verb("index", "join", nih, nih, "--out", both)
    assert status == cli.EXIT_INPUT
    assert "two are alike" in err


def test_the_baseline_s_predictions_are_evaluated(verb, phantom_index, tmp_path):
    arguments = ("baseline", phantom_index.path, "--out", tmp_path, "--size", 32, "--workers", 1)
    status, text, _ = verb(*arguments, "--split", "val")
    assert status == 0
    assert "Effusion" in text
    scored = load_predictions(read_table(tmp_path / "predictions.parquet"))
    assert len(scored) == len(phantom_index.rows("val"))
    assert "Effusion" in scored.findings
    status, _, err = verb(*arguments, "--split", "nowhere")
    assert status == cli.EXIT_INPUT
    assert "'nowhere'" in err
