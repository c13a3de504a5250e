"""Study report: one study as text for dictation, and as one HTML page to print or save as PDF."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from monai_cxr.dicom.display import levels
from monai_cxr.errors import InputError
from monai_cxr.findings import title_of
from monai_cxr.picture.flags import flag_words
from monai_cxr.prediction import ModelIdentity
from monai_cxr.reading.film_readers import read_apart
from monai_cxr.reading.readings import Display
from monai_cxr.report.rendering import render
from monai_cxr.review.cases import Case
from monai_cxr.review.reviews import FindingReview, Mark
from monai_cxr.review.statements import URGENCY_WORDS, Statement, summary_words
from monai_cxr.review.words import day, percent
from monai_cxr.review.worklist import person, short_name

_LONGEST_SIDE = 900
MARK_WORDS = {"length": "length", "ratio": "cardiothoracic ratio", "angle": "angle"}
_RESEARCH = "Research use only, not a medical device."


def report_text(
    case: Case,
    made: Sequence[Statement],
    review: Mapping[str, FindingReview],
    *,
    note: str = "",
    model: ModelIdentity | None = None,
    marks: Sequence[Mark] = (),
) -> str:
    """A study in a few lines, for a dictation system.

    Args:
        case: The study.
        made: What the model says.
        review: What the reader says, by finding.
        note: Note of the reader.
        model: Which model spoke.
        marks: Measurements of the reader.
    """
    lines = [f"Chest radiograph{_when(case)}."]
    refusal = case.refusal
    if refusal is not None:
        lines.append(f"Not analysed by the model: {refusal.sentence}")
    elif made:
        lines.append(f"Model: {summary_words(made)}.")
        lines += [
            f"- {item.title}: {percent(item.probability)} ({item.state})"
            for item in made
            if item.positive and not math.isnan(item.probability)
        ]
    judged = [f"{title_of(name)} {item.label}" for name, item in review.items() if item.label]
    if judged:
        lines.append("Reader: " + ", ".join(judged) + ".")
    if marks:
        lines.append(f"Measured: {_measured(case, marks)}.")
    if note:
        lines.append(note)
    if model is not None:
        lines.append(f"({model.name} {model.version}, {model.digest[:12]}; {_RESEARCH})")
    return "\n".join(lines)


def report_page(
    case: Case,
    made: Sequence[Statement],
    review: Mapping[str, FindingReview],
    data: bytes,
    *,
    note: str = "",
    model: ModelIdentity | None = None,
    marks: Sequence[Mark] = (),
) -> str:
    """A study as one HTML page that needs no other file; it names no patient.

    Args:
        case: The study.
        made: What the model says.
        review: What the reader says, by finding.
        data: File of the film to show; nothing is shown where it cannot be.
        note: Note of the reader.
        model: Which model spoke.
        marks: Measurements of the reader.
    """
    refusal = case.refusal
    facts = (short_name(case), person(case), day(case.acquired))
    picture, unshown = _picture(data)
    return render(
        "study.html",
        name=short_name(case),
        headline=f"Not analysed: {refusal.sentence}" if refusal else summary_words(made),
        facts=" · ".join(part for part in facts if part),
        cautions=[flag_words(code) for code in case.images[0].flags],
        picture=picture,
        unshown=unshown,
        statements=made,
        share=_share,
        urgency=URGENCY_WORDS,
        said={item.finding: _said(review.get(item.finding)) for item in made},
        note=note,
        measured=_measured(case, marks),
        model=f"{model.name} {model.version}, digest {model.digest}" if model else "no model",
    )


def _when(case: Case) -> str:
    return f" of {day(case.acquired)}" if case.acquired else ""


def _measured(case: Case, marks: Sequence[Mark]) -> str:
    """Measurements in words; each says which film it is of where there are several."""
    places = {image.key.sop_uid: number for number, image in enumerate(case.images, start=1)}
    said = []
    for mark in marks:
        film = f" on film {places.get(mark.sop_uid, '?')}" if len(case.images) > 1 else ""
        said.append(f"{MARK_WORDS.get(mark.kind, mark.kind)} {mark.text}{film}")
    return ", ".join(said)


def _picture(data: bytes) -> tuple[str, str]:
    """The film as PNG in base 64, or why it cannot be shown."""
    try:
        film = read_apart(Display(), data)
    except InputError as error:
        return "", str(error)
    picture = Image.fromarray(np.rint(levels(film, film.presets[0]) * 255).astype(np.uint8))
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode(), ""


def _said(review: FindingReview | None) -> str:
    return " ".join(part for part in (review.opinion, review.label) if part) if review else ""


def _share(value: float) -> str:
    return "-" if math.isnan(value) else percent(value)
