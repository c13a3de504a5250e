"""Comparison: the other studies of a person beside the one on the desk, and what changed since."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from clinical_app.admission.access import Identity
from clinical_app.desk import image_data, study
from clinical_app.service import Service
from monai_cxr.findings import title_of
from monai_cxr.prediction import Prediction
from monai_cxr.review.cases import Case
from monai_cxr.review.priors import PRIOR, ComparedStudy, Comparisons
from monai_cxr.review.reviews import Review
from monai_cxr.review.words import day, percent
from monai_cxr.review.worklist import person

_MOST_PRIORS = 8


_MOST_CHANGES = 4


def with_priors(
    service: Service, case: Case, identity: Identity, session: str, reviews: Sequence[Review]
) -> dict[str, Any]:
    """The same, with the films of other studies of this person, and what changed since."""
    made = study(service, case, identity, session, reviews)
    found = service.priors.of(case)
    made["priors"] = [
        _compared(service, one, identity, session) for one in found.studies[:_MOST_PRIORS]
    ]
    made["comparison"] = _comparison(service, case, found, hidden=made["hidden"])
    return made


def _compared(
    service: Service, one: ComparedStudy, identity: Identity, session: str
) -> dict[str, Any]:
    """Another study of this person: its films, and nothing of what a model said of them."""
    token = service.grants.give("case", one.case.case_id, session, identity)
    clock = f"{one.time[:2]}:{one.time[2:4]}" if one.time else ""
    when = " ".join(part for part in (day(one.date), clock) if part)
    return {
        "id": one.case.case_id,
        "relation": one.relation,
        "title": " · ".join(part for part in (f"{one.relation} {when}", person(one.case)) if part),
        "when": when,
        "images": [
            image_data(service, one.case, token, number, hidden=True)
            for number in range(len(one.case.images))
        ],
    }


def _comparison(service: Service, case: Case, found: Comparisons, *, hidden: bool) -> list[str]:
    """What a reader must know of other studies, and what the same model says of the last one."""
    lines = []
    if found.others:
        lines.append(
            f"Other studies here carry this patient ID with another {' and '.join(found.others)}: "
            "they are not offered as priors."
        )
    if found.undated:
        lines.append("Which studies of this person are earlier is not stated: one has no date.")
    prior = next((one for one in found.studies if one.relation == PRIOR), None)
    if prior is not None and not hidden:
        lines += _changes(service, case, prior)
    return lines


def _changes(service: Service, case: Case, prior: ComparedStudy) -> list[str]:
    now, then = case.prediction, prior.case.prediction
    if now is None or then is None or not (service.spoke(case) and service.spoke(prior.case)):
        return []
    since = f"since {day(prior.date)}"
    new = [name for name in case.flagged if name not in prior.case.flagged]
    gone = [name for name in prior.case.flagged if name not in case.flagged]
    lines = [f"New {since}: {_scores(new, then, now)}."] if new else []
    lines += [f"No longer flagged {since}: {_scores(gone, then, now)}."] if gone else []
    return lines or [f"The same findings are flagged as {day(prior.date)}."]


def _scores(names: Sequence[str], then: Prediction, now: Prediction) -> str:
    said = []
    for name in names[:_MOST_CHANGES]:
        before = next((s.probability for s in then.scores if s.finding == name), math.nan)
        after = next((s.probability for s in now.scores if s.finding == name), math.nan)
        known = not (math.isnan(before) or math.isnan(after))
        said.append(f"{title_of(name)} ({_change(before, after)})" if known else title_of(name))
    more = len(names) - _MOST_CHANGES
    return ", ".join(said) + (f" and {more} more" if more > 0 else "")


def _change(before: float, after: float) -> str:
    """Two probabilities of a finding whose flag changed, in percent."""
    if percent(before) == percent(after):
        return f"{percent(after)} both times, on either side of its threshold"
    return f"{percent(before)} to {percent(after)}"
