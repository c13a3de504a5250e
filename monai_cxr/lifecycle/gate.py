"""Gate: whether a challenger may take the champion's place, as a function of their predictions.

Every measure is a non-inferiority question: the bound of the difference, one-sided 97.5 %, must not
cross the margin. A change is refused where that is not shown, and not decided where too few
patients could show it; absence of evidence never passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from monai_cxr.errors import InvalidTable
from monai_cxr.evaluation.comparison import Comparison, compare
from monai_cxr.evaluation.statistics.paired_areas import Areas
from monai_cxr.lifecycle.margins import Margins
from monai_cxr.lifecycle.measures import (
    Contestant,
    areas_of,
    auroc_goal,
    brier,
    by_finding,
    mean_difference,
    subgroups,
)
from monai_cxr.lifecycle.verdict import GateCheck, Verdict
from monai_cxr.prediction import Interval


def judge(
    tests: Mapping[str, tuple[Contestant, Contestant]],
    margins: Margins,
    *,
    seed: int = 0,
    serving: Sequence[GateCheck] = (),
) -> Verdict:
    """Judge a challenger.

    Args:
        tests: Champion and challenger by name of the test, the most recent test last.
        margins: The rules.
        seed: Of the bootstrap of superiority.
        serving: Checks of :mod:`monai_cxr.lifecycle.serving`.

    Returns:
        The verdict; the same inputs give the same one.

    Raises:
        InvalidTable: If champion and challenger did not score the same films, or have other
            findings, labels or patients.
    """
    checks: list[GateCheck] = []
    compared: dict[str, Comparison] = {}
    areas: dict[str, list[Areas]] = {}
    notes: list[str] = []
    for name, pair in tests.items():
        champion, challenger = _judged(pair, margins, name)
        compared[name] = compare(
            champion.predictions,
            challenger.predictions,
            names=("champion", "challenger"),
            n_bootstrap=margins.n_bootstrap,
            seed=seed,
        )
        areas[name] = areas_of(champion, challenger)
        last = name == list(tests)[-1]
        checks += by_finding(name, areas[name], champion, challenger, margins)
        checks += brier(name, champion, challenger, margins, goal=last)
        checks += subgroups(name, champion, challenger, margins)
        checks += auroc_goal(name, areas[name], champion, margins) if last else []
        notes += [f"{name}: {text}" for text in compared[name].warnings]
    recent = list(compared.values())[-1]
    (before, _), retention = mean_difference(next(iter(areas.values())))
    (now, _), learning = mean_difference(list(areas.values())[-1])
    return Verdict(
        checks=(*checks, *serving),
        superior=tuple(
            item.finding
            for item in recent.findings
            if item.p_adjusted < 0.05 and item.difference.estimate > 0.0
        ),
        learning=learning,
        potential=Interval(now - before),
        retention=retention,
        n_films={name: result.n_images for name, result in compared.items()},
        notes=tuple(notes),
    )


def _judged(
    pair: tuple[Contestant, Contestant], margins: Margins, test: str
) -> tuple[Contestant, Contestant]:
    """Both models with the findings that decide, after it is sure that they read the same films."""
    champion, challenger = pair
    mine, theirs = champion.predictions, challenger.predictions
    if set(mine.findings) != set(theirs.findings):
        differing = sorted(set(mine.findings) ^ set(theirs.findings))
        raise InvalidTable(
            f"Champion and challenger have other findings ({', '.join(differing[:3])}), so neither "
            "can take the other's place. Train with the champion's findings.",
            reason="findings_differ",
        )
    n_alone = len(set(mine.image_ids) ^ set(theirs.image_ids))
    if n_alone:
        raise InvalidTable(
            f"{n_alone} films of the {test} test were scored by one of the models only. The gate "
            "compares both on the same films: predict them again.",
            reason="films_differ",
        )
    unknown = [name for name in margins.findings if name not in mine.findings]
    if unknown:
        raise InvalidTable(
            f"The plan's gate names '{unknown[0]}', which has no scores and labels in the {test} "
            f"test. Expected findings among: {', '.join(mine.findings)}.",
            reason="unknown_finding",
        )
    names = margins.findings or mine.findings
    place = {name: i for i, name in enumerate(theirs.image_ids)}
    rows = np.array([place[name] for name in mine.image_ids], dtype=np.intp)
    return (
        replace(champion, predictions=mine.select(np.arange(len(mine)), names)),
        replace(challenger, predictions=theirs.select(rows, names)),
    )
