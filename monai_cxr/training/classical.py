"""Classical: a calibrated linear model on image features, so that a network has something to beat.

Features are standardised and projected on their principal components (learned on training films),
then one logistic regression a finding. Its penalty is chosen by log loss over folds of patients,
and the mean of the folds' models is predicted, each calibrated by Platt's sigmoid on the films that
it did not see.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monai_cxr.bundle.learning.linear_head import folds_with_both
from monai_cxr.data.cache import FilmCache, unreadable_films
from monai_cxr.data.cache_build import Progress, build_cache
from monai_cxr.data.splits import assert_no_leakage
from monai_cxr.errors import InvalidTable
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.tables import (
    FACT_COLUMNS,
    KEY_COLUMNS,
    columns_array,
    label_column,
    logit_column,
    probability_column,
)
from monai_cxr.training.image_features import film_features

Floats = NDArray[np.float64]

COMPONENTS, FOLDS = 256, 5
PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Inverse strengths of the L2 penalty that are tried (scikit-learn's C)."""


@dataclass(frozen=True, slots=True)
class FittedFinding:
    """What was fitted for a finding.

    Attributes:
        finding: Its name.
        n_positive: Positive training films.
        n_negative: Negative training films.
        penalty: The chosen C; None where too few patients are positive or negative for folds, and
            the training prevalence is predicted for every film.
    """

    finding: str
    n_positive: int
    n_negative: int
    penalty: float | None


def fit_and_predict(
    table: pd.DataFrame,
    cache: FilmCache,
    *,
    features: str = "hog",
    findings: Sequence[str] = FINDING_NAMES,
    seed: int = 0,
    workers: int = 1,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, tuple[FittedFinding, ...]]:
    """Fit on the train split, predict the others.

    Args:
        table: An index with splits.
        cache: Where the index's films are kept as pixels; made where it is not.
        features: See :data:`monai_cxr.training.image_features.FEATURES`.
        findings: Findings to fit.
        seed: Seed of folds, projection and vocabulary.
        workers: Processes.
        progress: Told as films are done.

    Returns:
        A predictions table of every film that is not in the train split (``reason`` where it could
        not be read), and what was fitted.

    Raises:
        InvalidTable: If the split leaks, or train or the rest is empty.
    """
    assert_no_leakage(table)
    used = table[table["split"] != ""].reset_index(drop=True)
    training = (used["split"] == "train").to_numpy()
    if not training.any() or training.all():
        raise InvalidTable(
            f"Expected films of split train and of val or test, but got {int(training.sum())} and "
            f"{int((~training).sum())}. Make splits with: monai-cxr split.",
            reason="no_split",
        )
    build_cache(cache, workers=workers)
    reasons = dict(unreadable_films(cache, cache.records()))
    readable = ~used["sop_uid"].isin(list(reasons)).to_numpy()
    row_of = {uid: row for row, uid in enumerate(cache.sop_uids)}
    films = cache.array()[[row_of[uid] for uid in used["sop_uid"][readable]]]
    train = np.flatnonzero(training[readable])
    if len(train) == 0:
        raise InvalidTable("No film of the train split can be read.", reason="no_images")
    values = film_features(films, train, features, seed=seed, workers=workers, progress=progress)
    labels = columns_array(used[readable], findings)
    patients = used["patient_id"][readable].to_numpy()[train]
    probabilities = np.full((len(used), len(findings)), np.nan)
    projected = _project(values, train, seed)
    fitted: list[FittedFinding] = []
    for column, finding in enumerate(findings):
        scores, what = _fit_finding(finding, projected, train, labels[train, column], patients)
        probabilities[readable, column] = scores
        fitted.append(what)
    predictions = _assemble(used, findings, probabilities, reasons)
    return predictions[~training].reset_index(drop=True), tuple(fitted)


def _project(values: NDArray[np.float32], train: NDArray[np.intp], seed: int) -> Floats:
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(values[train])
    n = min(COMPONENTS, len(train) - 1, values.shape[1])
    if n < 1:
        return np.asarray(scaler.transform(values), dtype=np.float64)
    projection = PCA(n, svd_solver="randomized", random_state=seed)
    projection.fit(scaler.transform(values[train]))
    return np.asarray(projection.transform(scaler.transform(values)), dtype=np.float64)


def _fit_finding(
    finding: str,
    values: Floats,
    train: NDArray[np.intp],
    labels: Floats,
    patients: NDArray[np.object_],
) -> tuple[Floats, FittedFinding]:
    """Probabilities of every film, and what was fitted."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    known = ~np.isnan(labels)
    x, y, groups = values[train][known], labels[known].astype(int), patients[known]
    counts = (int((y == 1).sum()), int((y == 0).sum()))
    n_folds = min(FOLDS, *(len(set(groups[y == value])) for value in (0, 1)))
    folds = folds_with_both(x, y, groups, n_folds) if n_folds >= 2 else []
    if len(folds) < 2:
        prevalence = (counts[0] + 0.5) / (sum(counts) + 1)
        return np.full(len(values), prevalence), FittedFinding(finding, *counts, None)
    # Few columns, so Newton's steps are cheap, and few are needed whatever the penalty.
    model = LogisticRegression(solver="newton-cholesky")
    search = GridSearchCV(model, {"C": PENALTIES}, scoring="neg_log_loss", cv=folds, refit=False)
    chosen = float(search.fit(x, y).best_params_["C"])
    # A model a fold, each calibrated on the films that it did not see; their mean is predicted.
    calibrated = CalibratedClassifierCV(
        model.set_params(C=chosen), method="sigmoid", cv=folds, ensemble=True
    ).fit(x, y)
    scores = np.asarray(calibrated.predict_proba(values)[:, 1], dtype=np.float64)
    return scores, FittedFinding(finding, *counts, chosen)


def _assemble(
    used: pd.DataFrame, findings: Sequence[str], probabilities: Floats, reasons: dict[str, str]
) -> pd.DataFrame:
    columns: dict[str, object] = {
        name: used[name] for name in ("path", *KEY_COLUMNS, *FACT_COLUMNS, "split")
    }
    columns["reason"] = [reasons.get(uid, "") for uid in used["sop_uid"]]
    clipped = np.clip(probabilities, 1e-6, 1 - 1e-6)
    for i, finding in enumerate(findings):
        columns[logit_column(finding)] = np.log(clipped[:, i] / (1 - clipped[:, i]))
    for i, finding in enumerate(findings):
        columns[probability_column(finding)] = probabilities[:, i]
    for finding in findings:
        if used[finding].notna().any():
            columns[label_column(finding)] = used[finding]
    digest = hashlib.sha256(np.ascontiguousarray(probabilities).tobytes()).hexdigest()
    columns["model_digest"] = digest
    return pd.DataFrame(columns)
