"""Desk: one study as the data that the reading page hands to the viewer component."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from clinical_app.access import Identity
from clinical_app.service import Service
from monai_cxr.review.cases import Case, CaseStatus, priors
from monai_cxr.review.performance_file import UNKNOWN
from monai_cxr.review.reviews import Review
from monai_cxr.review.statements import URGENCY_WORDS, Statement, statements, summary_words
from monai_cxr.review.words import SERIOUS, day, flag_words, percent, reason_words
from monai_cxr.review.worklist import person, short_name, study_name

_GROUPS = {"present": "Present", "flagged": "Flagged", "uncertain": "Uncertain"}


def case_statements(service: Service, case: Case) -> list[Statement]:
    """What a model said of a study; of another one than ours, no threshold is known."""
    if case.prediction is None or service.model is None:
        return []
    spoke = service.spoke(case)
    return statements(
        case.prediction,
        service.model.operating_points if spoke else {},
        rules=service.rules if spoke else {},
        prevalence=service.settings.prevalence,
    )


def study(
    service: Service, case: Case, identity: Identity, session: str, reviews: Sequence[Review]
) -> dict[str, Any]:
    """A study for the component.

    Args:
        service: Holds the links.
        case: The study.
        identity: Who looks at it.
        session: Value of the session cookie, to which the links are bound.
        reviews: All reviews of this study.
    """
    token = service.grants.give("case", case.case_id, session, identity)
    made = case_statements(service, case)
    mine = [review for review in reviews if review.reader == identity.user]
    review = mine[-1] if mine else None
    refusal = case.refusal
    uploaded = service.uploads.case(case.case_id) is not None
    return {
        "id": case.case_id,
        "version": f"{case.status.value} {len(case.images)} {len(made)}",
        "name": _name(service, case),
        "person": person(case),
        "day": day(case.acquired),
        "headline": _headline(case, made),
        "subline": _subline(service, case),
        "refusal": {
            "title": reason_words(refusal.reason).capitalize(),
            "sentence": refusal.sentence,
        }
        if refusal
        else None,
        "flags": [*_notices(service, case), *_flags(case)],
        "statements": [_statement(service, item) for item in made],
        "images": [
            {
                "film": f"/cxr/film/{token}/{number}",
                "heat": f"/cxr/heat/{token}/{number}"
                if image.prediction is not None and service.spoke(case)
                else None,
                "view": image.view.value,
                "sentence": image.sentence,
            }
            for number, image in enumerate(case.images)
        ],
        "review": {
            "findings": {
                name: {"opinion": item.opinion, "location": item.location, "label": item.label}
                for name, item in (review.findings if review else {}).items()
            },
            "note": review.note if review else "",
            "seconds": review.seconds if review else 0,
            "finished": review.finished if review else False,
        },
        "can_review": identity.may("review") and not uploaded,
        "review_sentence": "An upload is not kept, so there is nothing to review."
        if uploaded
        else "Your role may look and not judge.",
        "review_url": f"/cxr/review/{token}",
        "others": _others(reviews, identity),
        "text_url": f"/cxr/text/{token}",
        "foot": _foot(case),
        "reports": _reports(service, case, token),
        "prior": None,
    }


def with_prior(
    service: Service, case: Case, identity: Identity, session: str, reviews: Sequence[Review]
) -> dict[str, Any]:
    """The same, with the films of the latest earlier study of the patient."""
    made = study(service, case, identity, session, reviews)
    earlier = priors(service.source, case)
    if earlier:
        made["prior"] = study(service, earlier[0], identity, session, ())
    return made


def _name(service: Service, case: Case) -> str:
    if service.settings.show_patient_id and case.key.patient_id:
        return case.key.patient_id
    return short_name(case)


def _headline(case: Case, made: Sequence[Statement]) -> str:
    if made:
        return summary_words(made)
    return {
        CaseStatus.WAITING: "Not analysed yet",
        CaseStatus.FAILED: "The film could not be read",
    }.get(case.status, "Not analysed")


def _subline(service: Service, case: Case) -> str:
    if case.prediction is not None:
        return f"Urgency: {URGENCY_WORDS[case.urgency]}"
    if case.status is CaseStatus.WAITING:
        return "The model has not come to this study yet. No statement is not a negative one."
    if service.model is None:
        return "No model is loaded: films can be looked at only."
    return "No statement is not a negative one."


def _flags(case: Case) -> list[dict[str, Any]]:
    codes = {code for image in case.images for code in image.flags}
    return [
        {"text": flag_words(code), "serious": code in SERIOUS}
        for code in sorted(codes, key=lambda code: (code not in SERIOUS, code))
    ]


def _notices(service: Service, case: Case) -> list[dict[str, Any]]:
    """What a reader must know of the model before its statements."""
    texts = []
    if case.prediction is not None and service.model is not None and not service.spoke(case):
        texts.append("Read by another model than the one loaded here: there is no heatmap.")
    if service.bundle_changed:
        texts.append("The bundle on disk was changed: what you see is of the one loaded before.")
    return [{"text": text, "serious": True} for text in texts]


def _place(service: Service, item: Statement) -> str:
    known = service.localized.get(item.finding)
    return known.sentence if known else UNKNOWN


def _statement(service: Service, item: Statement) -> dict[str, Any]:
    def known(value: float) -> float | None:
        return None if math.isnan(value) else round(value, 6)

    return {
        "finding": item.finding,
        "title": item.title,
        "urgency": item.urgency,
        "group": _GROUPS.get(item.state, "Not flagged" if item.state != "absent" else "Absent"),
        "probability": known(item.probability),
        "text": "-" if math.isnan(item.probability) else percent(item.probability),
        "state": item.state,
        "threshold": known(item.threshold),
        "meaning": [*item.meaning, _place(service, item)],
        "claimed": item.positive,
        "box": item.finding in service.localized and service.localized[item.finding].shown,
    }


def _others(reviews: Sequence[Review], identity: Identity) -> str:
    names = sorted({r.reader for r in reviews if r.reader != identity.user})
    return f"Also reviewed by {', '.join(names)}." if names else ""


def _reports(service: Service, case: Case, token: str) -> list[dict[str, str]]:
    links = [{"label": "Report", "url": f"/cxr/report/{token}"}]
    if service.spoke(case) and case.key.sop_uid and case.key.study_uid:
        links.append({"label": "DICOM SR", "url": f"/cxr/sr/{token}"})
    return links


def _foot(case: Case) -> str:
    if case.prediction is None:
        return ""
    model = case.prediction.model
    return f"{model.name} {model.version} · {model.digest[:12]}"


def study_uid(case: Case) -> str:
    """What reviews and the audit call a study."""
    return study_name(case)
