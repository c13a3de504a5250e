"""Agreement with reports that rules misread: intervals cover the truth; the unknown is refused."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from monai_cxr.errors import InvalidTable
from monai_cxr.monitoring.concordance import concordance
from monai_cxr.monitoring.labeller_error import (
    LabellerError,
    by_language,
    read_labeller_error,
    shipped,
)

TRUTH = {"sensitivity": 0.8, "specificity": 0.9, "ppv": 0.2 * 0.8 / (0.2 * 0.8 + 0.8 * 0.1)}


def site(seed, n=600, rules=(0.85, 0.97)):
    """Studies, two a patient, whose reports are true and are read with a known error."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.2
    flagged = rng.random(n) < np.where(truth, TRUTH["sensitivity"], 1 - TRUTH["specificity"])
    stated = rng.random(n) < np.where(truth, rules[0], 1 - rules[1])
    return pd.DataFrame(
        {
            "study_uid": [f"1.{i}" for i in range(n)],
            "patient_id": (np.arange(n) // 2).astype(str),
            "finding": "Effusion",
            "flagged": flagged,
            "probability": 0.5,
            "state": stated.astype(float),
        }
    )


def measured(seed, n=400, rules=(0.85, 0.97)):
    """The rules' error, counted on another set of reports."""
    rng = np.random.default_rng(10_000 + seed)
    n_stated = n // 4
    found, left = rng.binomial(n_stated, rules[0]), rng.binomial(n - n_stated, rules[1])
    return LabellerError(int(found), int(n_stated - found), int(n - n_stated - left), int(left))


def test_corrected_intervals_cover_the_truth_where_plain_ones_do_not():
    plain = dict.fromkeys(TRUTH, 0)
    covered = dict.fromkeys(TRUTH, 0)
    for seed in range(120):
        (one,) = concordance(site(seed), n_replicates=0, errors={"Effusion": measured(seed)})
        for name, value in TRUTH.items():
            interval, bare = getattr(one.corrected, name), getattr(one, name)
            covered[name] += interval.low <= value <= interval.high
            plain[name] += bare.low <= value <= bare.high
    assert plain["sensitivity"] < 0.8 * 120  # rules that invent a little lower it
    assert all(0.90 * 120 <= n <= 120 for n in covered.values()), covered


def test_what_the_rules_hardly_read_is_not_corrected():
    useless = LabellerError(5, 95, 5, 95)
    (one,) = concordance(site(0), n_replicates=0, errors={"Effusion": useless})
    assert math.isnan(one.corrected.ppv.estimate)
    (without,) = concordance(site(0), n_replicates=0)
    assert math.isnan(without.corrected.ppv.estimate)


def test_the_error_of_our_rules_travels_and_a_site_may_bring_its_own(tmp_path):
    assert shipped("en")["Effusion"].sensitivity > 0.8
    assert shipped("de") == {} == by_language("none")
    path = tmp_path / "own.csv"
    path.write_text("finding,found,missed,invented,left\nMass,9,1,2,88\n")
    assert read_labeller_error(path) == {"Mass": LabellerError(9, 1, 2, 88)}
    path.write_text("finding,found,missed,invented,left\nMass,9,1,2,-8\n")
    with pytest.raises(InvalidTable, match="whole numbers"):
        by_language(str(path))
