"""The cases of the statistics audit, by name, on small data made here."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from monai_cxr.cli import app
from monai_cxr.evaluation.comparison import compare
from monai_cxr.evaluation.decisions.conformal import ConformalRule, check_conformal
from monai_cxr.evaluation.performance import evaluate
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
from monai_cxr.evaluation.statistics.clusters import patient_codes
from monai_cxr.evaluation.statistics.shares import wilson
from monai_cxr.prediction import OperatingPoint
from monai_cxr.report.page import render_page


def films(n_patients=60, n_films=6, n_positive=8, seed=0, findings=("Hernia",)):
    """Patients with several films each; a patient's films share label and much of the score."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), n_films)
    table = {
        "sop_uid": [f"1.2.{i}" for i in range(len(patients))],
        "patient_id": [f"P{p:03d}" for p in patients],
    }
    for name in findings:
        label = (rng.permutation(n_patients) < n_positive)[patients].astype(float)
        shared = rng.normal(size=n_patients)[patients]
        logit = 1.2 * label - 1.5 + 0.9 * shared + 0.4 * rng.normal(size=len(patients))
        table[f"label_{name}"] = label
        table[f"probability_{name}"] = 1 / (1 + np.exp(-logit))
    return pd.DataFrame(table)


def point(threshold=0.3, finding="Hernia"):
    unknown = evaluate_interval()
    return OperatingPoint(finding, threshold, "youden", unknown, unknown, 0, 0)


def evaluate_interval():
    from monai_cxr.prediction import Interval

    return Interval(math.nan)


class TestConformalIntervalByFilm:
    def test_copies_of_films_are_no_evidence(self):
        """conformal-interval-by-film: a patient's films are one piece of evidence."""
        data = load_predictions(films())
        rule = ConformalRule("Hernia", 0.1, 0.25, 0.4, 20, 20)
        codes, _ = patient_codes(data.patient_ids)
        (check,) = check_conformal(
            [rule], data.probabilities, data.labels, codes, findings=("Hernia",)
        )
        n = int((data.labels == 0).sum())
        by_film = wilson(check.coverage_negative.estimate * n, n)
        width = check.coverage_negative.high - check.coverage_negative.low
        assert width > 1.5 * (by_film.high - by_film.low)

    def test_bars_of_reliability(self):
        curves = evaluate(load_predictions(films()), n_bootstrap=50).curves["Hernia"]
        n, share = curves.reliability.counts, curves.reliability.observed
        by_film = np.array([(w.low, w.high) for w in map(wilson, share * n, n)])
        wide = (curves.observed_high - curves.observed_low) / np.diff(by_film, axis=1)[:, 0]
        assert np.median(wide) > 1.2
        assert (curves.observed_low <= share).all()
        assert (curves.observed_high >= share).all()


class TestTwoIntervalsForOneNumber:
    @pytest.mark.parametrize("n_positive", [5, 8, 20])
    def test_one_finding_has_one_interval_everywhere(self, n_positive):
        """two-intervals-for-one-number: finding, mean, any finding, weighted mean and compare."""
        data = load_predictions(films(n_positive=n_positive))
        performance = evaluate(data, n_bootstrap=300, seed=3)
        other = load_predictions(films(n_positive=n_positive).assign(probability_Hernia=0.5))
        compared = compare(data, other, n_bootstrap=300, seed=3)
        of_finding = performance["Hernia"].auroc
        assert performance.macro.auroc == of_finding
        assert performance.macro.auroc_weighted == of_finding
        assert performance.macro.average_precision == performance["Hernia"].average_precision
        assert performance.macro.brier == performance["Hernia"].brier
        assert performance.macro.ece == performance["Hernia"].ece
        assert performance.any_finding.auroc == of_finding
        assert compared.findings[0].auroc_a == of_finding
        assert compared.macro == compared.findings[0].difference

    def test_a_group_of_all_films_has_the_interval_of_all_films(self):
        table = films(n_positive=12).assign(sex="F")
        extra = films(n_patients=25, n_positive=12, seed=1).assign(sex="M")
        extra["patient_id"] = "Q" + extra["patient_id"]
        extra["sop_uid"] = "9." + extra["sop_uid"]
        groups = evaluate(load_predictions(pd.concat([table, extra])), n_bootstrap=300).subgroups
        for group in groups:
            assert group.macro_auroc == group.auroc["Hernia"]

    def test_a_class_that_a_replicate_loses_is_not_left_out(self):
        """Three classes, one of two films, a model that always says Normal."""
        rng = np.random.default_rng(0)
        truth = np.array(["Normal"] * 60 + ["Effusion"] * 20 + ["Mass"] * 2)
        table = pd.DataFrame({"sop_uid": [f"1.{i}" for i in range(82)]})
        table["patient_id"] = [f"P{i}" for i in range(82)]
        scores = rng.dirichlet([8, 1, 1], 82)
        scores = np.sort(scores, axis=1)[:, ::-1]
        for i, name in enumerate(("Normal", "Effusion", "Mass")):
            table[f"label_{name}"] = (truth == name).astype(float)
            table[f"probability_{name}"] = scores[:, i]
        found = evaluate(load_predictions(table), n_bootstrap=200).classification
        assert found.balanced_accuracy.estimate == pytest.approx(1 / 3)
        assert found.balanced_accuracy.low < 0.33
        assert found.balanced_accuracy.high > 0.34
        assert found.recall["Mass"] == wilson(0, 2)

    def test_p_is_what_the_replicates_resolve(self):
        table = films(n_positive=30)
        perfect = table.assign(probability_Hernia=0.1 + 0.8 * table["label_Hernia"])
        perfect["probability_Hernia"] += np.linspace(0, 0.05, len(table))
        result = compare(
            load_predictions(table.assign(probability_Hernia=1 - perfect["probability_Hernia"])),
            load_predictions(perfect),
            n_bootstrap=199,
        )
        assert result.macro_p == 1 / 200
        assert result.to_json()["macro"]["p"] == 1 / 200


