"""Rendering: each pixel is a function of its cell, and what is said of the range is true."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from monai_cxr.dicom.pixels.grayscale import POLICIES, Grayscale, render
from monai_cxr.dicom.pixels.window import Window
from monai_cxr.errors import UnsupportedImage
from monai_cxr.radiograph import InstanceKey, Radiograph

FINITE = st.floats(-1e6, 1e6)
CHAINS = st.builds(
    Grayscale,
    bits_stored=st.integers(1, 16),
    high_bit=st.integers(0, 15),
    signed=st.booleans(),
    padding=st.none() | st.tuples(st.integers(-9, 9), st.integers(0, 99)),
    slope=FINITE,
    intercept=FINITE,
    windows=st.lists(st.builds(Window, FINITE, st.floats(0.1, 1e6)), max_size=1).map(tuple),
    inverse=st.booleans(),
    logarithm=st.booleans(),
)
FILMS = st.sampled_from([np.uint8, np.uint16]).flatmap(
    lambda cell: arrays(cell, array_shapes(min_dims=2, max_dims=2, max_side=9))
)


@given(FILMS, CHAINS, st.sampled_from(list(POLICIES.values())))
def test_what_is_said_to_be_in_range_is(codes, chain, policy):
    found = render(codes, chain, policy)
    assert found.pixels.dtype == np.float32
    assert found.in_range
    assert ((found.pixels >= 0.0) & (found.pixels <= 1.0)).all()


@given(FILMS, CHAINS, st.sampled_from(["header", "none"]))
def test_a_pixel_is_a_function_of_its_cell(codes, chain, policy):
    """Of the film as it lies, and of a turned one, whose memory is not in order."""
    every = np.arange(2 ** (8 * codes.itemsize), dtype=codes.dtype)[None]
    shade = render(every, chain, POLICIES[policy]).pixels[0]
    for film in (codes, codes.T[::-1]):
        assert np.array_equal(render(film, chain, POLICIES[policy]).pixels, shade[film])


def test_a_film_that_may_leave_the_range_is_looked_at():
    found = render(np.zeros((4, 4), np.uint8), Grayscale(slope=math.nan), POLICIES["none"])
    assert not found.in_range
    with pytest.raises(UnsupportedImage, match=r"in \[0, 1\], but got a range of \[nan, nan\]"):
        Radiograph(found.pixels, InstanceKey("", "", "", ""), in_range=found.in_range)
