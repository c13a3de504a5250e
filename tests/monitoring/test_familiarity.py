"""Familiarity: new films of the same kind are rarely marked, others are; ages likewise."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from monai_cxr.errors import InvalidTable
from monai_cxr.monitoring.drift import read_references, reference_of, write_references
from monai_cxr.monitoring.familiarity import (
    AGE_OUTSIDE,
    FEWEST_FILMS,
    FEWEST_PATIENTS,
    NOTHING_KNOWN,
    UNLIKE,
    Familiarity,
    KnownAges,
    known_ages,
    known_films,
    read_familiarity,
)


def embeddings(n: int, *, seed: int, channels: int = 96) -> np.ndarray:
    """Correlated, skewed and never negative, as pooled features are; two films a patient."""
    mix = np.random.default_rng(99).normal(size=(12, channels))
    rng = np.random.default_rng(seed)
    patients = np.repeat(rng.normal(size=(n // 2, 12)), 2, axis=0)
    return np.maximum(0.0, (patients + 0.5 * rng.normal(size=(n, 12))) @ mix)


def patients(n: int) -> list[str]:
    return [f"patient {i // 2}" for i in range(n)]


@pytest.fixture(scope="module")
def films():
    return known_films(list(embeddings(400, seed=1)), patients(400))


class TestFilms:
    def test_new_films_of_the_same_kind_are_rarely_marked(self, films):
        marks = Familiarity(films).film_marks(embeddings(4000, seed=2), 4000)
        assert 0.002 < np.mean([mark == (UNLIKE,) for mark in marks]) < 0.03

    @pytest.mark.parametrize("change", [lambda x: 4.0 * x, lambda x: np.roll(x, 7, axis=1)])
    def test_other_films_are_marked(self, films, change):
        marks = Familiarity(films).film_marks(change(embeddings(400, seed=3)), 400)
        assert np.mean([mark == (UNLIKE,) for mark in marks]) > 0.3

    def test_no_embedding_no_mark(self, films):
        assert Familiarity(films).film_marks(None, 2) == [(), ()]
        assert NOTHING_KNOWN.film_marks(embeddings(2, seed=1), 2) == [(), ()]

    def test_too_few_films_are_no_reference(self):
        few = list(embeddings(FEWEST_FILMS, seed=1))
        assert known_films(few, patients(len(few))) is not None
        few[0] = np.empty(0)  # it was not read
        assert known_films(few, patients(len(few))) is None

    def test_embeddings_of_one_point_or_one_patient_give_finite_limits(self):
        same = known_films([np.ones(8)] * 120, patients(120))
        assert math.isfinite(same.limit)
        one = known_films(list(embeddings(200, seed=1)), ["only"] * 200)
        assert math.isfinite(one.limit)

    def test_another_network_s_embeddings_are_refused(self, films):
        with pytest.raises(InvalidTable, match=r"\(N, 96\), but got \(3, 5\)"):
            films.distances(np.zeros((3, 5)))


class TestAges:
    def index(self, ages, split="train"):
        names = [f"p{i}" for i in range(len(ages))]
        return pd.DataFrame({"patient_id": names, "age": ages, "split": split})

    def test_range_of_training_patients_only(self):
        train, val = self.index(np.linspace(20.0, 80.0, 200)), self.index([5.0] * 200, "val")
        assert known_ages(pd.concat([train, val])) == KnownAges(200, 20.0, 80.0)

    def test_one_mistyped_age_and_one_patient_of_many_films_move_nothing(self):
        ages = [*np.linspace(20.0, 80.0, 200), 414.0]
        table = self.index(ages)
        many = pd.concat([table, *[table.iloc[[0]].assign(age=99.0)] * 3])
        assert known_ages(many).highest <= 80.0

    @pytest.mark.parametrize(
        ("years", "marked"),
        [
            (19.9, True),
            (20.0, False),
            (80.0, False),
            (81.0, True),
            (math.nan, False),
            (None, False),
        ],
    )
    def test_marks(self, years, marked):
        marks = Familiarity(ages=KnownAges(200, 20.0, 80.0)).age_marks(years)
        assert marks == ((AGE_OUTSIDE,) if marked else ())

    def test_too_few_or_no_ages_give_no_range(self):
        enough = [50.0] * FEWEST_PATIENTS
        assert known_ages(self.index(enough)) is not None
        assert known_ages(self.index([*enough[1:], math.nan])) is None
        assert known_ages(self.index(enough).drop(columns="age")) is None


class TestFile:
    def test_comes_back_beside_the_references(self, films, tmp_path):
        known, path = Familiarity(films, KnownAges(60, 18.0, 90.0)), tmp_path / "reference.json"
        reference = reference_of("logit_Mass", np.arange(100.0))
        write_references([reference], path, known.content)
        assert read_familiarity(path) == known
        assert read_references(path) == (reference,)

    def test_holds_no_film_and_no_patient(self, films):
        text = json.dumps(Familiarity(films).content)
        assert "patient" not in text
        assert len(films.mean) == len(films.whitening) == 32

    def test_older_references_know_nothing(self, tmp_path):
        path = tmp_path / "reference.json"
        assert read_familiarity(path) == NOTHING_KNOWN
        write_references([], path)
        assert read_familiarity(path) == NOTHING_KNOWN

    @pytest.mark.parametrize(
        "content",
        [
            "[]",
            "{",
            '{"familiarity": 3}',
            '{"familiarity": {"ages": {"lowest": 3}}}',
            '{"familiarity": {"films": {"mean": [1], "whitening": [], "n_films": 3, '
            '"n_channels": 3, "limit": 1}}}',
        ],
    )
    def test_something_else_is_refused(self, tmp_path, content):
        path = tmp_path / "reference.json"
        path.write_text(content, encoding="utf-8")
        with pytest.raises(InvalidTable, match="Package the run again"):
            read_familiarity(path)
