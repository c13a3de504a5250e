"""evaluate with the bundle at hand: worst errors, localization and robustness in the report."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest
from refusal import refused


def test_evaluate_with_a_bundle(verb, packaged_bundle, phantom_index, tmp_path):
    predictions = tmp_path / "p.parquet"
    arguments = ("predict", packaged_bundle, phantom_index.path, "--split", "test")
    assert verb(*arguments, "--out", predictions)[0] == 0
    truth = phantom_index.films / "truth.csv"
    status, _, _ = verb(
        *("evaluate", predictions, "--out", tmp_path / "report", "--bootstrap", 20),
        *("--bundle", packaged_bundle, "--boxes", truth, "--robustness", 3),
        *("--data", "phantom", "--split", "test"),
    )
    assert status == 0
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "Worst errors" in page
    assert "Localization" in page
    assert "Robustness" in page
    assert pd.read_parquet(predictions)["model_digest"].iloc[0][:12] in page


def test_the_card_of_a_bundle_says_its_numbers_once(verb, packaged_bundle, phantom_index, tmp_path):
    bundle = shutil.copytree(packaged_bundle, tmp_path / "bundle")
    card = bundle / "docs" / "README.md"
    title = card.read_text(encoding="utf-8").splitlines()[0]
    predictions, report = tmp_path / "p.parquet", tmp_path / "report"
    rows = (phantom_index.path, "--split", "test")
    assert verb("predict", bundle, *rows, "--out", predictions)[0] == 0
    evaluate = ("evaluate", predictions, "--out", report, "--bootstrap", 20)
    assert verb(*evaluate, "--card")[0] == 2  # without the bundle whose card it is
    for _ in range(2):
        assert verb(*evaluate, "--bundle", bundle, "--card")[0] == 0
        text = card.read_text(encoding="utf-8")
        macro = json.loads((report / "performance.json").read_text())["macro"]["auroc"]
        assert text.startswith(title)
        assert text.count("## Performance") == 1
        assert f"{macro['estimate']:.3f}" in text
        assert verb("verify", bundle)[0] == 0
    card.write_text("changed", encoding="utf-8")
    refused(verb(*evaluate, "--bundle", bundle, "--card"), "was changed since it was packaged")


def test_evaluate_draws_maps_of_a_bundle_that_is_served_by_another_engine(
    verb, packaged_bundle, phantom_index, tmp_path
):
    pytest.importorskip("onnxruntime")
    bundle = shutil.copytree(packaged_bundle, tmp_path / "bundle")
    predictions, report = tmp_path / "p.parquet", tmp_path / "report"
    films = (phantom_index.path, "--split", "test")
    assert verb("export", bundle, "--to", "onnx", "--films", phantom_index.path)[0] == 0
    assert verb("predict", bundle, *films, "--out", predictions)[0] == 0
    evaluate = ("evaluate", predictions, "--out", report, "--bootstrap", 0, "--bundle", bundle)
    status, _, said = verb(*evaluate)
    assert status == 0, said
    assert "Worst errors" in (report / "report.html").read_text(encoding="utf-8")
    assert json.loads((report / "inspection.json").read_text())["worst_errors"]
