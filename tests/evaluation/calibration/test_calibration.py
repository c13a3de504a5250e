from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import statsmodels.api as sm
from evaluation_data import made_up_table
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression

from monai_cxr.errors import InvalidTable, NotCalibrated, SettingsError
from monai_cxr.evaluation.calibration.calibrator import (
    Calibrator,
    fit_calibrator,
    logits_of,
    read_calibrator,
    training_weights_calibrator,
    write_calibrator,
)
from monai_cxr.evaluation.calibration.choice import patient_folds
from monai_cxr.evaluation.calibration.methods import (
    METHODS,
    POOLED,
    FindingCalibration,
    fit_method,
    shift_prior,
)
from monai_cxr.evaluation.calibration.patient_sketch import PatientSketch
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
from monai_cxr.evaluation.statistics.discrimination import auroc
from monai_cxr.evaluation.statistics.logistic import fit_logistic
from monai_cxr.evaluation.statistics.logits import sigmoid, to_logits
from monai_cxr.evaluation.statistics.reliability import expected_calibration_error, log_loss


def one_finding(n=2000, seed=0):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.2).astype(float)
    return 1.4 * y - 0.5 + rng.normal(size=n), y


def applied(method, z, y):
    return FindingCalibration("any", method, fit_method(method, z, y)).apply(z)


class TestLogisticRegression:
    def test_against_statsmodels(self):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(500, 2)), (rng.random(500) < 0.3).astype(float)
        expected = sm.Logit(y, sm.add_constant(x)).fit(disp=0, tol=1e-13).params
        np.testing.assert_allclose(fit_logistic(x, y), expected, atol=1e-9)
        np.testing.assert_allclose(fit_logistic(x, y, start=(1.0, -2.0, 3.0)), expected, atol=1e-9)

    def test_a_weight_is_a_repetition(self):
        rng = np.random.default_rng(1)
        x, y, w = rng.normal(size=(60, 1)), rng.integers(0, 2, 60) * 1.0, rng.integers(0, 4, 60)
        actual = fit_logistic(x, y, weights=w * 1.0)
        np.testing.assert_allclose(
            actual, fit_logistic(np.repeat(x, w, 0), np.repeat(y, w)), atol=1e-8
        )

    def test_separable_classes_stay_finite(self):
        beta = fit_logistic(np.array([[-1.0], [-0.5], [0.5], [1.0]]), np.array([0.0, 0, 1, 1]))
        assert np.isfinite(beta).all()
        assert beta[1] > 5


