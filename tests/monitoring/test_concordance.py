"""Concordance: scikit-learn's numbers, intervals that cover, and a queue that learns."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score, precision_score, recall_score

from monai_cxr.monitoring.concordance import concordance, second_look_queue


def studies(n=300, *, labeller=(0.9, 0.98), seed=0):
    """Studies of about two a patient; reports are read with a known error."""
    generator = np.random.default_rng(seed)
    patient = np.arange(n) // 2
    truth = generator.random(n) < 0.2
    chance = generator.random(n)
    flagged = np.where(truth, chance < 0.8, chance < 0.1)
    read = generator.random(n)
    stated = np.where(truth, read < labeller[0], read > labeller[1])
    return pd.DataFrame(
        {
            "study_uid": [f"1.2.{i}" for i in range(n)],
            "patient_id": patient.astype(str),
            "finding": "Effusion",
            "flagged": flagged,
            "probability": generator.random(n) * 0.5 + 0.5 * flagged,
            "state": np.where(stated, 1.0, np.where(chance < 0.5, 0.0, np.nan)),
            "month": np.where(np.arange(n) < n // 2, "2026-10", "2026-11"),
        }
    )


def test_numbers_are_those_of_scikit_learn():
    table = studies()
    stated, flagged = table["state"] == 1, table["flagged"]
    one, october, november = concordance(table, ["month"])
    assert one.sensitivity.estimate == pytest.approx(recall_score(stated, flagged))
    assert one.specificity.estimate == pytest.approx(recall_score(~stated, ~flagged))
    assert one.ppv.estimate == pytest.approx(precision_score(stated, flagged))
    assert one.kappa.estimate == pytest.approx(cohen_kappa_score(stated, flagged))
    assert one.kappa.low < one.kappa.estimate < one.kappa.high
    assert (one.n, one.n_patients, one.group) == (300, 150, "all")
    assert (october.group, november.group) == ("month 2026-10", "month 2026-11")
    assert october.n + november.n == one.n


def test_intervals_cover_agreement_with_the_labelled_report():
    """With a labeller that finds 90 % and invents 2 %, agreement has a known value."""
    among_stated = 0.2 * 0.9 + 0.8 * 0.02
    sensitivity = (0.2 * 0.9 * 0.8 + 0.8 * 0.02 * 0.1) / among_stated
    ppv = (0.2 * 0.8 * 0.9 + 0.8 * 0.1 * 0.02) / (0.2 * 0.8 + 0.8 * 0.1)
    made = [concordance(studies(seed=i), n_replicates=0)[0] for i in range(150)]
    for name, value in (("sensitivity", sensitivity), ("ppv", ppv)):
        intervals = [getattr(one, name) for one in made]
        covered = np.mean([i.low <= value <= i.high for i in intervals])
        assert 0.90 <= covered <= 0.99


def test_uncertain_is_left_out_and_nothing_is_invented():
    table = studies(40).assign(state=-1.0)
    (one,) = concordance(table)
    assert (one.n, one.n_uncertain) == (0, 40)
    assert math.isnan(one.sensitivity.estimate)
    assert math.isnan(one.kappa.estimate)
    assert concordance(table.iloc[:0]) == ()


def test_the_queue_asks_first_where_looks_were_worth_it():
    base = studies(4).assign(flagged=True, state=[0.0, np.nan, 1.0, -1.0], probability=0.6)
    other = base.assign(finding="Nodule", probability=0.5)
    table = pd.concat([base, other], ignore_index=True)
    none = pd.DataFrame(columns=["study_uid", "finding", "outcome"])
    first = second_look_queue(table, none)
    assert list(first["finding"]) == ["Effusion", "Effusion", "Nodule", "Nodule"]
    assert set(first["study_uid"]) == {"1.2.0", "1.2.1"}
    looked = pd.DataFrame(
        [("1.2.0", "Nodule", "confirmed"), ("9.9", "Effusion", "not_confirmed")],
        columns=none.columns,
    )
    then = second_look_queue(table, looked)
    assert list(then["finding"]) == ["Nodule", "Effusion", "Effusion"]
    assert ("1.2.0", "Nodule") not in set(zip(then["study_uid"], then["finding"], strict=True))
