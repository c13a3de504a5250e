"""Two samples: are the films of now like those of then, and what tells them apart?

The energy distance (Szekely and Rizzo 2004) of embeddings, permuted in blocks of patients or days,
because films of a patient or a day come together; and the same test value by value of facts of the
films, which says which films changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_cxr.errors import InvalidTable

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TwoSampleTest:
    """Whether two samples differ.

    Attributes:
        distance: Energy distance, at least 0; 0 for equal distributions.
        p_value: By permutation of blocks, at least 1 / (permutations + 1).
        n_then: Films then.
        n_now: Films now.
        n_blocks: Blocks that were permuted.
    """

    distance: float
    p_value: float
    n_then: int
    n_now: int
    n_blocks: int


@dataclass(frozen=True, slots=True)
class FactChange:
    """What tells now from then, by one value of one fact.

    Attributes:
        fact: For example ``"manufacturer"``.
        value: For example a maker's name.
        share_then: Share of the films then.
        share_now: Share of the films now.
        distance: Energy distance between films of this value now and those of the same value then;
            of all films then where there were few of it; NaN with few now.
        p_value: P value of that distance, by permutation of blocks; NaN with few films.
    """

    fact: str
    value: str
    share_then: float
    share_now: float
    distance: float
    p_value: float


FEWEST = 20
"""Films below which nothing is said of a value."""


def energy_test(
    then: ArrayLike,
    now: ArrayLike,
    blocks_then: Sequence[object],
    blocks_now: Sequence[object],
    *,
    permutations: int = 499,
    seed: int = 0,
) -> TwoSampleTest:
    """Test whether two samples come from one distribution.

    Args:
        then: Shape (N, C): embeddings, or any vectors.
        now: Shape (M, C).
        blocks_then: Shape (N,): patient or day of each film; films of a block stay together.
        blocks_now: Shape (M,).
        permutations: Number of permutations of whole blocks.
        seed: Seed of the permutations.

    Raises:
        InvalidTable: If a sample has fewer than two films, or the shapes do not fit.
    """
    from scipy.spatial.distance import cdist  # heavy: a prediction only projects

    a, b = np.asarray(then, dtype=np.float64), np.asarray(now, dtype=np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise InvalidTable(
            f"Expected two samples of shape (films, features), but got {a.shape} and {b.shape}.",
            reason="bad_shape",
        )
    both = np.concatenate([a, b])
    distances = cdist(both, both)
    is_now = np.arange(len(both)) >= len(a)
    names = [(0, one) for one in blocks_then] + [(1, one) for one in blocks_now]
    codes, labels = _codes(names)
    generator = np.random.default_rng(seed)
    n_now = int(labels.sum())
    chosen = np.zeros((permutations, len(labels)), dtype=bool)
    for row in chosen:
        row[generator.permutation(len(labels))[:n_now]] = True
    observed = float(_energies(distances, is_now[None])[0])
    beyond = int((_energies(distances, chosen[:, codes]) >= observed - 1e-12).sum())
    p_value = (beyond + 1) / (permutations + 1)
    return TwoSampleTest(max(observed, 0.0), p_value, len(a), len(b), len(labels))


def changes(
    then: ArrayLike,
    now: ArrayLike,
    facts_then: Mapping[str, Sequence[str]],
    facts_now: Mapping[str, Sequence[str]],
    blocks_then: Sequence[object],
    blocks_now: Sequence[object],
    *,
    permutations: int = 199,
    seed: int = 0,
) -> tuple[FactChange, ...]:
    """Say by maker, model, room, view ... where the films of now differ from those of then.

    Args:
        then: Shape (N, C); see :func:`energy_test`.
        now: Shape (M, C).
        facts_then: A value per film, by fact.
        facts_now: The same facts of the films of now.
        blocks_then: See :func:`energy_test`.
        blocks_now: Blocks of the films of now.
        permutations: Number of permutations of whole blocks.
        seed: Seed of the permutations.

    Returns:
        Values of now, the most different first. p values are adjusted by Holm's method over all of
        them.
    """
    a, b = np.asarray(then, dtype=np.float64), np.asarray(now, dtype=np.float64)
    found: list[FactChange] = []
    for fact, values in facts_now.items():
        old = np.asarray(facts_then.get(fact, []), dtype=object)
        new = np.asarray(values, dtype=object)
        for value in sorted(set(map(str, new))):
            rows = np.flatnonzero(new.astype(str) == value)
            same = np.flatnonzero(old.astype(str) == value)
            shares = (len(same) / max(len(old), 1), len(rows) / len(new))
            if len(rows) < FEWEST:
                found.append(FactChange(fact, value, *shares, np.nan, np.nan))
                continue
            like = same if len(same) >= FEWEST else np.arange(len(a))
            test = energy_test(
                a[like],
                b[rows],
                [blocks_then[int(i)] for i in like],
                [blocks_now[int(i)] for i in rows],
                permutations=permutations,
                seed=seed,
            )
            found.append(FactChange(fact, value, *shares, test.distance, test.p_value))
    adjusted = _holm([one.p_value for one in found])
    made = [replace(one, p_value=p) for one, p in zip(found, adjusted, strict=True)]
    return tuple(
        sorted(made, key=lambda one: (np.isnan(one.p_value), -np.nan_to_num(one.distance)))
    )


def projected(embeddings: ArrayLike, n_components: int = 32, *, seed: int = 0) -> Floats:
    """Random projection (Johnson and Lindenstrauss 1984): a reference that holds no film.

    Args:
        embeddings: Shape (N, C).
        n_components: Features that are kept.
        seed: The same seed gives the same projection; it travels with the reference.

    Returns:
        Shape (N, n_components).
    """
    values = np.asarray(embeddings, dtype=np.float64)
    axes = np.random.default_rng(seed).normal(size=(values.shape[1], n_components))
    made: Floats = values @ axes / np.sqrt(n_components)
    return made


def _energies(distances: Floats, is_now: NDArray[np.bool_]) -> Floats:
    """Energy distance of each choice of films, shape (P,), of choices of shape (P, N)."""
    m = is_now.sum(axis=1, keepdims=True)
    weights = np.where(is_now, -1.0 / m, 1.0 / (is_now.shape[1] - m))
    made: Floats = -np.einsum("pn,pn->p", weights @ distances, weights)
    return made


def _codes(names: Sequence[object]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """A number per block, and which of the blocks are of now."""
    numbers: dict[object, int] = {}
    codes = np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.intp)
    labels = np.array([name[0] for name in numbers], dtype=np.intp)  # type: ignore[index]
    return codes, labels


def _holm(p_values: Sequence[float]) -> list[float]:
    known = [i for i, p in enumerate(p_values) if not np.isnan(p)]
    adjusted = list(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(known, key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(known) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted
