from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.decisions.conformal import (
    ABSENT,
    PRESENT,
    UNCERTAIN,
    ConformalRule,
    check_conformal,
    fit_conformal,
    risk_coverage_curve,
)
from monai_cxr.evaluation.json_values import json_of, read_as


def films(rng, n, share=0.3):
    labels = (rng.random(n) < share).astype(float)
    return 1 / (1 + np.exp(-(2 * labels - 1 + rng.normal(size=n)))), labels


class TestRule:
    @given(st.integers(0, 60), st.sampled_from([0.05, 0.1, 0.2]))
    def test_limits_are_those_of_the_p_values(self, n, alpha):
        """Reject 'present' when fewer than alpha of n + 1 positives are as low (Vovk 2012)."""
        rng = np.random.default_rng(n)
        positives = rng.random(n)
        rule = fit_conformal(
            "any", np.append(positives, rng.random(50)), [1.0] * n + [0.0] * 50, alpha=alpha
        )
        for p in np.append(rng.random(20), positives):
            p_value = (1 + (positives <= p).sum()) / (n + 1)
            if abs(p_value - alpha) > 1e-9:
                assert (p >= rule.rule_out_below) == (p_value > alpha) or p in positives

    def test_coverage_holds_on_average_in_each_class(self):
        kept = []
        for seed in range(150):
            rng = np.random.default_rng(seed)
            rule = fit_conformal("any", *films(rng, 200), alpha=0.1)
            p, y = films(rng, 2000)
            flags = rule.flag(p)
            kept.append(((flags[y == 1] != ABSENT).mean(), (flags[y == 0] != PRESENT).mean()))
        positives, negatives = np.mean(kept, axis=0)
        assert 0.89 < positives < 0.93
        assert 0.89 < negatives < 0.92

    def test_too_few_cases_reject_nothing(self):
        rule = fit_conformal("any", [0.2, 0.9, 0.1], [0, 1, 0], alpha=0.1)
        assert (rule.rule_out_below, rule.rule_in_above) == (0.0, 1.0)
        assert (rule.flag([0.0, 0.5, 1.0]) == UNCERTAIN).all()

    def test_flags(self):
        rule = ConformalRule("any", 0.1, 0.3, 0.6, 10, 10)
        assert rule.flag([0.1, 0.45, 0.9]).tolist() == [ABSENT, UNCERTAIN, PRESENT]
        crossed = ConformalRule("any", 0.1, 0.6, 0.3, 10, 10)  # a region that fits neither class
        assert crossed.flag([0.1, 0.45, 0.9]).tolist() == [ABSENT, UNCERTAIN, PRESENT]

    def test_alpha_between_0_and_1(self):
        with pytest.raises(SettingsError):
            fit_conformal("any", [0.1], [1], alpha=0.0)

    def test_json(self):
        rule = fit_conformal("any", *films(np.random.default_rng(0), 100))
        assert read_as(ConformalRule, json.loads(json.dumps(json_of(rule)))) == rule
        with pytest.raises(SettingsError):
            read_as(ConformalRule, {})


def test_check():
    rng = np.random.default_rng(0)
    rule = fit_conformal("Mass", *films(rng, 300))
    other = fit_conformal("Edema", *films(rng, 300))
    p, y = films(rng, 500)
    (check,) = check_conformal(
        [rule, other], p[:, None], y[:, None], np.arange(len(y)), findings=("Mass",)
    )
    flags = rule.flag(p)
    assert check.coverage_positive.estimate == (flags[y == 1] != ABSENT).mean()
    assert check.decided.estimate == (flags != UNCERTAIN).mean()


class TestRiskCoverage:
    def test_against_the_definition(self):
        p, y = films(np.random.default_rng(0), 60)
        p = p.round(1)
        coverage, risk = risk_coverage_curve(p, y)
        for c, r in zip(coverage, risk, strict=True):
            limit = np.sort(np.abs(p - 0.5))[::-1][round(c * 60) - 1]
            covered = np.abs(p - 0.5) >= limit
            assert covered.mean() == pytest.approx(c)
            assert ((p >= 0.5) != (y == 1))[covered].mean() == pytest.approx(r)
        assert coverage[-1] == 1.0

    def test_nothing(self):
        assert len(risk_coverage_curve([], [])[0]) == 0
