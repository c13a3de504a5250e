"""Serving: a challenger in every form in which the champion is served, and how fast it is.

A challenger has the champion's exports, made again and compared with its own network; one that says
something else, or is much slower, cannot take the champion's place.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr.atomic import write_json
from monai_cxr.bundle.digests import WEIGHTS_NAME, file_digest, write_digests
from monai_cxr.bundle.engines.parity import MAX_LOGIT_CHANGE, MAX_MEAN_PROBABILITY_CHANGE
from monai_cxr.bundle.exporting.network import export
from monai_cxr.bundle.exports import Parity, read_exports, write_exports
from monai_cxr.bundle.model import BundleModel
from monai_cxr.errors import SettingsError
from monai_cxr.lifecycle.margins import Margins
from monai_cxr.lifecycle.verdict import PASSED, REFUSED, GateCheck
from monai_cxr.prediction import Interval

TEST = "serving"
_ROUNDS, _FILMS, _REPLICATES = 15, 8, 500
_QUICK = 0.25
"""Quantile of the rounds: whatever else a machine does makes a round slower, never quicker."""


def export_like(champion: Path, challenger: Path) -> dict[str, str]:
    """Give a challenger the exports of the champion, each compared with the challenger's network.

    Args:
        champion: Its bundle.
        challenger: Its bundle; exports that it was copied with are made again.

    Returns:
        Why there is none, by name of the export; empty where all are there.
    """
    for old in read_exports(challenger):
        for file in old.files:
            (challenger / file).unlink(missing_ok=True)
    if read_exports(challenger):
        write_exports(challenger, [])
        write_digests(challenger)
    refused = {}
    for wanted in read_exports(champion):
        try:
            export(challenger, wanted.format, wanted.precision)
        except SettingsError as error:
            refused[wanted.name] = str(error)
    return refused


def measure(
    champion: Path, challenger: Path, refused: Mapping[str, str], out: Path, *, seed: int
) -> None:
    """Write down how a challenger is served beside the champion.

    Args:
        champion: Its bundle.
        challenger: Its bundle.
        refused: Of :func:`export_like`.
        out: File to write.
        seed: Of the films, which are noise: what they show costs no time.
    """
    parities = {
        who: {one.name: asdict(one.parity) for one in read_exports(bundle)}
        for who, bundle in (("champion", champion), ("challenger", challenger))
    }
    same = file_digest(champion / WEIGHTS_NAME) == file_digest(challenger / WEIGHTS_NAME)
    seconds = {} if same else _seconds(champion, challenger, seed)
    write_json(out, {**parities, "refused": dict(refused), "seconds_a_film": seconds})


def checks(measured: Mapping[str, Any], margins: Margins, *, seed: int) -> tuple[GateCheck, ...]:
    """What the gate says of it.

    Args:
        measured: Content of the file of :func:`measure`.
        margins: The rules.
        seed: Of the bootstrap over rounds.
    """
    made = [
        _export_check(name, parity, measured["challenger"].get(name), measured["refused"])
        for name, parity in measured["champion"].items()
    ]
    return (*made, _speed_check(measured["seconds_a_film"], margins, seed))


def read_measured(path: Path) -> Mapping[str, Any]:
    """The content of the file of :func:`measure`."""
    content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _seconds(champion: Path, challenger: Path, seed: int) -> dict[str, list[float]]:
    """Seconds a film, round by round; both models in turn, so that both meet the same machine."""
    models = {"champion": BundleModel.load(champion), "challenger": BundleModel.load(challenger)}
    found: dict[str, list[float]] = {who: [] for who in models}
    generator = np.random.default_rng(seed)
    inputs: dict[str, NDArray[np.float32]] = {
        who: generator.random((_FILMS, 1, model.image_size, model.image_size), dtype=np.float32)
        for who, model in models.items()
    }
    for turn in range(_ROUNDS + 1):
        for who, model in models.items():
            begin = time.perf_counter()
            model.logits(inputs[who])
            if turn:  # the first round warms up
                found[who].append((time.perf_counter() - begin) / _FILMS)
    return found


def _export_check(
    name: str, champion: Mapping[str, Any], challenger: Mapping[str, Any] | None, refused: Any
) -> GateCheck:
    limit = MAX_LOGIT_CHANGE if "-" not in name else MAX_MEAN_PROBABILITY_CHANGE
    before, after = (
        math.nan if one is None else _distance(name, Parity(**one))
        for one in (champion, challenger)
    )
    outcome = PASSED if challenger is not None else REFUSED
    reason = f"It differs by {after:.2g} from the network itself; {limit:g} is allowed."
    if challenger is None:
        reason = refused.get(name, "The challenger lacks this export.")
    n = champion["n_films"] if challenger is None else challenger["n_films"]
    what = (TEST, "export parity", "", name)
    return GateCheck(*what, int(n), before, after, Interval(after - before), limit, outcome, reason)


def _distance(name: str, parity: Parity) -> float:
    return parity.mean_probability_change if "-" in name else parity.max_logit_change


def _speed_check(seconds: Mapping[str, list[float]], margins: Margins, seed: int) -> GateCheck:
    what = (TEST, "seconds a film", "", "relative rise")
    if not seconds:
        unchanged = Interval(0.0, 0.0, 0.0)
        reason = "The weights are the champion's, so nothing was measured."
        return GateCheck(*what, 0, math.nan, math.nan, unchanged, margins.speed, PASSED, reason)
    pairs = np.array([seconds["champion"], seconds["challenger"]])
    n = pairs.shape[1]
    rows = np.random.default_rng(seed).integers(0, n, (_REPLICATES, n))
    quick = np.quantile(pairs[:, rows], _QUICK, axis=2)
    low, high = np.quantile(quick[1] / quick[0] - 1.0, [0.025, 0.975])
    first, second = (float(np.quantile(one, _QUICK)) for one in pairs)
    rise = Interval(second / first - 1.0, float(low), float(high))
    outcome = PASSED if rise.high < margins.speed else REFUSED
    reason = f"A film takes {rise.estimate:+.0%}; the bound {rise.high:+.0%} is " + (
        f"within {margins.speed:+.0%}." if outcome == PASSED else f"beyond {margins.speed:+.0%}."
    )
    return GateCheck(*what, n, first, second, rise, margins.speed, outcome, reason)
