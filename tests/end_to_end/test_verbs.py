"""The verbs of data and models: what they write, what they print, and what bad input gets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from refusal import refused

from monai_cxr import cli
from monai_cxr.findings import FINDING_NAMES


class TestHelp:
    @pytest.mark.parametrize(
        "name",
        [
            "phantom",
            "split",
            "train",
            "predict",
            "package",
            "verify",
            "calibrate",
            "evaluate",
            "compare",
            "thresholds",
            "explain",
            "export",
            "bench",
            "demo",
            "index nih",
            "index folder",
        ],
    )
    def test_every_verb_teaches_by_example(self, verb, name):
        status, out, _ = verb(*name.split(), "--help")
        assert status == 0
        assert "Example:" in out
        assert "--json" in out

    def test_wrong_usage_is_2(self, verb):
        assert verb("train")[0] == cli.EXIT_USAGE
        assert verb("nonsense")[0] == cli.EXIT_USAGE


class TestDataVerbs:
    def test_phantom_index_split(self, verb, tmp_path):
        status, out, _ = verb(
            "phantom", "--out", tmp_path / "a", "--patients", 6, "--size", 64, "--json"
        )
        assert status == 0
        labels = json.loads(out)["labels"]
        index = tmp_path / "index.parquet"
        status, out, _ = verb(
            "index", "folder", tmp_path / "a", "--labels", labels, "--out", index, "--json"
        )
        assert status == 0
        assert json.loads(out)["n_patients"] == 6
        split = tmp_path / "split.csv"
        status, out, _ = verb(
            "split", index, "--fractions", 0.5, 0.25, 0.25, "--out", split, "--json"
        )
        assert status == 0
        counts = json.loads(out)["splits"]
        assert sum(part["patients"] for part in counts.values()) == 6
        for shares in (["0.5,0.25,0.25"], [0.5, 0.25, 0.25]):
            _, out, _ = verb("split", "--fractions", *shares, index, "--out", split, "--json")
            assert json.loads(out)["splits"] == counts
        assert verb("split", index, "--fractions", "half", "--out", split)[0] == cli.EXIT_USAGE
        assert verb("split", split, "--check", "--out", tmp_path / "same.csv")[0] == 0

    def test_index_nih_says_what_it_found(self, verb, tmp_path):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "00000001_000.png")
        status, out, _ = verb("index", "nih", tmp_path, "--out", tmp_path / "index.parquet")
        assert status == 0
        assert "missing" in out
        assert "Cardiomegaly" in out

    def test_bad_input(self, verb, tmp_path):
        out = tmp_path / "out.parquet"
        (tmp_path / "empty").mkdir()
        refused(verb("index", "folder", tmp_path / "empty", "--out", out), "No film found")
        refused(verb("index", "folder", tmp_path / "none", "--out", out), "'none' is not a folder")
        refused(verb("index", "nih", tmp_path / "none", "--out", out), "not a folder")
        refused(verb("split", tmp_path / "none.parquet", "--out", out), "does not exist")
        refused(verb("phantom", "--out", out, "--layout", "jpeg"), "dicom or nih")
        table = pd.DataFrame({"path": ["a"], "sop_uid": ["a"]})
        table.to_csv(tmp_path / "no_patients.csv", index=False)
        refused(verb("split", tmp_path / "no_patients.csv", "--out", out), "patient_id")
        leak = pd.DataFrame(
            {
                "path": ["a", "b"],
                "sop_uid": ["a", "b"],
                "patient_id": ["p", "p"],
                "split": ["train", "val"],
            }
        )
        leak.to_csv(tmp_path / "leak.csv", index=False)
        refused(
            verb("split", tmp_path / "leak.csv", "--check", "--out", out), "more than one split"
        )
        refused(
            verb(
                "train",
                "chest_xray_classification",
                "--index",
                tmp_path / "leak.csv",
                "--out",
                tmp_path / "run",
            ),
            "more than one split",
        )
        assert not out.exists()


class TestModelVerbs:
    def test_predict_scores_the_good_and_names_the_bad(
        self, verb, packaged_bundle, phantom_index, tmp_path
    ):
        films = pd.read_parquet(phantom_index.path)["path"].head(3)
        for i, film in enumerate(films):
            shutil.copy(film, tmp_path / f"{i}.dcm")
        (tmp_path / "text.dcm").write_text("not a film", encoding="utf-8")
        (tmp_path / "empty.dcm").write_bytes(b"")
        (tmp_path / "cut.dcm").write_bytes(Path(films.iloc[0]).read_bytes()[:3000])
        out = tmp_path / "predictions.parquet"
        status, text, _ = verb("predict", packaged_bundle, tmp_path, "--out", out, "--json")
        assert status == 0
        summary = json.loads(text)
        assert summary["n_scored"] == 3
        assert sum(summary["not_scored"].values()) == 3
        table = pd.read_parquet(out).set_index("path")
        assert len(table) == 6
        refused = table[table["reason"] != ""]
        assert {Path(path).name for path in refused.index} == {"text.dcm", "empty.dcm", "cut.dcm"}
        columns = [f"probability_{name}" for name in FINDING_NAMES]
        assert table.loc[table["reason"] == "", columns].notna().all().all()
        assert refused[columns].isna().all().all()
        assert not refused["message"].str.contains(str(tmp_path)).any()

    def test_predict_of_nothing_readable_says_so(self, verb, packaged_bundle, tmp_path):
        text, out = tmp_path / "text.dcm", tmp_path / "predictions.csv"
        text.write_text("not a film", encoding="utf-8")
        refused(verb("predict", packaged_bundle, text, "--out", out), "not_an_image")
        assert pd.read_csv(out)["reason"].tolist() == ["not_an_image"]

    def test_predict_writes_csv_of_one_split(self, verb, packaged_bundle, phantom_index, tmp_path):
        out = tmp_path / "p.csv"
        status, _, _ = verb(
            "predict", packaged_bundle, phantom_index.path, "--split", "val", "--out", out
        )
        assert status == 0
        index = pd.read_parquet(phantom_index.path)
        assert len(pd.read_csv(out)) == int((index["split"] == "val").sum())

    def test_verify(self, verb, packaged_bundle):
        status, out, _ = verb("verify", packaged_bundle, "--json")
        assert status == 0
        assert json.loads(out)["findings"] == list(FINDING_NAMES)

    def test_explain(self, verb, packaged_bundle, phantom_index, tmp_path):
        film = pd.read_parquet(phantom_index.path)["path"].iloc[0]
        status, out, _ = verb(
            *("explain", film, "--bundle", packaged_bundle, "--out", tmp_path),
            *("--finding", "Mass", "--json"),
        )
        assert status == 0
        assert set(json.loads(out)["maps"]) == {"Mass"}
        assert (tmp_path / "Mass.png").is_file()

    def test_bad_input(self, verb, packaged_bundle, tmp_path):
        out = tmp_path / "p.parquet"
        refused(verb("predict", packaged_bundle, tmp_path / "none.dcm", "--out", out), "'none.dcm'")
        (tmp_path / "empty").mkdir()
        refused(verb("predict", packaged_bundle, tmp_path / "empty", "--out", out), "No film found")
        refused(verb("predict", tmp_path / "none", "film", "--out", out), "is not a bundle")
        refused(verb("verify", tmp_path), "has no digests.json")
        refused(verb("package", tmp_path, "--out", tmp_path / "b"), "is not a trained run")
        changed = tmp_path / "changed"
        shutil.copytree(packaged_bundle, changed)
        weights = changed / "models" / "model.pt"
        content = bytearray(weights.read_bytes())
        content[len(content) // 2] ^= 1
        weights.write_bytes(bytes(content))
        refused(verb("verify", changed), "models/model.pt")
        refused(
            verb("predict", changed, tmp_path, "--out", out), "was changed since it was packaged"
        )
        assert not out.exists()

    def test_a_config_that_names_an_unknown_class(self, verb, phantom_index, tmp_path):
        source = Path(cli.__file__).resolve().parents[2] / "bundles" / "chest_xray_classification"
        bundle = tmp_path / "bundle"
        shutil.copytree(source, bundle)
        path = bundle / "configs" / "train.json"
        path.write_text(path.read_text().replace("SupervisedTrainer", "SupervisedTrianer"))
        refused(
            verb("train", bundle, "--index", phantom_index.path, "--out", tmp_path / "run"),
            "names the class 'SupervisedTrianer'",
        )

    def test_unknown_setting(self, verb, phantom_index, tmp_path):
        refused(
            verb(
                *("train", "chest_xray_classification", "--index", phantom_index.path),
                *("--out", tmp_path / "run", "--set", "max_epoch=3"),
            ),
            "'max_epoch'",
        )


class TestRealDicom:
    def test_each_file_gets_a_score_or_a_reason(
        self, verb, packaged_bundle, data_directory, tmp_path
    ):
        out = tmp_path / "p.parquet"
        status, _, err = verb("predict", packaged_bundle, data_directory / "dicom", "--out", out)
        assert status == 0
        assert "Traceback" not in err
        table = pd.read_parquet(out)
        assert len(table) == 59
        scored = table["logit_Effusion"].notna()
        assert ((table["reason"] == "") == scored).all()
        assert 8 <= int(scored.sum()) <= 12
