"""Payload: the box around the hottest place of a map."""

from __future__ import annotations

import numpy as np
import pytest

from monai_cxr.review.payload import LARGEST_BOX, hot_box, telling_box


def heat(shape=(20, 40)):
    return np.zeros(shape, dtype=np.float32)


class TestBox:
    def test_holds_what_touches_the_peak_and_is_half_as_hot(self):
        share = heat()
        share[5:10, 10:18] = 0.6
        share[7, 12] = 1.0
        share[10, 18] = 0.5  # touches by a corner
        share[10, 19] = 0.49  # not hot enough
        share[15:18, 30:35] = 0.9  # hot, and somewhere else
        assert hot_box(share) == pytest.approx((10 / 40, 5 / 20, 9 / 40, 6 / 20))

    def test_of_a_map_without_a_hot_place_there_is_none(self):
        assert hot_box(heat()) is None

    def test_of_a_map_that_is_hot_everywhere_is_the_film(self):
        assert hot_box(heat() + 1) == (0, 0, 1, 1)

    def test_boxes_of_half_a_film(self):
        """A place that covers much of the film is no place: there is no box then."""
        share = heat()
        share[4:8, 10:18] = 1.0
        assert telling_box(share) == hot_box(share)
        share[:10, :20] = 1.0
        assert hot_box(share) is not None
        assert telling_box(share) is None
        assert 0.05 < LARGEST_BOX < 0.25
