"""Learning from shares of the patients: scores of every origin on the same draws, and their gains.

Linear models on frozen features, and networks that are trained on, from 5, 20 and 100 % of the
patients of split train. All origins learn from the same draws (nested, of seed 0), and are judged
on the films of split val. Each origin's scores are kept in the folder, so that a run that was
stopped goes on. A finding that the drawn patients do not have counts as 0.5.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from monai_cxr.bundle.inference import predict_table
from monai_cxr.bundle.learning.linear_head import embedded, features_of, fit_head
from monai_cxr.bundle.model import BundleModel
from monai_cxr.data.cache import CacheSettings, FilmCache
from monai_cxr.data.cache_build import build_cache
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.tables import columns_array, logit_column, normalise_index, read_table, write_table
from monai_cxr.training.image_features import film_features
from monai_cxr.training.run import workflow

SHARES = (0.05, 0.2, 1.0)
EPOCHS = {0.05: 40, 0.2: 20, 1.0: 8}
"""Of fine-tuning, so that each share takes 120 to 410 steps of 32 films; chosen before looking."""

_HOG_SIDE, _HOG_COMPONENTS = 128, 256
_BUNDLE = "chest_xray_classification"
Floats = np.ndarray


@dataclass(frozen=True)
class Films:
    """Train and val films, and who trains in each draw."""

    table: pd.DataFrame
    seed: int = 0

    @classmethod
    def of(cls, index: Path) -> Films:
        """Of an index with splits."""
        table = normalise_index(read_table(index), FINDING_NAMES)
        return cls(table[table["split"].isin(["train", "val"])].reset_index(drop=True))

    @property
    def judged(self) -> Floats:
        """Films of val, as a mask over the films."""
        return (self.table["split"] == "val").to_numpy()

    def chosen(self, share: float, draw: int) -> Floats:
        """Train films of the drawn patients, as a mask over the films."""
        patients = self.table["patient_id"].to_numpy()
        everyone = np.unique(patients[~self.judged])
        order = np.random.default_rng([self.seed, draw]).permutation(everyone)
        return ~self.judged & np.isin(patients, order[: round(share * len(everyone))])


def draws_of(share: float, draws: int) -> int:
    return 1 if share == 1.0 else draws


def features_of_origin(films: Films, origin: str, out: Path) -> Floats:
    """Embeddings of a run or bundle, or HOG's components; (N, C).

    A film that the bundle refuses has the mean of the others.
    """
    if origin != "hog":
        rows = embedded(BundleModel.load(origin, runtime="torch"), films.table)
        seen = films.table["sop_uid"].isin(rows["sop_uid"]).to_numpy()
        features = np.repeat(features_of(rows).mean(axis=0)[None], len(seen), axis=0)
        features[seen] = features_of(rows)
        return features
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    cache = FilmCache(out / "cache", films.table, CacheSettings(_HOG_SIDE))
    build_cache(cache)
    row_of = {uid: row for row, uid in enumerate(cache.sop_uids)}
    pixels = cache.array()[[row_of[uid] for uid in films.table["sop_uid"]]]
    train = np.flatnonzero(~films.judged)
    values = film_features(pixels, train, "hog")
    values = StandardScaler().fit(values[train]).transform(values)
    projection = PCA(_HOG_COMPONENTS, svd_solver="randomized", random_state=0).fit(values[train])
    return np.asarray(projection.transform(values), dtype=np.float64)


def probe_origin(films: Films, name: str, origin: str, out: Path, draws: int) -> None:
    """Scores of linear models on an origin's frozen features, a file for each share."""
    if all(_scores_path(out, "probe", name, share).is_file() for share in SHARES):
        return
    features = features_of_origin(films, origin, out)
    labels = columns_array(films.table, FINDING_NAMES)
    patients = films.table["patient_id"].to_numpy()
    for share in SHARES:
        scores = np.zeros((draws_of(share, draws), int(films.judged.sum()), len(FINDING_NAMES)))
        for draw, of_draw in enumerate(scores):
            fit = films.chosen(share, draw)
            for column in range(len(FINDING_NAMES)):
                if len(set(labels[fit, column])) == 2:
                    head = fit_head(features[fit], labels[fit, column], patients[fit])
                    of_draw[:, column] = head.logits(features[films.judged])
        _keep(scores, _scores_path(out, "probe", name, share))


