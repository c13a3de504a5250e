"""Study report: one study as text for dictation, and as one HTML page to print or save as PDF."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from PIL import Image

from monai_cxr.dicom.display import levels
from monai_cxr.errors import InputError
from monai_cxr.findings import title_of
from monai_cxr.prediction import ModelIdentity
from monai_cxr.reading.files import read_display
from monai_cxr.review.cases import Case
from monai_cxr.review.reviews import FindingReview
from monai_cxr.review.statements import URGENCY_WORDS, Statement, summary_words
from monai_cxr.review.words import day, flag_words, percent
from monai_cxr.review.worklist import person, short_name

_LONGEST_SIDE = 900
_RESEARCH = "Research use only, not a medical device."

_STYLE = """
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;color:#1f2328;margin:0;
background:#f5f7f9}
main{max-width:860px;margin:28px auto;background:#fff;border:1px solid #d8dee4;border-radius:10px;
padding:34px 40px}
h1{font-size:24px;line-height:1.25;margin:0 0 2px}h2{font-size:16px;margin:24px 0 6px}
p{margin:4px 0;max-width:76ch}.soft{color:#59636e;font-size:13px}
figure{margin:16px 0;background:#000;border-radius:8px;text-align:center}
img{max-width:100%;max-height:520px;display:block;margin:0 auto}
table{border-collapse:collapse;width:100%;font-size:13.5px;font-variant-numeric:tabular-nums}
th{text-align:left;font-weight:600;color:#59636e;font-size:12.5px;padding:5px 8px 5px 0;
border-bottom:1.5px solid #1f2328}
td{border-bottom:1px solid #eaeef2;padding:5px 8px 5px 0;vertical-align:top}
td.number,th.number{text-align:right;white-space:nowrap}
tr.claimed td:first-child{font-weight:650}
button{font:inherit;float:right;padding:5px 12px;border:1px solid #8c959f;border-radius:6px;
background:#fff;color:inherit;cursor:pointer}
@page{size:A4;margin:13mm}
@media print{button{display:none}body{background:#fff;font-size:9.5pt}
main{border:0;margin:0;padding:0;max-width:none}
img{max-height:105mm}table{font-size:8.5pt}tr{break-inside:avoid}}
"""


def report_text(
    case: Case,
    made: Sequence[Statement],
    review: Mapping[str, FindingReview],
    *,
    note: str = "",
    model: ModelIdentity | None = None,
) -> str:
    """A study in a few lines, for a dictation system.

    Args:
        case: The study.
        made: What the model says.
        review: What the reader says, by finding.
        note: Of the reader.
        model: Which model spoke.
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
) -> str:
    """A study as one HTML page that needs no other file; it names no patient.

    Args:
        case: The study.
        made: What the model says.
        review: What the reader says, by finding.
        data: File of the film to show; nothing is shown where it cannot be.
        note: Of the reader.
        model: Which model spoke.
    """
    refusal = case.refusal
    headline = f"Not analysed: {refusal.sentence}" if refusal else summary_words(made)
    facts = " · ".join(
        part for part in (short_name(case), person(case), day(case.acquired)) if part
    )
    cautions = "".join(
        f"<p class=soft>{escape(flag_words(code))}</p>" for code in case.images[0].flags
    )
    identity = f"{model.name} {model.version}, digest {model.digest}" if model else "no model"
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>Study {escape(short_name(case))}</title><style>{_STYLE}</style><main>"
        "<button onclick='print()'>Print or save as PDF</button>"
        f"<p class=soft>{escape(facts)}</p><h1>{escape(headline)}</h1>{cautions}"
        f"{_figure(data)}{_table(made, review)}{_note(note)}"
        f"<p class=soft>Model: {escape(identity)}. {_RESEARCH}</p></main></html>"
    )


def _when(case: Case) -> str:
    return f" of {day(case.acquired)}" if case.acquired else ""


def _note(note: str) -> str:
    return f"<h2>Note of the reader</h2><p>{escape(note)}</p>" if note else ""


def _figure(data: bytes) -> str:
    try:
        film = read_display(data)
    except InputError as error:
        return f"<p class=soft>The film cannot be shown: {escape(str(error))}</p>"
    picture = Image.fromarray(np.rint(levels(film, film.presets[0]) * 255).astype(np.uint8))
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    text = base64.b64encode(buffer.getvalue()).decode()
    return f"<figure><img alt='The film' src='data:image/png;base64,{text}'></figure>"


def _table(made: Sequence[Statement], review: Mapping[str, FindingReview]) -> str:
    if not made:
        return ""
    head = ("Finding", "Statement", "Probability", "Flagged from", "Urgency", "Reader")
    cells = "".join(
        f"<th{' class=number' if i in (2, 3) else ''}>{name}</th>" for i, name in enumerate(head)
    )
    rows = "".join(_row(item, review.get(item.finding)) for item in made)
    return f"<h2>Findings by urgency</h2><table><tr>{cells}</tr>{rows}</table>"


def _row(item: Statement, said: FindingReview | None) -> str:
    def share(value: float) -> str:
        return "-" if math.isnan(value) else percent(value)

    words = " ".join(part for part in (said.opinion, said.label) if part) if said else ""
    return (
        f"<tr{' class=claimed' if item.positive else ''}><td>{escape(item.title)}</td>"
        f"<td>{item.state}</td><td class=number>{share(item.probability)}</td>"
        f"<td class=number>{share(item.threshold)}</td><td>{URGENCY_WORDS[item.urgency]}</td>"
        f"<td>{escape(words)}</td></tr>"
    )
