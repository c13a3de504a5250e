"""Image features of the time before networks: gradients in cells, and words of key points.

HOG: Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005.
SIFT: Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", IJCV 2004, as a bag of
words: Csurka et al., "Visual Categorization with Bags of Keypoints", ECCV workshop 2004; the square
root of the counts: Arandjelovic and Zisserman, CVPR 2012.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from monai_cxr.errors import SettingsError

FEATURES = ("hog", "sift")
Floats = NDArray[np.float32]
Films = NDArray[np.uint8]
Progress = Callable[[int, int], None]

CELL = 16
"""Side of a HOG cell in pixels: an eighth of a film of 128."""

WORDS = 256
"""Visual words of the SIFT vocabulary."""

_CHUNK = 64
_DESCRIPTORS_FOR_WORDS = 100_000


def film_features(
    films: Films,
    train: NDArray[np.intp],
    kind: str,
    *,
    seed: int = 0,
    workers: int = 1,
    progress: Progress | None = None,
) -> Floats:
    """Features of every film; what must be learned (SIFT's words) is learned on training films.

    Args:
        films: uint8, shape (N, S, S).
        train: Rows of the training films.
        kind: One of :data:`FEATURES`.
        seed: Seed of the vocabulary.
        workers: Processes.
        progress: Told as films are done.

    Returns:
        float32, shape (N, D).

    Raises:
        SettingsError: If the kind is unknown, or films are too small for it.
    """
    if kind not in FEATURES:
        raise SettingsError(f"Expected features as one of {', '.join(FEATURES)}, but got '{kind}'.")
    if films.shape[1] < 2 * CELL:
        raise SettingsError(
            f"Expected films of at least {2 * CELL} px for these features, but got "
            f"{films.shape[1]}. Choose a larger --size."
        )
    if kind == "hog":
        return np.stack(_over_films(_hog, films, workers, progress))
    descriptors = _over_films(_sift, films, workers, progress)
    return _bags_of_words(descriptors, train, seed)


def _over_films(
    do: Callable[[Films], list[Floats]], films: Films, workers: int, progress: Progress | None
) -> list[Floats]:
    chunks = [films[start : start + _CHUNK] for start in range(0, len(films), _CHUNK)]
    found: list[Floats] = []
    parallel = Parallel(n_jobs=max(workers, 1), return_as="generator")
    for part in parallel(delayed(do)(np.asarray(chunk)) for chunk in chunks):
        found.extend(part)
        if progress is not None:
            progress(len(found), len(films))
    return found


def _hog(films: Films) -> list[Floats]:
    from skimage.feature import hog

    how: dict[str, Any] = {"orientations": 9, "pixels_per_cell": (CELL, CELL)}
    return [hog(film, cells_per_block=(2, 2), **how).astype(np.float32) for film in films]


def _sift(films: Films) -> list[Floats]:
    from skimage.feature import SIFT

    detector: Any = SIFT(upsampling=1)  # type: ignore[no-untyped-call]
    found: list[Floats] = []
    for film in films:
        try:
            detector.detect_and_extract(film)
        except RuntimeError:  # skimage's way to say that a film has no key point
            found.append(np.zeros((0, 128), dtype=np.float32))
        else:
            found.append(detector.descriptors.astype(np.float32))
    return found


def _bags_of_words(descriptors: Sequence[Floats], train: NDArray[np.intp], seed: int) -> Floats:
    from sklearn.cluster import MiniBatchKMeans

    known = np.concatenate([descriptors[row] for row in train])
    if len(known) == 0:
        raise SettingsError("No training film has a SIFT key point. Choose hog, or other films.")
    rng = np.random.default_rng(seed)
    some = known[rng.permutation(len(known))[:_DESCRIPTORS_FOR_WORDS]]
    words = MiniBatchKMeans(min(WORDS, len(some)), random_state=seed, n_init=3, batch_size=4096)
    words.fit(some)
    bags = np.zeros((len(descriptors), words.n_clusters), dtype=np.float32)
    for row, film in enumerate(descriptors):
        if len(film):
            counts = np.bincount(words.predict(film), minlength=words.n_clusters)
            bags[row] = np.sqrt(counts / len(film))
    return bags
