"""Film packing: any film comes back to the last bit, and its small copy is its mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monai_cxr.review.film_packing import (
    PREVIEW_SIDE,
    as_differences,
    from_differences,
    gzipped,
    small_copy,
    unzipped,
    unzipped_size,
)

FILMS = arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@given(FILMS)
@settings(max_examples=60, deadline=None)
def test_any_film_comes_back_as_it_was(values):
    high, low = as_differences(values)
    np.testing.assert_array_equal(from_differences(high, low), values)
    sent = high.tobytes() + low.tobytes()
    packed = gzipped(sent)
    assert unzipped(packed) == sent
    assert unzipped_size(packed) == len(sent)


@pytest.mark.parametrize(
    ("shape", "step"), [((1024, 700), 2), ((1025, 700), 3), ((40, 5000), 10), ((700, 1), 2)]
)
def test_the_small_copy_is_a_mean_of_squares(shape, step):
    values = np.random.default_rng(0).integers(0, 65536, shape).astype(np.uint16)
    copy, found = small_copy(values)
    rows, columns = shape[0] // step, shape[1] // step
    if not columns:  # narrower than one square
        assert copy.size == 0
        return
    assert found == step
    assert copy.shape == (rows, columns)
    assert max(copy.shape) <= PREVIEW_SIDE
    assert copy[1, 1] == values[step : 2 * step, step : 2 * step].mean() // 1


def test_a_small_film_has_none():
    assert small_copy(np.ones((PREVIEW_SIDE, 3), np.uint16))[0].size == 0


def test_a_film_like_others_is_a_third_on_the_wire():
    """A smooth film with noise of two bits: its raw bytes hardly shrink, its differences do."""
    y, x = np.mgrid[:400, :300]
    noise = np.random.default_rng(0).integers(0, 4, (400, 300))
    values = (2000 + 900 * np.sin(x / 60) * np.cos(y / 80) + noise).astype(np.uint16)
    sent = b"".join(plane.tobytes() for plane in as_differences(values))
    assert len(gzipped(sent)) < 0.34 * values.nbytes
    assert len(gzipped(values.tobytes())) > 0.5 * values.nbytes
