"""Gate page: the verdict on one page, in words first, then every check with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from monai_cxr.lifecycle.plan import ChangePlan
from monai_cxr.lifecycle.verdict import NOT_DECIDED, PASSED, REFUSED, GateCheck, Verdict
from monai_cxr.prediction import Interval
from monai_cxr.report.plots import forest, forest_axis
from monai_cxr.report.rendering import render

_SENTENCES = {
    PASSED: "The challenger passed every check. It may be promoted by a signer of the plan; "
    "nothing has been promoted.",
    REFUSED: "The challenger is refused: the checks below do not rule out a loss, or the goal was "
    "not reached.",
    NOT_DECIDED: "Nothing speaks against the challenger, but some checks have too few patients to "
    "decide. It cannot be promoted on this evidence.",
}
_KINDS = {
    "calibration": "New probabilities",
    "thresholds": "New thresholds",
    "weights": "New weights",
    "architecture": "Another network",
}
_DOMAIN, _TICKS = (-0.2, 0.2), (-0.1, 0.0, 0.1)


def gate_page(verdict: Verdict, plan: ChangePlan, kind: str, basis: Mapping[str, Any]) -> str:
    """The page, HTML that stands alone.

    Args:
        verdict: Verdict of the gate.
        plan: That it was judged under.
        kind: Kind of change.
        basis: Digests of plan, champion and data.
    """
    return render(
        "gate.html",
        verdict=verdict,
        sentence=_SENTENCES[verdict.outcome],
        plan=plan,
        kind=_KINDS[kind],
        basis=basis,
        reasons=[*verdict.of(REFUSED), *verdict.of(NOT_DECIDED)],
        rows=[(check, _picture(check)) for check in verdict.checks],
        axis=forest_axis(_DOMAIN, _TICKS),
    )


def _picture(check: GateCheck) -> str:
    low, high = _DOMAIN
    values = (check.difference.estimate, check.difference.low, check.difference.high)
    shown = [v if math.isnan(v) else min(max(v, low), high) for v in values]
    limits = (check.limit,) if low < check.limit < high else ()
    return forest(Interval(*shown), _DOMAIN, limits, dashed=0.0)
