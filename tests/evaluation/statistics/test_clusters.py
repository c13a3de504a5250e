from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_cxr.evaluation.statistics.clusters import clusters_of, patient_codes, pooled, rarer_class


def test_kish():
    """1 for one patient with everything, K for K patients with one image each."""
    assert clusters_of(np.array([3, 3, 3])).worth == 1.0
    assert clusters_of(np.array([0, 2, 5, 9])).worth == pytest.approx(4.0)
    images = np.array([5, 1, 2])
    worth = clusters_of(np.repeat([0, 1, 2], images)).worth
    assert worth == pytest.approx(images.sum() ** 2 / (images**2).sum())
    assert clusters_of(np.empty(0, dtype=np.intp)).worth == 0.0


def test_the_rarer_class_decides():
    patients = np.array([0, 0, 0, 1, 2, 3])
    assert rarer_class(patients, np.array([1, 1, 1, 0, 0, 0.0])).n_effective == 1
    assert rarer_class(patients, np.array([1, 0, np.nan, 1, 1, 0.0])).n_effective == 2
    assert rarer_class(patients, np.zeros(6)).n_effective == 0


class TestPooled:
    def test_one_part_is_itself(self):
        part = clusters_of(np.array([0, 0, 1, 4]))
        assert pooled([part], [0.3]).worth == pytest.approx(part.worth)

    def test_other_patients_add_up_and_the_same_do_not(self):
        first, second = clusters_of(np.arange(5)), clusters_of(np.arange(5, 10))
        assert pooled([first, second], [1, 1]).n_effective == 10
        assert pooled([first, first], [1, 1]).n_effective == 5

    @given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.floats(0.01, 1.0))
    def test_a_part_that_brings_little_changes_little(self, patients, share):
        part = clusters_of(np.array(patients))
        other = clusters_of(np.arange(10, 500))
        both = pooled([part, other], [share, 1.0 - share])
        assert both.shares.sum() == pytest.approx(1.0)
        assert part.worth - 1e-9 <= both.worth or share < 1.0
        assert both.worth <= part.worth / share**2 + 1e-9


def test_codes():
    codes, n = patient_codes(["b", "a", "b"])
    assert (codes.tolist(), n) == ([1, 0, 1], 2)
