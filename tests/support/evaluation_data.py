"""Data for the tests of evaluation: made-up tables, and scores with ties and unknown labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import strategies as st


@st.composite
def scored_labels(draw, *, both_classes=True, unknown=False, ties=True):
    n = draw(st.integers(4, 40))
    step = 8 if ties else 10**6
    scores = np.array(draw(st.lists(st.integers(1, step - 1), min_size=n, max_size=n))) / step
    values = [0.0, 1.0, np.nan] if unknown else [0.0, 1.0]
    labels = np.array(draw(st.lists(st.sampled_from(values), min_size=n, max_size=n)))
    if both_classes:
        labels[0], labels[1] = 0.0, 1.0
    return scores, labels


def made_up_table(n_patients: int = 120, seed: int = 0, findings=("Mass", "Edema", "Hernia")):
    """A predictions table of ours: films of patients with scores, labels and facts."""
    rng = np.random.default_rng(seed)
    films = rng.integers(1, 6, n_patients)
    patients = np.repeat(np.arange(n_patients), films)
    n = len(patients)
    columns = {
        "patient_id": [f"P{i:04d}" for i in patients],
        "study_uid": [f"1.2.{i}" for i in range(n)],
        "sop_uid": [f"1.2.3.{i}" for i in range(n)],
        "view": rng.choice(["PA", "AP"], n),
        "age": rng.integers(5, 95, n_patients)[patients].astype(float),
        "sex": rng.choice(["M", "F"], n_patients)[patients],
        "follow_up": np.arange(n) - np.searchsorted(patients, patients),
        "manufacturer": rng.choice(["Maker A", "Maker B"], n_patients)[patients],
    }
    for i, name in enumerate(findings):
        label = (rng.random(n) < 0.3 / (i + 1)).astype(float)
        logit = (
            1.3 * label - 1.5 - i + rng.normal(size=n) + 0.6 * rng.normal(size=n_patients)[patients]
        )
        columns[f"label_{name}"] = label
        columns[f"logit_{name}"] = logit
        columns[f"probability_{name}"] = 1.0 / (1.0 + np.exp(-logit))
    return pd.DataFrame(columns)
