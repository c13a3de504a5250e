"""Tally: percentiles of counted values are those of every pixel."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monai_cxr.dicom.pixels.tally import percentiles

COUNTED = st.lists(
    st.tuples(st.floats(-1e5, 1e5, allow_nan=False), st.integers(0, 40)), min_size=1, max_size=60
).filter(lambda pairs: any(count for _, count in pairs))


@given(pairs=COUNTED, wanted=st.lists(st.floats(0, 100), min_size=1, max_size=5))
def test_are_those_of_numpy(pairs: list[tuple[float, int]], wanted: list[float]) -> None:
    values, counts = (np.array(column) for column in zip(*pairs, strict=True))
    every_pixel = np.repeat(values, counts)
    np.testing.assert_allclose(
        percentiles(values, counts, wanted),
        np.percentile(every_pixel, wanted),
        rtol=1e-12,
        atol=1e-9,
    )


def test_of_one_value_it_is_that_value() -> None:
    assert percentiles(np.array([0.1, 0.3]), np.array([0, 7]), (2.0, 98.0)).tolist() == [0.3, 0.3]
