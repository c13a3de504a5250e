"""Parity: how near an exported network is to its original, and whether that is near enough."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from monai_cxr.bundle.engines.runtime import FilmBatch, Runtime
from monai_cxr.bundle.exports import Parity
from monai_cxr.errors import SettingsError
from monai_cxr.evaluation.statistics.discrimination import auroc

MAX_LOGIT_CHANGE = 1e-3
"""Of an fp32 export: the same arithmetic in another order."""

MAX_MEAN_PROBABILITY_CHANGE = 0.01
"""Of every other precision."""

MAX_AUROC_CHANGE = 0.002
"""Of the macro AUROC, likewise."""

_BATCH = 8
Probabilities = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def measure_parity(
    reference: Runtime,
    exported: Runtime,
    films: FilmBatch,
    labels: NDArray[np.float64],
    probabilities: Probabilities,
    *,
    source: str,
) -> Parity:
    """Run both networks on the same films.

    Args:
        reference: The network in fp32.
        exported: The other.
        films: Normalised, shape (N, 1, S, S).
        labels: 0, 1 or NaN, shape (N, F).
        probabilities: Logits to calibrated probabilities.
        source: Where the films came from.

    Returns:
        The changes; macro AUROC over the findings with both labels.
    """
    before, after = (
        np.concatenate(
            [runtime.run(films[i : i + _BATCH]).logits for i in range(0, len(films), _BATCH)]
        )
        for runtime in (reference, exported)
    )
    change = np.abs(probabilities(after) - probabilities(before))
    known = [
        column
        for column in range(labels.shape[1])
        if {0.0, 1.0} <= set(labels[:, column][~np.isnan(labels[:, column])].tolist())
    ]
    macro, macro_export = (_macro(logits, labels, known) for logits in (before, after))
    return Parity(
        films=source,
        n_films=len(films),
        max_logit_change=float(np.abs(after - before).max()),
        max_probability_change=float(change.max()),
        mean_probability_change=float(change.mean()),
        macro_auroc=macro,
        macro_auroc_export=macro_export,
        n_findings=len(known),
    )


def _macro(
    logits: NDArray[np.float64], labels: NDArray[np.float64], columns: list[int]
) -> float | None:
    if not columns:
        return None
    return float(np.mean([auroc(logits[:, one], labels[:, one]) for one in columns]))


def require_parity(parity: Parity, precision: str, name: str) -> None:
    """Refuse an export whose outputs differ from those of its original.

    Raises:
        SettingsError: With the figures and the limits.
    """
    if precision == "fp32":
        if not parity.max_logit_change <= MAX_LOGIT_CHANGE:
            raise SettingsError(
                f"The export '{name}' is refused: a logit changes by {parity.max_logit_change:.2g} "
                f"on {parity.n_films} films, allowed are {MAX_LOGIT_CHANGE:g}. Nothing was written."
            )
        return
    moved = parity.auroc_change
    if precision == "int8" and moved is None:
        raise SettingsError(
            f"The export '{name}' is refused: no finding has both labels in the {parity.n_films} "
            "films, so its AUROC cannot be compared. Give labelled training films with --films. "
            "Nothing was written."
        )
    if not parity.mean_probability_change < MAX_MEAN_PROBABILITY_CHANGE or (
        moved is not None and not moved < MAX_AUROC_CHANGE
    ):
        auroc_text = "unknown" if moved is None else f"{moved:.4f}"
        raise SettingsError(
            f"The export '{name}' is refused: on {parity.n_films} films ({parity.films}) the mean "
            f"probability changes by {parity.mean_probability_change:.4f} (allowed: below "
            f"{MAX_MEAN_PROBABILITY_CHANGE:g}), the largest by "
            f"{parity.max_probability_change:.4f}, and the macro AUROC by {auroc_text} (allowed: "
            f"below {MAX_AUROC_CHANGE:g}). Nothing was written. Use fp32."
        )