class TestMethods:
    @pytest.mark.parametrize("method", ["prior_shift", "temperature", "beta"])
    def test_maximum_likelihood(self, method):
        z, y = one_finding()
        forms = {
            "prior_shift": (lambda t: z + t[0], [0.0]),
            "temperature": (lambda t: z * t[0], [1.0]),
            "beta": (
                lambda t: -t[0] * np.logaddexp(0, -z) + t[1] * np.logaddexp(0, z) + t[2],
                [1.0, 1.0, 0.0],
            ),
        }
        linear, start = forms[method]
        best = minimize(
            lambda t: np.sum(np.logaddexp(0, linear(t)) - y * linear(t)), start, tol=1e-12
        )
        assert log_loss(applied(method, z, y), y) <= best.fun / len(y) + 1e-9
        np.testing.assert_allclose(applied(method, z, y), sigmoid(linear(best.x)), atol=2e-4)

    def test_platt_has_platts_targets(self):
        z, y = one_finding()
        n_positive, n_negative = y.sum(), (1 - y).sum()
        targets = np.where(y == 1, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
        family = sm.families.Binomial()
        expected = sm.GLM(targets, sm.add_constant(z), family=family).fit(tol=1e-14).params
        parameters = fit_method("platt", z, y)
        assert parameters["intercept"][0] == pytest.approx(expected[0], abs=1e-8)
        assert parameters["slope"][0] == pytest.approx(expected[1], abs=1e-8)

    def test_isotonic_against_scikit_learn(self):
        z, y = one_finding()
        z = z.round(1)  # with ties
        theirs = IsotonicRegression(out_of_bounds="clip").fit(z, y)
        grid = np.linspace(-5, 5, 333)
        ours = FindingCalibration("any", "isotonic", fit_method("isotonic", z, y))
        expected = np.clip(theirs.predict(grid), 1e-7, 1 - 1e-7)
        np.testing.assert_allclose(ours.apply(grid), expected, atol=1e-9)

    @pytest.mark.parametrize("method", [name for name in METHODS if name != POOLED])
    def test_no_method_turns_ranks_round(self, method):
        z, y = one_finding()
        grid = np.linspace(-20, 20, 400)
        p = FindingCalibration("any", method, fit_method(method, z, y)).apply(grid)
        assert (np.diff(p) >= 0).all()
        assert ((p >= 0) & (p <= 1)).all()

    @pytest.mark.parametrize("method", ["none", "prior_shift", "temperature", "platt", "beta"])
    def test_smooth_methods_keep_auroc(self, method):
        z, y = one_finding()
        assert auroc(applied(method, z, y), y) == pytest.approx(auroc(z, y), abs=1e-9)

    @pytest.mark.parametrize("method", ["platt", "beta"])
    def test_a_model_that_ranks_backwards_is_not_turned_round(self, method):
        z, y = one_finding()
        p = applied(method, -z, y)
        assert auroc(p, y) == pytest.approx(auroc(-z, y), abs=1e-9)

    def test_temperature_cannot_move_the_intercept(self):
        z, y = one_finding(5000)
        shifted = z + 4.0
        errors = {
            m: expected_calibration_error(applied(m, shifted, y), y)
            for m in ("temperature", "prior_shift", "platt")
        }
        assert errors["temperature"] > 0.2
        assert max(errors["prior_shift"], errors["platt"]) < 0.05

    def test_unknown_method(self):
        with pytest.raises(SettingsError, match="dirichlet"):
            fit_method("dirichlet", *one_finding(10))


class TestPriorShift:
    def test_bayes_rule(self):
        p = np.array([0.1, 0.5])
        odds = p / (1 - p) * (0.02 / 0.98) / (0.2 / 0.8)
        shifted = shift_prior(p, from_prevalence=0.2, to_prevalence=0.02)
        np.testing.assert_allclose(shifted, odds / (1 + odds), atol=1e-12)

    def test_back_and_forth(self):
        p = np.linspace(0, 1, 11)
        there = shift_prior(p, from_prevalence=0.3, to_prevalence=0.01)
        np.testing.assert_allclose(
            shift_prior(there, from_prevalence=0.01, to_prevalence=0.3), p, atol=1e-12
        )

    @pytest.mark.parametrize("prevalence", [0.0, 1.0, -0.1])
    def test_impossible_prevalences(self, prevalence):
        with pytest.raises(SettingsError):
            shift_prior([0.5], from_prevalence=prevalence, to_prevalence=0.1)

    def test_training_weights_are_undone_without_data(self):
        calibrator = training_weights_calibrator({"Mass": 20.0, "Edema": 1.0})
        z = np.array([[0.3, 0.3]])
        np.testing.assert_allclose(
            calibrator.apply(z), [[sigmoid(0.3 - np.log(20.0)), sigmoid(np.array(0.3))]]
        )
        with pytest.raises(SettingsError):
            training_weights_calibrator({"Mass": 0.0})


class TestStatedPrevalence:
    def test_is_bayes_rule_on_the_calibrated_probability(self, predictions):
        fitted = fit_calibrator(predictions)
        moved = fitted.at_prevalence({"Mass": 0.01})
        z = np.linspace(-3, 3, 7)
        mass, other = (fitted.names.index(name) for name in ("Mass", "Edema"))
        own = predictions.labels[:, mass].mean()
        before, after = fitted.findings[mass].apply(z), moved.findings[mass].apply(z)
        odds = 0.01 / 0.99 / (own / (1 - own))
        np.testing.assert_allclose(after / (1 - after), odds * before / (1 - before))
        assert "to 0.01" in moved.findings[mass].reason
        np.testing.assert_array_equal(
            moved.findings[other].apply(z), fitted.findings[other].apply(z)
        )

    def test_survives_the_file_and_may_be_stated_again(self, predictions, tmp_path):
        fitted = fit_calibrator(predictions)
        moved = fitted.at_prevalence({"Mass": 0.01, "Hernia": 0.002})
        write_calibrator(moved, tmp_path / "calibration.json")
        read = read_calibrator(tmp_path / "calibration.json")
        z = np.linspace(-3, 3, 7)[:, None] * np.ones(len(read.findings))
        np.testing.assert_array_equal(read.apply(z), moved.apply(z))
        np.testing.assert_allclose(
            read.at_prevalence({"Mass": 0.2}).apply(z),
            fitted.at_prevalence({"Mass": 0.2, "Hernia": 0.002}).apply(z),
        )

    @pytest.mark.parametrize("stated", [{"Mass": 0.0}, {"Mass": 1.5}, {"Fracture": 0.1}])
    def test_impossible_ones(self, predictions, stated):
        with pytest.raises(SettingsError, match="prevalence"):
            fit_calibrator(predictions).at_prevalence(stated)


class TestChoice:
    def test_folds_are_by_patient(self):
        patients = np.repeat(np.arange(40), 3)
        folds = patient_folds(patients, 5, 0)
        assert all(len(np.unique(folds[patients == p])) == 1 for p in range(40))
        assert set(folds) == {0, 1, 2, 3, 4}

    def test_few_positives_allow_only_intercept_and_smoothed_slope(self):
        calibrator = fit_calibrator(load_predictions(made_up_table(60)))
        assert all(c.n_positive < 500 for c in calibrator.findings)
        for calibration in calibrator.findings:
            assert "isotonic" not in calibration.log_loss_by_method
            if calibration.n_positive < 50:
                assert calibration.method in ("prior_shift", "platt", "pooled_beta")
                assert "beta" not in calibration.log_loss_by_method

    def test_temperature_is_never_chosen(self):
        z, y = one_finding(3000, seed=2)
        table = made_up_table(600, findings=("Mass",))
        rng = np.random.default_rng(0)
        rows = rng.permutation(3000)[: len(table)]
        table["logit_Mass"], table["label_Mass"] = 3.0 * z[rows], y[rows]
        chosen = fit_calibrator(load_predictions(table)).findings[0]
        assert chosen.method not in ("temperature", "none")
        assert {"temperature", "none"} <= set(chosen.log_loss_by_method)

    def test_nothing_to_learn_from(self, table):
        table["label_Mass"] = 0.0
        table["label_Edema"] = np.nan
        table["logit_Hernia"] = 1.0
        predictions = load_predictions(table)
        mass, edema, hernia = fit_calibrator(predictions).findings
        assert (mass.method, edema.method, hernia.method) == ("none", "none", "none")
        assert "nothing can be learned" in mass.reason
        weighted = fit_calibrator(predictions, positive_weights={"Mass": 8.0}).findings[0]
        assert weighted.parameters["shift"] == (-np.log(8.0),)

    def test_all_positives_in_one_fold(self, table):
        table["label_Mass"] = 0.0
        table.loc[table["patient_id"] == "P0003", "label_Mass"] = 1.0
        calibration = fit_calibrator(load_predictions(table)).findings[0]
        assert calibration.method in ("prior_shift", "platt")

    def test_forced_methods(self, predictions):
        forced = fit_calibrator(predictions, method={"Mass": "temperature"})
        assert forced.findings[0].method == "temperature"
        assert {c.method for c in fit_calibrator(predictions, method="beta").findings} == {"beta"}
        with pytest.raises(SettingsError, match="magic"):
            fit_calibrator(predictions, method="magic")
        with pytest.raises(SettingsError, match="folds"):
            fit_calibrator(predictions, n_folds=1)


class TestPublishedPredictions:
    @pytest.mark.parametrize("weighted", [False, True])
    def test_right_on_the_patients_that_did_not_fit_it(self, published, weighted):
        """Mean over four random halves: one half alone varies by 0.0005 around 0.0079."""
        logits = to_logits(published.probabilities)
        if weighted:  # what a loss weighted by n-/n+ does to the log odds
            share = np.nanmean(published.labels, axis=0)
            logits = logits + np.log((1 - share) / share)
        shifted = dataclasses.replace(published, logits=logits)
        names = np.unique(published.patient_ids)
        errors, areas = [], []
        for seed in range(4):
            half = np.random.default_rng(seed).permutation(names)[: len(names) // 2]
            fitting = np.isin(published.patient_ids, half)
            test = shifted.where(~fitting)
            after = fit_calibrator(shifted.where(fitting), seed=seed).apply_to(test).probabilities
            for i in range(14):
                labels = test.labels[:, i]
                errors.append(expected_calibration_error(after[:, i], labels))
                areas.append(auroc(after[:, i], labels) - auroc(test.logits[:, i], labels))
        assert np.mean(errors) <= 0.008
        assert np.abs(np.mean(np.reshape(areas, (4, 14)), axis=1)).max() <= 0.001


class TestFiles:
    def test_round_trip(self, predictions, tmp_path):
        calibrator = fit_calibrator(
            predictions, split="val", fitted_on="2026-11-01", training_priors={"Mass": 0.05}
        )
        path = tmp_path / "calibration.json"
        write_calibrator(calibrator, path)
        read = read_calibrator(path)
        z = logits_of(predictions)
        np.testing.assert_array_equal(read.apply(z), calibrator.apply(z))
        assert read.to_json() == calibrator.to_json()
        assert read.provenance.split == "val"
        assert read.provenance.training_priors == {"Mass": 0.05}
        assert read.provenance.data_digest == predictions.digest

    def test_every_method_survives(self, published):
        some = published.where(np.arange(len(published)) < 4000)
        for method in METHODS:
            calibrator = fit_calibrator(some, method=method, n_folds=2)
            read = Calibrator.from_json(json.loads(json.dumps(calibrator.to_json())))
            z = logits_of(some)
            np.testing.assert_array_equal(read.apply(z), calibrator.apply(z))
            assert read.findings[0].method == method

    def test_the_same_data_give_the_same_file(self, predictions):
        first, second = (json.dumps(fit_calibrator(predictions).to_json()) for _ in range(2))
        assert first == second

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"format_version": "9.0"}'])
    def test_not_a_calibration(self, tmp_path, text):
        path = tmp_path / "c.json"
        path.write_text(text)
        with pytest.raises(NotCalibrated):
            read_calibrator(path)

    def test_a_missing_file_or_parameter(self, tmp_path, predictions):
        with pytest.raises(NotCalibrated):
            read_calibrator(tmp_path / "absent.json")
        value = json.loads(json.dumps(fit_calibrator(predictions, method="platt").to_json()))
        del value["findings"]["Mass"]["parameters"]["slope"]
        with pytest.raises(NotCalibrated):
            Calibrator.from_json(value)
        value["findings"]["Mass"]["method"] = "magic"
        with pytest.raises(NotCalibrated, match="magic"):
            Calibrator.from_json(value)

    def test_shapes_and_names_must_fit(self, predictions):
        calibrator = fit_calibrator(predictions, method="platt")
        with pytest.raises(InvalidTable, match="shape"):
            calibrator.apply(np.zeros((4, 5)))
        other = dataclasses.replace(predictions, findings=("Mass", "Edema", "Fibrosis"))
        with pytest.raises(NotCalibrated, match="Fibrosis"):
            calibrator.apply_to(other)


class TestPatientSketch:
    def test_recognises_its_patients_and_no_stranger(self):
        names = np.array([f"patient {i}" for i in range(5000)])
        sketch = PatientSketch.from_json(PatientSketch.of(names[:2000]).to_json())
        assert sketch.seen(names[:2000]).all()
        assert not sketch.seen(names[2000:]).any()

    def test_names_nobody(self):
        text = json.dumps(PatientSketch.of(["Doe^Jane", "Roe^Richard"]).to_json())
        assert "Doe" not in text
