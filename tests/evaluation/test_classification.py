"""Likeliest classes against scikit-learn, and where there are none."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from evaluation_data import made_up_table
from jsonschema import Draft202012Validator
from sklearn import metrics

from monai_cxr.evaluation.calibration.calibrator import fit_calibrator
from monai_cxr.evaluation.decisions.decision_rules import choose_rules
from monai_cxr.evaluation.performance import evaluate
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
from monai_cxr.report.files import write_report
from monai_cxr.report.performance_schema import PERFORMANCE_SCHEMA

CLASSES = ("Normal", "Bacterial", "Viral")


def softmax_table(n_patients: int = 150, seed: int = 0) -> pd.DataFrame:
    """Films of exclusive classes as our networks score them: log odds of a softmax."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), rng.integers(1, 4, n_patients))
    truth = rng.choice(3, len(patients), p=[0.6, 0.3, 0.1])
    scores = 1.5 * np.eye(3)[truth] + rng.normal(size=(len(patients), 3))
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    columns = {"patient_id": patients.astype(str), "sop_uid": [f"1.{i}" for i in range(len(p))]}
    for i, name in enumerate(CLASSES):
        columns |= {
            f"label_{name}": (truth == i).astype(float),
            f"logit_{name}": np.log(p[:, i] / (1 - p[:, i])),
            f"probability_{name}": p[:, i],
        }
    return pd.DataFrame(columns)


class TestExclusiveClasses:
    def test_against_scikit_learn(self):
        table = softmax_table()
        found = evaluate(load_predictions(table), n_bootstrap=100).classification
        truth, likeliest = (
            table[[f"{what}_{name}" for name in CLASSES]].to_numpy().argmax(axis=1)
            for what in ("label", "probability")
        )
        assert found.classes == CLASSES
        np.testing.assert_array_equal(
            found.confusion, metrics.confusion_matrix(truth, likeliest, labels=range(3))
        )
        expected = {
            "accuracy": metrics.accuracy_score(truth, likeliest),
            "balanced_accuracy": metrics.balanced_accuracy_score(truth, likeliest),
            "kappa": metrics.cohen_kappa_score(truth, likeliest),
        }
        for name, value in expected.items():
            interval = getattr(found, name)
            assert interval.estimate == pytest.approx(value, abs=1e-12)
            assert interval.low < value < interval.high
        recalls = metrics.recall_score(truth, likeliest, average=None)
        assert [r.estimate for r in found.recall.values()] == pytest.approx(recalls.tolist())

    def test_macro_auroc_is_one_against_the_rest(self):
        table = softmax_table()
        performance = evaluate(load_predictions(table), n_bootstrap=0, subgroups=False)
        y, p = (
            table[[f"{what}_{name}" for name in CLASSES]].to_numpy()
            for what in ("label", "probability")
        )
        expected = metrics.roc_auc_score(y, p, average="macro", multi_class="ovr")
        assert performance.macro.auroc.estimate == pytest.approx(expected, abs=1e-12)

    def test_a_calibration_by_class_does_not_hide_the_softmax(self):
        data = load_predictions(softmax_table())
        calibrated = fit_calibrator(data, split="val").apply_to(data)
        assert abs(calibrated.probabilities.sum(axis=1) - 1).max() > 0.001
        found = evaluate(calibrated, n_bootstrap=0, subgroups=False).classification
        likeliest = calibrated.probabilities.argmax(axis=1)
        right = likeliest == calibrated.labels.argmax(axis=1)
        assert found.accuracy.estimate == pytest.approx(right.mean())
        assert math.isnan(found.accuracy.low)

    def test_probabilities_of_anybody_s_softmax_will_do(self):
        table = softmax_table().drop(columns=[f"logit_{name}" for name in CLASSES])
        assert evaluate(load_predictions(table), n_bootstrap=0).classification is not None

    def test_films_of_unknown_class_are_left_out(self):
        table = softmax_table()
        table.loc[:9, "label_Viral"] = np.nan
        found = evaluate(load_predictions(table), n_bootstrap=0).classification
        assert found.n == len(table) - 10

    def test_a_class_without_films_is_not_in_the_mean(self):
        table = softmax_table()
        table = table[table["label_Viral"] == 0].reset_index(drop=True)
        found = evaluate(load_predictions(table), n_bootstrap=0).classification
        recalls = [found.recall[name].estimate for name in CLASSES]
        assert math.isnan(recalls[2])
        assert found.balanced_accuracy.estimate == pytest.approx(np.mean(recalls[:2]))

    def test_the_interval_is_by_patient(self):
        """Five copies of each film of a patient are no new evidence."""
        table = softmax_table(60)
        copies = pd.concat([table.assign(sop_uid=table["sop_uid"] + f".{i}") for i in range(5)])
        widths = [
            interval.high - interval.low
            for interval in (
                evaluate(
                    load_predictions(t.reset_index(drop=True)), n_bootstrap=400
                ).classification.accuracy
                for t in (table, copies)
            )
        ]
        assert widths[1] == pytest.approx(widths[0], rel=0.05)


class TestOneFinding:
    def test_is_absent_or_present(self):
        data = load_predictions(made_up_table(findings=("Pneumonia",)))
        found = evaluate(data, n_bootstrap=100).classification
        y, decided = data.labels[:, 0], data.probabilities[:, 0] >= 0.5
        assert found.classes == ("absent", "present")
        np.testing.assert_array_equal(found.confusion, metrics.confusion_matrix(y, decided))
        assert found.accuracy.estimate == pytest.approx(metrics.accuracy_score(y, decided))
        assert found.kappa.estimate == pytest.approx(metrics.cohen_kappa_score(y, decided))
        assert found.recall["present"].estimate == pytest.approx(metrics.recall_score(y, decided))

    def test_its_threshold_has_an_accuracy_too(self):
        data = load_predictions(made_up_table(findings=("Pneumonia",)))
        rules = choose_rules(data, "sensitivity>=0.80", n_bootstrap=0)
        (check,) = evaluate(data, n_bootstrap=100, rules=rules).operating_points
        decided = data.probabilities[:, 0] >= check.point.threshold
        expected = metrics.accuracy_score(data.labels[:, 0], decided)
        assert check.accuracy.estimate == pytest.approx(expected)
        assert check.accuracy.low < expected < check.accuracy.high


class TestWhereThereAreNone:
    def test_findings_that_occur_together(self):
        assert evaluate(load_predictions(made_up_table()), n_bootstrap=0).classification is None

    def test_exclusive_labels_of_a_multi_label_network(self):
        table = softmax_table()
        for name in CLASSES:
            table[f"logit_{name}"] += 1.0
        assert evaluate(load_predictions(table), n_bootstrap=0).classification is None

    def test_a_softmax_over_labels_that_occur_together(self):
        table = softmax_table()
        table[[f"label_{name}" for name in CLASSES]] = 1.0
        assert evaluate(load_predictions(table), n_bootstrap=0).classification is None


def test_the_report_holds_it(tmp_path):
    performance = evaluate(load_predictions(softmax_table()), n_bootstrap=40)
    write_report(performance, tmp_path)
    value = json.loads((tmp_path / "performance.json").read_text())
    Draft202012Validator(PERFORMANCE_SCHEMA).validate(value)
    assert value["classification"]["confusion"] == performance.classification.confusion.tolist()
    page = (tmp_path / "report.html").read_text()
    assert "Likeliest class" in page
    assert "Cohen&#x27;s kappa" in page or "Cohen's kappa" in page
    assert "| Accuracy |" in (tmp_path / "model_card.md").read_text()
