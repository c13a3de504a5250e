"""Tests of the thorax's maps, skeleton and vessels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from monai_cxr.phantom import PhantomSettings
from monai_cxr.phantom.anatomy import Thorax, build_thorax, lung_point, stomach_cm
from monai_cxr.phantom.body import Body, Pose, draw_body, draw_pose
from monai_cxr.phantom.patients import examine
from monai_cxr.phantom.skeleton import airway_cm, draw_skeleton
from monai_cxr.phantom.vessels import draw_tree, grow_tree, to_pixels

POSE = Pose(rows=192, columns=192, spacing_mm=2.0, centre=(96.0, 96.0), angle=0.0, turn=0.0)


def _body(patient: int = 0) -> Body:
    visit = examine(PhantomSettings(seed=41), patient=patient)
    return draw_body(visit, np.random.default_rng(patient), 1.0)


@pytest.fixture(scope="module")
def thorax() -> Thorax:
    return build_thorax(_body(), POSE)


class TestThorax:
    def test_maps_have_half_the_resolution(self, thorax: Thorax) -> None:
        assert thorax.x.shape == thorax.heart_cm.shape == (96, 96)
        assert thorax.spacing_mm == 4.0
        assert thorax.body_cm.dtype == thorax.right.depth_cm.dtype == np.float32

    def test_sides_are_those_of_a_radiograph(self, thorax: Thorax) -> None:
        assert thorax.x[thorax.right.region].max() < 0 < thorax.x[thorax.left.region].min()
        assert thorax.x[thorax.heart].mean() > 0

    def test_the_right_hemidiaphragm_stands_higher(self, thorax: Thorax) -> None:
        assert thorax.y[thorax.right.region].max() < thorax.y[thorax.left.region].max()

    def test_lungs_lie_within_the_body(self, thorax: Thorax) -> None:
        lungs = thorax.right.region | thorax.left.region
        assert thorax.body_cm[lungs].min() > 8.0

    @pytest.mark.parametrize("patient", range(6))
    def test_a_healthy_heart_is_at_most_half_as_wide_as_the_chest(self, patient: int) -> None:
        drawn = build_thorax(_body(patient), POSE)
        heart = np.ptp(drawn.x[drawn.heart])
        assert 0.30 < heart / (2.0 * drawn.body.half_width) < 0.53


class TestPlaces:
    @given(
        patient=st.integers(0, 400),
        sign=st.sampled_from([-1, 1]),
        across=st.floats(0.15, 0.85),
        down=st.floats(0.12, 0.92),
    )
    @hypothesis_settings(max_examples=60, deadline=None, derandomize=True)
    def test_a_place_in_a_lung_is_in_that_lung(
        self, patient: int, sign: int, across: float, down: float
    ) -> None:
        body = _body(patient)
        x, y = lung_point(body, sign, across, down)
        assert np.sign(x) == sign
        # A film of four tiny pixels whose first one lies on the place.
        centre = (-(y - 0.56 * body.height) / 0.01, -x / 0.01)
        one = build_thorax(body, Pose(4, 4, 0.01, centre, 0.0, 0.0))
        lung = one.right if sign < 0 else one.left
        assert lung.depth_cm.max() > 0

    def test_millimetres_and_pixels_agree(self, thorax: Thorax) -> None:
        points = np.stack([thorax.x[10, [20, 40]], thorax.y[10, [20, 40]]], axis=1)
        pixels = to_pixels(thorax, points.astype(np.float64))
        np.testing.assert_allclose(pixels[:, 0], [40.5, 80.5], atol=1e-3)
        np.testing.assert_allclose(pixels[:, 1], [20.5, 20.5], atol=1e-3)


class TestParts:
    def test_bone_is_never_negative_and_the_spine_is_in_the_middle(self, thorax: Thorax) -> None:
        bone = draw_skeleton(thorax)
        assert bone.min() >= 0.0
        columns = bone[30:80].mean(axis=0)
        assert 44 <= int(columns[30:66].argmax()) + 30 <= 51

    def test_air_lies_in_the_trachea_and_under_the_left_dome(self, thorax: Thorax) -> None:
        air = airway_cm(thorax)
        assert air.max() > 1.0
        assert np.abs(thorax.x[air > 0.9]).max() < 60.0
        gas = stomach_cm(thorax)
        if gas.max() > 0:
            assert thorax.left.above_dome[gas > 0].max() < 0
            assert thorax.x[gas > 0].min() > 0

    def test_vessels_taper_from_the_hilum(self) -> None:
        tree = grow_tree(_body(), -1, np.random.default_rng(2))
        radii = [tree.radius[tree.generation == g].mean() for g in range(6)]
        assert radii == sorted(radii, reverse=True)
        assert np.all(tree.start[:8, 0] < 0)

    def test_fewer_generations_draw_less(self, thorax: Thorax) -> None:
        trees = (grow_tree(thorax.body, 1, np.random.default_rng(3)),)
        assert draw_tree(thorax, trees, largest=2).sum() < draw_tree(thorax, trees).sum()


class TestPose:
    @given(size=st.integers(64, 700), seed=st.integers(0, 500))
    @hypothesis_settings(max_examples=60, deadline=None, derandomize=True)
    def test_sides_are_even_and_the_longer_is_the_size(self, size: int, seed: int) -> None:
        pose = draw_pose(size, _body(), np.random.default_rng(seed))
        assert pose.rows % 2 == pose.columns % 2 == 0
        assert max(pose.rows, pose.columns) == 2 * (size // 2)
        assert min(pose.rows, pose.columns) >= 0.78 * size
