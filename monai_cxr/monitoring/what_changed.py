"""What changed: whether films of now differ from those of then, which ones, and in what.

The energy test says whether; a classifier between then and now (Lopez-Paz and Oquab 2017) says how
well they can be told apart; facts (maker, view, room ...) say which films; and picture measures say
in what: "films of Fuji: mean lower".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monai_cxr.evaluation.predictions.column_names import logit_columns
from monai_cxr.evaluation.statistics.discrimination import auroc
from monai_cxr.monitoring.two_sample import FEWEST, FactChange, TwoSampleTest, changes, energy_test
from monai_cxr.tables import EMBEDDING_COLUMN, QUALITY_COLUMNS

Floats = NDArray[np.float64]

FACTS = ("manufacturer", "model", "room", "view", "sex", "software", "age_group")
"""Facts that are looked at, where a table has them; ages in groups of twenty years."""

MOST_FILMS = 600
"""Films of each side that are compared, in whole blocks drawn by chance."""

FEWEST_FILMS = 40
_FOLDS, _PERMUTATIONS, _NOTABLE = 5, 49, 0.5


@dataclass(frozen=True, slots=True)
class Classifier:
    """How well then and now can be told apart.

    Attributes:
        auroc: Out of fold, blocks kept together; 0.5 where they cannot.
        p_value: By permutation of whole blocks.
        n: Films.
    """

    auroc: float
    p_value: float
    n: int


@dataclass(frozen=True, slots=True)
class Changed:
    """What is different now.

    Attributes:
        features: What was compared: ``"embeddings"``, or ``"scores and picture measures"``.
        test: Whether the samples differ.
        classifier: How well they can be told apart.
        facts: Which films differ, the most different first.
        sentences: The same in words, for values of facts with p at most 0.05.
    """

    features: str
    test: TwoSampleTest
    classifier: Classifier
    facts: tuple[FactChange, ...]
    sentences: tuple[str, ...]


def what_changed(
    then: pd.DataFrame, now: pd.DataFrame, *, block: str = "", seed: int = 0
) -> Changed | None:
    """Compare two tables of predictions.

    Args:
        then: With embeddings, or logits and picture measures; and facts.
        now: Likewise.
        block: Column whose equal values come together; patients, else days, where it is empty.
        seed: Of the choice of films and the permutations.

    Returns:
        What differs; None with fewer than :data:`FEWEST_FILMS` on a side, or nothing to compare.
    """
    block = block or next((n for n in ("patient_id", "day") if n in then and n in now), "")
    then, now = (_chosen(table, block, seed) for table in (then, now))
    kind, a, b = _features(then, now)
    if min(len(a), len(b)) < FEWEST_FILMS or not a.shape[1]:
        return None
    blocks = [_blocks(table, block) for table in (then, now)]
    facts = [
        {name: _values(table, name) for name in FACTS if _has(then, name) and _has(now, name)}
        for table in (then, now)
    ]
    found = changes(a, b, facts[0], facts[1], *blocks, seed=seed)
    return Changed(
        features=kind,
        test=energy_test(a, b, *blocks, seed=seed),
        classifier=tell_apart(a, b, *blocks, seed=seed),
        facts=found,
        sentences=tuple(
            _sentence(one, then, now)
            for one in found
            if not math.isnan(one.p_value) and one.p_value <= 0.05
        ),
    )


def tell_apart(
    then: Floats,
    now: Floats,
    blocks_then: Sequence[object],
    blocks_now: Sequence[object],
    *,
    seed: int = 0,
) -> Classifier:
    """A logistic classifier between then and now, judged on films of other blocks.

    Args:
        then: Shape (N, C), standardised.
        now: Shape (M, C).
        blocks_then: Shape (N,).
        blocks_now: Shape (M,).
        seed: Of folds and permutations.
    """
    x = np.concatenate([then, now])
    names = [*((0.0, one) for one in blocks_then), *((1.0, one) for one in blocks_now)]
    numbers: dict[tuple[float, object], int] = {}
    codes = np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.intp)
    of_block = np.array([now_or_then for now_or_then, _ in numbers], dtype=np.float64)
    rng = np.random.default_rng(seed)
    fold = rng.permutation(len(numbers))[codes] % _FOLDS
    observed = _auroc_out_of_fold(x, of_block[codes], fold)
    beyond = sum(
        _auroc_out_of_fold(x, rng.permutation(of_block)[codes], fold) >= observed
        for _ in range(_PERMUTATIONS)
    )
    return Classifier(observed, (beyond + 1) / (_PERMUTATIONS + 1), len(x))


def _auroc_out_of_fold(x: Floats, y: Floats, fold: NDArray[np.intp]) -> float:
    scores = np.zeros(len(y))
    for number in range(_FOLDS):
        test = fold == number
        scores[test] = x[test] @ _ridge(x[~test], y[~test])
    return auroc(scores, y) if 0 < y.sum() < len(y) else math.nan


def _ridge(x: Floats, y: Floats) -> Floats:
    """Linear classifier by least squares with a small penalty: quick enough to be permuted."""
    centred = x - x.mean(axis=0)
    penalty = 1e-2 * len(x) * np.eye(x.shape[1])
    made: Floats = np.linalg.solve(centred.T @ centred + penalty, centred.T @ (y - y.mean()))
    return made


def _chosen(table: pd.DataFrame, block: str, seed: int) -> pd.DataFrame:
    if len(table) <= MOST_FILMS:
        return table.reset_index(drop=True)
    blocks = np.asarray(_blocks(table, block), dtype=object).astype(str)
    names = np.random.default_rng(seed).permutation(np.unique(blocks))
    place = {name: i for i, name in enumerate(names)}
    order = np.argsort([place[name] for name in blocks], kind="stable")[:MOST_FILMS]
    return table.iloc[np.sort(order)].reset_index(drop=True)


def _features(then: pd.DataFrame, now: pd.DataFrame) -> tuple[str, Floats, Floats]:
    """Standardised features of both; a value that is missing is the middle of then."""
    if EMBEDDING_COLUMN in then and EMBEDDING_COLUMN in now:
        kind = "embeddings"
        both = [np.stack(list(map(np.asarray, t[EMBEDDING_COLUMN]))) for t in (then, now)]
    else:
        kind = "scores and picture measures"
        names = [*logit_columns(then).values(), *(n for n in QUALITY_COLUMNS if n in then)]
        names = [name for name in names if name in now]
        both = [
            t[names].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
            for t in (then, now)
        ]
    a, b = (np.asarray(one, dtype=np.float64) for one in both)
    if not len(a) or not a.shape[1]:
        return kind, a, b
    known = np.isfinite(a).any(axis=0)
    a, b = a[:, known], b[:, known]
    middle, spread = np.nanmean(a, axis=0), np.nanstd(a, axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    a, b = ((np.where(np.isfinite(one), one, middle) - middle) / spread for one in (a, b))
    return kind, a, b


def _blocks(table: pd.DataFrame, block: str) -> list[str]:
    if block not in table:
        return [str(i) for i in range(len(table))]
    values = table[block].astype(str)
    return [value if value else f"row {i}" for i, value in enumerate(values)]


def _has(table: pd.DataFrame, name: str) -> bool:
    return "age" in table if name == "age_group" else name in table


def _values(table: pd.DataFrame, name: str) -> list[str]:
    if name == "age_group":
        ages = pd.to_numeric(table["age"], errors="coerce")
        return ["not known" if a != a else f"{20 * int(a // 20)} to {20 * int(a // 20) + 19}"
                for a in ages]  # fmt: skip
    return [value if value else "not known" for value in table[name].fillna("").astype(str)]


def _sentence(one: FactChange, then: pd.DataFrame, now: pd.DataFrame) -> str:
    """Which films, how many, and the picture measures that moved most."""
    rows = np.array(_values(now, one.fact)) == one.value
    same = np.array(_values(then, one.fact)) == one.value
    then = then[same] if same.sum() >= FEWEST else then  # as the distance was taken
    moved = []
    for name in QUALITY_COLUMNS:
        if name not in then or name not in now:
            continue
        before = pd.to_numeric(then[name], errors="coerce")
        after = pd.to_numeric(now[name], errors="coerce")[rows]
        spread = float(before.std())
        step = (float(after.mean()) - float(before.mean())) / spread if spread > 0 else math.nan
        if abs(step) >= _NOTABLE:
            moved.append((abs(step), name.removeprefix("quality_").replace("_", " "), step))
    said = ", ".join(
        f"{name} {'higher' if step > 0 else 'lower'} ({step:+.1f} standard deviations)"
        for _, name, step in sorted(moved, reverse=True)[:3]
    )
    share = f"{one.share_now:.0%} of the films now, {one.share_then:.0%} then"
    return f"Films of {one.fact.replace('_', ' ')} {one.value} ({share}) differ: " + (
        said + "." if said else "in their scores or features, not in a picture measure."
    )
