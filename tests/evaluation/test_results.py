"""Results: a performance written as JSON and read again is the same performance."""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from evaluation_data import made_up_table
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.classification import Classification
from monai_cxr.evaluation.curves import FindingCurves
from monai_cxr.evaluation.decisions.conformal import ConformalCheck
from monai_cxr.evaluation.decisions.decision_rules import choose_rules
from monai_cxr.evaluation.decisions.operating_points import CheckedOperatingPoint
from monai_cxr.evaluation.performance import evaluate
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
from monai_cxr.evaluation.results import (
    Aggregate,
    AnyFinding,
    EvaluationIdentity,
    FindingPerformance,
    Performance,
)
from monai_cxr.evaluation.statistics.reliability import ReliabilityCurve
from monai_cxr.evaluation.subgroups import Subgroup

NUMBERS = st.just(math.nan) | st.integers(-(10**6), 10**6).map(lambda n: n / 10**6)
COUNTS = st.integers(0, 10**6)
NAMES = st.text(min_size=1, max_size=8)


def drawn(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a dataclass or of the type of one of its fields."""
    origin, parts = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return st.builds(kind, **{name: drawn(k) for name, k in get_type_hints(kind).items()})
    if origin is tuple and parts[1:] != (...,):
        return st.tuples(*map(drawn, parts))
    if origin is tuple:
        return st.lists(drawn(parts[0]), max_size=2).map(tuple)
    if origin is not None:
        return st.dictionaries(NAMES, drawn(parts[1]), max_size=2)
    return {float: NUMBERS, int: COUNTS, str: NAMES}[kind]


def series(n: int) -> st.SearchStrategy[Any]:
    return st.lists(NUMBERS, min_size=n, max_size=n).map(np.array)


@st.composite
def curves(draw):
    pair, triple, bins = (draw(st.integers(0, 3)) for _ in range(3))
    thresholds = np.nan_to_num(draw(series(pair)), nan=np.inf)
    reliability = ReliabilityCurve(*(draw(series(bins)) for _ in range(3)))
    bounds = draw(series(bins)), draw(series(bins))
    drawn_series = [draw(series(n)) for n in (pair, pair, bins, bins, *[triple] * 3, 2, 2)]
    return FindingCurves(
        *drawn_series[:2], thresholds, *drawn_series[2:4], reliability, *bounds, *drawn_series[4:]
    )


@st.composite
def performances(draw):
    found = draw(
        st.lists(drawn(FindingPerformance), max_size=3, unique_by=lambda item: item.finding)
    )
    points = draw(drawn(tuple[CheckedOperatingPoint, ...]))
    counts = draw(st.lists(COUNTS, min_size=4, max_size=4))
    names = ("true_positives", "false_positives", "true_negatives", "false_negatives")
    interval = drawn(get_type_hints(FindingPerformance)["auroc"])
    classification = st.builds(
        Classification,
        st.just(("absent", "present")), st.just(np.array(counts).reshape(2, 2)),
        interval, interval, interval, st.dictionaries(NAMES, interval, max_size=2),
    )  # fmt: skip
    return Performance(
        draw(drawn(EvaluationIdentity)),
        tuple(
            replace(item, brier_parts=replace(item.brier_parts, brier=item.brier.estimate))
            for item in found
        ),
        draw(drawn(Aggregate)),
        draw(drawn(AnyFinding)),
        tuple(
            replace(
                item,
                point=replace(item.point, threshold=0.25),
                rates=replace(item.rates, threshold=0.25, **dict(zip(names, counts, strict=True))),
            )
            for item in points
        ),
        draw(drawn(tuple[Subgroup, ...])),
        draw(st.dictionaries(NAMES, curves(), max_size=2)),
        draw(drawn(tuple[ConformalCheck, ...])),
        draw(st.none() | classification),
        draw(drawn(tuple[str, ...])),
    )


def same(a: Any, b: Any) -> bool:
    """Equal in every field; NaN is equal to NaN."""
    if is_dataclass(a):
        return type(a) is type(b) and all(
            same(getattr(a, item.name), getattr(b, item.name)) for item in fields(a)
        )
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


def written(performance: Performance) -> Any:
    return json.loads(json.dumps(performance.to_json(), allow_nan=False))


@settings(deadline=None, max_examples=60)
@given(performances())
def test_any_performance_comes_back_whole(performance):
    assert same(Performance.from_json(written(performance)), performance)


@pytest.fixture(scope="module")
def content():
    data = load_predictions(made_up_table(40))
    rules = choose_rules(data, "youden", alpha=0.1, n_bootstrap=5)
    performance = evaluate(data, n_bootstrap=5, rules=rules, prevalences=[("", 0.1)])
    return json.dumps(performance.to_json())


def test_an_evaluation_comes_back_as_it_was_written(content):
    assert Performance.from_json(json.loads(content)).to_json() == json.loads(content)


def test_what_a_newer_version_adds_is_passed_over_and_what_an_older_lacks_is_unknown(content):
    value = json.loads(content)
    value["findings"]["Mass"]["new"] = value["new"] = {"x": 1}
    value["schema_version"] = "1.99"
    del value["findings"]["Mass"]["ece_uncalibrated"]
    assert math.isnan(Performance.from_json(value)["Mass"].ece_uncalibrated)
    ratio = value["operating_points"][0]["likelihood_ratio_positive"]
    for point in value["operating_points"]:
        del point["likelihood_ratio_positive_interval"], point["what_if"][0]["ppv_interval"]
    for curves in value["curves"].values():
        del curves["reliability"]["observed_low"], curves["reliability"]["observed_high"]
    older = Performance.from_json(value)
    assert older.operating_points[0].likelihood_ratio_positive.estimate == ratio
    assert math.isnan(older.operating_points[0].what_if[0].ppv.low)
    assert np.isnan(older.curves["Mass"].observed_low).all()
    value["schema_version"] = "2.0"
    with pytest.raises(SettingsError, match=r"schema version 1\.x"):
        Performance.from_json(value)


def test_the_message_names_the_place(content):
    value = json.loads(content)
    value["findings"]["Mass"]["auroc"]["low"] = "0.5"
    with pytest.raises(SettingsError, match=r"a number at findings\.Mass\.auroc\.low"):
        Performance.from_json(value)


WRONG = (None, True, 3, -1.5, "text", [], {}, [None], {"x": 1}, ["a", 1], [[1], []])


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_broken_file_is_refused_in_one_line(content, data):
    value = json.loads(content)
    node = value
    for _ in range(data.draw(st.integers(1, 5))):
        keys = sorted(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        parent, node = node, node[key]
        if not (isinstance(node, (dict, list)) and node):
            break
    parent[key] = data.draw(st.sampled_from(WRONG))
    message = ""
    try:
        Performance.from_json(value)
    except SettingsError as error:
        message = str(error)
    assert "\n" not in message
