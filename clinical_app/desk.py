"""Desk: one study as the data that the reading page hands to the viewer component."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from clinical_app.admission.access import Identity
from clinical_app.service import Service
from monai_cxr.picture.flags import flag_words
from monai_cxr.review.cases import ROUTINE, Case, CaseStatus
from monai_cxr.review.performance_file import UNKNOWN
from monai_cxr.review.reviews import Review, last_review
from monai_cxr.review.statements import URGENCY_WORDS, Statement, statements, summary_words
from monai_cxr.review.words import SERIOUS, day, percent, reason_words
from monai_cxr.review.worklist import closing, person, short_name

HIDDEN = "Say what you see, then Enter: the model's scores come after your own word is stored."
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
    hidden = service.is_hidden(identity, case, reviews)
    made = case_statements(service, case)
    refusal = case.refusal if service.model is not None else None  # the subline says so
    uploaded = service.is_upload(case)
    return {
        "id": case.case_id,
        "version": _version(case, made, hidden=hidden),
        "name": _name(service, case),
        "person": person(case),
        "day": day(case.acquired),
        "hidden": hidden,
        "headline": "Your own reading first" if hidden else _headline(case, made),
        "subline": HIDDEN if hidden else _subline(service, case),
        "refusal": {
            "title": reason_words(refusal.reason).capitalize(),
            # Where no film can be shown, its place on the screen says why; once is enough.
            "sentence": "" if all(one.failed for one in case.images) else refusal.sentence,
        }
        if refusal
        else None,
        "flags": [*_notices(service, case), *_flags(case)],
        "statements": [_hidden(item) for item in sorted(made, key=lambda item: item.title)]
        if hidden
        else [_statement(service, case, item) for item in made],
        "images": [
            image_data(service, case, token, number, hidden=hidden)
            for number in range(len(case.images))
        ],
        "review": review_data(case, last_review(reviews, identity.user, _digest(case)), reviews),
        "can_review": identity.may("review") and not uploaded,
        "review_sentence": "An upload is not kept, so there is nothing to review."
        if uploaded
        else "Your role may look and not judge.",
        "review_url": service.url("review", token),
        "touch_url": service.url("touch", token),
        "others": others_in_words(reviews, identity),
        "text_url": service.url("text", token),
        "foot": _foot(case),
        "reports": [] if hidden else _reports(service, case, token),
        "priors": [],
        "comparison": [],
    }


def review_data(case: Case, review: Review | None, reviews: Sequence[Review]) -> dict[str, Any]:
    """A reader's review of a case for the component.

    Args:
        case: The study.
        review: The reader's own, or None.
        reviews: All of the study.
    """
    films = {image.key.sop_uid: image.film_id for image in case.images}
    mine = [one for one in reviews if review is not None and one.reader == review.reader]
    closed = closing(case, {case.name: [review] if review else mine})
    finished = review is not None and review.finished
    return {
        "findings": {
            name: {"opinion": item.opinion, "location": item.location, "label": item.label}
            for name, item in (review.findings if review else {}).items()
        },
        "marks": {
            name: {
                "film": films[mark.sop_uid],
                "kind": mark.kind,
                "text": mark.text,
                "points": [list(point) for point in mark.points],
            }
            for name, mark in (review.marks if review else {}).items()
            if mark.sop_uid in films
        },
        "note": review.note if review else "",
        "seconds": review.seconds if review else 0,
        "at": review.at if review else 0,
        "finished": finished,
        "finished_at": time.strftime("%H:%M", time.localtime(closed.at)) if finished else "",
        "since": closed.since,
    }


def _digest(case: Case) -> str:
    return case.prediction.model.digest if case.prediction else ""


def _version(case: Case, made: Sequence[Statement], *, hidden: bool) -> str:
    films = " ".join(f"{image.film_id}{image.reason}" for image in case.images)
    return f"{case.status.value} {len(made)} {_digest(case)[:12]} {hidden} {films}"


def image_data(
    service: Service, case: Case, token: str, number: int, *, hidden: bool
) -> dict[str, Any]:
    """One film of a study for the component.

    Args:
        service: Knows the addresses.
        case: The study.
        token: Link to the study.
        number: Which film, counted from 0.
        hidden: Whether what the model said must not reach the browser.
    """
    image = case.images[number]
    heat = image.prediction is not None and service.spoke(case) and not hidden
    return {
        "id": image.film_id,
        "film": service.url("film", token, image.film_id),
        "heat": service.url("heat", token, image.film_id) if heat else None,
        "view": image.view.value,
        "sentence": image.sentence,
    }


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
    """Cautions; in a study of several films each says which film it is about."""
    films: dict[str, list[int]] = {}
    for number, image in enumerate(case.images, start=1):
        for code in image.flags:
            films.setdefault(code, []).append(number)
    return [
        {"text": _of_films(flag_words(code), films[code], case), "serious": code in SERIOUS}
        for code in sorted(films, key=lambda code: (code not in SERIOUS, code))
    ]


def _of_films(text: str, numbers: Sequence[int], case: Case) -> str:
    if len(case.images) == 1:
        return text
    named = ", ".join(f"{n} ({case.images[n - 1].view.value})" for n in numbers)
    return f"Film {named}: {text}"


def _notices(service: Service, case: Case) -> list[dict[str, Any]]:
    """What a reader must know of the model before its statements."""
    texts = []
    if case.shared:
        texts.append(
            "Films of another person carry the same Study Instance UID; they are a study of "
            "their own here. Check whose this is."
        )
    if case.prediction is not None and service.model is not None and not service.spoke(case):
        texts.append("Read by another model than the one loaded here: there is no heatmap.")
    if service.bundle_changed:
        texts.append("The bundle on disk was changed: what you see is of the one loaded before.")
    return [{"text": text, "serious": True} for text in texts]


def _place(service: Service, item: Statement) -> str:
    known = service.localized.get(item.finding)
    return known.sentence if known else UNKNOWN


def _statement(service: Service, case: Case, item: Statement) -> dict[str, Any]:
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
        "films": _by_film(case, item.finding),
        "claimed": item.positive,
        "box": item.finding in service.localized and service.localized[item.finding].shown,
    }


def _by_film(case: Case, finding: str) -> str:
    """What was said of each film, where the study has several: the study shows the highest."""
    said = []
    for number, image in enumerate(case.images, start=1):
        made = image.prediction
        score = next((s for s in made.scores if s.finding == finding), None) if made else None
        value = math.nan if score is None else score.probability
        words = "not read" if score is None else "-" if math.isnan(value) else percent(value)
        flagged = ", flagged" if score is not None and score.positive else ""
        said.append(f"film {number} ({image.view.value}) {words}{flagged}")
    return f"By film: {'; '.join(said)}." if len(case.images) > 1 else ""


def _hidden(item: Statement) -> dict[str, Any]:
    """A finding to judge before the model's word on it reaches the browser."""
    return {
        "finding": item.finding, "title": item.title, "urgency": ROUTINE,
        "group": "What do you see?", "probability": None, "text": "", "state": "hidden",
        "threshold": None, "meaning": [], "films": "", "claimed": False, "box": False,
    }  # fmt: skip


def others_in_words(reviews: Sequence[Review], identity: Identity) -> str:
    """Who else said something of a study, and who closed it when."""
    others = {r.reader: r for r in reviews if r.reader != identity.user}
    finished = [
        f"Finished by {name} {time.strftime('%H:%M', time.localtime(review.at))}."
        for name, review in sorted(others.items())
        if review.finished
    ]
    names = sorted(name for name, review in others.items() if not review.finished)
    return " ".join([*finished, *([f"Also reviewed by {', '.join(names)}."] if names else [])])


def _reports(service: Service, case: Case, token: str) -> list[dict[str, str]]:
    links = [{"label": "Report", "url": service.url("report", token)}]
    if service.spoke(case) and case.key.sop_uid and case.key.study_uid:
        links.append({"label": "DICOM SR", "url": service.url("sr", token)})
    return links


def _foot(case: Case) -> str:
    if case.prediction is None:
        return ""
    model = case.prediction.model
    return f"{model.name} {model.version} · {model.digest[:12]}"
