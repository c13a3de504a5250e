"""Questions: pages that ask a reader one thing per item, blind to every answer but their own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from monai_cxr.report.rendering import render


@dataclass(frozen=True, slots=True)
class Question:
    """One item of such a page.

    Attributes:
        id: What names the film or report in the answers.
        finding: Name of the finding.
        question: What is asked, for example "Is there a pneumothorax?".
        text: A report's text, or ``""``.
        image: A film as a ``data:`` address, or ``""``.
    """

    id: str
    finding: str
    question: str
    text: str = ""
    image: str = ""


def question_page(title: str, lead: str, questions: Sequence[Question]) -> str:
    """A page that stands alone: p, a, u, x answer, arrows move, s saves the answers as a CSV.

    Args:
        title: Heading.
        lead: What the reader should know.
        questions: Items in the order in which they are asked.

    Returns:
        HTML; answers are kept in the reader's browser until they are saved as a file.
    """
    names = "\n".join(f"{one.id}\t{one.finding}" for one in questions)
    return render(
        "questions.html",
        title=title,
        kicker=f"{len(questions)} questions",
        lead=lead,
        items=[asdict(one) for one in questions],
        digest=hashlib.sha256(names.encode()).hexdigest()[:12],
    )
