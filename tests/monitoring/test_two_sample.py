"""Two-sample tests: level by simulation, blocks that matter, what changed by name."""

from __future__ import annotations

import numpy as np
import pytest

from monai_cxr.errors import InvalidTable
from monai_cxr.monitoring.two_sample import changes, energy_test, projected


def test_the_distance_is_the_definition():
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(15, 3)), generator.normal(1, 1, size=(12, 3))

    def mean(x, y):
        return np.mean([np.linalg.norm(p - q) for p in x for q in y])

    expected = 2 * mean(a, b) - mean(a, a) - mean(b, b)
    made = energy_test(a, b, range(15), range(12), permutations=19)
    assert made.distance == pytest.approx(expected, abs=1e-12)


def clustered(generator, n_patients, shift=0.0):
    patients = np.repeat(np.arange(n_patients), 4)
    centres = generator.normal(shift, 1, size=(n_patients, 4))
    return centres[patients] + generator.normal(0, 0.1, size=(len(patients), 4)), patients


def test_blocks_keep_the_level_where_films_of_a_patient_are_alike():
    """Without blocks almost every pair of equal samples would be called different."""
    generator = np.random.default_rng(1)
    by_block, by_film = [], []
    for _ in range(60):
        (a, pa), (b, pb) = clustered(generator, 12), clustered(generator, 12)
        by_block.append(energy_test(a, b, pa, pb, permutations=39).p_value <= 0.05)
        films = range(len(a)), range(len(b))
        by_film.append(energy_test(a, b, *films, permutations=39).p_value <= 0.05)
    assert np.mean(by_block) <= 0.15
    assert np.mean(by_film) > 0.5


def test_a_scanner_that_changed_is_named():
    generator = np.random.default_rng(2)
    then = generator.normal(size=(120, 5))
    now = generator.normal(size=(120, 5))
    maker = np.array(["A", "B"])[np.arange(120) % 2]
    now[maker == "B"] += 1.0
    first, *rest = changes(
        then, now, {"manufacturer": maker}, {"manufacturer": maker}, range(120), range(120)
    )
    assert (first.fact, first.value) == ("manufacturer", "B")
    assert first.p_value < 0.05
    assert all(one.p_value > 0.05 for one in rest)


def test_a_projection_keeps_distances_roughly():
    generator = np.random.default_rng(3)
    values = generator.normal(size=(50, 1024))
    small = projected(values, 64)
    assert small.shape == (50, 64)
    ratio = np.linalg.norm(small[0] - small[1:], axis=1) / np.linalg.norm(
        values[0] - values[1:], axis=1
    )
    assert ratio.min() > 0.7
    assert ratio.max() < 1.35


def test_shapes_that_do_not_fit():
    with pytest.raises(InvalidTable):
        energy_test(np.zeros((3, 2)), np.zeros((3, 4)), range(3), range(3))
