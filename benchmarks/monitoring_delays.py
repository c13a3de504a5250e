"""Monitoring delays: false alarms of the charts, and films until they notice what changed.

False alarms: the limits that a Markov chain gives are simulated over --years years of days on which
nothing happens, with a baseline of 60 days, as if all charts were independent.

Delays: streams of real films (NIH), 200 a day. After 60 days of baseline and 30 quiet days, one
thing changes. Every film has 14 scores of a small network (a bundle that was trained on phantoms:
what counts is that its numbers are a fixed function of the picture) and its picture measures.
Beside the charts stand the windows of today's drift table: the population stability index and
Kolmogorov-Smirnov distance of the last 7 days against the baseline.

    python benchmarks/monitoring_delays.py --bundle BUNDLE --years 1000 --runs 10
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from monai_cxr.bundle.model import BundleModel
from monai_cxr.data.sets.chestxray14 import read_labels
from monai_cxr.errors import InputError
from monai_cxr.monitoring import chart_names
from monai_cxr.monitoring.charts import DaySums, alarms, charts
from monai_cxr.monitoring.drift import drift, reference_of
from monai_cxr.monitoring.run_length import (
    ALLOWANCE,
    SMOOTHING,
    cusum_run_length,
    ewma_run_length,
    expected_run_length,
    limits_for,
)
from monai_cxr.picture.quality import measure

Floats = NDArray[np.float64]
FILMS_A_DAY, BASELINE, QUIET, AFTER, WINDOW = 200, 60, 30, 60, 7
BEGIN = date(2026, 1, 1)
FLAGGED = 0.10
"""Share of baseline films that a threshold flags."""


def false_alarms(n_charts: int, years: int, days: float, rng: np.random.Generator) -> float:
    """Mean days between alarms of any chart, by simulation.

    Args:
        n_charts: Two-sided charts side by side.
        years: Of simulated days, over all streams.
        days: Wanted days between alarms.
        rng: Random numbers.
    """
    h, level = limits_for(2 * n_charts, days, BASELINE)
    bound = level * math.sqrt(SMOOTHING / (2 - SMOOTHING))
    streams, length = 200, max(1, round(years * 365 / 200))
    offset = rng.normal(0.0, 1.0 / math.sqrt(BASELINE), (streams, n_charts))
    up = down = ewma = np.zeros((streams, n_charts))
    n_alarms = 0
    for _ in range(length):
        step = np.clip(rng.standard_normal((streams, n_charts)) + offset, -4.0, 4.0)
        up = np.maximum(0.0, up + step - ALLOWANCE)
        down = np.maximum(0.0, down - step - ALLOWANCE)
        ewma = (1 - SMOOTHING) * ewma + SMOOTHING * step
        beyond = (up > h) | (down > h) | (np.abs(ewma) > bound)
        n_alarms += int(beyond.any(axis=1).sum())
        fresh = ~beyond  # an alarm is dealt with on the day: its charts begin again
        up, down, ewma = up * fresh, down * fresh, ewma * fresh
    return streams * length / max(n_alarms, 1)


def by_markov_chain(n_charts: int, h: float, level: float) -> tuple[float, float]:
    """Days between alarms: if CUSUM and EWMA alarm apart, and if they always alarm together."""
    cusum = expected_run_length(cusum_run_length, h, BASELINE)
    ewma = expected_run_length(ewma_run_length, level, BASELINE)
    return 1.0 / (1.0 / cusum + 1.0 / ewma) / (2 * n_charts), min(cusum, ewma) / (2 * n_charts)


@dataclass(frozen=True)
class Pool:
    """Films of one kind: shape (N, charts) of scores and measures, and labels where known."""

    values: Floats
    labels: Floats


def pool_of(
    model: BundleModel, paths: list[Path], change: Callable[[Floats], Floats], labels: Floats
) -> Pool:
    """Scores and measures of films whose pixels were changed; refused films are left out."""
    rows, kept = [], []
    for path, label in zip(paths, labels, strict=True):
        try:
            film = model.read(path)
        except InputError:
            continue
        pixels = np.clip(change(film.pixels.astype(np.float64)), 0.0, 1.0).astype(np.float32)
        logits = model.logits(model.prepare(pixels)[None])[0]
        quality = measure(pixels)
        rows.append([*logits, *(quality[name] for name in sorted(quality))])
        kept.append(label)
    return Pool(np.array(rows), np.array(kept))


def sharper_or_softer(side: int) -> Callable[[Floats], Floats]:
    """Films that were brought through another size on their way."""

    def change(pixels: Floats) -> Floats:
        height, width = pixels.shape
        small = Image.fromarray(pixels.astype(np.float32)).resize(
            (max(1, width * side // 256), max(1, height * side // 256)), Image.Resampling.BILINEAR
        )
        return np.asarray(small.resize((width, height), Image.Resampling.BILINEAR), np.float64)

    return change


def sums_of(
    days: list[Floats], thresholds: list[Floats], names: tuple[list[str], list[str]]
) -> dict[str, list[DaySums]]:
    """Daily sums of a stream; thresholds by day, because one may move."""
    findings, measures = names
    made: dict[str, list[DaySums]] = {}
    for i, (values, limits) in enumerate(zip(days, thresholds, strict=True)):
        day = BEGIN + timedelta(days=i)
        flags = (values[:, : len(findings)] >= limits).astype(float)
        columns = [
            *((chart_names.score(name), values[:, k]) for k, name in enumerate(findings)),
            *((chart_names.flag_rate(name), flags[:, k]) for k, name in enumerate(findings)),
            *(
                (chart_names.picture(name), values[:, len(findings) + k])
                for k, name in enumerate(measures)
            ),
        ]
        for name, column in columns:
            one = DaySums(day, len(column), float(column.sum()), float((column**2).sum()))
            made.setdefault(name, []).append(one)
    return made


def chart_delay(sums: dict[str, list[DaySums]], changed: date) -> tuple[float, bool]:
    """Films from the change to the first alarm, and whether there was one before."""
    found = alarms(charts(sums, baseline_days=BASELINE), within=0)
    before = any(one.first < changed for one in found)
    if before:  # dealt with: its charts begin again after the quiet days
        names = {name for one in found for name, _ in one.charts if one.first < changed}
        after = dict.fromkeys(names, changed - timedelta(days=1))
        found = alarms(charts(sums, baseline_days=BASELINE, after=after), within=0)
    later = [one.first for one in found if one.first >= changed]
    return (((min(later) - changed).days + 1) * FILMS_A_DAY if later else math.inf), before


def window_delay(days: list[Floats], at: int) -> tuple[float, bool]:
    """The same by the drift table of a window."""
    baseline = np.concatenate(days[:BASELINE])
    references = [reference_of(str(k), baseline[:, k]) for k in range(baseline.shape[1])]

    def differs(last: int) -> bool:
        window = np.concatenate(days[last - WINDOW + 1 : last + 1])
        return any(
            drift(one, window[:, k]).differs for k, one in enumerate(references) if one is not None
        )

    before = differs(at - 1)
    found = next((i for i in range(at, len(days)) if differs(i)), None)
    return (math.inf if found is None else (found - at + 1) * FILMS_A_DAY), before


def drawn(pool: Pool, n: int, rng: np.random.Generator, weights: Floats | None = None) -> Floats:
    """Films drawn with replacement."""
    chance = None if weights is None else weights / weights.sum()
    return pool.values[rng.choice(len(pool.values), n, p=chance)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--years", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--films", type=int, default=800)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)

    print("| charts | wanted days | CUSUM limit | EWMA limit | by Markov chain | simulated |")
    print("|---|---|---|---|---|---|")
    for n_charts in (24, 48):
        for wanted in (90.0, 365.0):
            h, level = limits_for(2 * n_charts, wanted, BASELINE)
            found = false_alarms(n_charts, arguments.years, wanted, rng)
            chain = " to ".join(f"{days:.0f}" for days in by_markov_chain(n_charts, h, level))
            row = f"| {n_charts} | {wanted:g} | {h:.2f} | {level:.2f} | {chain} | {found:.0f} |"
            print(row, flush=True)

    default = Path(__file__).parents[2] / "shared" / "data"
    data = Path(os.environ.get("MONAI_CXR_DATA", default))
    model = BundleModel.load(arguments.bundle, device="cpu")
    findings = list(model.findings)
    labels = read_labels().set_index("sop_uid")["Effusion"].to_dict()
    paths = sorted((data / "chestxray14" / "images").glob("*.png"))
    paths = list(rng.permutation(np.array(paths, dtype=object))[: arguments.films])
    truth = np.array([labels.get(p.name, labels.get(p.stem, math.nan)) for p in paths], dtype=float)
    clean = pool_of(model, paths, lambda x: x, truth)
    half = paths[: len(paths) // 2]
    part = truth[: len(half)]
    hannover = sorted((data / "hannover" / "images").iterdir())
    nothing = np.full(len(hannover), math.nan)
    kinds = {
        "gamma 0.8": pool_of(model, half, lambda x: x**0.8, part),
        "gamma 1.25": pool_of(model, half, lambda x: x**1.25, part),
        "MONOCHROME flipped without its tag": pool_of(model, half, lambda x: 1.0 - x, part),
        "sharpness (through 192 px)": pool_of(model, half, sharper_or_softer(192), part),
    }
    foreign = pool_of(model, hannover, lambda x: x, nothing)
    measures = sorted(measure(np.zeros((64, 64), dtype=np.float32)))
    print(f"\n{len(clean.values)} films of NIH, {len(foreign.values)} of Hannover.\n")

    n_findings = len(findings)
    threshold = np.quantile(clean.values[:, :n_findings], 1 - FLAGGED, axis=0)
    lower = np.quantile(clean.values[:, :n_findings], 1 - 1.5 * FLAGGED, axis=0)
    is_positive = clean.labels == 1.0
    weights = np.where(is_positive, 3.0, 1.0)

    def mixed(share: float) -> Callable[[], Floats]:
        def day() -> Floats:
            n = rng.binomial(FILMS_A_DAY, share)
            return np.concatenate([drawn(foreign, n, rng), drawn(clean, FILMS_A_DAY - n, rng)])

        return day

    def exchanged() -> Floats:
        films = drawn(clean, FILMS_A_DAY, rng).copy()
        films[:, :n_findings] = 1.2 * films[:, :n_findings] - 0.3
        return films

    same = lambda: drawn(clean, FILMS_A_DAY, rng)  # noqa: E731
    changes: dict[str, tuple[Callable[[], Floats], Floats]] = {
        "nothing": (same, threshold),
        "1 % films of Hannover": (mixed(0.01), threshold),
        "5 % films of Hannover": (mixed(0.05), threshold),
        "20 % films of Hannover": (mixed(0.20), threshold),
        "a maker replaced (all Hannover)": (mixed(1.0), threshold),
        **{
            name: (lambda pool=pool: drawn(pool, FILMS_A_DAY, rng), threshold)
            for name, pool in kinds.items()
        },
        "1 film in 20 flipped": (
            lambda: np.concatenate(
                [
                    drawn(kinds["MONOCHROME flipped without its tag"], FILMS_A_DAY // 20, rng),
                    drawn(clean, FILMS_A_DAY - FILMS_A_DAY // 20, rng),
                ]
            ),
            threshold,
        ),
        "Effusion three times as frequent": (
            lambda: drawn(clean, FILMS_A_DAY, rng, weights),
            threshold,
        ),
        "thresholds lowered (half as many flags again)": (same, lower),
        "another bundle (logits times 1.2, minus 0.3)": (exchanged, threshold),
    }
    print("| change | charts: films until alarm | noticed | false before | window: films | noticed "
          "| false before |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    at = BASELINE + QUIET
    for name, (day, limits) in changes.items():
        both = []
        for _ in range(arguments.runs):
            days = [same() for _ in range(at)] + [day() for _ in range(AFTER)]
            moved = [threshold] * at + [limits] * AFTER
            sums = sums_of(days, moved, (findings, measures))
            both.append((chart_delay(sums, BEGIN + timedelta(days=at)), window_delay(days, at)))
        cells = []
        for side in (0, 1):
            delays = pd.Series([one[side][0] for one in both])
            known = delays[np.isfinite(delays)]
            shown = f"{known.median():.0f} ({known.min():.0f} to {known.max():.0f})"
            false = sum(one[side][1] for one in both)
            cells += [shown if len(known) else "-", f"{len(known)} of {len(both)}", str(false)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
