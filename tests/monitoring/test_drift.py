from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from monai_cxr.errors import InvalidTable
from monai_cxr.monitoring.drift import (
    drift,
    index_by_chance,
    read_references,
    reference_of,
    references_of,
    stability_index,
    write_references,
)


def normal(n, mean=0.0, seed=0):
    return np.random.default_rng(seed).normal(mean, 1.0, n)


def by_pandas(reference, then, now):
    """The index as a spreadsheet would make it: counts between the edges, and a sum."""
    bins = [-np.inf, *reference.edges, np.inf]
    p = pd.cut(pd.Series(now), bins).value_counts(sort=False) + 0.5
    q = pd.cut(pd.Series(then), bins).value_counts(sort=False) + 0.5
    p, q = p / p.sum(), q / q.sum()
    return float(((p - q) * np.log(p / q)).sum())


class TestIndex:
    @pytest.mark.parametrize("shift", [0.0, 0.3, 2.0])
    def test_is_that_of_counts_between_deciles(self, shift):
        then, now = normal(800), normal(500, shift, seed=1)
        reference = reference_of("x", then)
        assert len(reference.counts) == 10
        expected = by_pandas(reference, then, now)
        assert stability_index(reference, now) == pytest.approx(expected, abs=1e-12)

    def test_is_of_bins_that_ties_leave(self):
        then = np.repeat([0.0, 0.0, 0.0, 1.0], 50)
        reference = reference_of("x", then)
        assert reference.edges == (0.0,)
        assert reference.counts == (150, 50)
        assert stability_index(reference, then) == pytest.approx(0.0, abs=1e-12)

    def test_stays_below_chance_where_nothing_moved(self):
        reference = reference_of("x", normal(400))
        bound = index_by_chance(reference, 300)
        indices = [stability_index(reference, normal(300, seed=i)) for i in range(1, 400)]
        assert sum(index > bound for index in indices) <= 4
        # without drift the mean is (bins - 1) (1/n + 1/m), but for the reference's own deciles
        assert np.mean(indices) == pytest.approx(9 * (1 / 300 + 1 / 400), rel=0.25)


class TestDrift:
    def test_sees_what_moved_and_leaves_what_did_not(self):
        reference = reference_of("x", normal(1000))
        still, moved = drift(reference, normal(300, seed=3)), drift(reference, normal(300, 1.0, 3))
        assert not still.differs
        assert moved.differs
        assert moved.median == pytest.approx(1.0, abs=0.3)
        assert moved.reference_median == pytest.approx(0.0, abs=0.1)

    def test_sees_a_constant_that_is_another(self):
        reference = reference_of("padding", np.zeros(200))
        assert not drift(reference, np.zeros(100)).differs
        assert drift(reference, np.full(100, 0.3)).differs

    def test_distance_is_that_of_the_whole_sample_within_a_percentile(self):
        then, now = normal(900), normal(400, 0.5, 1)
        exact = ks_2samp(then, now).statistic
        assert drift(reference_of("x", then), now).distance == pytest.approx(exact, abs=0.015)

    def test_says_nothing_of_few_films(self):
        found = drift(reference_of("x", normal(200)), [1.0, math.nan, 2.0])
        assert found.n == 2
        assert math.isnan(found.index)
        assert not found.differs

    def test_of_no_value_there_is_no_reference(self):
        assert reference_of("x", [math.nan, math.inf]) is None

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80),
        st.lists(st.floats(-1e6, 1e6), min_size=50, max_size=80),
    )
    def test_is_finite_and_counts_every_film(self, then, now):
        reference = reference_of("x", then)
        assert sum(reference.counts) == len(then) == reference.n
        assert len(reference.edges) == len(set(reference.edges))
        found = drift(reference, now)
        assert math.isfinite(found.index)
        assert found.index >= 0.0
        assert 0.0 <= found.distance <= 1.0


class TestFile:
    def test_gives_back_what_was_written(self, tmp_path):
        table = pd.DataFrame(
            {"logit_Mass": normal(60), "quality_mean": [0.4, math.nan] * 30, "patient_id": "x"}
        )
        references = references_of(table, ["Mass", "Hernia"])
        assert [(one.name, one.n) for one in references] == [
            ("logit_Mass", 60), ("quality_mean", 30),
        ]  # fmt: skip
        write_references(references, tmp_path / "r.json")
        assert read_references(tmp_path / "r.json") == references

    @pytest.mark.parametrize(
        "text",
        ["", "[]", '{"format": "x", "measures": {}}',
         '{"format": "monai_cxr drift reference", "measures": {"a": 3}}',
         '{"format": "monai_cxr drift reference", "measures": '
         '{"a": {"n": 1, "edges": [1], "counts": [1], "percentiles": []}}}'],
    )  # fmt: skip
    def test_of_another_kind_is_refused(self, tmp_path, text):
        path = tmp_path / "r.json"
        path.write_text(text)
        with pytest.raises(InvalidTable, match="no drift reference"):
            read_references(path)