class TestCertaintyWithoutInterval:
    def test_every_predictive_value_has_its_interval_on_the_page(self):
        """certainty-without-interval: NPV of 1.0000 from a few patients is not certain."""
        data = load_predictions(films(n_positive=5))
        low = float(data.probabilities[data.labels == 1].min())
        performance = evaluate(
            data, n_bootstrap=100, operating_points=[point(low)], prevalences=[("", 0.05)]
        )
        (checked,) = performance.operating_points
        (row,) = checked.what_if
        assert checked.sensitivity == wilson(5, 5)
        assert row.npv.estimate == 1.0
        assert row.npv.low < 0.98
        assert checked.npv.low < 1.0
        assert checked.likelihood_ratio_negative.estimate == 0.0
        assert checked.likelihood_ratio_negative.high > 0.3
        page = render_page(performance)
        assert f"1.0000 <small>({row.npv.low:.4f}" in page
        assert f"({checked.npv.low:.3f}" in page

    def test_the_ends_of_a_what_if_are_those_of_the_rates(self):
        """With sensitivity at its lower bound, NPV is near its lower bound."""
        data = load_predictions(films(n_positive=5))
        low = float(data.probabilities[data.labels == 1].min())
        performance = evaluate(
            data, n_bootstrap=100, operating_points=[point(low)], prevalences=[("", 0.05)]
        )
        (checked,) = performance.operating_points
        sensitivity, specificity = checked.sensitivity.low, checked.specificity.estimate
        npv = 0.95 * specificity / (0.95 * specificity + 0.05 * (1 - sensitivity))
        assert checked.what_if[0].npv.low == pytest.approx(npv, abs=0.02)


class TestNoFindingIsAFinding:
    def table(self):
        table = films(n_positive=12, findings=("Mass", "Hernia"))
        present = table[["label_Mass", "label_Hernia"]].max(axis=1)
        table["label_No Finding"] = 1.0 - present
        table["prob_No Finding"] = 0.5
        return table.rename(columns=lambda name: name.replace("probability_", "prob_"))

    @pytest.mark.parametrize("spelling", ["No Finding", "no_finding", "NO FINDING", "Normal"])
    def test_it_is_left_out_and_said(self, spelling):
        """no-finding-is-a-finding: neither in the mean nor in any finding."""
        table = self.table().rename(columns=lambda name: name.replace("No Finding", spelling))
        data = load_predictions(table)
        assert data.findings == ("Mass", "Hernia")
        performance = evaluate(data, n_bootstrap=0)
        assert performance.macro.findings == ("Mass", "Hernia")
        assert 0 < performance.any_finding.n_positive < performance.any_finding.n
        assert not math.isnan(performance.any_finding.auroc.estimate)
        assert any(spelling in warning for warning in performance.warnings)

    def test_alone_or_asked_for_it_is_evaluated(self):
        table = self.table()
        alone = table[["sop_uid", "patient_id", "prob_No Finding", "label_No Finding"]]
        assert load_predictions(alone).findings == ("No Finding",)
        assert load_predictions(table, findings=["No Finding"]).findings == ("No Finding",)


def test_evaluate_s_table_states_n(tmp_path):
    """No denominator without its n: of 360 films, 300 have a label."""
    table = films()
    table.loc[:59, "label_Hernia"] = np.nan
    table.to_csv(tmp_path / "p.csv", index=False)
    arguments = ["evaluate", str(tmp_path / "p.csv"), "--out", str(tmp_path / "r"), "--bootstrap"]
    done = CliRunner().invoke(app, [*arguments, "30"], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "300" in done.output
    written = json.loads((tmp_path / "r" / "performance.json").read_text())
    assert written["findings"]["Hernia"]["n"] == 300
    assert pd.read_csv(tmp_path / "r" / "performance.csv")["n"].tolist()[0] == 300
    assert "<td>300</td>" in (tmp_path / "r" / "report.html").read_text()
