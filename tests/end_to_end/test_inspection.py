"""evaluate with the bundle at hand: worst errors, localization and robustness in the report."""

from __future__ import annotations

import sys

import pandas as pd
import pytest

from monai_cxr import cli


def test_evaluate_with_a_bundle(packaged_bundle, phantom_index, tmp_path, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["monai-cxr", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code or 0

    predictions = tmp_path / "p.parquet"
    arguments = ("predict", packaged_bundle, phantom_index.path, "--split", "test")
    assert run(*arguments, "--out", predictions) == 0
    truth = phantom_index.films / "truth.csv"
    assert (
        run(
            *("evaluate", predictions, "--out", tmp_path / "report", "--bootstrap", 20),
            *("--bundle", packaged_bundle, "--boxes", truth, "--robustness", 3),
            *("--data", "phantom", "--split", "test"),
        )
        == 0
    )
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "Worst errors" in page
    assert "Localization" in page
    assert "Robustness" in page
    assert pd.read_parquet(predictions)["model_digest"].iloc[0][:12] in page
    capsys.readouterr()
