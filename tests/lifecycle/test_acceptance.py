"""The local acceptance test, by its verb, on anybody's predictions."""

from __future__ import annotations

import json
import shutil

import pytest
from evaluation_data import made_up_table
from typer.testing import CliRunner

from monai_cxr.cli import app
from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
from monai_cxr.lifecycle.acceptance import accept
from monai_cxr.lifecycle.site_seal import check_site, seal_site
from monai_cxr.tables import write_table

RUN = CliRunner()


def test_the_sample_size_comes_before_any_film(tmp_path):
    done = RUN.invoke(
        app, ["accept", "nothing.csv", "--width", "0.1", "--prevalence", "0.05", "--json"]
    )
    assert json.loads(done.stdout) == {"n_wanted": 141, "patients_to_read": 5640}
    with pytest.raises(SettingsError, match="between 0 and 1"):
        RUN.invoke(app, ["accept", "x", "--width", "2"], catch_exceptions=False)


def test_a_report_to_sign_from_a_csv(tmp_path):
    table = made_up_table(200)
    own = [name for name in table if name.startswith("label_")]
    site = table.drop(columns=[n for n in table if n.startswith(("logit", "prob"))])
    site.rename(columns=lambda n: n.removeprefix("label_")).to_csv(tmp_path / "site.csv")
    table.drop(columns=own).to_csv(tmp_path / "any.csv")
    command = ["accept", str(tmp_path / "any.csv"), "--site", str(tmp_path / "site.csv")]
    done = RUN.invoke(app, [*command, "--out", str(tmp_path / "out"), "--bootstrap", "100"])
    assert done.exit_code == 0, done.output
    assert "Signature" in (tmp_path / "out" / "acceptance.html").read_text()
    points = json.loads((tmp_path / "out" / "operating_points.json").read_text())["points"]
    written = json.loads((tmp_path / "out" / "acceptance.json").read_text())
    assert {p["finding"] for p in points} == {f["finding"] for f in written["findings"]}
    assert "P0001" not in (tmp_path / "out" / "acceptance.html").read_text()


def test_a_sealed_set_is_judged_as_it_was_sealed(tmp_path):
    table = made_up_table(60)
    own = [name for name in table if name.startswith("label_")]
    site = table.drop(columns=[n for n in table if n.startswith(("logit", "prob"))])
    site = site.rename(columns=lambda n: n.removeprefix("label_"))
    site.to_csv(tmp_path / "site.csv")
    table.drop(columns=own).to_csv(tmp_path / "any.csv")
    command = ["accept", str(tmp_path / "any.csv"), "--site", str(tmp_path / "site.csv")]
    judge = [*command, "--out", str(tmp_path / "out"), "--bootstrap", "100"]
    done = RUN.invoke(app, [*command, "--seal", "--json"])
    assert done.exit_code == 0, done.output
    at = json.loads(done.stdout)["at"]
    assert RUN.invoke(app, judge).exit_code == 0
    assert json.loads((tmp_path / "out" / "acceptance.json").read_text())["sealed_at"] == at
    assert at in (tmp_path / "out" / "acceptance.html").read_text()
    site.head(-5).to_csv(tmp_path / "site.csv")
    with pytest.raises(
        SettingsError, match=r"index of 'site\.csv' was changed since it was sealed"
    ):
        RUN.invoke(app, judge, catch_exceptions=False)


def test_a_film_that_was_exchanged_breaks_the_seal(phantom_index, tmp_path):
    rows = phantom_index.rows("test").head(3)
    copies = [tmp_path / f"{i}.dcm" for i in range(len(rows))]
    for source, copy in zip(rows["path"], copies, strict=True):
        shutil.copyfile(source, copy)
    write_table(rows.assign(path=[str(c) for c in copies]), tmp_path / "site.parquet")
    assert check_site(tmp_path / "site.parquet") is None
    assert seal_site(tmp_path / "site.parquet") == seal_site(tmp_path / "site.parquet")
    copies[1].write_bytes(copies[0].read_bytes())
    with pytest.raises(SettingsError, match="set of films of 'site"):
        check_site(tmp_path / "site.parquet")


def test_no_patient_both_chooses_and_judges():
    scored = load_predictions(made_up_table(60))
    found = accept(scored, n_bootstrap=0)
    chose = found.rules.points[0].n
    judged = found.checked[0].n
    assert chose + judged == len(scored)
    assert not any("also chose" in text for text in found.performance.warnings)
    again = accept(scored, n_bootstrap=0, seed=1)
    assert again.rules.points[0].threshold != found.rules.points[0].threshold


def test_a_handful_of_patients_is_refused():
    scored = load_predictions(made_up_table(3))
    with pytest.raises(InvalidTable, match="of 3 patients"):
        accept(scored)
