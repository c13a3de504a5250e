"""Linear head: a finding by regularised logistic regression on frozen, standardised features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from monai_cxr.bundle.inference import predict_table
from monai_cxr.bundle.predictor import Predictor
from monai_cxr.errors import InvalidTable
from monai_cxr.tables import EMBEDDING_COLUMN

Floats = NDArray[np.float64]

FEW = 16
"""Up to so many positive patients the strength of the penalty is fixed: too few to choose it by."""

VARIANCES = (0.25, 1.0, 4.0, 16.0)
"""Prior variances of the log odds that are tried; C of scikit-learn is one over the features."""

FIXED_VARIANCE = 4.0
FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class LinearHead:
    """Log odds of a finding as a linear function of an embedding.

    Attributes:
        weight: float64, shape (C,), of the embedding as the network gives it.
        bias: Intercept.
        variance: Prior variance of the log odds that was used.
        n: Films it was fitted to.
        n_positive: Of these, the positive ones.
    """

    weight: Floats
    bias: float
    variance: float
    n: int
    n_positive: int

    def logits(self, features: Floats) -> Floats:
        """Log odds, shape (N,), of features (N, C)."""
        return np.asarray(features @ self.weight + self.bias, dtype=np.float64)


def fit_head(features: Floats, labels: Floats, patients: ArrayLike) -> LinearHead:
    """Fit a finding; the penalty is fixed for few films, else chosen by folds of patients.

    Args:
        features: Shape (N, C).
        labels: Shape (N,), 0 or 1, both present.
        patients: Shape (N,); whose film each is.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread > 1e-12, spread, 1.0)
    x, y = (features - mean) / spread, labels.astype(int)
    groups = np.asarray(patients)
    penalties = {variance / x.shape[1]: variance for variance in VARIANCES}
    chosen = FIXED_VARIANCE / x.shape[1]
    fewest = min(len(set(groups[y == value])) for value in (0, 1))
    if len(set(groups[y == 1])) > FEW and fewest >= 2:
        folds = folds_with_both(x, y, groups, min(FOLDS, fewest))
        if len(folds) >= 2:
            search = GridSearchCV(
                LogisticRegression(max_iter=1000),
                {"C": list(penalties)},
                scoring="neg_log_loss",
                cv=folds,
                refit=False,
            )
            chosen = float(search.fit(x, y).best_params_["C"])
    model = LogisticRegression(C=chosen, max_iter=1000).fit(x, y)
    weight = model.coef_[0].astype(np.float64) / spread
    bias = float(model.intercept_[0] - weight @ mean)
    return LinearHead(weight, bias, penalties[chosen], len(y), int(y.sum()))


def folds_with_both(
    x: Floats, y: NDArray[np.int_], groups: ArrayLike, n_folds: int
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Folds of whole patients, those that lack a class on one side left out.

    Args:
        x: Features, shape (N, C).
        y: Shape (N,), 0 or 1.
        groups: Shape (N,), patients.
        n_folds: At least 2.

    Returns:
        Rows to fit and rows held out, of each fold.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    split = StratifiedGroupKFold(n_folds, shuffle=True, random_state=0).split(x, y, groups)
    return [pair for pair in split if all(len(set(y[side])) == 2 for side in pair)]


def embedded(
    model: Predictor, rows: pd.DataFrame, workers: int | None = None, *, keep: Sequence[str] = ()
) -> pd.DataFrame:
    """The rows whose film could be read, with an ``embedding`` each.

    Args:
        model: Whose network has an embedding.
        rows: Of an index.
        workers: Processes that read films.
        keep: Columns of the predictions to keep.

    Raises:
        InvalidBundle: If the network has no embedding.
        InvalidTable: If no film can be read.
    """
    table = predict_table(model, rows, workers=workers, embeddings=True)
    read = (table["reason"] == "").to_numpy()
    if not read.any():
        raise InvalidTable("None of the films can be read.", reason="no_images")
    result = rows[read].reset_index(drop=True)
    for name in keep:
        result[name] = table[name][read].to_numpy()
    result[EMBEDDING_COLUMN] = list(table[EMBEDDING_COLUMN][read])
    return result


def features_of(rows: pd.DataFrame) -> Floats:
    """Embeddings as one array, float64, shape (N, C)."""
    return np.stack(list(rows[EMBEDDING_COLUMN])).astype(np.float64)