def tune(
    films: Films, origins: dict[str, str], out: Path, draws: int, settings: dict[str, Any]
) -> None:
    """Scores of networks that are trained on from weights ("" is from scratch), share by share."""
    for share in sorted(SHARES, key=lambda one: one != 1.0):
        made: dict[str, list[Floats]] = {name: [] for name in origins}
        for draw in range(draws_of(share, draws)):
            for name, weights in origins.items():
                run = out / "runs" / f"{name}_{share}_{draw}"
                made[name].append(_tuned(films, weights, run, share, draw, settings))
        for name, scores in made.items():
            _keep(np.stack(scores), _scores_path(out, "tune", name, share))


def _tuned(
    films: Films, weights: str, run: Path, share: float, draw: int, settings: dict[str, Any]
) -> Floats:
    """Logits of the val films, (N, F), after the last epoch: no epoch is chosen on them.

    A film that is refused has the mean of the others.
    """
    kept = run.with_name(f"{run.name}.parquet")
    if not kept.is_file():
        index = run.with_name(f"{run.name}_index.parquet")
        write_table(films.table[films.chosen(share, draw) | films.judged], index)
        epochs = {"max_epochs": EPOCHS[share], "val_interval": EPOCHS[share]}
        given = {**settings, **epochs, "seed": draw}
        if weights:
            given["initial_weights"] = weights
        workflow.train(workflow.prepare_run(_BUNDLE, index, run, given))
        model = BundleModel.load(run, runtime="torch")
        write_table(predict_table(model, films.table[films.judged].reset_index(drop=True)), kept)
        if share < 1.0:
            shutil.rmtree(run)
    logits = columns_array(read_table(kept), [logit_column(name) for name in FINDING_NAMES])
    return np.where(np.isnan(logits), np.nanmean(logits, axis=0), logits)


def _scores_path(out: Path, kind: str, name: str, share: float) -> Path:
    return out / f"{kind}_{name}_{share}.npy"


def _keep(scores: Floats, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, scores)
    print(f"Kept: {path}", flush=True)


def tell(films: Films, out: Path, kind: str, names: Sequence[str], replicates: int) -> None:
    """Macro AUROC of each origin and its gain over the first, with intervals.

    In each replicate patients of val and draws of training patients are drawn again, the same for
    all origins.
    """
    judged = films.table[films.judged]
    labels = columns_array(judged, FINDING_NAMES)
    patients, code = np.unique(judged["patient_id"], return_inverse=True)
    rng = np.random.default_rng(0)
    times = np.stack([np.bincount(rng.integers(0, len(patients), len(patients)),
                                  minlength=len(patients)) for _ in range(replicates)])  # fmt: skip
    weights = np.vstack([np.ones(len(code)), times[:, code]])
    rows = []
    for share in SHARES:
        areas = {}
        for name in names:
            path = _scores_path(out, kind, name, share)
            if path.is_file():
                areas[name] = np.stack([_areas(one, labels, weights) for one in np.load(path)])
        if not areas:
            continue
        n_draws = min(len(one) for one in areas.values())
        drawn = rng.integers(0, n_draws, (replicates, n_draws))
        drawn = np.vstack([np.arange(n_draws), drawn])
        macro = {n: _over_draws(one, drawn) for n, one in areas.items()}
        first = next(iter(macro))
        n = len(np.unique(films.table["patient_id"][films.chosen(share, 0)]))
        for name, value in macro.items():
            gain = "" if name == first else f"  to {first} {_interval(value - macro[first], '+')}"
            print(f"{kind:6} {name:16} {n:5} patients {n_draws} draws  {_interval(value)}{gain}")
            rows.append((kind, name, n, n_draws, value[0]))
    columns = ["kind", "origin", "n", "draws", "macro_auroc"]
    write_table(pd.DataFrame(rows, columns=columns), out / f"{kind}.csv")


def _areas(scores: Floats, labels: Floats, weights: Floats) -> Floats:
    """AUROC by replicate and finding, (R, F); a finding without a drawn positive is NaN."""
    areas = np.full((len(weights), scores.shape[1]), np.nan)
    for column in range(scores.shape[1]):
        positive, negative = labels[:, column] == 1, labels[:, column] == 0
        above = scores[positive, column][:, None] - scores[negative, column][None]
        wins = (above > 0) + 0.5 * (above == 0)
        w, v = weights[:, positive], weights[:, negative]
        total = w.sum(axis=1) * v.sum(axis=1)
        with np.errstate(invalid="ignore"):
            areas[:, column] = ((w @ wins) * v).sum(axis=1) / total
    return areas


def _over_draws(areas: Floats, drawn: Floats) -> Floats:
    """Mean over findings and drawn draws, (R,), of areas (draws, R, F)."""
    macro = np.nanmean(areas, axis=2)
    return np.array([macro[draws, i].mean() for i, draws in enumerate(drawn)])


def _interval(values: Floats, sign: str = "") -> str:
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return f"{values[0]:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"
