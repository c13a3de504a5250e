"""The gate as a function of two predictions tables."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from evaluation_data import made_up_table

from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.evaluation.comparison import compare
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
from monai_cxr.evaluation.statistics.shares import paired_share_difference
from monai_cxr.lifecycle.gate import judge
from monai_cxr.lifecycle.margins import Margins
from monai_cxr.lifecycle.measures import Contestant
from monai_cxr.lifecycle.sample_size import chance_to_pass, for_interval, for_non_inferiority
from monai_cxr.lifecycle.verdict import Verdict

RULES = {"Mass": 0.3, "Edema": 0.2, "Hernia": 0.1}
MARGINS = Margins(goal="none", n_bootstrap=300, n_positive=30)


@pytest.fixture(scope="module")
def scored():
    return load_predictions(made_up_table(300))


def changed(scored, change):
    return scored.with_probabilities(np.clip(change(scored.probabilities), 0.0, 1.0))


def verdict(champion, challenger, margins=MARGINS, rules=RULES):
    pair = (Contestant(champion, RULES), Contestant(challenger, rules))
    return judge({"locked": pair}, margins)


def outcomes(found, measure):
    return {check.outcome for check in found.checks if check.measure == measure}


def test_the_same_model_loses_nothing(scored):
    assert verdict(scored, scored).outcome == "passed"


def test_noise_is_refused_in_every_discrimination_measure(scored):
    rng = np.random.default_rng(1)
    found = verdict(scored, changed(scored, lambda p: rng.random(p.shape)))
    assert found.outcome == "refused"
    assert outcomes(found, "AUROC") == outcomes(found, "subgroup AUROC") == {"refused"}


def test_wrong_probabilities_with_the_same_order_are_refused_by_brier_alone(scored):
    rules = {name: threshold**0.3 for name, threshold in RULES.items()}
    found = verdict(scored, changed(scored, lambda p: p**0.3), rules=rules)
    assert outcomes(found, "Brier score") == {"refused"}
    assert outcomes(found, "AUROC") == outcomes(found, "sensitivity") == {"passed"}


def test_a_higher_threshold_is_refused_by_sensitivity_and_a_lower_one_by_flags(scored):
    high = verdict(scored, scored, rules=dict.fromkeys(RULES, 0.9))
    assert "refused" in outcomes(high, "sensitivity")
    assert outcomes(high, "flag rate") == {"passed"}
    low = verdict(scored, scored, rules=dict.fromkeys(RULES, 0.001))
    assert outcomes(low, "sensitivity") == {"passed"}
    assert outcomes(low, "flag rate") == {"refused"}


def test_too_few_positives_are_not_decided_however_good(scored):
    found = verdict(scored, scored, replace(MARGINS, n_positive=5000))
    assert found.outcome == "not decided"
    assert outcomes(found, "AUROC") == {"not decided"}


def test_a_model_without_a_threshold_is_not_decided(scored):
    assert outcomes(verdict(scored, scored, rules={}), "sensitivity") == {"not decided"}


def test_a_goal_that_is_not_reached_refuses(scored):
    found = verdict(scored, scored, replace(MARGINS, goal="auroc"))
    assert [c.measure for c in found.of("refused")] == ["goal: AUROC"]
    better = changed(scored, lambda p: 0.5 * p + 0.5 * np.nan_to_num(scored.labels))
    for goal, measure in (("auroc", "goal: AUROC"), ("brier", "goal: Brier score")):
        found = verdict(scored, better, replace(MARGINS, goal=goal))
        assert outcomes(found, measure) == {"passed"}
    assert verdict(scored, better).superior == scored.findings


def test_the_order_of_films_does_not_matter_and_other_films_are_refused(scored):
    backwards = scored.select(np.arange(len(scored))[::-1], scored.findings[::-1])
    assert verdict(scored, backwards).outcome == "passed"
    fewer = scored.select(np.arange(len(scored) - 2), scored.findings)
    with pytest.raises(InvalidTable, match="2 films of the locked test were scored by one"):
        verdict(scored, fewer)
    with pytest.raises(InvalidTable, match=r"other findings \(Hernia\)"):
        verdict(scored, scored.select(np.arange(len(scored)), ("Mass", "Edema")))


def test_the_bound_is_beside_that_of_the_comparison(scored):
    """The gate draws nothing for areas; the bootstrap is another way to nearly the same."""
    rng = np.random.default_rng(2)
    other = changed(scored, lambda p: p + 0.05 * rng.standard_normal(p.shape))
    found = verdict(scored, other)
    plain = compare(scored, other, n_bootstrap=2000)
    checks = [c for c in found.checks if c.measure == "AUROC"]
    for check, item in zip(checks, plain.findings, strict=True):
        assert check.difference.estimate == pytest.approx(item.difference.estimate, abs=1e-12)
        width = item.difference.high - item.difference.low
        assert check.difference.low == pytest.approx(item.difference.low, abs=0.25 * width)
        assert check.difference.high == pytest.approx(item.difference.high, abs=0.25 * width)
    assert found.retention.estimate == pytest.approx(plain.macro.estimate, abs=1e-12)
    assert found.retention == found.learning  # one test is both


def test_the_verdict_survives_its_file(scored):
    found = verdict(scored, scored)
    assert Verdict.from_json(json.loads(json.dumps(found.to_json()))).to_json() == found.to_json()


def test_margins_that_decide_nothing_are_refused():
    for wrong in ({"auroc": 0.0}, {"n_positive": 1}, {"goal": "joy"}, {"subgroups": ("shoe",)}):
        with pytest.raises(SettingsError, match="Expected gate"):
            Margins(**wrong)


def test_a_paired_difference_of_shares_holds_newcombe_s():
    # Newcombe (1998), Statistics in Medicine 17: 2635, method 10: 0.0569 to 0.3404 for this table.
    # Ours is over patients, who understate their variance when few, so it is a little wider.
    first = np.repeat([True, True, False], [36, 12, 2])
    second = np.repeat([True, False, True], [36, 12, 2])
    found = paired_share_difference(second, first, np.arange(50))
    assert found.estimate == pytest.approx(0.20)
    assert 0.02 < found.low < 0.0569 < 0.3404 < found.high < 0.38


@pytest.mark.parametrize(("gain", "loss"), [(0.05, 0.05), (0.02, 0.12), (0.0, 0.05)])
def test_a_paired_difference_covers_the_truth(gain, loss):
    rng = np.random.default_rng(5)
    missed = 0
    for _ in range(400):
        kind = rng.choice(3, size=120, p=[gain, loss, 1.0 - gain - loss])
        found = paired_share_difference(kind != 0, kind != 1, np.arange(120))
        missed += not found.low <= gain - loss <= found.high
    assert missed <= 30  # 5 % of 400 is 20; 30 is two standard deviations more


def test_no_disagreement_is_not_certainty():
    same = np.ones(30, dtype=bool)
    found = paired_share_difference(same, same, np.arange(30))
    assert found.low < -0.1 < found.estimate == 0.0


def test_sample_size_for_an_interval_is_the_fewest():
    from monai_cxr.evaluation.statistics.shares import wilson

    n = for_interval(0.9, 0.1)
    width = [wilson(0.9 * m, m).high - wilson(0.9 * m, m).low for m in (n - 1, n)]
    assert width[0] > 0.1 >= width[1]


def test_the_promised_sample_size_gives_the_promised_power():
    n = for_non_inferiority(0.1)
    assert n > 79  # (1.960 + 0.842)^2 * 0.1 / 0.01: the normal approximation promises too much
    assert chance_to_pass(79, 0.1) < 0.7
    rng, patients = np.random.default_rng(3), np.arange(n)
    passed = 0
    for _ in range(1000):  # drawn and judged patient by patient, as the gate does it
        kind = rng.choice(3, size=n, p=[0.05, 0.05, 0.9])
        passed += paired_share_difference(kind != 0, kind != 1, patients).low > -0.1
    assert passed / 1000 == pytest.approx(chance_to_pass(n, 0.1), abs=0.04)
    assert 0.8 <= chance_to_pass(n, 0.1) < 0.9
