"""What changed: nothing is called so by chance, and a maker's darker films are named."""

from __future__ import annotations

import numpy as np
import pandas as pd

from monai_cxr.monitoring.what_changed import tell_apart, what_changed


def films(rng, n, *, makers=("Fuji", "Canon"), darker=""):
    """Films of about two a patient; one maker's may be darker."""
    maker = np.array([makers[i % len(makers)] for i in range(n)])
    mean = rng.normal(0.5, 0.05, n) - 0.08 * (maker == darker)
    return pd.DataFrame(
        {
            "patient_id": [f"{rng.integers(1e6)}" for _ in range((n + 1) // 2) for _ in "ab"][:n],
            "manufacturer": maker,
            "age": rng.integers(20, 80, n),
            "logit_Mass": rng.normal(-2, 1, n),
            "quality_mean": mean,
            "quality_entropy_bits": rng.normal(5, 0.4, n),
        }
    )


def test_the_maker_whose_films_are_darker_is_named():
    rng = np.random.default_rng(0)
    found = what_changed(films(rng, 300), films(rng, 200, darker="Canon"))
    assert found is not None
    assert found.features == "scores and picture measures"
    assert found.test.p_value <= 0.01
    assert found.classifier.auroc > 0.6
    assert found.facts[0].value == "Canon"
    said = found.sentences[0]
    assert said.startswith("Films of manufacturer Canon (50% of the films now, 50% then) differ")
    assert "mean lower" in said
    assert not any("Fuji" in one for one in found.sentences)


def test_a_maker_that_always_differed_is_not_named():
    rng = np.random.default_rng(3)
    found = what_changed(films(rng, 300, darker="Canon"), films(rng, 200, darker="Canon"))
    assert found.sentences == ()
    assert found.test.p_value > 0.05


def test_a_new_maker_is_seen_in_embeddings_too():
    rng = np.random.default_rng(1)
    then, now = films(rng, 120), films(rng, 120, makers=("Fuji", "Siemens"))
    for table, shift in ((then, 0.0), (now, 1.0)):
        is_new = (table["manufacturer"] == "Siemens").to_numpy()
        table["embedding"] = list(rng.normal(0, 1, (120, 8)) + shift * is_new[:, None])
    found = what_changed(then, now)
    assert found.features == "embeddings"
    assert (found.facts[0].value, found.facts[0].share_then) == ("Siemens", 0.0)
    assert "Siemens" in found.sentences[0]


def test_equal_films_are_seldom_told_apart():
    p_values = []
    for seed in range(40):
        rng = np.random.default_rng(100 + seed)
        a, b = rng.normal(size=(40, 4)), rng.normal(size=(40, 4))
        p_values.append(tell_apart(a, b, range(40), range(40), seed=seed).p_value)
    assert np.mean(np.array(p_values) <= 0.05) <= 0.15


def test_a_handful_of_films_says_nothing():
    rng = np.random.default_rng(2)
    assert what_changed(films(rng, 300), films(rng, 20)) is None
    assert what_changed(pd.DataFrame({"day": range(50)}), pd.DataFrame({"day": range(50)})) is None
