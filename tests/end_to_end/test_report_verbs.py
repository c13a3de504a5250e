"""The verbs of reports: what they write, what they print, what bad input and our own fault get."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from refusal import refused
from sklearn.metrics import roc_auc_score

from monai_cxr import cli
from monai_cxr.findings import FINDING_NAMES


@pytest.fixture(scope="module")
def foreign_csv(tmp_path_factory):
    """Predictions of another program for 400 images of 100 patients."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"Image Index": [f"film{i:04}.png" for i in range(400)]})
    table["Patient ID"] = np.arange(400) // 4
    for name in FINDING_NAMES:
        label = rng.random(400) < 0.2
        table[f"prob_{name}"] = np.clip(0.2 * label + 0.8 * rng.random(400), 0, 1)
        table[f"label_{name}"] = label.astype(int)
    path = tmp_path_factory.mktemp("foreign") / "predictions.csv"
    table.to_csv(path, index=False)
    return path


class TestReportVerbs:
    def test_evaluate_writes_the_contract(self, verb, foreign_csv, tmp_path):
        status, out, _ = verb("evaluate", foreign_csv, "--out", tmp_path, "--bootstrap", 200)
        assert status == 0
        assert "Macro AUROC" in out
        value = json.loads((tmp_path / "performance.json").read_text())
        table = pd.read_csv(foreign_csv)
        for name in FINDING_NAMES:
            entry = value["findings"][name]
            assert entry["n"] == 400
            assert entry["n_positive"] == int(table[f"label_{name}"].sum())
            witness = roc_auc_score(table[f"label_{name}"], table[f"prob_{name}"])
            assert math.isclose(entry["auroc"]["estimate"], witness, abs_tol=1e-9)
            assert entry["auroc"]["low"] < witness < entry["auroc"]["high"]
            assert {"average_precision", "brier", "ece"} <= entry.keys()
            assert all(isinstance(entry[k], float) for k in ("average_precision", "brier", "ece"))
        assert value["macro"]["auroc"]["low"] < value["macro"]["auroc"]["estimate"]
        assert len(pd.read_csv(tmp_path / "performance.csv")) >= 14
        page = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert "http://" not in page.replace("http://www.w3.org", "")
        assert "https://" not in page

    def test_evaluate_prints_json(self, verb, foreign_csv, tmp_path):
        status, out, _ = verb(
            "evaluate", foreign_csv, "--out", tmp_path, "--bootstrap", 0, "--json"
        )
        assert status == 0
        assert set(json.loads(out)["findings"]) == set(FINDING_NAMES)

    def test_calibrate_evaluate_thresholds_compare(self, verb, foreign_csv, tmp_path):
        calibration = tmp_path / "calibration.json"
        status, out, _ = verb("calibrate", foreign_csv, "--out", calibration)
        assert status == 0
        assert "Hernia" in out
        points = tmp_path / "points.json"
        status, out, _ = verb("thresholds", foreign_csv, "--criterion", "youden", "--out", points)
        assert status == 0
        assert points.is_file()
        status, out, _ = verb("compare", foreign_csv, foreign_csv, "--bootstrap", 100, "--json")
        assert status == 0
        json.loads(out)
        assert verb("compare", foreign_csv, foreign_csv, "--bootstrap", 100)[0] == 0

    def test_bad_input(self, verb, foreign_csv, tmp_path):
        table = pd.read_csv(foreign_csv)

        def attempt(changed, sentence):
            path = tmp_path / "changed.csv"
            changed.to_csv(path, index=False)
            refused(verb("evaluate", path, "--out", tmp_path / "report"), sentence)

        refused(verb("evaluate", tmp_path / "none.csv", "--out", tmp_path), "does not exist")
        attempt(table.drop(columns="Patient ID"), "patient")
        attempt(table.assign(prob_Mass=7.0), "prob_Mass")
        attempt(pd.concat([table, table.head(1)]), "more than once")
        attempt(table[["Image Index", "Patient ID"]], "prob")
        assert not (tmp_path / "report").exists()

    def test_published_predictions_equal_scikit_learn(self, verb, data_directory, tmp_path):
        from monai_cxr.data.sets.chestxray14 import read_labels

        source = data_directory / "predictions" / "densenet121_published.csv"
        arguments = ("evaluate", source, "--labels", "nih", "--out", tmp_path, "--bootstrap", 0)
        assert verb(*arguments)[0] == 0
        value = json.loads((tmp_path / "performance.json").read_text())
        table = pd.read_csv(source).merge(read_labels(), left_on="Image Index", right_on="sop_uid")
        assert len(table) == 10_012
        for name in FINDING_NAMES:
            witness = roc_auc_score(table[name], table[f"prob_{name}"])
            assert math.isclose(value["findings"][name]["auroc"]["estimate"], witness, abs_tol=1e-9)


class TestOurFault:
    def test_is_3_and_shows_no_detail(self, verb, foreign_csv, tmp_path, monkeypatch):
        import monai_cxr.evaluation.performance as performance

        def broken(*_arguments, **_options):
            raise RuntimeError("patient Doe in /secret/path")

        monkeypatch.setattr(performance, "evaluate", broken)
        status, out, err = verb("evaluate", foreign_csv, "--out", tmp_path, "--json")
        assert status == cli.EXIT_OURS
        assert "Doe" not in out + err
        assert json.loads(out)["error"]["type"] == "RuntimeError"

    def test_errors_as_json(self, verb, tmp_path):
        status, out, _ = verb("verify", tmp_path, "--json")
        assert status == cli.EXIT_INPUT
        assert json.loads(out)["error"]["type"] == "InvalidBundle"
